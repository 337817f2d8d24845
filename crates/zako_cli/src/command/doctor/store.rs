//! The cache folder: may it be written, what is in it, and how much room is left.

use std::fs;
use std::path::{Path, PathBuf};

use super::Check;
use super::room::room_on;
use crate::quantity::show_bytes;

/// Files that are counted at most; a count that ends here says so.
const MAX_COUNTED: usize = 200_000;

/// Room below which builds soon fail.
const LITTLE_ROOM: u64 = 1 << 30;

pub(super) fn all(dir: &Path) -> Vec<Check> {
    let mut checks = vec![writable(dir)];
    // The folder itself may not be there yet; its disk is.
    if let Some(room) = dir.ancestors().find_map(room_on) {
        checks.push(room_check(room));
    }
    checks
}

fn writable(dir: &Path) -> Check {
    let place = dir.display();
    let probe = fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir));
    match probe {
        Ok(_) => Check::good("cache", format!("{place}, {}", size_of(dir))),
        Err(error) => Check::bad(
            "cache",
            format!("{place} can't be written: {error}"),
            "mend its permissions, or name another folder with --cache-dir or ZAKO_CACHE_DIR",
        ),
    }
}

fn room_check(bytes: u64) -> Check {
    let found = format!("{} free for the cache", show_bytes(bytes));
    if bytes < LITTLE_ROOM {
        Check::doubtful(
            "disk",
            found,
            "make room; `zako clean --cache` removes all kept results",
        )
    } else {
        Check::good("disk", found)
    }
}

/// How much it holds. What can't be read is left out: it may go while we look.
fn size_of(dir: &Path) -> String {
    let mut folders: Vec<PathBuf> = vec![dir.to_owned()];
    let (mut files, mut bytes) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => {
                    files += 1;
                    bytes += metadata.len();
                }
                Err(_) => {}
            }
            if files >= MAX_COUNTED {
                return format!("more than {files} files, more than {}", show_bytes(bytes));
            }
        }
    }
    format!("{files} files, {}", show_bytes(bytes))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::command::doctor::State;

    #[test]
    fn a_folder_that_can_be_made_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("a/b");
        fs::create_dir_all(cache.join("c")).unwrap();
        fs::write(cache.join("c/d"), "12345").unwrap();
        let check = writable(&cache);
        assert_eq!(check.state, State::Good);
        assert!(check.found.ends_with("1 files, 5 B"), "{}", check.found);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let check = writable(&dir.path().join("file/cache"));
        assert_eq!(check.state, State::Bad);
        assert!(check.advice.unwrap().contains("--cache-dir"));
    }

    #[test]
    fn little_room_is_told() {
        assert_eq!(room_check(LITTLE_ROOM - 1).state, State::Doubtful);
        assert_eq!(room_check(LITTLE_ROOM).state, State::Good);
    }
}
