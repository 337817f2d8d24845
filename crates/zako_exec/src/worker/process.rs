//! One worker process: requests go in, answers come back by their number.
//!
//! **Invariant:** every request ends: by its answer, or by an error when the process is gone or says what is no answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{WorkRequest, WorkResponse, WorkerIdentity};
use crate::companion::{ChildReader, ChildWriter, Companion, CompanionHandle};
use crate::process::{Process, ProcessError};

/// What a worker is told besides its own arguments, so that it stays.
const PERSISTENT: &str = "--persistent_worker";

/// Lines of a worker's standard error that are kept for when it fails.
const KEPT_LINES: usize = 20;

/// Bytes of such a line that are kept.
const KEPT_LINE_BYTES: usize = 400;

/// Why a worker did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("the worker {name} cannot be started: {reason}")]
    Start {
        /// The worker.
        name: String,
        /// Why not.
        reason: String,
    },
    /// It ended, or broke the protocol, before it answered.
    #[error("the worker {name} {how}{}", after(stderr))]
    Broken {
        /// The worker.
        name: String,
        /// What it did.
        how: String,
        /// The last that it wrote to standard error.
        stderr: String,
    },
    /// It was ended because another request that it worked on was given up, and it did not stop working on that.
    #[error("the worker {name} was ended, because it did not give another request up")]
    Lost {
        /// The worker.
        name: String,
    },
    /// The request was given up.
    #[error("cancelled")]
    Cancelled,
}

fn after(stderr: &str) -> String {
    match stderr.is_empty() {
        true => String::new(),
        false => format!("; the last that it wrote:\n{stderr}"),
    }
}

type Waiting = HashMap<i32, oneshot::Sender<WorkResponse>>;

/// A worker that was started.
#[derive(Debug)]
pub(super) struct WorkerProcess {
    name: String,
    is_multiplex: bool,
    stdin: tokio::sync::Mutex<ChildWriter>,
    handle: CompanionHandle,
    next: AtomicI32,
    shared: Arc<Shared>,
}

/// What the reader's task and the requests share.
#[derive(Debug, Default)]
struct Shared {
    /// `None` once no answer can come any more.
    waiting: Mutex<Option<Waiting>>,
    /// How it ended, once it did.
    ended: Mutex<String>,
    stderr: Mutex<VecDeque<String>>,
    is_gone: AtomicBool,
    /// Whether it was killed for one of its requests.
    is_killed: AtomicBool,
}

impl WorkerProcess {
    /// Starts it in `dir`.
    pub(super) fn start(
        identity: &WorkerIdentity,
        dir: &std::path::Path,
    ) -> Result<Self, WorkerError> {
        let mut process = Process {
            dir: dir.to_owned(),
            ..identity.process.clone()
        };
        process.args.push(PERSISTENT.into());
        let companion = Companion::start(&process).map_err(|error| WorkerError::Start {
            name: identity.name.clone(),
            reason: match error {
                ProcessError::Spawn { source, .. } => source.to_string(),
                other => other.to_string(),
            },
        })?;
        let Companion {
            stdin,
            stdout,
            stderr,
            handle,
        } = companion;
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Some(Waiting::new())),
            ..Shared::default()
        });
        tokio::spawn(listen(stdout, stderr, Arc::clone(&shared)));
        Ok(Self {
            name: identity.name.clone(),
            is_multiplex: identity.multiplex > 1,
            stdin: tokio::sync::Mutex::new(stdin),
            handle,
            next: AtomicI32::new(1),
            shared,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.handle.pid()
    }

    /// Whether it works on several requests at once.
    pub(super) fn is_multiplex(&self) -> bool {
        self.is_multiplex
    }

    /// Whether it can be given work.
    pub(super) fn is_healthy(&self) -> bool {
        !self.shared.is_gone.load(Ordering::Acquire) && self.handle.is_alive()
    }

    pub(super) fn kill(&self) {
        // One that ended of itself has done so for all of its requests.
        let is_gone = self.shared.is_gone.load(Ordering::Acquire);
        self.shared.is_killed.fetch_or(!is_gone, Ordering::AcqRel);
        self.handle.kill();
    }

    /// Sends `request` (its number is set here); the answer is waited for apart, so that it can be cancelled.
    pub(super) async fn send(&self, mut request: WorkRequest) -> Result<Asked<'_>, WorkerError> {
        request.request_id = match self.is_multiplex {
            true => self.next.fetch_add(1, Ordering::Relaxed),
            false => 0,
        };
        let (sender, answer) = oneshot::channel();
        match &mut *self.shared.waiting.lock() {
            Some(waiting) => waiting.insert(request.request_id, sender),
            None => return Err(self.broken()),
        };
        let asked = Asked {
            worker: self,
            id: request.request_id,
            answer,
        };
        self.write(&request).await?;
        Ok(asked)
    }

    async fn write(&self, request: &WorkRequest) -> Result<(), WorkerError> {
        let line = serde_json::to_string(request).map_err(|error| WorkerError::Broken {
            name: self.name.clone(),
            how: format!("cannot be told: {error}"),
            stderr: String::new(),
        })?;
        let written = self.stdin.lock().await.line(&line).await;
        written.map_err(|_| self.broken())
    }

    fn broken(&self) -> WorkerError {
        if self.shared.is_killed.load(Ordering::Acquire) {
            return WorkerError::Lost {
                name: self.name.clone(),
            };
        }
        let how = self.shared.ended.lock().clone();
        let lines = self.shared.stderr.lock();
        WorkerError::Broken {
            name: self.name.clone(),
            how: match how.is_empty() {
                true => "takes no more requests".to_owned(),
                false => how,
            },
            stderr: lines
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}

/// A request that was sent. Dropping it forgets the answer.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    worker: &'a WorkerProcess,
    id: i32,
    answer: oneshot::Receiver<WorkResponse>,
}

impl Asked<'_> {
    /// The answer. May be dropped and called again.
    pub(super) async fn answer(&mut self) -> Result<WorkResponse, WorkerError> {
        let answer = (&mut self.answer).await;
        answer.map_err(|_| self.worker.broken())
    }

    /// Asks the worker to stop working on it.
    pub(super) async fn cancel(&self) -> Result<(), WorkerError> {
        let request = WorkRequest {
            request_id: self.id,
            cancel: true,
            ..WorkRequest::default()
        };
        self.worker.write(&request).await
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *self.worker.shared.waiting.lock() {
            waiting.remove(&self.id);
        }
    }
}

/// Hands answers out until the worker is gone, and keeps the last that it complained of.
async fn listen(mut stdout: ChildReader, mut stderr: ChildReader, shared: Arc<Shared>) {
    let complaints = {
        let shared = Arc::clone(&shared);
        async move {
            while let Ok(Some(line)) = stderr.line().await {
                let mut text = String::from_utf8_lossy(&line).into_owned();
                let end = (0..=KEPT_LINE_BYTES.min(text.len())).rev();
                text.truncate(
                    end.into_iter()
                        .find(|at| text.is_char_boundary(*at))
                        .unwrap_or(0),
                );
                let mut lines = shared.stderr.lock();
                if lines.len() >= KEPT_LINES {
                    lines.pop_front();
                }
                lines.push_back(text);
            }
        }
    };
    let complaints = tokio::spawn(complaints);
    let how = loop {
        match stdout.line().await {
            Ok(Some(line)) if line.iter().all(u8::is_ascii_whitespace) => {}
            Ok(Some(line)) => match serde_json::from_slice::<WorkResponse>(&line) {
                Ok(answer) => {
                    let sender = match &mut *shared.waiting.lock() {
                        Some(waiting) => waiting.remove(&answer.request_id),
                        None => None,
                    };
                    // Nobody waits for the answer to a request that was given up.
                    if let Some(sender) = sender {
                        let _given_up = sender.send(answer);
                    }
                }
                Err(_) => {
                    let shown: String = String::from_utf8_lossy(&line).chars().take(80).collect();
                    break format!(
                        "wrote to standard output what is no answer (`{shown}`); it must print to standard error only"
                    );
                }
            },
            Ok(None) => break "ended before it answered".to_owned(),
            Err(error) => break format!("cannot be read: {error}"),
        }
    };
    if how.starts_with("ended") {
        // It is gone, so its last words are all there; a grandchild may hold the pipe open, and is not waited for.
        let limit = crate::process::DRAIN_LIMIT;
        let _what_there_is = tokio::time::timeout(limit, complaints).await;
    } else {
        complaints.abort();
    }
    *shared.ended.lock() = how;
    shared.is_gone.store(true, Ordering::Release);
    // Dropping the senders tells everybody who waits.
    drop(shared.waiting.lock().take());
}
