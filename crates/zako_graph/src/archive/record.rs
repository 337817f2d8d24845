//! What is kept about a node.

use super::id::Id;

/// Stands for a value: two values of a node are the same if, and only if, their fingerprints are.
pub type Fingerprint = [u8; 16];

/// What is kept about a node, beside its kind and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Stands for the value, also where that is not kept.
    pub fingerprint: Fingerprint,
    /// The revision in which the value last differed from the one before.
    pub changed_at: u32,
    /// The latest revision in which the value is known to hold.
    pub verified_at: u32,
    /// For leaves only: by this the caller can tell, without computing, whether the value still holds.
    pub witness: Box<[u8]>,
    /// The value in the encoding of its kind; empty where the fingerprint is enough.
    pub value: Box<[u8]>,
    /// What was asked for, in the order of asking, at one time in each group; none for leaves. Empty groups
    /// are not kept.
    pub dependencies: Vec<Vec<Id>>,
}
