//! Why a node was last computed.

use crate::revision::Revision;

/// Why a node was last computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// When its `compute` last ran to a value that was kept.
    pub computed_at: Revision,
    /// When its value last differed from the one before.
    pub changed_at: Revision,
    /// When it was last found to be up to date.
    pub verified_at: Revision,
    /// What made it run.
    pub cause: Cause,
    /// What it asked for, in order, in words.
    pub dependencies: Vec<String>,
}

/// What made a computation run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It had never run to a value that was kept.
    First,
    /// It is a leaf, read once in each revision.
    Leaf,
    /// It was computed in an earlier process.
    Restored,
    /// Nothing had changed, but its value was needed and only the fingerprint of that was kept.
    Forgotten,
    /// This dependency was the first, in the order of asking, that had changed.
    Changed {
        /// The dependency in words.
        dependency: String,
    },
}
