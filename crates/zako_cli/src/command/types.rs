//! `zako types`: declarations for editors.

use crate::arguments::Options;
use crate::command::{Done, name_files};
use crate::failure::Exit;
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(options: &Options, terminal: &Terminal) -> Done {
    let opened = Opened::of(options)?;
    let files = opened.session.write_types()?;
    name_files("types in", &files, &opened.start, terminal);
    Ok(Exit::SUCCESS)
}
