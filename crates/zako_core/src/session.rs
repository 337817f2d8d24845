//! A workspace that is open: builds and questions about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::diagnostic::{Diagnostic, Fault};
use crate::event::BuildEvent;
use crate::global::GlobalState;
use crate::options::BuildOptions;
use crate::report::BuildReport;

/// How many events wait for a reader before the build waits too.
const MAX_EVENTS: usize = 4096;

/// A workspace that is open.
#[derive(Clone)]
pub struct Session {
    global: Arc<GlobalState>,
    root: Arc<Path>,
}

/// A target, as `zako targets` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetInfo {
    /// Its label.
    pub label: String,
    /// Its rule, as `zako:build#task`.
    pub rule: String,
    /// Where it is declared, `FILE:LINE:COLUMN`.
    pub declared_at: String,
    /// Names of its named outputs.
    pub outputs: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// What `zako run` starts: a program that a target built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// The program, absolute.
    pub program: PathBuf,
    /// The target's label.
    pub label: String,
}

/// What an evaluation of one file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedFile {
    /// The exports as one JSON object; targets as their labels, files as their paths.
    pub exports: serde_json::Value,
    /// What the file logged.
    pub logs: Vec<Diagnostic>,
}

impl Session {
    /// Opens the workspace whose `zako.toml` is in `start` or the nearest folder above it.
    pub fn open(global: Arc<GlobalState>, start: &Path) -> Result<Session, Diagnostic> {
        Ok(Session { global, root: start.into() })
    }

    /// The workspace's root: the folder of its `zako.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins a build of the targets that `patterns` name (SCRIPT-API: "Patterns"); must be called in a tokio runtime.
    pub fn build(&self, patterns: &[String], options: BuildOptions) -> Build {
        let (_send, events) = mpsc::channel(MAX_EVENTS);
        let _ = (&self.global, patterns, options);
        let cancel = CancellationToken::new();
        let task = tokio::spawn(async { unreachable_for_now() });
        Build { events, task, cancel }
    }

    /// The targets that `patterns` name, by label.
    pub async fn targets(&self, _patterns: &[String], _options: &BuildOptions) -> Result<Vec<TargetInfo>, Vec<Diagnostic>> {
        Err(Vec::new())
    }

    /// What `label` builds that can be run, once it is built.
    pub fn runnable(&self, _report: &BuildReport) -> Result<Runnable, Diagnostic> {
        Err(Diagnostic::user(""))
    }

    /// Evaluates one file by itself, hermetically.
    pub async fn evaluate(&self, _file: &Path, _options: &BuildOptions) -> Result<EvaluatedFile, Diagnostic> {
        Err(Diagnostic::user(""))
    }

    /// Writes the declarations of all builtins and a `tsconfig.json` for editors below `.zako/`; gives the files
    /// that it wrote or found as they should be.
    pub fn write_types(&self) -> Result<Vec<PathBuf>, Diagnostic> {
        Ok(Vec::new())
    }

    /// Removes what zako wrote into the workspace: `zako-out/` and `.zako/`; gives what it removed.
    pub fn clean(&self) -> Result<Vec<PathBuf>, Diagnostic> {
        Ok(Vec::new())
    }
}

/// Makes `dir` a workspace: a `zako.toml` and a first `BUILD.ts`, unless there is one; gives the files that it wrote.
pub fn init(_dir: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    Ok(Vec::new())
}

fn unreachable_for_now() -> BuildReport {
    BuildReport {
        targets: Vec::new(),
        actions: crate::report::ActionCounts::default(),
        diagnostics: vec![Diagnostic::error(Fault::Bug, "")],
        cancelled: false,
        wall: std::time::Duration::ZERO,
    }
}

/// A build that runs. Dropping it cancels the build; its children are stopped in the background.
pub struct Build {
    events: mpsc::Receiver<BuildEvent>,
    task: tokio::task::JoinHandle<BuildReport>,
    cancel: CancellationToken,
}

impl Build {
    /// The next event; `None` after the last. A build waits when nobody reads its events, until [`Build::report`] is awaited.
    pub async fn next_event(&mut self) -> Option<BuildEvent> {
        self.events.recv().await
    }

    /// A handle that cancels the build; the report comes when its children are gone.
    pub fn cancel_handle(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Waits for the end, dropping events that were not read.
    pub async fn report(mut self) -> BuildReport {
        while self.events.recv().await.is_some() {}
        (&mut self.task).await.unwrap_or_else(|_| unreachable_for_now())
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
