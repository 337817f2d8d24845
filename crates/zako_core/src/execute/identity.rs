//! What an action is across builds: its stable name says which it is, its identity what it does.

use std::path::Path;
use std::sync::Arc;

use zako_cas::DigestFunction;
use zako_graph::archive::Fingerprint;

use super::PlannedAction;
use super::history::{Names, StableName};
use super::prepare::program_digest;
use crate::codec::action::encode_lowered;

/// An action's name, identity and declaration, as the ledger keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) name: StableName,
    /// Over all that decides what it does: not what is shown, nor how it is admitted.
    pub(crate) identity: Fingerprint,
    pub(crate) declaration: Vec<u8>,
}

impl Identified {
    /// `planned`, which is called `name`, in the workspace at `root`.
    pub(super) fn of(
        planned: &PlannedAction,
        name: StableName,
        root: &Path,
        function: DigestFunction,
    ) -> Self {
        let (declaration, fingerprints) = encode_lowered(&planned.lowered());
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        // Results that were made without walls hold for this place only.
        add(root.as_os_str().as_encoded_bytes());
        add(&fingerprints.deed);
        if let Some(program) = &planned.script {
            add(&program_digest(function, program).hash);
        }
        let mut identity = [0; 16];
        hasher.finalize_xof().fill(&mut identity);
        Identified {
            name,
            identity,
            declaration,
        }
    }
}

/// What each of `actions` is across builds.
pub(super) fn identify(
    names: &mut Names,
    actions: &[Arc<PlannedAction>],
    root: &Path,
    function: DigestFunction,
) -> Vec<Identified> {
    let identify = |action: &Arc<PlannedAction>| {
        let name = names.name(&action.spec);
        match &action.known {
            Some((identified, _)) => identified.clone(),
            None => Identified::of(action, name, root, function),
        }
    };
    actions.iter().map(identify).collect()
}
