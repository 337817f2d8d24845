//! `zako explain`: why actions of a target run.

use crate::arguments::Options;
use crate::command::{Done, runtime};
use crate::failure::{Exit, Failure};
use crate::open::Opened;
use crate::reasons::explanation;
use crate::terminal::Terminal;

pub(crate) fn run(target: &str, options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let opened = Opened::of(options)?;
    let how = opened.build_options(options);
    let explained = runtime.block_on(opened.session.explain(target, how));
    runtime.shutdown_background();
    let explained = explained.map_err(Failure::from)?;
    terminal.product(&format!("{}\n", explanation(&explained)))?;
    Ok(Exit::SUCCESS)
}
