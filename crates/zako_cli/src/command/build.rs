//! `zako build` and `zako test`; and the watching of a build, which `zako run` does too.

use tokio::time::{MissedTickBehavior, interval};
use zako_core::{Build, BuildOptions, BuildReport, Glance, Urgency};

use crate::arguments::Options;
use crate::command::{Done, runtime};
use crate::event_log::EventLog;
use crate::failure::{Exit, Failure, io_failure};
use crate::interrupt::Interrupts;
use crate::open::{Opened, build_options_of, start_of};
use crate::progress::{Progress, REDRAW_EVERY};
use crate::reasons::forecast;
use crate::summary::summary;
use crate::terminal::Terminal;
use crate::timings::Timings;

/// What a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The targets.
    Build,
    /// The targets, and what their tests say.
    Test,
    /// To know what would run.
    Forecast,
}

impl Kind {
    fn verb(self) -> &'static str {
        match self {
            Kind::Build => "built",
            Kind::Test => "tested",
            Kind::Forecast => "looked into",
        }
    }

    fn options(self, options: BuildOptions) -> BuildOptions {
        BuildOptions {
            tests: self == Kind::Test,
            dry_run: self == Kind::Forecast,
            urgency: match self {
                Kind::Build | Kind::Forecast => Urgency::Normal,
                Kind::Test => Urgency::Background,
            },
            ..options
        }
    }
}

pub(crate) fn run(patterns: &[String], kind: Kind, options: &Options, terminal: &Terminal) -> Done {
    let start = start_of(options)?;
    let mut glance = Glance::new(&start, patterns, |root| {
        Ok(kind.options(build_options_of(options, root, &start)?))
    })?;
    if options.event_log.is_none()
        && options.script_profile.is_none()
        && !options.check_determinism
        && let Some(report) = glance.up_to_date()
    {
        terminal.say(&summary(&report, kind.verb(), terminal.palette()));
        return Ok(Exit::of_report(&report));
    }
    let runtime = runtime()?;
    let opened = Opened::of(options)?;
    let how = kind.options(opened.build_options(options));
    let ended = runtime.block_on(async {
        let mut interrupts = listen()?;
        let build = opened.session.build_after(glance, patterns, how);
        watched(
            &opened,
            build,
            kind.verb(),
            options,
            terminal,
            &mut interrupts,
        )
        .await
    });
    // What still waits there belongs to a build that was given up; the end of the process is its end.
    runtime.shutdown_background();
    opened.write_profile()?;
    Ok(ended?.map_or(Exit::INTERRUPTED, |report| Exit::of_report(&report)))
}

/// Takes over the signals, and leaves the control group to actions.
pub(crate) fn listen() -> Result<Interrupts, Failure> {
    zako_core::step_aside();
    Ok(Interrupts::listen().map_err(|error| io_failure("listen to signals", &error))?)
}

/// Builds with everything shown, and gives the report; `None` when the person did not want to wait for it.
pub(crate) async fn watched(
    opened: &Opened,
    build: Build,
    verb: &str,
    options: &Options,
    terminal: &Terminal,
    interrupts: &mut Interrupts,
) -> Result<Option<BuildReport>, Failure> {
    let log = options
        .event_log
        .as_ref()
        .map(|path| EventLog::create(&opened.start.join(path)))
        .transpose()?;
    let mut watcher = Watcher {
        progress: Progress::new(terminal),
        log,
        timings: options.timings.then(Timings::default),
    };
    let report = watcher.watch(build, interrupts).await;
    match &report {
        Some(report) => {
            watcher.progress.finish(report);
            for would_run in &report.would_run {
                terminal.say(&forecast(would_run));
            }
            if let Some(timings) = watcher.timings.take() {
                terminal.say(&timings.table());
            }
            terminal.say(&summary(report, verb, terminal.palette()));
        }
        None => {
            watcher.progress.abandon();
            terminal.say("interrupted twice: left without waiting for what still stops");
        }
    }
    if let Some(warning) = watcher.log.and_then(EventLog::finish) {
        terminal.show(&warning);
    }
    Ok(report)
}

struct Watcher {
    progress: Progress,
    log: Option<EventLog>,
    timings: Option<Timings>,
}

impl Watcher {
    /// Follows the build to its end. The first interruption cancels it, and the end comes when its children are gone;
    /// the second one drops it, and what is left of it ends with the process.
    async fn watch(
        &mut self,
        mut build: Build,
        interrupts: &mut Interrupts,
    ) -> Option<BuildReport> {
        let cancel = build.cancel_handle();
        let mut ticks = interval(REDRAW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interrupts.next() => {
                    if cancel.is_cancelled() {
                        return None;
                    }
                    cancel.cancel();
                    self.progress.stopping();
                }
                event = build.next_event() => match event {
                    Some(event) => {
                        if let Some(log) = &mut self.log {
                            log.write(&event);
                        }
                        if let Some(timings) = &mut self.timings {
                            timings.on(&event);
                        }
                        self.progress.on(&event);
                    }
                    None => break,
                },
                _ = ticks.tick(), if self.progress.is_live() => self.progress.tick(),
            }
        }
        let report = build.report();
        tokio::pin!(report);
        loop {
            tokio::select! {
                report = &mut report => return Some(report),
                _ = interrupts.next() => {
                    if cancel.is_cancelled() {
                        return None;
                    }
                    cancel.cancel();
                }
            }
        }
    }
}
