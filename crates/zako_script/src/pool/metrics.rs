//! What a pool counts.

use std::time::Duration;

/// Counters of a pool since it was made, and its state at the moment of asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolMetrics {
    /// Jobs that wait now.
    pub queued: usize,
    /// The most jobs that ever waited.
    pub deepest: usize,
    /// Threads now.
    pub threads: usize,
    /// Threads without a job now.
    pub idle: usize,
    /// Jobs submitted.
    pub submitted: u64,
    /// Jobs that ran to their end.
    pub finished: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs cancelled before they began.
    pub cancelled: u64,
    /// Threads started.
    pub grown: u64,
    /// Threads ended for want of work.
    pub shrunk: u64,
    /// Workers thrown away and made anew.
    pub recycled: u64,
    /// Time that jobs waited, added up.
    pub waited: Duration,
}
