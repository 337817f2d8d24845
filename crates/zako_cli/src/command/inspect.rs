//! `zako inspect`: a target's scripts under a debugger.

use std::sync::Arc;

use zako_core::{Debugger, Waiting};

use crate::arguments::Options;
use crate::command::{Done, build, runtime};
use crate::failure::{Exit, io_failure};
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(target: &str, port: u16, options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let speaker = terminal.clone();
    let waiting = move |waiting: Waiting| {
        let Waiting { title, websocket } = waiting;
        speaker.say(&format!("{title} waits for a debugger at {websocket}"));
    };
    let debugger = Debugger::listen(port, waiting)
        .map_err(|error| {
            io_failure(format!("listen on port {port} of 127.0.0.1"), &error)
                .with_help("name another port with --port, or 0 for any that is free")
        })
        .map(Arc::new)?;
    let opened = Opened::debugged(options, Some(debugger.clone()))?;
    terminal.say(
        "open chrome://inspect, or attach VS Code to the port; `zako inspect --help` says more",
    );
    let how = opened.build_options(options);
    let logs = runtime.block_on(async {
        let mut interrupts = build::listen()?;
        tokio::select! {
            logs = opened.session.inspect(target, &debugger, &how) => Ok(Some(logs?)),
            _ = interrupts.next() => Ok(None),
        }
    });
    // A script that still waits for its debugger ends with the process.
    runtime.shutdown_background();
    let logs: Result<_, crate::failure::Failure> = logs;
    opened.write_profile()?;
    let Some(logs) = logs? else {
        return Ok(Exit::INTERRUPTED);
    };
    for log in &logs {
        terminal.show(log);
    }
    Ok(Exit::SUCCESS)
}
