//! Looking at many files that are neighbours.
//!
//! It holds one folder open, with no right but to find what is in it; must never know what is looked for there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Glimpse, Role, Signature};

/// The right to find what is in a folder; where that is not apart, to list it.
const FIND: OFlags = {
    #[cfg(target_os = "linux")]
    let flag = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let flag = OFlags::RDONLY;
    flag
};

/// A folder that is open for finding what is in it.
pub(crate) struct Root(OwnedFd);

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Root> {
        let flags = OFlags::DIRECTORY | FIND | OFlags::CLOEXEC;
        Ok(Root(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

/// From where names are looked at.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a>(pub(super) BorrowedFd<'a>);

impl Place<'_> {
    /// Looks at `name`, where a link stands for what it leads to if `follows`.
    pub(crate) fn look(self, name: &[u8], role: Role, follows: bool) -> Glimpse {
        let name = if name.is_empty() { &b"."[..] } else { name };
        let flags = match follows {
            true => AtFlags::empty(),
            false => AtFlags::SYMLINK_NOFOLLOW,
        };
        match rustix::fs::statat(self.0, name, flags) {
            Ok(found) => Glimpse::There {
                signature: Signature::of_stat(&found, role),
                is_file: FileType::from_raw_mode(found.st_mode).is_file(),
            },
            Err(Errno::NOENT | Errno::NOTDIR) => Glimpse::Nothing,
            Err(_) => Glimpse::Unknown,
        }
    }
}

/// The folder that the last path was in: neighbours are looked at from there, which saves the kernel the way to it (half of
/// the time for paths of three parts).
pub(crate) struct Folder<'a> {
    root: BorrowedFd<'a>,
    path: Vec<u8>,
    open: Option<OwnedFd>,
}

impl<'a> Folder<'a> {
    /// None yet, for paths below `root`.
    pub(crate) fn new(root: &'a Root) -> Self {
        Folder {
            root: root.0.as_fd(),
            path: Vec::new(),
            open: None,
        }
    }

    /// From where to look at `path`, and under which name; it is worth opening a folder when `next` is in it too.
    pub(crate) fn enter<'p>(&mut self, path: &'p [u8], next: &[u8]) -> (Place<'_>, &'p [u8]) {
        let Some(cut) = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .filter(|cut| *cut > 0)
        else {
            return (Place(self.root), path);
        };
        let (above, name) = (&path[..cut], &path[cut + 1..]);
        if self.path != above {
            self.path.clear();
            self.open = None;
            if next.get(..=cut) != Some(&path[..=cut]) {
                return (Place(self.root), path);
            }
            let flags = OFlags::DIRECTORY | FIND | OFlags::CLOEXEC;
            self.open = rustix::fs::openat(self.root, above, flags, Mode::empty()).ok();
            self.path.extend_from_slice(above);
        }
        match &self.open {
            Some(folder) => (Place(folder.as_fd()), name),
            None => (Place(self.root), path),
        }
    }
}
