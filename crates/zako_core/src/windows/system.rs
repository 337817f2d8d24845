//! What stands for `system` on Windows.

use std::fs::{File, Metadata};
use std::io;
use std::os::windows::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Makes a symbolic link to a file or a folder, whichever is there; it takes a privilege or the developer mode.
pub(crate) fn symlink(target: impl AsRef<Path>, place: &Path) -> io::Result<()> {
    use std::os::windows::fs::{symlink_dir, symlink_file};

    let target = target.as_ref();
    let from = place.parent().unwrap_or(place);
    match from.join(target).is_dir() {
        true => symlink_dir(target, place),
        false => symlink_file(target, place),
    }
}

/// There is no such bit.
pub(crate) fn is_executable(_file: &Metadata) -> bool {
    false
}

/// Nothing but the name of a file says so.
pub(crate) fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Lets the file or folder be written to and removed, which all modes that zako sets do; the rest there is not.
pub(crate) fn set_mode(path: &Path, _mode: u32) -> io::Result<()> {
    let mut permissions = std::fs::metadata(path)?.permissions();
    if !permissions.readonly() {
        return Ok(());
    }
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "on Windows this is one attribute and lets nobody else in"
    )]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions)
}

/// The same of a file that is open, and so was made a moment ago.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(crate) fn set_mode_of(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// What a look at a file tells beside its size; times are seconds and nanoseconds since 1970.
///
/// std tells neither a file's number nor when it was last changed in any way; the moment at which it was made stands for both, since
/// whoever puts another file in its place makes one.
pub(crate) struct Facts {
    pub(crate) mode: u32,
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
    pub(crate) inode: u64,
    pub(crate) device: u64,
}

/// Attributes that say what a file is: read-only, folder, link (`FILE_ATTRIBUTE_READONLY`, `…_DIRECTORY`, `…_REPARSE_POINT`).
const TELLING: u32 = 0x1 | 0x10 | 0x400;

impl Facts {
    pub(crate) fn of(found: &Metadata) -> Self {
        Facts {
            mode: found.file_attributes() & TELLING,
            modified: parts(found.modified()),
            changed: parts(found.created()),
            inode: 0,
            device: 0,
        }
    }
}

fn parts(time: io::Result<SystemTime>) -> (i64, i64) {
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
    let since: Duration = time.ok().and_then(since).unwrap_or_default();
    (
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        i64::from(since.subsec_nanos()),
    )
}
