//! How actions get run on this machine: what may run now, in which order, and the processes themselves.
//!
//! - [`ResourcePool`] admits work by CPU, memory, network and named resources.
//! - [`JobServer`] lends processors of a pool to nested `make` and `cargo`; [`JobClient`] takes part in make's.
//! - [`Plan`] and [`Scheduler`] run a graph of work, longest critical path first.
//! - [`Process`] runs one program in a process group of its own and streams what it writes.
//! - [`CommandPool`] runs commands for embedders, with all of the above.
//! - [`WorkerPool`] keeps tools running that do one action after the other; [`Companion`] is a child that is talked with.
//! - [`RetryPolicy`] and [`Breaker`] say when what failed is tried again; [`GuardedExecutor`] does without an executor that keeps failing.
//! - [`ControlGroups`] find, end and limit all processes of an action, where the system lets us.
//! - [`Census`] knows which processes are whose, and what they use.
//! - [`BlockingPool`] is where file work around processes is done.
//! - [`LocalExecutor`] is the [`zako_action::Executor`] that joins process, input root and store.
//!
//! **Absences:** this crate knows no script, no graph of keys, no cache and no workspace configuration. It prints
//! nothing, handles no signals and reads no environment variable.

mod blocking_pool;
mod breaker;
mod census;
mod command_pool;
mod companion;
#[cfg(walls)]
mod control_group;
#[cfg(not(walls))]
#[path = "control_group_elsewhere.rs"]
mod control_group;
mod guarded_executor;
mod input_root;
mod isolation;
mod jobserver;
mod local;
mod machine;
mod outputs;
mod plan;
mod pressure;
mod process;
mod resource_pool;
#[cfg(walls)]
mod sandbox;
#[cfg(not(walls))]
#[path = "sandbox_elsewhere.rs"]
mod sandbox;
mod scheduler;
mod shell_commands;
mod spool;
#[cfg_attr(windows, path = "windows/system.rs")]
mod system;
mod worker;

pub use blocking_pool::{BlockingPool, Panicked};
pub use breaker::{Breaker, BreakerEvent, BreakerOptions, BreakerState, Passage, transition};
pub use census::Census;
pub use command_pool::{
    Command, CommandError, CommandExecutor, CommandHandle, CommandId, CommandObserver,
    CommandOutput, CommandPool, CommandPoolOptions, CommandPoolState, CommandResult, InProcess,
    Lines, MAX_QUEUED, MAX_SHOWN_LINE, NoObserver, Processes, Say, SubmitError,
};
pub use companion::{ChildReader, ChildWriter, Companion, CompanionHandle, MAX_LINE};
pub use control_group::{ControlGroups, step_aside};
pub use guarded_executor::GuardedExecutor;
pub use isolation::{
    Capabilities, Groups, INSIDE_TMP, INSIDE_WORKSPACE, Lack, Layering, SandboxCounts,
};
pub use jobserver::{
    JobClient, JobClientError, JobServer, JobSession, JobStyle, JobToken, NESTED_TOOLS,
    NestedExecutor,
};
pub use local::{LocalExecutor, base_environment, is_spare};
pub use machine::{DEFAULT_NETWORK_SLOTS, processors};
pub use outputs::{EscapingLink, MAX_DEPFILE_BYTES};
pub use plan::{Plan, PlanBuilder, PlanError, PlanId};
pub use pressure::{Pulse, Reading, Sources, Watch, Weather};
pub use process::{
    Attributes, DEFAULT_GRACE, DRAIN_LIMIT, Finished, Limits, Process, ProcessError, ProcessStdin,
    Receive, SIGNALS, begin_launcher, find_program, signal_number,
};
pub use resource_pool::{
    AcquireError, Capacity, Grant, PoolState, Priority, Request, ResourcePool, Urgency,
};
pub use sandbox::{Sandbox, capabilities, named_outside, recycle, written_below};
// What commands are given, too; the types are of whoever declares actions.
pub use zako_action::{MAX_RETRIES, RetryCauses, RetryPolicy};

pub use scheduler::{
    End, Extension, Growth, Outcome, Runner, ScheduleOptions, ScheduleReport, Scheduler,
};
pub use shell_commands::shell_commands;
pub use system::{FIXED_HOME, FIXED_PATH};
pub use worker::{
    Lease, WorkInput, WorkRequest, WorkResponse, WorkerError, WorkerExecutor, WorkerIdentity,
    WorkerPool, WorkerPoolOptions, WorkerPoolState, WorkerState,
};
