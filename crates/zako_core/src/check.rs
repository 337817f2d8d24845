//! Type-checks the workspace's scripts with the TypeScript compiler that is installed, if one is.
//!
//! zako has no type checker of its own: it runs scripts with their types removed. The compiler is a person's dependency,
//! pinned by their lockfile, so it is looked for and never fetched.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::Command;
use zako_exec::find_program;
use zako_script::Place;

use crate::diagnostic::{Diagnostic, Location};
use crate::editor;
use crate::session::Session;
use crate::workspace::STATE_DIR;

/// The compiler, in a package folder of npm's.
const PACKAGED: &str = "node_modules/typescript/bin/tsc";
/// What tells that there is nothing to check.
const NO_INPUTS: &str = "TS18003";

impl Session {
    /// What `tsc` says of all scripts of the workspace, by the configuration that [`write_types`](Session::write_types)
    /// writes (which this does too, but for the root's `tsconfig.json`). The compiler is the package `typescript` of the
    /// workspace or a folder above it, or else the program `tsc` on `path`, a list of folders as `PATH` is.
    ///
    /// An error is that there is none, or that it could not be run.
    pub async fn check(&self, path: &str) -> Result<Vec<Diagnostic>, Diagnostic> {
        let mut compiler = compiler(self.root(), path)?;
        editor::write_state(self.root(), &self.global.builtins)?;
        let output = compiler
            .args(["--pretty", "false", "--noEmit", "-p"])
            .arg(Path::new(STATE_DIR).join("tsconfig.json"))
            .current_dir(self.root())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| {
                Diagnostic::environment(format!("the TypeScript compiler cannot be started: {e}"))
            })?;
        let said = String::from_utf8_lossy(&output.stdout);
        let found = read(&said, self.root());
        if found.is_empty() && !output.status.success() && !said.contains(NO_INPUTS) {
            let errors = String::from_utf8_lossy(&output.stderr);
            let mut error = Diagnostic::environment(format!(
                "the TypeScript compiler failed ({})",
                output.status
            ));
            error.output = Some(format!("{said}{errors}"));
            return Err(error);
        }
        Ok(found)
    }
}

/// The command that runs the compiler.
fn compiler(root: &Path, path: &str) -> Result<Command, Diagnostic> {
    let packaged = root.ancestors().map(|folder| folder.join(PACKAGED));
    if let Some(program) = packaged.into_iter().find(|program| program.is_file()) {
        let Some(node) = find_program("node", path) else {
            let error = Diagnostic::environment(
                "the TypeScript compiler needs Node.js, which is not installed",
            );
            return Err(error.with_help("install Node.js, so that `node` is on PATH"));
        };
        let mut command = Command::new(node);
        command.arg(program);
        return Ok(command);
    }
    match find_program("tsc", path) {
        Some(tsc) => Ok(Command::new(tsc)),
        None => Err(Diagnostic::environment("the TypeScript compiler is not installed")
            .with_help("`npm install --save-dev typescript` in the workspace installs it, or `npm install --global typescript` for all")),
    }
}

/// The errors in what the compiler wrote: `FILE(LINE,COLUMN): error TSn: TEXT`, each followed by indented lines that go on.
fn read(said: &str, root: &Path) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for line in said.lines() {
        if line.starts_with(' ') {
            if let Some(last) = found.last_mut() {
                last.trace.push(line.trim().to_owned());
            }
            continue;
        }
        let (place, text) = match line.split_once(": error ") {
            Some((place, text)) => (Some(place), text),
            None => match line.strip_prefix("error ") {
                Some(text) => (None, text),
                None => continue,
            },
        };
        let Some((code, message)) = text.split_once(": ") else {
            continue;
        };
        if code == NO_INPUTS {
            continue;
        }
        let mut error = Diagnostic::user(format!("{message} ({code})"));
        error.location = place.and_then(|place| location(place, root));
        found.push(error);
    }
    found
}

/// `FILE(LINE,COLUMN)` as a location, with how long the word there is.
fn location(place: &str, root: &Path) -> Option<Location> {
    let (file, at) = place.strip_suffix(')')?.rsplit_once('(')?;
    let (line, column) = at.split_once(',')?;
    let (line, column): (u32, usize) = (line.parse().ok()?, column.parse().ok()?);
    let text: Option<Arc<str>> = std::fs::read_to_string(root.join(file))
        .ok()
        .map(Into::into);
    let written = text
        .as_deref()
        .and_then(|text| text.lines().nth(line as usize - 1));
    let (column, length) = written.map_or((column, 0), |written| word(written, column));
    let place = Place {
        file: shown(file, root),
        line,
        column: u32::try_from(column).unwrap_or(u32::MAX),
        length: u32::try_from(length).unwrap_or(0),
    };
    Some(Location::new(&place, text))
}

/// The compiler may name a file by its whole path.
fn shown(file: &str, root: &Path) -> String {
    let below = PathBuf::from(file);
    below.strip_prefix(root).map_or_else(
        |_| file.to_owned(),
        |below| below.to_string_lossy().into_owned(),
    )
}

/// From a column in UTF-16 units to one in characters, both from 1, and how many characters the word there has.
fn word(line: &str, column: usize) -> (usize, usize) {
    let mut units = 1;
    let before = line.chars().take_while(|c| {
        let is_before = units < column;
        units += c.len_utf16();
        is_before
    });
    let before = before.count();
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '$';
    let length = line.chars().skip(before).take_while(is_word).count();
    (before + 1, length.max(1))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{compiler, read, word};

    #[test]
    fn columns_count_characters_and_words_have_a_length() {
        assert_eq!(word("let x = oops;", 9), (9, 4));
        // A character beyond the basic plane is two units for the compiler.
        assert_eq!(word("\u{1d4b3} = oops", 6), (5, 4));
        assert_eq!(word("a(", 2), (2, 1));
        assert_eq!(word("a", 9), (2, 1));
    }

    #[test]
    fn errors_are_read_with_what_follows_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(
            dir.path().join("a/BUILD.ts"),
            "\nconst n: number = wrong;\n",
        )
        .unwrap();
        let said = "a/BUILD.ts(2,19): error TS2304: Cannot find name 'wrong'.\n  Because.\n    Of that.\n\
                    error TS18003: No inputs were found.\nerror TS5083: Cannot read file 'x'.\nFound 2 errors.\n";
        let found = read(said, dir.path());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].message, "Cannot find name 'wrong'. (TS2304)");
        assert_eq!(found[0].trace, ["Because.", "Of that."]);
        let at = found[0].location.as_ref().unwrap();
        assert_eq!((at.to_string().as_str(), at.length), ("a/BUILD.ts:2:19", 5));
        assert!(at.source.as_ref().unwrap().contains("wrong"));
        assert!(found[1].location.is_none());
    }

    #[test]
    fn a_missing_compiler_is_said_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let error = compiler(dir.path(), "/nowhere").unwrap_err();
        assert_eq!(error.fault.exit_code(), 3);
        assert!(error.help.unwrap().contains("npm install"));
    }
}
