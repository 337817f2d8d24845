//! Trees of inputs that many actions look at together: each is built once, of links, and never changes.
//!
//! The inputs of an action are cut into groups: by whether they are exact or staged, then by folder as far as that leaves
//! large groups. A group is a *layer*, named by all that is in it; the actions that read the same headers or the same
//! packages share it, and the kernel lays it under what an action has of its own. So ten thousand inputs cost as many
//! system calls once, not for each action.
//!
//! It must never know processes. It reads the workspace, and writes below its own folder only.
//!
//! **Invariants:**
//! - A layer is whole before anybody gets it, and named by paths and digests: what is in it is what was keyed.
//! - Sources are copied and compared with their digests, never linked: a link would move their times, by which the
//!   workspace tells that they are unchanged, and a process could write to them. What zako built is linked.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use zako_action::{ArtifactValue, ExecuteError};
use zako_cas::{Digest, TreeBuilder};
use zako_path::NeutralPath;

use super::copies::Tree;
use crate::input_root::{io_error, remove_all};
use crate::isolation::SandboxCounts;

/// A group that is smaller is no layer: its files are copied for the action alone, into memory.
pub(crate) const MIN_SHARED: usize = 16;

/// How many layers an action has at most. Each is a few bytes in the options of one mount, which hold a page.
pub(crate) const MAX_LAYERS: usize = 16;

/// How many of them are of one directory each; more directories share one layer.
const MAX_FOLDERS: usize = 6;

/// Sources that are larger are not copied but shown in their place, at most [`MAX_SHOWN`] in one action.
pub(crate) const LARGE: u64 = 4 << 20;

/// How many files of the workspace are shown in their place to one action at most.
pub(crate) const MAX_SHOWN: usize = 32;

/// How large pieces are copied.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Default)]
struct Counters {
    copied: AtomicU64,
    linked: AtomicU64,
    built: AtomicU64,
    reused: AtomicU64,
}

/// A group of inputs: where they are, and what.
pub(crate) type Group<'a> = BTreeMap<&'a NeutralPath, &'a ArtifactValue>;

/// How an action's inputs come into its view.
#[derive(Debug, Default)]
pub(crate) struct Laid<'a> {
    /// Names of the layers' folders, below [`Layers::folder`].
    pub(crate) layers: Vec<String>,
    /// What is in no layer: a few files and links.
    pub(crate) own: Group<'a>,
    /// Files of the workspace to show at their own paths, where an empty file holds their place.
    pub(crate) shown: Vec<NeutralPath>,
}

/// All layers of one build.
#[derive(Debug)]
pub(crate) struct Layers {
    folder: PathBuf,
    /// Copies of sources, by digest.
    mirror: PathBuf,
    /// What is built lies below here and may be linked.
    outputs: Option<NeutralPath>,
    built: Mutex<HashMap<String, Arc<Mutex<bool>>>>,
    mirrored: Mutex<HashMap<String, Arc<Mutex<bool>>>>,
    /// What lies in layers, for those who asked.
    trees: Mutex<HashMap<String, Arc<Tree>>>,
    counters: Counters,
}

impl Layers {
    pub(crate) fn new(home: &Path, outputs: Option<NeutralPath>) -> Self {
        Self {
            folder: home.join("layers"),
            mirror: home.join("mirror"),
            outputs,
            built: Mutex::default(),
            mirrored: Mutex::default(),
            trees: Mutex::default(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn counts(&self) -> SandboxCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SandboxCounts {
            copied: count(&self.counters.copied),
            linked: count(&self.counters.linked),
            layers_built: count(&self.counters.built),
            layers_reused: count(&self.counters.reused),
        }
    }

    /// Forgets all, when no action runs: what was built is about to be removed.
    pub(crate) fn forget(&self) {
        self.built.lock().clear();
        self.mirrored.lock().clear();
        self.trees.lock().clear();
    }

    /// What lies in a layer that was built.
    pub(crate) fn tree(&self, name: &str) -> Result<Arc<Tree>, ExecuteError> {
        if let Some(tree) = self.trees.lock().get(name) {
            return Ok(tree.clone());
        }
        let place = self.folder.join(name);
        let tree = Arc::new(Tree::read(&place).map_err(io_error("read", &place))?);
        self.trees.lock().insert(name.to_owned(), tree.clone());
        Ok(tree)
    }

    /// Lays out `groups` of inputs: large ones in layers.
    pub(crate) fn lay<'a>(
        &self,
        workspace: &Path,
        groups: &[Group<'a>],
    ) -> Result<Laid<'a>, ExecuteError> {
        let mut parts = Vec::new();
        let mut rest = Group::new();
        // A directory is any number of files, and comes of one action: always shared.
        let is_folder = |value: &ArtifactValue| matches!(value, ArtifactValue::Directory { .. });
        let all = groups.iter().flatten().map(|(path, value)| (*path, *value));
        let folders: Group<'a> = all.filter(|(_, value)| is_folder(value)).collect();
        if folders.len() <= MAX_FOLDERS {
            parts.extend(folders.into_iter().map(|folder| Group::from([folder])));
        } else {
            parts.push(folders);
        }
        let most = (MAX_LAYERS - MAX_FOLDERS) / groups.len().max(1);
        for group in groups {
            let files = group.iter().filter(|(_, value)| !is_folder(value));
            let files = files.map(|(path, value)| (*path, *value)).collect();
            divide(files, most, &mut parts, &mut rest);
        }
        let mut laid = Laid::default();
        for part in &parts {
            laid.shown.extend(self.shown(workspace, part));
            laid.layers.push(self.layer(workspace, part)?);
        }
        laid.own = rest;
        Ok(laid)
    }

    /// The layer of this group, built unless it is there.
    fn layer(&self, workspace: &Path, group: &Group<'_>) -> Result<String, ExecuteError> {
        let name = name_of(group);
        let entry = self.built.lock().entry(name.clone()).or_default().clone();
        // Whoever needs it too waits here until it is whole.
        let mut is_built = entry.lock();
        if *is_built {
            self.counters.reused.fetch_add(1, Ordering::Relaxed);
            return Ok(name);
        }
        fs::create_dir_all(&self.folder).map_err(io_error("create", &self.folder))?;
        let place = self.folder.join(&name);
        remove_all(&place)?;
        fs::create_dir(&place).map_err(io_error("create", &place))?;
        self.fill(workspace, group, &place)?;
        *is_built = true;
        self.counters.built.fetch_add(1, Ordering::Relaxed);
        Ok(name)
    }

    /// Which files of a group are shown and not copied.
    fn shown<'a>(
        &'a self,
        workspace: &'a Path,
        group: &'a Group<'_>,
    ) -> impl Iterator<Item = NeutralPath> + 'a {
        let is_large = move |(path, value): &(&&NeutralPath, &&ArtifactValue)| {
            matches!(value, ArtifactValue::File { digest, .. } if digest.size > LARGE)
                && !self.is_output(path)
                && fs::symlink_metadata(path.to_os_path(workspace)).is_ok_and(|f| f.is_file())
        };
        let large = group.iter().filter(is_large);
        large.take(MAX_SHOWN).map(|(path, _)| (*path).clone())
    }

    pub(crate) fn outputs(&self) -> Option<&NeutralPath> {
        self.outputs.as_ref()
    }

    fn is_output(&self, path: &NeutralPath) -> bool {
        let outputs = self.outputs.as_ref();
        outputs.is_some_and(|outputs| path.starts_with(outputs))
    }

    fn fill(&self, workspace: &Path, group: &Group<'_>, top: &Path) -> Result<(), ExecuteError> {
        let shown: HashSet<NeutralPath> = self.shown(workspace, group).collect();
        let mut made: HashSet<PathBuf> = HashSet::new();
        // The last path that is a whole directory: what is below it is in it already.
        let mut whole: Option<&NeutralPath> = None;
        for (path, value) in group {
            if whole.is_some_and(|whole| path.starts_with(whole)) {
                continue;
            }
            let (there, here) = (path.to_os_path(workspace), path.to_os_path(top));
            if let Some(parent) = here.parent()
                && made.insert(parent.to_owned())
            {
                fs::create_dir_all(parent).map_err(io_error("create", parent))?;
            }
            match value {
                _ if shown.contains(*path) => {
                    File::create(&here).map_err(io_error("create", &here))?;
                }
                ArtifactValue::File { digest, executable } => {
                    let linked = self.is_output(path) && self.link(&there, &here)?;
                    if !linked {
                        self.link_copy(path, &there, &here, digest, *executable)?;
                    }
                }
                ArtifactValue::Symlink { target } => {
                    std::os::unix::fs::symlink(target, &here).map_err(io_error("link", &here))?;
                }
                ArtifactValue::Directory { tree } => {
                    whole = Some(*path);
                    self.directory(path, &there, &here, tree)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a link could be made.
    fn link(&self, there: &Path, here: &Path) -> Result<bool, ExecuteError> {
        match fs::hard_link(there, here) {
            Ok(()) => {
                self.counters.linked.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            // Too many links, another file system, or a system that forbids it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::TooManyLinks
                        | io::ErrorKind::CrossesDevices
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(io_error("link", there)(error)),
        }
    }

    /// Puts a copy of a source in place, by a link to the one in the mirror.
    fn link_copy(
        &self,
        path: &NeutralPath,
        there: &Path,
        here: &Path,
        digest: &Digest,
        executable: bool,
    ) -> Result<(), ExecuteError> {
        let name = format!("{}{}", digest.hex(), if executable { "x" } else { "" });
        let copy = self.mirror.join(&name);
        let entry = self.mirrored.lock().entry(name).or_default().clone();
        let mut is_there = entry.lock();
        if !*is_there {
            fs::create_dir_all(&self.mirror).map_err(io_error("create", &self.mirror))?;
            remove_all(&copy)?;
            self.copy(path, there, &copy, digest, executable)?;
            *is_there = true;
        }
        drop(is_there);
        match self.link(&copy, here)? {
            true => Ok(()),
            false => self.copy(path, there, here, digest, executable),
        }
    }

    /// Copies a source, and checks that it is what was keyed.
    fn copy(
        &self,
        path: &NeutralPath,
        there: &Path,
        here: &Path,
        digest: &Digest,
        executable: bool,
    ) -> Result<(), ExecuteError> {
        let copied = copy_file(there, here, digest.function.hasher(), executable)?;
        self.counters.copied.fetch_add(1, Ordering::Relaxed);
        if copied != *digest {
            remove_all(here)?;
            return Err(ExecuteError::InputChanged { path: path.clone() });
        }
        Ok(())
    }

    /// A whole directory: links to what was built, checked copies of sources.
    fn directory(
        &self,
        path: &NeutralPath,
        there: &Path,
        here: &Path,
        tree: &Digest,
    ) -> Result<(), ExecuteError> {
        let links = self.is_output(path);
        let mut found = TreeBuilder::new(tree.function);
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let (from, to) = (there.join(&folder), here.join(&folder));
            fs::create_dir_all(&to).map_err(io_error("create", &to))?;
            let mut is_empty = true;
            for entry in fs::read_dir(&from).map_err(io_error("list", &from))? {
                is_empty = false;
                let entry = entry.map_err(io_error("list", &from))?;
                let below = folder.join(entry.file_name());
                let (from, to) = (there.join(&below), here.join(&below));
                let kind = entry.file_type().map_err(io_error("read", &from))?;
                if kind.is_dir() {
                    folders.push(below);
                    continue;
                }
                if kind.is_symlink() {
                    let target = fs::read_link(&from).map_err(io_error("read", &from))?;
                    std::os::unix::fs::symlink(&target, &to).map_err(io_error("link", &to))?;
                    if let (false, Ok(name)) = (links, NeutralPath::from_os_path(&below)) {
                        found.symlink(&name, target.to_string_lossy());
                    }
                    continue;
                }
                if links && self.link(&from, &to)? {
                    continue;
                }
                let mode = entry.metadata().map_err(io_error("read", &from))?;
                let executable = mode.permissions().mode() & 0o100 != 0;
                let digest = copy_file(&from, &to, tree.function.hasher(), executable)?;
                self.counters.copied.fetch_add(1, Ordering::Relaxed);
                if let Ok(name) = NeutralPath::from_os_path(&below) {
                    found.file(&name, digest, executable);
                }
            }
            let name = NeutralPath::from_os_path(&folder);
            if let (true, Ok(name)) = (is_empty && !folder.as_os_str().is_empty(), name) {
                found.directory(&name, zako_cas::DigestFunction::empty(tree.function));
            }
        }
        if !links && found.build().is_ok_and(|found| found.root != *tree) {
            remove_all(here)?;
            return Err(ExecuteError::InputChanged { path: path.clone() });
        }
        Ok(())
    }
}

/// Copies content and executable bit, and the time of the last change; gives the digest of what was copied.
fn copy_file(
    from: &Path,
    to: &Path,
    mut hasher: zako_cas::Hasher,
    executable: bool,
) -> Result<Digest, ExecuteError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let mut source = File::open(from).map_err(io_error("read", from))?;
    let mut options = File::options();
    let mut target = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(to)
        .map_err(io_error("create", to))?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match source.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(io_error("read", from))?,
        };
        let bytes = &chunk[..read];
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        target.write_all(bytes).map_err(io_error("write", to))?;
    }
    if let Ok(modified) = source.metadata().and_then(|found| found.modified()) {
        let _of_no_importance = target.set_modified(modified);
    }
    Ok(hasher.finish())
}

/// Cuts a group into at most `most` parts that are worth sharing, as deep as folders of their own kind go; small groups, and
/// what is left of large ones beside their large folders, are added to `rest`.
fn divide<'a>(group: Group<'a>, most: usize, parts: &mut Vec<Group<'a>>, rest: &mut Group<'a>) {
    let mut open = vec![(0usize, group)];
    let mut closed = Vec::new();
    while let Some((depth, group)) = open.pop() {
        if group.len() < MIN_SHARED {
            rest.extend(group);
            continue;
        }
        let mut folders: BTreeMap<&str, Group<'a>> = BTreeMap::new();
        let mut beside = Group::new();
        for (path, value) in &group {
            let mut names = path.components().skip(depth);
            match (names.next(), names.next()) {
                (Some(folder), Some(_)) => {
                    folders.entry(folder).or_default().insert(*path, *value);
                }
                _ => {
                    beside.insert(*path, *value);
                }
            }
        }
        let (large, small): (Vec<_>, Vec<_>) = folders
            .into_values()
            .partition(|folder| folder.len() >= MIN_SHARED);
        beside.extend(small.into_iter().flatten());
        let parts_then = open.len() + closed.len() + large.len() + usize::from(!beside.is_empty());
        // Going deeper pays when something large gets a name of its own by it.
        if large.is_empty() || parts_then > most {
            closed.push(group);
            continue;
        }
        open.extend(large.into_iter().map(|folder| (depth + 1, folder)));
        if beside.len() >= MIN_SHARED {
            closed.push(beside);
        } else {
            rest.extend(beside);
        }
    }
    parts.append(&mut closed);
}

/// A name of all that is in a group.
fn name_of(group: &Group<'_>) -> String {
    let mut hasher = zako_cas::DigestFunction::Blake3.hasher();
    for (path, value) in group {
        hasher.update(&(path.as_str().len() as u64).to_le_bytes());
        hasher.update(path.as_str().as_bytes());
        let (kind, digest) = match value {
            ArtifactValue::File {
                digest,
                executable: false,
            } => (0u8, *digest),
            ArtifactValue::File { digest, .. } => (1, *digest),
            ArtifactValue::Directory { tree } => (2, *tree),
            ArtifactValue::Symlink { target } => {
                (3, zako_cas::DigestFunction::Blake3.hash(target.as_bytes()))
            }
        };
        hasher.update(&[kind]);
        hasher.update(digest.hex().as_bytes());
        hasher.update(&digest.size.to_le_bytes());
    }
    let mut name = hasher.finish().hex();
    name.truncate(32);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(paths: &[String], most: usize) -> (Vec<usize>, usize) {
        let value = ArtifactValue::Symlink {
            target: "x".to_owned(),
        };
        let paths: Vec<NeutralPath> = paths
            .iter()
            .map(|p| NeutralPath::new(p).expect("a path"))
            .collect();
        let group: Group<'_> = paths.iter().map(|path| (path, &value)).collect();
        let (mut parts, mut rest) = (Vec::new(), Group::new());
        divide(group, most, &mut parts, &mut rest);
        let mut sizes: Vec<usize> = parts.iter().map(BTreeMap::len).collect();
        sizes.sort_unstable();
        (sizes, rest.len())
    }

    fn folder(name: &str, files: usize) -> Vec<String> {
        (0..files).map(|n| format!("{name}/f{n}")).collect()
    }

    #[test]
    fn what_many_share_is_apart_from_what_one_action_has() {
        let mut paths = folder("web/node_modules/a/lib", 500);
        paths.extend(folder("web/node_modules/b", 300));
        paths.extend(folder("web/src", 3));
        assert_eq!(parts(&paths, 8), (vec![300, 500], 3));
        assert_eq!(parts(&paths, 1), (vec![803], 0), "no more than that many");
        assert_eq!(parts(&folder("a", 3), 8), (vec![], 3));
        let many: Vec<String> = (0..100)
            .flat_map(|n| folder(&format!("p{n}"), 20))
            .collect();
        assert_eq!(parts(&many, 8), (vec![2000], 0));
    }

    #[test]
    fn a_name_covers_paths_and_values() {
        let name = |path: &str, target: &str| {
            let path = NeutralPath::new(path).expect("a path");
            let value = ArtifactValue::Symlink {
                target: target.to_owned(),
            };
            name_of(&Group::from([(&path, &value)]))
        };
        assert_eq!(name("a", "x"), name("a", "x"));
        assert_ne!(name("a", "x"), name("b", "x"));
        assert_ne!(name("a", "x"), name("a", "y"));
    }
}
