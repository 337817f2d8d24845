//! The engine as a library: open a workspace, build, listen.
//!
//! This is the one dependency that an embedder adds. Nothing here prints, reads options from the environment,
//! handles signals or exits.

mod build;
mod builtin;
mod burial;
mod check;
mod codec;
mod compile_commands;
mod configuration;
mod configured;
mod demand;
mod diagnostic;
mod editor;
mod evaluate;
mod event;
mod execute;
pub mod executor;
mod explain;
mod fetch;
mod files;
mod glance;
mod global;
mod graph;
mod init;
mod inspect;
mod label;
mod ledger;
mod manifest;
mod options;
mod pattern;
mod policy;
mod recall;
mod report;
mod select;
mod session;
mod standby;
mod steps;
#[cfg_attr(windows, path = "windows/system.rs")]
mod system;
mod target;
mod watch;
mod workspace;

pub use builtin::{BuiltinModule, HostFunction};
pub use compile_commands::CompileCommand;
pub use diagnostic::{Diagnostic, Fault, Location, Severity};
pub use event::{ActionName, ActionStatus, ActionUsage, BuildEvent, BuildHealth};
pub use executor::ExecutorLayer;
pub use explain::Explanation;
pub use glance::Glance;
pub use global::GlobalState;
pub use init::init;
pub use ledger::{Cause, Change};
pub use options::{BuildOptions, GlobalStateOptions};
pub use report::{ActionCounts, ActionReason, BuildReport, BuiltTarget};
pub use session::{Build, EvaluatedFile, Runnable, Session, TargetInfo};
pub use tokio_util::sync::CancellationToken;
pub use watch::{Changes, Watch};
pub use zako_action::Isolation;
pub use zako_exec::{
    Capabilities, Capacity, FIXED_PATH, Groups, Lack, Layering, Urgency, capabilities,
    find_program, processors, step_aside,
};
pub use zako_path::NeutralPath;
pub use zako_script::{
    Debugger, GcEvent, GcHook, Limits, Profiler, Waiting, begin as begin_scripts,
};
