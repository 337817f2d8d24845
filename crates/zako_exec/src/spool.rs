//! What a process prints, on its way into the store: little in memory, much in a file of the store.
//!
//! **Invariant:** at most [`IN_MEMORY`] bytes of a stream are held in memory.

use std::io::Write;

use zako_action::{ExecuteError, Stream};
use zako_cas::{BlobWriter, Digest, Store};

use crate::input_root::io_error;

/// Bytes of one stream that are kept in memory before they go to a file.
const IN_MEMORY: usize = 64 * 1024;

/// Both streams of one process.
pub(crate) struct Spool {
    store: Store,
    stdout: Captured,
    stderr: Captured,
}

enum Captured {
    Memory(Vec<u8>),
    File(BlobWriter),
}

impl Spool {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            stdout: Captured::Memory(Vec::new()),
            stderr: Captured::Memory(Vec::new()),
        }
    }

    pub(crate) fn write(&mut self, stream: Stream, chunk: &[u8]) -> Result<(), ExecuteError> {
        let captured = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if let Captured::Memory(bytes) = captured {
            if bytes.len() + chunk.len() <= IN_MEMORY {
                bytes.extend_from_slice(chunk);
                return Ok(());
            }
            let mut writer = self.store.writer()?;
            writer
                .write_all(bytes)
                .map_err(io_error("write", self.store.root()))?;
            *captured = Captured::File(writer);
        }
        match captured {
            Captured::File(writer) => writer
                .write_all(chunk)
                .map_err(io_error("write", self.store.root())),
            Captured::Memory(_) => Ok(()),
        }
    }

    /// Makes blobs of both: standard output's first.
    pub(crate) fn finish(self) -> Result<(Digest, Digest), ExecuteError> {
        let put = |captured| match captured {
            Captured::Memory(bytes) => self.store.put_bytes(&bytes),
            Captured::File(writer) => writer.commit(),
        };
        Ok((put(self.stdout)?, put(self.stderr)?))
    }
}
