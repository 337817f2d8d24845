//! Where a store keeps what, and the marker that says so.
//!
//! ```text
//! ROOT/VERSION                     "zako-cas 1\n"
//! ROOT/tmp/PID-RANDOM              files in the making; renamed away when whole
//! ROOT/blake3/AB/ABCD…-SIZE        a blob: full hash in hex, size in decimal; mode 0444
//! ROOT/blake3/AB/ABCD…-SIZE.x      the same blob with mode 0555, made when first hardlinked
//! ROOT/sha256/…                    likewise
//! ROOT/segments/blake3/…           small blobs (see `segment`); one that is hardlinked gets a file besides
//! ROOT/segments/sha256/…           likewise
//! ```
//!
//! Stores from before there were segments have small blobs in files too, which are found like all others.
//!
//! **Invariant:** a file under a function's folder came there by rename, whole, and is never
//! written again. Its name says what it must contain, so a damaged one can always be told.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{Digest, DigestFunction, StoreError};

/// The layout's number, in `VERSION`.
pub const LAYOUT: u32 = 1;

/// A temporary file of a process that is gone is removed when it was last written this long ago.
/// (Not at once: in another container the same store is used under other process ids.)
pub const STALE_AFTER: Duration = Duration::from_secs(10 * 60);

/// A temporary file is removed when it was last written this long ago, whatever its process.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

const MARKER: &str = "zako-cas ";

/// The two forms that a blob's file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Executable,
}

#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    function: DigestFunction,
    tmp: PathBuf,
}

impl Layout {
    /// Opens or creates the folders, checks the marker, clears what dead processes left.
    pub(crate) fn open(root: &Path, function: DigestFunction) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(StoreError::io("create", root))?;
        let layout = Self {
            root: root.to_path_buf(),
            function,
            tmp: root.join("tmp"),
        };
        layout.check_marker()?;
        fs::create_dir_all(&layout.tmp).map_err(StoreError::io("create", &layout.tmp))?;
        let blobs = layout.blobs();
        fs::create_dir_all(&blobs).map_err(StoreError::io("create", &blobs))?;
        layout.clear_temporary(SystemTime::now());
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the segments of the store's function.
    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments").join(self.function.name())
    }

    /// The folder of all blobs of the store's function.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join(self.function.name())
    }

    pub(crate) fn blob(&self, digest: &Digest, form: Form) -> PathBuf {
        let hex = digest.hex();
        let suffix = if form == Form::Executable { ".x" } else { "" };
        let mut path = self.blobs();
        path.push(&hex[..2]);
        path.push(format!("{hex}-{}{suffix}", digest.size));
        path
    }

    /// The digest that a blob's file name stands for; the inverse of [`blob`](Self::blob).
    pub(crate) fn parse(&self, name: &str) -> Option<(Digest, Form)> {
        let (name, form) = match name.strip_suffix(".x") {
            Some(name) => (name, Form::Executable),
            None => (name, Form::Plain),
        };
        let (hex, size) = name.split_once('-')?;
        let digest = Digest::from_hex(self.function, hex, size.parse().ok()?).ok()?;
        Some((digest, form))
    }

    /// A new empty file in the temporary folder, removed when dropped.
    pub(crate) fn temporary(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        tempfile::Builder::new()
            .prefix(&format!("{}-", std::process::id()))
            .tempfile_in(&self.tmp)
            .map_err(StoreError::io("create a file in", &self.tmp))
    }

    fn check_marker(&self) -> Result<(), StoreError> {
        let path = self.root.join("VERSION");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.write_marker(&path),
            Err(e) => return Err(StoreError::io("read", &path)(e)),
        };
        let found = std::str::from_utf8(&text)
            .ok()
            .and_then(|t| t.strip_prefix(MARKER))
            .and_then(|t| t.trim_end().parse().ok());
        match found {
            Some(LAYOUT) => Ok(()),
            Some(found) => Err(StoreError::OtherLayout {
                root: self.root.clone(),
                found,
                ours: LAYOUT,
            }),
            None => Err(self.foreign("its VERSION file is not zako's".to_owned())),
        }
    }

    /// Claims the root, which must hold nothing but what another process of zako may be creating
    /// at this moment.
    fn write_marker(&self, path: &Path) -> Result<(), StoreError> {
        let entries = fs::read_dir(&self.root).map_err(StoreError::io("list", &self.root))?;
        for entry in entries {
            let entry = entry.map_err(StoreError::io("list", &self.root))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = ["VERSION", "tmp", "blake3", "sha256", "segments"].contains(&&*name)
                || name.starts_with(".zako-");
            if !ours {
                return Err(self.foreign(format!("it has no VERSION file, but `{name}`")));
            }
        }
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".zako-version-")
                .tempfile_in(&self.root)?;
            file.write_all(format!("{MARKER}{LAYOUT}\n").as_bytes())?;
            set_mode(file.path(), 0o644)?;
            file.persist(path).map_err(|e| e.error)?;
            Ok(())
        };
        write().map_err(StoreError::io("write", path))
    }

    fn foreign(&self, found: String) -> StoreError {
        StoreError::Foreign {
            root: self.root.clone(),
            found,
        }
    }

    /// Best effort: what can't be listed or removed is left.
    fn clear_temporary(&self, now: SystemTime) {
        let Ok(entries) = fs::read_dir(&self.tmp) else {
            return;
        };
        for entry in entries.flatten() {
            let Ok(modified) = entry.metadata().and_then(|m| m.modified()) else {
                continue;
            };
            let age = now.duration_since(modified).unwrap_or_default();
            let name = entry.file_name();
            let pid = name
                .to_str()
                .and_then(|n| n.split_once('-'))
                .and_then(|(pid, _)| pid.parse().ok());
            if age > ABANDONED_AFTER || (age > STALE_AFTER && !pid.is_some_and(is_alive)) {
                tracing::debug!(path = %entry.path().display(), "removing a stale temporary file");
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(unix)]
fn is_alive(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else {
        return false;
    };
    // EPERM: it lives, and is another user's.
    !matches!(
        rustix::process::test_kill_process(pid),
        Err(rustix::io::Errno::SRCH)
    )
}

#[cfg(not(unix))]
fn is_alive(_pid: i32) -> bool {
    true
}

/// Sets the permission bits where there are such; elsewhere the read-only flag.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    #[cfg(not(unix))]
    let permissions = {
        let mut permissions = fs::metadata(path)?.permissions();
        permissions.set_readonly(mode & 0o200 == 0);
        permissions
    };
    fs::set_permissions(path, permissions)
}
