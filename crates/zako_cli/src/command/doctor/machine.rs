//! What zako is and what it may use of this machine.

use zako_core::Capacity;

use super::Check;
use crate::quantity::{show_bytes, show_count};

pub(super) fn version() -> Check {
    let found = format!(
        "{} on {} {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    Check::good("zako", found)
}

/// Processors and memory within the limits of this process's control group.
pub(super) fn resources() -> Check {
    let capacity = Capacity::of_this_machine();
    let cpus = usize::try_from(capacity.cpu_millis / 1000).unwrap_or(usize::MAX);
    Check::good(
        "machine",
        format!(
            "{}, {} of memory",
            show_count(cpus, "processor"),
            show_bytes(capacity.memory_bytes)
        ),
    )
}

pub(super) fn isolation() -> Check {
    Check::good(
        "isolation",
        "none, basic (enhanced and maximum: not in this version)",
    )
}
