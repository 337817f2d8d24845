//! Trying again: which ends are worth it, how often, and how long to wait before.
//!
//! It must never know clocks, randomness or processes: it is told how something ended and gives a duration. What differs from one
//! waiter to another (jitter) comes from a seed.
//!
//! **Invariant:** no more than [`MAX_RETRIES`] retries, and no pause above the policy's longest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Exit;

/// The most retries of anything, whatever was declared.
pub const MAX_RETRIES: u32 = 10;

/// Ends that are worth another try. None of them: a failure is final.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryCauses {
    /// Any exit code but zero.
    pub any_code: bool,
    /// These exit codes.
    pub codes: Vec<i32>,
    /// Any signal that the process did not get from zako.
    pub any_signal: bool,
    /// These signals.
    pub signals: Vec<i32>,
    /// Running out of time.
    pub timeout: bool,
}

impl RetryCauses {
    /// Every way to end badly.
    #[must_use]
    pub fn all() -> Self {
        Self {
            any_code: true,
            any_signal: true,
            timeout: true,
            ..Self::default()
        }
    }

    /// Whether this end is one of them. A good end never is.
    #[must_use]
    pub fn include(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(0) => false,
            Exit::Code(code) => self.any_code || self.codes.contains(&code),
            Exit::Signal(signal) => self.any_signal || self.signals.contains(&signal),
            Exit::TimedOut { .. } => self.timeout,
        }
    }
}

/// How often, on what, and how far apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Tries after the first one; above [`MAX_RETRIES`] counts as that.
    pub retries: u32,
    /// What is tried again.
    pub causes: RetryCauses,
    /// The pause before the first retry, without jitter; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    /// Never again; for those who set `retries`: on every bad end, after a tenth of a second at first and ten seconds at most.
    fn default() -> Self {
        Self {
            retries: 0,
            causes: RetryCauses::all(),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// The same, with so many retries.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long to wait before trying again after attempt number `attempt` (from 0) ended so; `None`: do not.
    ///
    /// The pause is between half of the full one and all of it, by `seed` and the attempt: many that failed together
    /// do not come back together, and the same seed gives the same pauses.
    #[must_use]
    pub fn pause_after(&self, attempt: u32, exit: Exit, seed: u64) -> Option<Duration> {
        if attempt >= self.retries.min(MAX_RETRIES) || !self.causes.include(exit) {
            return None;
        }
        Some(self.pause(attempt, seed))
    }

    /// The pause after that many earlier failures.
    #[must_use]
    pub fn pause(&self, failures: u32, seed: u64) -> Duration {
        let factor = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
        let full = self
            .first_pause
            .saturating_mul(factor)
            .min(self.longest_pause);
        let chance = splitmix(seed.wrapping_add(u64::from(failures))) >> 32;
        // From 0 to just below a half.
        let part = u32::try_from(chance).unwrap_or(0) / 2;
        full - full.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }
}

/// Bits without a pattern, from bits with one (the finaliser of Vigna's splitmix64).
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Exit = Exit::TimedOut {
        after: Duration::from_secs(1),
    };

    #[test]
    fn only_named_causes_are_tried_again() {
        let causes = RetryCauses {
            codes: vec![75],
            signals: vec![7],
            ..RetryCauses::default()
        };
        assert!(causes.include(Exit::Code(75)) && causes.include(Exit::Signal(7)));
        assert!(!causes.include(Exit::Code(1)) && !causes.include(Exit::Signal(9)));
        assert!(!causes.include(LATE) && RetryCauses::all().include(LATE));
        assert!(!RetryCauses::all().include(Exit::Code(0)));
        let policy = RetryPolicy {
            causes,
            ..RetryPolicy::default().with_retries(3)
        };
        assert!(policy.pause_after(0, Exit::Code(75), 1).is_some());
        assert_eq!(policy.pause_after(0, Exit::Code(1), 1), None);
        assert_eq!(policy.pause_after(3, Exit::Code(75), 1), None);
    }

    #[test]
    fn retries_are_bounded_whatever_is_declared() {
        let policy = RetryPolicy::default().with_retries(u32::MAX);
        assert!(policy.pause_after(MAX_RETRIES - 1, LATE, 1).is_some());
        assert_eq!(policy.pause_after(MAX_RETRIES, LATE, 1), None);
    }

    #[test]
    fn pauses_double_within_their_jitter_and_stop_at_the_longest() {
        let policy = RetryPolicy::default();
        for seed in 0..200 {
            for (failures, full) in [(0, 100), (1, 200), (5, 3200), (7, 10_000), (40, 10_000)] {
                let pause = policy.pause(failures, seed);
                let full = Duration::from_millis(full);
                assert!(pause <= full && pause >= full / 2, "{pause:?} of {full:?}");
            }
        }
        let firsts: std::collections::BTreeSet<_> = (0..200).map(|s| policy.pause(0, s)).collect();
        assert!(firsts.len() > 190, "{}", firsts.len());
        assert_eq!(policy.pause(3, 7), policy.pause(3, 7));
    }
}
