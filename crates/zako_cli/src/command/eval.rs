//! `zako eval`: what one file exports, as JSON.

use std::path::Path;

use crate::arguments::Options;
use crate::command::{Done, runtime};
use crate::failure::Exit;
use crate::open::{Opened, start_of};
use crate::terminal::Terminal;

pub(crate) fn run(file: &Path, options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let file = start_of(options)?.join(file);
    let opened = Opened::for_file(options, &file)?;
    let how = opened.build_options(options);
    let evaluated = runtime.block_on(opened.session.evaluate(&file, &how))?;
    for log in &evaluated.logs {
        terminal.show(log);
    }
    terminal.product(&format!("{:#}\n", evaluated.exports))?;
    Ok(Exit::SUCCESS)
}
