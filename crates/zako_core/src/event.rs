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

/// What an action that ran used. Of one whose worker does several at once, time, memory and bytes are zero: whose they were is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ActionUsage {
    /// The exit code of its last attempt, if it ended by itself.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it ran out of time.
    pub timed_out: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// Wall-clock time, in milliseconds.
    pub wall_ms: u64,
    /// User CPU time, in milliseconds.
    pub user_ms: u64,
    /// System CPU time, in milliseconds.
    pub system_ms: u64,
    /// Peak resident memory in bytes; 0 when it is not known: of an action that was over before it was looked at, had no control group
    /// with limits, and held less than zako itself, which the system counts for a child until that runs its program.
    pub max_rss_bytes: u64,
    /// Bytes read from disk, past the system's cache.
    pub read_bytes: u64,
    /// Bytes written to disk.
    pub written_bytes: u64,
}

/// How everything fares that runs actions, at one moment. Queue and pool are those of all sessions of a
/// [`GlobalState`](crate::GlobalState), workers are a session's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BuildHealth {
    /// Actions that wait for resources.
    pub waiting: usize,
    /// Pieces of work that hold resources: actions, and processors lent to nested build tools.
    pub running: usize,
    /// How often resources were granted since the pool was made.
    pub granted: u64,
    /// CPU that is held, in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory that is promised, in bytes.
    pub memory_bytes: u64,
    /// Memory that can be handed out until the machine, or zako's control group, is short, in bytes; where that can be told.
    pub memory_left: Option<u64>,
    /// Whether processes stand still for want of memory.
    pub memory_stalled: bool,
    /// Whether something waits for nothing but the machine's memory.
    pub waits_for_memory: bool,
    /// Processors that are lent to nested build tools.
    pub lent_jobs: usize,
    /// Workers that do something.
    pub busy_workers: usize,
    /// Workers that there are.
    pub workers: usize,
    /// Workers that were started since the session began.
    pub workers_started: u64,
    /// Workers that broke.
    pub workers_broken: u64,
    /// Kinds of workers that broke so often that they are left alone for now.
    pub workers_avoided: usize,
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
    /// All packages are evaluated and all rules analysed: the actions are known, but for those that come of dynamic steps. When there are
    /// more of these, it is told again, with the new sums.
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
    /// An action that runs has printed nothing and used no processor for long.
    ActionStuck {
        /// Which.
        #[serde(flatten)]
        action: ActionName,
        /// For how long.
        still_ms: u64,
    },
    /// How the build fares; told every second at most, when it changed.
    Health(BuildHealth),
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
