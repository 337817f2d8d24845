//! What an earlier build knows about a request: the null build, and the way to the few actions that a change reaches.
//!
//! The ledger is opened, every leaf of the request is looked at once, and nothing else is done as long as all are as they were:
//! no script, no store, no runtime, no write. A leaf that can't be confirmed by its witness is read; an equal value stops
//! there.
//!
//! **Invariant:** it answers only when every package, rule and action of the request was noted by a build that planned it, and every
//! leaf below them was looked at now. The caller holds the workspace's lock.

use std::collections::HashSet;
use std::path::Path;

use zako_cas::DigestFunction;
use zako_graph::archive::Id;

use crate::diagnostic::Diagnostic;
use crate::evaluate::kinds::CONFIG_VALUE;
use crate::evaluate::{Checker, Given, confirm};
use crate::execute::{Tools, look_again};
use crate::files::Files;
use crate::ledger::{self, Affected, Ledger, Requested, RequestedTarget, SharedLedger, sweep};
use crate::session::state_of;
use crate::watch::Changes;
use crate::workspace::Workspace;

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) workspace: &'a Workspace,
    /// The request, as [`ledger::request::key`] writes it.
    pub(crate) key: &'a [u8],
    /// What the invocation gives to scripts.
    pub(crate) given: Given<'a>,
    pub(crate) function: DigestFunction,
    /// Whose scripts they are.
    pub(crate) identity: &'a str,
    /// What an earlier build of this process knew, and what has changed since: only that is looked at.
    pub(crate) kept: Option<(Ledger, &'a Changes)>,
}

/// What is known.
pub(crate) enum Recalled {
    /// Everything is as it should be.
    UpToDate {
        ledger: Ledger,
        targets: Vec<RequestedTarget>,
        /// What its scripts warned of.
        warnings: Vec<Diagnostic>,
        /// How many actions that is.
        actions: usize,
    },
    /// No script has changed, but these actions are reached by something.
    Affected(Box<Work>),
    /// The request is new, or a script has changed.
    Unknown(Ledger),
}

/// The part of a request that is left to do.
pub(crate) struct Work {
    pub(crate) ledger: Ledger,
    pub(crate) targets: Vec<RequestedTarget>,
    /// What its scripts warned of.
    pub(crate) warnings: Vec<Diagnostic>,
    /// All actions of the request.
    pub(crate) actions: Vec<Id>,
    /// Those that are affected, in the same order.
    pub(crate) affected: Vec<Affected>,
}

/// What is known of the request, and what is to be told of the state on disk.
pub(crate) fn recall(
    mut question: Question<'_>,
) -> Result<(Recalled, Option<Diagnostic>), Diagnostic> {
    let root = question.workspace.root();
    let state = state_of(root);
    let failed = |what: &Path, error: std::io::Error| {
        Diagnostic::environment(format!("cannot read {}: {error}", what.display()))
    };
    let kept = question.kept.take();
    let changes = kept.as_ref().map(|(_, changes)| *changes);
    let (mut ledger, mut notice) = match kept {
        Some((ledger, _)) => (ledger, None),
        None => Ledger::open(&state, question.function, question.identity)
            .map_err(|e| failed(&state, e))?,
    };
    if let Err(damaged) = ledger.archive().verify_leaves() {
        let (anew, text) = ledger.set_aside(&damaged).map_err(|e| failed(&state, e))?;
        ledger = anew;
        notice = Some(text);
    }
    let recalled = look(&question, ledger, changes).map_err(|e| failed(root, e))?;
    // Whoever goes on from here reads all of it.
    let recalled = match recalled {
        Recalled::Unknown(ledger) => {
            let (ledger, text) = ledger.sound().map_err(|e| failed(&state, e))?;
            notice = text.or(notice);
            Recalled::Unknown(ledger)
        }
        known => known,
    };
    Ok((recalled, notice.map(Diagnostic::warning)))
}

fn look(
    question: &Question<'_>,
    mut ledger: Ledger,
    changes: Option<&Changes>,
) -> std::io::Result<Recalled> {
    let root = question.workspace.root();
    ledger.see_only(&[], &[]);
    let Some(request) = ledger.request(question.key) else {
        tracing::debug!("the request is new");
        return Ok(Recalled::Unknown(ledger));
    };
    let mut groups = ledger.groups(request).into_iter();
    let (mut scripts, actions) = (
        groups.next().unwrap_or_default(),
        groups.next().unwrap_or_default(),
    );
    // What the command line says is in the request's key, and the manifest is a leaf of it: an option that was something else
    // meanwhile, for another request, is what it was for this one.
    scripts.retain(|leaf| ledger.archive().kind(*leaf) != CONFIG_VALUE);
    if actions.iter().any(|action| !ledger.archive().has(*action)) {
        tracing::debug!("an action of the request never succeeded");
        return Ok(Recalled::Unknown(ledger));
    }
    let mut leaves = ledger.leaves_of(&actions, scripts.iter().copied());
    if let Some(changes) = changes.filter(|changes| !changes.all) {
        let reach = changes.reach();
        let archive = ledger.archive();
        let touches = |leaf: Id| {
            let key = std::str::from_utf8(archive.key(leaf));
            key.map_or(true, |key| reach.touches(key))
        };
        leaves.retain(|leaf| !ledger.is_watched(*leaf) || touches(*leaf));
    }
    let doubtful = {
        let archive = ledger.archive();
        let manifest = question.workspace.manifest();
        let checker = || Checker::new(root, question.given, manifest).of(archive);
        sweep(archive, root, &leaves, &checker)?
    };
    let is_file = |id: &Id| ledger::is_file(ledger.archive().kind(*id));
    let (files, others): (Vec<Id>, Vec<Id>) = doubtful.into_iter().partition(is_file);
    for id in &others {
        if !confirm(&mut ledger, *id, question.workspace) {
            let key = String::from_utf8_lossy(ledger.archive().key(*id));
            tracing::debug!(kind = ?ledger.archive().kind(*id), %key, "what scripts read has changed");
            return Ok(Recalled::Unknown(ledger));
        }
    }
    if !files.is_empty() {
        let shared = SharedLedger::new(ledger);
        {
            let view = Files::open(root.clone(), shared.clone(), HashSet::new());
            look_again(&shared, &view, &Tools::default(), &files);
        }
        ledger = shared
            .into_inner()
            .ok_or_else(|| std::io::Error::other("the ledger is still in use"))?;
    }
    let planned_at = ledger.archive().verified_at(request);
    let is_newer = |id: &Id| ledger.archive().changed_at(*id) > planned_at;
    if scripts.iter().any(is_newer) {
        tracing::debug!("what scripts read had changed");
        return Ok(Recalled::Unknown(ledger));
    }
    let affected = ledger.affected(&actions);
    let Some(requested) = ledger.requested(request) else {
        return Ok(Recalled::Unknown(ledger));
    };
    if requested.is_dynamic && !affected.is_empty() {
        tracing::debug!("what actions the request has depends on what they write");
        return Ok(Recalled::Unknown(ledger));
    }
    let Requested {
        targets, warnings, ..
    } = requested;
    if affected.is_empty() {
        let actions = actions.len();
        ledger.tidy()?;
        return Ok(Recalled::UpToDate {
            ledger,
            targets,
            warnings,
            actions,
        });
    }
    ledger.see_only(&leaves, &files);
    others.iter().for_each(|id| ledger.doubt(*id));
    Ok(Recalled::Affected(Box::new(Work {
        ledger,
        targets,
        warnings,
        actions,
        affected,
    })))
}
