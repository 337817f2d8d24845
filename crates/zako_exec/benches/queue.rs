//! Which intake the command pool has: a deque behind a lock, or crossbeam's lock-free queue.
//!
//! A sample is 8,192 items put in by 1, 2, 4 or 8 threads and taken out by one that takes all there is at a time, as the pool's
//! dispatcher does.
//!
//! The fastest of 100 samples on two processors (which others used, too, so medians say little), in microseconds:
//!
//! | producers | locked deque | lock-free |
//! |---|---|---|
//! | 1 | 246 | 420 |
//! | 2 | 267 | 387 |
//! | 4 | 293 | 475 |
//! | 8 | 394 | 608 |
#![expect(clippy::unwrap_used, reason = "benches")]

use std::collections::VecDeque;
use std::thread;

use crossbeam_queue::SegQueue;
use divan::{Bencher, black_box};
use parking_lot::Mutex;

const ITEMS: usize = 8192;
const PRODUCERS: [usize; 4] = [1, 2, 4, 8];

fn main() {
    divan::main();
}

/// As large as what the pool keeps of a command.
struct Item([usize; 32]);

trait Intake: Sync + Default {
    fn push(&self, item: Item);
    fn take_all(&self, into: &mut Vec<Item>);
}

#[derive(Default)]
struct Locked(Mutex<VecDeque<Item>>);

impl Intake for Locked {
    fn push(&self, item: Item) {
        self.0.lock().push_back(item);
    }
    fn take_all(&self, into: &mut Vec<Item>) {
        let all = std::mem::take(&mut *self.0.lock());
        into.extend(all);
    }
}

#[derive(Default)]
struct LockFree(SegQueue<Item>);

impl Intake for LockFree {
    fn push(&self, item: Item) {
        self.0.push(item);
    }
    fn take_all(&self, into: &mut Vec<Item>) {
        while let Some(item) = self.0.pop() {
            into.push(item);
        }
    }
}

fn pass<Q: Intake>(bencher: Bencher<'_, '_>, producers: usize) {
    bencher.bench(|| {
        let queue = Q::default();
        let mut taken = Vec::with_capacity(ITEMS);
        thread::scope(|scope| {
            for _ in 0..producers {
                scope.spawn(|| (0..ITEMS / producers).for_each(|n| queue.push(Item([n; 32]))));
            }
            while taken.len() < ITEMS {
                queue.take_all(&mut taken);
                thread::yield_now();
            }
        });
        let sum: usize = taken.iter().map(|item| item.0[0]).sum();
        assert_eq!(sum, producers * (0..ITEMS / producers).sum::<usize>());
        black_box(taken.pop().unwrap());
    });
}

#[divan::bench(args = PRODUCERS)]
fn locked_deque(bencher: Bencher<'_, '_>, producers: usize) {
    pass::<Locked>(bencher, producers);
}

#[divan::bench(args = PRODUCERS)]
fn lock_free(bencher: Bencher<'_, '_>, producers: usize) {
    pass::<LockFree>(bencher, producers);
}
