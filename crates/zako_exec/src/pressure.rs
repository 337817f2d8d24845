//! Short of memory or not: what the machine says, what that means for work that wants to start, and who keeps looking.
//!
//! [`reading`] reads the system, [`Weather`] is what a reading means, [`observer`] takes readings while there is something to
//! decide. None of them knows who waits: the pool's ledger asks the weather for each request.
//!
//! **Invariant:** whatever the weather, work is admitted while nothing else of this pool runs, so nobody waits for ever.

mod observer;
mod reading;

pub use observer::Watch;
pub(crate) use observer::{Bell, Observed};
pub(crate) use reading::Crew;
pub use reading::{Pulse, Reading, Sources};

/// Memory that is left to everybody else, as a part of all there is (a twentieth), within these bounds in bytes.
const MARGIN_PART: u64 = 20;
const MARGIN_MIN: u64 = 8 << 20;
const MARGIN_MAX: u64 = 1 << 30;

/// Processes that stand still for want of memory for more than this part of the time (in thousandths) are a sign of thrashing.
const STALLED_PERMILLE: u64 = 100;

/// What the last look at the machine means for admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Bytes that can be handed out before the machine, or the narrowest control group, is short, less a margin.
    pub headroom: u64,
    /// Bytes that processes below this one hold already.
    pub ours: u64,
    /// Whether processes stand still for want of memory.
    pub is_stalled: bool,
}

impl Weather {
    /// What `now` means, after `before` was read earlier; `None` when the system tells nothing of its memory.
    #[must_use]
    pub fn of(now: &Reading, before: Option<&Reading>) -> Option<Self> {
        let total = now.total?;
        let available = now.available?.min(now.group_headroom.unwrap_or(u64::MAX));
        let whole = total.min(now.group_limit.unwrap_or(u64::MAX));
        let margin = (whole / MARGIN_PART).clamp(MARGIN_MIN, MARGIN_MAX);
        let is_stalled = before.is_some_and(|before| {
            let (Some(now_us), Some(before_us)) = (now.stalled_us, before.stalled_us) else {
                return false;
            };
            let elapsed = now.at.saturating_duration_since(before.at).as_micros();
            let stalled = u128::from(now_us.saturating_sub(before_us));
            elapsed > 0 && stalled * 1000 > elapsed * u128::from(STALLED_PERMILLE)
        });
        Some(Self {
            headroom: available.saturating_sub(margin),
            ours: now.ours,
            is_stalled,
        })
    }

    /// Whether work that wants `demand` bytes may start beside work that was promised `promised`.
    ///
    /// What was promised and is not used yet will be: only the rest of the headroom is there for somebody else. Work that
    /// wants no memory is not held up.
    #[must_use]
    pub fn has_room_for(&self, demand: u64, promised: u64) -> bool {
        let expected = promised.saturating_sub(self.ours);
        demand == 0 || (!self.is_stalled && expected.saturating_add(demand) <= self.headroom)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn reading(available: u64) -> Reading {
        Reading {
            at: Instant::now(),
            total: Some(2000 * MIB),
            available: Some(available * MIB),
            group_limit: None,
            group_headroom: None,
            stalled_us: Some(0),
            ours: 0,
        }
    }

    #[test]
    fn a_margin_is_left_and_the_narrower_of_machine_and_group_counts() {
        let weather = Weather::of(&reading(500), None).unwrap();
        assert_eq!(weather.headroom, 400 * MIB);
        let mut group = reading(500);
        (group.group_limit, group.group_headroom) = (Some(200 * MIB), Some(150 * MIB));
        let weather = Weather::of(&group, None).unwrap();
        assert_eq!(weather.headroom, 140 * MIB);
        group.total = None;
        assert_eq!(Weather::of(&group, None), None);
    }

    #[test]
    fn what_is_promised_and_not_used_yet_is_not_free() {
        let weather = Weather {
            headroom: 100,
            ours: 30,
            is_stalled: false,
        };
        // Of 90 promised, 60 will still be taken from the headroom.
        assert!(weather.has_room_for(40, 90));
        assert!(!weather.has_room_for(41, 90));
        // What grew beyond its promise has left the headroom already.
        assert!(weather.has_room_for(100, 10));
        assert!(weather.has_room_for(0, u64::MAX));
    }

    #[test]
    fn standing_still_holds_up_whatever_wants_memory() {
        let before = reading(500);
        let mut now = reading(500);
        now.at = before.at + Duration::from_millis(100);
        now.stalled_us = Some(10_000);
        assert!(!Weather::of(&now, Some(&before)).unwrap().is_stalled);
        now.stalled_us = Some(10_001);
        let weather = Weather::of(&now, Some(&before)).unwrap();
        assert!(weather.is_stalled);
        assert!(!weather.has_room_for(1, 0));
        assert!(weather.has_room_for(0, 0));
        // Without an earlier reading there is no rate.
        assert!(!Weather::of(&now, None).unwrap().is_stalled);
    }
}
