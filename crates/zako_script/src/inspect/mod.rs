//! What looks into running scripts: the debugger, which serves V8's inspector to a person's tools, and the profiler.
//!
//! Both go through the inspector that deno_core makes for a realm, and neither changes what a script sees. A realm that
//! nobody looks into has no inspector.

mod debugger;
mod profiler;
mod server;

pub use debugger::{Debugger, Sources, Waiting};
pub use profiler::Profiler;

pub(crate) use debugger::Attached;
pub(crate) use profiler::Sampling;
