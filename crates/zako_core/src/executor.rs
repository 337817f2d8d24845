//! What an embedder needs to run actions its own way.
//!
//! An executor is handed a [`Job`] that may start now: planned, keyed, not in the cache, and admitted. What it gives is checked,
//! recorded and put in place as if zako had run it. Fetching, copying and script actions are zako's own work and never come to it.

use std::fmt;
use std::sync::Arc;

pub use zako_action::{
    ActionBody, ActionSpec, ExecuteError, Executed, Executor, Exit, Job, OutputFile, OutputKind,
    OutputSink, OutputSpec, Prepared, Produced, Recording, RecordingExecutor, ResolvedTool, Stream,
    Usage,
};
pub use zako_cas::{Digest, Store};

type Wrap = dyn Fn(Box<dyn Executor>, &Store) -> Box<dyn Executor> + Send + Sync;

/// Puts an executor of the embedder's around zako's own: in [`GlobalStateOptions`](crate::GlobalStateOptions).
///
/// It is called for each action that is a process, with the executor that would run it and the store that outputs belong in.
/// What it returns may hand the job on as it is or changed, do the work itself, or refuse it. Keys do not know of it: what it
/// makes of a job must be what the job's command would have made.
#[derive(Clone)]
pub struct ExecutorLayer(Arc<Wrap>);

impl ExecutorLayer {
    /// The layer that `wrap` makes.
    pub fn new(
        wrap: impl Fn(Box<dyn Executor>, &Store) -> Box<dyn Executor> + Send + Sync + 'static,
    ) -> Self {
        ExecutorLayer(Arc::new(wrap))
    }

    pub(crate) fn around(&self, inner: Box<dyn Executor>, store: &Store) -> Box<dyn Executor> {
        (self.0)(inner, store)
    }
}

impl fmt::Debug for ExecutorLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExecutorLayer")
    }
}
