//! `zako init`: a first workspace.

use std::path::Path;

use crate::arguments::Options;
use crate::command::{Done, name_files};
use crate::failure::Exit;
use crate::open::start_of;
use crate::terminal::Terminal;

pub(crate) fn run(dir: &Path, options: &Options, terminal: &Terminal) -> Done {
    let start = start_of(options)?;
    let dir = if dir == Path::new(".") {
        start.clone()
    } else {
        start.join(dir)
    };
    let written = zako_core::init(&dir)?;
    name_files("wrote", &written, &start, terminal);
    if written.is_empty() {
        terminal.say("nothing to do: this is a workspace already");
    }
    let place = dir.strip_prefix(&start).unwrap_or(&dir);
    let next = if place.as_os_str().is_empty() {
        "zako build".to_owned()
    } else {
        format!("zako -C {} build", place.display())
    };
    terminal.say(&format!("next: {next}"));
    Ok(Exit::SUCCESS)
}
