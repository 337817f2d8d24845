//! A blob in the making: small ones in memory, large ones in a temporary file, both through the hasher.
//!
//! **Invariant:** a writer that is dropped before `commit` leaves nothing in the store.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::Ordering::Relaxed;

use tempfile::NamedTempFile;

use crate::layout::Form;
use crate::packed::MAX_PACKED_BLOB;
use crate::store::CHUNK;
use crate::{Digest, Hasher, Store, StoreError};

/// Writes one blob; see [`Store::writer`].
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    written: Written,
    hasher: Hasher,
}

#[derive(Debug)]
enum Written {
    Memory(Vec<u8>),
    File(BufWriter<NamedTempFile>),
}

impl BlobWriter {
    pub(crate) fn new(store: Store) -> Self {
        let hasher = store.function().hasher();
        Self {
            store,
            written: Written::Memory(Vec::new()),
            hasher,
        }
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.hasher.size()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_all(bytes)
            .map_err(|e| StoreError::io("write to", self.store.root())(e))
    }

    /// Makes the blob part of the store and names it.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn commit(self) -> Result<Digest, StoreError> {
        let digest = self.hasher.finish();
        let mut file = match self.written {
            Written::Memory(bytes) => {
                self.store.pack(&digest, &bytes)?;
                return Ok(digest);
            }
            Written::File(file) => file,
        };
        file.flush()
            .map_err(|e| StoreError::io("write", file.get_ref().path())(e))?;
        let (temp, _buffer) = file.into_parts();
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
        if let Written::Memory(held) = &mut self.written
            && held.len() as u64 + bytes.len() as u64 > MAX_PACKED_BLOB
        {
            let temp = self.store.shared.layout.temporary();
            let mut file = BufWriter::with_capacity(64 << 10, temp.map_err(io::Error::other)?);
            file.write_all(held)?;
            self.written = Written::File(file);
        }
        let n = match &mut self.written {
            Written::Memory(held) => held.write(bytes)?,
            Written::File(file) => file.write(bytes)?,
        };
        if n >= CHUNK {
            self.hasher.update_parallel(&bytes[..n]);
        } else {
            self.hasher.update(&bytes[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.written {
            Written::Memory(_) => Ok(()),
            Written::File(file) => file.flush(),
        }
    }
}
