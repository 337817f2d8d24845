//! Takes readings while somebody runs or waits, and sleeps otherwise.
//!
//! **Invariants:** at most one reading each [`INTERVAL`], and at most a fiftieth of one processor's time: on a machine with
//! many processes readings are slower and rarer. While a pool is idle its observer waits for a wake-up without a time limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Reading, Sources, Weather};

/// The shortest time between two readings.
const INTERVAL: Duration = Duration::from_millis(100);

/// How many times as long as a reading takes is waited until the next.
const REST_FACTOR: u32 = 50;

/// What the observer's thread and whoever wakes it share.
#[derive(Default)]
pub(crate) struct Bell {
    is_parked: AtomicBool,
    state: Mutex<BellState>,
    rung: Condvar,
}

#[derive(Default)]
struct BellState {
    is_rung: bool,
    is_over: bool,
}

impl Bell {
    /// Something was asked for. Costs one load unless the observer sleeps.
    pub(crate) fn ring(&self) {
        if self.is_parked.load(Ordering::Acquire) {
            self.state.lock().is_rung = true;
            self.rung.notify_one();
        }
    }

    fn end(&self) {
        self.state.lock().is_over = true;
        self.rung.notify_one();
    }

    /// Sleeps for `rest`, less if it is over. Says whether to go on.
    fn rest(&self, rest: Duration) -> bool {
        let mut state = self.state.lock();
        let end = Instant::now() + rest;
        while !state.is_over && !self.rung.wait_until(&mut state, end).timed_out() {}
        !state.is_over
    }

    /// Sleeps until rung, unless `is_busy` says at the last moment that there is something to do. Says whether to go on.
    fn park(&self, is_busy: impl Fn() -> bool) -> bool {
        self.is_parked.store(true, Ordering::SeqCst);
        // Whoever asked before the store did not ring, but is seen here.
        if !is_busy() {
            let mut state = self.state.lock();
            while !state.is_rung && !state.is_over {
                self.rung.wait(&mut state);
            }
        }
        self.is_parked.store(false, Ordering::SeqCst);
        let mut state = self.state.lock();
        state.is_rung = false;
        !state.is_over
    }
}

/// What an observer watches for. Held weakly by it: a pool that is gone ends its observer.
pub(crate) trait Observed: Send + Sync + 'static {
    /// Whether anything runs or waits.
    fn is_busy(&self) -> bool;
    /// Takes what was seen.
    fn observe(&self, weather: Weather, reading: Reading);
}

/// Keeps a pool informed of the machine's memory; dropping it ends that.
#[must_use = "dropping a watch ends it"]
pub struct Watch {
    bell: Arc<Bell>,
}

impl Watch {
    pub(crate) fn start(
        observed: std::sync::Weak<dyn Observed>,
        bell: Arc<Bell>,
        sources: Sources,
    ) -> std::io::Result<Self> {
        let its = Arc::clone(&bell);
        // The first look is taken here: whoever asks next is judged by it. What this process has started by then is of another time, and
        // looking for it would hold up the first action.
        let mut next = Some(sources.glance());
        if let (Some(now), Some(watched)) = (&next, observed.upgrade())
            && let Some(weather) = Weather::of(now, None)
        {
            watched.observe(weather, *now);
        }
        let look = move || {
            let mut before: Option<Reading> = None;
            loop {
                let began = Instant::now();
                let now = next.take().unwrap_or_else(|| sources.read());
                let Some(watched) = observed.upgrade() else {
                    return;
                };
                let Some(weather) = Weather::of(&now, before.as_ref()) else {
                    tracing::debug!("this system does not tell how much memory it has left");
                    return;
                };
                before = Some(now);
                watched.observe(weather, now);
                let rest = (began.elapsed() * REST_FACTOR).max(INTERVAL);
                let is_busy = watched.is_busy();
                drop(watched);
                let goes_on = match is_busy {
                    true => its.rest(rest),
                    // What was read a moment ago, before somebody asked, is as good as new.
                    false => {
                        its.park(|| observed.upgrade().is_some_and(|pool| pool.is_busy()))
                            && its.rest(INTERVAL.saturating_sub(began.elapsed()))
                    }
                };
                if !goes_on {
                    return;
                }
            }
        };
        // Not waited for: it ends as soon as it is told, and whoever ends a process need not see that.
        std::thread::Builder::new()
            .name("zako-weather".into())
            .stack_size(256 * 1024)
            .spawn(look)?;
        Ok(Self { bell })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bell.end();
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
