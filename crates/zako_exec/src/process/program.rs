//! Finding programs: on a PATH that is given, never on the one of this process.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// The PATH of every action that does not declare another: part of the keyed environment, so it never varies.
pub const FIXED_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The first executable file called `name` in the absolute folders of `path` (separated by `:`). Links are not resolved.
///
/// `name` is a bare name; one with a `/` is not looked up and gives `None`.
///
/// ```
/// assert!(zako_exec::find_program("sh", zako_exec::FIXED_PATH).is_some());
/// assert!(zako_exec::find_program("no-such-program", zako_exec::FIXED_PATH).is_none());
/// ```
#[must_use]
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    path.split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(|dir| Path::new(dir).join(name))
        .find(|p| is_program(p))
}

/// Whether this is a file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
