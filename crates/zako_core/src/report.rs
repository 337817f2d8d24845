//! What a build came to.

use std::time::Duration;

use zako_path::NeutralPath;

use crate::diagnostic::{Diagnostic, Fault};
use crate::ledger::Cause;

/// A target that a build was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltTarget {
    /// Its label.
    pub label: String,
    /// What it builds by default, relative to the workspace's root.
    pub files: Vec<NeutralPath>,
    /// Whether all of it is there.
    pub built: bool,
}

/// Why an action ran, or would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionReason {
    /// Label of the target that it belongs to.
    pub owner: String,
    /// What it does, as it is shown when it runs.
    pub what: String,
    /// What reached it. Nothing in a forecast, when that depends on what the actions in `because` come to.
    pub causes: Vec<Cause>,
    /// The actions whose outputs it reads and that ran, or would run, before it: their places in the same list.
    pub because: Vec<usize>,
}

/// How many actions ended which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActionCounts {
    /// Ran and succeeded.
    pub run: usize,
    /// Restored from the store.
    pub from_cache: usize,
    /// Up to date already.
    pub up_to_date: usize,
    /// Failed.
    pub failed: usize,
    /// Not tried because of a failure.
    pub skipped: usize,
    /// Cancelled or never begun.
    pub cancelled: usize,
}

/// What a build came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildReport {
    /// The targets that were asked for, by label.
    pub targets: Vec<BuiltTarget>,
    /// The actions.
    pub actions: ActionCounts,
    /// In a dry run, the actions that would run, in the order of their targets.
    pub would_run: Vec<ActionReason>,
    /// Every error and warning, in the order in which they were found.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// How long it took.
    pub wall: Duration,
}

impl BuildReport {
    /// Why the build did not succeed; `None` when it did. The worst of its errors counts: an interruption, then
    /// a failing machine, then wrong input, then a failing action.
    pub fn fault(&self) -> Option<Fault> {
        if self.cancelled {
            return Some(Fault::Interrupted);
        }
        let errors = self
            .diagnostics
            .iter()
            .filter(|d| d.severity == crate::diagnostic::Severity::Error);
        errors.map(|d| d.fault).max_by_key(|fault| match fault {
            Fault::Build => 0,
            Fault::User => 1,
            Fault::Environment | Fault::Bug => 2,
            Fault::Interrupted => 3,
        })
    }
}
