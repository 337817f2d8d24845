//! Outputs that are links: what they lead to inside is not there outside.
//!
//! **Invariant:** only what the action could see is followed: its own outputs, declared inputs, the machine's base.

use std::fs;
use std::path::{Component, Path, PathBuf};

use zako_action::{ExecuteError, Job, OutputKind};
use zako_path::NeutralPath;

use super::base;
use crate::input_root::{io_error, remove_all};
use crate::isolation::INSIDE_WORKSPACE;

/// How many links after one another are followed (as in Linux).
const MAX_LINKS: usize = 40;

/// Replaces declared files that are links by copies of what they lead to, as far as it is there.
pub(crate) fn settle_links(job: &Job, written: &Path) -> Result<(), ExecuteError> {
    for output in &job.action.spec.outputs {
        let place = output.path.to_os_path(written);
        let is_link = fs::symlink_metadata(&place).is_ok_and(|found| found.is_symlink());
        if output.kind == OutputKind::File
            && is_link
            && let Some(target) = target(job, written, &output.path)
        {
            remove_all(&place)?;
            fs::copy(&target, &place).map_err(io_error("copy", &target))?;
        }
    }
    Ok(())
}

/// The file outside that a link inside leads to in the end.
fn target(job: &Job, written: &Path, link: &NeutralPath) -> Option<PathBuf> {
    let mut inside = Path::new(INSIDE_WORKSPACE).join(link.as_str());
    for _ in 0..MAX_LINKS {
        let Ok(below) = inside.strip_prefix(INSIDE_WORKSPACE) else {
            // A program of the machine, say.
            return (base::has(&inside) && inside.is_file()).then_some(inside);
        };
        let path = NeutralPath::from_os_path(below).ok()?;
        let own = path.to_os_path(written);
        let spec = &job.action.spec;
        let mut declared = spec.inputs.iter().chain(&spec.staged);
        let place = match fs::symlink_metadata(&own) {
            Ok(_) => own,
            Err(_) if declared.any(|input| path.starts_with(input)) => {
                path.to_os_path(&job.workspace)
            }
            Err(_) => return None,
        };
        match fs::read_link(&place) {
            Ok(target) => inside = resolve(inside.parent()?, &target)?,
            Err(_) => return place.is_file().then_some(place),
        }
    }
    None
}

/// `target` from the folder `from`, as far as texts tell.
fn resolve(from: &Path, target: &Path) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in from.join(target).components() {
        match component {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => {
                path.push(component);
            }
        }
    }
    Some(path)
}
