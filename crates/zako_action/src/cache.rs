//! The action cache: results by strong key, and lists of results by narrow key, in files.
//!
//! ```text
//! DIR/FUNCTION/strong/AB/ABCD…    one result
//! DIR/FUNCTION/narrow/AB/ABCD…    the newest few results, newest first
//! ```
//!
//! A file is `"zako-ac\n"`, the format's number (u32, little endian), the BLAKE3 hash of the
//! key's hash and the rest, and a protobuf message. Whatever is not exactly that is a miss, and overwritten in time.
//!
//! **Invariant:** files come into being by rename, whole. Many processes may read and write at
//! once: the last writer wins, and what is lost by that is one recording, which costs one run.
//! **Invariant:** results with another exit code than 0 are never there.
//!
//! Does not know whether the blobs that a result names still exist: see
//! [`ActionResult::is_complete`].

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use zako_cas::{Digest, DigestFunction};

use crate::key::{NarrowKey, StrongKey};
use crate::result::{ActionResult, Discovered, DiscoveredPath, ResultMessage};

/// How many results are kept for one narrow key.
pub const MAX_NARROW_RECORDS: usize = 8;

/// The largest file of the cache that is read, in bytes.
pub const MAX_RECORD_BYTES: u64 = 256 << 20;

/// Number of the files' format.
pub const CACHE_FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"zako-ac\n";
const HEADER: usize = MAGIC.len() + 4 + 32;

/// An error of the action cache; all but [`Failed`](Self::Failed) are the environment's fault.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file or folder could not be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write" …
        verb: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// A result that must not be cached.
    #[error("the result of an action that ended with code {0} cannot be cached")]
    Failed(i32),
    /// A key or digest of another function than the cache's.
    #[error("digest {digest} cannot be in a {function} action cache")]
    OtherFunction {
        /// The digest.
        digest: Digest,
        /// The cache's function.
        function: DigestFunction,
    },
}

/// The action cache of one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ActionCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    function: DigestFunction,
    /// Held while a narrow list is read, extended and written, so that threads lose nothing.
    extending: Mutex<()>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct NarrowList {
    /// Newest first.
    #[prost(message, repeated, tag = "1")]
    results: Vec<ResultMessage>,
}

impl ActionCache {
    /// Opens the cache in `dir` for keys of `function`, creating it when not there.
    ///
    /// # Errors
    /// When the folders can't be created.
    pub fn open(dir: &Path, function: DigestFunction) -> Result<Self, CacheError> {
        let root = dir.join(function.name());
        for kind in ["strong", "narrow"] {
            let folder = root.join(kind);
            fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                root,
                function,
                extending: Mutex::new(()),
            }),
        })
    }

    /// The result recorded under the strong key.
    ///
    /// # Errors
    /// When a file that is there can't be read.
    pub fn lookup(&self, key: &StrongKey) -> Result<Option<ActionResult>, CacheError> {
        let Some(body) = self.read("strong", &key.0)? else {
            return Ok(None);
        };
        let result = ActionResult::decode(&body, self.shared.function);
        Ok(result.filter(|r| r.exit_code == 0))
    }

    /// Records `result` under the strong key.
    ///
    /// # Errors
    /// [`CacheError::Failed`] unless its exit code is 0; others when it can't be written.
    pub fn record(&self, key: &StrongKey, result: &ActionResult) -> Result<(), CacheError> {
        self.check(result)?;
        self.write("strong", &key.0, &result.encode())
    }

    /// The newest result recorded under the narrow key all of whose discovered files are as they
    /// were. `current` gives a file's digest now: of a workspace file only when it is staged for
    /// this action, `None` for what is not there.
    ///
    /// # Errors
    /// When a file of the cache that is there can't be read.
    pub fn lookup_narrow(
        &self,
        key: &NarrowKey,
        mut current: impl FnMut(&DiscoveredPath) -> Option<Digest>,
    ) -> Result<Option<ActionResult>, CacheError> {
        let results = self.read_narrow(key)?;
        Ok(results.into_iter().find(|result| {
            let same =
                |d: &Discovered, current: &mut dyn FnMut(&DiscoveredPath) -> Option<Digest>| {
                    current(&d.path) == Some(d.digest)
                };
            result
                .narrow
                .as_ref()
                .is_some_and(|files| files.iter().all(|d| same(d, &mut current)))
        }))
    }

    /// Records `result`, with `discovered` as its list of files read, under the narrow key, in
    /// front of at most [`MAX_NARROW_RECORDS`] - 1 older ones with other lists.
    ///
    /// # Errors
    /// [`CacheError::Failed`] unless its exit code is 0; others when it can't be written.
    pub fn record_narrow(
        &self,
        key: &NarrowKey,
        mut discovered: Vec<Discovered>,
        result: &ActionResult,
    ) -> Result<(), CacheError> {
        discovered.sort_unstable();
        discovered.dedup();
        let newest = ActionResult {
            narrow: Some(discovered),
            ..result.clone()
        };
        self.check(&newest)?;
        let _extending = self
            .shared
            .extending
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut results = self.read_narrow(key)?;
        results.retain(|r| r.narrow != newest.narrow);
        results.insert(0, newest);
        results.truncate(MAX_NARROW_RECORDS);
        let list = NarrowList {
            results: results.iter().map(ActionResult::to_message).collect(),
        };
        self.write("narrow", &key.0, &list.encode_to_vec())
    }

    fn read_narrow(&self, key: &NarrowKey) -> Result<Vec<ActionResult>, CacheError> {
        let Some(body) = self.read("narrow", &key.0)? else {
            return Ok(Vec::new());
        };
        let list = NarrowList::decode(&body[..]).unwrap_or_default();
        let results = list
            .results
            .into_iter()
            .filter_map(|m| ActionResult::from_message(m, self.shared.function));
        Ok(results
            .filter(|r| r.exit_code == 0)
            .take(MAX_NARROW_RECORDS)
            .collect())
    }

    fn check(&self, result: &ActionResult) -> Result<(), CacheError> {
        if result.exit_code != 0 {
            return Err(CacheError::Failed(result.exit_code));
        }
        let outputs = result.outputs.iter().filter_map(|o| o.value.digest());
        let discovered = result.narrow.iter().flatten().map(|d| d.digest);
        for digest in [result.stdout, result.stderr]
            .into_iter()
            .chain(outputs)
            .chain(discovered)
        {
            self.check_function(&digest)?;
        }
        Ok(())
    }

    fn check_function(&self, digest: &Digest) -> Result<(), CacheError> {
        if digest.function == self.shared.function {
            return Ok(());
        }
        Err(CacheError::OtherFunction {
            digest: *digest,
            function: self.shared.function,
        })
    }

    fn path(&self, kind: &str, key: &Digest) -> PathBuf {
        let hex = key.hex();
        let mut path = self.shared.root.join(kind);
        path.push(&hex[..2]);
        path.push(hex);
        path
    }

    fn read(&self, kind: &str, key: &Digest) -> Result<Option<Vec<u8>>, CacheError> {
        self.check_function(key)?;
        let path = self.path(kind, key);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path)(e)),
        };
        if size > MAX_RECORD_BYTES {
            return Ok(None);
        }
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path)(e)),
        };
        if !is_whole(key, &bytes) {
            tracing::warn!(path = %path.display(), "a record of the action cache is damaged or another version's: it is ignored");
            return Ok(None);
        }
        bytes.drain(..HEADER);
        Ok(Some(bytes))
    }

    fn write(&self, kind: &str, key: &Digest, body: &[u8]) -> Result<(), CacheError> {
        self.check_function(key)?;
        let path = self.path(kind, key);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".zako-")
                .tempfile_in(folder)?;
            file.write_all(MAGIC)?;
            file.write_all(&CACHE_FORMAT.to_le_bytes())?;
            file.write_all(&checksum(key, body))?;
            file.write_all(body)?;
            file.persist(&path).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(failed("write", &path))
    }
}

/// Covers the key, so that a file under another's name is no record either.
fn checksum(key: &Digest, body: &[u8]) -> [u8; 32] {
    let mut hasher = DigestFunction::Blake3.hasher();
    hasher.update(&key.hash);
    hasher.update(body);
    hasher.finish().hash
}

fn is_whole(key: &Digest, bytes: &[u8]) -> bool {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return false;
    };
    header[..8] == MAGIC[..]
        && header[8..12] == CACHE_FORMAT.to_le_bytes()
        && header[12..] == checksum(key, body)
}

fn failed<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CacheError + 'a {
    move |source| CacheError::Io {
        verb,
        path: path.to_path_buf(),
        source,
    }
}
