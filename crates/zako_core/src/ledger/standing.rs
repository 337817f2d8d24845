//! Which actions a change reaches: by the notes alone, without looking at anything.
//!
//! **Invariant:** an action that is not affected, and needs no affected one, is up to date, provided that its leaves were
//! looked at.

use zako_graph::archive::{Archive, Id};

use super::{ACTION, Cause, Change, Ledger, PRESENT, READS, RUNS_EACH_TIME, TOOL, WRITES, leaf};

/// An action that is affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Affected {
    pub(crate) action: Id,
    /// What reaches it; empty when it only needs what another affected action writes.
    pub(crate) causes: Vec<Cause>,
}

impl Ledger {
    /// Whether nothing that the action has to do with was noted as changed since it was verified.
    fn is_quiet(&self, action: Id) -> bool {
        let archive = &self.archive;
        let verified_at = archive.verified_at(action);
        archive.fingerprint(action)[0] != RUNS_EACH_TIME
            && archive
                .dependencies(action)
                .flat()
                .all(|leaf| archive.changed_at(leaf) <= verified_at)
    }

    /// Why the action's result does not hold; nothing when it does.
    pub(crate) fn causes(&self, action: Id) -> Vec<Cause> {
        let archive = &self.archive;
        let Some(record) = self.record(action) else {
            return vec![Cause::First];
        };
        if record.uncached {
            return vec![Cause::Uncached];
        }
        let groups = self.groups(action);
        let group = |number: usize| groups.get(number).map_or(&[][..], Vec::as_slice);
        let verified_at = archive.verified_at(action);
        let mut causes = Vec::new();
        if self.reads_of(group(READS)) != record.reads {
            let changed = group(READS)
                .iter()
                .filter(|leaf| archive.changed_at(**leaf) > verified_at);
            causes.extend(changed.map(|leaf| self.cause_of_read(*leaf)));
            if causes.is_empty() {
                // Noted between its looking and its end.
                causes.push(Cause::ResultGone);
            }
        }
        let missing = group(PRESENT).iter().filter(|leaf| self.is_gone(**leaf));
        causes.extend(missing.map(|leaf| self.cause_of_read(*leaf)));
        for (leaf, wrote) in group(WRITES).iter().zip(&record.outputs) {
            let wrote = zako_graph::fingerprint(&leaf::encode_value(Some(wrote)));
            if archive.fingerprint(*leaf) != wrote {
                let change = match leaf::is_absent(archive.value(*leaf)) {
                    true => Change::Disappeared,
                    false => Change::Changed,
                };
                causes.push(Cause::Output {
                    path: text(archive, *leaf),
                    change,
                });
            }
        }
        causes
    }

    fn cause_of_read(&self, id: Id) -> Cause {
        let key = text(&self.archive, id);
        if self.archive.kind(id) == TOOL {
            let name = key.split('\0').next().unwrap_or_default();
            return Cause::Tool {
                name: name.to_owned(),
            };
        }
        let change = match leaf::is_absent(self.archive.value(id)) {
            true => Change::Disappeared,
            false => Change::Changed,
        };
        Cause::Read { path: key, change }
    }

    /// All leaves that `actions` have to do with, each once, in order of their ids.
    pub(crate) fn leaves_of(&self, actions: &[Id], more: impl IntoIterator<Item = Id>) -> Vec<Id> {
        let mut wanted = vec![false; self.archive.len()];
        let all = actions
            .iter()
            .flat_map(|action| self.archive.dependencies(*action).flat())
            .chain(more);
        for id in all {
            wanted[id.index()] = self.archive.kind(id).is_leaf();
        }
        let wanted = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
        wanted.map(|(at, _)| Id::from_index(at)).collect()
    }

    /// Those of `actions` that are affected, in the order given: those that something reaches, and those that need what they write.
    pub(crate) fn affected(&mut self, actions: &[Id]) -> Vec<Affected> {
        let mut causes: Vec<Option<Vec<Cause>>> = Vec::with_capacity(actions.len());
        let mut begin = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            if self.archive.has(*action) && self.is_quiet(*action) {
                causes.push(None);
                continue;
            }
            let found = self.causes(*action);
            if found.is_empty() {
                self.verified(*action);
                causes.push(None);
            } else {
                begin.push(at);
                causes.push(Some(found));
            }
        }
        if !begin.is_empty() {
            let consumers = Consumers::of(&self.archive, actions);
            let mut queue = begin;
            while let Some(at) = queue.pop() {
                for user in consumers.of_action(&self.archive, actions[at]) {
                    if causes[user].is_none() {
                        causes[user] = Some(Vec::new());
                        queue.push(user);
                    }
                }
            }
        }
        let affected = actions.iter().zip(causes);
        affected
            .filter_map(|(action, causes)| {
                Some(Affected {
                    action: *action,
                    causes: causes?,
                })
            })
            .collect()
    }
}

/// Which actions use which leaf.
pub(crate) struct Consumers {
    /// Where the users of a leaf begin in `users`, one more than there are leaves.
    starts: Vec<u32>,
    users: Vec<u32>,
}

impl Consumers {
    /// The users among `actions`, by their places there.
    pub(crate) fn of(archive: &Archive, actions: &[Id]) -> Consumers {
        let mut starts = vec![0u32; archive.len() + 1];
        for action in actions {
            for leaf in used(archive, *action) {
                starts[leaf.index() + 1] += 1;
            }
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut users = vec![0; starts.last().copied().unwrap_or(0) as usize];
        for (at, action) in actions.iter().enumerate() {
            for leaf in used(archive, *action) {
                let place = &mut next[leaf.index()];
                users[*place as usize] = u32::try_from(at).unwrap_or(u32::MAX);
                *place += 1;
            }
        }
        Consumers { starts, users }
    }

    fn of_leaf(&self, leaf: Id) -> impl Iterator<Item = usize> {
        let range = match self.starts.get(leaf.index()..leaf.index() + 2) {
            Some([from, to]) => *from as usize..*to as usize,
            _ => 0..0,
        };
        self.users[range].iter().map(|at| *at as usize)
    }

    /// The users of what an action writes.
    pub(crate) fn of_action(&self, archive: &Archive, action: Id) -> Vec<usize> {
        let written = archive.dependencies(action).nth(WRITES);
        let leaves = written
            .into_iter()
            .flatten()
            .filter(|id| archive.kind(*id).is_leaf());
        leaves.flat_map(|leaf| self.of_leaf(leaf)).collect()
    }
}

/// What an action reads or needs to be there.
fn used(archive: &Archive, action: Id) -> impl Iterator<Item = Id> {
    debug_assert!(archive.kind(action) == ACTION);
    archive.dependencies(action).take(WRITES).flatten()
}

fn text(archive: &Archive, id: Id) -> String {
    String::from_utf8_lossy(archive.key(id)).into_owned()
}
