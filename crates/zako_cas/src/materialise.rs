//! Blobs into files: copied, cloned or linked out of the store.
//!
//! **Invariant:** at the destination stands what was there before, or the whole blob with its
//! final mode; never a part of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::layout::{Form, set_mode};
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
        let (mut file, source) = self
            .open_verified(digest, Form::Plain)?
            .ok_or(StoreError::Missing(*digest))?;
        let folder = match dest.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let bits = if executable { 0o755 } else { 0o644 };
        let temp = match mode {
            MaterialiseMode::Copy => copy_beside(&mut file, folder, bits, false)?,
            MaterialiseMode::Reflink => copy_beside(&mut file, folder, bits, true)?,
            MaterialiseMode::Hardlink => {
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
                    Err(_) => copy_beside(&mut file, folder, bits & 0o555, true)?,
                }
            }
        };
        temp.persist(dest)
            .map_err(|e| StoreError::io("write", dest)(e.error))
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

fn copy_beside(
    file: &mut File,
    folder: &Path,
    bits: u32,
    share: bool,
) -> Result<TempPath, StoreError> {
    let mut out = None;
    let temp = beside(folder, |path| {
        out = Some(
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)?,
        );
        Ok(())
    })
    .map_err(StoreError::io("create a file in", folder))?;
    if let Some(mut out) = out
        && !(share && reflink_copy::reflink_file(file, &out).is_ok())
    {
        io::copy(file, &mut out).map_err(StoreError::io("write", &temp))?;
    }
    set_mode(&temp, bits).map_err(StoreError::io("set the mode of", &temp))?;
    Ok(temp)
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
