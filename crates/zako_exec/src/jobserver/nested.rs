//! An executor around the local one: actions that run a build tool which speaks the jobserver get a share of the pool's processors.
//!
//! What is added to such an action (MAKEFLAGS, and a shell that opens the pipe) says how fast it may be, not what it makes, so it is in
//! no key: it is added when the action runs. Behind walls the pipe is the one thing of this machine that is shown beside the base.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionSpec, ExecuteError, Executed, Executor, Job, OutputSink, ToolRef,
};

use super::JobServer;
use crate::LocalExecutor;
use crate::shell_commands::shell_commands;

/// The programs that are known to share a jobserver, by their names.
pub const NESTED_TOOLS: [&str; 4] = ["make", "gmake", "cargo", "ninja"];

/// Runs actions with `inner`, and those that run one of [`NESTED_TOOLS`] with a share of the pool.
#[derive(Clone, Debug)]
pub struct NestedExecutor {
    inner: LocalExecutor,
    server: JobServer,
}

impl NestedExecutor {
    /// Around `inner`, with processors lent by `server`.
    #[must_use]
    pub fn new(inner: LocalExecutor, server: JobServer) -> Self {
        Self { inner, server }
    }

    /// Whether `spec` runs a tool that shares (as its program, in its script as far as that can be seen, or by its `tools`), and
    /// does not set MAKEFLAGS itself.
    #[must_use]
    pub fn shares(spec: &ActionSpec) -> bool {
        let is_known = |name: &str| {
            let name = name.rsplit('/').next().unwrap_or(name);
            NESTED_TOOLS.contains(&name)
        };
        let is_program = match &spec.body {
            ActionBody::Command { argv } => argv.first().is_some_and(|name| is_known(name)),
            ActionBody::Shell { script } => shell_commands(script).any(is_known),
            ActionBody::Script { .. } => return false,
        };
        let is_tool = |tool: &ToolRef| match tool {
            ToolRef::Host(name) | ToolRef::Versioned { path: name, .. } => is_known(name),
            ToolRef::Artifact(_) => false,
        };
        // Windows has another protocol (see `windows/server.rs`).
        !cfg!(windows)
            && !spec.env.contains_key("MAKEFLAGS")
            && (is_program || spec.tools.iter().any(is_tool))
    }
}

impl Executor for NestedExecutor {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        async move {
            if !Self::shares(&job.action.spec) {
                return self.inner.execute(job, sink, cancel).await;
            }
            let session = self.server.session().map_err(|source| ExecuteError::Io {
                verb: "make a pipe for",
                path: job.scratch.clone(),
                source,
            })?;
            let nested = self.inner.clone().with_jobs(Arc::new(session));
            nested.execute(job, sink, cancel).await
        }
        .boxed()
    }
}
