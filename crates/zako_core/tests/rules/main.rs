//! Rules, toolchains and configurations through the public API, with real tools. A binary of its own beside `session`, since a
//! process has room for 255 interners, and each workspace here has one.
#![expect(clippy::unwrap_used, reason = "tests")]

mod actions;
mod attributes;
mod cargo;
#[path = "../session/chance.rs"]
mod chance;
mod configuration;
mod dynamic;
mod fetch;
#[path = "../session/fixture.rs"]
mod fixture;
mod places;
mod rules;
mod standard;
mod strict;
mod toolchains;
mod unfolding;
