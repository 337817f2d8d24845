//! What a depfile says that an action read: sorted, checked and hashed.
//!
//! **Invariant:** a file of the workspace that is not declared is an error; a file elsewhere that no toolchain covers
//! becomes a leaf with its content, or, when it may have changed since the action began, keeps the result out of the
//! cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use zako_action::depfile::{classify, parse};
use zako_action::{ArtifactValue, Discovered, DiscoveredPath, Executed, Isolation, Job};
use zako_exec::{INSIDE_TMP, INSIDE_WORKSPACE, written_below};
use zako_path::NeutralPath;

use super::PlannedAction;
use super::prepare::Ready;
use crate::diagnostic::{Diagnostic, Fault};
use crate::files::{FileError, Files};

/// What an action with a depfile was found to read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Staged files.
    pub(super) staged: Vec<NeutralPath>,
    /// Those and files of the machine, with their contents; `None` when one of the latter can't be relied on.
    pub(super) list: Option<Vec<Discovered>>,
}

/// Reads the depfile of `executed`; `None` when there is none, so that all that is declared counts as read.
pub(super) fn discover(
    files: &Files,
    planned: &PlannedAction,
    ready: &Ready,
    job: &Job,
    executed: &Executed,
    began: SystemTime,
) -> Result<Option<Reading>, Diagnostic> {
    let (Some(path), Some(depfile)) = (&planned.spec.depfile, &executed.depfile) else {
        return Ok(None);
    };
    let malformed = |reason: &dyn std::fmt::Display| {
        let message = format!(
            "the depfile `{path}` that {} wrote cannot be used: {reason}",
            planned.spec.owner
        );
        Diagnostic::error(Fault::Build, message)
    };
    let root = match ready.action.isolation {
        Isolation::None => job.workspace.to_path_buf(),
        Isolation::Basic => job.scratch.join("root"),
        Isolation::Enhanced | Isolation::Maximum => INSIDE_WORKSPACE.into(),
    };
    let tmp = match ready.action.isolation {
        Isolation::None | Isolation::Basic => job.scratch.clone(),
        Isolation::Enhanced | Isolation::Maximum => INSIDE_TMP.into(),
    };
    let mut listed = parse(depfile).map_err(|e| malformed(&e))?;
    // Its own temporary files are nobody else's.
    listed.retain(|file| {
        let file = Path::new(file);
        !file.starts_with(&tmp) || file.starts_with(&root)
    });
    let mut found = classify(
        &listed,
        &ready.action,
        &job.workspace,
        &root,
        &ready.toolchains,
    )
    .map_err(|e| malformed(&e))?;
    found
        .undeclared
        .retain(|path| !is_own(planned, ready, job, path));
    if !found.undeclared.is_empty() {
        return Err(undeclared(planned, &found.undeclared));
    }
    let mut list = Some(Vec::new());
    for path in &found.workspace {
        if let (Some(ArtifactValue::File { digest, .. }), Some(list)) =
            (ready.action.staged.get(path), &mut list)
        {
            list.push(Discovered {
                path: DiscoveredPath::Workspace(path.clone()),
                digest: *digest,
            });
        }
    }
    for place in found.external {
        match external(files, &place, began).map_err(|e| Diagnostic::environment(e.to_string()))? {
            Some(leaf) => list.iter_mut().for_each(|list| list.push(leaf.clone())),
            None => list = None,
        }
    }
    Ok(Some(Reading {
        staged: found.workspace,
        list,
    }))
}

/// Whether the action made `path` itself.
fn is_own(planned: &PlannedAction, ready: &Ready, job: &Job, path: &NeutralPath) -> bool {
    let is_output = planned
        .spec
        .outputs
        .iter()
        .any(|output| path.starts_with(&output.path));
    let written = match ready.action.isolation {
        Isolation::None => None,
        // In an input root all that was there before is a link.
        Isolation::Basic => Some(job.scratch.join("root")),
        Isolation::Enhanced | Isolation::Maximum => Some(written_below(&job.scratch)),
    };
    let is_file = |root: PathBuf| {
        fs::symlink_metadata(path.to_os_path(&root)).is_ok_and(|found| found.is_file())
    };
    let is_written = written.is_some_and(is_file);
    is_output || is_written
}

fn external(
    files: &Files,
    place: &PathBuf,
    began: SystemTime,
) -> Result<Option<Discovered>, FileError> {
    let is_old = fs::metadata(place)
        .and_then(|found| found.modified())
        .is_ok_and(|modified| modified < began);
    let (true, Some(path)) = (is_old, place.to_str()) else {
        return Ok(None);
    };
    let digest = files.external(place)?;
    Ok(digest.map(|digest| Discovered {
        path: DiscoveredPath::External(path.to_owned()),
        digest,
    }))
}

fn undeclared(planned: &PlannedAction, paths: &[NeutralPath]) -> Diagnostic {
    let owner = &planned.spec.owner;
    let list: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
    let list = list.join(", ");
    let message = format!("{} reads {list} without declaring it", planned.subject());
    let is_header = |path: &NeutralPath| {
        path.extension()
            .is_some_and(|e| ["h", "hh", "hpp", "hxx", "inc", "inl", "ipp", "tpp"].contains(&e))
    };
    let attribute = if paths.iter().all(is_header) {
        "`hdrs` (or the library that has it to `deps`)"
    } else {
        "`inputs` or `deps`"
    };
    let help = match &planned.declared_at {
        Some(location) => format!("add {list} to {attribute} of {owner}, at {location}"),
        None => format!("add {list} to {attribute} of {owner}"),
    };
    Diagnostic::error(Fault::Build, message).with_help(help)
}
