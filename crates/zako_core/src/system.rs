//! What differs between systems and is needed all over this crate: modes of files, links, what a look at a file tells.
//!
//! This is what Unix systems have. On Windows `windows/system.rs` stands for it, with the same names; so does a file of that name in
//! `files/windows/` for every module of which `files` says so.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes a symbolic link.
pub(crate) fn symlink(target: impl AsRef<Path>, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

/// Whether the owner may execute it.
pub(crate) fn is_executable(file: &Metadata) -> bool {
    file.permissions().mode() & 0o100 != 0
}

/// Whether anybody may execute it.
pub(crate) fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Sets who may do what.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The same of a file that is open.
pub(crate) fn set_mode_of(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

/// What a look at a file tells beside its size; times are seconds and nanoseconds since 1970.
pub(crate) struct Facts {
    pub(crate) mode: u32,
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
    pub(crate) inode: u64,
    pub(crate) device: u64,
}

impl Facts {
    pub(crate) fn of(found: &Metadata) -> Self {
        Facts {
            mode: found.mode(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            inode: found.ino(),
            device: found.dev(),
        }
    }
}
