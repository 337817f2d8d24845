//! Finding programs: on a PATH that is given, never on the one of this process.

use std::path::{Path, PathBuf};

use crate::system::{PATH_SEPARATOR, is_program, program_names};

/// The first executable file called `name` in the absolute folders of `path` (separated by `:`, on Windows by `;`, where it is also looked
/// for with the extensions of programs). Links are not resolved.
///
/// `name` is a bare name; one with a `/` is not looked up and gives `None`.
///
/// ```
/// # #[cfg(unix)]
/// assert!(zako_exec::find_program("sh", zako_exec::FIXED_PATH).is_some());
/// assert!(zako_exec::find_program("no-such-program", zako_exec::FIXED_PATH).is_none());
/// ```
#[must_use]
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains(std::path::is_separator) {
        return None;
    }
    path.split(PATH_SEPARATOR)
        .map(Path::new)
        .filter(|dir| dir.is_absolute())
        .flat_map(|dir| program_names(name).map(|name| dir.join(name)))
        .find(|p| is_program(p))
}
