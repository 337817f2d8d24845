//! `zako eval`: what one file exports, as JSON.

use std::path::Path;

use crate::arguments::Options;
use crate::command::{Done, runtime};
use crate::failure::Exit;
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(file: &Path, options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let opened = Opened::of(options, &runtime)?;
    let how = opened.build_options(options);
    let evaluated = runtime.block_on(opened.session.evaluate(&opened.start.join(file), &how))?;
    for log in &evaluated.logs {
        terminal.show(log);
    }
    terminal.product(&format!("{:#}\n", evaluated.exports))?;
    Ok(Exit::SUCCESS)
}
