//! Whether the workspace's policy lets actions do what they do: asked before any runs.

use super::PlannedAction;
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::target::FileWork;

/// How many denied actions are told at once.
const MAX_DENIED: usize = 10;

/// Whether the workspace's policy lets all of `actions` do what they do.
pub(super) fn may_do(policy: &Policy, actions: &[PlannedAction]) -> Result<(), Vec<Diagnostic>> {
    let denied = actions.iter().filter_map(|action| {
        let fetches = matches!(action.work.as_deref(), Some(FileWork::Fetch(_)));
        if action.work.is_some() && !fetches {
            return None;
        }
        let denied = policy.denies(&action.spec, fetches)?;
        let (place, subject) = (&denied.rule.place, action.subject());
        let message = format!(
            "{subject} {}, which the rule at {}:{} denies",
            denied.what, place.file, place.line
        );
        let help = format!(
            "do without it, or change [policy] in {} for {}",
            place.file, action.spec.owner
        );
        Some(action.blame(Diagnostic::user(message).with_help(help)))
    });
    let denied: Vec<Diagnostic> = denied.take(MAX_DENIED).collect();
    match denied.is_empty() {
        true => Ok(()),
        false => Err(denied),
    }
}
