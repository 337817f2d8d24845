//! What a session runs actions with, besides the store: the resource pool and who watches the machine for it, the jobserver of nested
//! build tools, and the workers.
//!
//! Threads and folders come with the first build that runs something.

use std::path::Path;
use std::sync::OnceLock;

use zako_exec::{JobServer, ResourcePool, Sources, Watch, WorkerPool, WorkerPoolOptions};

/// Where workers have their folders, below the state folder.
const WORKERS_DIR: &str = "workers";

/// One session's.
#[derive(Debug)]
pub(crate) struct Machinery {
    pub(crate) pool: ResourcePool,
    pub(crate) workers: WorkerPool,
    jobs: OnceLock<Option<JobServer>>,
    watch: OnceLock<Option<Watch>>,
}

impl Machinery {
    /// For the workspace whose state is in `state`; `pool` decides who may run.
    pub(crate) fn new(pool: ResourcePool, state: &Path) -> Self {
        Machinery {
            pool,
            workers: WorkerPool::new(state.join(WORKERS_DIR), WorkerPoolOptions::default()),
            jobs: OnceLock::new(),
            watch: OnceLock::new(),
        }
    }

    /// Begins to watch the machine's memory. Without that, admission goes by what actions declare and what was learnt of them.
    pub(crate) fn start(&self) {
        self.watch.get_or_init(|| {
            let watch = self.pool.watch(Sources::default());
            watch
                .inspect_err(|error| tracing::warn!(%error, "the machine's memory is not watched"))
                .ok()
        });
    }

    /// How many processors are lent to nested build tools.
    pub(super) fn lent_jobs(&self) -> usize {
        let server = self.jobs.get().and_then(Option::as_ref);
        server.map_or(0, JobServer::lent)
    }

    /// The jobserver, if it is `wanted`; `None` also when there can be none, and nested build tools run as they like.
    pub(crate) fn jobs_if(&self, wanted: bool) -> Option<&JobServer> {
        if !wanted {
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
