//! How a command ends: an exit code, or what went wrong.
//!
//! The codes are a contract: 0 good; 1 something failed to build; 2 the input is wrong; 3 the machine, or zako,
//! failed; 130 interrupted. `zako run` gives its program's code instead.

use std::io;
use std::process::ExitCode;

use zako_core::{BuildReport, Diagnostic, Fault, Severity};

use crate::terminal::Terminal;

/// The code that the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// All is well.
    pub(crate) const SUCCESS: Exit = Exit(0);
    /// zako failed.
    pub(crate) const BUG: Exit = Exit(3);
    /// Somebody stopped it.
    pub(crate) const INTERRUPTED: Exit = Exit(130);

    /// The code for a build's report.
    pub(crate) fn of_report(report: &BuildReport) -> Exit {
        match report.fault() {
            Some(fault) => fault.into(),
            // A failed action comes with an error; this is for one that came without.
            None if report.actions.failed + report.actions.skipped > 0 => Fault::Build.into(),
            None => Exit::SUCCESS,
        }
    }

    /// Prints what is wrong with the command line, or the help that it asked for.
    pub(crate) fn of_usage(usage: &clap::Error) -> Exit {
        // A closed pipe is no reason to say anything.
        let _ = usage.print();
        Exit(u8::try_from(usage.exit_code()).unwrap_or(2))
    }
}

impl From<Fault> for Exit {
    fn from(fault: Fault) -> Self {
        Exit(fault.exit_code())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.0)
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure(Vec<Diagnostic>);

impl Failure {
    /// Shows all of it and gives the worst one's exit code.
    pub(crate) fn show(&self, terminal: &Terminal) -> Exit {
        for diagnostic in &self.0 {
            terminal.show(diagnostic);
        }
        self.exit()
    }

    fn exit(&self) -> Exit {
        let errors = self.0.iter().filter(|d| d.severity == Severity::Error);
        // The codes grow with what they weigh.
        errors
            .map(|d| Exit::from(d.fault))
            .max_by_key(|exit| exit.0)
            .unwrap_or(Exit::BUG)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Failure(vec![diagnostic])
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        if diagnostics.is_empty() {
            return Diagnostic::error(Fault::Bug, "a command failed without saying why").into();
        }
        Failure(diagnostics)
    }
}

/// The error of the machine that `doing` met.
pub(crate) fn io_failure(doing: impl std::fmt::Display, error: &io::Error) -> Diagnostic {
    Diagnostic::environment(format!("cannot {doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(faults: &[Fault]) -> BuildReport {
        BuildReport {
            diagnostics: faults
                .iter()
                .map(|fault| Diagnostic::error(*fault, "x"))
                .collect(),
            ..BuildReport::default()
        }
    }

    #[test]
    fn the_worst_fault_decides_the_code() {
        assert_eq!(Exit::of_report(&report(&[])), Exit(0));
        assert_eq!(Exit::of_report(&report(&[Fault::Build])), Exit(1));
        assert_eq!(
            Exit::of_report(&report(&[Fault::User, Fault::Build])),
            Exit(2)
        );
        assert_eq!(
            Exit::of_report(&report(&[Fault::Build, Fault::Environment])),
            Exit(3)
        );
        assert_eq!(Exit::of_report(&report(&[Fault::Bug])), Exit(3));
        let cancelled = BuildReport {
            cancelled: true,
            ..report(&[Fault::User])
        };
        assert_eq!(Exit::of_report(&cancelled), Exit(130));
    }

    #[test]
    fn a_failed_action_is_a_failure_even_without_a_message() {
        let mut silent = report(&[]);
        silent.actions.failed = 1;
        assert_eq!(Exit::of_report(&silent), Exit(1));
    }

    #[test]
    fn a_warning_alone_is_no_fault() {
        let mut warned = report(&[Fault::User]);
        warned.diagnostics[0].severity = Severity::Warning;
        assert_eq!(Exit::of_report(&warned), Exit(0));
    }

    #[test]
    fn failures_end_with_the_worst_code() {
        let failure = Failure::from(vec![
            Diagnostic::user("a"),
            Diagnostic::environment("b"),
            Diagnostic::user("c"),
        ]);
        assert_eq!(failure.exit(), Exit(3));
        assert_eq!(Failure::from(Diagnostic::user("a")).exit(), Exit(2));
        assert_eq!(Failure::from(Vec::new()).exit(), Exit(3));
    }
}
