//! `zako clean`: what zako wrote goes.

use zako_core::GlobalState;

use crate::arguments::Options;
use crate::command::{Done, name_files};
use crate::failure::Exit;
use crate::open::{Opened, cache_dir_of, start_of, state_options_of};
use crate::quantity::show_bytes;
use crate::terminal::Terminal;

pub(crate) fn run(cache: bool, options: &Options, terminal: &Terminal) -> Done {
    let start = start_of(options)?;
    match Opened::of(options) {
        Ok(opened) => {
            let removed = opened.session.clean()?;
            name_files("removed", &removed, &start, terminal);
            if removed.is_empty() {
                terminal.say("nothing to remove in this workspace");
            }
        }
        // The store is nobody's workspace.
        Err(_) if cache => {}
        Err(error) => return Err(error.into()),
    }
    if cache {
        let freed = GlobalState::clear_cache(&state_options_of(options, &start)?)?;
        let dir = cache_dir_of(options, &start)?;
        terminal.say(&format!(
            "removed the store in {} ({})",
            dir.display(),
            show_bytes(freed)
        ));
    }
    Ok(Exit::SUCCESS)
}
