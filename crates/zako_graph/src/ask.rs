//! One asker's wait for one node.

use std::sync::Arc;

use crate::engine::Shared;
use crate::flight::{Flight, FlightId, Outcome};
use crate::request::RequestState;
use crate::store::Node;

/// What an asker needs of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Whether it has changed.
    Verdict,
    /// Its value too, which one that was restored need not have.
    Value,
}

/// Where an ask stands.
pub(crate) enum Stage {
    Answered(Outcome),
    Waiting(Arc<Flight>),
}

/// One asker's wait for one node. Dropping it takes the ask back.
pub(crate) struct Ask<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) request: &'a Arc<RequestState>,
    pub(crate) node: Arc<Node>,
    pub(crate) asker: Option<FlightId>,
    pub(crate) need: Need,
    pub(crate) stage: Stage,
}

impl Ask<'_> {
    pub(crate) async fn answer(&mut self) -> Outcome {
        loop {
            let (outcome, revision) = match &self.stage {
                Stage::Answered(outcome) => return outcome.clone(),
                Stage::Waiting(flight) => (flight.outcome().await, flight.revision),
            };
            self.leave();
            // A flight of an older request says nothing yet about this revision, and one that was only to
            // verify may have no value.
            let enough = self.need == Need::Verdict || !matches!(outcome.value, Ok(None));
            self.stage = if revision >= self.request.revision && enough {
                Stage::Answered(outcome)
            } else {
                self.shared
                    .stage(self.request, &self.node, self.asker, self.need)
            };
        }
    }

    fn leave(&self) {
        let Stage::Waiting(flight) = &self.stage else {
            return;
        };
        self.shared.leave(&self.node, flight, self.asker);
    }
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
