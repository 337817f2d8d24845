//! Why the graph has no value to give.

use std::sync::Arc;

use thiserror::Error;

/// An answer could not be had. Never kept beyond the revision that it happened in, and neither is
/// anything that was computed from it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Computing the key needs the key itself.
    #[error("cycle: {}", path.join(" -> "))]
    Cycle {
        /// The descriptions of the keys on the cycle, each needing the next; the first comes again as
        /// the last. Begins with the smallest description, so that it is the same whoever found it.
        path: Arc<[String]>,
    },
    /// The request was cancelled, or the runtime shut down.
    #[error("cancelled")]
    Cancelled,
    /// The computation panicked: a bug in the key's `compute`.
    #[error("computing {key} panicked: {message}")]
    Panicked {
        /// The description of the key.
        key: String,
        /// What the panic said.
        message: String,
    },
    /// A computation asked for data that the request was not begun with: a bug in the caller.
    #[error("the request holds no data of type {type_name}")]
    MissingData {
        /// The Rust type asked for.
        type_name: &'static str,
    },
}
