//! What a request takes on trust: leaves that its caller has looked at already.

use std::fmt;

use crate::archive::Id;
use crate::key::{AnyKey, Key};

/// A leaf that has a value of an earlier revision, about to be computed again.
#[derive(Clone, Copy)]
pub struct KnownLeaf<'a> {
    pub(crate) key: &'a dyn AnyKey,
    pub(crate) id: Option<Id>,
}

impl<'a> KnownLeaf<'a> {
    /// The key, if it is a `K`.
    pub fn key<K: Key>(self) -> Option<&'a K> {
        self.key.as_any().downcast_ref()
    }

    /// Its id in the archive that it was restored from or last kept in, as of then; `None` where that is not
    /// known. After a [`compact`](crate::archive::Archive::compact) there, go by the key.
    pub fn id(self) -> Option<Id> {
        self.id
    }
}

impl fmt::Debug for KnownLeaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownLeaf({}, {:?})", self.key.describe(), self.id)
    }
}

/// Says whether a leaf's value still holds.
pub(crate) type Confirm = Box<dyn Fn(KnownLeaf<'_>) -> bool + Send + Sync>;
