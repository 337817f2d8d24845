//! Advice for a compiler that did not find a file which is in the workspace: it is there, but not declared.
//!
//! Text work on what the compiler printed, plus a look whether files exist. Advice only: nothing depends on it.

use std::collections::BTreeSet;
use std::path::Path;

use zako_path::NeutralPath;

use super::{PlannedAction, edges};

/// How many lines of what was printed are looked at.
const MAX_LINES: usize = 1000;

/// What to declare, when `printed` complains of files that are in the workspace at `root`.
pub(super) fn undeclared(planned: &PlannedAction, root: &Path, printed: &str) -> Option<String> {
    let folders = folders(planned);
    let mut found = BTreeSet::new();
    for name in printed.lines().take(MAX_LINES).filter_map(not_found) {
        let candidates = folders.iter().filter_map(|folder| folder.join(name).ok());
        found.extend(candidates.into_iter().find(|path| {
            let is_declared =
                edges::reads(&planned.spec).any(|declared| path.starts_with(declared));
            !is_declared && path.to_os_path(root).is_file()
        }));
    }
    if found.is_empty() {
        return None;
    }
    let list: Vec<String> = found.iter().map(|path| format!("`{path}`")).collect();
    let (list, owner) = (list.join(", "), &planned.spec.owner);
    let (verb, them) = if found.len() == 1 {
        ("is", "it")
    } else {
        ("are", "them")
    };
    Some(format!(
        "{list} {verb} in the workspace, but {owner} does not declare {them}: add {them} to its `hdrs` or `inputs`, or the target that has {them} to its `deps`"
    ))
}

/// The file that a line of gcc, clang or an ordinary program says it did not find.
fn not_found(line: &str) -> Option<&str> {
    // app/x.c:1:10: fatal error: x.h: No such file or directory
    if let Some((before, _)) = line.split_once(": No such file or directory") {
        return Some(
            before
                .rsplit(": ")
                .next()?
                .trim_matches(['\'', '"', '`', '‘', '’']),
        );
    }
    // app/x.c:1:10: fatal error: 'x.h' file not found
    let (before, _) = line.split_once("' file not found")?;
    before.rsplit('\'').next()
}

/// Where the action looks: its root, where its inputs are, and what it is told with `-I` and the like.
fn folders(planned: &PlannedAction) -> Vec<NeutralPath> {
    let mut folders = vec![NeutralPath::root()];
    folders.extend(planned.spec.inputs.iter().filter_map(NeutralPath::parent));
    let argv = planned.spec.argv().unwrap_or_default();
    let flags = ["-I", "-iquote", "-isystem", "-idirafter"];
    for (at, word) in argv.iter().enumerate() {
        let Some(rest) = flags.iter().find_map(|flag| word.strip_prefix(flag)) else {
            continue;
        };
        let folder = if rest.is_empty() {
            argv.get(at + 1).map(String::as_str)
        } else {
            Some(rest)
        };
        folders.extend(folder.and_then(|folder| NeutralPath::normalize(folder).ok()));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_say_what_they_did_not_find() {
        for (line, name) in [
            (
                "app/x.c:1:10: fatal error: sub/x.h: No such file or directory",
                Some("sub/x.h"),
            ),
            (
                "app/x.c:1:10: fatal error: 'x.h' file not found",
                Some("x.h"),
            ),
            (
                "cat: data/in.txt: No such file or directory",
                Some("data/in.txt"),
            ),
            ("all is well", None),
        ] {
            assert_eq!(not_found(line), name, "{line}");
        }
    }
}
