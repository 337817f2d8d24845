//! Looking at many files that are neighbours.
//!
//! It holds one folder open, with no right but to find what is in it; must never know what is looked for there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// The folder that the last path was in: neighbours are looked at from there, which saves the kernel the way to it (half of
/// the time for paths of three parts).
pub(crate) struct Folder<'a> {
    root: BorrowedFd<'a>,
    path: Vec<u8>,
    open: Option<OwnedFd>,
}

impl<'a> Folder<'a> {
    /// None yet, for paths below `root`.
    pub(crate) fn new(root: BorrowedFd<'a>) -> Self {
        Folder {
            root,
            path: Vec::new(),
            open: None,
        }
    }

    /// From where to look at `path`, and under which name; it is worth opening a folder when `next` is in it too.
    pub(crate) fn enter<'p>(&mut self, path: &'p [u8], next: &[u8]) -> (BorrowedFd<'_>, &'p [u8]) {
        let Some(cut) = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .filter(|cut| *cut > 0)
        else {
            return (self.root, path);
        };
        let (above, name) = (&path[..cut], &path[cut + 1..]);
        if self.path != above {
            self.path.clear();
            self.open = None;
            if next.get(..=cut) != Some(&path[..=cut]) {
                return (self.root, path);
            }
            let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
            self.open = rustix::fs::openat(self.root, above, flags, Mode::empty()).ok();
            self.path.extend_from_slice(above);
        }
        match &self.open {
            Some(folder) => (folder.as_fd(), name),
            None => (self.root, path),
        }
    }
}
