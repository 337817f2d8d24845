//! What goes wrong with a script, said with the script's own places.
//!
//! Never renders: a [`ScriptError`] is data, and the command line draws the code frame.

use std::fmt;
use std::sync::Arc;

/// What kind of failure a [`ScriptError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScriptErrorKind {
    /// The source is not valid TypeScript, or uses what build scripts may not.
    Transpile,
    /// An import names nothing that exists, or something that this file may not import.
    Resolve,
    /// The script threw, or rejected at top level.
    Throw,
    /// The script ran longer than its time limit.
    Timeout,
    /// The caller cancelled the evaluation.
    Cancelled,
    /// The script needed more memory than its heap limit.
    HeapLimit,
    /// A top-level `await` waits for something that can never happen.
    Deadlock,
    /// The engine itself failed; not the script's fault.
    Internal,
}

/// A place in a script: file, 1-based line and column (in characters), and how many characters it spans.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file as a person knows it: the path in the workspace, or a builtin's specifier.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters from there on are meant; 0 when only the point is known.
    pub length: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One frame of a script's stack, innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function, where it has a name.
    pub function: Option<String>,
    /// Where it stood.
    pub place: Place,
    /// Whether it is the user's code rather than a builtin's.
    pub user: bool,
}

/// Why a script could not be loaded or did not finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// What kind of failure it is.
    pub kind: ScriptErrorKind,
    /// What happened, one line, without the place.
    pub message: String,
    /// Where, when that is known: for a throw, the innermost frame in the user's code.
    pub place: Option<Place>,
    /// The text of the file that `place` is in, for a code frame.
    pub source: Option<Arc<str>>,
    /// The stack, innermost first; empty for errors that have none.
    pub frames: Vec<Frame>,
    /// What to do about it.
    pub help: Option<String>,
    /// The error that this one was caused by (`new Error(…, { cause })`).
    pub cause: Option<Box<ScriptError>>,
}

impl ScriptError {
    /// An error that has no place yet.
    pub fn new(kind: ScriptErrorKind, message: impl Into<String>) -> Self {
        ScriptError {
            kind,
            message: message.into(),
            place: None,
            source: None,
            frames: Vec::new(),
            help: None,
            cause: None,
        }
    }

    /// The same error at `place` of a file whose text is `source`.
    #[must_use]
    pub fn at(mut self, place: Place, source: Arc<str>) -> Self {
        self.place = Some(place);
        self.source = Some(source);
        self
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ScriptError {}

/// The place of the bytes `start..end` in `source`, which is the file `file`. For many places of one file, see
/// [`Lines`].
pub fn place_of(file: &str, source: &str, start: usize, end: usize) -> Place {
    Lines::of(source).place(file, start, end)
}

/// Where the lines of a text begin, so that each of many places in it is found without reading it again.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    source: &'a str,
    /// The first byte of every line but the first.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// The lines of `source`.
    pub fn of(source: &'a str) -> Self {
        let newlines = memchr::memchr_iter(b'\n', source.as_bytes());
        let starts = newlines.map(|at| at + 1).collect();
        Lines { source, starts }
    }

    /// The place of the bytes `start..end`, in the file `file`.
    pub fn place(&self, file: &str, start: usize, end: usize) -> Place {
        let start = floor_boundary(self.source, start);
        let end = floor_boundary(self.source, end.max(start));
        let line = self.starts.partition_point(|first| *first <= start);
        let line_start = line.checked_sub(1).map_or(0, |before| self.starts[before]);
        let line_end = self
            .starts
            .get(line)
            .map_or(self.source.len(), |next| next - 1);
        let characters = |from: usize, to: usize| {
            let count = self.source[from..to].chars().count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        Place {
            file: file.to_owned(),
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: characters(line_start, start) + 1,
            length: characters(start, end.min(line_end).max(start)),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{Lines, place_of};

    #[test]
    fn places_count_characters_from_one() {
        let source = "let ä = 1;\nlet böse = oops;\n";
        let at = source.find("oops").expect("it is there");
        let place = place_of("a.ts", source, at, at + 4);
        assert_eq!((place.line, place.column, place.length), (2, 12, 4));
        assert_eq!(place.to_string(), "a.ts:2:12");
    }

    #[test]
    fn places_at_the_edges_of_lines_belong_to_them() {
        let lines = Lines::of("ab\n\ncd");
        let at = |start, end| {
            let place = lines.place("a.ts", start, end);
            (place.line, place.column, place.length)
        };
        assert_eq!(at(0, 2), (1, 1, 2));
        assert_eq!(at(2, 3), (1, 3, 0));
        assert_eq!(at(3, 3), (2, 1, 0));
        assert_eq!(at(4, 9), (3, 1, 2));
        assert_eq!(at(1, 6), (1, 2, 1));
    }

    #[test]
    fn places_past_the_end_are_the_end() {
        let place = place_of("a.ts", "x\n", 90, 95);
        assert_eq!((place.line, place.column, place.length), (2, 1, 0));
    }
}
