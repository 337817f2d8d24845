//! What zako is and what it may use of this machine.

use std::path::Path;

use zako_core::{Capacity, capabilities};

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

/// The levels that this machine gives, tried out for a workspace in `start`.
pub(super) fn isolation(start: &Path) -> Vec<Check> {
    // The workspace's own file system counts; without one, that of temporary files has to do.
    let state = start.ancestors().map(|folder| folder.join(".zako"));
    let state = state.into_iter().find(|state| state.is_dir());
    let name = format!("zako-doctor-{}", std::process::id());
    let home = state.unwrap_or_else(std::env::temp_dir).join(name);
    let found = capabilities(&home);
    let check = match (&found.enhanced, &found.maximum) {
        (Ok(()), Ok(())) => {
            Check::good("isolation", "none, basic, enhanced (the default), maximum")
        }
        (Ok(()), Err(lack)) => Check::doubtful(
            "isolation",
            format!("none, basic, enhanced (the default); no maximum: {lack}"),
            &lack.cure,
        ),
        (Err(lack), _) => Check::doubtful(
            "isolation",
            format!("none, basic (the default here); no enhanced, no maximum: {lack}"),
            &lack.cure,
        ),
    };
    let limits = match &found.cgroup {
        Ok(place) => format!(
            "a cgroup of our own is there ({}), which this version does not use yet",
            place.display()
        ),
        Err(lack) => format!("of processes (rlimit) only: {lack}"),
    };
    vec![check, Check::good("limits", limits)]
}
