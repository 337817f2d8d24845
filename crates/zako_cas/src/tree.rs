//! Trees: directories as Remote-Execution-API messages, built from paths and taken apart again.
//!
//! Plain computation: knows no disk (`tree_store.rs` does). A tree is named by the digest of its
//! root's `Directory` message, so equal trees are one blob, and shared subtrees are built once.
//!
//! **Invariant:** what is built is canonical, and what is read is refused unless it is.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use quick_cache::sync::Cache;
use zako_path::NeutralPath;

use crate::reapi::{Directory, DirectoryNode, FileNode, SymlinkNode};
use crate::{Digest, DigestFunction, StoreError, memory};

/// How deep a tree may be.
pub const MAX_TREE_DEPTH: usize = 512;

/// How many entries [`Tree::walk`] gives at most. (Shared subtrees let a small tree stand for
/// astronomically many.)
pub const MAX_TREE_ENTRIES: usize = 1 << 22;

/// What is wrong with a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Two things that can't both be there.
    #[error("`{path}` is both {first} and {second}")]
    Conflict {
        /// Where.
        path: String,
        /// One of them, as "a file".
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A file or a link given as the root itself.
    #[error("the root of a tree must be a directory")]
    Root,
    /// Deeper than [`MAX_TREE_DEPTH`].
    #[error("`{0}` is more than {MAX_TREE_DEPTH} levels deep")]
    TooDeep(String),
    /// More entries than asked for.
    #[error("the tree {root} has more than {limit} entries")]
    TooLarge {
        /// The tree.
        root: Digest,
        /// How many are too many.
        limit: usize,
    },
    /// A `Directory` message is not in the tree or in the store.
    #[error("directory {0} of a tree is not in the store")]
    Missing(Digest),
    /// The blob is no `Directory` message, or not canonical.
    #[error("blob {digest} is not a directory: {reason}")]
    Malformed {
        /// The blob.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// A name on disk that no tree can have.
    #[error("`{path}` cannot be stored: {reason}")]
    Unstorable {
        /// The file or folder, for people.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What stands at a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeEntry {
    /// A file.
    File {
        /// Its content.
        digest: Digest,
        /// Whether it has the executable bit.
        executable: bool,
    },
    /// A directory, named by its message.
    Directory {
        /// Digest of its `Directory` message.
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        /// Its target as written.
        target: String,
    },
}

impl TreeEntry {
    fn noun(&self) -> &'static str {
        match self {
            Self::File { .. } => "a file",
            Self::Directory { .. } => "a directory",
            Self::Symlink { .. } => "a symbolic link",
        }
    }
}

/// Remembers directories built before, so that what many trees share is hashed and kept once.
/// Bounded by the bytes of the messages; one may serve many threads.
pub struct SubtreeCache {
    known: Cache<Bytes, (Digest, Bytes), MessageWeight>,
    function: DigestFunction,
}

#[derive(Clone)]
struct MessageWeight;

impl quick_cache::Weighter<Bytes, (Digest, Bytes)> for MessageWeight {
    fn weight(&self, message: &Bytes, _: &(Digest, Bytes)) -> u64 {
        message.len() as u64 + 64
    }
}

impl SubtreeCache {
    /// A cache of at most `bytes` bytes of messages, for trees of `function`.
    pub fn new(function: DigestFunction, bytes: u64) -> Self {
        let items = usize::try_from(bytes / 1024)
            .unwrap_or(usize::MAX)
            .clamp(16, 1 << 16);
        Self {
            known: memory::cache(items, bytes, MessageWeight),
            function,
        }
    }

    /// Directories remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl std::fmt::Debug for SubtreeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubtreeCache")
            .field("function", &self.function)
            .field("len", &self.len())
            .finish()
    }
}

/// Collects paths and builds their tree; folders come into being as paths name them.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use zako_cas::{DigestFunction, TreeBuilder};
/// use zako_path::NeutralPath;
/// let f = DigestFunction::Blake3;
/// let mut builder = TreeBuilder::new(f);
/// builder.file(&NeutralPath::new("src/main.c")?, f.hash(b"int main;"), false);
/// let tree = builder.build()?;
/// assert_eq!(tree.directories.len(), 2); // "src" and the root
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TreeBuilder {
    function: DigestFunction,
    entries: Vec<(NeutralPath, TreeEntry)>,
}

impl TreeBuilder {
    /// An empty tree of `function`.
    pub fn new(function: DigestFunction) -> Self {
        Self {
            function,
            entries: Vec::new(),
        }
    }

    /// Adds a file.
    pub fn file(&mut self, path: &NeutralPath, digest: Digest, executable: bool) -> &mut Self {
        self.entry(path, TreeEntry::File { digest, executable })
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &NeutralPath, target: impl Into<String>) -> &mut Self {
        self.entry(
            path,
            TreeEntry::Symlink {
                target: target.into(),
            },
        )
    }

    /// Adds a whole directory that was built before, by its root's digest. Nothing else may be
    /// added at or below `path`. The digest of the empty blob is the empty directory.
    pub fn directory(&mut self, path: &NeutralPath, tree: Digest) -> &mut Self {
        self.entry(path, TreeEntry::Directory { digest: tree })
    }

    /// Adds any entry.
    pub fn entry(&mut self, path: &NeutralPath, entry: TreeEntry) -> &mut Self {
        self.entries.push((path.clone(), entry));
        self
    }

    /// Builds the tree.
    ///
    /// # Errors
    /// [`TreeError::Conflict`] when one path is two things (adding the very same twice is fine);
    /// others for a tree too deep, or a digest of another function.
    pub fn build(self) -> Result<Tree, TreeError> {
        self.build_cached(None)
    }

    /// As [`build`](Self::build), with what `cache` remembers.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with(self, cache: &SubtreeCache) -> Result<Tree, TreeError> {
        // A cache of another function would give foreign digests.
        let usable = cache.function == self.function;
        self.build_cached(usable.then_some(cache))
    }

    fn build_cached(mut self, cache: Option<&SubtreeCache>) -> Result<Tree, TreeError> {
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        if let [(path, TreeEntry::Directory { digest })] = self.entries.as_slice()
            && path.is_root()
        {
            return Ok(Tree {
                root: *digest,
                directories: Vec::new(),
            });
        }
        let mut out = Output {
            function: self.function,
            cache,
            directories: Vec::new(),
            seen: HashSet::new(),
        };
        // The open directories from the root to where the last entry was put. Sorted by bytes,
        // all that is below one directory comes in one run.
        let mut open = vec![Frame::default()];
        let mut names: Vec<&str> = Vec::new();
        let mut previous: Option<&(NeutralPath, TreeEntry)> = None;
        for this in &self.entries {
            let (path, entry) = this;
            if let Some(previous) = previous
                && previous.0 == *path
            {
                if previous.1 == *entry {
                    continue;
                }
                return Err(conflict(path.as_str(), &previous.1, entry));
            }
            previous = Some(this);
            if let TreeEntry::File { digest, .. } | TreeEntry::Directory { digest } = entry
                && digest.function != self.function
            {
                return Err(StoreError::OtherFunction {
                    digest: *digest,
                    function: self.function,
                }
                .into());
            }
            let mut components: Vec<&str> = path.components().collect();
            let Some(name) = components.pop() else {
                return Err(TreeError::Root);
            };
            if components.len() >= MAX_TREE_DEPTH {
                return Err(TreeError::TooDeep(path.to_string()));
            }
            let common = names
                .iter()
                .zip(&components)
                .take_while(|(a, b)| a == b)
                .count();
            close(&mut open, &mut names, common, &mut out)?;
            for component in &components[common..] {
                names.push(component);
                open.push(Frame::default());
            }
            if let Some(frame) = open.last_mut() {
                frame.entries.push((name.to_owned(), entry.clone()));
            }
        }
        close(&mut open, &mut names, 0, &mut out)?;
        let root = open.pop().unwrap_or_default();
        let root = root.finish(&names, &mut out)?;
        Ok(Tree {
            root,
            directories: out.directories,
        })
    }
}

#[derive(Default)]
struct Frame {
    entries: Vec<(String, TreeEntry)>,
}

struct Output<'a> {
    function: DigestFunction,
    cache: Option<&'a SubtreeCache>,
    directories: Vec<(Digest, Bytes)>,
    seen: HashSet<Digest>,
}

/// Finishes open directories until `keep` named ones are left.
fn close(
    open: &mut Vec<Frame>,
    names: &mut Vec<&str>,
    keep: usize,
    out: &mut Output<'_>,
) -> Result<(), TreeError> {
    while names.len() > keep {
        let frame = open.pop().unwrap_or_default();
        let digest = frame.finish(names, out)?;
        if let (Some(name), Some(parent)) = (names.pop(), open.last_mut()) {
            parent
                .entries
                .push((name.to_owned(), TreeEntry::Directory { digest }));
        }
    }
    Ok(())
}

impl Frame {
    fn finish(mut self, names: &[&str], out: &mut Output<'_>) -> Result<Digest, TreeError> {
        // A name's place among its siblings is not its path's: "a-b" < "a/c", but "a" < "a-b".
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = self.entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let mut path = names.join("/");
            if !path.is_empty() {
                path.push('/');
            }
            return Err(conflict(&(path + &pair[0].0), &pair[0].1, &pair[1].1));
        }
        let message = Bytes::from(encode(self.entries).encode_to_vec());
        let (digest, message) = match out.cache.and_then(|c| c.known.get(&message)) {
            Some(known) => known,
            None => {
                let digest = out.function.hash(&message);
                if let Some(cache) = out.cache {
                    cache
                        .known
                        .insert(message.clone(), (digest, message.clone()));
                }
                (digest, message)
            }
        };
        if out.seen.insert(digest) {
            out.directories.push((digest, message));
        }
        Ok(digest)
    }
}

fn conflict(path: &str, first: &TreeEntry, second: &TreeEntry) -> TreeError {
    let (first, mut second) = (first.noun(), second.noun());
    if first == second {
        second = "another with other content";
    }
    TreeError::Conflict {
        path: path.to_owned(),
        first,
        second,
    }
}

fn encode(entries: Vec<(String, TreeEntry)>) -> Directory {
    let mut directory = Directory::default();
    for (name, entry) in entries {
        match entry {
            TreeEntry::File { digest, executable } => {
                directory.files.push(FileNode {
                    name,
                    digest: Some(digest.into()),
                    is_executable: executable,
                });
            }
            TreeEntry::Directory { digest } => {
                directory.directories.push(DirectoryNode {
                    name,
                    digest: Some(digest.into()),
                });
            }
            TreeEntry::Symlink { target } => directory.symlinks.push(SymlinkNode { name, target }),
        }
    }
    directory
}

/// A tree: its root's digest, and `Directory` messages that it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Digest of the root's message.
    pub root: Digest,
    /// Messages by digest, each once. A built tree has those that it built, children before
    /// parents, and not those of directories that were added whole; a tree that was read has all.
    pub directories: Vec<(Digest, Bytes)>,
}

impl Tree {
    /// All entries below the root, directories before what is in them, siblings by kind (files,
    /// directories, links) and name. Shared subtrees appear wherever they are.
    ///
    /// # Errors
    /// [`TreeError::Missing`] when a message is not in `directories`; others when one is not
    /// canonical, or the tree is too deep or too large.
    pub fn walk(&self) -> Result<Vec<(NeutralPath, TreeEntry)>, TreeError> {
        self.walk_at_most(MAX_TREE_ENTRIES)
    }

    /// As [`walk`](Self::walk), with another bound than [`MAX_TREE_ENTRIES`].
    ///
    /// # Errors
    /// As [`walk`](Self::walk).
    pub fn walk_at_most(&self, limit: usize) -> Result<Vec<(NeutralPath, TreeEntry)>, TreeError> {
        let messages: HashMap<&Digest, &Bytes> =
            self.directories.iter().map(|(d, m)| (d, m)).collect();
        let mut decoded: HashMap<Digest, Vec<(String, TreeEntry)>> = HashMap::new();
        let mut found = Vec::new();
        let mut pending = vec![(NeutralPath::root(), self.root, 0)];
        while let Some((path, digest, depth)) = pending.pop() {
            if depth > MAX_TREE_DEPTH {
                return Err(TreeError::TooDeep(path.to_string()));
            }
            if let std::collections::hash_map::Entry::Vacant(slot) = decoded.entry(digest) {
                let message: &[u8] = match messages.get(&digest) {
                    Some(message) => message,
                    // The empty directory is the empty blob, known to everyone.
                    None if digest == digest.function.empty() => &[],
                    None => return Err(TreeError::Missing(digest)),
                };
                slot.insert(decode(digest, message)?);
            }
            for (name, entry) in &decoded[&digest] {
                let path = path
                    .join(name)
                    .map_err(|e| malformed(digest, e.to_string()))?;
                if let TreeEntry::Directory { digest } = entry {
                    pending.push((path.clone(), *digest, depth + 1));
                }
                found.push((path, entry.clone()));
                if found.len() > limit {
                    return Err(TreeError::TooLarge {
                        root: self.root,
                        limit,
                    });
                }
            }
        }
        Ok(found)
    }
}

fn malformed(digest: Digest, reason: impl Into<String>) -> TreeError {
    TreeError::Malformed {
        digest,
        reason: reason.into(),
    }
}

/// The entries of a `Directory` message: files, directories, links, each sorted by name.
pub(crate) fn decode(
    digest: Digest,
    message: &[u8],
) -> Result<Vec<(String, TreeEntry)>, TreeError> {
    let directory = Directory::decode(message).map_err(|e| malformed(digest, e.to_string()))?;
    let content = |d: Option<crate::reapi::Digest>, name: &str| -> Result<Digest, TreeError> {
        d.unwrap_or_default()
            .to_digest(digest.function)
            .map_err(|e| malformed(digest, format!("`{name}`: {e}")))
    };
    let sorted = directory.files.is_sorted_by(|a, b| a.name < b.name)
        && directory.directories.is_sorted_by(|a, b| a.name < b.name)
        && directory.symlinks.is_sorted_by(|a, b| a.name < b.name);
    if !sorted {
        return Err(malformed(
            digest,
            "its entries are not sorted by name, or one is there twice",
        ));
    }
    let mut entries = Vec::new();
    for FileNode {
        name,
        digest,
        is_executable,
    } in directory.files
    {
        let digest = content(digest, &name)?;
        entries.push((
            name,
            TreeEntry::File {
                digest,
                executable: is_executable,
            },
        ));
    }
    for DirectoryNode { name, digest } in directory.directories {
        let digest = content(digest, &name)?;
        entries.push((name, TreeEntry::Directory { digest }));
    }
    for SymlinkNode { name, target } in directory.symlinks {
        entries.push((name, TreeEntry::Symlink { target }));
    }
    let mut names = HashSet::new();
    for (name, _) in &entries {
        // A name with a separator or `..` would reach outside the directory.
        if NeutralPath::new(name).map_or(true, |p| p.components().count() != 1) {
            return Err(malformed(digest, format!("`{name}` is not a name")));
        }
        if !names.insert(name.as_str()) {
            return Err(malformed(digest, format!("`{name}` is there twice")));
        }
    }
    Ok(entries)
}
