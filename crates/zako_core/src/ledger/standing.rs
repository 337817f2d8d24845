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
    /// Whether nothing that the action has to do with was noted as changed since it was verified; `changed_at` is said of all nodes.
    fn is_quiet(&self, action: Id, changed_at: &[u32]) -> bool {
        let archive = &self.archive;
        let verified_at = archive.verified_at(action);
        archive.fingerprint(action)[0] != RUNS_EACH_TIME
            && archive
                .dependencies(action)
                .flat()
                .all(|leaf| changed_at[leaf.index()] <= verified_at)
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
            wanted[id.index()] = true;
        }
        let wanted = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
        wanted
            .map(|(at, _)| Id::from_index(at))
            .filter(|id| self.archive.kind(*id).is_leaf())
            .collect()
    }

    /// Those of `actions` that are affected, in the order given: those that something reaches, and those that need what they write.
    pub(crate) fn affected(&mut self, actions: &[Id]) -> Vec<Affected> {
        // Edges outnumber nodes by far: each is one look into a dense array.
        let changed_at: Vec<u32> = (0..self.archive.len())
            .map(|at| self.archive.changed_at(Id::from_index(at)))
            .collect();
        let mut causes: Vec<Option<Vec<Cause>>> = Vec::with_capacity(actions.len());
        let mut begin = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            if self.archive.has(*action) && self.is_quiet(*action, &changed_at) {
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
        spread(&self.archive, actions, begin, &mut causes);
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

/// How often all edges are gone through for those that lead from what changed, before it pays to sort them: most changes reach no
/// further, from a source to what it is linked into.
const MAX_PASSES: usize = 3;

/// Those of `actions` that need what the ones at `front` write, or what such a one does, are affected by nothing of their own.
fn spread(
    archive: &Archive,
    actions: &[Id],
    mut front: Vec<usize>,
    causes: &mut [Option<Vec<Cause>>],
) {
    let mut is_reached = vec![false; archive.len()];
    for _ in 0..MAX_PASSES {
        if front.is_empty() {
            return;
        }
        for at in front.drain(..) {
            for leaf in written(archive, actions[at]) {
                is_reached[leaf.index()] = true;
            }
        }
        for (at, action) in actions.iter().enumerate() {
            let mut edges = archive.dependencies(*action).flat();
            if causes[at].is_none() && edges.any(|leaf| is_reached[leaf.index()]) {
                causes[at] = Some(Vec::new());
                front.push(at);
            }
        }
    }
    if front.is_empty() {
        return;
    }
    let consumers = Consumers::of(archive, actions);
    while let Some(at) = front.pop() {
        for user in consumers.of_action(archive, actions[at]) {
            if causes[user].is_none() {
                causes[user] = Some(Vec::new());
                front.push(user);
            }
        }
    }
}

/// Which of some actions use what others of them write.
struct Consumers {
    /// Leaves that are written, each with a user, by its place among the actions; in order.
    uses: Vec<(Id, usize)>,
}

impl Consumers {
    fn of(archive: &Archive, actions: &[Id]) -> Consumers {
        let mut is_written = vec![false; archive.len()];
        for leaf in actions.iter().flat_map(|action| written(archive, *action)) {
            is_written[leaf.index()] = true;
        }
        let mut uses = Vec::new();
        for (at, action) in actions.iter().enumerate() {
            let leaves = used(archive, *action).filter(|leaf| is_written[leaf.index()]);
            uses.extend(leaves.map(|leaf| (leaf, at)));
        }
        uses.sort_unstable();
        Consumers { uses }
    }

    fn of_leaf(&self, leaf: Id) -> impl Iterator<Item = usize> {
        let from = self.uses.partition_point(|(used, _)| *used < leaf);
        let uses = self.uses[from..].iter();
        uses.take_while(move |(used, _)| *used == leaf)
            .map(|(_, user)| *user)
    }

    /// The users of what an action writes.
    fn of_action(&self, archive: &Archive, action: Id) -> Vec<usize> {
        written(archive, action)
            .flat_map(|leaf| self.of_leaf(leaf))
            .collect()
    }
}

/// The leaves that an action writes.
fn written(archive: &Archive, action: Id) -> impl Iterator<Item = Id> {
    let leaves = archive.dependencies(action).skip(WRITES).flatten();
    leaves.filter(|id| archive.kind(*id).is_leaf())
}

/// What an action reads or needs to be there.
fn used(archive: &Archive, action: Id) -> impl Iterator<Item = Id> {
    debug_assert!(archive.kind(action) == ACTION);
    archive.dependencies(action).take(WRITES).flatten()
}

fn text(archive: &Archive, id: Id) -> String {
    String::from_utf8_lossy(archive.key(id)).into_owned()
}
