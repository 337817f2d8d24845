//! A computation under way, and those who wait for it.
//!
//! **Invariant:** a flight has at least one asker; when the last leaves before it is done, it is aborted
//! and no trace of it stays in the node.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::error::GraphError;
use crate::key::AnyValue;
use crate::revision::Revision;
use crate::store::NodeId;
use crate::sync::{AbortHandle, Notify, OnceLock};

/// Names a flight; never reused. A node has many in its life, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FlightId(pub(crate) u64);

/// What an asker gets.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// `None` where it was not asked for and is not at hand.
    pub(crate) value: Result<Option<AnyValue>, GraphError>,
    pub(crate) changed_at: Revision,
    /// Whether it serves this revision only, and so does what is computed from it.
    pub(crate) fleeting: bool,
}

impl Outcome {
    /// The value, for an asker that needs it.
    pub(crate) fn into_value(self) -> Result<AnyValue, GraphError> {
        self.value
            .map(|value| value.expect("asks that need a value end with one"))
    }
}

/// A computation under way.
pub(crate) struct Flight {
    pub(crate) id: FlightId,
    pub(crate) node: NodeId,
    /// The revision that it is computed for.
    pub(crate) revision: Revision,
    /// The latest revision when it started.
    pub(crate) latest: Revision,
    outcome: OnceLock<Outcome>,
    landed: Notify,
}

impl Flight {
    pub(crate) fn new(id: FlightId, node: NodeId, revision: Revision, latest: Revision) -> Self {
        Self {
            id,
            node,
            revision,
            latest,
            outcome: OnceLock::new(),
            landed: Notify::new(),
        }
    }

    /// Gives `outcome` to all who wait; only the first counts.
    pub(crate) fn land(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
        self.landed.notify_waiters();
    }

    pub(crate) async fn outcome(&self) -> Outcome {
        loop {
            // Made before looking, so that a landing between the look and the wait still wakes it.
            let landed = self.landed.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            landed.await;
        }
    }
}

/// A node's flight, as its node holds it.
pub(crate) struct Running {
    pub(crate) flight: Arc<Flight>,
    pub(crate) askers: usize,
    /// Not there yet while the first asker starts it.
    pub(crate) task: Option<AbortHandle>,
}

impl Running {
    /// Stops the task at its next `await`; the flight has ended already.
    pub(crate) fn abort(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

/// Hashes a single number: ids need no more than to be spread out.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

pub(crate) type IdHash = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // The fractional part of the golden ratio; the table takes its bits from both ends.
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
