//! Advice for a program that did not find a file which is in the workspace: it is there, but not declared.
//!
//! Text work on what the compiler printed, plus a look whether files exist. Advice only: nothing depends on it.

use std::collections::BTreeSet;
use std::path::Path;

use zako_path::NeutralPath;

use super::{PlannedAction, edges};

/// How many lines of what was printed are looked at.
const MAX_LINES: usize = 1000;

/// What paths start with that a program in a sandbox prints.
const INSIDE: &str = "/workspace/";

/// What to declare, when `printed` complains of files that are in the workspace at `root`.
pub(super) fn undeclared(planned: &PlannedAction, root: &Path, printed: &str) -> Option<String> {
    let folders = folders(planned);
    let mut found = BTreeSet::new();
    for name in printed.lines().take(MAX_LINES).flat_map(not_found) {
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

/// What in a line that complains of a missing file may be the file: all words that could be paths. Whether it is one shows
/// when it is looked for.
fn not_found(line: &str) -> Vec<&str> {
    let complaints = [
        "o such file or directory",
        "' file not found",
        "annot find ",
        "annot open ",
    ];
    if !complaints.iter().any(|complaint| line.contains(complaint)) {
        return Vec::new();
    }
    let is_between = |c: char| c.is_whitespace() || "'\"`‘’“”:;,()[]<>".contains(c);
    let words = line.split(is_between);
    let is_path = |word: &&str| word.contains(['/', '.']) || word.len() > 1;
    words
        .filter(is_path)
        .map(|word| word.strip_prefix(INSIDE).unwrap_or(word))
        .collect()
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
                "sub/x.h",
            ),
            ("app/x.c:1:10: fatal error: 'x.h' file not found", "x.h"),
            ("cat: data/in.txt: No such file or directory", "data/in.txt"),
            (
                "sh: 1: cannot open /workspace/data/in.txt: No such file",
                "data/in.txt",
            ),
            (
                "FileNotFoundError: [Errno 2] No such file or directory: 'data/in.txt'",
                "data/in.txt",
            ),
            (
                "Error: ENOENT: no such file or directory, open 'data/in.txt'",
                "data/in.txt",
            ),
            (
                "error: couldn't read `src/in.rs`: No such file or directory (os error 2)",
                "src/in.rs",
            ),
        ] {
            assert!(not_found(line).contains(&name), "{line}");
        }
        assert_eq!(not_found("all is well in a.txt"), [""; 0]);
    }
}
