//! What the engine runs on.

pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::AtomicU64;

pub(crate) use parking_lot::Mutex;
pub(crate) use tokio::runtime::Handle;
pub(crate) use tokio::sync::Notify;
pub(crate) use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

/// Held by whoever computes.
pub(crate) type Turn = tokio::sync::Mutex<()>;

/// Counts tasks, which may outlive their flight until they notice that they were aborted.
pub(crate) struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
}

impl Tasks {
    pub(crate) fn new(runtime: Handle) -> Self {
        let tracker = TaskTracker::new();
        // Closed from the start: it then only counts, and its wait ends whenever the count is zero.
        tracker.close();
        Self { runtime, tracker }
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.tracker.spawn_on(work, &self.runtime).abort_handle()
    }

    /// Waits until there is none.
    pub(crate) async fn wait(&self) {
        self.tracker.wait().await;
    }
}
