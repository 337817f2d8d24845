//! What is in a folder, all the way down, without reading contents.
//!
//! Links are kept as links. **Invariant:** the order is the one of paths, whatever the file system's is.

use std::fs;
use std::path::Path;

use zako_cas::MAX_TREE_ENTRIES;
use zako_path::NeutralPath;

use super::encoding::Encoder;
use super::signature::{Role, Signature};
use super::{FileError, is_missing};

/// Folders in the workspace's root that are no part of it.
const NOT_SOURCES: [&str; 3] = [".git", ".zako", "zako-out"];

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Walked {
    File(Signature),
    /// With its target as written.
    Link(String),
    EmptyFolder,
}

impl Walked {
    pub(super) fn encode(&self, out: &mut Encoder) {
        match self {
            Walked::File(signature) => {
                out.u8(1);
                signature.encode(out);
            }
            Walked::Link(target) => {
                out.u8(2);
                out.text(target);
            }
            Walked::EmptyFolder => out.u8(3),
        }
    }
}

/// All files, links and empty folders below the folder at `path` of the workspace `root`, by paths below that folder.
pub(super) fn walk(
    root: &Path,
    path: &NeutralPath,
    role: &dyn Fn(&NeutralPath) -> Role,
) -> Result<Vec<(NeutralPath, Walked)>, FileError> {
    let mut found = Vec::new();
    let mut pending = vec![NeutralPath::root()];
    while let Some(folder) = pending.pop() {
        let whole = path.join_path(&folder);
        let place = whole.to_os_path(root);
        let mut empty = true;
        for entry in fs::read_dir(&place).map_err(FileError::io("list", &place))? {
            let entry = entry.map_err(FileError::io("list", &place))?;
            let name = entry.file_name();
            if whole.is_root()
                && name
                    .to_str()
                    .is_some_and(|name| NOT_SOURCES.contains(&name))
            {
                continue;
            }
            empty = false;
            if found.len() >= MAX_TREE_ENTRIES {
                return Err(FileError::BadName {
                    path: place,
                    reason: format!("there are more than {MAX_TREE_ENTRIES} files below it"),
                });
            }
            let bad = |reason: String| FileError::BadName {
                path: entry.path(),
                reason,
            };
            let name = name
                .to_str()
                .ok_or_else(|| bad("it is not UTF-8".to_owned()))?;
            let below = folder.join(name).map_err(|e| bad(e.to_string()))?;
            let kind = entry
                .file_type()
                .map_err(FileError::io("read", &entry.path()))?;
            if kind.is_dir() {
                pending.push(below);
            } else if kind.is_file() {
                let metadata = match entry.metadata() {
                    // Gone since it was listed.
                    Err(error) if is_missing(&error) => continue,
                    metadata => metadata.map_err(FileError::io("read", &entry.path()))?,
                };
                let role = role(&path.join_path(&below));
                found.push((below, Walked::File(Signature::of(&metadata, role))));
            } else if kind.is_symlink() {
                found.push((below, link(root, &path.join_path(&folder), name, role)?));
            } else {
                return Err(FileError::Special(entry.path()));
            }
        }
        if empty && !folder.is_root() {
            found.push((folder, Walked::EmptyFolder));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn link(
    root: &Path,
    folder: &NeutralPath,
    name: &str,
    role: &dyn Fn(&NeutralPath) -> Role,
) -> Result<Walked, FileError> {
    let place = folder.to_os_path(root).join(name);
    let bad = |reason: String| FileError::BadName {
        path: place.clone(),
        reason,
    };
    let path = folder.join(name).map_err(|e| bad(e.to_string()))?;
    let target = fs::read_link(&place).map_err(FileError::io("read", &place))?;
    // One that leads nowhere is only text.
    if role(&path) == Role::Source
        && let Ok(real) = fs::canonicalize(&place)
        && !real.starts_with(root)
    {
        return Err(FileError::Escapes { path, target: real });
    }
    let target = target
        .to_str()
        .ok_or_else(|| bad("what it links to is not UTF-8".to_owned()))?;
    Ok(Walked::Link(target.to_owned()))
}
