//! What can go wrong while interning or resolving.

use thiserror::Error;

use crate::key::{InternerId, MAX_INTERNERS};

/// An interner could not do what was asked. Nothing is changed when one is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InternError {
    /// The process has made as many interners as keys can name; ids are never reused.
    #[error(
        "this process has already made {MAX_INTERNERS} string interners, the most that keys can tell apart; \
         share one interner instead of making more"
    )]
    InternersExhausted,
    /// The interner holds as many strings as it may.
    #[error("string interner {interner} is full: it already holds {limit} strings")]
    StringsExhausted {
        /// The interner that is full.
        interner: InternerId,
        /// The number of strings that it may hold.
        limit: usize,
    },
    /// The allocator refused the memory for another string.
    #[error("string interner {interner} could not allocate memory for another string")]
    OutOfMemory {
        /// The interner that wanted to grow.
        interner: InternerId,
    },
    /// The key was made by another interner.
    #[error("a key of string interner {key} was used with string interner {interner}")]
    ForeignKey {
        /// The interner that made the key.
        key: InternerId,
        /// The interner that was asked.
        interner: InternerId,
    },
    /// The key names this interner, but an index that it never gave out: a bug in this crate.
    #[error("string interner {interner} never gave out index {index}")]
    UnknownKey {
        /// The interner that was asked.
        interner: InternerId,
        /// The index inside the key.
        index: u32,
    },
}
