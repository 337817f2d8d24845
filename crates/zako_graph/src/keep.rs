//! Writing what an engine knows to an archive.
//!
//! **Invariant:** a node's record says what its memo says at one moment, and never is a record newer than
//! one of those that it depends on: what was computed since the last time is written in one go, and what
//! can't be kept any more has its record taken away, so that nothing is restored that was computed from it.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

use crate::archive::{Archive, Fingerprint, Id, Record, Stamp};
use crate::data::Data;
use crate::engine::{Engine, Shared};
use crate::flight::IdHash;
use crate::held::Held;
use crate::kept::{Encoded, fingerprint};
use crate::request::Request;
use crate::revision::Revision;
use crate::store::{Group, Memo, Node, NodeId};

type Nodes = HashSet<NodeId, IdHash>;

/// What is yet to be written.
#[derive(Default)]
pub(crate) struct Saving {
    /// The nodes computed since the last time.
    touched: Nodes,
    /// What the nodes' archive ids are of.
    pub(crate) stamp: Option<Stamp>,
}

impl Saving {
    pub(crate) fn touch(&mut self, node: NodeId) {
        self.touched.insert(node);
    }
}

/// What one request needed, in an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What was asked for from outside.
    pub roots: Vec<Id>,
    /// All leaves below that, in ascending order.
    pub leaves: Vec<Id>,
    /// Whether all that the request needed is there, so that nothing has changed as long as none of the
    /// leaves has. Not so after errors and cancelled asks, and where a node is not kept.
    pub complete: bool,
}

/// What is known of a node, as it was at one moment.
struct Known {
    value: Held,
    witness: Option<Box<[u8]>>,
    dependencies: Arc<[Group]>,
    changed_at: Revision,
    verified_at: Revision,
}

impl Known {
    fn of(memo: &Memo) -> Self {
        Self {
            value: memo.value.clone(),
            witness: memo.witness.clone(),
            dependencies: memo.dependencies.clone(),
            changed_at: memo.changed_at,
            verified_at: memo.verified_at,
        }
    }
}

impl Engine {
    /// Puts what was computed since the last time, and whatever else `request` asked for and is not there
    /// yet, into `archive`; it is on disk after that one's [`flush`](Archive::flush). The archive is
    /// the one that was restored from or kept in before, or an empty one.
    ///
    /// Values that serve one revision only are not kept, nor is what depends on them.
    pub fn keep(&self, archive: &mut Archive, request: &Request) {
        self.shared
            .keep(archive, &request.state.data, request.state.roots());
    }

    /// What `request` needed, as far as `archive` has it: after [`keep`](Self::keep) there, all of it unless
    /// something can't be kept.
    pub fn footprint(&self, request: &Request, archive: &Archive) -> Footprint {
        let mut footprint = Footprint {
            complete: self.shared.saving.lock().stamp.as_ref() == Some(archive.stamp()),
            ..Footprint::default()
        };
        if !footprint.complete {
            return footprint;
        }
        for node in self.shared.store.by_ids(&request.state.roots()) {
            let state = node.state.lock();
            let memo = state.memo.as_ref();
            let current = memo.is_some_and(|memo| memo.verified_at >= request.state.revision);
            footprint.complete &= current;
            match state.saved {
                Some(id) if archive.has(id) => footprint.roots.push(id),
                _ => footprint.complete = false,
            }
        }
        let mut seen = vec![false; archive.len()];
        let mut stack = footprint.roots.clone();
        while let Some(id) = stack.pop() {
            if mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            footprint.complete &= archive.has(id);
            if archive.kind(id).is_leaf() {
                footprint.leaves.push(id);
            } else {
                stack.extend(
                    archive
                        .dependencies(id)
                        .flat()
                        .filter(|id| !seen[id.index()]),
                );
            }
        }
        footprint.leaves.sort_unstable();
        footprint
    }
}

impl Shared {
    fn keep(&self, archive: &mut Archive, data: &Data, roots: Vec<NodeId>) {
        // Not held while nodes are locked: those who compute take these locks the other way round.
        let (touched, renumbered, foreign) = {
            let mut saving = self.saving.lock();
            let before = saving.stamp.replace(archive.stamp().clone());
            let renumbered = before.as_ref() != Some(archive.stamp());
            // Somebody else may have written to one that was opened since.
            let foreign = !before.is_some_and(|before| before.is_of_same_life(archive.stamp()));
            (mem::take(&mut saving.touched), renumbered, foreign)
        };
        if renumbered {
            for node in self.store.since(0) {
                node.state.lock().saved = None;
            }
        }
        let mut wrote = self.write(archive, data, &touched, roots, foreign);
        // What is written may have been computed just now, from what is not written yet.
        loop {
            let touched = mem::take(&mut self.saving.lock().touched);
            if touched.is_empty() {
                break;
            }
            wrote |= self.write(archive, data, &touched, Vec::new(), false);
        }
        if wrote {
            archive.set_revision(narrow(self.last_revision()));
        }
    }

    /// Writes `touched`, and of `others` and what those need whatever is not there, or, when the archive is
    /// `foreign`, what is there otherwise: another process may have written it. Gives whether there was anything.
    fn write(
        &self,
        archive: &mut Archive,
        data: &Data,
        touched: &Nodes,
        others: Vec<NodeId>,
        foreign: bool,
    ) -> bool {
        let mut seen = Nodes::default();
        let mut stack = others;
        stack.extend(touched);
        // In the order of their making, so that the same work gives the same file.
        stack.sort_unstable();
        let mut wrote = false;
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = self.store.by_id(id);
            let known = node.state.lock().memo.as_ref().map(Known::of);
            let Some(known) = known else {
                continue;
            };
            let Some(archived) = self.archive_id(archive, data, &node) else {
                continue;
            };
            let is_there = archive.has(archived);
            let is_touched = touched.contains(&id);
            if is_there && !is_touched && !foreign {
                continue;
            }
            if foreign {
                let needed = known.dependencies.iter().flat_map(Group::ids);
                stack.extend(needed.filter(|id| !seen.contains(id)));
            }
            match self.record(archive, data, &node, &known, &mut stack) {
                Some(mut record) => {
                    let is_same = is_there && archive.fingerprint(archived) == record.fingerprint;
                    if is_same && !is_touched && has_edges(archive, archived, &record) {
                        continue;
                    }
                    // For those who know the archive a value changes when it is put there, whoever knew it before.
                    if is_there && foreign {
                        let changed_at = match is_same {
                            true => archive.changed_at(archived),
                            false => narrow(self.last_revision()),
                        };
                        record.changed_at = record.changed_at.max(changed_at);
                    }
                    archive.put(archived, record);
                }
                None => archive.remove(archived),
            }
            wrote = true;
        }
        wrote
    }

    /// The node's id in `archive`, made if need be; `None` if its key can't be kept.
    fn archive_id(&self, archive: &mut Archive, data: &Data, node: &Node) -> Option<Id> {
        if let Some(id) = node.state.lock().saved {
            return Some(id);
        }
        let codec = self.codecs.of_key(&*node.key)?;
        let mut key = Vec::new();
        if !codec.encode_key(&*node.key, data, &mut key) {
            return None;
        }
        let id = archive.intern(codec.kind(), &key);
        node.state.lock().saved = Some(id);
        Some(id)
    }

    /// What to put, and onto `stack` what that needs and is not there; `None` if it can't be kept.
    fn record(
        &self,
        archive: &mut Archive,
        data: &Data,
        node: &Node,
        known: &Known,
        stack: &mut Vec<NodeId>,
    ) -> Option<Record> {
        let (fingerprint, value) = self.bytes(data, node, &known.value)?;
        let mut dependencies = Vec::with_capacity(known.dependencies.len());
        for group in known.dependencies.iter() {
            let mut ids = Vec::with_capacity(group.ids().len());
            for &dependency in group.ids() {
                let other = self.store.by_id(dependency);
                let id = self.archive_id(archive, data, &other)?;
                if !archive.has(id) {
                    stack.push(dependency);
                }
                ids.push(id);
            }
            dependencies.push(ids);
        }
        let stored_witness = || match &known.value {
            Held::Live(_) => Box::default(),
            Held::Dormant(stored) | Held::Lost(stored) => stored.witness().into(),
        };
        let witness = match node.key.is_leaf() {
            true => known.witness.clone().unwrap_or_else(stored_witness),
            false => Box::default(),
        };
        Some(Record {
            fingerprint,
            changed_at: narrow(known.changed_at),
            verified_at: narrow(known.verified_at),
            witness,
            value,
            dependencies,
        })
    }

    /// Fingerprint and encoding of a value; `None` if it is not to be kept.
    fn bytes(&self, data: &Data, node: &Node, value: &Held) -> Option<(Fingerprint, Box<[u8]>)> {
        match value {
            Held::Live(value) => {
                let codec = self.codecs.of_key(&*node.key)?;
                let mut bytes = Vec::new();
                match codec.encode_value(value, data, &mut bytes) {
                    Encoded::Value => Some((fingerprint(&bytes), bytes.into())),
                    Encoded::FingerprintOnly => Some((fingerprint(&bytes), Box::default())),
                    Encoded::Not => None,
                }
            }
            Held::Dormant(stored) => Some((stored.fingerprint(), stored.value().into())),
            Held::Lost(stored) => Some((stored.fingerprint(), Box::default())),
        }
    }
}

/// Whether the archive has the node with the dependencies of `record`.
fn has_edges(archive: &Archive, id: Id, record: &Record) -> bool {
    let groups = archive.dependencies(id);
    groups
        .map(Iterator::collect::<Vec<_>>)
        .eq(record.dependencies.iter().cloned())
}

/// A revision as it is kept.
fn narrow(revision: Revision) -> u32 {
    u32::try_from(revision.get()).expect("one build a second comes to 4 billion in 136 years")
}
