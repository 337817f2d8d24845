//! The folder that an action runs in, in the shape of the workspace.
//!
//! It must never know processes or the store. Contents are not copied: an input is a symbolic link to the file in the
//! workspace, at the input's own path, so what is not declared is not there by a relative path.
//!
//! **Invariant:** a declared output's place is empty before the action runs, and its parent is a real folder below the
//! root, never a link into the workspace: whatever is written there stays there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zako_action::{ActionSpec, ExecuteError, ToolRef};
use zako_path::NeutralPath;

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

    /// Makes the folder `root`, which must not exist, with links into `workspace`.
    pub(crate) fn build(&self, workspace: &Path, root: &Path) -> Result<(), ExecuteError> {
        fs::create_dir(root).map_err(io_error("create", root))?;
        fill(&self.top, workspace, root)
    }
}

/// Fills the folder `here`, which stands for `there` in the workspace. Recursion is as deep as paths are.
fn fill(node: &Node, there: &Path, here: &Path) -> Result<(), ExecuteError> {
    for (name, child) in &node.children {
        let (there, here) = (there.join(&**name), here.join(&**name));
        match child.leaf {
            Some(Leaf::Input) if child.children.is_empty() => link(&there, &here)?,
            // The action writes it: nothing is there before.
            Some(Leaf::Output) if child.children.is_empty() => {}
            _ => {
                fs::create_dir(&here).map_err(io_error("create", &here))?;
                fill(child, &there, &here)?;
            }
        }
    }
    // A folder as an input, with an output (or another input) inside: what else is in it, one by one.
    if node.leaf == Some(Leaf::Input) {
        for entry in fs::read_dir(there).map_err(io_error("list", there))? {
            let name = entry.map_err(io_error("list", there))?.file_name();
            if name
                .to_str()
                .is_none_or(|name| !node.children.contains_key(name))
            {
                link(&there.join(&name), &here.join(&name))?;
            }
        }
    }
    Ok(())
}

fn link(target: &Path, place: &Path) -> Result<(), ExecuteError> {
    std::os::unix::fs::symlink(target, place).map_err(io_error("link", place))
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
    use std::os::unix::fs::PermissionsExt;
    let mut folders: Vec<PathBuf> = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
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
