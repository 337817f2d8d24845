//! Blobs as callers hold them: a handle that may carry the bytes, and a reader.
//!
//! Knows nothing of files' names. A lazy handle promises nothing: its blob may be missing.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;

use crate::{Digest, DigestFunction, Store, StoreError};

/// A blob by name, with its bytes or with the store that has them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlobHandle {
    digest: Digest,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Inline(Bytes),
    Lazy(Store),
}

impl BlobHandle {
    /// A handle that carries `bytes` and is in no store.
    pub fn inline(function: DigestFunction, bytes: Bytes) -> Self {
        Self::known(function.hash(&bytes), bytes)
    }

    pub(crate) fn known(digest: Digest, bytes: Bytes) -> Self {
        Self {
            digest,
            content: Content::Inline(bytes),
        }
    }

    pub(crate) fn lazy(store: Store, digest: Digest) -> Self {
        Self {
            digest,
            content: Content::Lazy(store),
        }
    }

    /// The blob's name.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.digest.size
    }

    /// Whether the handle carries the bytes itself.
    pub fn is_inline(&self) -> bool {
        matches!(self.content, Content::Inline(_))
    }

    /// All its bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the store does not have it; others when it can't be read.
    pub fn bytes(&self) -> Result<Bytes, StoreError> {
        match &self.content {
            Content::Inline(bytes) => Ok(bytes.clone()),
            Content::Lazy(store) => store
                .get(&self.digest)?
                .ok_or(StoreError::Missing(self.digest)),
        }
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] when `range` does not lie within the blob, else as
    /// [`bytes`](Self::bytes).
    pub fn range(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.reader()?.range(&self.digest, range)
    }

    /// A reader from its start.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn reader(&self) -> Result<BlobReader, StoreError> {
        match &self.content {
            Content::Inline(bytes) => Ok(BlobReader::memory(bytes.clone())),
            Content::Lazy(store) => store
                .open_blob(&self.digest)?
                .ok_or(StoreError::Missing(self.digest)),
        }
    }
}

/// Reads a verified blob. Goes on working when the blob is removed from the store.
#[derive(Debug)]
pub struct BlobReader(Source);

#[derive(Debug)]
enum Source {
    Memory(Cursor<Bytes>),
    File { file: File, size: u64 },
}

impl BlobReader {
    pub(crate) fn memory(bytes: Bytes) -> Self {
        Self(Source::Memory(Cursor::new(bytes)))
    }

    pub(crate) fn file(file: File, size: u64) -> Self {
        Self(Source::File { file, size })
    }

    /// The blob's size in bytes.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Source::Memory(bytes) => bytes.get_ref().len() as u64,
            Source::File { size, .. } => *size,
        }
    }

    pub(crate) fn range(
        &mut self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let outside = || StoreError::OutOfRange {
            digest: *digest,
            start: range.start,
            end: range.end,
        };
        if range.start > range.end || range.end > self.size() {
            return Err(outside());
        }
        let start = usize::try_from(range.start).map_err(|_| outside());
        let len = usize::try_from(range.end - range.start).map_err(|_| outside())?;
        match &mut self.0 {
            Source::Memory(bytes) => {
                let start = start?;
                Ok(bytes.get_ref().slice(start..start + len))
            }
            Source::File { file, .. } => {
                let mut bytes = vec![0; len];
                file.seek(SeekFrom::Start(range.start))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(|source| StoreError::Unreadable {
                        digest: *digest,
                        source,
                    })?;
                Ok(bytes.into())
            }
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Source::Memory(bytes) => bytes.read(buffer),
            Source::File { file, .. } => file.read(buffer),
        }
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Source::Memory(bytes) => bytes.seek(to),
            Source::File { file, .. } => file.seek(to),
        }
    }
}
