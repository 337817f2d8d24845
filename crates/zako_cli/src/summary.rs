//! The last line of a build.
//!
//! Its end is a contract with scripts that read it: `N actions run, M from cache`, or `0 actions run` when nothing was
//! done. The words are never inflected.

use zako_core::BuildReport;

use crate::quantity::{show_count, show_millis};
use crate::terminal::Palette;

/// The line for a report; `verb` says what was done to the targets, as `built`.
pub(crate) fn summary(report: &BuildReport, verb: &str, palette: Palette) -> String {
    let wall = show_millis(u64::try_from(report.wall.as_millis()).unwrap_or(u64::MAX));
    let actions = &report.actions;
    let targets = show_count(report.targets.len(), "target");
    let head = if report.cancelled {
        format!("{} after {wall}", palette.doubtful("interrupted"))
    } else if report.fault().is_some() || actions.failed > 0 {
        format!("{} in {wall}{}", palette.bad("failed"), losses(report))
    } else if actions.run + actions.from_cache == 0 {
        format!("{} in {wall}, {targets}", palette.good("up to date"))
    } else {
        format!("{} in {wall}, {targets}", palette.good(verb))
    };
    format!("{head}: {}", work(report))
}

/// What was lost, in parentheses.
fn losses(report: &BuildReport) -> String {
    let actions = &report.actions;
    let parts = [(actions.failed, "failed"), (actions.skipped, "skipped")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

fn work(report: &BuildReport) -> String {
    match (report.actions.run, report.actions.from_cache) {
        (0, 0) => "0 actions run".to_owned(),
        (run, from_cache) => format!("{run} actions run, {from_cache} from cache"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zako_core::{ActionCounts, BuiltTarget, Diagnostic, Fault};

    use super::*;

    fn report(run: usize, from_cache: usize) -> BuildReport {
        let target = |label: &str| BuiltTarget {
            label: label.to_owned(),
            files: Vec::new(),
            built: true,
        };
        BuildReport {
            targets: vec![target("//a"), target("//b")],
            actions: ActionCounts {
                run,
                from_cache,
                up_to_date: 3,
                ..ActionCounts::default()
            },
            wall: Duration::from_millis(420),
            ..BuildReport::default()
        }
    }

    fn line(report: &BuildReport) -> String {
        summary(report, "built", Palette::PLAIN)
    }

    #[test]
    fn what_was_done_is_counted() {
        assert_eq!(
            line(&report(7, 2)),
            "built in 0.42 s, 2 targets: 7 actions run, 2 from cache"
        );
        assert_eq!(
            line(&report(1, 0)),
            "built in 0.42 s, 2 targets: 1 actions run, 0 from cache"
        );
        assert_eq!(
            line(&report(0, 4)),
            "built in 0.42 s, 2 targets: 0 actions run, 4 from cache"
        );
    }

    #[test]
    fn a_null_build_says_that_nothing_ran() {
        assert_eq!(
            line(&report(0, 0)),
            "up to date in 0.42 s, 2 targets: 0 actions run"
        );
    }

    #[test]
    fn a_failure_says_what_was_lost() {
        let mut failed = report(3, 1);
        failed.actions.failed = 1;
        failed.actions.skipped = 2;
        failed
            .diagnostics
            .push(Diagnostic::error(Fault::Build, "x"));
        assert_eq!(
            line(&failed),
            "failed in 0.42 s (1 failed, 2 skipped): 3 actions run, 1 from cache"
        );
        let mut wrong = report(0, 0);
        wrong.diagnostics.push(Diagnostic::user("x"));
        assert_eq!(line(&wrong), "failed in 0.42 s: 0 actions run");
    }

    #[test]
    fn an_interruption_is_no_failure() {
        let interrupted = BuildReport {
            cancelled: true,
            ..report(3, 0)
        };
        assert_eq!(
            line(&interrupted),
            "interrupted after 0.42 s: 3 actions run, 0 from cache"
        );
    }
}
