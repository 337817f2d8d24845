//! Actions: what they are, the keys that they are cached by, the cache, and the executor's trait.
//!
//! Knows no process, no script engine and no graph. All but waiting for an executor is plain,
//! synchronous code.

mod artifact;
mod executor;
mod prepared;
mod spec;

pub use artifact::{ArtifactValue, OutputFile};
pub use executor::{
    ExecuteError, Executed, Executor, Exit, Job, NoSink, OutputSink, Produced, Stream, Usage,
};
pub use prepared::{Prepared, ResolvedTool};
pub use spec::{
    ActionBody, ActionSpec, DEFAULT_CPU_MILLIS, Isolation, MAX_IN_BYTES, OutputKind, OutputSpec,
    Resources, Stdin, ToolRef,
};
