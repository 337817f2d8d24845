//! End-to-end cases: the real `zako` in workspaces of its own, from the command line to what is on the disk.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, which say what they skip"
)]

mod actions;
mod changes;
mod command_line;
mod compile_commands;
mod configuration;
mod control_groups;
mod diagnostics;
mod embed;
mod examples;
mod guide;
mod hermetic;
mod imports;
mod inspect;
mod interrupt;
mod isolation;
mod killed;
mod limits;
mod machinery;
mod runnable;
mod scripts;
mod targets;
mod types;
mod watch;
mod zstd;
