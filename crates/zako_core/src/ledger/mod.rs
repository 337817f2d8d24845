//! What is known of a workspace, kept between runs: the meaning of the graph archive's nodes for files and actions.
//!
//! Leaves are what stands at paths and which programs the machine has; inner nodes are actions, analyses and requests.
//! Nodes of the script graph are in the same archive, written by [`zako_graph::Engine`].
//!
//! Must never know how anything is found out, run or evaluated: it takes notes and answers what the notes say.
//!
//! **Invariants:** the clock moves with every value that changes, so that a node verified at a moment holds exactly as long as
//! nothing below it has changed since. An action is noted only with the values that it really read.
//! Whoever changes a ledger holds the workspace's lock.

mod action;
mod cause;
mod leaf;
pub(crate) mod request;
mod standing;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use zako_action::ArtifactValue;
use zako_cas::{Digest, DigestFunction};
use zako_graph::archive::{Archive, Damaged, Fingerprint, Id, Kind, Record};

pub(crate) use action::{ActionRecord, Head};
pub use cause::{Cause, Change};
pub(crate) use leaf::Witness;
pub(crate) use request::{Requested, RequestedTarget};
pub(crate) use standing::Affected;
pub(crate) use sweep::sweep;

use crate::files::{Role, Signature};

/// A path of the workspace that people write, by its neutral path.
pub(crate) const SOURCE: Kind = Kind::leaf(32);
/// A path of the workspace that an action writes, by its neutral path.
pub(crate) const OUTPUT: Kind = Kind::leaf(33);
/// A file of the machine, by its absolute path.
pub(crate) const EXTERNAL: Kind = Kind::leaf(34);
/// A program of the machine: the name that is asked for, NUL, the PATH that it is looked for on.
pub(crate) const TOOL: Kind = Kind::leaf(35);

/// An action, by its stable name and identity.
pub(crate) const ACTION: Kind = Kind::inner(32);
/// A target's analysis, by the fingerprint of what it is in itself and its label.
const ANALYSIS: Kind = Kind::inner(33);
/// A build request, see [`request`].
pub(crate) const REQUEST: Kind = Kind::inner(34);
/// A path outside of `zako-out/` that zako wrote, or was about to write.
pub(crate) const CLAIM: Kind = Kind::inner(35);

/// Whether a leaf is one of this module's, not one of the script graph's.
pub(crate) fn is_file(kind: Kind) -> bool {
    [SOURCE, OUTPUT, EXTERNAL, TOOL].contains(&kind)
}

/// The options that a package reads, by its path.
const READERS: Kind = Kind::inner(38);

/// The moment at which the last build that had something to do began.
const BEGAN: Kind = Kind::inner(37);

/// Stands for no node at all in a group that is empty, since the archive keeps no empty groups.
const NOTHING: Kind = Kind::inner(36);

/// The format of what this module and the codecs write; raised with any change of theirs.
const FORMAT: u32 = 2;

/// How many requests are kept; the ones that were asked longest ago go.
const MAX_REQUESTS: usize = 16;

/// What is read, what only has to be there, what is written: an action's groups of dependencies.
pub(crate) const READS: usize = 0;
pub(crate) const PRESENT: usize = 1;
pub(crate) const WRITES: usize = 2;

/// In the first byte of the fingerprint of an action's node: it runs each time. The rest is the fingerprint of its value, so that
/// one action can be read without all others being verified.
const RUNS_EACH_TIME: u8 = 1;

/// What an action read at a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// This, with all that it is.
    Value(ArtifactValue),
    /// A file of this content.
    Content(Digest),
}

/// What is known of a workspace.
pub(crate) struct Ledger {
    archive: Archive,
    function: DigestFunction,
    clock: u32,
    is_new: bool,
    /// By the number of each leaf, whether this build has seen that it is as it is noted. Kept by nobody.
    is_seen: Vec<bool>,
}

/// A ledger that several threads use.
#[derive(Clone)]
pub(crate) struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    pub(crate) fn new(ledger: Ledger) -> Self {
        SharedLedger(Arc::new(Mutex::new(ledger)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock()
    }

    /// The ledger itself, when nobody else has it any more.
    pub(crate) fn into_inner(self) -> Option<Ledger> {
        Arc::into_inner(self.0).map(Mutex::into_inner)
    }
}

/// Who wrote the archive: another one's is not understood. `scripts` says whose scripts are in it.
fn producer(function: DigestFunction, scripts: &str) -> String {
    format!("{scripts} ledger {FORMAT} {}", function.name())
}

impl Ledger {
    /// What the folder `state` holds. A file that is torn or foreign is set aside, which the text says.
    pub(crate) fn open(
        state: &Path,
        function: DigestFunction,
        scripts: &str,
    ) -> io::Result<(Ledger, Option<String>)> {
        let (archive, notice) = Archive::open(state, &producer(function, scripts))?;
        Ok((Ledger::of(archive, function), notice))
    }

    /// Nothing, to be kept in the folder `state`.
    pub(crate) fn empty(state: &Path, function: DigestFunction, scripts: &str) -> Ledger {
        Ledger::of(
            Archive::empty(state, &producer(function, scripts)),
            function,
        )
    }

    /// The ledger, when everything in it can be relied on; else a new one, and what to tell.
    pub(crate) fn sound(self) -> io::Result<(Ledger, Option<String>)> {
        match self.verify() {
            Ok(()) => Ok((self, None)),
            Err(damaged) => self
                .set_aside(&damaged)
                .map(|(anew, text)| (anew, Some(text))),
        }
    }

    /// Moves what is on disk aside, because it can't be relied on, and begins anew; gives what to tell about it.
    pub(crate) fn set_aside(self, why: &Damaged) -> io::Result<(Ledger, String)> {
        let archive = self.archive.set_aside()?;
        let notice = format!("{why}; it was set aside, and is made anew");
        Ok((Ledger::of(archive, self.function), notice))
    }

    fn of(archive: Archive, function: DigestFunction) -> Ledger {
        Ledger {
            clock: archive.revision(),
            archive,
            function,
            is_new: false,
            is_seen: Vec::new(),
        }
    }

    pub(crate) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// For the script graph, which keeps its own nodes.
    pub(crate) fn archive_mut(&mut self) -> &mut Archive {
        self.is_new = true;
        &mut self.archive
    }

    /// Whether everything can be relied on.
    pub(crate) fn verify(&self) -> Result<(), Damaged> {
        self.archive.verify_all()
    }

    pub(crate) fn function(&self) -> DigestFunction {
        self.function
    }

    /// The moment that it is now.
    pub(crate) fn clock(&self) -> u32 {
        self.clock
    }

    /// A new moment, after all that was noted so far.
    pub(crate) fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }

    /// The clock has moved this far elsewhere.
    pub(crate) fn reach(&mut self, moment: u32) {
        self.clock = self.clock.max(moment);
    }

    /// The digest of the file that has this signature at `key`, if that is known.
    pub(crate) fn known(&self, kind: Kind, key: &str, signature: &Signature) -> Option<Digest> {
        let id = self.archive.find(kind, key.as_bytes())?;
        match Witness::decode(self.archive.witness(id))? {
            Witness::File(seen) if seen == *signature => {}
            _ => return None,
        }
        leaf::decode_value(self.archive.value(id), self.function)??.digest()
    }

    /// Begins to take note of what a build sees, with `leaves`, in order, less those that are `doubtful`, also in order.
    pub(crate) fn see_only(&mut self, leaves: &[Id], doubtful: &[Id]) {
        self.is_seen.clear();
        self.see_more(leaves, doubtful);
    }

    /// Takes note that a build has seen more.
    pub(crate) fn see_more(&mut self, leaves: &[Id], doubtful: &[Id]) {
        if leaves.is_empty() {
            return;
        }
        self.is_seen.resize(self.archive.len(), false);
        for id in leaves {
            self.is_seen[id.index()] = true;
        }
        for id in doubtful {
            self.is_seen[id.index()] = false;
        }
    }

    /// Whatever was seen at a leaf, it may be something else by now.
    pub(crate) fn doubt(&mut self, leaf: Id) {
        if let Some(is_seen) = self.is_seen.get_mut(leaf.index()) {
            *is_seen = false;
        }
    }

    /// The plain file that this build has seen at a leaf without reading it: by which signature, and what it holds.
    pub(crate) fn seen(&self, leaf: Id) -> Option<(Signature, ArtifactValue)> {
        if !self.is_seen.get(leaf.index()).copied().unwrap_or(false) {
            return None;
        }
        let Witness::File(signature) = Witness::decode(self.archive.witness(leaf))? else {
            return None;
        };
        let value = leaf::decode_value(self.archive.value(leaf), self.function)??;
        Some((signature, value))
    }

    /// The leaf of `key`, known or not.
    pub(crate) fn leaf(&mut self, kind: Kind, key: &str) -> Id {
        self.archive.intern(kind, key.as_bytes())
    }

    /// The leaf of the program that `name` is on `path`, known or not.
    pub(crate) fn tool(&mut self, name: &str, path: &str) -> Id {
        self.leaf(TOOL, &tool_key(name, path))
    }

    /// Takes note of what stands at `key`, and of how to tell that it still does.
    pub(crate) fn learn(
        &mut self,
        kind: Kind,
        key: &str,
        witness: &Witness,
        value: Option<&ArtifactValue>,
    ) -> Id {
        self.learn_bytes(kind, key, &witness.encode(), &leaf::encode_value(value))
    }

    /// The same of a leaf that is known.
    #[cfg_attr(windows, expect(dead_code, reason = "for the quick second look"))]
    pub(crate) fn learn_at(&mut self, id: Id, witness: &Witness, value: Option<&ArtifactValue>) {
        self.put_bytes(id, &witness.encode(), &leaf::encode_value(value));
    }

    fn learn_bytes(&mut self, kind: Kind, key: &str, witness: &[u8], value: &[u8]) -> Id {
        let id = self.archive.intern(kind, key.as_bytes());
        self.put_bytes(id, witness, value);
        id
    }

    fn put_bytes(&mut self, id: Id, witness: &[u8], value: &[u8]) {
        let fingerprint = zako_graph::fingerprint(value);
        let is_known = self.archive.has(id);
        let is_same = is_known && self.archive.fingerprint(id) == fingerprint;
        if is_same && self.archive.witness(id) == witness {
            return;
        }
        // Nothing has read another value of a leaf that is new.
        let changed_at = match (is_known, is_same) {
            (false, _) => 0,
            (true, true) => self.archive.changed_at(id),
            (true, false) => self.tick(),
        };
        self.is_new = true;
        self.archive
            .put_leaf(id, fingerprint, changed_at, self.clock, witness, value);
    }

    /// Takes note of how to tell that a leaf, whose value is as it was, still has it.
    pub(crate) fn witness_again(&mut self, id: Id, witness: &[u8]) {
        let value = self.archive.value(id).to_vec();
        let (fingerprint, changed_at) = (self.archive.fingerprint(id), self.archive.changed_at(id));
        self.is_new = true;
        self.archive
            .put_leaf(id, fingerprint, changed_at, self.clock, witness, &value);
    }

    /// Takes note that what was at `key` is gone, or can't be used any more.
    pub(crate) fn learn_gone(&mut self, kind: Kind, key: &str) {
        self.learn(kind, key, &Witness::Unsettled, None);
    }

    /// Takes note of the program that `name` is on `path`.
    pub(crate) fn learn_tool(
        &mut self,
        name: &str,
        path: &str,
        witness: &[u8],
        digest: &Digest,
    ) -> Id {
        let value = ArtifactValue::File {
            digest: *digest,
            executable: true,
        };
        let key = tool_key(name, path);
        self.learn_bytes(TOOL, &key, witness, &leaf::encode_value(Some(&value)))
    }

    /// The digest of the program that `name` is on `path`, if it has that witness.
    pub(crate) fn known_tool(&self, name: &str, path: &str, witness: &[u8]) -> Option<Digest> {
        let id = self.archive.find(TOOL, tool_key(name, path).as_bytes())?;
        if self.archive.witness(id) != witness {
            return None;
        }
        leaf::decode_value(self.archive.value(id), self.function)??.digest()
    }

    /// The groups of a node's dependencies.
    pub(crate) fn groups(&self, node: Id) -> Vec<Vec<Id>> {
        let is_something = |id: &Id| self.archive.kind(*id) != NOTHING;
        let groups = self.archive.dependencies(node);
        groups
            .map(|group| group.filter(is_something).collect())
            .collect()
    }

    /// Groups as the archive keeps them.
    fn filled<const N: usize>(&mut self, groups: [Vec<Id>; N]) -> Vec<Vec<Id>> {
        let nothing = self.archive.intern(NOTHING, b"");
        if !self.archive.has(nothing) {
            self.archive.put(nothing, Record::default());
        }
        let fill = |group: Vec<Id>| match group.is_empty() {
            true => vec![nothing],
            false => group,
        };
        groups.into_iter().map(fill).collect()
    }

    /// Whether a leaf is in the workspace and can be relied on until something tells of it.
    pub(crate) fn is_watched(&self, leaf: Id) -> bool {
        let kind = self.archive.kind(leaf);
        kind != TOOL && kind != EXTERNAL && !self.archive.witness(leaf).is_empty()
    }

    /// A fingerprint over what is noted of these leaves, in order.
    pub(crate) fn reads_of(&self, leaves: &[Id]) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        for id in leaves {
            hasher.update(&self.archive.fingerprint(*id));
        }
        let mut reads = [0; 16];
        hasher.finalize_xof().fill(&mut reads);
        reads
    }

    /// The node of the action of that name and identity, known or not.
    pub(crate) fn action_id(&mut self, name: &[u8; 16], identity: &Fingerprint) -> Id {
        self.archive.intern(ACTION, &[&name[..], identity].concat())
    }

    /// The action of that name and identity, if it is known.
    pub(crate) fn action(&self, name: &[u8; 16], identity: &Fingerprint) -> Option<Id> {
        let id = self.archive.find(ACTION, &[&name[..], identity].concat())?;
        self.archive.has(id).then_some(id)
    }

    /// All actions, with their names and identities.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (Id, ([u8; 16], Fingerprint))> {
        self.archive.ids_of(ACTION).filter_map(|id| {
            let (name, identity) = self.archive.key(id).split_first_chunk()?;
            Some((id, (*name, identity.try_into().ok()?)))
        })
    }

    /// The label of an action's target.
    pub(crate) fn owner(&self, action: Id) -> Option<&str> {
        Head::owner(self.archive.value(action))
    }

    /// All actions, each name once: the one that was noted last.
    pub(crate) fn actions_by_name(&self) -> HashMap<[u8; 16], Id> {
        let mut actions: HashMap<[u8; 16], Id> = HashMap::new();
        for id in self.archive.ids_of(ACTION) {
            if let Some(name) = self.archive.key(id).first_chunk() {
                let newest = actions.entry(*name).or_insert(id);
                if self.archive.verified_at(*newest) < self.archive.verified_at(id) {
                    *newest = id;
                }
            }
        }
        actions
    }

    /// What is kept of an action; `None` when that is nothing, or not what was written.
    pub(crate) fn record(&self, action: Id) -> Option<ActionRecord> {
        let value = self.archive.value(action);
        let [_, rest @ ..] = self.archive.fingerprint(action);
        let [_, of_value @ ..] = zako_graph::fingerprint(value);
        (rest == of_value)
            .then(|| ActionRecord::decode(value, self.function))
            .flatten()
    }

    pub(crate) fn head(&self, action: Id) -> Option<Head> {
        Head::decode(self.archive.value(action))
    }

    /// Takes note that a build begins that has something to do.
    pub(crate) fn note_begin(&mut self) {
        let id = self.archive.intern(BEGAN, b"");
        let record = Record {
            changed_at: self.clock,
            ..Record::default()
        };
        self.is_new = true;
        self.archive.put(id, record);
    }

    /// The moment at which the last build that had something to do began.
    pub(crate) fn began(&self) -> u32 {
        let id = self.archive.find(BEGAN, b"");
        id.map_or(0, |id| self.archive.changed_at(id))
    }

    /// The names of all actions that are known, with what they took.
    pub(crate) fn heads(&self) -> impl Iterator<Item = ([u8; 16], Head)> {
        self.archive.ids_of(ACTION).filter_map(|id| {
            let name = self.archive.key(id).first_chunk()?;
            Some((*name, self.head(id)?))
        })
    }

    /// Whether what is noted of a leaf is what was read there.
    fn holds(&self, leaf: Id, read: &Read) -> bool {
        match read {
            Read::Value(value) => {
                let bytes = leaf::encode_value(Some(value));
                self.archive.fingerprint(leaf) == zako_graph::fingerprint(&bytes)
            }
            Read::Content(digest) => {
                let noted = leaf::decode_value(self.archive.value(leaf), self.function).flatten();
                noted.and_then(|value| value.digest()) == Some(*digest)
            }
        }
    }

    /// Whether nothing is noted to be where something was.
    fn is_gone(&self, leaf: Id) -> bool {
        self.archive.has(leaf) && leaf::is_absent(self.archive.value(leaf))
    }

    /// Takes note of an action that succeeded, with what it read, what has to be there and what it wrote. Nothing is noted
    /// when one of those is known to be another by now: the next build looks again.
    pub(crate) fn note_action(
        &mut self,
        name: &[u8; 16],
        identity: &Fingerprint,
        reads: &[(Id, Read)],
        [present, writes]: [Vec<Id>; 2],
        mut record: ActionRecord,
    ) {
        let wrote = writes.iter().zip(&record.outputs);
        let is_so = reads.iter().all(|(leaf, read)| self.holds(*leaf, read))
            && present.iter().all(|leaf| !self.is_gone(*leaf))
            && wrote
                .map(|(leaf, value)| (*leaf, leaf::encode_value(Some(value))))
                .all(|(leaf, bytes)| {
                    self.archive.fingerprint(leaf) == zako_graph::fingerprint(&bytes)
                });
        if !is_so {
            return;
        }
        let reads: Vec<Id> = reads.iter().map(|(leaf, _)| *leaf).collect();
        record.reads = self.reads_of(&reads);
        let dependencies = self.filled([reads, present, writes]);
        let id = self.action_id(name, identity);
        let (fingerprint, value) = written(&record);
        self.put_inner(id, fingerprint, value, dependencies);
    }

    /// Takes note that what an action wrote was put back, for these causes.
    pub(crate) fn note_restored(&mut self, action: Id, causes: &[Cause]) {
        let Some(mut record) = self.record(action) else {
            return;
        };
        record.ran_at = self.tick();
        record.causes = causes.to_vec();
        let groups = self.archive.dependencies(action);
        let dependencies = groups.map(Iterator::collect).collect();
        let (fingerprint, value) = written(&record);
        self.put_inner(action, fingerprint, value, dependencies);
    }

    /// Puts an inner node that holds now.
    fn put_inner(
        &mut self,
        id: Id,
        fingerprint: Fingerprint,
        value: Box<[u8]>,
        dependencies: Vec<Vec<Id>>,
    ) {
        self.is_new = true;
        self.archive.put(
            id,
            Record {
                fingerprint,
                changed_at: self.clock,
                verified_at: self.clock,
                witness: Box::default(),
                value,
                dependencies,
            },
        );
    }

    /// Takes note that `node` holds now.
    pub(crate) fn verified(&mut self, node: Id) {
        if self.archive.verified_at(node) < self.clock {
            self.is_new = true;
            self.archive.set_verified(node, self.clock);
        }
    }

    /// The request with that key, if it is known.
    pub(crate) fn request(&self, key: &[u8]) -> Option<Id> {
        let id = self.archive.find(REQUEST, key)?;
        self.archive.has(id).then_some(id)
    }

    /// The actions that requests other than the one with this key are made of.
    pub(crate) fn named_by_others(&self, key: &[u8]) -> HashSet<Id> {
        let others = self
            .archive
            .ids_of(REQUEST)
            .filter(|id| self.archive.key(*id) != key);
        let actions = others.filter_map(|id| self.groups(id).into_iter().nth(1));
        actions.flatten().collect()
    }

    /// What a request came to; `None` when that is not what was written.
    pub(crate) fn requested(&self, request: Id) -> Option<Requested> {
        let value = self.archive.value(request);
        (zako_graph::fingerprint(value) == self.archive.fingerprint(request))
            .then(|| request::decode(value))
            .flatten()
    }

    /// Takes note of a request: its groups are leaves of scripts, actions, analyses and nodes of the script graph.
    pub(crate) fn note_request(
        &mut self,
        key: &[u8],
        groups: [Vec<Id>; 4],
        requested: &Requested,
    ) -> Id {
        let id = self.archive.intern(REQUEST, key);
        let dependencies = self.filled(groups);
        let value = request::encode(requested);
        self.put_inner(
            id,
            zako_graph::fingerprint(&value),
            value.into(),
            dependencies,
        );
        id
    }

    /// The kept analysis of a target that is this in itself, when all that went into it has this fingerprint.
    pub(crate) fn analysis(
        &self,
        label: &str,
        own: &Fingerprint,
        fingerprint: &Fingerprint,
    ) -> Option<&[u8]> {
        let id = self.analysis_id(label, own)?;
        let is_same = self.archive.has(id) && self.archive.fingerprint(id) == *fingerprint;
        is_same.then(|| self.archive.value(id))
    }

    /// Whether there is one of a target that is this in itself, whatever else went into it.
    pub(crate) fn has_analysis(&self, label: &str, own: &Fingerprint) -> bool {
        let id = self.analysis_id(label, own);
        id.is_some_and(|id| self.archive.has(id))
    }

    /// The node of that analysis.
    pub(crate) fn analysis_id(&self, label: &str, own: &Fingerprint) -> Option<Id> {
        self.archive.find(ANALYSIS, &analysis_key(label, own))
    }

    pub(crate) fn note_analysis(
        &mut self,
        label: &str,
        own: &Fingerprint,
        fingerprint: Fingerprint,
        value: Vec<u8>,
    ) {
        let id = self.archive.intern(ANALYSIS, &analysis_key(label, own));
        self.put_inner(id, fingerprint, value.into(), Vec::new());
    }

    /// What is noted of packages that read options, with their paths.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.archive.ids_of(READERS).filter_map(|id| {
            let package = std::str::from_utf8(self.archive.key(id)).ok()?;
            Some((package, self.archive.value(id)))
        })
    }

    /// Takes note of the options that a package reads.
    pub(crate) fn note_reader(&mut self, package: &str, names: Vec<u8>) {
        let id = self.archive.intern(READERS, package.as_bytes());
        let fingerprint = zako_graph::fingerprint(&names);
        if !self.archive.has(id) || self.archive.fingerprint(id) != fingerprint {
            self.put_inner(id, fingerprint, names.into(), Vec::new());
        }
    }

    /// Whether zako wrote this path outside of `zako-out/`, or was about to.
    pub(crate) fn is_claimed(&self, path: &str) -> bool {
        let claim = self.archive.find(CLAIM, path.as_bytes());
        claim.is_some_and(|id| self.archive.has(id))
    }

    /// All paths outside of `zako-out/` that zako wrote, or was about to.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &str> {
        let claims = self.archive.ids_of(CLAIM);
        claims.filter_map(|id| std::str::from_utf8(self.archive.key(id)).ok())
    }

    /// Takes note that zako is about to write `path`, on disk at once.
    pub(crate) fn claim(&mut self, path: &str) -> io::Result<()> {
        if self.is_claimed(path) {
            return Ok(());
        }
        let id = self.archive.intern(CLAIM, path.as_bytes());
        self.archive.put(id, Record::default());
        self.is_new = true;
        self.flush()
    }

    /// Takes note that zako has nothing at `path` any more.
    pub(crate) fn disown(&mut self, path: &str) {
        if let Some(id) = self.archive.find(CLAIM, path.as_bytes()) {
            self.forget(id);
        }
    }

    pub(crate) fn forget(&mut self, node: Id) {
        self.is_new = true;
        self.archive.remove(node);
    }

    /// Writes down what is new.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.is_new {
            return Ok(());
        }
        self.archive.set_revision(self.clock);
        self.archive.flush()?;
        self.is_new = false;
        Ok(())
    }

    /// Writes down what is new, and folds it in when there is much of it. Ids are others afterwards.
    pub(crate) fn tidy(&mut self) -> io::Result<()> {
        self.flush()?;
        // What is damaged must not get a new checksum; whoever reads it next sets it aside.
        if self.archive.should_compact() && self.verify().is_ok() {
            let mut requests: Vec<Id> = self.archive.ids_of(REQUEST).collect();
            requests.sort_by_key(|id| std::cmp::Reverse(self.archive.verified_at(*id)));
            requests.truncate(MAX_REQUESTS);
            let others = self
                .archive
                .ids_of(ACTION)
                .chain(self.archive.ids_of(CLAIM))
                .chain(self.archive.ids_of(BEGAN))
                .chain(self.archive.ids_of(READERS));
            let roots: Vec<Id> = requests.into_iter().chain(others).collect();
            self.archive.compact(&roots)?;
        }
        Ok(())
    }
}

/// What the files of a ledger look like from outside: the same, when nobody else wrote there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Appearance([Option<Signature>; 2]);

impl Appearance {
    pub(crate) fn of(state: &Path) -> Appearance {
        Appearance(["graph", "journal"].map(|name| {
            let found = std::fs::metadata(state.join(name)).ok()?;
            Some(Signature::of(&found, Role::Source))
        }))
    }
}

/// The fingerprint and the value of an action's node.
fn written(record: &ActionRecord) -> (Fingerprint, Box<[u8]>) {
    let value = record.encode();
    let mut fingerprint = zako_graph::fingerprint(&value);
    fingerprint[0] = if record.uncached { RUNS_EACH_TIME } else { 0 };
    (fingerprint, value.into())
}

fn analysis_key(label: &str, own: &Fingerprint) -> Vec<u8> {
    [own, label.as_bytes()].concat()
}

fn tool_key(name: &str, path: &str) -> String {
    format!("{name}\0{path}")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_another_request_is_made_of_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::empty(dir.path(), DigestFunction::Blake3, "test");
        let ids = [1, 2, 3].map(|number| ledger.action_id(&[number; 16], &[0; 16]));
        let mut note = |key: &[u8], actions: &[Id]| {
            let groups = [vec![], actions.to_vec(), vec![], vec![]];
            let nothing = Requested {
                is_dynamic: false,
                targets: Vec::new(),
                warnings: Vec::new(),
            };
            ledger.note_request(key, groups, &nothing);
        };
        note(b"all", &ids[..2]);
        note(b"one", &ids[1..]);
        assert_eq!(
            ledger.named_by_others(b"all"),
            HashSet::from([ids[1], ids[2]])
        );
        assert_eq!(
            ledger.named_by_others(b"one"),
            HashSet::from([ids[0], ids[1]])
        );
        assert_eq!(ledger.named_by_others(b"new").len(), 3);
    }
}
