//! What an action sees of its inputs where no overlay can be mounted: small trees as copies of its own, large ones shown as they
//! lie in their layers, read-only.
//!
//! It must never know processes or what a layer is made of. It adds steps to walls.
//!
//! **Invariants:**
//! - What is in a layer is read, never written: copies are the action's, and what is shown is read-only.
//! - Where an output will be, nothing is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::LARGE_OWN;
use super::walls::WallsBuilder;

/// How many files of layers an action gets as copies at most, and how many bytes. What has more is shown read-only as far as
/// no output and no other input is in the same folder.
const MAX_COPIED: usize = 64;
const MAX_COPIED_BYTES: u64 = 32 << 20;

/// Folders for what the action writes, relative to its rooms: in memory, and on disk where outputs will be.
pub(super) const IN_MEMORY: &str = "memory/own";
pub(super) const ON_DISK: &str = "up";

/// What lies in a layer.
#[derive(Debug)]
pub(crate) struct Tree {
    kind: Kind,
    /// How many files and links, with how many bytes.
    files: usize,
    bytes: u64,
}

#[derive(Debug)]
enum Kind {
    File { executable: bool },
    Link(PathBuf),
    Folder(BTreeMap<OsString, Tree>),
}

impl Tree {
    /// Reads what is at `place`. Recursion is as deep as paths are.
    pub(crate) fn read(place: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(place)?;
        if found.is_symlink() {
            let kind = Kind::Link(fs::read_link(place)?);
            return Ok(Self {
                kind,
                files: 1,
                bytes: 0,
            });
        }
        if !found.is_dir() {
            let executable = found.permissions().mode() & 0o100 != 0;
            return Ok(Self {
                kind: Kind::File { executable },
                files: 1,
                bytes: found.len(),
            });
        }
        let mut children = BTreeMap::new();
        for entry in fs::read_dir(place)? {
            let entry = entry?;
            children.insert(entry.file_name(), Self::read(&entry.path())?);
        }
        let below = children.values();
        Ok(Self {
            files: below.clone().map(|tree| tree.files).sum(),
            bytes: below.map(|tree| tree.bytes).sum(),
            kind: Kind::Folder(children),
        })
    }
}

/// Part of a layer, and the layer's folder.
type Part<'a> = (&'a Tree, &'a Path);

/// Collects the steps for one action. All paths are relative to the workspace.
pub(super) struct Copies<'a> {
    walls: &'a mut WallsBuilder,
    /// Where nothing may be.
    outputs: &'a BTreeSet<PathBuf>,
    /// Where other inputs will be.
    own: &'a BTreeSet<PathBuf>,
    /// Folders of outputs, none in another.
    folders: &'a [PathBuf],
    copies_all: bool,
    made: HashSet<PathBuf>,
    /// What is to be shown where, read-only.
    binds: Vec<(PathBuf, PathBuf)>,
}

/// Where what an action writes at `path` lies, relative to its rooms.
pub(super) fn place_of(folders: &[PathBuf], path: &Path) -> PathBuf {
    let is_output = folders.iter().any(|folder| path.starts_with(folder));
    Path::new(if is_output { ON_DISK } else { IN_MEMORY }).join(path)
}

impl<'a> Copies<'a> {
    /// Adds the steps for `layers`, and gives what is to be shown where.
    pub(super) fn add(
        walls: &'a mut WallsBuilder,
        layers: &[Part<'_>],
        outputs: &'a BTreeSet<PathBuf>,
        own: &'a BTreeSet<PathBuf>,
        folders: &'a [PathBuf],
    ) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let files: usize = layers.iter().map(|(tree, _)| tree.files).sum();
        let bytes: u64 = layers.iter().map(|(tree, _)| tree.bytes).sum();
        let mut copies = Self {
            walls,
            outputs,
            own,
            folders,
            copies_all: files <= MAX_COPIED && bytes <= MAX_COPIED_BYTES,
            made: HashSet::new(),
            binds: Vec::new(),
        };
        copies.merge(layers, Path::new(""))?;
        Ok(copies.binds)
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let above: Vec<&Path> = path.ancestors().collect();
        for folder in above.into_iter().rev() {
            if !folder.as_os_str().is_empty() && self.made.insert(folder.to_owned()) {
                self.walls.folder(&place_of(self.folders, folder))?;
            }
        }
        Ok(())
    }

    /// Whether an output or another input is in a folder, or is it.
    fn is_met(&self, path: &Path) -> bool {
        let mut others = self.outputs.iter().chain(self.own);
        others.any(|other| other.starts_with(path))
    }

    /// Puts what layers have at `path`, where all of them have a folder. Recursion is as deep as paths are.
    fn merge(&mut self, parts: &[Part<'_>], path: &Path) -> io::Result<()> {
        let is_whole = !path.as_os_str().is_empty() && !self.is_met(path);
        self.folder(path)?;
        if let ([(_, layer)], true, false) = (parts, is_whole, self.copies_all) {
            self.binds.push((layer.join(path), path.to_owned()));
            return Ok(());
        }
        let mut children: BTreeMap<&OsString, Vec<Part<'_>>> = BTreeMap::new();
        for (tree, layer) in parts {
            if let Kind::Folder(below) = &tree.kind {
                for (name, child) in below {
                    children.entry(name).or_default().push((child, layer));
                }
            }
        }
        for (name, parts) in children {
            let path = path.join(name);
            match parts.first() {
                _ if self.outputs.contains(&path) => {}
                Some((tree, layer)) => match &tree.kind {
                    Kind::Folder(_) => self.merge(&parts, &path)?,
                    Kind::Link(target) => {
                        let here = place_of(self.folders, &path);
                        self.walls.link(target.as_os_str(), &here)?;
                    }
                    Kind::File { executable } => {
                        self.file(&layer.join(&path), &path, tree.bytes, *executable)?;
                    }
                },
                None => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, there: &Path, path: &Path, bytes: u64, executable: bool) -> io::Result<()> {
        let here = place_of(self.folders, path);
        if bytes > LARGE_OWN {
            self.walls.copy(Path::new("/dev/null"), &here, 0, false)?;
            self.binds.push((there.to_owned(), path.to_owned()));
            return Ok(());
        }
        self.walls.copy(there, &here, bytes, executable)
    }
}
