//! What a computation sees of the graph.
//!
//! **Invariant:** whatever a computation learns from here, except [`Ctx::data`], is recorded as a
//! dependency before it learns it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ask::Need;
use crate::engine::Shared;
use crate::error::GraphError;
use crate::flight::{FlightId, IdHash, Outcome};
use crate::key::{AnyValue, Key, unpack};
use crate::request::RequestState;
use crate::revision::Revision;
use crate::store::{Group, NodeId};

/// Up to so many single dependencies are looked through to find repeats; more get a set.
const FEW: usize = 8;

/// What one computation has asked for so far.
#[derive(Default)]
struct Record {
    groups: Vec<Group>,
    /// All of `groups`, once those are more than a few single ones; empty until then.
    seen: HashSet<NodeId, IdHash>,
    fleeting: bool,
    witness: Option<Box<[u8]>>,
}

impl Record {
    /// Whether `id` is new; remembers it where it is to be remembered.
    fn see(&mut self, id: NodeId) -> bool {
        if !self.seen.is_empty() {
            return self.seen.insert(id);
        }
        let known = self.groups.iter().any(|group| group.ids().contains(&id));
        if !known && self.groups.len() >= FEW {
            self.see_all();
            self.seen.insert(id);
        }
        !known
    }

    /// From here on repeats are found by the set.
    fn see_all(&mut self) {
        if self.seen.is_empty() {
            self.seen
                .extend(self.groups.iter().flat_map(|group| group.ids()));
        }
    }
}

/// What a computation leaves beside its value.
pub(crate) struct Learned {
    pub(crate) dependencies: Arc<[Group]>,
    /// Whether the value serves this revision only.
    pub(crate) fleeting: bool,
    pub(crate) witness: Option<Box<[u8]>>,
}

/// Given to [`Key::compute`](crate::Key::compute), to ask for what it needs.
pub struct Ctx {
    shared: Arc<Shared>,
    request: Arc<RequestState>,
    flight: FlightId,
    record: Mutex<Record>,
}

impl Ctx {
    pub(crate) fn new(shared: Arc<Shared>, request: Arc<RequestState>, flight: FlightId) -> Self {
        Self {
            shared,
            request,
            flight,
            record: Mutex::default(),
        }
    }

    pub(crate) fn into_learned(self) -> Learned {
        let record = self.record.into_inner();
        Learned {
            dependencies: record.groups.into(),
            fleeting: record.fleeting,
            witness: record.witness,
        }
    }

    /// The value of `key`, recorded as a dependency.
    ///
    /// # Errors
    /// Any [`GraphError`] that `key` ends in. A computation that gets one may still return a value, which
    /// then serves this revision only. On a cycle, this computation itself ends in the error, whatever
    /// it returns.
    pub async fn get<K: Key>(&self, key: &K) -> Result<K::Value, GraphError> {
        let node = self.shared.store.node(key);
        {
            let mut record = self.record.lock();
            if record.see(node.id) {
                record.groups.push(Group::One(node.id));
            }
        }
        let outcome = self
            .shared
            .ask(&self.request, node, Some(self.flight), Need::Value)
            .answer()
            .await;
        self.learn(outcome).map(|value| unpack::<K>(&value).clone())
    }

    /// The values of all `keys` in their order, computed in parallel, and later verified in parallel.
    ///
    /// # Errors
    /// As [`get`](Self::get): the first error in the order of the keys.
    pub async fn get_all<K: Key>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<K::Value>, GraphError> {
        let nodes: Vec<_> = keys
            .into_iter()
            .map(|key| self.shared.store.node(&key))
            .collect();
        {
            let mut record = self.record.lock();
            record.see_all();
            let new: Box<[NodeId]> = nodes
                .iter()
                .map(|node| node.id)
                .filter(|&id| record.seen.insert(id))
                .collect();
            match *new {
                [] => {}
                [one] => record.groups.push(Group::One(one)),
                _ => record.groups.push(Group::Many(new)),
            }
        }
        // All are under way before the first is waited for.
        let mut asks: Vec<_> = nodes
            .into_iter()
            .map(|node| {
                self.shared
                    .ask(&self.request, node, Some(self.flight), Need::Value)
            })
            .collect();
        let mut values = Vec::with_capacity(asks.len());
        for ask in &mut asks {
            let value = self.learn(ask.answer().await)?;
            values.push(unpack::<K>(&value).clone());
        }
        Ok(values)
    }

    fn learn(&self, outcome: Outcome) -> Result<AnyValue, GraphError> {
        if outcome.fleeting {
            self.mark_transient();
        }
        outcome.into_value()
    }

    /// Says that the result reflects something that will not last (a network error, a cancelled action):
    /// it is given to the askers of this revision, and never kept. The same then goes for what they make
    /// of it.
    pub fn mark_transient(&self) {
        self.record.lock().fleeting = true;
    }

    /// Says by what a later process can tell, without computing, that this leaf's value still holds: bytes
    /// that mean something to whoever [confirms](crate::Engine::begin_confirmed) leaves, such as a file's
    /// signature. Kept beside the value; none for what is no leaf.
    pub fn set_witness(&self, witness: impl Into<Box<[u8]>>) {
        self.record.lock().witness = Some(witness.into());
    }

    /// The value of type `T` that the request was begun with. Not a dependency.
    ///
    /// # Errors
    /// [`GraphError::MissingData`].
    pub fn data<T: Send + Sync + 'static>(&self) -> Result<&T, GraphError> {
        self.request.data.get()
    }

    /// The revision that this computation runs for.
    pub fn revision(&self) -> Revision {
        self.request.revision
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ctx({})", self.request.revision)
    }
}
