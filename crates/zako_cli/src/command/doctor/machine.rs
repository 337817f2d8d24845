//! What zako is and what it may use of this machine.

use std::path::Path;

use zako_core::{Capacity, Groups, Layering, capabilities};

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
        (Ok(layering), Ok(())) => {
            let how = inputs_by(*layering);
            let levels = format!("none, basic, enhanced (the default), maximum; {how}");
            Check::good("isolation", levels)
        }
        (Ok(_), Err(lack)) => Check::doubtful(
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
    vec![check, limits(&found.groups)]
}

/// How inputs come into sandboxes.
fn inputs_by(layering: Layering) -> &'static str {
    match layering {
        Layering::Overlay => "inputs by overlayfs",
        Layering::OverlayInMemory => {
            "inputs by overlayfs, and copied for actions that write beside them (the workspace is on no file system for more)"
        }
        Layering::Copies => {
            "inputs copied, large trees shown read-only (no overlayfs in user namespaces here)"
        }
    }
}

/// Whether nested build tools share the processors.
pub(super) fn nested() -> Check {
    let said = match cfg!(windows) {
        true => {
            "make's jobserver is not spoken on Windows: nested builds start as many jobs as they like"
        }
        false => "nested make, cargo and ninja share the processors, by make's jobserver",
    };
    Check::good("nested", said)
}

/// What control groups are used for. Nothing needs them, so what is missing is no doubt.
fn limits(groups: &Groups) -> Check {
    let said = match (&groups.place, &groups.limits) {
        (Ok(_), Ok(())) => {
            "of memory and processes for whole actions at maximum, by control groups; daemons end with their action at every isolation"
                .to_owned()
        }
        (Ok(_), Err(lack)) => format!(
            "none for whole actions: {lack}; daemons end with their action at every isolation, by control groups"
        ),
        (Err(lack), _) => format!(
            "none for whole actions, and daemons end with their action at enhanced and maximum only: {lack}"
        ),
    };
    Check::good("limits", said)
}
