//! The task of a flight.
//!
//! **Invariant:** however a task ends, its flight is settled.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use crate::ask::Need;
use crate::engine::{Ending, Shared};
use crate::error::GraphError;
use crate::flight::Flight;
use crate::request::RequestState;
use crate::store::Node;

/// The task of a flight. However it ends, even dropped before it began, its flight is settled.
pub(crate) struct FlightTask {
    pub(crate) shared: Arc<Shared>,
    pub(crate) request: Arc<RequestState>,
    pub(crate) node: Arc<Node>,
    pub(crate) flight: Arc<Flight>,
    /// What its first asker needs.
    pub(crate) need: Need,
}

impl FlightTask {
    pub(crate) async fn run(self) {
        let Self {
            shared,
            request,
            node,
            flight,
            need,
        } = &self;
        let _turn = node.turn.lock().await;
        let work = AssertUnwindSafe(shared.work(request, node, flight.id, *need)).catch_unwind();
        let ending = work.await.unwrap_or_else(|panic| {
            let message = message_of(&*panic);
            Ending::Failed(GraphError::Panicked {
                key: node.key.describe(),
                message,
            })
        });
        shared.settle(node, flight, ending);
    }
}

impl Drop for FlightTask {
    fn drop(&mut self) {
        // Somebody still waits and nobody aborted it: the runtime shuts down.
        self.shared.settle(
            &self.node,
            &self.flight,
            Ending::Failed(GraphError::Cancelled),
        );
    }
}

/// What a panic said, as far as it was text.
fn message_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
