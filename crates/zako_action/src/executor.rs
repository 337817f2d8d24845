//! The executor: what runs a prepared action, here, elsewhere, or not at all.
//!
//! Executors compose: one that caches or records wraps another. Must never know how actions are
//! planned or admitted; an executor is handed work that may start now.
//!
//! **Invariant:** an executor returns only when nothing that it started is left running, and when
//! every output named in [`Executed`] is in the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use zako_cas::{Digest, StoreError};
use zako_path::NeutralPath;

use crate::{OutputFile, Prepared};

/// Runs prepared actions.
pub trait Executor: Send + Sync {
    /// Runs `job` to its end. Output is handed to `sink` as it comes, and is in the store at the
    /// end. A process that ends badly is no error: see [`Executed::exit`].
    ///
    /// # Errors
    /// When the action could not be run, or ended without all that it declares; with
    /// [`ExecuteError::Cancelled`] after `cancel` fired.
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>>;
}

impl<E: Executor + ?Sized> Executor for Box<E> {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        (**self).execute(job, sink, cancel)
    }
}

/// One attempt at one action.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to run.
    pub action: Arc<Prepared>,
    /// Absolute root of the workspace: sources and `zako-out` live there.
    pub workspace: Arc<Path>,
    /// A folder of this action alone, of a stable name, on the workspace's file system. The
    /// executor creates or clears it, and may leave outputs there (see [`Produced::produced_at`]).
    pub scratch: PathBuf,
    /// Which attempt this is, from 0.
    pub attempt: u32,
}

/// Takes what an action prints, as it comes. Called from any thread; must not block for long.
pub trait OutputSink: Send + Sync {
    /// The next bytes of `stream`.
    fn write(&self, stream: Stream, chunk: &[u8]);
}

/// A sink that drops everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSink;

impl OutputSink for NoSink {
    fn write(&self, _stream: Stream, _chunk: &[u8]) {}
}

/// One of the two streams that an action prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// How it ended.
    pub exit: Exit,
    /// All that it printed to standard output; in the store.
    pub stdout: Digest,
    /// All that it printed to standard error; in the store.
    pub stderr: Digest,
    /// What it wrote, in the order of the spec's outputs; empty unless it succeeded.
    pub outputs: Vec<Produced>,
    /// What it used of the machine.
    pub usage: Usage,
    /// The depfile's content, when the spec has one and the action wrote it.
    pub depfile: Option<Bytes>,
}

impl Executed {
    /// Whether it ended with exit code 0.
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }
}

/// An output and where it was left on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    /// What was written; its blobs are in the store.
    pub file: OutputFile,
    /// Where the very file (or directory) lies, for the caller to rename into place; `None` when
    /// it exists in the store alone.
    pub produced_at: Option<PathBuf>,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Killed by this signal, that zako did not send.
    Signal(i32),
    /// Ended by zako because it ran longer than its time-out.
    TimedOut {
        /// The time-out.
        after: Duration,
    },
}

/// What an action used of the machine; zero where it can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// From start to end.
    pub wall: Duration,
    /// CPU time in its own code, children included.
    pub user: Duration,
    /// CPU time in the kernel, children included.
    pub system: Duration,
    /// The largest resident set of any one of its processes, in bytes.
    pub max_rss_bytes: u64,
    /// Blocks of 512 bytes read from disk.
    pub blocks_in: u64,
    /// Blocks of 512 bytes written to disk.
    pub blocks_out: u64,
}

/// Why an action could not be run, or not to a good end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The token fired; everything that was started is gone.
    #[error("cancelled")]
    Cancelled,
    /// A program that it needs is not on this machine.
    #[error(
        "program `{program}` not found (looked in {looked_in}); install it, or build it and name it in `tools`"
    )]
    MissingTool {
        /// The program as the action names it.
        program: String,
        /// Where it was looked for, as a PATH.
        looked_in: String,
    },
    /// It succeeded without writing what it declares.
    #[error("the action ended well but did not write {}", list(paths))]
    MissingOutput {
        /// The outputs that are not there.
        paths: Vec<NeutralPath>,
    },
    /// It wrote a directory where it declares a file, or the other way round.
    #[error("`{path}` is declared as a {declared}, but the action wrote a {found}")]
    OutputKind {
        /// The output.
        path: NeutralPath,
        /// What the spec says, in a word.
        declared: &'static str,
        /// What is there, in a word.
        found: &'static str,
    },
    /// It read files of the workspace that it does not declare.
    #[error(
        "the action read {} without declaring it; add it to `inputs` or `deps` of {owner}",
        list(paths)
    )]
    UndeclaredInput {
        /// Label of the owner, which is what has to be edited.
        owner: String,
        /// The files.
        paths: Vec<NeutralPath>,
    },
    /// The depfile is there and can't be read.
    #[error("depfile `{path}` is malformed: {reason}")]
    Depfile {
        /// The depfile.
        path: NeutralPath,
        /// What is wrong with it.
        reason: String,
    },
    /// A declared input changed while the action ran.
    #[error("`{path}` changed while the action ran; its result is not kept")]
    InputChanged {
        /// The input.
        path: NeutralPath,
    },
    /// The process could not be started.
    #[error("cannot start `{program}`: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The system's own error.
        source: std::io::Error,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "create" …
        verb: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's own error.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A script action failed; the message carries the script's own stack.
    #[error("{0}")]
    Script(String),
    /// This executor can't run this action.
    #[error("{executor} cannot run this action: {reason}")]
    Unsupported {
        /// The executor, in a word.
        executor: &'static str,
        /// Why not.
        reason: String,
    },
    /// An error of an executor that an embedder brought.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

fn list(paths: &[NeutralPath]) -> String {
    let quoted: Vec<String> = paths.iter().map(|p| format!("`{p}`")).collect();
    quoted.join(", ")
}
