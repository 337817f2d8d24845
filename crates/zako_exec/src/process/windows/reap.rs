//! What this process itself has used: of no account, since a child inherits no memory here.

/// None of it counts for a child.
pub(super) fn own_peak_bytes() -> u64 {
    0
}
