//! Where work is done that reads disks and computes, so that it does not stand in the way of what waits.
//!
//! Handing such work to another thread and its result back costs two changes of threads, as much as all the file work around
//! a short process. So it is done on the thread that asks, as long as the runtime keeps another one for what waits.
//!
//! **Invariant:** as many pieces of work as there are processors are done at once, at most.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use zako_action::ExecuteError;

use crate::machine::processors;

/// Runs pieces of blocking work. Cheap to clone; clones share the bound.
#[derive(Clone, Debug)]
pub struct BlockingPool {
    permits: Arc<Semaphore>,
    /// Whether the runtime has more threads than pieces of work are done at once.
    is_inline: bool,
}

/// The work panicked, with this message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(String);

impl Panicked {
    fn of(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "it panicked".to_owned()))
    }
}

impl BlockingPool {
    /// A pool for the processors of this machine. Work is done on the threads of `runtime` when it has one more than
    /// there are processors, else on its threads for blocking work.
    #[must_use]
    pub fn new(runtime: &Handle) -> Self {
        let processors = processors();
        let is_inline = runtime.runtime_flavor() != RuntimeFlavor::CurrentThread
            && runtime.metrics().num_workers() > processors;
        Self {
            permits: Arc::new(Semaphore::new(processors)),
            is_inline,
        }
    }

    /// Runs `work` when there is room. Dropping the future before that means it never runs.
    ///
    /// # Errors
    /// [`Panicked`] when `work` did.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        // The semaphore is never closed, so a permit is all that comes of it.
        let _permit = self.permits.acquire().await;
        if self.is_inline {
            return catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked::of(&*panic));
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| match error.try_into_panic() {
            Ok(panic) => Panicked::of(&*panic),
            Err(error) => Panicked(error.to_string()),
        })
    }
}

impl BlockingPool {
    /// The same for work of an executor: that it panicked is an error of its own.
    ///
    /// # Errors
    /// What `work` says, and [`ExecuteError::Other`] with [`Panicked`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn execute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ExecuteError> + Send + 'static,
    ) -> Result<T, ExecuteError> {
        let done = self.run(work).await;
        done.unwrap_or_else(|panicked| Err(ExecuteError::Other(Box::new(panicked))))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn work_stays_on_its_thread_only_where_another_one_is_left() {
        let processors = processors();
        let is_same = |threads: usize| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(threads)
                .build()
                .unwrap();
            let task = async move {
                let pool = BlockingPool::new(&Handle::current());
                let here = thread::current().id();
                pool.run(move || thread::current().id() == here)
                    .await
                    .unwrap()
            };
            runtime.block_on(runtime.spawn(task)).unwrap()
        };
        assert!(is_same(processors + 1));
        assert!(!is_same(processors));
        let runtime = Builder::new_current_thread().build().unwrap();
        let pool = BlockingPool::new(runtime.handle());
        let here = thread::current().id();
        let there = runtime.block_on(pool.run(|| thread::current().id()));
        assert_ne!(there.unwrap(), here);
    }

    #[test]
    fn a_panic_is_an_error_and_gives_its_place_back() {
        let processors = processors();
        for threads in [1, processors + 1] {
            let runtime = Builder::new_multi_thread()
                .worker_threads(threads)
                .build()
                .unwrap();
            let pool = BlockingPool::new(runtime.handle());
            for _ in 0..=processors {
                let panicked = runtime.block_on(pool.run(|| panic!("as a test")));
                assert_eq!(panicked, Err::<(), _>(Panicked("as a test".to_owned())));
            }
            assert_eq!(runtime.block_on(pool.run(|| 1)), Ok(1));
        }
    }

    #[test]
    fn no_more_is_done_at_once_than_there_are_processors() {
        let processors = processors();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2 * processors + 1)
            .build()
            .unwrap();
        let pool = BlockingPool::new(runtime.handle());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (pool, now, most) = (pool.clone(), now.clone(), most.clone());
                runtime.spawn(async move {
                    let work = move || {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    };
                    pool.run(work).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
        assert!((1..=processors).contains(&most.load(Ordering::SeqCst)));
    }
}
