//! End-to-end cases: the real `zako` in workspaces of its own, from the command line to what is on the disk.
#![expect(clippy::unwrap_used, reason = "tests")]

mod actions;
mod changes;
mod command_line;
mod compile_commands;
mod configuration;
mod embed;
mod examples;
mod guide;
mod hermetic;
mod imports;
mod inspect;
mod interrupt;
mod killed;
mod limits;
mod machinery;
mod runnable;
mod scripts;
mod targets;
mod types;
mod watch;
mod zstd;
