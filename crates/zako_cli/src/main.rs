//! The `zako` command line: arguments in, text and an exit code out.
//!
//! The only part of zako that prints, reads options from the environment, handles signals or ends the process. It
//! knows [`zako_core`] and nothing below it; every command is parse, one call of the core, render.

mod arguments;
mod bug;
mod command;
mod event_log;
mod failure;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod image;
#[cfg_attr(windows, path = "windows/interrupt.rs")]
mod interrupt;
mod open;
mod progress;
mod quantity;
mod reasons;
mod rendering;
mod summary;
mod terminal;
mod timings;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::failure::Exit;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    bug::report_panics();
    // What a panic leaves behind is not looked at again: the process ends.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or(Exit::BUG)
        .into()
}

fn run() -> Exit {
    let words: Vec<OsString> = std::env::args_os().collect();
    // V8 takes longer to start than all else that `eval` does before it needs it. Elsewhere the word may be anything, a target too.
    if words.get(1).is_some_and(|word| word == "eval") {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        image::take();
        zako_core::begin_scripts();
    }
    let arguments = match Arguments::read(&words) {
        Ok(arguments) => arguments,
        Err(usage) => return Exit::of_usage(&usage),
    };
    let terminal = Terminal::new(arguments.options.color, arguments.options.verbosity());
    terminal.trace();
    command::run(&arguments, &terminal).unwrap_or_else(|failure| failure.show(&terminal))
}
