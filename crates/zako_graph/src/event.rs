//! What the engine tells an observer, for tests, tracing and `explain`.

use std::fmt;

use crate::key::{AnyKey, Key};
use crate::revision::Revision;

/// What happened to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// Its `compute` ran, and the value is new or differs from the last.
    Computed,
    /// Its `compute` ran, and the value is the same as before: those who asked for it stay as they are.
    CutOff,
    /// Its `compute` did not run: nothing that it asked for has changed.
    Verified,
    /// It was asked for again in a revision in which it was already up to date.
    Reused,
    /// Its `compute` ran, and the value serves this revision only.
    Transient,
    /// It ended in a cycle or a panic.
    Failed,
    /// Its last asker went away before it was done.
    Cancelled,
}

/// One thing that happened to one node.
#[derive(Clone, Copy)]
pub struct EngineEvent<'a> {
    /// What happened.
    pub kind: EventKind,
    /// In which revision.
    pub revision: Revision,
    pub(crate) key: &'a dyn AnyKey,
}

impl EngineEvent<'_> {
    /// The key in words.
    pub fn describe(&self) -> String {
        self.key.describe()
    }

    /// The key, if it is a `K`.
    pub fn key<K: Key>(&self) -> Option<&K> {
        self.key.as_any().downcast_ref()
    }
}

impl fmt::Debug for EngineEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} in {}",
            self.kind,
            self.describe(),
            self.revision
        )
    }
}

/// Told about each node as things happen, on whatever thread they happen: be quick, and do not ask the
/// engine from in here.
pub trait Observer: Send + Sync + 'static {
    /// Called after the fact, outside of all locks, before the askers hear of it. A panic in here is dropped.
    fn event(&self, event: EngineEvent<'_>);
}

impl<F: Fn(EngineEvent<'_>) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: EngineEvent<'_>) {
        self(event);
    }
}
