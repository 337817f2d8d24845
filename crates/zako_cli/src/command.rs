//! The commands, one module each: call the core, render what it gives.

mod build;
mod check;
mod clean;
mod compile_commands;
mod completions;
mod doctor;
mod eval;
mod explain;
mod init;
mod inspect;
mod run;
mod targets;
mod types;
mod watch;

use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Runtime};
use zako_core::Diagnostic;

use crate::arguments::{Arguments, Command};
use crate::failure::{Exit, Failure, io_failure};
use crate::terminal::Terminal;

/// How a command ends.
pub(crate) type Done = Result<Exit, Failure>;

/// Does what the command line says.
pub(crate) fn run(arguments: &Arguments, terminal: &Terminal) -> Done {
    let options = &arguments.options;
    match &arguments.command {
        Command::Init { dir } => init::run(dir, options, terminal),
        Command::Build { patterns, dry_run } => {
            let kind = match dry_run {
                true => build::Kind::Forecast,
                false => build::Kind::Build,
            };
            build::run(&patterns.all(), kind, options, terminal)
        }
        Command::Explain { target } => explain::run(target, options, terminal),
        Command::Watch { patterns } => watch::run(&patterns.all(), options, terminal),
        Command::Test { patterns } => {
            build::run(&patterns.all(), build::Kind::Test, options, terminal)
        }
        Command::Run { target, args } => run::run(target, args, options, terminal),
        Command::Targets { patterns, json } => {
            targets::run(&patterns.all(), *json, options, terminal)
        }
        Command::Eval { file } => eval::run(file, options, terminal),
        Command::Inspect { target, port } => inspect::run(target, *port, options, terminal),
        Command::CompileCommands { patterns } => {
            compile_commands::run(&patterns.all(), options, terminal)
        }
        Command::Check => check::run(options, terminal),
        Command::Types => types::run(options, terminal),
        Command::Clean { cache } => clean::run(*cache, options, terminal),
        Command::Doctor => doctor::run(options, terminal),
        Command::Completions { shell } => completions::run(*shell, terminal),
    }
}

/// The runtime that a command waits in. It has one thread more than there are processors, so that an execution does its
/// file work on the others ([`zako_core`] looks at that).
fn runtime() -> Result<Runtime, Diagnostic> {
    Builder::new_multi_thread()
        .worker_threads(zako_core::processors() + 1)
        .enable_all()
        .build()
        .map_err(|error| io_failure("start threads", &error))
}

/// Names files that a command wrote or removed, as seen from `start`.
fn name_files(verb: &str, files: &[PathBuf], start: &Path, terminal: &Terminal) {
    for file in files {
        terminal.say(&format!(
            "{verb} {}",
            file.strip_prefix(start).unwrap_or(file).display()
        ));
    }
}
