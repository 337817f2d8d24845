//! The lines that a build leaves behind, from its events alone.
//!
//! **Invariant:** what an action wrote, and each diagnostic, is shown once, whichever of the events and the report bring
//! it, and in whatever order.

use std::collections::HashSet;

use zako_core::{
    ActionName, ActionStatus, ActionUsage, BuildEvent, BuildReport, Diagnostic, Fault, Severity,
};

use crate::arguments::Verbosity;
use crate::quantity::{show_count, show_millis};
use crate::rendering::Renderer;
use crate::terminal::{Palette, Terminal};

/// Turns events into lines.
pub(crate) struct Narrator {
    verbosity: Verbosity,
    palette: Palette,
    renderer: Renderer,
    each_action: bool,
    total: Option<usize>,
    done: usize,
    /// Diagnostics as they were rendered.
    shown: HashSet<String>,
    /// What failed actions wrote and a diagnostic brought.
    shown_output: HashSet<String>,
    /// What failed actions wrote and no diagnostic brought yet.
    held: Vec<String>,
}

impl Narrator {
    /// `each_action` gives every action that runs a line.
    pub(crate) fn new(terminal: &Terminal, each_action: bool) -> Narrator {
        Self::of(
            terminal.verbosity(),
            terminal.palette(),
            terminal.renderer().clone(),
            each_action,
        )
    }

    fn of(
        verbosity: Verbosity,
        palette: Palette,
        renderer: Renderer,
        each_action: bool,
    ) -> Narrator {
        Narrator {
            verbosity,
            palette,
            renderer,
            each_action,
            total: None,
            done: 0,
            shown: HashSet::new(),
            shown_output: HashSet::new(),
            held: Vec::new(),
        }
    }

    /// The lines for an event, each ended; mostly none.
    pub(crate) fn on(&mut self, event: &BuildEvent) -> String {
        match event {
            BuildEvent::Waiting { pid } if self.says(Verbosity::Normal) => waiting(*pid),
            BuildEvent::PackageEvaluated { package, wall_ms } if self.says(Verbosity::Verbose) => {
                format!("evaluated //{package} ({})\n", show_millis(*wall_ms))
            }
            BuildEvent::Planned { targets, actions } => {
                self.total = Some(*actions);
                if self.says(Verbosity::Verbose) {
                    format!(
                        "{} from {}\n",
                        show_count(*actions, "action"),
                        show_count(*targets, "target")
                    )
                } else {
                    String::new()
                }
            }
            BuildEvent::ActionStuck { action, still_ms } if self.says(Verbosity::Normal) => {
                format!(
                    "{} has printed nothing and used no processor for {}\n",
                    action.message,
                    show_millis(*still_ms)
                )
            }
            BuildEvent::Diagnostic(diagnostic) => self.diagnostic(diagnostic),
            BuildEvent::ActionFinished {
                action,
                status,
                usage,
                output,
                ..
            } => self.finished(action, *status, *usage, output.as_deref()),
            _ => String::new(),
        }
    }

    /// What the report has that no event brought.
    pub(crate) fn finish(&mut self, report: &BuildReport) -> String {
        let mut text: String = report
            .diagnostics
            .iter()
            .map(|diagnostic| self.diagnostic(diagnostic))
            .collect();
        for output in std::mem::take(&mut self.held) {
            push_ended(&mut text, &output);
        }
        text
    }

    fn says(&self, least: Verbosity) -> bool {
        self.verbosity >= least
    }

    fn diagnostic(&mut self, diagnostic: &Diagnostic) -> String {
        let least = match diagnostic.severity {
            Severity::Error | Severity::Warning => Verbosity::Quiet,
            Severity::Info => Verbosity::Normal,
            Severity::Debug => Verbosity::Verbose,
        };
        // That it was interrupted is what the summary says.
        if !self.says(least) || diagnostic.fault == Fault::Interrupted {
            return String::new();
        }
        let text = self.renderer.render(diagnostic);
        if let Some(output) = &diagnostic.output {
            self.held
                .retain(|held| held.trim_end() != output.trim_end());
            self.shown_output.insert(output.trim_end().to_owned());
        }
        // A script may log the same line twice and means it.
        let once = diagnostic.severity >= Severity::Warning;
        if once && !self.shown.insert(text.clone()) {
            String::new()
        } else {
            text
        }
    }

    fn finished(
        &mut self,
        action: &ActionName,
        status: ActionStatus,
        usage: Option<ActionUsage>,
        output: Option<&str>,
    ) -> String {
        self.done += 1;
        let output = output.filter(|output| !output.trim().is_empty());
        let wall = usage.map(|usage| show_millis(usage.wall_ms));
        let (least, end) = match status {
            ActionStatus::Ran => (Verbosity::Normal, wall.unwrap_or_else(|| "done".to_owned())),
            ActionStatus::FromCache => (Verbosity::Verbose, "from cache".to_owned()),
            ActionStatus::UpToDate => (Verbosity::Verbose, "up to date".to_owned()),
            ActionStatus::Failed => {
                // Its error says all of it, and comes first.
                let failed = self.palette.bad("failed");
                (
                    Verbosity::Verbose,
                    wall.map_or_else(|| failed.clone(), |wall| format!("{failed}, {wall}")),
                )
            }
            ActionStatus::Skipped => (Verbosity::Verbose, "skipped".to_owned()),
            ActionStatus::Cancelled => (Verbosity::Verbose, "stopped".to_owned()),
        };
        let mut text = String::new();
        // Output without the action that wrote it would be a riddle.
        let worth_a_line = self.each_action || (output.is_some() && status == ActionStatus::Ran);
        if self.says(least) && worth_a_line {
            text = format!(
                "{} {} {}\n",
                self.count(),
                action.message,
                self.palette.faint(&format!("({end})"))
            );
        }
        match (output, status) {
            (Some(output), ActionStatus::Failed)
                if !self.shown_output.contains(output.trim_end()) =>
            {
                self.held.push(output.to_owned())
            }
            (Some(output), ActionStatus::Ran) if self.says(Verbosity::Normal) => {
                push_ended(&mut text, output)
            }
            _ => {}
        }
        text
    }

    fn count(&self) -> String {
        match self.total {
            Some(total) => format!("[{}/{}]", self.done, total.max(self.done)),
            None => format!("[{}]", self.done),
        }
    }
}

fn waiting(pid: Option<u32>) -> String {
    let which = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
    format!("waiting for another zako{which} that builds in this workspace\n")
}

fn push_ended(text: &mut String, lines: &str) {
    text.push_str(lines.trim_end_matches('\n'));
    text.push('\n');
}

#[cfg(test)]
mod tests;
