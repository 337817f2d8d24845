//! Trees in the store and on disk: put, read, captured from a folder, materialised into one.
//!
//! **Invariant:** a captured folder says nothing of times, owners or modes but for the
//! executable bit; links are kept as links and never followed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use zako_path::NeutralPath;

use crate::tree::{TreeError, decode};
use crate::{Digest, MaterialiseMode, Store, StoreError, Tree, TreeBuilder, TreeEntry};

impl Store {
    /// Stores the tree's messages (not its files).
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn put_tree(&self, tree: &Tree) -> Result<(), StoreError> {
        for (digest, message) in &tree.directories {
            if digest.function != self.function() {
                return Err(StoreError::OtherFunction {
                    digest: *digest,
                    function: self.function(),
                });
            }
            if !self.contains(digest) {
                self.put_bytes(message)?;
            }
        }
        Ok(())
    }

    /// Reads all messages of the tree with this root.
    ///
    /// # Errors
    /// [`TreeError::Missing`] when one is not there; others when one is malformed or the store
    /// can't be read.
    pub fn read_tree(&self, root: &Digest) -> Result<Tree, TreeError> {
        let mut directories = Vec::new();
        let mut seen = HashSet::from([*root]);
        let mut pending = vec![*root];
        while let Some(digest) = pending.pop() {
            let message = self.get_directory(&digest)?;
            for (_, entry) in decode(digest, &message)? {
                if let TreeEntry::Directory { digest } = entry
                    && seen.insert(digest)
                {
                    pending.push(digest);
                }
            }
            directories.push((digest, message));
        }
        directories.reverse();
        Ok(Tree {
            root: *root,
            directories,
        })
    }

    fn get_directory(&self, digest: &Digest) -> Result<bytes::Bytes, TreeError> {
        // The empty directory is the empty blob: always known, as in the Remote Execution API.
        if *digest == self.function().empty() {
            return Ok(bytes::Bytes::new());
        }
        self.get(digest)?.ok_or(TreeError::Missing(*digest))
    }

    /// Stores all that is in `folder` and gives the tree's root.
    ///
    /// # Errors
    /// [`TreeError::Unstorable`] for a name that is no UTF-8 or otherwise no neutral path, and
    /// for sockets, pipes and devices; others when `folder` can't be read, changes meanwhile, or
    /// the store can't be written.
    pub fn put_directory(&self, folder: &Path) -> Result<Digest, TreeError> {
        let mut builder = TreeBuilder::new(self.function());
        let mut pending = vec![(NeutralPath::root(), folder.to_path_buf())];
        while let Some((path, folder)) = pending.pop() {
            let mut empty = true;
            for entry in fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
                empty = false;
                let entry = entry.map_err(StoreError::io("list", &folder))?;
                let place = entry.path();
                let unstorable = |reason: String| TreeError::Unstorable {
                    path: place.display().to_string(),
                    reason,
                };
                let name = entry.file_name();
                let name = name
                    .to_str()
                    .ok_or_else(|| unstorable("its name is not UTF-8".to_owned()))?;
                let path = path.join(name).map_err(|e| unstorable(e.to_string()))?;
                let kind = entry.file_type().map_err(StoreError::io("read", &place))?;
                if kind.is_dir() {
                    pending.push((path, place));
                } else if kind.is_file() {
                    let executable =
                        is_executable(&entry.metadata().map_err(StoreError::io("read", &place))?);
                    builder.file(&path, self.put_file(&place)?, executable);
                } else if kind.is_symlink() {
                    let target = fs::read_link(&place).map_err(StoreError::io("read", &place))?;
                    let target = target
                        .to_str()
                        .ok_or_else(|| unstorable("its target is not UTF-8".to_owned()))?;
                    builder.symlink(&path, target);
                } else {
                    return Err(unstorable("it is no file, folder or link".to_owned()));
                }
            }
            if empty {
                builder.directory(&path, self.put_bytes(b"")?);
            }
        }
        let tree = builder.build()?;
        self.put_tree(&tree)?;
        Ok(tree.root)
    }

    /// Makes `dest` the tree with this root, in place of whatever was there. The tree is made
    /// beside `dest` and moved there whole.
    ///
    /// # Errors
    /// [`TreeError::Missing`] and [`StoreError::Missing`] when a blob is not there; others when
    /// the store can't be read or `dest` not be written.
    pub fn materialise_tree(
        &self,
        root: &Digest,
        dest: &Path,
        mode: MaterialiseMode,
    ) -> Result<(), TreeError> {
        let entries = self.read_tree(root)?.walk()?;
        let above = match dest.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        fs::create_dir_all(above).map_err(StoreError::io("create", above))?;
        let temp = tempfile::Builder::new()
            .prefix(&format!(".zako-{}-", std::process::id()))
            .tempdir_in(above)
            .map_err(StoreError::io("create a folder in", above))?;
        let fresh = temp.path().join("tree");
        fs::create_dir(&fresh).map_err(StoreError::io("create", &fresh))?;
        for (path, entry) in &entries {
            let place = path.to_os_path(&fresh);
            match entry {
                TreeEntry::Directory { .. } => {
                    fs::create_dir(&place).map_err(StoreError::io("create", &place))?;
                }
                TreeEntry::File { digest, executable } => {
                    self.materialise(digest, &place, mode, *executable)?
                }
                TreeEntry::Symlink { target } => {
                    symlink(target, &place).map_err(StoreError::io("link", &place))?
                }
            }
        }
        // The old one goes into the temporary folder, and with it.
        match fs::rename(dest, temp.path().join("old")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("replace", dest)(e).into());
            }
            _ => {}
        }
        fs::rename(&fresh, dest).map_err(StoreError::io("write", dest))?;
        Ok(())
    }
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn symlink(target: &str, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
fn symlink(_target: &str, _place: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "symbolic links are not supported on this platform",
    ))
}
