//! Blobs into files: copied, cloned or linked out of the store.
//!
//! **Invariant:** at the destination stands what was there before, or the whole blob with its
//! final mode; never a part of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::layout::Form;
use crate::{Digest, Store, StoreError};

/// How a blob becomes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaterialiseMode {
    /// Its own copy, mode 0644 or 0755.
    Copy,
    /// A clone that shares blocks until one is written, where the file system has such; else a
    /// copy. Mode 0644 or 0755.
    #[default]
    Reflink,
    /// A link to the store's own file, read-only (0444 or 0555); a read-only copy where the
    /// destination is on another file system. Writing to it (as root) damages the store, which
    /// its next reader finds out.
    Hardlink,
}

impl Store {
    /// Puts the blob at `dest`, replacing a file there and creating the folders above.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the blob is not there or was damaged; others when the store
    /// can't be read or `dest` not be written.
    pub fn materialise(
        &self,
        digest: &Digest,
        dest: &Path,
        mode: MaterialiseMode,
        executable: bool,
    ) -> Result<(), StoreError> {
        let folder = match dest.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        self.materialise_through(folder, digest, dest, mode, executable)
    }

    /// As [`materialise`](Self::materialise), with the file in the making in `folder`, which is on the file system of
    /// `dest`: whoever is killed meanwhile leaves nothing beside `dest`. The folder of `dest` has to be there.
    ///
    /// # Errors
    /// As there; [`StoreError::Io`] of the kind [`CrossesDevices`](io::ErrorKind::CrossesDevices) when `folder` is on another
    /// file system.
    pub fn materialise_through(
        &self,
        folder: &Path,
        digest: &Digest,
        dest: &Path,
        mode: MaterialiseMode,
        executable: bool,
    ) -> Result<(), StoreError> {
        let bits = if executable { 0o755 } else { 0o644 };
        let temp = if mode == MaterialiseMode::Hardlink {
            let (mut file, source) = self.linkable(digest)?;
            let source = if executable {
                self.executable_form(digest, &mut file)?
            } else {
                source
            };
            if same_file(&source, dest) {
                return Ok(()); // Renaming one link of a file onto another would do nothing.
            }
            match beside(folder, |path| fs::hard_link(&source, path)) {
                Ok(temp) => temp,
                // Another file system, too many links, or links not allowed: a copy will do.
                Err(_) => write_beside(folder, bits & 0o555, |out| copy(&mut file, out, true))?,
            }
        } else if let Some(bytes) = self.packed(digest)? {
            write_beside(folder, bits, |out| out.write_all(&bytes))?
        } else {
            let (mut file, _) = self
                .open_verified(digest, Form::Plain)?
                .ok_or(StoreError::Missing(*digest))?;
            let share = mode == MaterialiseMode::Reflink;
            write_beside(folder, bits, |out| copy(&mut file, out, share))?
        };
        temp.persist(dest)
            .map_err(|e| StoreError::io("write", dest)(e.error))
    }

    /// The blob's own file; a small blob, which has none, gets one.
    fn linkable(&self, digest: &Digest) -> Result<(File, PathBuf), StoreError> {
        let missing = StoreError::Missing(*digest);
        if let Some(found) = self.open_verified(digest, Form::Plain)? {
            return Ok(found);
        }
        let bytes = self.packed(digest)?.ok_or(missing)?;
        let mut temp = self.shared.layout.temporary()?;
        temp.write_all(&bytes)
            .map_err(StoreError::io("write", temp.path()))?;
        self.install(temp, digest, Form::Plain)?;
        self.open_verified(digest, Form::Plain)?
            .ok_or(StoreError::Missing(*digest))
    }

    /// The blob's second file, with the executable bit: links of one file share one mode.
    fn executable_form(&self, digest: &Digest, plain: &mut File) -> Result<PathBuf, StoreError> {
        if let Some((_, path)) = self.open_verified(digest, Form::Executable)? {
            return Ok(path);
        }
        let mut temp = self.shared.layout.temporary()?;
        io::copy(plain, temp.as_file_mut())
            .and_then(|_| plain.rewind())
            .map_err(StoreError::io("write", temp.path()))?;
        self.install(temp, digest, Form::Executable)?;
        Ok(self.shared.layout.blob(digest, Form::Executable))
    }
}

/// A new file in `folder`, made by `make`, removed when dropped. Creates the folder if need be.
fn beside(folder: &Path, mut make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<TempPath> {
    let prefix = format!(".zako-{}-", std::process::id());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    let made = match builder.make_in(folder, &mut make) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            builder.make_in(folder, &mut make)
        }
        made => made,
    };
    Ok(made?.into_temp_path())
}

/// A new file in `folder` with what `fill` writes, and this mode.
fn write_beside(
    folder: &Path,
    bits: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<TempPath, StoreError> {
    let mut out = None;
    let temp = beside(folder, |path| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, bits | 0o200);
        out = Some(options.open(path)?);
        Ok(())
    })
    .map_err(StoreError::io("create a file in", folder))?;
    if let Some(mut out) = out {
        fill(&mut out).map_err(StoreError::io("write", &temp))?;
        // What the process's mask took away of the mode is given back.
        set_mode_of(&out, &temp, bits).map_err(StoreError::io("set the mode of", &temp))?;
    }
    Ok(temp)
}

fn copy(from: &mut File, to: &mut File, share: bool) -> io::Result<()> {
    if share && reflink_copy::reflink_file(&*from, &*to).is_ok() {
        return Ok(());
    }
    io::copy(from, to).map(drop)
}

#[cfg(unix)]
fn set_mode_of(file: &File, _path: &Path, mode: u32) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode_of(_file: &File, path: &Path, mode: u32) -> io::Result<()> {
    crate::layout::set_mode(path, mode)
}

#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::symlink_metadata(a), fs::symlink_metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_file(_a: &Path, _b: &Path) -> bool {
    false
}
