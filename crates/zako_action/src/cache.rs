//! The action cache: results by strong key, and lists of results by narrow key, as records in segments (see [`zako_cas::segment`]).
//!
//! ```text
//! DIR/FUNCTION/segments/          records:
//!     kind 1, a strong key            a result
//!     kind 2, a narrow key            at most 8 hashes of lists, the newest first
//!     kind 3, hash of key and list    the result with that list of files
//! DIR/FUNCTION/strong, narrow     files of caches from before there were segments; only read
//! ```
//!
//! A record is the format's number (u32, little endian) and a protobuf message, or the hashes, 32 bytes each. Whatever is
//! not exactly that is a miss, and overwritten in time.
//!
//! **Invariant:** records are whole or not there. Many processes may read and write at
//! once: the last writer wins, and what is lost by that is one recording, which costs one run.
//! **Invariant:** results with another exit code than 0 are never there.
//! **Invariant:** of a cache that is told of its store, no other process sees a result before the blobs that were put before it.
//!
//! Does not know whether the blobs that a result names still exist: see
//! [`ActionResult::is_complete`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use zako_cas::segment::{MAX_BODY, RecordKey, SegmentLog, SegmentPurpose};
use zako_cas::{Digest, DigestFunction, HASH_LEN, Store, StoreError};

use crate::file_cache::FileCache;
use crate::key::{NarrowKey, StrongKey};
use crate::result::{ActionResult, Discovered, DiscoveredPath};

/// How many results are kept for one narrow key.
pub const MAX_NARROW_RECORDS: usize = 8;

/// The largest record of the cache, in bytes.
pub const MAX_RECORD_BYTES: u64 = MAX_BODY as u64;

/// Number of the records' format. (1 was that of the files.)
pub const CACHE_FORMAT: u32 = 2;

const STRONG: u8 = 1;
const NARROW: u8 = 2;
const NARROW_RESULT: u8 = 3;

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
    function: DigestFunction,
    segments: SegmentLog,
    files: Option<FileCache>,
    /// Held while a narrow list is read, extended and written, so that threads lose nothing.
    extending: Mutex<()>,
}

impl ActionCache {
    /// Opens the cache in `dir` for keys of `function`, creating it when not there.
    ///
    /// # Errors
    /// When the folders can't be created.
    pub fn open(dir: &Path, function: DigestFunction) -> Result<Self, CacheError> {
        let root = dir.join(function.name());
        let folder = root.join("segments");
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        Ok(Self {
            shared: Arc::new(Shared {
                function,
                segments: SegmentLog::open(&folder, SegmentPurpose::ActionResults, false),
                files: FileCache::open(&root, function),
                extending: Mutex::new(()),
            }),
        })
    }

    /// Tells it where the blobs are that its results name: those are flushed before results are. The first store counts.
    #[must_use]
    pub fn with_store(self, store: Store) -> Self {
        self.shared.segments.before_flush(move || store.flush());
        self
    }

    /// Makes what was recorded visible to other processes, and safe from the end of this one, after the store's blobs. Happens
    /// by itself now and then, and when the last clone is dropped.
    ///
    /// # Errors
    /// When store or cache can't be written.
    pub fn flush(&self) -> Result<(), CacheError> {
        Ok(self.shared.segments.flush()?)
    }

    /// Reads what the first lookup waits for otherwise. For another thread than the one that will look.
    ///
    /// # Errors
    /// When the cache can't be read.
    pub fn refresh(&self) -> Result<(), CacheError> {
        Ok(self.shared.segments.refresh()?)
    }

    /// Gets ready to record results: what the first one waits for otherwise.
    ///
    /// # Errors
    /// When the cache can't be written.
    pub fn reserve(&self) -> Result<(), CacheError> {
        Ok(self.shared.segments.reserve()?)
    }

    /// The result recorded under the strong key.
    ///
    /// # Errors
    /// When a file that is there can't be read.
    pub fn lookup(&self, key: &StrongKey) -> Result<Option<ActionResult>, CacheError> {
        self.check_function(&key.0)?;
        if let Some(result) = self.read_result(&record_key(STRONG, key.0.hash))? {
            return Ok(Some(result));
        }
        match &self.shared.files {
            Some(files) => files.strong(&key.0),
            None => Ok(None),
        }
    }

    /// Records `result` under the strong key.
    ///
    /// # Errors
    /// [`CacheError::Failed`] unless its exit code is 0; others when it can't be written.
    pub fn record(&self, key: &StrongKey, result: &ActionResult) -> Result<(), CacheError> {
        self.check(result)?;
        self.check_function(&key.0)?;
        self.write(record_key(STRONG, key.0.hash), &result.encode())
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
        self.check_function(&key.0)?;
        let mut is_as_it_was = |result: &ActionResult| {
            result.narrow.as_ref().is_some_and(|files| {
                files
                    .iter()
                    .all(|file| current(&file.path) == Some(file.digest))
            })
        };
        for list in self.read_lists(key)? {
            if let Some(result) = self.read_result(&record_key(NARROW_RESULT, list))?
                && is_as_it_was(&result)
            {
                return Ok(Some(result));
            }
        }
        let Some(files) = &self.shared.files else {
            return Ok(None);
        };
        Ok(files.narrow(&key.0)?.into_iter().find(is_as_it_was))
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
        self.check_function(&key.0)?;
        let newest_list = list_hash(key, newest.narrow.as_deref().unwrap_or_default());
        let mut lists = self.read_lists(key)?;
        let place = lists.iter().position(|list| *list == newest_list);
        self.write(record_key(NARROW_RESULT, newest_list), &newest.encode())?;
        if place == Some(0) {
            return Ok(());
        }
        lists.retain(|list| *list != newest_list);
        lists.insert(0, newest_list);
        lists.truncate(MAX_NARROW_RECORDS);
        self.write(record_key(NARROW, key.0.hash), &lists.concat())
    }

    /// Hashes of the lists that are recorded under the key, the newest first.
    fn read_lists(&self, key: &NarrowKey) -> Result<Vec<[u8; HASH_LEN]>, CacheError> {
        let Some(body) = self.read(&record_key(NARROW, key.0.hash))? else {
            return Ok(Vec::new());
        };
        let (lists, rest) = body.as_chunks::<HASH_LEN>();
        if !rest.is_empty() {
            return Ok(Vec::new());
        }
        Ok(lists.iter().take(MAX_NARROW_RECORDS).copied().collect())
    }

    fn read_result(&self, key: &RecordKey) -> Result<Option<ActionResult>, CacheError> {
        let Some(body) = self.read(key)? else {
            return Ok(None);
        };
        let result = ActionResult::decode(&body, self.shared.function);
        Ok(result.filter(|r| r.exit_code == 0))
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

    fn read(&self, key: &RecordKey) -> Result<Option<Bytes>, CacheError> {
        let Some(found) = self.shared.segments.get(key)? else {
            return Ok(None);
        };
        let format = CACHE_FORMAT.to_le_bytes();
        Ok(found
            .bytes
            .starts_with(&format)
            .then(|| found.bytes.slice(format.len()..)))
    }

    fn write(&self, key: RecordKey, body: &[u8]) -> Result<(), CacheError> {
        let mut record = Vec::with_capacity(4 + body.len());
        record.extend_from_slice(&CACHE_FORMAT.to_le_bytes());
        record.extend_from_slice(body);
        Ok(self.shared.segments.append(key, &record)?)
    }
}

impl From<StoreError> for CacheError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { verb, path, source } => Self::Io { verb, path, source },
            other => Self::Io {
                verb: "use",
                path: PathBuf::new(),
                source: io::Error::other(other),
            },
        }
    }
}

fn record_key(kind: u8, hash: [u8; HASH_LEN]) -> RecordKey {
    RecordKey { kind, hash }
}

/// Names a list of files under a narrow key: kind, path and digest of each, with lengths, so that no two lists are written alike.
fn list_hash(key: &NarrowKey, list: &[Discovered]) -> [u8; HASH_LEN] {
    let mut hasher = DigestFunction::Blake3.hasher();
    hasher.update(&key.0.hash);
    for file in list {
        let (kind, path) = match &file.path {
            DiscoveredPath::Workspace(path) => (0_u8, path.as_str()),
            DiscoveredPath::External(path) => (1, path.as_str()),
        };
        hasher.update(&[kind]);
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path.as_bytes());
        hasher.update(&file.digest.hash);
        hasher.update(&file.digest.size.to_le_bytes());
    }
    hasher.finish().hash
}

pub(crate) fn failed<'a>(
    verb: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CacheError + 'a {
    move |source| CacheError::Io {
        verb,
        path: path.to_path_buf(),
        source,
    }
}
