//! The graph on disk as its users see it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod forged;
mod golden;
mod large;
mod model;
mod plain;
