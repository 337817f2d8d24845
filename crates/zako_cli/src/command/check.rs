//! `zako check`: what TypeScript's compiler says of the scripts.

use crate::arguments::Options;
use crate::command::{Done, runtime};
use crate::failure::{Exit, Failure};
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let opened = Opened::of(options)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let found = runtime.block_on(opened.session.check(&path))?;
    if found.is_empty() {
        terminal.say("the scripts are well typed");
        return Ok(Exit::SUCCESS);
    }
    let many = match found.len() {
        1 => "1 error of types".to_owned(),
        many => format!("{many} errors of types"),
    };
    let exit = Failure::from(found).show(terminal);
    terminal.say(&many);
    Ok(exit)
}
