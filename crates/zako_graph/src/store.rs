//! The nodes: what was asked so far, and what is known about each. The one place that owns them, so that
//! keeping them on disk concerns this file alone.
//!
//! **Invariant:** ids are dense and never reused, and a node is never moved or removed. Nodes name each
//! other by id, not by reference: dropping a deep graph recurses nowhere.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::RwLock;

use crate::archive::Id;
use crate::flight::{Outcome, Running};
use crate::held::Held;
use crate::key::{AnyKey, Key};
use crate::revision::Revision;
use crate::sync::{Mutex, Turn};

/// Names a node of one engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What was asked for at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Group {
    One(NodeId),
    Many(Box<[NodeId]>),
}

impl Group {
    pub(crate) fn ids(&self) -> &[NodeId] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

/// The last kept result of a node.
pub(crate) struct Memo {
    pub(crate) value: Held,
    /// Of a leaf that set one, and was not restored.
    pub(crate) witness: Option<Box<[u8]>>,
    /// In the order of asking.
    pub(crate) dependencies: Arc<[Group]>,
    /// When the value last differed from the one before.
    pub(crate) changed_at: Revision,
    /// The latest revision in which the value is known to hold.
    pub(crate) verified_at: Revision,
    pub(crate) computed_at: Revision,
    pub(crate) cause: Trigger,
}

/// What made a computation run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trigger {
    First,
    Leaf,
    Changed(NodeId),
    /// Computed in an earlier process.
    Restored,
    /// Nothing had changed, but the value was needed and not kept.
    Forgotten,
}

/// What changes about a node; all under its one lock.
pub(crate) struct NodeState {
    pub(crate) memo: Option<Memo>,
    /// A result that serves one revision only. The memo stays beside it, with its own revisions.
    pub(crate) fleeting: Option<(Revision, Outcome)>,
    pub(crate) running: Option<Running>,
    /// The node's id in the archive.
    pub(crate) saved: Option<Id>,
    /// The last revision in which a leaf below was said to have changed.
    pub(crate) dirty_at: Revision,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            memo: None,
            fleeting: None,
            running: None,
            saved: None,
            dirty_at: Revision::NEVER,
        }
    }
}

/// One key, and what is known about it.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) key: Arc<dyn AnyKey>,
    pub(crate) state: Mutex<NodeState>,
    /// Held by whoever computes: an aborted computation ends before its successor starts.
    pub(crate) turn: Turn,
}

/// All nodes of an engine.
#[derive(Default)]
pub(crate) struct Store {
    by_key: DashMap<Arc<dyn AnyKey>, Arc<Node>>,
    by_id: RwLock<Vec<Arc<Node>>>,
}

impl Store {
    /// The node of `key`, made if it is new.
    pub(crate) fn node<K: Key>(&self, key: &K) -> Arc<Node> {
        match self.find(key) {
            Some(node) => node,
            None => self.node_of(Arc::new(key.clone())),
        }
    }

    /// As [`node`](Self::node) for a key of any type.
    pub(crate) fn node_of(&self, key: Arc<dyn AnyKey>) -> Arc<Node> {
        match self.by_key.entry(key.clone()) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                let mut by_id = self.by_id.write();
                let id =
                    u32::try_from(by_id.len()).expect("4 billion nodes do not fit into memory");
                let node = Arc::new(Node {
                    id: NodeId(id),
                    key,
                    state: Mutex::default(),
                    turn: Turn::default(),
                });
                by_id.push(node.clone());
                drop(by_id);
                entry.insert(node.clone());
                node
            }
        }
    }

    /// Makes room for so many more nodes.
    pub(crate) fn reserve(&self, nodes: usize) {
        self.by_id.write().reserve(nodes);
    }

    /// All nodes but the first so many, in the order in which they were made.
    pub(crate) fn since(&self, first: usize) -> Vec<Arc<Node>> {
        self.by_id.read()[first..].to_vec()
    }

    /// The node of `key` if it was ever asked for.
    pub(crate) fn find<K: Key>(&self, key: &K) -> Option<Arc<Node>> {
        self.find_any(key)
    }

    /// As [`find`](Self::find) for a key of any type.
    pub(crate) fn find_any(&self, key: &dyn AnyKey) -> Option<Arc<Node>> {
        self.by_key.get(key).map(|node| node.clone())
    }

    pub(crate) fn by_id(&self, id: NodeId) -> Arc<Node> {
        self.by_id.read()[id.0 as usize].clone()
    }

    /// As [`by_id`](Self::by_id) for many, in order, under one lock.
    pub(crate) fn by_ids(&self, ids: &[NodeId]) -> Vec<Arc<Node>> {
        let by_id = self.by_id.read();
        ids.iter().map(|id| by_id[id.0 as usize].clone()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.read().len()
    }
}
