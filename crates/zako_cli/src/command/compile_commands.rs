//! `zako compile-commands`: how sources are compiled, for editors.

use crate::arguments::Options;
use crate::command::{Done, runtime};
use crate::failure::Exit;
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(patterns: &[String], options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let opened = Opened::of(options)?;
    let how = opened.build_options(options);
    let commands = runtime.block_on(opened.session.compile_commands(patterns, &how))?;
    opened.write_profile()?;
    let file = opened.session.write_compile_commands(&commands)?;
    let count = match commands.len() {
        1 => "1 command".to_owned(),
        count => format!("{count} commands"),
    };
    let file = file.strip_prefix(&opened.start).unwrap_or(&file);
    terminal.say(&format!("{count} in {}", file.display()));
    if commands.is_empty() {
        terminal.say("listed are the actions with the mnemonic `compile`, as those of zako:cc");
    }
    Ok(Exit::SUCCESS)
}
