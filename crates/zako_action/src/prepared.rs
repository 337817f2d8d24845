//! An action that is ready to be keyed and run: the declaration with every digest filled in.
//!
//! **Invariant:** `inputs` has one entry for each of the spec's exact inputs, `staged` one for
//! each staged path; nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use zako_cas::Digest;
use zako_path::NeutralPath;

use crate::{ActionSpec, ArtifactValue, Isolation};

/// An action with all that its keys and its execution need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The declaration.
    pub spec: Arc<ActionSpec>,
    /// The exact inputs.
    pub inputs: BTreeMap<NeutralPath, ArtifactValue>,
    /// The files that are declared but not in `$in`.
    pub staged: BTreeMap<NeutralPath, ArtifactValue>,
    /// The tools, found and hashed: `argv[0]` or the shell first, then the declared ones in order.
    pub tools: Vec<ResolvedTool>,
    /// What else tells this action's results apart. Must name the workspace when `isolation` is
    /// below [`Isolation::Enhanced`], so that an undeclared read can poison nobody else.
    pub salt: String,
    /// The level that it will run at. Not keyed by itself; see `salt`.
    pub isolation: Isolation,
}

impl Prepared {
    /// The value of a path that is an exact input or staged.
    pub fn value(&self, path: &NeutralPath) -> Option<&ArtifactValue> {
        self.inputs.get(path).or_else(|| self.staged.get(path))
    }
}

/// A tool as found: part of both keys, by name, real path and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTool {
    /// What the action calls it: `argv[0]` as written, `sh`, or the declared name.
    pub name: String,
    /// Where it is: absolute with links resolved for a program of the machine, relative to the
    /// input root for a file of the workspace.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
}
