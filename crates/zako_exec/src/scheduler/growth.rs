//! What is added to a plan while it runs.
//!
//! It must never know why. **Invariant:** what is added needs nodes that were there before, or others that are added with it, so a
//! plan that grows has no cycle either.

use parking_lot::Mutex;

use crate::{Plan, PlanId};

/// Nodes that are added to a plan together.
#[derive(Debug)]
pub struct Extension {
    /// The nodes, and what they need of one another. In the whole they follow those that were there.
    pub plan: Plan,
    /// What they need of earlier ones: a node as `plan` numbers it, and one as the whole does.
    pub needs: Vec<(PlanId, PlanId)>,
}

/// Takes what is to be added, from nodes that run. What is added first is numbered first; whoever numbers nodes adds them in turn.
#[derive(Debug, Default)]
pub struct Growth(Mutex<Vec<Extension>>);

impl Growth {
    /// Adds nodes to the plan that runs, or is about to.
    pub fn add(&self, extension: Extension) {
        self.0.lock().push(extension);
    }

    /// What was added since this was last asked.
    pub(super) fn take(&self) -> Vec<Extension> {
        std::mem::take(&mut *self.0.lock())
    }
}
