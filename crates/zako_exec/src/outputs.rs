//! What an action left behind: checked against what it declares, and put into the store.
//!
//! It must never know how the action ran. It reads a folder and writes to the store; it computes, so it belongs on a
//! thread that may block.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use zako_action::{
    ActionSpec, ArtifactValue, ExecuteError, OutputFile, OutputKind, OutputSpec, Produced,
};
use zako_cas::{Store, TreeError};
use zako_path::NeutralPath;

use crate::input_root::{io_error, remove_all};
use crate::system;

/// The largest depfile that is read; real ones are thousands of times smaller.
pub const MAX_DEPFILE_BYTES: u64 = 64 << 20;

/// How many entries are looked at to find what a missing output may have been called instead.
const MAX_LOOKED_AT: usize = 10_000;

/// How alike names have to be to be suggested (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// A link in a directory that was written, which leads out of it and so would mean something else elsewhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{path}` links to `{target}`, which is outside of the output `{output}`; copy what it links to (as `cp -RL` does), or link inside of the output"
)]
pub struct EscapingLink {
    /// The declared directory.
    pub output: NeutralPath,
    /// The link, relative to the input root.
    pub path: PathBuf,
    /// What it says.
    pub target: PathBuf,
}

/// Checks that all outputs of `spec` are below `root`, each of its kind, and stores them.
pub(crate) fn collect(
    spec: &ActionSpec,
    root: &Path,
    store: &Store,
) -> Result<Vec<Produced>, ExecuteError> {
    let missing =
        |output: &&OutputSpec| fs::symlink_metadata(output.path.to_os_path(root)).is_err();
    let paths: Vec<NeutralPath> = spec
        .outputs
        .iter()
        .filter(missing)
        .map(|output| output.path.clone())
        .collect();
    if !paths.is_empty() {
        return Err(ExecuteError::MissingOutput { paths });
    }
    spec.outputs
        .iter()
        .map(|output| collect_one(output, root, store))
        .collect()
}

fn collect_one(output: &OutputSpec, root: &Path, store: &Store) -> Result<Produced, ExecuteError> {
    let place = output.path.to_os_path(root);
    let wrong = |declared, found| ExecuteError::OutputKind {
        path: output.path.clone(),
        declared,
        found,
    };
    let itself = fs::symlink_metadata(&place).map_err(io_error("read", &place))?;
    let value = match output.kind {
        OutputKind::Directory if itself.is_symlink() => {
            return Err(wrong("directory", "symbolic link"));
        }
        OutputKind::Directory if !itself.is_dir() => return Err(wrong("directory", "file")),
        OutputKind::Directory => {
            links_stay_inside(output, &place)?;
            // The overlay's note that nothing of a lower layer shows through.
            #[cfg(linux)]
            let _not_there = rustix::fs::removexattr(&place, "user.overlay.opaque");
            ArtifactValue::Directory {
                tree: store.put_directory(&place).map_err(tree_error)?,
            }
        }
        OutputKind::File => {
            // A link stands for the file that it leads to, which may be an input or another output.
            let file = fs::metadata(&place).map_err(|error| match itself.is_symlink() {
                true => wrong("file", "symbolic link that leads nowhere"),
                false => io_error("read", &place)(error),
            })?;
            if !file.is_file() {
                return Err(wrong(
                    "file",
                    if file.is_dir() {
                        "directory"
                    } else {
                        "special file"
                    },
                ));
            }
            let digest = store.put_file(&place)?;
            if itself.is_symlink() {
                replace_by_copy(&place)?;
            }
            ArtifactValue::File {
                digest,
                executable: system::is_executable(&file),
            }
        }
    };
    Ok(Produced {
        file: OutputFile {
            path: output.path.clone(),
            value,
        },
        produced_at: Some(place),
    })
}

/// The caller moves the very file, and a link would not survive that.
fn replace_by_copy(link: &Path) -> Result<(), ExecuteError> {
    let target = fs::canonicalize(link).map_err(io_error("read", link))?;
    remove_all(link)?;
    fs::copy(&target, link)
        .map(drop)
        .map_err(io_error("write", link))
}

/// Every link below `top` leads to something below `top`, as far as its text tells.
fn links_stay_inside(output: &OutputSpec, top: &Path) -> Result<(), ExecuteError> {
    let mut folders = vec![(top.to_owned(), 0usize)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
            let entry = entry.map_err(io_error("list", &folder))?;
            let kind = entry.file_type().map_err(io_error("read", &entry.path()))?;
            if kind.is_dir() {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_symlink() {
                let path = entry.path();
                let target = fs::read_link(&path).map_err(io_error("read", &path))?;
                if escapes(&target, depth) {
                    let below = path.strip_prefix(top).unwrap_or(&path);
                    let path = Path::new(output.path.as_str()).join(below);
                    let link = EscapingLink {
                        output: output.path.clone(),
                        path,
                        target,
                    };
                    return Err(ExecuteError::Other(Box::new(link)));
                }
            }
        }
    }
    Ok(())
}

/// Whether a link in a folder `depth` levels below the top leads above the top.
fn escapes(target: &Path, depth: usize) -> bool {
    let mut depth = depth;
    for component in target.components() {
        match component {
            Component::Prefix(_) | Component::RootDir => return true,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return true,
            },
        }
    }
    false
}

fn tree_error(error: TreeError) -> ExecuteError {
    match error {
        TreeError::Store(error) => ExecuteError::Store(error),
        other => ExecuteError::Other(Box::new(other)),
    }
}

/// The depfile's content, if there is one.
pub(crate) fn depfile(spec: &ActionSpec, root: &Path) -> Result<Option<Bytes>, ExecuteError> {
    let Some(path) = &spec.depfile else {
        return Ok(None);
    };
    let place = path.to_os_path(root);
    match fs::metadata(&place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", &place)(error)),
        Ok(file) if file.len() > MAX_DEPFILE_BYTES => {
            let reason = format!("it has {} bytes, more than {MAX_DEPFILE_BYTES}", file.len());
            return Err(ExecuteError::Depfile {
                path: path.clone(),
                reason,
            });
        }
        Ok(_) => {}
    }
    fs::read(&place)
        .map(|bytes| Some(bytes.into()))
        .map_err(io_error("read", &place))
}

/// Files below `root` that an action wrote without declaring them and that are called like `missing`, the most alike
/// first; at most three.
pub(crate) fn similar(spec: &ActionSpec, missing: &NeutralPath, root: &Path) -> Vec<NeutralPath> {
    let wanted = missing.file_name().unwrap_or_default();
    let mut found: Vec<(f64, NeutralPath)> = Vec::new();
    let mut folders = vec![PathBuf::new()];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            looked_at += 1;
            if looked_at > MAX_LOOKED_AT {
                break;
            }
            let below = folder.join(entry.file_name());
            // Links are inputs, and nothing that the action wrote.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(below),
                Ok(kind) if kind.is_file() => {
                    let name = below
                        .file_name()
                        .and_then(OsStr::to_str)
                        .unwrap_or_default();
                    let score = strsim::jaro_winkler(wanted, name);
                    if score >= ALIKE
                        && let Ok(path) = NeutralPath::from_os_path(&below)
                        && spec.outputs.iter().all(|output| output.path != path)
                        && !spec
                            .inputs
                            .iter()
                            .chain(&spec.staged)
                            .any(|input| path.starts_with(input))
                    {
                        found.push((score, path));
                    }
                }
                _ => {}
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.into_iter().map(|(_, path)| path).take(3).collect()
}
