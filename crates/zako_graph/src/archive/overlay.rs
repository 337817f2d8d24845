//! What is known beyond the graph file: the changes of the journal and those that are yet to get there.
//!
//! **Invariant:** changes come in by [`Overlay::apply`] only, whether from the journal or from the caller,
//! so that reading a journal gives what writing it had.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::{Equivalent, IndexSet};

use super::groups;
use super::id::{Id, Kind, MAX_NODES};
use super::operation::{Operation, Put};
use super::record::Fingerprint;
use crate::flight::IdHash;

/// A record, as it is kept in memory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) fingerprint: Fingerprint,
    pub(super) changed_at: u32,
    pub(super) verified_at: u32,
    pub(super) witness: Box<[u8]>,
    pub(super) value: Box<[u8]>,
    pub(super) row: Box<[u8]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Name {
    kind: Kind,
    key: Box<[u8]>,
}

/// A [`Name`] that is looked for.
struct Sought<'a> {
    kind: Kind,
    key: &'a [u8],
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { kind, ref key } = *self;
        Sought { kind, key }.hash(state);
    }
}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.key.hash(state);
    }
}

impl Equivalent<Name> for Sought<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        self.kind == name.kind && *self.key == *name.key
    }
}

/// Why an operation can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Impossible(pub(super) &'static str);

#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// The nodes that the graph file does not have; their ids follow those in there.
    names: IndexSet<Name>,
    /// What is put in place of the record in the file; `None` for what was removed.
    entries: HashMap<Id, Option<Arc<Entry>>, IdHash>,
    /// Later verifications of records that are else as they were.
    verified: HashMap<Id, u32, IdHash>,
}

impl Overlay {
    /// How many nodes it adds.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The node's record: `None` if that is still as in the file, `Some(None)` if there is none any more.
    pub(super) fn entry(&self, id: Id) -> Option<Option<&Arc<Entry>>> {
        self.entries.get(&id).map(Option::as_ref)
    }

    /// A later verification than the record itself says.
    pub(super) fn verified_at(&self, id: Id) -> Option<u32> {
        self.verified.get(&id).copied()
    }

    /// Kind and key of the node with this number among those added.
    pub(super) fn name(&self, number: usize) -> Option<(Kind, &[u8])> {
        let name = self.names.get_index(number)?;
        Some((name.kind, &name.key))
    }

    /// The number, among those added, of the node with this key.
    pub(super) fn find(&self, kind: Kind, key: &[u8]) -> Option<usize> {
        self.names.get_index_of(&Sought { kind, key })
    }

    /// Makes a change; `kinds` says the kind of a node of the file, of which there are `base`.
    pub(super) fn apply(
        &mut self,
        operation: Operation<'_>,
        base: usize,
        kinds: impl Fn(Id) -> Kind,
    ) -> Result<(), Impossible> {
        let nodes = base + self.names.len();
        let known = |id: Id| match id.index() < nodes {
            true => Ok(()),
            false => Err(Impossible("an id of another archive")),
        };
        match operation {
            Operation::Intern { kind, key } => {
                if nodes >= MAX_NODES {
                    return Err(Impossible("too many nodes"));
                }
                let key = key.into();
                if !self.names.insert(Name { kind, key }) {
                    return Err(Impossible("a second node of one key"));
                }
            }
            Operation::Put { id, put } => {
                known(id)?;
                let kind = match id.index().checked_sub(base) {
                    None => kinds(id),
                    Some(number) => self.names[number].kind,
                };
                self.put(id, kind, put, nodes)?;
            }
            Operation::Verify { id, revision } => {
                known(id)?;
                let exists = match self.entries.get(&id) {
                    Some(entry) => entry.is_some(),
                    None => id.index() < base,
                };
                if exists {
                    self.verified.insert(id, revision);
                }
            }
            Operation::Remove { id } => {
                known(id)?;
                self.verified.remove(&id);
                self.entries.insert(id, None);
            }
        }
        Ok(())
    }

    fn put(&mut self, id: Id, kind: Kind, put: Put<'_>, nodes: usize) -> Result<(), Impossible> {
        if kind.is_leaf() && !put.row.is_empty() {
            return Err(Impossible("a leaf with dependencies"));
        }
        if !kind.is_leaf() && !put.witness.is_empty() {
            return Err(Impossible("a witness of a node that is no leaf"));
        }
        if !groups::is_sound(put.row, nodes) {
            return Err(Impossible("a dependency of another archive"));
        }
        self.verified.remove(&id);
        let entry = Entry {
            fingerprint: put.fingerprint,
            changed_at: put.changed_at,
            verified_at: put.verified_at,
            witness: put.witness.into(),
            value: put.value.into(),
            row: put.row.into(),
        };
        self.entries.insert(id, Some(Arc::new(entry)));
        Ok(())
    }
}
