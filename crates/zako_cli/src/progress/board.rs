//! What runs just now, redrawn in place at the end of a terminal.
//!
//! **Invariant:** it never takes more than [`MAX_RUNNING`] lines and a headline, and never more than the terminal has.

use std::time::{Duration, Instant};

use console::{Term, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use zako_core::{ActionStatus, BuildEvent};

use crate::quantity::show_count;
use crate::terminal::Palette;

/// Running actions that are shown by name, the oldest first.
const MAX_RUNNING: usize = 8;

/// Lines of the terminal that stay free of the board.
const FREE_LINES: usize = 4;

/// Columns beside a running action's message and time.
const MARGINS: usize = 3;

/// How often a second the terminal is written to at most.
const MAX_REDRAWS: u8 = 12;

/// How often the elapsed times are brought up to date.
pub(crate) const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// A board on standard error.
pub(crate) struct Board {
    state: State,
    palette: Palette,
    bar: ProgressBar,
}

impl Board {
    /// An empty board.
    pub(crate) fn new(palette: Palette) -> Board {
        let bar =
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(MAX_REDRAWS));
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Board {
            state: State::new(Instant::now()),
            palette,
            bar,
        }
    }

    /// Minds an event.
    pub(crate) fn on(&mut self, event: &BuildEvent) {
        self.state.on(event, Instant::now());
        self.draw();
    }

    /// Shows that the build was asked to stop.
    pub(crate) fn stopping(&mut self) {
        self.state.stopping = true;
        self.draw();
    }

    /// Draws it as it is now; the bar leaves out what would be too often.
    pub(crate) fn draw(&mut self) {
        let (rows, columns) = Term::stderr().size();
        let most = MAX_RUNNING.min(usize::from(rows).saturating_sub(FREE_LINES));
        // A line as wide as the terminal would make a second one on some.
        let width = usize::from(columns).saturating_sub(1);
        let lines = self.state.lines(Instant::now(), most, width, self.palette);
        self.bar.set_message(lines.join("\n"));
    }

    /// Does `write` with the board out of the way.
    pub(crate) fn above(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Takes it away.
    pub(crate) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

/// What the board shows.
struct State {
    began: Instant,
    stopping: bool,
    packages: usize,
    total: Option<usize>,
    done: usize,
    from_cache: usize,
    failed: usize,
    running: Vec<Running>,
}

struct Running {
    id: u32,
    message: String,
    since: Instant,
}

impl State {
    fn new(began: Instant) -> State {
        State {
            began,
            stopping: false,
            packages: 0,
            total: None,
            done: 0,
            from_cache: 0,
            failed: 0,
            running: Vec::new(),
        }
    }

    fn on(&mut self, event: &BuildEvent, now: Instant) {
        match event {
            BuildEvent::PackageEvaluated { .. } => self.packages += 1,
            BuildEvent::Planned { actions, .. } => self.total = Some(*actions),
            BuildEvent::ActionStarted(action) => {
                self.running.push(Running {
                    id: action.id,
                    message: action.message.clone(),
                    since: now,
                });
            }
            BuildEvent::ActionFinished { action, status, .. } => {
                self.running.retain(|running| running.id != action.id);
                self.done += 1;
                match status {
                    ActionStatus::FromCache | ActionStatus::UpToDate => self.from_cache += 1,
                    ActionStatus::Failed => self.failed += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// The headline, and at most `most` lines of what runs; none is wider than `width` columns.
    fn lines(&self, now: Instant, most: usize, width: usize, palette: Palette) -> Vec<String> {
        let mut lines = vec![self.headline(now, palette)];
        // One line says how many there are besides, in place of the last.
        let shown = if self.running.len() > most {
            most.saturating_sub(1)
        } else {
            self.running.len()
        };
        for running in &self.running[..shown] {
            let elapsed = seconds(now.saturating_duration_since(running.since));
            // The message gives way, not the time.
            let room = width.saturating_sub(elapsed.len() + MARGINS);
            let message = truncate_str(&running.message, room, "…");
            lines.push(format!("  {message} {}", palette.faint(&elapsed)));
        }
        if self.running.len() > shown && most > 0 {
            lines.push(palette.faint(&format!("  and {} more", self.running.len() - shown)));
        }
        lines
            .iter()
            .map(|line| truncate_str(line, width, "…").into_owned())
            .collect()
    }

    fn headline(&self, now: Instant, palette: Palette) -> String {
        let elapsed = seconds(now.saturating_duration_since(self.began));
        let Some(total) = self.total else {
            return format!(
                "reading build files: {} {}",
                show_count(self.packages, "package"),
                palette.faint(&elapsed)
            );
        };
        let count = palette.good(&format!("[{}/{}]", self.done, total.max(self.done)));
        let mut parts = vec![format!("{} running", self.running.len())];
        if self.from_cache > 0 {
            parts.push(format!("{} cached", self.from_cache));
        }
        if self.failed > 0 {
            parts.push(palette.bad(&format!("{} failed", self.failed)));
        }
        if self.stopping {
            parts.push(palette.doubtful("stopping (Ctrl-C again to leave at once)"));
        }
        format!("{count} {} {}", parts.join(", "), palette.faint(&elapsed))
    }
}

/// Whole tenths of a second: more would flicker.
fn seconds(elapsed: Duration) -> String {
    format!("{}.{} s", elapsed.as_secs(), elapsed.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use zako_core::ActionName;

    use super::*;

    fn action(id: u32) -> ActionName {
        ActionName {
            id,
            owner: "//a".to_owned(),
            mnemonic: "x".to_owned(),
            message: format!("compile {id}.c"),
        }
    }

    fn ended(id: u32, status: ActionStatus) -> BuildEvent {
        BuildEvent::ActionFinished {
            action: action(id),
            status,
            outputs: Vec::new(),
            usage: None,
            output: None,
        }
    }

    #[test]
    fn it_shows_what_runs_and_how_far_it_is() {
        let began = Instant::now();
        let at = |tenths: u64| began + Duration::from_millis(100 * tenths);
        let mut state = State::new(began);
        state.on(
            &BuildEvent::PackageEvaluated {
                package: String::new(),
                wall_ms: 1,
            },
            at(1),
        );
        assert_eq!(
            state.lines(at(2), 4, 90, Palette::PLAIN),
            ["reading build files: 1 package 0.2 s"]
        );

        state.on(
            &BuildEvent::Planned {
                targets: 1,
                actions: 9,
            },
            at(2),
        );
        for id in 0..6 {
            state.on(
                &BuildEvent::ActionStarted(action(id)),
                at(3 + u64::from(id)),
            );
        }
        state.on(&ended(0, ActionStatus::Ran), at(9));
        state.on(&ended(7, ActionStatus::UpToDate), at(9));
        state.on(&ended(8, ActionStatus::FromCache), at(9));
        let lines = state.lines(at(13), 8, 90, Palette::PLAIN);
        assert_eq!(lines[0], "[3/9] 5 running, 2 cached 1.3 s");
        assert_eq!(lines[1], "  compile 1.c 0.9 s");
        assert_eq!(lines.len(), 6);

        state.on(&ended(1, ActionStatus::Failed), at(13));
        state.stopping = true;
        let lines = state.lines(at(13), 8, 90, Palette::PLAIN);
        assert_eq!(
            lines[0],
            "[4/9] 4 running, 2 cached, 1 failed, stopping (Ctrl-C again to leave at once) 1.3 s"
        );
    }

    #[test]
    fn it_is_never_higher_than_it_may_be() {
        let began = Instant::now();
        let mut state = State::new(began);
        state.on(
            &BuildEvent::Planned {
                targets: 1,
                actions: 100,
            },
            began,
        );
        for id in 0..100 {
            state.on(&BuildEvent::ActionStarted(action(id)), began);
        }
        for most in 0..10 {
            let lines = state.lines(began, most, 90, Palette::PLAIN);
            assert_eq!(lines.len(), most + 1);
        }
        assert_eq!(
            state.lines(began, 3, 90, Palette::PLAIN)[3],
            "  and 98 more"
        );
    }

    #[test]
    fn a_long_message_gives_way_to_its_time() {
        let began = Instant::now();
        let mut state = State::new(began);
        state.on(&BuildEvent::ActionStarted(action(1)), began);
        let lines = state.lines(began, 8, 16, Palette::PLAIN);
        assert_eq!(lines, ["reading build f…", "  compile… 0.0 s"]);
    }
}
