//! The engine under a scheduler that tries many orders of events (shuttle): each scenario with some thousand
//! random orders, from fixed seeds. What is tried is the engine itself; see `sync/modelled.rs` for what a step
//! is.
//!
//! Found are deadlocks and lost wake-ups (nothing can go on, and somebody waits), flights that start twice,
//! values claimed for a revision in which they do not hold, and traces that an ended flight leaves. A failure
//! prints its schedule, which `shuttle::replay` takes.
//!
//! Not tried: the store's maps and tokio's own locks from inside, weaker orderings of atomics than those of one
//! memory, and a runtime that shuts down.

mod cycles;
mod requests;
mod world;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// A debug build's futures are large.
const STACK: usize = 256 * 1024;
/// The preemptions that the second scheduler is after.
const DEPTH: usize = 3;

/// Runs `scenario` so many times under each of two schedulers: one that chooses at every step, and one that
/// lets each go on for long, with few changes in unlikely places.
fn try_orders(seed: u64, times: usize, scenario: fn()) {
    run(RandomScheduler::new_from_seed(seed, times), scenario);
    run(PctScheduler::new_from_seed(seed, DEPTH, times), scenario);
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(scheduler, config).run(scenario);
}
