//! `zako watch`: build, and again whenever something changes.

use zako_core::{Changes, Watch};

use crate::arguments::Options;
use crate::command::build::{listen, watched};
use crate::command::{Done, runtime};
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(patterns: &[String], options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let done = runtime.block_on(watch(patterns, options, terminal));
    runtime.shutdown_background();
    done
}

async fn watch(patterns: &[String], options: &Options, terminal: &Terminal) -> Done {
    let mut interrupts = listen()?;
    let mut opened = Opened::of(options)?;
    // Before the first build, so that what changes during it is seen.
    let mut watch = opened.session.watch()?;
    let mut changes = Changes::all();
    loop {
        let how = opened.build_options(options);
        let build = opened.session.build_changed(&changes, patterns, how);
        let report = watched(&opened, build, "built", options, terminal, &mut interrupts).await?;
        if report.is_none_or(|report| report.cancelled) {
            return Ok(Exit::INTERRUPTED);
        }
        terminal.say("waiting for changes (Ctrl-C to stop)");
        changes = match next(&mut watch, &mut interrupts).await? {
            Some(changes) => changes,
            // That is how one stops watching.
            None => return Ok(Exit::SUCCESS),
        };
        if changes.reopens() {
            match Opened::of(options) {
                Ok(anew) => {
                    opened = anew;
                    watch = opened.session.watch()?;
                    changes = Changes::all();
                }
                // Somebody is at work on the manifest.
                Err(error) => terminal.show(&error),
            }
        }
    }
}

/// What changed next; `None` when somebody wants to stop.
async fn next(watch: &mut Watch, interrupts: &mut Interrupts) -> Result<Option<Changes>, Failure> {
    tokio::select! {
        changes = watch.changes() => Ok(Some(changes?)),
        _ = interrupts.next() => Ok(None),
    }
}
