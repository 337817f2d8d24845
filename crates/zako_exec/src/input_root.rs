//! The folder that an action runs in, in the shape of the workspace.
//!
//! It must never know processes or the store. Contents are not copied: an input is a symbolic link to the file in the
//! workspace, at the input's own path, so what is not declared is not there by a relative path.
//!
//! **Invariant:** a declared output's place is empty before the action runs, and its parent is a real folder below the
//! root, never a link into the workspace: whatever is written there stays there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zako_action::{ActionSpec, ExecuteError, ToolRef};
use zako_path::NeutralPath;

use crate::system::{self, Owner};

/// Where the links of an action lie, below its scratch folder, and where they are kept for the next one that has it.
const ROOT: &str = "root";
const KEPT: &str = "links";

/// The input root of an action at `basic`, below its scratch folder.
pub(crate) fn root_of(scratch: &Path) -> PathBuf {
    scratch.join(ROOT)
}

/// Where [`InputRoot::keep`] keeps links.
pub(crate) fn kept_in(scratch: &Path) -> PathBuf {
    scratch.join(KEPT)
}

/// What there will be at each path of an input root.
#[derive(Debug, Default)]
pub(crate) struct InputRoot {
    top: Node,
}

#[derive(Debug, Default)]
struct Node {
    leaf: Option<Leaf>,
    children: BTreeMap<Box<str>, Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaf {
    /// A link to the same path of the workspace; with children, a folder with such links for all else that is in it.
    Input,
    /// Nothing: the action will write it.
    Output,
}

impl InputRoot {
    /// The root for an action with these inputs, staged files, tools and outputs.
    ///
    /// # Errors
    /// The path that is both an input (or part of one) and an output.
    pub(crate) fn of(spec: &ActionSpec) -> Result<Self, NeutralPath> {
        let mut root = Self::default();
        let tools = spec.tools.iter().filter_map(|tool| match tool {
            ToolRef::Artifact(path) => Some(path),
            ToolRef::Host(_) | ToolRef::Versioned { .. } => None,
        });
        let outputs = spec
            .outputs
            .iter()
            .map(|output| &output.path)
            .chain(&spec.depfile);
        for path in outputs {
            root.add(path, Leaf::Output)?;
        }
        for path in spec.inputs.iter().chain(&spec.staged).chain(tools) {
            root.add(path, Leaf::Input)?;
        }
        Ok(root)
    }

    fn add(&mut self, path: &NeutralPath, leaf: Leaf) -> Result<(), NeutralPath> {
        let mut node = &mut self.top;
        for name in path.components() {
            if leaf == Leaf::Input && node.leaf == Some(Leaf::Output) {
                return Err(path.clone());
            }
            node = node.children.entry(name.into()).or_default();
        }
        match node.leaf {
            Some(other) if other != leaf => return Err(path.clone()),
            _ => node.leaf = Some(leaf),
        }
        Ok(())
    }

    /// Makes room for outputs in `written`, the folder that lies over the folders `lower`: their own folders, and that
    /// nothing is at their places, whatever is below.
    ///
    /// # Errors
    /// As of [`of`](Self::of), and of the file system.
    #[cfg(walls)]
    pub(crate) fn make_room(
        spec: &ActionSpec,
        written: &Path,
        lower: &[PathBuf],
    ) -> Result<(), ExecuteError> {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

        Self::of(spec).map_err(|path| ExecuteError::Unsupported {
            executor: "local",
            reason: format!("`{path}` is an input and an output of it at once"),
        })?;
        let outputs = spec.outputs.iter().map(|output| &output.path);
        for path in outputs.chain(&spec.depfile) {
            let place = path.to_os_path(written);
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).map_err(io_error("create", parent))?;
            }
            let is_below = |folder: &PathBuf| path.to_os_path(folder).symlink_metadata().is_ok();
            if lower.iter().any(is_below) {
                // What an overlay takes for "not there" (Documentation/filesystems/overlayfs.rst).
                mknodat(
                    CWD,
                    &place,
                    FileType::CharacterDevice,
                    Mode::empty(),
                    makedev(0, 0),
                )
                .map_err(|errno| io_error("hide", &place)(errno.into()))?;
            }
        }
        Ok(())
    }

    /// Makes the folder `root` with links into `workspace`, and nothing else. What is there already and right is left as it is:
    /// making links is what a file system is slow at, and looking at them is not.
    pub(crate) fn build(&self, workspace: &Path, root: &Path) -> Result<(), ExecuteError> {
        let owner = root.parent().and_then(|above| owner_of(above).ok());
        let is_there = owner.is_some() && owner_of(root).ok() == owner;
        if !is_there {
            remove_all(root)?;
            fs::create_dir(root).map_err(io_error("create", root))?;
        }
        let mut filling = Filling { owner };
        filling.fill(&self.top, workspace, root, is_there)
    }

    /// Keeps what an action left of its links in `root` for the next one, in the folder `kept`; all else goes.
    pub(crate) fn keep(root: &Path, kept: &Path) -> Result<(), ExecuteError> {
        let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
        if !is_folder(root) || is_folder(kept) {
            return remove_all(root);
        }
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                // The action has taken its own permissions away.
                remove_all(&folder)?;
                continue;
            };
            for entry in entries {
                let entry = entry.map_err(io_error("list", &folder))?;
                match entry.file_type().map_err(io_error("read", &entry.path()))? {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_symlink() => {}
                    _ => remove_all(&entry.path())?,
                }
            }
        }
        match fs::rename(root, kept) {
            // It was the root that had no permissions.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed.map_err(io_error("move", root)),
        }
    }
}

/// Whose the folder at `path` is; an error if it is none.
fn owner_of(path: &Path) -> io::Result<Owner> {
    let found = fs::symlink_metadata(path)?;
    match found.is_dir() {
        true => Ok(Owner::of(&found)),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// What should be at a place.
enum Wanted<'a> {
    Link,
    Folder(&'a Node),
}

struct Filling {
    /// Of folders that zako made.
    owner: Option<Owner>,
}

impl Filling {
    /// Fills the folder `here`, which stands for `there` in the workspace; `is_old` if something may be in it. Recursion is as
    /// deep as paths are.
    fn fill(
        &mut self,
        node: &Node,
        there: &Path,
        here: &Path,
        is_old: bool,
    ) -> Result<(), ExecuteError> {
        let mut wanted: BTreeMap<OsString, Wanted<'_>> = BTreeMap::new();
        for (name, child) in &node.children {
            let what = match child.leaf {
                Some(Leaf::Input) if child.children.is_empty() => Wanted::Link,
                // The action writes it: nothing is there before.
                Some(Leaf::Output) if child.children.is_empty() => continue,
                _ => Wanted::Folder(child),
            };
            wanted.insert((**name).into(), what);
        }
        // A folder as an input, with an output (or another input) inside: what else is in it, one by one.
        if node.leaf == Some(Leaf::Input) {
            for entry in fs::read_dir(there).map_err(io_error("list", there))? {
                let name = entry.map_err(io_error("list", there))?.file_name();
                let is_child = |name: &str| node.children.contains_key(name);
                if !name.to_str().is_some_and(is_child) {
                    wanted.insert(name, Wanted::Link);
                }
            }
        }
        if is_old {
            for entry in fs::read_dir(here).map_err(io_error("list", here))? {
                let name = entry.map_err(io_error("list", here))?.file_name();
                let place = here.join(&name);
                match wanted.get(&name) {
                    Some(Wanted::Link) if is_link_to(&place, &there.join(&name)) => {
                        wanted.remove(&name);
                    }
                    Some(Wanted::Folder(child)) if owner_of(&place).ok() == self.owner => {
                        self.fill(child, &there.join(&name), &place, true)?;
                        wanted.remove(&name);
                    }
                    _ => remove_all(&place)?,
                }
            }
        }
        for (name, what) in wanted {
            let (there, here) = (there.join(&name), here.join(&name));
            match what {
                Wanted::Link => link(&there, &here)?,
                Wanted::Folder(child) => {
                    fs::create_dir(&here).map_err(io_error("create", &here))?;
                    self.fill(child, &there, &here, false)?;
                }
            }
        }
        Ok(())
    }
}

fn is_link_to(place: &Path, target: &Path) -> bool {
    fs::read_link(place).is_ok_and(|found| found == target)
}

fn link(target: &Path, place: &Path) -> Result<(), ExecuteError> {
    system::link(target, place).map_err(io_error("link", place))
}

/// Makes room for the outputs of an action that runs in the workspace itself: removes old ones, creates their folders.
pub(crate) fn clear_outputs(spec: &ActionSpec, workspace: &Path) -> Result<(), ExecuteError> {
    for path in spec
        .outputs
        .iter()
        .map(|output| &output.path)
        .chain(&spec.depfile)
    {
        let place = path.to_os_path(workspace);
        remove_all(&place)?;
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(io_error("create", parent))?;
        }
    }
    Ok(())
}

/// Removes a file, a link, or a folder with all that is in it, even if an action took away its own permissions.
pub(crate) fn remove_all(path: &Path) -> Result<(), ExecuteError> {
    let result = match fs::symlink_metadata(path) {
        Err(error) => Err(error),
        Ok(found) if !found.is_dir() => fs::remove_file(path),
        Ok(_) => fs::remove_dir_all(path).or_else(|error| {
            if error.kind() != io::ErrorKind::PermissionDenied {
                return Err(error);
            }
            open_up(path)?;
            fs::remove_dir_all(path)
        }),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Gives the owner all permissions on every folder below `top`.
fn open_up(top: &Path) -> io::Result<()> {
    let mut folders: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        system::open_up(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// For `map_err`: what was tried on what.
pub(crate) fn io_error<'a>(
    verb: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ExecuteError + 'a {
    move |source| ExecuteError::Io {
        verb,
        path: path.to_owned(),
        source,
    }
}
