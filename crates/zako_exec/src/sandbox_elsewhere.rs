//! What stands for the sandbox on systems where there is none yet: the same names, and an error that says so.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use zako_action::{ActionSpec, ExecuteError, Isolation, Job};
use zako_path::NeutralPath;

use crate::control_group::ControlGroups;
use crate::input_root::{InputRoot, kept_in, root_of};
use crate::isolation::{Capabilities, Lack, Layering, SandboxCounts};

/// Walls, of which there are none.
pub(crate) type Walls = Infallible;

fn lack() -> Lack {
    Lack {
        what: "zako has sandboxes on Linux only (x86-64 and AArch64)".to_owned(),
        cure: "use `--isolation basic`".to_owned(),
    }
}

/// What can be had here: `basic`.
#[must_use]
pub fn capabilities(_home: &Path) -> Capabilities {
    Capabilities {
        enhanced: Err(lack()),
        maximum: Err(lack()),
        groups: ControlGroups::new().capabilities(),
    }
}

/// What the sandboxes of one build would share.
#[derive(Clone, Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Takes what it takes elsewhere.
    #[must_use]
    pub fn new(_home: impl Into<PathBuf>, _outputs: Option<NeutralPath>) -> Self {
        Self
    }

    /// Takes what it takes elsewhere.
    #[must_use]
    pub fn with_layering(self, _layering: Layering) -> Self {
        self
    }

    /// Why there can be no sandbox.
    ///
    /// # Errors
    /// Always.
    pub fn layering(&self) -> Result<Layering, Lack> {
        Err(lack())
    }

    /// What was shared so far.
    #[must_use]
    pub fn counts(&self) -> SandboxCounts {
        SandboxCounts::default()
    }

    /// Whether a level can be had here.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, level: Isolation) -> Result<(), Lack> {
        match level {
            Isolation::None | Isolation::Basic => Ok(()),
            Isolation::Enhanced | Isolation::Maximum => Err(lack()),
        }
    }

    /// Nothing is kept.
    ///
    /// # Errors
    /// None.
    pub fn clear(&self) -> Result<(), ExecuteError> {
        Ok(())
    }

    pub(crate) fn walls(&self, _job: &Job, _jobs: Option<&Path>) -> Result<Walls, ExecuteError> {
        Err(ExecuteError::Unsupported {
            executor: "local",
            reason: lack().what,
        })
    }
}

/// Where what an action wrote in a sandbox would lie.
#[must_use]
pub fn written_below(scratch: &Path) -> PathBuf {
    root_of(scratch).join("up")
}

/// Files and folders of the machine that the words of a command name; of no interest without sandboxes.
#[must_use]
pub fn named_outside(_spec: &ActionSpec, _workspace: &Path) -> BTreeSet<PathBuf> {
    BTreeSet::new()
}

/// Removes what an action left below its scratch folder.
///
/// # Errors
/// When something can't be removed.
pub fn recycle(scratch: &Path) -> Result<(), ExecuteError> {
    InputRoot::keep(&root_of(scratch), &kept_in(scratch))
}

pub(crate) fn settle_links(_job: &Job, _written: &Path) -> Result<(), ExecuteError> {
    Ok(())
}
