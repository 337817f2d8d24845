//! A circuit breaker: something that keeps failing is left alone for a while, then tried with one piece of work.
//!
//! It must never know what fails, nor read a clock: moments are handed in.
//!
//! **Invariants:** all changes go through [`transition`]. While it is half open exactly one trial is out, and a trial that was
//! given up lets the next one begin.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// When it opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it; at least one.
    pub failures: u32,
    /// How long it stays open the first time; twice as long after each trial that fails.
    pub pause: Duration,
    /// The longest that it stays open.
    pub longest_pause: Duration,
}

impl Default for BreakerOptions {
    /// Five failures in a row, one second, a minute.
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// What a breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All work passes; so many failures in a row were seen.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// Nothing passes until then.
    Open {
        /// When a trial may begin.
        until: Instant,
        /// How long it is open this time.
        pause: Duration,
    },
    /// One trial is out, nothing else passes.
    HalfOpen {
        /// How long it was open before.
        pause: Duration,
    },
}

/// What happens to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerEvent {
    /// Somebody wants to pass.
    Ask,
    /// What passed went well.
    Succeeded,
    /// What passed failed, by a fault of what is behind the breaker.
    Failed,
    /// What passed came to nothing that says anything: it was cancelled.
    GaveUp,
}

/// The one place where a breaker's state changes: the next state, and for [`BreakerEvent::Ask`] whether it may pass.
#[must_use]
pub fn transition(
    options: &BreakerOptions,
    state: BreakerState,
    event: BreakerEvent,
    now: Instant,
) -> (BreakerState, bool) {
    use BreakerEvent::{Ask, Failed, GaveUp, Succeeded};
    use BreakerState::{Closed, HalfOpen, Open};
    let open = |pause: Duration| {
        let pause = pause.min(options.longest_pause);
        Open {
            until: now + pause,
            pause,
        }
    };
    match (state, event) {
        (Closed { .. }, Ask) => (state, true),
        (Closed { .. }, Succeeded) => (Closed { failures: 0 }, false),
        (Closed { failures }, Failed) => match failures + 1 >= options.failures {
            true => (open(options.pause), false),
            false => (
                Closed {
                    failures: failures + 1,
                },
                false,
            ),
        },
        (Open { until, pause }, Ask) if now >= until => (HalfOpen { pause }, true),
        (HalfOpen { .. }, Succeeded) => (Closed { failures: 0 }, false),
        (HalfOpen { pause }, Failed) => (open(pause.saturating_mul(2)), false),
        (HalfOpen { pause }, GaveUp) => (Open { until: now, pause }, false),
        // Work from before it opened ends late and changes nothing.
        (Closed { .. } | Open { .. }, _) | (HalfOpen { .. }, Ask) => (state, false),
    }
}

/// A breaker that many may use.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    state: Mutex<BreakerState>,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(options: BreakerOptions) -> Self {
        Self {
            options,
            state: Mutex::new(BreakerState::Closed { failures: 0 }),
        }
    }

    /// Lets work pass, or not (`None`). Whoever passes says by the [`Passage`] how it went.
    pub fn ask(&self, now: Instant) -> Option<Passage<'_>> {
        // Made only when it passes: dropping one gives the trial up.
        self.apply(BreakerEvent::Ask, now).then(|| Passage {
            breaker: self,
            is_over: false,
        })
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        *self.state.lock()
    }

    fn apply(&self, event: BreakerEvent, now: Instant) -> bool {
        let mut state = self.state.lock();
        let (next, passes) = transition(&self.options, *state, event, now);
        *state = next;
        passes
    }
}

/// Leave to pass a breaker. Dropping it says nothing of how it went.
#[derive(Debug)]
#[must_use = "the breaker wants to know how it went"]
pub struct Passage<'a> {
    breaker: &'a Breaker,
    is_over: bool,
}

impl Passage<'_> {
    /// It went well.
    pub fn succeeded(mut self, now: Instant) {
        self.is_over = true;
        self.breaker.apply(BreakerEvent::Succeeded, now);
    }

    /// It failed, by a fault of what is behind the breaker.
    pub fn failed(mut self, now: Instant) {
        self.is_over = true;
        self.breaker.apply(BreakerEvent::Failed, now);
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.breaker.apply(BreakerEvent::GaveUp, Instant::now());
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(failures: u32) -> Breaker {
        Breaker::new(BreakerOptions {
            failures,
            pause: SECOND,
            longest_pause: 3 * SECOND,
        })
    }

    #[test]
    fn failures_in_a_row_open_it_and_successes_in_between_do_not() {
        let (breaker, now) = (breaker(2), Instant::now());
        breaker.ask(now).unwrap().failed(now);
        breaker.ask(now).unwrap().succeeded(now);
        breaker.ask(now).unwrap().failed(now);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 1 });
        breaker.ask(now).unwrap().failed(now);
        assert!(breaker.ask(now).is_none());
        assert!(breaker.ask(now + SECOND / 2).is_none());
    }

    #[test]
    fn one_trial_decides_and_pauses_double_up_to_the_longest() {
        let (breaker, mut now) = (breaker(1), Instant::now());
        breaker.ask(now).unwrap().failed(now);
        for pause in [1, 2, 3] {
            assert!(
                breaker.ask(now + SECOND * pause - SECOND / 9).is_none(),
                "{pause}"
            );
            now += SECOND * pause;
            let trial = breaker.ask(now).unwrap();
            assert!(breaker.ask(now).is_none(), "one trial at a time");
            trial.failed(now);
        }
        now += SECOND * 3;
        breaker.ask(now).unwrap().succeeded(now);
        assert_eq!(breaker.state(), BreakerState::Closed { failures: 0 });
    }

    #[test]
    fn a_trial_that_is_given_up_lets_another_begin() {
        let (breaker, now) = (breaker(1), Instant::now());
        breaker.ask(now).unwrap().failed(now);
        let later = now + SECOND;
        drop(breaker.ask(later).unwrap());
        let now = Instant::now().max(later);
        assert!(breaker.ask(now).is_some());
    }

    #[test]
    fn what_ends_late_changes_nothing() {
        let (breaker, now) = (breaker(1), Instant::now());
        let (late, early) = (breaker.ask(now).unwrap(), breaker.ask(now).unwrap());
        early.failed(now);
        late.succeeded(now);
        assert!(breaker.ask(now).is_none());
    }
}
