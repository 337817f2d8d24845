//! What actions see, leave and use, with real processes in real namespaces and control groups.
//!
//! One binary, so that all of it has one [`World`](world::World). What looks at this whole process, or needs one of its own, starts
//! this binary again for its test alone.
#![cfg(walls)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests, which say what they skip"
)]

mod census;
mod control_group;
mod full_disk;
mod hostile;
mod jobserver;
mod no_overlay;
mod parent_killed;
mod sandbox;
#[path = "../support/mod.rs"]
mod support;
mod usage;
mod world;
