//! What a request takes on trust: what its caller knows about leaves.

use std::fmt;

use crate::archive::Id;
use crate::held::Held;
use crate::key::{AnyKey, Key};
use crate::store::{Memo, NodeId, Store};

/// A leaf that has a value of an earlier revision, about to be computed again.
#[derive(Clone, Copy)]
pub struct KnownLeaf<'a> {
    pub(crate) key: &'a dyn AnyKey,
    pub(crate) id: Option<Id>,
    pub(crate) memo: &'a Memo,
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

    /// What [`Ctx::set_witness`](crate::Ctx::set_witness) said of the value that is held, also where a later
    /// request than the one kept last computed it; empty where nothing was said.
    pub fn witness(self) -> &'a [u8] {
        match (&self.memo.witness, &self.memo.value) {
            (Some(witness), _) => witness,
            (None, Held::Dormant(stored) | Held::Lost(stored)) => stored.witness(),
            (None, Held::Live(_)) => &[],
        }
    }
}

impl fmt::Debug for KnownLeaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownLeaf({}, {:?})", self.key.describe(), self.id)
    }
}

/// Leaves that may have changed, by their keys. For
/// [`Engine::begin_changed`](crate::Engine::begin_changed).
#[derive(Default)]
pub struct Changed {
    keys: Vec<Box<dyn AnyKey>>,
}

impl Changed {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf, whether or not it was ever asked for.
    pub fn add<K: Key>(&mut self, key: K) {
        self.keys.push(Box::new(key));
    }

    /// As [`add`](Self::add).
    #[must_use]
    pub fn with<K: Key>(mut self, key: K) -> Self {
        self.add(key);
        self
    }

    pub(crate) fn nodes(&self, store: &Store) -> Vec<NodeId> {
        let nodes = self.keys.iter().filter_map(|key| store.find_any(&**key));
        nodes.map(|node| node.id).collect()
    }
}

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.iter().map(|key| key.describe());
        f.debug_set().entries(keys).finish()
    }
}
