//! How actions get run on this machine: what may run now, in which order, and the processes themselves.
//!
//! - [`ResourcePool`] admits work by CPU, memory, network and named resources.
//! - [`Plan`] and [`Scheduler`] run a graph of work, longest critical path first.
//! - [`Process`] runs one program in a process group of its own and streams what it writes.
//! - [`BlockingPool`] is where file work around processes is done.
//! - [`LocalExecutor`] is the [`zako_action::Executor`] that joins process, input root and store.
//!
//! **Absences:** this crate knows no script, no graph of keys, no cache and no workspace configuration. It prints
//! nothing, handles no signals and reads no environment variable. Retries belong to the caller.

mod blocking_pool;
mod input_root;
mod local;
mod machine;
mod outputs;
mod plan;
mod process;
mod resource_pool;
#[cfg(walls)]
mod sandbox;
#[cfg(not(walls))]
#[path = "sandbox_elsewhere.rs"]
mod sandbox;
mod scheduler;
mod spool;

pub use blocking_pool::{BlockingPool, Panicked};
pub use local::{FIXED_HOME, LocalExecutor, base_environment};
pub use machine::{DEFAULT_NETWORK_SLOTS, processors};
pub use outputs::{EscapingLink, MAX_DEPFILE_BYTES};
pub use plan::{Plan, PlanBuilder, PlanError, PlanId};
pub use process::{
    Attributes, DEFAULT_GRACE, DRAIN_LIMIT, FIXED_PATH, Finished, Limits, Process, ProcessError,
    ProcessStdin, Receive, find_program,
};
pub use resource_pool::{
    AcquireError, Capacity, Grant, PoolState, Priority, Request, ResourcePool,
};
pub use sandbox::{
    Capabilities, INSIDE_TMP, INSIDE_WORKSPACE, Lack, Sandbox, SandboxCounts, capabilities,
    named_outside, recycle, written_below,
};
pub use scheduler::{End, Outcome, Runner, ScheduleOptions, ScheduleReport, Scheduler};
