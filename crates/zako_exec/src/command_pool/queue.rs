//! Who is next: an intake that any thread puts into, and the order in which what came in is run.
//!
//! The intake is a deque behind a lock, chosen by `benches/queue.rs` over crossbeam's lock-free queue: it is emptied as a whole,
//! which one swap does. To pass 8,192 commands from 1, 2, 4 or 8 threads took 246, 267, 293 and 394 microseconds at best, where the
//! lock-free queue took 420, 387, 475 and 608.
//!
//! **Invariant:** higher priority first, then age. Who does not fit is overtaken by at most [`MAX_OVERTAKES`] that do; then
//! everybody behind waits for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use crate::Priority;

/// How many commands may wait at once.
pub const MAX_QUEUED: usize = 1 << 16;

/// How many commands may overtake the first that does not fit.
const MAX_OVERTAKES: u32 = 64;

/// What came in and was not looked at.
pub(super) struct Intake<T>(Mutex<VecDeque<T>>);

impl<T> Default for Intake<T> {
    fn default() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }
}

impl<T> Intake<T> {
    pub(super) fn push(&self, item: T) {
        self.0.lock().push_back(item);
    }

    /// All of it, in order.
    pub(super) fn take_all(&self) -> VecDeque<T> {
        std::mem::take(&mut self.0.lock())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// What waits, in order.
pub(super) struct Ready<T> {
    waiting: BTreeMap<(Reverse<Priority>, u64), (T, u32)>,
    next: u64,
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> Ready<T> {
    pub(super) fn push(&mut self, priority: Priority, item: T) {
        self.waiting
            .insert((Reverse(priority), self.next), (item, 0));
        self.next += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes out all for which `is_gone`.
    pub(super) fn take_if(&mut self, is_gone: impl Fn(&T) -> bool) -> Vec<T> {
        let gone = self.waiting.extract_if(.., |_, (item, _)| is_gone(item));
        gone.map(|(_, (item, _))| item).collect()
    }

    /// Takes the first out that gets a permit, with that.
    pub(super) fn next<P>(&mut self, permit: impl Fn(&T) -> Option<P>) -> Option<(T, P)> {
        let mut found = None;
        for (rank, (item, overtaken)) in &mut self.waiting {
            if let Some(permit) = permit(item) {
                found = Some((*rank, permit));
                break;
            }
            if *overtaken >= MAX_OVERTAKES {
                break;
            }
        }
        let (rank, permit) = found?;
        for (_, (_, overtaken)) in self.waiting.range_mut(..rank) {
            *overtaken += 1;
        }
        let (item, _) = self.waiting.remove(&rank)?;
        Some((item, permit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes with `room`; the item itself is its size.
    fn next(ready: &mut Ready<u32>, room: u32) -> Option<u32> {
        ready
            .next(|size| (*size <= room).then_some(()))
            .map(|(item, ())| item)
    }

    #[test]
    fn priority_then_age_and_small_ones_overtake() {
        let mut ready = Ready::default();
        for (priority, size) in [(0, 3), (5, 9), (0, 2), (5, 1)] {
            ready.push(Priority(priority), size);
        }
        assert_eq!(next(&mut ready, 4), Some(1));
        assert_eq!(next(&mut ready, 4), Some(3));
        assert_eq!(next(&mut ready, 9), Some(9));
        assert_eq!(next(&mut ready, 1), None);
        assert_eq!(next(&mut ready, 9), Some(2));
        assert!(ready.is_empty());
    }

    #[test]
    fn who_was_overtaken_too_often_is_waited_for() {
        let mut ready = Ready::default();
        ready.push(Priority(0), 9);
        for _ in 0..MAX_OVERTAKES {
            ready.push(Priority(0), 1);
            assert_eq!(next(&mut ready, 1), Some(1));
        }
        ready.push(Priority(0), 1);
        assert_eq!(next(&mut ready, 1), None);
        assert_eq!(next(&mut ready, 9), Some(9));
        assert_eq!(next(&mut ready, 1), Some(1));
    }

    #[test]
    fn what_is_given_up_is_taken_out() {
        let mut ready = Ready::default();
        (0..4).for_each(|size| ready.push(Priority(0), size));
        assert_eq!(ready.take_if(|size| size % 2 == 0), [0, 2]);
        assert_eq!(next(&mut ready, 9), Some(1));
    }
}
