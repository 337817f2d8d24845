//! Why a measurement can't be made.

use std::fmt::Display;
use std::io;

/// What went wrong, for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot {verb} {what}: {source}")]
    Io {
        verb: &'static str,
        what: String,
        source: io::Error,
    },
    #[error("{0} is not empty; name another folder")]
    NotEmpty(String),
    #[error("`{command}` ended with {status}:\n{output}")]
    Command {
        command: String,
        status: String,
        output: String,
    },
    #[error("the measuring process printed `{0}`")]
    Measurement(String),
}

impl Failure {
    /// For `map_err`: `verb` says what was tried on `what`.
    pub(crate) fn io(verb: &'static str, what: impl Display) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            verb,
            what: what.to_string(),
            source,
        }
    }
}
