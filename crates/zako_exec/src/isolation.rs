//! What is said of isolation on every system, whether or not it has sandboxes.
//!
//! **Absences:** it finds nothing out.

use std::path::PathBuf;

use zako_action::Isolation;

/// The working directory of every process behind walls: the root of the workspace's shape.
pub const INSIDE_WORKSPACE: &str = "/workspace";

/// The folder for temporary files inside.
pub const INSIDE_TMP: &str = "/tmp";

/// Where the pipe of a jobserver is inside. It is there for actions that share one, and for no other.
pub(crate) const INSIDE_JOBS: &str = "/dev/jobserver";

/// Something that a machine does not give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Lack {
    /// What is missing, and why.
    pub what: String,
    /// What to do to have it.
    pub cure: String,
}

/// What a machine gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// How [`Isolation::Enhanced`] is had, or why it can't be.
    pub enhanced: Result<Layering, Lack>,
    /// Why [`Isolation::Maximum`] can't be had, if so.
    pub maximum: Result<(), Lack>,
    /// What control groups are used for. No level depends on it.
    pub groups: Groups,
}

/// How inputs come into a sandbox without being copied for each action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layering {
    /// The kernel lays trees of links over each other (overlayfs), whatever the action writes where.
    Overlay,
    /// So it does as long as an action writes beside no input; else as at [`Copies`](Self::Copies).
    OverlayInMemory,
    /// Small trees are copied, large ones shown read-only.
    Copies,
}

/// What control groups (version 2) give to actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Where each action has one, by which all of its processes are found and ended; or why it has none.
    pub place: Result<PathBuf, Lack>,
    /// Why limits of memory and of processes for whole actions can't be had, if so.
    pub limits: Result<(), Lack>,
}

impl Capabilities {
    /// The strongest level that actions have by themselves: `enhanced`, or else `basic`.
    #[must_use]
    pub fn best(&self) -> Isolation {
        match self.enhanced {
            Ok(_) => Isolation::Enhanced,
            Err(_) => Isolation::Basic,
        }
    }

    /// Why a level can't be had.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, level: Isolation) -> Result<(), &Lack> {
        let enhanced = self.enhanced.as_ref().map(drop);
        match level {
            Isolation::None | Isolation::Basic => Ok(()),
            Isolation::Enhanced => enhanced,
            Isolation::Maximum => enhanced.and(self.maximum.as_ref()).copied(),
        }
    }
}

/// What was shared between the sandboxes of a build, for whoever wants to know what that saves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxCounts {
    /// Files that were copied out of the workspace.
    pub copied: u64,
    /// Links that were made in layers.
    pub linked: u64,
    /// Layers that were built.
    pub layers_built: u64,
    /// Layers that were there already when an action asked for them.
    pub layers_reused: u64,
}
