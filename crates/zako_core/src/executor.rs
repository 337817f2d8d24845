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
pub use zako_exec::BreakerOptions;
use zako_exec::{Breaker, GuardedExecutor};

type Wrap = dyn Fn(Box<dyn Executor>, &Store) -> Box<dyn Executor> + Send + Sync;

/// Puts an executor of the embedder's around zako's own: in [`GlobalStateOptions`](crate::GlobalStateOptions).
///
/// It is called for each action that is a process, with the executor that would run it and the store that outputs belong in.
/// What it returns may hand the job on as it is or changed, do the work itself, or refuse it. Keys do not know of it: what it
/// makes of a job must be what the job's command would have made.
#[derive(Clone)]
pub struct ExecutorLayer {
    wrap: Arc<Wrap>,
    breaker: Option<Arc<Breaker>>,
}

impl ExecutorLayer {
    /// The layer that `wrap` makes.
    pub fn new(
        wrap: impl Fn(Box<dyn Executor>, &Store) -> Box<dyn Executor> + Send + Sync + 'static,
    ) -> Self {
        ExecutorLayer {
            wrap: Arc::new(wrap),
            breaker: None,
        }
    }

    /// With a circuit breaker around what it makes: a job that fails by [`ExecuteError::Other`], which is an executor's own fault
    /// (a server that does not answer), is run by zako's own executor instead. After as many in a row as `options` say, all are,
    /// but for a trial after each pause. Clones share the breaker. Without this such an error fails the action.
    #[must_use]
    pub fn guarded(mut self, options: BreakerOptions) -> Self {
        self.breaker = Some(Arc::new(Breaker::new(options)));
        self
    }

    /// Around what `own` makes, which may be asked for twice.
    pub(crate) fn around(
        &self,
        own: impl Fn() -> Box<dyn Executor>,
        store: &Store,
    ) -> Box<dyn Executor> {
        let wrapped = (self.wrap)(own(), store);
        match &self.breaker {
            None => wrapped,
            Some(breaker) => Box::new(GuardedExecutor::new(breaker.clone(), wrapped, own())),
        }
    }
}

impl fmt::Debug for ExecutorLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExecutorLayer")
    }
}
