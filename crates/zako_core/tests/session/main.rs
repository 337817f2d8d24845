//! Sessions through the public API: whole workspaces with a real compiler, shell and V8. One binary, since each that links V8
//! costs seconds.
#![expect(clippy::unwrap_used, reason = "tests")]

mod chance;
mod damage;
mod dead;
mod embedding;
mod failures;
mod fixture;
mod incremental;
mod leaves;
mod packages;
mod process;
mod random;
mod targets;
mod tasks;
mod urgency;
