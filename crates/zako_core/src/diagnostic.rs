//! What is told to a person: data for the command line, or an embedder, to render.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use zako_path::NeutralPath;
use zako_script::{LogLevel, Place, ScriptError, ScriptErrorKind};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For whoever looks for it.
    Debug,
    /// Worth knowing.
    Info,
    /// Probably wrong.
    Warning,
    /// Wrong: the build does not succeed.
    Error,
}

/// Whose fault an error is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Something failed to build: a compiler, a test (exit code 1).
    Build,
    /// The input is wrong: flags, manifest, a script (exit code 2).
    User,
    /// The machine failed: disk, permission, a server (exit code 3).
    Environment,
    /// zako failed (exit code 3).
    Bug,
    /// It was interrupted (exit code 130).
    Interrupted,
}

impl Fault {
    /// The exit code that a command ends with: 1 to 3, or 130.
    pub fn exit_code(self) -> u8 {
        match self {
            Fault::Build => 1,
            Fault::User => 2,
            Fault::Environment | Fault::Bug => 3,
            Fault::Interrupted => 130,
        }
    }
}

/// A place in a file of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The file, relative to the workspace's root.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are meant; 0 when only the point is known.
    pub length: u32,
    /// The file's whole text, for a code frame.
    #[serde(skip)]
    pub source: Option<Arc<str>>,
}

impl Location {
    /// The location of a script's place, with the file's text where that is known.
    pub fn new(place: &Place, source: Option<Arc<str>>) -> Self {
        Location {
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            length: place.length,
            source,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing to tell a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Whose fault it is.
    pub fault: Fault,
    /// What happened, one line, without the place.
    pub message: String,
    /// Where.
    pub location: Option<Location>,
    /// How it came to that, from the inside out: `in //app:server`, `imported by app/BUILD.ts:3:8`, a stack's frames.
    pub trace: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// What a failed action wrote, to be shown as it is.
    pub output: Option<String>,
}

impl Diagnostic {
    /// An error of that fault.
    pub fn error(fault: Fault, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            fault,
            message: message.into(),
            location: None,
            trace: Vec::new(),
            help: None,
            output: None,
        }
    }

    /// An error of the user's input.
    pub fn user(message: impl Into<String>) -> Self {
        Self::error(Fault::User, message)
    }

    /// An error of the machine.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::error(Fault::Environment, message)
    }

    /// Something of the machine that went wrong and is no reason to stop.
    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Self::environment(message)
        }
    }

    /// What a script logged. An error that it logs does not fail the build (one that should is thrown), so it is a
    /// warning.
    pub(crate) fn logged(level: LogLevel, message: &str, location: Option<Location>) -> Self {
        let severity = match level {
            LogLevel::Debug => Severity::Debug,
            LogLevel::Info => Severity::Info,
            LogLevel::Warn | LogLevel::Error => Severity::Warning,
        };
        Diagnostic {
            severity,
            location,
            ..Self::user(message)
        }
    }

    /// The same as [`with_texts`] makes it.
    #[must_use]
    pub(crate) fn with_text(self, root: &Path) -> Self {
        let fallback = self.clone();
        with_texts(root, vec![self]).pop().unwrap_or(fallback)
    }

    /// The same with a place.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with one more line of how it came to that.
    #[must_use]
    pub fn with_trace(mut self, line: impl Into<String>) -> Self {
        self.trace.push(line.into());
        self
    }
}

/// The diagnostics as they are told: each location has the text of its file, which is read here where it is not known
/// yet, once a file. Nothing that is kept has texts.
pub(crate) fn with_texts(root: &Path, mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut texts: HashMap<String, Option<Arc<str>>> = HashMap::new();
    for diagnostic in &mut diagnostics {
        if let Some(location) = &mut diagnostic.location
            && location.source.is_none()
        {
            let text = texts.entry(location.file.clone()).or_insert_with(|| {
                // What is no file of the workspace (a builtin, a text in memory) has no frame.
                let path = NeutralPath::new(&location.file).ok()?;
                crate::workspace::read_text(root, &path).ok()
            });
            location.source.clone_from(text);
        }
    }
    diagnostics
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{location}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl From<ScriptError> for Diagnostic {
    fn from(error: ScriptError) -> Self {
        let fault = match error.kind {
            ScriptErrorKind::Internal => Fault::Bug,
            ScriptErrorKind::Cancelled => Fault::Interrupted,
            _ => Fault::User,
        };
        let mut diagnostic = Diagnostic::error(fault, error.message);
        diagnostic.help = error.help;
        diagnostic.location = error
            .place
            .as_ref()
            .map(|place| Location::new(place, error.source.clone()));
        // The user's frames: how zako's own modules are made inside is nothing that he can change. A single one says what the
        // location says. Without any, whoever asked for the evaluation adds where it was asked for.
        let frames: Vec<_> = error.frames.iter().filter(|frame| frame.user).collect();
        let told = matches!(frames[..], [only] if only.function.is_none() && Some(&only.place) == error.place.as_ref());
        for frame in frames.iter().filter(|_| !told) {
            let function = frame.function.as_deref().unwrap_or("top level");
            diagnostic
                .trace
                .push(format!("at {function} ({})", frame.place));
        }
        let mut cause = error.cause;
        while let Some(error) = cause {
            diagnostic.trace.push(format!("caused by: {error}"));
            cause = error.cause;
        }
        diagnostic
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_when_they_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a.ts"), "one").unwrap();
        std::fs::write(dir.path().join("secret"), "two").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("out.ts")).unwrap();
        let at = |file: &str, source: Option<&str>| {
            let location = Location {
                file: file.to_owned(),
                line: 1,
                column: 1,
                length: 0,
                source: source.map(Into::into),
            };
            Diagnostic::user("x").at(location)
        };
        let told = with_texts(
            &root,
            vec![
                at("a.ts", None),
                at("a.ts", Some("as it was")),
                at("out.ts", None),
                at("zako:build", None),
                at("../secret", None),
                at("memory:x", None),
                Diagnostic::user("nowhere"),
            ],
        );
        let texts: Vec<Option<&str>> = told
            .iter()
            .map(|told| told.location.as_ref()?.source.as_deref())
            .collect();
        let expected = [Some("one"), Some("as it was"), None, None, None, None, None];
        assert_eq!(texts, expected);
    }
}
