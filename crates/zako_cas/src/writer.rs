//! A blob in the making: bytes go to a temporary file and through the hasher at once.
//!
//! **Invariant:** a writer that is dropped before `commit` leaves nothing in the store.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::Ordering::Relaxed;

use tempfile::NamedTempFile;

use crate::layout::Form;
use crate::store::CHUNK;
use crate::{Digest, Hasher, Store, StoreError};

/// Writes one blob; see [`Store::writer`].
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    temp: BufWriter<NamedTempFile>,
    hasher: Hasher,
}

impl BlobWriter {
    pub(crate) fn new(store: Store, temp: NamedTempFile) -> Self {
        let hasher = store.function().hasher();
        Self {
            store,
            temp: BufWriter::with_capacity(64 << 10, temp),
            hasher,
        }
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.hasher.size()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_all(bytes)
            .map_err(|e| StoreError::io("write", self.temp.get_ref().path())(e))
    }

    /// Makes the blob part of the store and names it.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn commit(mut self) -> Result<Digest, StoreError> {
        self.temp
            .flush()
            .map_err(|e| StoreError::io("write", self.temp.get_ref().path())(e))?;
        let (temp, _buffer) = self.temp.into_parts();
        let digest = self.hasher.finish();
        if self.store.is_stored(&digest)? {
            self.store
                .shared
                .counters
                .already_there
                .fetch_add(1, Relaxed);
        } else {
            self.store.install(temp, &digest, Form::Plain)?;
        }
        Ok(digest)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.temp.write(bytes)?;
        if n >= CHUNK {
            self.hasher.update_parallel(&bytes[..n]);
        } else {
            self.hasher.update(&bytes[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temp.flush()
    }
}
