//! One program, run to its end in a process group of its own.
//!
//! It must never know actions, workspaces or the store: it is handed paths and words, and hands on bytes.
//!
//! **Invariants:**
//! - Nothing is forked from this process, which may hold gigabytes of V8: on Linux a child shares its memory until it runs
//!   its program (`launch`); elsewhere, and on kernels without `clone3`, [`std::process::Command`] goes through
//!   `posix_spawn` as long as no `pre_exec`, uid, gid, groups or chroot is set, and the program is a path when PATH is in
//!   the environment. `clippy.toml` bans `pre_exec`; `benches/spawn.rs` shows that the cost does not grow with the
//!   resident size.
//! - The leader is not reaped before the last signal was sent to its group: its pid, which is the group's id, can't
//!   belong to somebody else meanwhile.
//! - When [`Process::run`] returns, or its future is dropped, the group has been killed. Behind walls, and in a control group,
//!   that is every process that came of it, whatever group it made for itself.
//! - On Linux the leader is killed when this process ends in whatever way, on Windows all that came of it.
//!
//! Waiting costs no thread: the leader's end is a readable pidfd in tokio's reactor (elsewhere than on Linux a thread
//! sleeps in `waitid`). The runtime must have I/O and time enabled.
//!
//! On Windows files of `process/windows/` stand for those of the same name: a process is in a job object instead of a group, a thread
//! reads each pipe, and Ctrl-Break is what SIGTERM is elsewhere.

mod attributes;
#[cfg_attr(windows, path = "process/windows/by_std.rs")]
mod by_std;
#[cfg_attr(windows, path = "process/windows/exit_watch.rs")]
mod exit_watch;
#[cfg_attr(windows, path = "process/windows/group.rs")]
mod group;
#[cfg(windows)]
#[path = "process/windows/job.rs"]
pub(crate) mod job;
#[cfg(walls)]
mod launch;
mod program;
#[cfg_attr(windows, path = "process/windows/reap.rs")]
mod reap;
#[cfg_attr(windows, path = "process/windows/signals.rs")]
mod signals;
mod spawn;
mod streams;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use zako_action::{Exit, Stream, Usage};

#[cfg(walls)]
pub(crate) use launch::raw;

pub(crate) use crate::system::FIXED_PATH;
pub use attributes::{Attributes, Limits};
pub use program::find_program;
pub use signals::{SIGNALS, signal_number};

use crate::census::Census;
use crate::control_group::{ControlGroups, GroupLimits};
use exit_watch::ExitWatch;
use group::Signal;
use streams::Streams;

/// How long a process group has between SIGTERM and SIGKILL, unless told otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(2);

/// How long output is still waited for after the whole group was killed: only a process that left the group can hold
/// the pipes open then, and it is not waited for.
pub const DRAIN_LIMIT: Duration = Duration::from_millis(500);

/// Makes the thread that starts programs, where there is one, which the first start does otherwise.
pub fn begin_launcher() {
    #[cfg(walls)]
    launch::begin_launcher();
}

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Process {
    /// The program: an absolute path, a path relative to `dir`, or a bare name that is looked up on the PATH in
    /// `env` (on [`FIXED_PATH`] when there is none).
    pub program: PathBuf,
    /// What the program sees as its own name (`argv[0]`); `program` itself if `None`.
    pub arg0: Option<OsString>,
    /// Its arguments, without `argv[0]`.
    pub args: Vec<OsString>,
    /// All of its environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Its working directory, absolute.
    pub dir: PathBuf,
    /// What it reads from standard input.
    pub stdin: ProcessStdin,
    /// The longest that it may run before it is ended; no limit if `None`.
    pub timeout: Option<Duration>,
    /// Time between SIGTERM and SIGKILL when it is ended.
    pub grace: Duration,
    /// Its limits, and how it stands among others. On Linux only; on Windows as far as a job object can, where the rest is an error, as
    /// any is on other systems.
    pub attributes: Attributes,
    /// What it is shut off from; `dir` and `program`, which must be absolute, are as it sees them.
    pub(crate) walls: Option<std::sync::Arc<crate::sandbox::Walls>>,
    /// Where it is listed while it runs, and for the action with which scratch folder.
    pub(crate) census: Option<(Census, PathBuf)>,
    /// Whose control group it gets, and with which limits.
    pub(crate) groups: Option<(ControlGroups, Option<GroupLimits>)>,
}

/// What a process reads from standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProcessStdin {
    /// Nothing: `/dev/null`.
    #[default]
    Nothing,
    /// This file, opened for reading.
    File(PathBuf),
    /// These bytes (through an unnamed temporary file, so that a process that reads none of them is no special case).
    Bytes(Bytes),
}

/// How a process ended that was not given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code, its signal, or that it ran out of time.
    pub exit: Exit,
    /// What it used. `max_rss_bytes` is zero when it is not larger than the peak of this very process: a child counts
    /// the memory of the process that it was spawned from as its own until it runs its program (`exec_mmap` in Linux), so
    /// a smaller number would be ours, not the child's. In a control group with limits it is the peak of all together.
    pub usage: Usage,
}

/// Why a process did not run, or was given up.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("program `{program}` not found (looked in {looked_in})")]
    NotFound {
        /// As it was asked for.
        program: String,
        /// A PATH, or the full path that isn't there.
        looked_in: String,
    },
    /// The program is there, but the system does not start it.
    #[error("cannot start `{program}`: {source}")]
    Spawn {
        /// The program's full path.
        program: String,
        /// The system's own error.
        source: io::Error,
    },
    /// The file for standard input can't be read, or the temporary one not be written.
    #[error("cannot open standard input{}: {source}", path.as_ref().map(|p| format!(" from {}", p.display())).unwrap_or_default())]
    Stdin {
        /// The file, if it was a named one.
        path: Option<PathBuf>,
        /// The system's own error.
        source: io::Error,
    },
    /// The process can't be watched or its output not be read; it has been killed.
    #[error("cannot watch `{program}`: {source}")]
    Watch {
        /// The program.
        program: String,
        /// The system's own error.
        source: io::Error,
    },
    /// The token was cancelled; the whole group is gone.
    #[error("cancelled")]
    Cancelled,
    /// The receiver of the output wanted no more; the whole group is gone.
    #[error("stopped by the receiver of its output")]
    Stopped,
}

/// Why a running process is being ended.
#[derive(Clone, Copy)]
enum Ending {
    TimedOut(Duration),
    Cancelled,
    Stopped,
}

/// A receiver of output: called in the order of arrival (order between the two streams is approximate), from the task
/// that runs the process; `Break` ends the process.
pub type Receive<'a> = dyn FnMut(Stream, &[u8]) -> ControlFlow<()> + Send + 'a;

impl Process {
    /// A process without arguments, environment or standard input, and with no time-out.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, dir: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arg0: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: dir.into(),
            stdin: ProcessStdin::Nothing,
            timeout: None,
            grace: DEFAULT_GRACE,
            attributes: Attributes::default(),
            walls: None,
            census: None,
            groups: None,
        }
    }

    /// Runs it to its end. At most 64 KiB of output are held at a time: what `receive` does not keep is gone.
    ///
    /// When the time-out passes or `cancel` fires, the whole group gets SIGTERM, and SIGKILL after the grace. When the
    /// leader ends by itself, what it left running in its group is killed. Dropping the future kills the group at once.
    ///
    /// # Errors
    /// See [`ProcessError`]. A process that ends badly is no error.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn run(
        &self,
        receive: &mut Receive<'_>,
        cancel: &CancellationToken,
    ) -> Result<Finished, ProcessError> {
        if cancel.is_cancelled() {
            return Err(ProcessError::Cancelled);
        }
        let started = Instant::now();
        let spawned = spawn::spawn(self, cancel).await?;
        let group = spawned.group;
        let listed = self.census.as_ref();
        let listed =
            listed.map(|(census, scratch)| census.enter(scratch, group.pid(), group.control()));
        let watch = |source| ProcessError::Watch {
            program: self.program.display().to_string(),
            source,
        };
        let mut streams = Streams::new(spawned.stdout, spawned.stderr).map_err(watch)?;
        let mut exited = ExitWatch::new(group.leader(), spawned.pidfd).map_err(watch)?;

        let mut ending = None;
        // The next thing that time brings: the time-out, then the end of the grace.
        let mut killed = false;
        let mut alarm = self.timeout.and_then(|limit| started.checked_add(limit));
        loop {
            let next = tokio::select! {
                end = exited.ended() => { end.map_err(watch)?; break }
                chunk = streams.next(), if streams.is_open() => {
                    let chunk = chunk.map_err(watch)?;
                    if chunk.is_none_or(|(stream, bytes)| receive(stream, bytes).is_continue()) {
                        continue;
                    }
                    Ending::Stopped
                }
                () = until(alarm), if alarm.is_some() => match ending {
                    None => Ending::TimedOut(self.timeout.unwrap_or_default()),
                    Some(_) => {
                        group.signal(Signal::KILL);
                        (alarm, killed) = (None, true);
                        continue;
                    }
                },
                () = cancel.cancelled(), if ending.is_none() => Ending::Cancelled,
            };
            // A receiver that wants no more may say so again after the process is being ended.
            if ending.is_none() {
                ending = Some(next);
                group.signal(Signal::TERM);
                alarm = Instant::now().checked_add(self.grace);
            }
        }
        // The leader is a zombie now and keeps the group's id. Members that were told to end have the rest of the grace.
        if ending.is_some() && !killed {
            let _wants_no_more = streams.drain(receive, alarm).await.map_err(watch)?;
        }
        group.signal(Signal::KILL);
        group.emptied(Instant::now() + DRAIN_LIMIT).await;
        let flow = streams
            .drain(receive, Instant::now().checked_add(DRAIN_LIMIT))
            .await
            .map_err(watch)?;
        drop(listed);
        let reaped = group.reap().map_err(watch)?;
        if let Some(source) = reaped.failure {
            return Err(ProcessError::Spawn {
                program: self.program.display().to_string(),
                source,
            });
        }
        let (exit, mut usage) = (reaped.exit, reaped.usage);
        usage.wall = started.elapsed();
        // Read after it was collected: peaks only grow, so this is no less than what the child inherited.
        if usage.max_rss_bytes <= reap::own_peak_bytes() {
            usage.max_rss_bytes = 0;
        }
        usage.max_rss_bytes = reaped.group_peak.unwrap_or(usage.max_rss_bytes);
        match ending {
            None if flow.is_break() => Err(ProcessError::Stopped),
            None => Ok(Finished { exit, usage }),
            Some(Ending::TimedOut(after)) => Ok(Finished {
                exit: Exit::TimedOut { after },
                usage,
            }),
            Some(Ending::Cancelled) => Err(ProcessError::Cancelled),
            Some(Ending::Stopped) => Err(ProcessError::Stopped),
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
