//! An executor that may fail by itself, behind a circuit breaker, with another one for when it does.
//!
//! It must never know what an executor does. **Invariant:** each job is handed to the first at most once and to the second at most
//! once, and only an error of the executor's own counts: what an action did wrong says nothing against who ran it.

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_action::{ExecuteError, Executed, Executor, Job, OutputSink};

use crate::breaker::Breaker;

/// Runs actions with `first`, and with `second` what that fails at by a fault of its own ([`ExecuteError::Other`]); while it
/// keeps failing it is left alone, but for a trial now and then.
pub struct GuardedExecutor<A, B> {
    breaker: Arc<Breaker>,
    first: A,
    second: B,
}

impl<A: Executor, B: Executor> GuardedExecutor<A, B> {
    /// Executors that fail together share a breaker.
    #[must_use]
    pub fn new(breaker: Arc<Breaker>, first: A, second: B) -> Self {
        Self {
            breaker,
            first,
            second,
        }
    }

    async fn run(
        &self,
        job: &Job,
        sink: &dyn OutputSink,
        cancel: &CancellationToken,
    ) -> Result<Executed, ExecuteError> {
        if let Some(passage) = self.breaker.ask(Instant::now()) {
            match self.first.execute(job, sink, cancel).await {
                // Says nothing of it: dropping the passage lets another trial begin.
                Err(ExecuteError::Cancelled) => return Err(ExecuteError::Cancelled),
                Err(ExecuteError::Other(error)) => {
                    tracing::warn!(action = job.action.spec.owner, %error, "an executor failed; another one runs its action");
                    passage.failed(Instant::now());
                }
                ended => {
                    passage.succeeded(Instant::now());
                    return ended;
                }
            }
        }
        self.second.execute(job, sink, cancel).await
    }
}

impl<A: Executor, B: Executor> Executor for GuardedExecutor<A, B> {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        self.run(job, sink, cancel).boxed()
    }
}
