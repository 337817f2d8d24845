//! `zako eval`: what one file exports, as JSON.

use std::path::Path;

use crate::arguments::Options;
use crate::command::{Done, runtime};
use crate::failure::{Exit, io_failure};
use crate::open::{Opened, start_of};
use crate::terminal::Terminal;

/// The file name that means standard input.
const STDIN: &str = "-";

pub(crate) fn run(file: &Path, options: &Options, terminal: &Terminal) -> Done {
    // `./-` is the file of that name.
    let from_stdin = file == Path::new(STDIN);
    let file = start_of(options)?.join(file);
    // Before the runtime: V8 starts meanwhile.
    let opened = Opened::for_file(options, &file)?;
    let runtime = runtime()?;
    let how = opened.build_options(options);
    let evaluated = if from_stdin {
        let source = std::io::read_to_string(std::io::stdin())
            .map_err(|error| io_failure("read a script from standard input", &error))?;
        runtime.block_on(opened.session.evaluate_text("stdin", &source, &how))?
    } else {
        runtime.block_on(opened.session.evaluate(&file, &how))?
    };
    opened.write_profile()?;
    for log in &evaluated.logs {
        terminal.show(log);
    }
    terminal.product(&format!("{:#}\n", evaluated.exports))?;
    // The process ends here, and nobody waits for threads that have nothing left to do.
    runtime.shutdown_background();
    std::mem::forget(opened);
    Ok(Exit::SUCCESS)
}
