//! A file in memory, as it is on disk.
//!
//! **Invariant:** what is mapped is a file that zako made in full before it got its name, and that is only
//! ever replaced by rename. Somebody else who shortens it in place ends the process with SIGBUS, as with
//! any mapped file.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};

use memmap2::{Mmap, MmapOptions};

/// A mapped file; `None` for an empty one, which can't be mapped.
#[derive(Debug, Default)]
pub(super) struct Map(Option<Mmap>);

impl Map {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self(None));
        }
        #[expect(unsafe_code, reason = "a mapping is only as constant as its file")]
        // SAFETY: nothing changes the file while it is mapped: see the invariant above.
        let map = unsafe { MmapOptions::new().map(file) }?;
        Ok(Self(Some(map)))
    }

    /// This part is read soon: one system call for its pages, not a fault each. What is not read costs no memory.
    pub(super) fn prepare(&self, part: Range<usize>) {
        #[cfg(target_os = "linux")]
        if let Some(map) = &self.0 {
            // A kernel before 5.14 does not know it, and faults will do.
            let _ = map.advise_range(memmap2::Advice::PopulateRead, part.start, part.len());
        }
        #[cfg(not(target_os = "linux"))]
        let _ = part;
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
