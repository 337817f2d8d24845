//! Outputs that no action claims any more: removed, when zako wrote them and nobody changed them since.
//!
//! **Invariant:** only what this build is sure of is removed: an action is gone when its package was evaluated without
//! its target, when its target was analysed without it, or when there is no such package any more.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use zako_graph::archive::Id;
use zako_path::NeutralPath;

use crate::diagnostic::Diagnostic;
use crate::evaluate::PackageValue;
use crate::execute::{Identified, remove_all, remove_empty_folders};
use crate::files::Files;
use crate::label::Label;
use crate::ledger::{SharedLedger, WRITES};
use crate::target::Analysis;
use crate::workspace::Workspace;

/// What this build knows to be there.
pub(crate) struct Living<'a> {
    workspace: &'a Workspace,
    root: &'a Arc<Path>,
    packages: &'a BTreeMap<NeutralPath, Option<Arc<PackageValue>>>,
    analysis: &'a Analysis,
    /// The actions of the request.
    planned: HashSet<([u8; 16], [u8; 16])>,
    /// All that an action of an analysed target writes.
    claimed: HashSet<NeutralPath>,
    /// The folders around those.
    above: HashSet<NeutralPath>,
}

impl<'a> Living<'a> {
    pub(crate) fn new(
        workspace: &'a Workspace,
        packages: &'a BTreeMap<NeutralPath, Option<Arc<PackageValue>>>,
        analysis: &'a Analysis,
        planned: &[Identified],
    ) -> Self {
        let actions = analysis.results.values().flat_map(|result| &result.actions);
        let outputs = actions.clone().flat_map(|action| action.outputs());
        let mut claimed: HashSet<NeutralPath> = outputs.map(|output| output.path.clone()).collect();
        for action in actions.filter(|action| action.has_responses()) {
            if let Some(Ok(finished)) = action.finish(&analysis.sets) {
                let responses = finished.responses.into_iter();
                let outputs = responses.flat_map(|action| action.spec.outputs);
                claimed.extend(outputs.map(|output| output.path));
            }
        }
        Living {
            workspace,
            root: workspace.root(),
            packages,
            analysis,
            planned: planned
                .iter()
                .map(|action| (action.name.0, action.identity))
                .collect(),
            above: claimed.iter().flat_map(|path| path.ancestors()).collect(),
            claimed,
        }
    }

    /// Whether something that lives is at `path`, in it or around it.
    fn claims(&self, path: &NeutralPath) -> bool {
        self.above.contains(path) || path.ancestors().any(|above| self.claimed.contains(&above))
    }

    /// What is known of the target `owner`.
    fn fate(&self, owner: &str) -> Fate {
        let Ok(label) = Label::parse_configured(owner) else {
            return Fate::Unknown;
        };
        if let Some(result) = self.analysis.results.get(owner) {
            // What a step that was not needed came to once is not known now.
            return match result.actions.iter().any(|action| action.step().is_some()) {
                true => Fate::Unknown,
                false => Fate::Analysed,
            };
        }
        match self.packages.get(&label.package) {
            Some(Some(package)) => match package.targets.contains_key(&label.name) {
                true => Fate::Unknown,
                false => Fate::Gone,
            },
            // A package that is wrong now may be right again soon.
            Some(None) | None => match self.workspace.is_package(&label.package) {
                false => Fate::Gone,
                true => Fate::Unknown,
            },
        }
    }
}

/// What became of a target.
enum Fate {
    Gone,
    /// Its actions are all known.
    Analysed,
    Unknown,
}

/// Removes what is dead, and gives what could not be removed. `request` is the key of the build's own request, which is about
/// to be noted anew: what only that one still names is forgotten too.
pub(crate) fn bury(ledger: &SharedLedger, living: &Living<'_>, request: &[u8]) -> Vec<Diagnostic> {
    let mut dead: Vec<(Id, bool)> = Vec::new();
    let named = {
        let ledger = ledger.lock();
        for (id, key) in ledger.actions() {
            if living.planned.contains(&key) {
                continue;
            }
            match ledger.owner(id).map(|owner| living.fate(owner)) {
                Some(Fate::Gone) => dead.push((id, true)),
                Some(Fate::Analysed) => dead.push((id, false)),
                _ => {}
            }
        }
        match dead.is_empty() {
            true => HashSet::new(),
            false => ledger.named_by_others(request),
        }
    };
    if dead.is_empty() {
        return Vec::new();
    }
    let files = Files::open(living.root.clone(), ledger.clone(), HashSet::new());
    let mut faults = Vec::new();
    for (id, is_gone) in dead {
        let (paths, record) = {
            let ledger = ledger.lock();
            let leaves = ledger
                .groups(id)
                .into_iter()
                .nth(WRITES)
                .unwrap_or_default();
            let path = |leaf: &Id| {
                let key = std::str::from_utf8(ledger.archive().key(*leaf)).ok()?;
                NeutralPath::new(key).ok()
            };
            let paths: Vec<Option<NeutralPath>> = leaves.iter().map(path).collect();
            (paths, ledger.record(id))
        };
        let wrote = record.map(|record| record.outputs).unwrap_or_default();
        let mut was_removed = false;
        for (path, wrote) in paths.into_iter().zip(wrote) {
            let Some(path) = path.filter(|path| !living.claims(path)) else {
                continue;
            };
            was_removed = true;
            // What somebody changed is theirs from now on, as is whatever comes there later.
            let is_ours = match files.value(&path) {
                Ok(None) => true,
                Ok(Some(stands)) => stands.value == wrote,
                Err(_) => false,
            };
            ledger.lock().disown(path.as_str());
            if !is_ours {
                continue;
            }
            let place = path.to_os_path(living.root);
            if let Err(error) = remove_all(&place) {
                let fault =
                    Diagnostic::warning(format!("cannot remove {}: {error}", place.display()));
                faults.push(fault.with_help("no target makes it any more"));
                continue;
            }
            files.forget(&path);
            remove_empty_folders(living.root, &path);
        }
        // One that was replaced by another of its name is of use only to requests that may come again.
        if is_gone || was_removed || !named.contains(&id) {
            ledger.lock().forget(id);
        }
    }
    faults
}
