//! What a session runs actions with, besides the store: the resource pool and who watches the machine for it, the jobserver of nested
//! build tools, control groups, and the workers.
//!
//! Threads and folders come with the first build that runs something. Processors, memory and network, and who watches the
//! machine for them, are of all sessions of a [`GlobalState`](crate::GlobalState).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use zako_exec::{
    AcquireError, Capacity, ControlGroups, Grant, JobClient, JobServer, JobToken, Priority,
    Request, ResourcePool, Sources, Watch, WorkerPool, WorkerPoolOptions,
};

use crate::diagnostic::Diagnostic;

/// Where workers have their folders, below the state folder.
const WORKERS_DIR: &str = "workers";

/// Leave to run an action; dropping it gives all of it back.
#[derive(Debug)]
#[must_use = "dropping an admission gives it back"]
pub(super) struct Admission {
    _token: Option<JobToken>,
    _grant: Grant,
}

/// What the sessions of one process run actions by: who may run, and who watches the machine once something does.
#[derive(Clone, Debug)]
pub(crate) struct Admitting {
    pool: ResourcePool,
    watch: Arc<OnceLock<Option<Watch>>>,
}

impl Admitting {
    /// With all of `capacity`.
    pub(crate) fn new(capacity: Capacity) -> Self {
        Admitting {
            pool: ResourcePool::new(capacity),
            watch: Arc::default(),
        }
    }

    /// The same for a workspace that has these named resources.
    pub(crate) fn with_named(&self, named: BTreeMap<String, u32>) -> Self {
        Admitting {
            pool: self.pool.with_named(named),
            watch: self.watch.clone(),
        }
    }
}

/// One session's.
#[derive(Debug)]
pub(crate) struct Machinery {
    pub(crate) pool: ResourcePool,
    pub(crate) workers: WorkerPool,
    pub(crate) groups: ControlGroups,
    jobs: OnceLock<Option<JobServer>>,
    makeflags: Option<String>,
    client: OnceLock<Option<JobClient>>,
    watch: Arc<OnceLock<Option<Watch>>>,
}

impl Machinery {
    /// For the workspace whose state is in `state`; `admitting` decides who may run, and beside it the jobserver that `makeflags`
    /// names.
    pub(crate) fn new(admitting: Admitting, state: &Path, makeflags: Option<String>) -> Self {
        let Admitting { pool, watch } = admitting;
        Machinery {
            pool,
            workers: WorkerPool::new(state.join(WORKERS_DIR), WorkerPoolOptions::default()),
            groups: ControlGroups::new(),
            jobs: OnceLock::new(),
            makeflags,
            client: OnceLock::new(),
            watch,
        }
    }

    /// Begins to watch the machine's memory. Without that, admission goes by what actions declare and what was learnt of them.
    pub(crate) fn watch(&self) {
        self.watch.get_or_init(|| {
            let watch = self.pool.watch(Sources::default());
            watch
                .inspect_err(|error| tracing::warn!(%error, "the machine's memory is not watched"))
                .ok()
        });
    }

    /// Begins to [watch](Self::watch), and to take part in the jobserver of whoever started zako. Gives a warning, once, when that
    /// can't be done.
    pub(crate) fn start(&self) -> Option<Diagnostic> {
        self.watch();
        let mut warning = None;
        self.client.get_or_init(|| {
            JobClient::of(self.makeflags.as_deref()?).unwrap_or_else(|error| {
                warning = Some(Diagnostic::warning(error.to_string()));
                None
            })
        });
        warning
    }

    /// Waits for what `request` asks for, and for a token of the jobserver that zako takes part in.
    pub(super) async fn admit(
        &self,
        request: &Request,
        priority: Priority,
        cancel: &CancellationToken,
    ) -> Result<Admission, AcquireError> {
        let grant = self.pool.acquire(request, priority, cancel).await?;
        let token = match self.client.get().and_then(Option::as_ref) {
            None => None,
            Some(client) => {
                let token = client.acquire(cancel).await;
                Some(token.ok_or(AcquireError::Cancelled)?)
            }
        };
        Ok(Admission {
            _token: token,
            _grant: grant,
        })
    }

    /// How many processors are lent to nested build tools.
    pub(super) fn lent_jobs(&self) -> usize {
        let server = self.jobs.get().and_then(Option::as_ref);
        server.map_or(0, JobServer::lent)
    }

    /// The jobserver, if it is `wanted`; `None` also when there can be none, and nested build tools run as they like.
    pub(crate) fn jobs_if(&self, wanted: bool) -> Option<&JobServer> {
        // What is lent would not be ours alone to lend.
        let takes_part = self.client.get().is_some_and(Option::is_some);
        if !wanted || takes_part {
            return None;
        }
        let made = self.jobs.get_or_init(|| {
            let server = JobServer::new(self.pool.clone(), &std::env::temp_dir());
            server
                .inspect_err(|error| tracing::warn!(%error, "there is no jobserver"))
                .ok()
        });
        made.as_ref()
    }
}
