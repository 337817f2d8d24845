//! What the engine runs on in models: shuttle's threads, tasks, locks and counters.
//!
//! Each use is a point at which any other thread or task may go on instead. Those of tokio are its own, and
//! one step each, after such a point. All orders are those of one memory: what a weaker ordering of an atomic
//! would allow on top is not tried.

use std::sync::PoisonError;

pub(crate) use shuttle::future::AbortHandle;
use shuttle::sync::MutexGuard;
pub(crate) use shuttle::sync::atomic::AtomicU64;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::futures::Notified;
use tokio_util::task::TaskTracker;

/// Stands for the one runtime that there is in a model.
#[derive(Clone, Debug)]
pub struct Handle;

/// Where others may go on.
#[derive(Default)]
struct Point(AtomicBool);

impl Point {
    fn pass(&self) {
        self.0.load(Ordering::SeqCst);
    }
}

/// As that of `parking_lot`, which knows no poison.
#[derive(Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct OnceLock<T> {
    point: Point,
    inner: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            point: Point::default(),
            inner: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.point.pass();
        self.inner.set(value)
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.point.pass();
        self.inner.get()
    }
}

pub(crate) struct Notify {
    point: Point,
    inner: tokio::sync::Notify,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self {
            point: Point::default(),
            inner: tokio::sync::Notify::new(),
        }
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        self.point.pass();
        self.inner.notified()
    }

    pub(crate) fn notify_waiters(&self) {
        self.point.pass();
        self.inner.notify_waiters();
    }
}

#[derive(Default)]
pub(crate) struct Turn {
    point: Point,
    inner: tokio::sync::Mutex<()>,
}

impl Turn {
    pub(crate) async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.point.pass();
        self.inner.lock().await
    }
}

pub(crate) struct Tasks(TaskTracker);

impl Tasks {
    pub(crate) fn new(Handle: Handle) -> Self {
        let tracker = TaskTracker::new();
        tracker.close();
        Self(tracker)
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        shuttle::future::spawn(self.0.track_future(work)).abort_handle()
    }

    pub(crate) async fn wait(&self) {
        self.0.wait().await;
    }
}
