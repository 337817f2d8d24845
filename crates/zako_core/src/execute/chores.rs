//! What nobody waits for before an action runs, and is done beside it.
//!
//! **Invariant:** nothing of it is left when the execution ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use zako_action::ActionCache;
use zako_cas::Store;
use zako_exec::BlockingPool;

use super::place;

/// The chores of one execution.
#[derive(Debug, Default)]
pub(super) struct Chores {
    /// Whether store and cache were told that they will be written.
    is_ready: AtomicBool,
    begun: Mutex<Vec<JoinHandle<()>>>,
}

impl Chores {
    /// Gets `store` and `cache` ready to be written, once, and removes `old` outputs.
    pub(super) fn begin(
        &self,
        pool: &BlockingPool,
        (store, cache): (&Store, &ActionCache),
        old: Vec<PathBuf>,
    ) {
        let is_first = !self.is_ready.swap(true, Ordering::Relaxed);
        if !is_first && old.is_empty() {
            return;
        }
        let (pool, store, cache) = (pool.clone(), store.clone(), cache.clone());
        let chores = move || {
            if is_first {
                // Whoever writes there tells what is wrong.
                let _told_later = cache.reserve();
                let _told_later = store.reserve();
            }
            place::remove_old(&old);
        };
        let chores = tokio::spawn(async move {
            if let Err(panic) = pool.run(chores).await {
                tracing::warn!(%panic, "what goes on beside actions");
            }
        });
        self.begun.lock().push(chores);
    }

    /// Waits for what was begun.
    pub(super) async fn end(&self) {
        let begun = std::mem::take(&mut *self.begun.lock());
        for chores in begun {
            let _it_panicked = chores.await;
        }
    }
}
