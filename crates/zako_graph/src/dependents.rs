//! Who asked for whom, the other way round: what a changed leaf reaches.
//!
//! With it, a request that is told which leaves have changed looks at nothing else: a node counts as up to
//! date without a look if it was when all leaves were last asked, and no leaf below it was said to have
//! changed since.
//!
//! **Invariant:** `dirty_at` of a node is at least the revision of each told change below its memo's
//! dependencies that came after its `verified_at`. Edges of the past may be here still; they cost a
//! verification each and are never wrong.
//! **Invariant:** a node that counts as up to date without a look has only such nodes below it; so nobody above a
//! leaf that is being read is taken over meanwhile.
//! **Invariant:** this lock comes before that of any node; `Fresh` is locked after.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::atomic::Ordering;

use crate::confirm::KnownLeaf;
use crate::engine::Shared;
use crate::flight::IdHash;
use crate::revision::Revision;
use crate::store::{Group, Node, NodeId};

/// Edges beside the table before it is made anew, at least.
const MIN_MORE: usize = 4096;

/// The nodes whose edges are yet to be looked at.
#[derive(Default)]
pub(crate) struct Fresh {
    /// Whether anybody asks for edges.
    wanted: bool,
    nodes: Vec<NodeId>,
}

impl Fresh {
    pub(crate) fn add(&mut self, node: NodeId) {
        if self.wanted {
            self.nodes.push(node);
        }
    }
}

/// The index of edges, made when it is first needed.
#[derive(Default)]
pub(crate) struct Dependents {
    /// Where the askers of each node end in `askers`.
    ends: Vec<u32>,
    askers: Vec<NodeId>,
    /// What came after the table was made.
    more: HashMap<NodeId, Vec<NodeId>, IdHash>,
    more_edges: usize,
    leaves: Vec<NodeId>,
    /// So many nodes have been looked through for leaves.
    looked: usize,
    /// Restored nodes that are older than something that they asked for.
    stale: Vec<NodeId>,
}

impl Dependents {
    pub(crate) fn add_stale(&mut self, nodes: Vec<NodeId>) {
        self.stale = nodes;
    }

    fn of(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let index = node.index();
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = if index == 0 { 0 } else { end(index - 1) };
        let table = self.askers.get(start..end(index)).unwrap_or_default();
        let more = self.more.get(&node).map_or(&[][..], |more| more);
        table.iter().chain(more).copied()
    }

    /// Looks at what is new, or at everything.
    fn update(&mut self, shared: &Shared) {
        let fresh = {
            let mut fresh = shared.fresh.lock();
            let first = !mem::replace(&mut fresh.wanted, true);
            let nodes = mem::take(&mut fresh.nodes);
            (!first).then_some(nodes)
        };
        let limit = MIN_MORE.max(self.askers.len());
        match fresh {
            Some(fresh) if self.more_edges <= limit => {
                for asker in shared.store.by_ids(&fresh) {
                    for id in asked_by(&asker).iter().flat_map(Group::ids) {
                        self.more.entry(*id).or_default().push(asker.id);
                        self.more_edges += 1;
                    }
                }
            }
            _ => self.build(shared),
        }
        let new = shared.store.since(self.looked);
        self.looked += new.len();
        self.leaves.extend(
            new.iter()
                .filter(|node| node.key.is_leaf())
                .map(|node| node.id),
        );
    }

    fn build(&mut self, shared: &Shared) {
        let nodes = shared.store.since(0);
        let groups: Vec<_> = nodes.iter().map(|node| asked_by(node)).collect();
        let ids = || {
            groups
                .iter()
                .map(|groups| groups.iter().flat_map(Group::ids))
        };
        let mut ends = vec![0_u32; nodes.len()];
        for id in ids().flatten() {
            // A node made after those were listed is fresh, and looked at next time.
            if let Some(count) = ends.get_mut(id.index()) {
                *count += 1;
            }
        }
        let mut total = 0;
        for end in &mut ends {
            // Where its askers begin, for now.
            total += mem::replace(end, total);
        }
        let mut askers = vec![NodeId::default(); total as usize];
        for (asker, ids) in nodes.iter().zip(ids()) {
            for id in ids {
                if let Some(at) = ends.get_mut(id.index()) {
                    askers[*at as usize] = asker.id;
                    *at += 1;
                }
            }
        }
        *self = Self {
            ends,
            askers,
            leaves: mem::take(&mut self.leaves),
            looked: self.looked,
            stale: mem::take(&mut self.stale),
            ..Self::default()
        };
    }

    /// Makes all that `changed` reaches be verified in the next revision that asks for it.
    fn mark(&self, shared: &Shared, changed: Vec<NodeId>, revision: Revision) {
        // Not told by `dirty_at`: one that an older request has just finished has it without its askers.
        let mut seen = HashSet::<NodeId, IdHash>::default();
        let mut stack = changed;
        while let Some(id) = stack.pop() {
            if seen.insert(id) {
                shared.store.by_id(id).state.lock().dirty_at = revision;
                stack.extend(self.of(id));
            }
        }
    }
}

fn asked_by(node: &Node) -> std::sync::Arc<[Group]> {
    let state = node.state.lock();
    match &state.memo {
        Some(memo) => memo.dependencies.clone(),
        None => std::sync::Arc::default(),
    }
}

impl Shared {
    /// Opens a revision in which every leaf is asked anew.
    pub(crate) fn open(&self) -> Revision {
        let _order = self.dependents.lock();
        let revision = self.next_revision();
        self.floor.store(revision.get(), Ordering::Release);
        revision
    }

    /// Opens a revision in which only `changed` have changed since the last one was opened.
    pub(crate) fn open_changed(&self, changed: Vec<NodeId>) -> Revision {
        let mut dependents = self.dependents.lock();
        let revision = self.next_revision();
        dependents.update(self);
        let stale = mem::take(&mut dependents.stale);
        dependents.mark(self, stale, revision);
        dependents.mark(self, changed, revision);
        revision
    }

    /// Opens a revision in which those leaves hold of which `confirm` says so, and others may have changed.
    pub(crate) fn open_confirmed(&self, confirm: impl Fn(KnownLeaf<'_>) -> bool) -> Revision {
        let mut dependents = self.dependents.lock();
        let revision = self.next_revision();
        dependents.update(self);
        let mut changed = mem::take(&mut dependents.stale);
        for node in self.store.by_ids(&dependents.leaves) {
            let mut state = node.state.lock();
            let id = state.saved;
            // One that an older request is computing may come out as it will be later: what is confirmed now
            // can't stand beside that.
            let idle = state.running.is_none();
            match &mut state.memo {
                Some(memo)
                    if idle
                        && confirm(KnownLeaf {
                            key: &*node.key,
                            id,
                            memo,
                        }) =>
                {
                    memo.verified_at = memo.verified_at.max(revision);
                }
                _ => changed.push(node.id),
            }
        }
        dependents.mark(self, changed, revision);
        revision
    }

    fn next_revision(&self) -> Revision {
        Revision::new(self.last_revision.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// The last revision in which every leaf was to be asked anew.
    pub(crate) fn floor(&self) -> Revision {
        Revision::new(self.floor.load(Ordering::Acquire))
    }
}
