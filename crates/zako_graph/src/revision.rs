//! The clock of the graph: it ticks once for each request.

use std::fmt;

/// A moment in the life of one engine, counted from 1, or on from the revision of the archive that it was
/// restored from. Means nothing in another engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Before the first.
    pub(crate) const NEVER: Self = Self(0);

    pub(crate) fn new(number: u64) -> Self {
        Self(number)
    }

    /// The revision as a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}
