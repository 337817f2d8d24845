//! Depfiles: the Makefile-style lists in which compilers say what they read.
//!
//! Plain text work: touches no disk. Follows what gcc and clang write (`gcc -MD`, and make's own
//! rules for quoting): `\` at the end of a line continues it, `\ ` is a space, `\#` a `#`, `$$` a
//! `$`; other backslashes are themselves, as in Windows paths.
//!
//! **Invariant:** no input makes it panic, and what is not understood is an error, never a shorter
//! list: a file missed here would be a stale build later.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use zako_path::NeutralPath;

use crate::{ArtifactValue, Prepared, ToolRef};

/// The largest depfile that is read, in bytes.
pub const MAX_DEPFILE_BYTES: usize = 64 << 20;

/// What is wrong with a depfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DepfileError {
    /// A line with words but no `:` after a target.
    #[error("line {line}: expected TARGET: FILES, found no `:`")]
    NoTarget {
        /// Counted from 1; the first of continued lines.
        line: usize,
    },
    /// A second `:` in one rule.
    #[error("line {line}: a second `:` in one rule")]
    SecondColon {
        /// Counted from 1; the first of continued lines.
        line: usize,
    },
    /// Not UTF-8.
    #[error("line {line}: a file name that is not UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
    },
    /// Holds a NUL.
    #[error("line {line}: a NUL byte")]
    Nul {
        /// Counted from 1.
        line: usize,
    },
    /// More than [`MAX_DEPFILE_BYTES`].
    #[error("{0} bytes are too many for a depfile")]
    TooLarge(usize),
    /// A file of the workspace whose name no neutral path has.
    #[error("`{path}`: {reason}")]
    BadName {
        /// As listed.
        path: String,
        /// Why not.
        reason: String,
    },
}

/// The prerequisites of all rules, each once, in the order of their first appearance, unquoted.
///
/// ```
/// let files = zako_action::depfile::parse(b"a.o: a.c \\\n my\\ lib.h\n")?;
/// assert_eq!(files, ["a.c", "my lib.h"]);
/// # Ok::<(), zako_action::depfile::DepfileError>(())
/// ```
///
/// # Errors
/// When it is no list of rules.
pub fn parse(bytes: &[u8]) -> Result<Vec<String>, DepfileError> {
    if bytes.len() > MAX_DEPFILE_BYTES {
        return Err(DepfileError::TooLarge(bytes.len()));
    }
    let line_of = |at: usize| bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
    let text = std::str::from_utf8(bytes).map_err(|e| DepfileError::NotUtf8 {
        line: line_of(e.valid_up_to()),
    })?;
    if let Some(at) = text.find('\0') {
        return Err(DepfileError::Nul { line: line_of(at) });
    }
    let mut parser = Parser {
        rest: text,
        line: 1,
        rule: Rule::default(),
        word: None,
        found: Vec::new(),
        seen: HashSet::new(),
    };
    parser.run()?;
    Ok(parser.found)
}

#[derive(Default)]
struct Rule {
    /// Where it starts, once it has a word.
    line: Option<usize>,
    has_colon: bool,
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    rule: Rule,
    word: Option<String>,
    found: Vec<String>,
    seen: HashSet<String>,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), DepfileError> {
        loop {
            let slashes = self.rest.len() - self.rest.trim_start_matches('\\').len();
            self.rest = &self.rest[slashes..];
            let next = self.rest.chars().next();
            // Whether a line ends here, and by how many bytes.
            let ending = match next {
                None => Some(0),
                Some('\n') => Some(1),
                Some('\r') if self.rest.starts_with("\r\n") => Some(2),
                Some(_) => None,
            };
            if let Some(ending) = ending {
                self.rest = &self.rest[ending..];
                let continued = slashes % 2 == 1;
                self.push_repeated(slashes - usize::from(continued));
                self.end_word();
                if !continued || ending == 0 {
                    self.end_rule()?;
                }
                self.line += 1;
                if ending == 0 {
                    return Ok(());
                }
                continue;
            }
            let Some(c) = next else { return Ok(()) };
            self.rest = &self.rest[c.len_utf8()..];
            match c {
                ' ' | '\t' | '#' if slashes % 2 == 1 => {
                    self.push_repeated(slashes / 2);
                    self.push(c);
                }
                ' ' | '\t' => {
                    self.push_repeated(slashes / 2);
                    self.end_word();
                }
                '#' if slashes == 0 && self.word.is_none() => self.skip_comment(),
                ':' if slashes % 2 == 1 && !self.rest.starts_with([' ', '\t', '\r', '\n']) => {
                    // `\:` is a colon in a name.
                    self.push_repeated(slashes - 1);
                    self.push(':');
                }
                ':' => {
                    self.push_repeated(slashes);
                    self.colon()?;
                }
                '$' if self.rest.starts_with('$') => {
                    self.push_repeated(slashes);
                    self.rest = &self.rest[1..];
                    self.push('$');
                }
                _ => {
                    self.push_repeated(slashes);
                    self.push(c);
                }
            }
        }
    }

    fn push(&mut self, c: char) {
        self.rule.line.get_or_insert(self.line);
        self.word.get_or_insert_default().push(c);
    }

    fn push_repeated(&mut self, slashes: usize) {
        for _ in 0..slashes {
            self.push('\\');
        }
    }

    fn skip_comment(&mut self) {
        self.rest = &self.rest[self.rest.find('\n').unwrap_or(self.rest.len())..];
    }

    /// A separator only before white space or after a target that can't be a drive letter.
    fn colon(&mut self) -> Result<(), DepfileError> {
        let before_space = self.rest.is_empty() || self.rest.starts_with([' ', '\t', '\r', '\n']);
        let is_drive = self
            .word
            .as_ref()
            .is_some_and(|w| w.len() == 1 && w.as_bytes()[0].is_ascii_alphabetic())
            && self.rest.starts_with(['/', '\\'])
            && !self.rest.starts_with("\\\n")
            && !self.rest.starts_with("\\\r\n");
        let continues = self.rest.starts_with("\\\n") || self.rest.starts_with("\\\r\n");
        if self.rule.has_colon {
            if before_space || continues {
                return Err(DepfileError::SecondColon {
                    line: self.rule.line.unwrap_or(self.line),
                });
            }
            self.push(':');
        } else if is_drive {
            self.push(':');
        } else {
            if self.word.is_none() && self.rule.line.is_none() {
                return Err(DepfileError::NoTarget { line: self.line });
            }
            self.end_word();
            self.rule.has_colon = true;
        }
        Ok(())
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take()
            && self.rule.has_colon
            && self.seen.insert(word.clone())
        {
            self.found.push(word);
        }
    }

    fn end_rule(&mut self) -> Result<(), DepfileError> {
        let rule = std::mem::take(&mut self.rule);
        match rule.line {
            Some(line) if !rule.has_colon => Err(DepfileError::NoTarget { line }),
            _ => Ok(()),
        }
    }
}

/// What an action was found to read beside its exact inputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Classified {
    /// Staged files of the workspace, sorted: what the narrow recording lists.
    pub workspace: Vec<NeutralPath>,
    /// Files of this machine that nothing covers, sorted: leaves that keep the result local.
    pub external: Vec<PathBuf>,
    /// Files of the workspace that the action does not declare, sorted: an error to report.
    pub undeclared: Vec<NeutralPath>,
}

/// Sorts `prerequisites` (of [`parse`]) by what stands for each.
///
/// Relative ones are relative to `exec_root`, where the action ran; absolute ones below
/// `exec_root` or `workspace_root` are files of the workspace. `..` is resolved by text. Exact
/// inputs, files below a declared directory, tools of the workspace, and files below one of
/// `toolchain_roots` are covered by the key already and appear nowhere. All roots are absolute.
///
/// # Errors
/// [`DepfileError::BadName`] for a file of the workspace that no neutral path can name.
pub fn classify(
    prerequisites: &[String],
    action: &Prepared,
    workspace_root: &Path,
    exec_root: &Path,
    toolchain_roots: &[PathBuf],
) -> Result<Classified, DepfileError> {
    let mut found = Classified::default();
    for prerequisite in prerequisites {
        let place = normalize(&exec_root.join(prerequisite));
        let inside = place
            .strip_prefix(exec_root)
            .or_else(|_| place.strip_prefix(workspace_root));
        if let Ok(inside) = inside {
            let path = NeutralPath::from_os_path(inside).map_err(|e| DepfileError::BadName {
                path: prerequisite.clone(),
                reason: e.to_string(),
            })?;
            match cover(&path, action) {
                Cover::Keyed => continue,
                Cover::Staged => found.workspace.push(path),
                // A toolchain may live in the workspace without being declared file by file.
                Cover::Nothing if is_below_any(&place, toolchain_roots) => continue,
                Cover::Nothing => found.undeclared.push(path),
            }
        } else if !is_below_any(&place, toolchain_roots) {
            found.external.push(place);
        }
    }
    found.workspace.sort_unstable();
    found.workspace.dedup();
    found.external.sort_unstable();
    found.external.dedup();
    found.undeclared.sort_unstable();
    found.undeclared.dedup();
    Ok(found)
}

enum Cover {
    /// By its content, in the narrow key.
    Keyed,
    /// By its name only.
    Staged,
    Nothing,
}

fn cover(path: &NeutralPath, action: &Prepared) -> Cover {
    if action.inputs.contains_key(path)
        || action.spec.tools.contains(&ToolRef::Artifact(path.clone()))
    {
        return Cover::Keyed;
    }
    match action.staged.get(path) {
        Some(ArtifactValue::File { .. }) => return Cover::Staged,
        Some(_) => return Cover::Keyed,
        None => {}
    }
    let below_declared = path
        .ancestors()
        .any(|folder| matches!(action.value(&folder), Some(ArtifactValue::Directory { .. })));
    if below_declared {
        Cover::Keyed
    } else {
        Cover::Nothing
    }
}

fn is_below_any(place: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| place.starts_with(root))
}

/// Resolves `.` and `..` by text.
fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
