//! The graph on disk: nodes with their fingerprints, dependencies and, where needed, values.
//!
//! Two files in one folder. `graph` is mapped, and read where it lies: opening it reads a header. `journal`
//! has what changed since, and [`Archive::compact`] makes a new `graph` of both. Bytes are those of
//! whoever calls: nothing in here knows what a key or a value means.
//!
//! **Invariant:** `graph` comes into being by rename, whole, and is never changed in place; a flush counts
//! as a whole or not at all. A process that ends at any moment leaves the state before or after. Nothing is
//! synced to the disk: after a loss of power a file may be empty or torn, which its checksums tell, and then
//! it counts as not there.
//!
//! **Invariant:** one process writes, which the caller sees to. Others may read at the same time: what they
//! have opened stays as it was.
//!
//! Must never know: the engine, its keys and its values.

mod base;
mod compaction;
mod groups;
mod id;
mod journal;
mod layout;
mod map;
mod operation;
mod overlay;
mod record;
mod stored;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::base::Base;
pub use self::compaction::Moves;
use self::compaction::Plan;
pub(crate) use self::compaction::above;
pub use self::groups::{Group, Groups};
pub use self::id::{Id, Kind, MAX_NODES};
use self::journal::{Batch, Journal};
use self::layout::{Refused, Section};
use self::map::Map;
use self::operation::{Operation, Put};
use self::overlay::{Entry, Impossible, Overlay};
pub use self::record::{Fingerprint, Record};
pub(crate) use self::stored::Stored;

const GRAPH: &str = "graph";
const TEMPORARY: &str = "graph.tmp";
/// What could not be read is kept under these names, for whoever wants to know why.
const BAD: [(&str, &str); 2] = [(GRAPH, "graph.bad"), (journal::NAME, "journal.bad")];
/// A journal up to this size is never worth a new graph file: it is read in well under a millisecond.
const SMALL_JOURNAL: u64 = 256 * 1024;
/// A journal may grow to this part of the graph file.
const JOURNAL_PART: u64 = 16;

/// The graph file does not say what was once written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saved graph {} is damaged ({section})", path.display())]
pub struct Damaged {
    path: PathBuf,
    section: String,
}

/// Stands for one numbering of nodes of one opened archive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp {
    /// Of the opened archive: equal to its clones only.
    life: Arc<()>,
    numbering: u32,
}

impl Stamp {
    /// Whether both are of one opened archive, which nobody else has written to in between.
    pub(crate) fn is_of_same_life(&self, other: &Stamp) -> bool {
        Arc::ptr_eq(&self.life, &other.life)
    }

    /// Of the same archive after its ids changed.
    fn renumbered(&self) -> Stamp {
        Stamp {
            life: self.life.clone(),
            numbering: self.numbering + 1,
        }
    }
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.is_of_same_life(other) && self.numbering == other.numbering
    }
}

/// A graph on disk, with the changes made to it since.
///
/// Changes are seen at once, and on disk after [`flush`](Self::flush). Ids are those of this archive, up to
/// the next [`compact`](Self::compact); to use another one's is an error of the caller and panics where it
/// is noticed.
pub struct Archive {
    folder: PathBuf,
    producer: String,
    base: Arc<Base>,
    /// What ids are of; another one after they changed.
    stamp: Stamp,
    /// Whether `base` is a file under its name.
    in_place: bool,
    /// Whether what is under the names is to be kept aside before something is written.
    set_aside: bool,
    overlay: Overlay,
    revision: u32,
    pending: Batch,
    journal: Journal,
}

impl Archive {
    /// Opens what is in `folder`, or an empty archive if there is nothing or the folder itself is not there.
    ///
    /// `producer` is the version of the codecs that the bytes are for. What another one wrote, what a newer
    /// program wrote, and what is torn counts as not there; it is renamed to `graph.bad` and `journal.bad`
    /// before the first write takes its place, and the notice says so to people. Opening writes nothing.
    ///
    /// # Errors
    /// The folder or a file in it can't be read.
    pub fn open(folder: &Path, producer: &str) -> io::Result<(Self, Option<String>)> {
        let mut archive = Self::empty(folder, producer);
        let path = folder.join(GRAPH);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((archive, None)),
            Err(error) => return Err(error),
        };
        let refused = match Base::new(Map::new(&file)?, producer) {
            Ok(base) => match archive.read_journal(base)? {
                Ok(()) => return Ok((archive, None)),
                Err(Impossible(_)) => Refused::Damaged,
            },
            Err(refused) => refused,
        };
        let mut archive = Self::empty(folder, producer);
        archive.set_aside = true;
        let why = match refused {
            Refused::Damaged => "is damaged",
            Refused::Newer | Refused::OtherProducer => "was written by another version",
        };
        let notice = format!(
            "the saved graph {} {why}; it is kept as {} and made anew",
            path.display(),
            BAD[0].1
        );
        Ok((archive, Some(notice)))
    }

    fn read_journal(&mut self, base: Base) -> io::Result<Result<(), Impossible>> {
        let (overlay, revision) = (&mut self.overlay, &mut self.revision);
        *revision = base.layout.revision;
        let read = Journal::read(&self.folder, base.layout.id, |at, mut operations| {
            *revision = at;
            while !operations.is_empty() {
                let operation = Operation::decode(&mut operations)
                    .ok_or(Impossible("an operation of no kind"))?;
                if let Operation::Intern { kind, key } = operation
                    && base.find(kind, key).is_some()
                {
                    return Err(Impossible("a second node of one key"));
                }
                overlay.apply(operation, base.len(), |id| base.kind(id))?;
            }
            Ok(())
        })?;
        Ok(read.map(|journal| {
            self.journal = journal;
            self.base = Arc::new(base);
            self.in_place = true;
        }))
    }

    /// An archive without nodes, which at the first write replaces what is in `folder`.
    pub fn empty(folder: &Path, producer: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            producer: producer.to_owned(),
            base: Arc::default(),
            stamp: Stamp::default(),
            in_place: false,
            set_aside: false,
            overlay: Overlay::default(),
            revision: 0,
            pending: Batch::default(),
            journal: Journal::default(),
        }
    }

    /// Gives up what is on disk, as after [`Damaged`]: renames it to `graph.bad` and `journal.bad`, and gives
    /// an empty archive.
    ///
    /// # Errors
    /// The files can't be renamed.
    pub fn set_aside(self) -> io::Result<Self> {
        let mut empty = Self::empty(&self.folder, &self.producer);
        drop(self);
        empty.set_aside = true;
        empty.keep_aside()?;
        Ok(empty)
    }

    /// The revision that was last set.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Sets the revision, which is kept with the next flush.
    pub fn set_revision(&mut self, revision: u32) {
        self.pending.revision |= self.revision != revision;
        self.revision = revision;
    }

    /// How many ids there are, whether or not they have a record.
    pub fn len(&self) -> usize {
        self.base.len() + self.overlay.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node of this kind and key, if it was ever interned.
    pub fn find(&self, kind: Kind, key: &[u8]) -> Option<Id> {
        let added = || {
            let number = self.overlay.find(kind, key)?;
            Some(Id::from_index(self.base.len() + number))
        };
        self.base.find(kind, key).or_else(added)
    }

    /// All nodes that have a record, leaves of the graph file first.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<'_> {
        (0..self.len())
            .map(Id::from_index)
            .filter(|&id| self.has(id))
    }

    /// All nodes of one kind that have a record; those of the graph file come in the order of their keys.
    pub fn ids_of(&self, kind: Kind) -> impl Iterator<Item = Id> + use<'_> {
        let added = (self.base.len()..self.len()).map(Id::from_index);
        let base = self.base.ids_of(kind).map(Id::from_index);
        base.chain(added.filter(move |&id| self.kind(id) == kind))
            .filter(|&id| self.has(id))
    }

    /// Whether the node has a record: it was put, and not removed.
    pub fn has(&self, id: Id) -> bool {
        match self.overlay.entry(id) {
            Some(entry) => entry.is_some(),
            None => id.index() < self.base.len(),
        }
    }

    /// The kind that the node was interned with.
    pub fn kind(&self, id: Id) -> Kind {
        match id.index().checked_sub(self.base.len()) {
            None => self.base.kind(id),
            Some(number) => self
                .overlay
                .name(number)
                .map_or(Kind::inner(0), |name| name.0),
        }
    }

    /// The key that the node was interned with.
    pub fn key(&self, id: Id) -> &[u8] {
        match id.index().checked_sub(self.base.len()) {
            None => self.base.key(id),
            Some(number) => self.overlay.name(number).map_or(&[], |name| name.1),
        }
    }

    /// What `base` or the entry says; the default where there is no record.
    fn read<'a, T: Default>(
        &'a self,
        id: Id,
        of_base: impl Fn(&'a Base) -> T,
        of_entry: impl Fn(&'a Entry) -> T,
    ) -> T {
        match self.overlay.entry(id) {
            Some(Some(entry)) => of_entry(entry),
            None if id.index() < self.base.len() => of_base(&self.base),
            _ => T::default(),
        }
    }

    /// The leaf's witness; empty for others, and for nodes without a record.
    pub fn witness(&self, id: Id) -> &[u8] {
        self.read(id, |base| base.witness(id), |entry| &entry.witness)
    }

    /// The value; empty where only its fingerprint is kept, and for nodes without a record.
    pub fn value(&self, id: Id) -> &[u8] {
        self.read(id, |base| base.value(id), |entry| &entry.value)
    }

    /// The fingerprint of the value; zeros for nodes without a record.
    pub fn fingerprint(&self, id: Id) -> Fingerprint {
        self.read(id, |base| base.fingerprint(id), |entry| entry.fingerprint)
    }

    /// The revision in which the value last differed; 0 for nodes without a record.
    pub fn changed_at(&self, id: Id) -> u32 {
        self.read(id, |base| base.changed_at(id), |entry| entry.changed_at)
    }

    /// The latest revision in which the value is known to hold; 0 for nodes without a record.
    pub fn verified_at(&self, id: Id) -> u32 {
        let later = self.overlay.verified_at(id);
        later.unwrap_or_else(|| {
            self.read(id, |base| base.verified_at(id), |entry| entry.verified_at)
        })
    }

    /// What the node asked for; none for leaves, and for nodes without a record.
    pub fn dependencies(&self, id: Id) -> Groups<'_> {
        self.read(
            id,
            |base| base.dependencies(id),
            |entry| Groups::new(&entry.row),
        )
    }

    /// What is kept of the node, to be read later, whatever becomes of this archive; `None` without a record.
    pub(crate) fn stored(&self, id: Id) -> Option<Stored> {
        match self.overlay.entry(id) {
            Some(entry) => Some(Stored::Entry(entry?.clone())),
            None if id.index() < self.base.len() => Some(Stored::Base(self.base.clone(), id)),
            None => None,
        }
    }

    /// What ids are of.
    pub(crate) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The node of this kind and key, made without a record if there is none.
    ///
    /// # Panics
    /// At more than [`MAX_NODES`] nodes.
    pub fn intern(&mut self, kind: Kind, key: &[u8]) -> Id {
        if let Some(id) = self.find(kind, key) {
            return id;
        }
        let id = Id::from_index(self.len());
        self.change(Operation::Intern { kind, key });
        id
    }

    /// Sets the record of a node.
    ///
    /// # Panics
    /// A dependency is not of this archive; a leaf has dependencies; another node has a witness.
    pub fn put(&mut self, id: Id, record: Record) {
        let mut row = Vec::new();
        groups::encode(record.dependencies, &mut row);
        let put = Put {
            fingerprint: record.fingerprint,
            changed_at: record.changed_at,
            verified_at: record.verified_at,
            witness: &record.witness,
            value: &record.value,
            row: &row,
        };
        self.change(Operation::Put { id, put });
    }

    /// As [`put`](Self::put) for a leaf.
    ///
    /// # Panics
    /// The node is no leaf, and has a witness.
    pub fn put_leaf(
        &mut self,
        id: Id,
        fingerprint: Fingerprint,
        changed_at: u32,
        verified_at: u32,
        witness: &[u8],
        value: &[u8],
    ) {
        let put = Put {
            fingerprint,
            changed_at,
            verified_at,
            witness,
            value,
            row: &[],
        };
        self.change(Operation::Put { id, put });
    }

    /// Says that the node's value holds in `revision`; nothing for a node without a record.
    pub fn set_verified(&mut self, id: Id, revision: u32) {
        if self.has(id) && self.verified_at(id) != revision {
            self.change(Operation::Verify { id, revision });
        }
    }

    /// Takes the node's record away. Its id stays.
    pub fn remove(&mut self, id: Id) {
        if self.has(id) {
            self.change(Operation::Remove { id });
        }
    }

    /// The one place where something changes.
    fn change(&mut self, operation: Operation<'_>) {
        let base = &self.base;
        let applied = self
            .overlay
            .apply(operation, base.len(), |id| base.kind(id));
        if let Err(Impossible(why)) = applied {
            panic!("{why}");
        }
        operation.encode(self.pending.operations());
    }

    /// Appends all changes since the last flush to the journal, in one write.
    ///
    /// # Errors
    /// The journal can't be written. The changes stay pending.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if !self.in_place {
            // A graph file without nodes, for the journal to belong to.
            let empty = Self::empty(&self.folder, &self.producer);
            let file = Plan::new(&empty, &[]).write(&empty, &self.producer)?;
            self.base = Arc::new(self.replace(&file)?);
            self.in_place = true;
        }
        let graph = self.base.layout.id;
        self.journal
            .append(&self.folder, graph, &mut self.pending, self.revision)
    }

    /// Whether the journal has grown so much beside the graph file that it should be folded in.
    pub fn should_compact(&self) -> bool {
        let size = self.journal.size();
        size > SMALL_JOURNAL && size > self.base.size() as u64 / JOURNAL_PART
    }

    /// Writes a new graph file of what is reachable from `roots`, with all pending changes, and starts over
    /// without a journal. What depends on a node without a record is left out with it, for nobody could
    /// tell whether it still holds. Ids change; the result says to what.
    ///
    /// # Errors
    /// The new file can't be written; everything is as before.
    pub fn compact(&mut self, roots: &[Id]) -> io::Result<Moves> {
        let plan = Plan::new(self, roots);
        let file = plan.write(self, &self.producer)?;
        self.base = Arc::new(self.replace(&file)?);
        self.in_place = true;
        self.stamp = self.stamp.renumbered();
        self.overlay = Overlay::default();
        self.pending = Batch::default();
        self.journal = Journal::default();
        // It belongs to the file before, so it counts as not there even if it stays.
        let _ = fs::remove_file(self.folder.join(journal::NAME));
        Ok(plan.moves)
    }

    /// Puts `file` in the place of the graph file, and opens it.
    fn replace(&mut self, file: &[u8]) -> io::Result<Base> {
        fs::create_dir_all(&self.folder)?;
        self.keep_aside()?;
        let temporary = self.folder.join(TEMPORARY);
        fs::write(&temporary, file)?;
        // Opened before it gets its name, so that there is no error after.
        let map = Map::new(&File::open(&temporary)?)?;
        let base = Base::new(map, &self.producer)
            .map_err(|_| io::Error::other("the graph was not read as it was written"))?;
        fs::rename(&temporary, self.folder.join(GRAPH))?;
        Ok(base)
    }

    /// Renames what could not be read.
    fn keep_aside(&mut self) -> io::Result<()> {
        if self.set_aside {
            for (name, bad) in BAD {
                match fs::rename(self.folder.join(name), self.folder.join(bad)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            self.set_aside = false;
        }
        Ok(())
    }

    /// Verifies everything of the graph file but the values of inner nodes: what a build in which nothing changed
    /// reads. Once is enough for an opened archive; later calls are free.
    ///
    /// # Errors
    /// A section does not fit its checksum, or makes no sense.
    pub fn verify_leaves(&self) -> Result<(), Damaged> {
        self.verify(Section::OF_LEAVES)
    }

    /// As [`verify_leaves`](Self::verify_leaves) for everything. To be called before values of inner nodes are
    /// read.
    ///
    /// # Errors
    /// As there.
    pub fn verify_all(&self) -> Result<(), Damaged> {
        self.verify(Section::COUNT)
    }

    fn verify(&self, sections: usize) -> Result<(), Damaged> {
        self.base.verify(sections).map_err(|section| Damaged {
            path: self.folder.join(GRAPH),
            section: format!("{section:?}"),
        })
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("folder", &self.folder)
            .field("revision", &self.revision)
            .field("nodes", &self.len())
            .finish_non_exhaustive()
    }
}
