//! Why actions of a target ran in the last build: from what the ledger kept.

use std::collections::{HashMap, HashSet};

use zako_graph::archive::Id;

use crate::execute::PlannedAction;
use crate::ledger::{Affected, Cause, Ledger, PRESENT, READS, WRITES};
use crate::report::ActionReason;

/// Why actions of a target would run now, or else ran in the last build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The target's label, as it was asked for.
    pub target: String,
    /// Whether these are actions that would run now; otherwise the last build ran them, or restored their outputs.
    pub would_run: bool,
    /// The actions, each after those that it needs.
    pub actions: Vec<ActionReason>,
}

/// The actions that make the target called `label`, and what they need, that the last build ran or restored.
pub(crate) fn last_build(ledger: &Ledger, label: &str) -> Vec<ActionReason> {
    let archive = ledger.archive();
    if ledger.verify().is_err() {
        return Vec::new();
    }
    let mut known: HashMap<Id, PlannedAction> = HashMap::new();
    let mut makers: HashMap<Id, Id> = HashMap::new();
    for id in ledger.actions_by_name().into_values() {
        let affected = Affected {
            action: id,
            causes: Vec::new(),
        };
        let Some(action) = PlannedAction::recalled(ledger, affected) else {
            continue;
        };
        let groups = ledger.groups(id);
        makers.extend(
            groups
                .get(WRITES)
                .into_iter()
                .flatten()
                .map(|leaf| (*leaf, id)),
        );
        known.insert(id, action);
    }
    // From the target's own actions to what they need, then the other way round.
    let mut mine: Vec<Id> = known
        .iter()
        .filter(|(_, action)| action.spec.owner == label)
        .map(|(id, _)| *id)
        .collect();
    mine.sort_unstable_by_key(|id| archive.key(*id));
    let mut needs: HashMap<Id, Vec<Id>> = HashMap::new();
    let mut order = Vec::new();
    let mut entered = HashSet::new();
    let mut stack: Vec<(Id, bool)> = mine.into_iter().rev().map(|id| (id, false)).collect();
    while let Some((id, is_done)) = stack.pop() {
        if is_done {
            order.push(id);
            continue;
        }
        if !entered.insert(id) {
            continue;
        }
        let groups = ledger.groups(id);
        let read = [READS, PRESENT]
            .into_iter()
            .filter_map(|group| groups.get(group));
        let mut before: Vec<Id> = read
            .flatten()
            .filter_map(|leaf| makers.get(leaf).copied())
            .collect();
        before.sort_unstable();
        before.dedup();
        stack.push((id, true));
        stack.extend(before.iter().map(|id| (*id, false)));
        needs.insert(id, before);
    }
    let began = ledger.began();
    let ran: Vec<Id> = order
        .into_iter()
        .filter(|id| ledger.head(*id).is_some_and(|head| head.ran_at > began))
        .collect();
    let places: HashMap<Id, usize> = ran.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    ran.iter()
        .filter_map(|id| {
            let action = known.get(id)?;
            let causes = ledger.record(*id)?.causes;
            // Of what it needs, what it was reached by.
            let read: HashSet<&str> = causes
                .iter()
                .filter_map(|cause| match cause {
                    Cause::Read { path, .. } => Some(path.as_str()),
                    _ => None,
                })
                .collect();
            let because = needs.get(id).into_iter().flatten();
            let because = because
                .filter(|needed| {
                    let outputs = known.get(needed).map(|action| &action.spec.outputs);
                    let mut outputs = outputs.into_iter().flatten();
                    outputs.any(|output| read.contains(output.path.as_str()))
                })
                .filter_map(|needed| places.get(needed).copied())
                .collect();
            Some(ActionReason {
                owner: action.spec.owner.clone(),
                what: action.subject(),
                causes,
                because,
            })
        })
        .collect()
}
