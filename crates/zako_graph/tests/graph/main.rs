//! The engine as its users see it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cancellation;
mod cycles;
mod incremental;
mod large;
mod persistence;
mod random;
mod sheet;
mod told;
