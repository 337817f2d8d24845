//! Making nodes of what an archive knows.
//!
//! **Invariant:** a node has a memo only if all that it depends on, directly or not, has one too.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::archive::{Archive, Damaged, Id, above};
use crate::data::Data;
use crate::engine::{Engine, Shared};
use crate::held::Held;
use crate::revision::Revision;
use crate::store::{Group, Memo, Node, Trigger};

impl Engine {
    /// Knows from here on what `archive` knows, as if it had computed it itself; revisions go on from the
    /// archive's. Keys are decoded here, values when they are first needed. What does not decode, or is of
    /// no type in [`EngineOptions::codecs`](crate::EngineOptions::codecs), is left out with all that
    /// depends on it. Gives how many nodes were restored.
    ///
    /// # Errors
    /// [`Damaged`]; nothing is restored then.
    ///
    /// # Panics
    /// Something was asked of this engine before.
    pub fn restore(&self, archive: &Archive, data: &Data) -> Result<usize, Damaged> {
        assert_eq!(self.node_count(), 0, "restoring comes before asking");
        archive.verify_all()?;
        Ok(self.shared.restore(archive, data))
    }
}

impl Shared {
    fn restore(&self, archive: &Archive, data: &Data) -> usize {
        let mut nodes: Vec<Option<Arc<Node>>> = vec![None; archive.len()];
        let mut ids: Vec<Id> = Vec::with_capacity(archive.len());
        self.store.reserve(archive.len());
        for id in archive.ids() {
            let Some(codec) = self.codecs.of_kind(archive.kind(id)) else {
                continue;
            };
            let Some(key) = codec.decode_key(archive.key(id), data) else {
                continue;
            };
            let node = self.store.node_of(key);
            let mut state = node.state.lock();
            // Two encodings of one key: the first is as good as any.
            if state.saved.is_none() {
                state.saved = Some(id);
                drop(state);
                nodes[id.index()] = Some(node);
                ids.push(id);
            }
        }
        if ids.len() < archive.len() {
            let missing = (0..archive.len()).filter(|&at| nodes[at].is_none());
            let missing = missing.map(Id::from_index).collect();
            for id in above(archive, &ids, missing) {
                nodes[id.index()] = None;
            }
        }
        let mut last = Revision::new(archive.revision().into());
        let mut restored = 0;
        let mut stale = Vec::new();
        for id in ids {
            let (Some(node), Some(stored)) = (&nodes[id.index()], archive.stored(id)) else {
                continue;
            };
            let named = |id: Id| nodes[id.index()].as_ref().map(|node| node.id);
            let groups = archive.dependencies(id).map(|group| {
                let ids: Box<[_]> = group.filter_map(named).collect();
                match *ids {
                    [one] => Group::One(one),
                    _ => Group::Many(ids),
                }
            });
            let changed_at = Revision::new(archive.changed_at(id).into());
            let at = archive.verified_at(id);
            let verified_at = Revision::new(at.into());
            last = last.max(verified_at);
            let mut asked = archive.dependencies(id).flat();
            if asked.any(|id| archive.changed_at(id) > at) {
                stale.push(node.id);
            }
            node.state.lock().memo = Some(Memo {
                value: Held::Dormant(stored),
                witness: None,
                dependencies: groups.collect(),
                changed_at,
                verified_at,
                computed_at: changed_at,
                cause: Trigger::Restored,
            });
            restored += 1;
        }
        self.last_revision.fetch_max(last.get(), Ordering::Relaxed);
        self.dependents.lock().add_stale(stale);
        self.saving.lock().stamp = Some(archive.stamp().clone());
        restored
    }
}
