//! Why a string is no path.

use thiserror::Error;
use zako_interner::InternError;

/// A string could not be taken as a path. Every message quotes the string as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// It starts with `/`, or on Windows names a root.
    #[error("path {0:?} is absolute; give it relative to the workspace or package")]
    Absolute(String),
    /// It does not start at a root although it must.
    #[error("path {0:?} is relative; an absolute path is needed here")]
    Relative(String),
    /// A component starts with a letter and a colon (`c:`), a drive on Windows.
    #[error("path {0:?} has a component that starts with a drive letter and a colon")]
    Drive(String),
    /// It holds a NUL character, which no operating system allows.
    #[error("path {0:?} contains a NUL character")]
    Nul(String),
    /// It holds a backslash, which is a separator on one platform and a plain character on others.
    #[error("path {0:?} contains a backslash; separate components by `/`")]
    Backslash(String),
    /// Two slashes in a row, or one at the end.
    #[error("path {0:?} has an empty component; remove the doubled or trailing `/`")]
    EmptyComponent(String),
    /// A `.` or `..` component where none may be.
    #[error("path {0:?} contains a `.` or `..` component, which is not resolved here")]
    DotComponent(String),
    /// A slash inside what is to become part of one file name.
    #[error("{0:?} contains a `/`, so it cannot be part of a file name")]
    SlashInName(String),
    /// More `..` than there are folders to leave.
    #[error("path {0:?} leads outside of its root")]
    Escapes(String),
    /// The operating system's path is not UTF-8.
    #[error("path {0:?} is not valid UTF-8; rename the file")]
    NotUtf8(std::path::PathBuf),
    /// The root has no name to change.
    #[error("the root path has no file name to change to or extend by {0:?}")]
    NoFileName(String),
    /// The interner could not take the path, or the key was not its own.
    #[error(transparent)]
    Intern(#[from] InternError),
}
