//! An executor around another one: actions that run a build tool which speaks the jobserver get a share of the pool's processors.
//!
//! What is added to such an action (MAKEFLAGS, and a shell that opens the pipe) says how fast it may be, not what it makes, so it is in
//! no key: it is added when the action runs.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionSpec, ExecuteError, Executed, Executor, Job, OutputSink, Prepared, ToolRef,
};

use super::{JobServer, JobSession, JobStyle};
use crate::shell_commands::shell_commands;

/// The programs that are known to share a jobserver, by their names.
pub const NESTED_TOOLS: [&str; 4] = ["make", "gmake", "cargo", "ninja"];

/// Runs actions with `inner`, and those that run one of [`NESTED_TOOLS`] with a share of the pool.
pub struct NestedExecutor<E> {
    inner: E,
    server: JobServer,
}

impl<E: Executor> NestedExecutor<E> {
    /// Around `inner`, with processors lent by `server`.
    #[must_use]
    pub fn new(inner: E, server: JobServer) -> Self {
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
        !spec.env.contains_key("MAKEFLAGS") && (is_program || spec.tools.iter().any(is_tool))
    }
}

/// The action with the pipe of `session`. The shell finds a bare name on the same PATH as the inner executor would, and the
/// program sees the same name of itself.
fn sharing(action: &Prepared, session: &JobSession) -> Prepared {
    let mut action = action.clone();
    // A command has no variables of a shell action, so they are written out.
    let environment = action.spec.environment();
    let spec = Arc::make_mut(&mut action.spec);
    if let Some(argv) = spec.argv() {
        spec.body = ActionBody::Command {
            argv: session.wrap(&argv),
        };
        spec.env = environment;
        let flags = session.makeflags(JobStyle::Pipe);
        spec.env.insert("MAKEFLAGS".to_owned(), flags);
    }
    action
}

impl<E: Executor> Executor for NestedExecutor<E> {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        async move {
            let spec = &job.action.spec;
            // A list of inputs that is a file is known to the inner executor alone.
            if !Self::shares(spec) || spec.in_list().is_some() {
                return self.inner.execute(job, sink, cancel).await;
            }
            let session = self.server.session().map_err(|source| ExecuteError::Io {
                verb: "make a pipe for",
                path: job.scratch.clone(),
                source,
            })?;
            let nested = Job {
                action: Arc::new(sharing(&job.action, &session)),
                ..job.clone()
            };
            self.inner.execute(&nested, sink, cancel).await
        }
        .boxed()
    }
}
