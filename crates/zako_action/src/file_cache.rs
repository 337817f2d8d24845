//! The action cache as it was before there were segments: a file for each key. Only read.
//!
//! ```text
//! DIR/FUNCTION/strong/AB/ABCD…    one result
//! DIR/FUNCTION/narrow/AB/ABCD…    the newest few results, newest first
//! ```
//!
//! A file is `"zako-ac\n"`, the number 1 (u32, little endian), the BLAKE3 hash of the key's hash and the rest, and a
//! protobuf message. Whatever is not exactly that is a miss.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;
use zako_cas::{Digest, DigestFunction};

use crate::cache::{CacheError, MAX_NARROW_RECORDS, MAX_RECORD_BYTES, failed};
use crate::result::{ActionResult, ResultMessage};

const MAGIC: &[u8; 8] = b"zako-ac\n";
const FORMAT: u32 = 1;
const HEADER: usize = MAGIC.len() + 4 + 32;

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct NarrowList {
    /// Newest first.
    #[prost(message, repeated, tag = "1")]
    results: Vec<ResultMessage>,
}

#[derive(Debug)]
pub(crate) struct FileCache {
    root: PathBuf,
    function: DigestFunction,
}

impl FileCache {
    /// The files of the cache in `root`, `None` when it never had any.
    pub(crate) fn open(root: &Path, function: DigestFunction) -> Option<Self> {
        root.join("strong").is_dir().then(|| Self {
            root: root.to_path_buf(),
            function,
        })
    }

    pub(crate) fn strong(&self, key: &Digest) -> Result<Option<ActionResult>, CacheError> {
        let body = self.read("strong", key)?;
        let result = body.and_then(|body| ActionResult::decode(&body, self.function));
        Ok(result.filter(|r| r.exit_code == 0))
    }

    pub(crate) fn narrow(&self, key: &Digest) -> Result<Vec<ActionResult>, CacheError> {
        let Some(body) = self.read("narrow", key)? else {
            return Ok(Vec::new());
        };
        let list = NarrowList::decode(&body[..]).unwrap_or_default();
        let results = list
            .results
            .into_iter()
            .filter_map(|m| ActionResult::from_message(m, self.function));
        Ok(results
            .filter(|r| r.exit_code == 0)
            .take(MAX_NARROW_RECORDS)
            .collect())
    }

    fn read(&self, kind: &str, key: &Digest) -> Result<Option<Vec<u8>>, CacheError> {
        let hex = key.hex();
        let path = self.root.join(kind).join(&hex[..2]).join(hex);
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
}

fn is_whole(key: &Digest, bytes: &[u8]) -> bool {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return false;
    };
    header[..8] == MAGIC[..]
        && header[8..12] == FORMAT.to_le_bytes()
        && header[12..] == checksum(key, body)
}

/// Covers the key, so that a file under another's name is no record either.
fn checksum(key: &Digest, body: &[u8]) -> [u8; 32] {
    let mut hasher = DigestFunction::Blake3.hasher();
    hasher.update(&key.hash);
    hasher.update(body);
    hasher.finish().hash
}
