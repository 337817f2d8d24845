//! An executor that writes down what it is asked, around another executor or around none.
//!
//! Around none it is a dry run: everything ends well, and nothing is run or written.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_cas::DigestFunction;

use crate::{ActionSpec, ExecuteError, Executed, Executor, Exit, Job, OutputSink, Usage};

/// How many recordings are kept; older ones are dropped.
pub const MAX_RECORDINGS: usize = 1 << 16;

/// Records every job that it is given.
pub struct RecordingExecutor {
    inner: Inner,
    recordings: Mutex<VecDeque<Recording>>,
}

enum Inner {
    Executor(Arc<dyn Executor>),
    Nothing(DigestFunction),
}

/// One job as it was asked for, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The action.
    pub spec: Arc<ActionSpec>,
    /// Which attempt it was, from 0.
    pub attempt: u32,
    /// How it went.
    pub outcome: Outcome,
}

/// How a recorded job went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to this end; in a dry run always with code 0.
    Ended(Exit),
    /// It could not be run; the error's message.
    Failed(String),
}

impl RecordingExecutor {
    /// Records what `inner` is asked.
    pub fn around(inner: Arc<dyn Executor>) -> Self {
        Self {
            inner: Inner::Executor(inner),
            recordings: Mutex::default(),
        }
    }

    /// Runs nothing; `function` names the empty output.
    pub fn dry_run(function: DigestFunction) -> Self {
        Self {
            inner: Inner::Nothing(function),
            recordings: Mutex::default(),
        }
    }

    /// What was recorded, in the order in which jobs ended.
    pub fn recordings(&self) -> Vec<Recording> {
        self.recordings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    fn record(&self, recording: Recording) {
        let mut recordings = self
            .recordings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if recordings.len() == MAX_RECORDINGS {
            recordings.pop_front();
        }
        recordings.push_back(recording);
    }
}

impl Executor for RecordingExecutor {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        async move {
            let result = match &self.inner {
                Inner::Executor(inner) => inner.execute(job, sink, cancel).await,
                Inner::Nothing(_) if cancel.is_cancelled() => Err(ExecuteError::Cancelled),
                Inner::Nothing(function) => Ok(Executed {
                    exit: Exit::Code(0),
                    stdout: function.empty(),
                    stderr: function.empty(),
                    outputs: Vec::new(),
                    usage: Usage::default(),
                    depfile: None,
                }),
            };
            let outcome = match &result {
                Ok(executed) => Outcome::Ended(executed.exit),
                Err(error) => Outcome::Failed(error.to_string()),
            };
            self.record(Recording {
                spec: job.action.spec.clone(),
                attempt: job.attempt,
                outcome,
            });
            result
        }
        .boxed()
    }
}
