//! The engine as a library: open a workspace, build, listen.
//!
//! This is the one dependency that an embedder adds. Nothing here prints, reads options from the environment,
//! handles signals or exits.

mod builtin;
mod diagnostic;
mod event;
#[cfg_attr(not(test), expect(dead_code, reason = "the session calls it"))]
mod execute;
mod files;
mod global;
mod options;
mod report;
mod session;

pub use builtin::{BuiltinModule, HostFunction};
pub use diagnostic::{Diagnostic, Fault, Location, Severity};
pub use event::{ActionName, ActionStatus, ActionUsage, BuildEvent};
pub use global::GlobalState;
pub use options::{BuildOptions, GlobalStateOptions};
pub use report::{ActionCounts, BuildReport, BuiltTarget};
pub use session::{Build, EvaluatedFile, Runnable, Session, TargetInfo, init};
pub use tokio_util::sync::CancellationToken;
pub use zako_action::Isolation;
pub use zako_path::NeutralPath;
pub use zako_script::{GcEvent, GcHook, Limits};
