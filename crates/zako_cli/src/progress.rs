//! A build as a person follows it: lines that stay, and on a terminal a board of what runs.
//!
//! [`Progress`] joins the two; neither knows the other. It must never know the session: events go in, text comes out.

mod board;
mod narrator;

use zako_core::{BuildEvent, BuildReport};

use crate::arguments::Verbosity;
use crate::terminal::{Terminal, write_message};
use board::Board;
use narrator::Narrator;

pub(crate) use board::REDRAW_EVERY;

/// What shows one build.
pub(crate) struct Progress {
    narrator: Narrator,
    board: Option<Board>,
}

impl Progress {
    /// For one build on that terminal.
    pub(crate) fn new(terminal: &Terminal) -> Progress {
        let live = terminal.is_interactive()
            && (Verbosity::Normal..=Verbosity::Verbose).contains(&terminal.verbosity());
        // A board already says what runs.
        let each_action = !live || terminal.verbosity() > Verbosity::Normal;
        Progress {
            narrator: Narrator::new(terminal, each_action),
            board: live.then(|| Board::new(terminal.palette())),
        }
    }

    /// Whether [`Progress::tick`] does anything.
    pub(crate) fn is_live(&self) -> bool {
        self.board.is_some()
    }

    /// Shows an event.
    pub(crate) fn on(&mut self, event: &BuildEvent) {
        let lines = self.narrator.on(event);
        if let Some(board) = &mut self.board {
            board.on(event);
        }
        self.write(&lines);
    }

    /// Brings the elapsed times up to date.
    pub(crate) fn tick(&mut self) {
        if let Some(board) = &mut self.board {
            board.draw();
        }
    }

    /// Shows that the build was asked to stop.
    pub(crate) fn stopping(&mut self) {
        if let Some(board) = &mut self.board {
            board.stopping();
        }
    }

    /// Ends it: takes the board away and shows what was not shown yet.
    pub(crate) fn finish(mut self, report: &BuildReport) {
        if let Some(board) = self.board.take() {
            board.clear();
        }
        let lines = self.narrator.finish(report);
        self.write(&lines);
    }

    /// Ends it without a report.
    pub(crate) fn abandon(mut self) {
        if let Some(board) = self.board.take() {
            board.clear();
        }
    }

    fn write(&self, text: &str) {
        match &self.board {
            _ if text.is_empty() => {}
            Some(board) => board.above(|| write_message(text)),
            None => write_message(text),
        }
    }
}
