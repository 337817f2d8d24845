//! What stands in the workspace: values (digest and executable bit) of files, trees of folders, each found out once
//! a build and noted in the ledger with the signature by which the next build knows it.
//!
//! Must never know actions, keys or scripts. Everything here reads disks and computes: it belongs on a thread that
//! may block.
//!
//! **Invariants:** a digest is remembered only under a signature that was the same before and after hashing, and
//! that no later edit can have ([`Signature::is_settled`]). A source never leads out of the workspace.

mod encoding;
#[cfg_attr(windows, path = "windows/folder.rs")]
mod folder;
mod nearest;
#[cfg_attr(windows, path = "windows/reread.rs")]
mod reread;
mod signature;
mod tool;
mod walk;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use dashmap::DashMap;
use parking_lot::Mutex;
use zako_action::ArtifactValue;
use zako_cas::{Digest, DigestFunction, StoreError, TreeBuilder, TreeError, hash_file};
use zako_graph::archive::{Id, Kind};
use zako_path::NeutralPath;

use crate::ledger::{EXTERNAL, OUTPUT, SOURCE, SharedLedger, Witness};
use crate::workspace::is_in_output;
pub(crate) use encoding::{Decoder, Encoder};
pub(crate) use folder::{Folder, Root};
pub(crate) use signature::{Clock, Role, SIGNATURE_BYTES, Signature};
pub(crate) use tool::tool_witness;
use walk::Walked;

/// How often a file is read again because it changed while it was read.
const MAX_READS: usize = 3;

/// What a look at a name in a folder finds.
pub(crate) enum Glimpse {
    Nothing,
    There {
        signature: Signature,
        is_file: bool,
    },
    /// It can't be told.
    Unknown,
}

/// Why a path has no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// A file or folder could not be read.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        verb: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A link, or a folder above, leads out of the workspace.
    #[error("`{path}` leads to {}, which is outside of the workspace", target.display())]
    Escapes { path: NeutralPath, target: PathBuf },
    /// No file, folder or link.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// A name that no neutral path has.
    #[error("{} has a name that zako cannot use: {reason}", path.display())]
    BadName { path: PathBuf, reason: String },
    /// It changed each time that it was read.
    #[error("{} keeps changing while it is read", .0.display())]
    Unstable(PathBuf),
    /// Its folder makes no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl FileError {
    fn io<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
        move |source| FileError::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }
}

/// Says whether something is as it was, without reading it: a hash over the signatures of all that it consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) [u8; 32]);

impl Stamp {
    fn of_file(signature: &Signature) -> Stamp {
        let mut out = Encoder::default();
        out.u8(1);
        signature.encode(&mut out);
        Stamp(*blake3::hash(&out.finish()).as_bytes())
    }
}

/// A value, and the stamp that it had when it was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamped {
    pub(crate) value: ArtifactValue,
    pub(crate) stamp: Stamp,
}

type Slot = Arc<Mutex<Option<Option<Stamped>>>>;

/// The files of a workspace, for one build.
pub(crate) struct Files {
    root: Arc<Path>,
    function: DigestFunction,
    clock: Clock,
    /// What actions of this build write.
    outputs: HashSet<NeutralPath>,
    ledger: SharedLedger,
    /// What was found out in this build, one lock a path so that each is hashed by one.
    found: DashMap<NeutralPath, Slot>,
    /// What the ledger calls each path, whose ids stay for the length of a build.
    leaves: DashMap<NeutralPath, Id>,
    /// Folders whose real places are known to be in the workspace.
    inside: DashMap<PathBuf, ()>,
}

impl Files {
    /// The files below `root` (canonical), with what the ledger knows of them; `outputs` are paths that this build's
    /// actions write, beside those below `zako-out/` and those that are claimed.
    pub(crate) fn open(
        root: Arc<Path>,
        ledger: SharedLedger,
        mut outputs: HashSet<NeutralPath>,
    ) -> Self {
        let function = {
            let ledger = ledger.lock();
            outputs.extend(
                ledger
                    .claims()
                    .filter_map(|path| NeutralPath::new(path).ok()),
            );
            ledger.function()
        };
        Files {
            clock: Clock::of(&root),
            root,
            function,
            outputs,
            ledger,
            found: DashMap::new(),
            leaves: DashMap::new(),
            inside: DashMap::new(),
        }
    }

    /// Whether `path` is, or is in, what actions write.
    pub(crate) fn role(&self, path: &NeutralPath) -> Role {
        let is_output = is_in_output(path)
            || (!self.outputs.is_empty()
                && path.ancestors().any(|above| self.outputs.contains(&above)));
        match is_output {
            true => Role::Output,
            false => Role::Source,
        }
    }

    fn kind(&self, path: &NeutralPath) -> Kind {
        match self.role(path) {
            Role::Output => OUTPUT,
            Role::Source => SOURCE,
        }
    }

    /// The leaf of `path` in the ledger.
    pub(crate) fn leaf(&self, path: &NeutralPath) -> Id {
        if let Some(leaf) = self.leaves.get(path) {
            return *leaf;
        }
        let kind = self.kind(path);
        let leaf = self.ledger.lock().leaf(kind, path.as_str());
        self.leaves.insert(path.clone(), leaf);
        leaf
    }

    /// What stands at `path`; `None` when nothing does. A link to a file stands for that file.
    pub(crate) fn value(&self, path: &NeutralPath) -> Result<Option<Stamped>, FileError> {
        let known = self.found.get(path).map(|slot| slot.clone());
        let slot = known.unwrap_or_else(|| self.found.entry(path.clone()).or_default().clone());
        let mut slot = slot.lock();
        if let Some(found) = &*slot {
            return Ok(found.clone());
        }
        let found = match self.seen(path) {
            None => self.find_out(path)?,
            seen => seen,
        };
        *slot = Some(found.clone());
        Ok(found)
    }

    /// What this build has seen at `path` already, when it looked at all that is wanted.
    fn seen(&self, path: &NeutralPath) -> Option<Stamped> {
        let leaf = self.leaf(path);
        let (signature, value) = self.ledger.lock().seen(leaf)?;
        let stamp = Stamp::of_file(&signature);
        Some(Stamped { value, stamp })
    }

    /// What stands at `path` now, by signatures alone; compare with [`Stamped::stamp`].
    pub(crate) fn stamp(&self, path: &NeutralPath) -> Result<Option<Stamp>, FileError> {
        Ok(self.look(path)?.map(|seen| seen.stamp()))
    }

    /// Those of some paths, in order, that no longer have the stamp that is given with each, by signatures alone.
    pub(crate) fn changed<'p>(
        &self,
        stamps: impl Iterator<Item = (&'p NeutralPath, &'p Stamp)>,
    ) -> Vec<&'p NeutralPath> {
        let root = Root::open(&self.root).ok();
        let mut folder = root.as_ref().map(Folder::new);
        let mut stamps = stamps.peekable();
        let mut changed = Vec::new();
        while let Some((path, stamp)) = stamps.next() {
            let next = stamps
                .peek()
                .map_or(&b""[..], |next| next.0.as_str().as_bytes());
            let is_same_file = folder.as_mut().is_some_and(|folder| {
                let (place, name) = folder.enter(path.as_str().as_bytes(), next);
                match place.look(name, self.role(path), false) {
                    Glimpse::There { signature, is_file } => {
                        is_file && Stamp::of_file(&signature) == *stamp
                    }
                    Glimpse::Nothing | Glimpse::Unknown => false,
                }
            });
            let is_same =
                is_same_file || matches!(self.stamp(path), Ok(Some(now)) if now == *stamp);
            if !is_same {
                changed.push(path);
            }
        }
        changed
    }

    /// Forgets what this build found at `path`: it changed.
    pub(crate) fn forget(&self, path: &NeutralPath) {
        let leaf = self.leaf(path);
        self.ledger.lock().doubt(leaf);
        self.found.remove(path);
    }

    /// Takes note that zako itself has just put `value` at `path`.
    pub(crate) fn put(&self, path: &NeutralPath, value: &ArtifactValue) -> Result<(), FileError> {
        let moment = SystemTime::now();
        let Some(seen) = self.look(path)? else {
            self.forget(path);
            self.note_absent(path);
            return Ok(());
        };
        self.note(path, &seen, moment, Some(value));
        let found = Some(Stamped {
            value: value.clone(),
            stamp: seen.stamp(),
        });
        self.found
            .insert(path.clone(), Arc::new(Mutex::new(Some(found))));
        Ok(())
    }

    /// The digest of a file of this machine, by absolute path; `None` when it is not there or no file.
    pub(crate) fn external(&self, place: &Path) -> Result<Option<Digest>, FileError> {
        match fs::metadata(place) {
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(FileError::io("read", place)(error)),
            Ok(metadata) if !metadata.is_file() => return Ok(None),
            Ok(_) => {}
        }
        let leaf = place.to_str().map(|key| (EXTERNAL, key));
        self.hash(leaf, place, Role::Source, None)
            .map(|(digest, _)| Some(digest))
    }

    /// The digest of the program that `name` is on `path`, which is the file at `real` and has that witness.
    pub(crate) fn tool(
        &self,
        name: &str,
        path: &str,
        witness: &[u8],
        real: &Path,
    ) -> Result<Option<Digest>, FileError> {
        if let Some(digest) = self.ledger.lock().known_tool(name, path, witness) {
            return Ok(Some(digest));
        }
        let Some(digest) = self.external(real)? else {
            return Ok(None);
        };
        let mut ledger = self.ledger.lock();
        ledger.learn_tool(name, path, witness, &digest);
        Ok(Some(digest))
    }

    /// Takes note of what was seen at `path` at `moment` and found to be `value`.
    fn note(
        &self,
        path: &NeutralPath,
        seen: &Seen,
        moment: SystemTime,
        value: Option<&ArtifactValue>,
    ) {
        let witness = match seen {
            Seen::File { signature, .. } => self.witness(*signature, moment),
            Seen::Link(target) => Witness::Link(target.clone()),
            Seen::Folder(walked) => {
                let is_settled = walked.iter().all(|(_, entry)| match entry {
                    Walked::File(signature) => signature.is_settled(moment, self.clock),
                    Walked::Link(_) | Walked::EmptyFolder => true,
                });
                match is_settled {
                    true => Witness::Folder(seen.stamp().0),
                    false => Witness::Unsettled,
                }
            }
        };
        let kind = self.kind(path);
        self.ledger
            .lock()
            .learn(kind, path.as_str(), &witness, value);
    }

    fn note_absent(&self, path: &NeutralPath) {
        let kind = self.kind(path);
        let mut ledger = self.ledger.lock();
        ledger.learn(kind, path.as_str(), &Witness::Absent, None);
    }

    fn witness(&self, signature: Signature, moment: SystemTime) -> Witness {
        match signature.is_settled(moment, self.clock) {
            true => Witness::File(signature),
            false => Witness::Unsettled,
        }
    }

    fn find_out(&self, path: &NeutralPath) -> Result<Option<Stamped>, FileError> {
        let role = self.role(path);
        for _ in 0..MAX_READS {
            let moment = SystemTime::now();
            let Some(seen) = self.look(path)? else {
                self.note_absent(path);
                return Ok(None);
            };
            let value = match &seen {
                Seen::File { place, signature } => {
                    let leaf = Some((self.kind(path), path.as_str()));
                    let (digest, hashed) = self.hash(leaf, place, role, Some(*signature))?;
                    if hashed != *signature {
                        continue;
                    }
                    ArtifactValue::File {
                        digest,
                        executable: signature.is_executable(),
                    }
                }
                Seen::Link(target) => ArtifactValue::Symlink {
                    target: target.clone(),
                },
                Seen::Folder(walked) => match self.tree(path, walked)? {
                    Some(tree) => ArtifactValue::Directory { tree },
                    None => continue,
                },
            };
            if !matches!(seen, Seen::File { .. }) {
                self.note(path, &seen, moment, Some(&value));
            }
            return Ok(Some(Stamped {
                value,
                stamp: seen.stamp(),
            }));
        }
        Err(FileError::Unstable(path.to_os_path(&self.root)))
    }

    /// The tree's digest; `None` when a file in it changed since the walk.
    fn tree(
        &self,
        path: &NeutralPath,
        walked: &[(NeutralPath, Walked)],
    ) -> Result<Option<Digest>, FileError> {
        let mut builder = TreeBuilder::new(self.function);
        for (below, entry) in walked {
            match entry {
                Walked::File(signature) => {
                    let whole = path.join_path(below);
                    let place = whole.to_os_path(&self.root);
                    let role = self.role(&whole);
                    let leaf = Some((self.kind(&whole), whole.as_str()));
                    let (digest, hashed) = self.hash(leaf, &place, role, Some(*signature))?;
                    if hashed != *signature {
                        return Ok(None);
                    }
                    builder.file(below, digest, signature.is_executable());
                }
                Walked::Link(target) => {
                    builder.symlink(below, target.clone());
                }
                Walked::EmptyFolder => {
                    builder.directory(below, self.function.empty());
                }
            }
        }
        Ok(Some(builder.build()?.root))
    }

    /// The digest of the file at `place`, noted at its leaf, and the signature that it had all the while; `first` is one that was
    /// seen a moment ago.
    fn hash(
        &self,
        leaf: Option<(Kind, &str)>,
        place: &Path,
        role: Role,
        mut first: Option<Signature>,
    ) -> Result<(Digest, Signature), FileError> {
        for _ in 0..MAX_READS {
            let signature = || {
                let metadata = fs::metadata(place).map_err(FileError::io("read", place))?;
                Ok::<_, FileError>(Signature::of(&metadata, role))
            };
            let before = match first.take() {
                Some(first) => first,
                None => signature()?,
            };
            let known = leaf.and_then(|(kind, key)| self.ledger.lock().known(kind, key, &before));
            if let Some(digest) = known {
                return Ok((digest, before));
            }
            let moment = SystemTime::now();
            let digest = match hash_file(self.function, place) {
                Ok(digest) => digest,
                Err(StoreError::Changed { .. }) => continue,
                Err(StoreError::Io { verb, path, source }) => {
                    return Err(FileError::Io { verb, path, source });
                }
                Err(other) => return Err(TreeError::Store(other).into()),
            };
            if signature()? == before {
                if let Some((kind, key)) = leaf {
                    let value = ArtifactValue::File {
                        digest,
                        executable: before.is_executable(),
                    };
                    let witness = self.witness(before, moment);
                    self.ledger.lock().learn(kind, key, &witness, Some(&value));
                }
                return Ok((digest, before));
            }
        }
        Err(FileError::Unstable(place.to_owned()))
    }

    /// Looks without reading contents.
    fn look(&self, path: &NeutralPath) -> Result<Option<Seen>, FileError> {
        let role = self.role(path);
        let place = path.to_os_path(&self.root);
        let found = match fs::symlink_metadata(&place) {
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(FileError::io("read", &place)(error)),
            Ok(found) => found,
        };
        let found = match (role, found.is_symlink()) {
            (Role::Output, true) => {
                let target = fs::read_link(&place).map_err(FileError::io("read", &place))?;
                return Ok(Some(Seen::Link(target.to_string_lossy().into_owned())));
            }
            (Role::Output, false) => found,
            (Role::Source, is_link) => {
                if is_link {
                    match fs::canonicalize(&place) {
                        Err(error) if is_missing(&error) => return Ok(None),
                        Err(error) => return Err(FileError::io("read", &place)(error)),
                        Ok(real) => self.must_be_inside(path, real)?,
                    }
                }
                self.check_folder(path, &place)?;
                match is_link {
                    true => fs::metadata(&place).map_err(FileError::io("read", &place))?,
                    false => found,
                }
            }
        };
        if found.is_file() {
            let signature = Signature::of(&found, role);
            Ok(Some(Seen::File { place, signature }))
        } else if found.is_dir() {
            Ok(Some(Seen::Folder(walk::walk(
                &self.root,
                path,
                &|below| self.role(below),
            )?)))
        } else {
            Err(FileError::Special(place))
        }
    }

    /// The folder that `place` is in may be behind a link, but not one that leads out.
    fn check_folder(&self, path: &NeutralPath, place: &Path) -> Result<(), FileError> {
        let Some(folder) = place.parent() else {
            return Ok(());
        };
        if path.is_root() || self.inside.contains_key(folder) {
            return Ok(());
        }
        let real = fs::canonicalize(folder).map_err(FileError::io("read", folder))?;
        self.must_be_inside(path, real)?;
        self.inside.insert(folder.to_owned(), ());
        Ok(())
    }

    fn must_be_inside(&self, path: &NeutralPath, real: PathBuf) -> Result<(), FileError> {
        match real.starts_with(&self.root) {
            true => Ok(()),
            false => Err(FileError::Escapes {
                path: path.clone(),
                target: real,
            }),
        }
    }

    /// A path that exists and is spelled like `path`, for "did you mean".
    pub(crate) fn nearest(&self, path: &NeutralPath) -> Option<NeutralPath> {
        nearest::nearest(&self.root, path)
    }
}

/// What was seen at a path, but not read.
enum Seen {
    File {
        place: PathBuf,
        signature: Signature,
    },
    Link(String),
    Folder(Vec<(NeutralPath, Walked)>),
}

impl Seen {
    fn stamp(&self) -> Stamp {
        let mut out = Encoder::default();
        match self {
            Seen::File { signature, .. } => return Stamp::of_file(signature),
            Seen::Link(target) => {
                out.u8(2);
                out.text(target);
            }
            Seen::Folder(walked) => {
                out.u8(3);
                for (path, entry) in walked {
                    out.text(path.as_str());
                    entry.encode(&mut out);
                }
            }
        }
        Stamp(*blake3::hash(&out.finish()).as_bytes())
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests;
