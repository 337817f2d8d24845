//! What is run, and what came of it: data only.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use zako_action::{Exit, RetryPolicy, Usage};

use crate::process::{DEFAULT_GRACE, FIXED_PATH, ProcessStdin};
use crate::resource_pool::{Priority, Request};

/// A command's number in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Where what a command prints goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CommandOutput {
    /// To the observer, line by line.
    #[default]
    Lines,
    /// Standard output into this file, which is made or emptied: it does not pass through this process. Standard error is
    /// observed as usual.
    File(PathBuf),
}

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program: a path, or a name that is looked up on the PATH of `env`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The folder that it runs in, absolute.
    pub dir: PathBuf,
    /// All of its environment.
    pub env: BTreeMap<String, String>,
    /// What it reads from standard input.
    pub stdin: ProcessStdin,
    /// Where its standard output goes.
    pub output: CommandOutput,
    /// The longest that one attempt may take.
    pub timeout: Option<Duration>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Who goes first.
    pub priority: Priority,
    /// What it needs of the machine, besides one of the pool's slots.
    pub resources: Request,
    /// When it is tried again.
    pub retry: RetryPolicy,
}

impl Command {
    /// A command without arguments, with a constant PATH as its environment, and the pool's usual priority.
    pub fn new(program: impl Into<OsString>, dir: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            dir: dir.into(),
            env: [("PATH".to_owned(), FIXED_PATH.to_owned())].into(),
            stdin: ProcessStdin::Nothing,
            output: CommandOutput::Lines,
            timeout: None,
            grace: DEFAULT_GRACE,
            priority: Priority::default(),
            resources: Request::default(),
            retry: RetryPolicy::default(),
        }
    }

    /// With these arguments after those that it has.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// With this standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: ProcessStdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// With its output there.
    #[must_use]
    pub fn output(mut self, output: CommandOutput) -> Self {
        self.output = output;
        self
    }

    /// With this limit of time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// With these needs.
    #[must_use]
    pub fn resources(mut self, resources: Request) -> Self {
        self.resources = resources;
        self
    }

    /// With this policy of retries.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }
}

/// Why a command did not run to an end of its own. Running out of time is an end: [`Exit::TimedOut`].
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It was cancelled, in the queue or while it ran.
    #[error("cancelled")]
    Cancelled,
    /// It could not be run.
    #[error(transparent)]
    Process(#[from] crate::process::ProcessError),
    /// The closure that was to run it panicked.
    #[error("it panicked: {0}")]
    Panicked(String),
}

/// What came of a command.
#[derive(Debug)]
pub struct CommandResult {
    /// Which.
    pub id: CommandId,
    /// How its last attempt ended.
    pub outcome: Result<Exit, CommandError>,
    /// What that used.
    pub usage: Usage,
    /// How often it was tried; zero if it never ran.
    pub attempts: u32,
    /// How long it was in the queue.
    pub waited: Duration,
}

impl CommandResult {
    /// Whether it ended with exit code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.outcome, Ok(Exit::Code(0)))
    }
}
