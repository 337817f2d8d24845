//! Actions: what they are, the keys that they are cached by, the cache, and the executor's trait.
//!
//! Knows no process, no script engine and no graph. All but waiting for an executor is plain,
//! synchronous code.

mod artifact;
mod cache;
pub mod depfile;
mod executor;
mod file_cache;
mod key;
mod prepared;
pub mod reapi;
mod recording;
mod result;
mod retry;
mod spec;

pub use artifact::{ArtifactValue, OutputFile};
pub use cache::{ActionCache, CACHE_FORMAT, CacheError, MAX_NARROW_RECORDS, MAX_RECORD_BYTES};
pub use executor::{
    ExecuteError, Executed, Executor, Exit, Job, NoSink, OutputSink, Produced, Stream, Usage,
};
pub use key::{KEY_VERSION, NarrowKey, RemoteAction, StrongKey};
pub use prepared::{Prepared, ResolvedTool};
pub use recording::{MAX_RECORDINGS, Outcome, Recording, RecordingExecutor};
pub use result::{ActionResult, Discovered, DiscoveredPath};
pub use retry::{MAX_RETRIES, RetryCauses, RetryPolicy};
pub use spec::{
    ActionBody, ActionSpec, DEFAULT_CPU_MILLIS, Isolation, MAX_IN_BYTES, OutputKind, OutputSpec,
    Resources, Stdin, ToolRef, WorkerProtocol, WorkerSpec,
};
