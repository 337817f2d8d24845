//! Tools that stay: processes that do one action after the other, so that a compiler starts once and not a thousand times.
//!
//! They speak Bazel's JSON worker protocol (bazel.build, "Creating Persistent Workers"): one `WorkRequest` a line on standard
//! input, one `WorkResponse` a line on standard output. [`WorkerPool`] keeps the processes, [`WorkerExecutor`] runs actions
//! with them.
//!
//! **Absences:** no caches, no keys, no scripts.

mod executor;
mod measure;
mod pool;
mod process;
mod protocol;

pub use executor::WorkerExecutor;
pub use pool::{Lease, WorkerPool, WorkerPoolOptions, WorkerPoolState, WorkerState};
pub use process::WorkerError;
pub use protocol::{WorkInput, WorkRequest, WorkResponse};

use crate::Process;

/// What starts a worker, and which worker may do a piece of work: those that were started by exactly the same.
#[derive(Clone, Debug)]
pub struct WorkerIdentity {
    /// Its name for people.
    pub name: String,
    /// Program, startup arguments (`--persistent_worker` is added) and environment; its folder is the pool's to choose.
    pub process: Process,
    /// Everything else that tells it from others, such as the digests of what it is made of.
    pub salt: Vec<u8>,
    /// How many requests one process works on at a time; more than one is the multiplex protocol, and needs a tool that has it.
    pub multiplex: usize,
}

/// An identity as a key of the pool's tables.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WorkerKey(String);

impl WorkerIdentity {
    pub(crate) fn key(&self) -> WorkerKey {
        let process = &self.process;
        // A debug format within one process only: nothing of it is kept.
        WorkerKey(format!(
            "{:?}{:?}{:?}{:?}{:?}{}",
            process.program, process.arg0, process.args, process.env, self.salt, self.multiplex
        ))
    }
}
