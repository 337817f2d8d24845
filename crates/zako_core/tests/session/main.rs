//! Sessions through the public API: whole workspaces with a real compiler, shell and V8. One binary, since each that links V8
//! costs seconds.
#![expect(clippy::unwrap_used, reason = "tests")]

mod actions;
mod attributes;
mod configuration;
mod damage;
mod dead;
mod dynamic;
mod embedding;
mod failures;
mod fetch;
mod fixture;
mod incremental;
mod leaves;
mod packages;
mod random;
mod rules;
mod standard;
mod targets;
mod tasks;
mod toolchains;
