//! What happens in a build, as it happens.

use std::time::Duration;

use serde::Serialize;

use crate::diagnostic::Diagnostic;

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionStatus {
    /// It ran and succeeded.
    Ran,
    /// Its result came from the store, and outputs were put in place.
    FromCache,
    /// Its result is known and its outputs are in place already: nothing was done.
    UpToDate,
    /// It failed.
    Failed,
    /// Something that it needs failed, so it was not tried.
    Skipped,
    /// The build was cancelled before it ended, or stopped before it began.
    Cancelled,
}

/// An action as people know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionName {
    /// Its number in this build.
    pub id: u32,
    /// Label of the target that it belongs to.
    pub owner: String,
    /// A short word for what it does.
    pub mnemonic: String,
    /// The line to show.
    pub message: String,
}

/// What an action that ran used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ActionUsage {
    /// Wall-clock time, in milliseconds.
    pub wall_ms: u64,
    /// User CPU time, in milliseconds.
    pub user_ms: u64,
    /// System CPU time, in milliseconds.
    pub system_ms: u64,
    /// Peak resident memory in bytes; 0 when the system could not tell.
    pub max_rss_bytes: u64,
}

/// Something that happened. One line each in the event log (`--event-log`), as JSON with the key `event`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum BuildEvent {
    /// The build began.
    Started {
        /// The patterns that it was asked for.
        patterns: Vec<String>,
    },
    /// It waits for another zako that builds in this workspace.
    Waiting {
        /// That process's id, where known.
        pid: Option<u32>,
    },
    /// A package's `BUILD.ts` was evaluated.
    PackageEvaluated {
        /// The package's path, empty for the workspace's root.
        package: String,
        /// How long that took.
        wall_ms: u64,
    },
    /// A message for people: an error, a warning, or what a script logged.
    Diagnostic(Diagnostic),
    /// All packages are evaluated and all rules analysed: the actions are known.
    Planned {
        /// How many targets are built.
        targets: usize,
        /// How many actions that takes, cached ones included.
        actions: usize,
    },
    /// An action runs.
    ActionStarted(ActionName),
    /// An action ended, one way or another.
    ActionFinished {
        /// Which.
        #[serde(flatten)]
        action: ActionName,
        /// How.
        status: ActionStatus,
        /// What it wrote, relative to the workspace's root.
        outputs: Vec<String>,
        /// What it used, if it ran.
        usage: Option<ActionUsage>,
        /// What it printed, if anything, as text and bounded; shown once.
        output: Option<String>,
    },
    /// The build ended.
    Finished {
        /// Actions that ran.
        run: usize,
        /// Actions whose results came from the store.
        from_cache: usize,
        /// Actions that were up to date.
        up_to_date: usize,
        /// Actions that failed.
        failed: usize,
        /// Actions not tried because of a failure.
        skipped: usize,
        /// How long the build took.
        wall_ms: u64,
    },
}

/// Milliseconds of a duration, as events carry them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
