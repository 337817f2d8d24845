//! What stands at a path before or after an action: a file, a directory or a symbolic link.
//!
//! **Invariant:** a value says everything that another action can see of the artifact but its
//! path: content and executable bit, never times, owners or other mode bits.

use serde::{Deserialize, Serialize};
use zako_cas::Digest;
use zako_path::NeutralPath;

/// The content at a path: of an input, or of an output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactValue {
    /// A regular file.
    File {
        /// Its content.
        digest: Digest,
        /// Whether it has the executable bit.
        executable: bool,
    },
    /// A directory with all that is below it.
    Directory {
        /// Digest of its root, a REAPI `Directory` message (see `zako_cas::tree`).
        tree: Digest,
    },
    /// A symbolic link, not followed.
    Symlink {
        /// Its target as written in the link.
        target: String,
    },
}

impl ArtifactValue {
    /// The digest that stands for the content: of the file, of the directory's root, or `None`
    /// for a link.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::File { digest, .. } => Some(*digest),
            Self::Directory { tree } => Some(*tree),
            Self::Symlink { .. } => None,
        }
    }
}

/// A path (relative to the input root) and what an action wrote there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutputFile {
    /// Where, relative to the input root.
    pub path: NeutralPath,
    /// What.
    pub value: ArtifactValue,
}
