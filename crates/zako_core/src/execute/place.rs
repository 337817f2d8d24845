//! Outputs in the workspace: making room for them, moving them there, restoring them from the store.
//!
//! **Invariants:** at an output's path stands nothing, or the whole of it, never a part. A file that zako did not write
//! is not touched, except below `zako-out/`, which is zako's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use zako_action::{ArtifactValue, OutputFile, Produced};
use zako_cas::{MaterialiseMode, Store, StoreError, TreeError};
use zako_path::NeutralPath;

use crate::diagnostic::Diagnostic;
use crate::files::{FileError, Files};
use crate::ledger::SharedLedger;
use crate::workspace::{OUTPUT_DIR, is_in_output};

/// Why an output is not in its place.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// Something stands there that zako did not write.
    #[error(
        "`{0}` is in the way: it is an output, but the file that is there was not written by zako"
    )]
    InTheWay(NeutralPath),
    /// The folder of an output is behind a link that leads out of the workspace.
    #[error("`{path}` would be written to {}, which is outside of the workspace", folder.display())]
    Escapes { path: NeutralPath, folder: PathBuf },
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        verb: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl PlaceError {
    fn io<'a>(verb: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PlaceError + 'a {
        move |source| PlaceError::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether a blob is gone from the store, so that the action has to run.
    pub(super) fn is_missing_blob(&self) -> bool {
        matches!(
            self,
            PlaceError::Store(StoreError::Missing(_))
                | PlaceError::Tree(
                    TreeError::Missing(_) | TreeError::Store(StoreError::Missing(_))
                )
        )
    }
}

impl From<PlaceError> for Diagnostic {
    fn from(error: PlaceError) -> Self {
        let message = error.to_string();
        match error {
            PlaceError::InTheWay(path) => Diagnostic::user(message).with_help(format!(
                "move or delete `{path}`, or give the output another name; a file that a person keeps is no output"
            )),
            PlaceError::Escapes { .. } => Diagnostic::user(message).with_help("outputs stay in the workspace"),
            _ => Diagnostic::environment(message),
        }
    }
}

/// From how many bytes on an output is moved away first and removed while its action runs: giving back its blocks takes a file
/// system longer than all else that is done before.
const LARGE: u64 = 64 << 10;

/// Where outputs go.
pub(super) struct Places {
    root: Arc<Path>,
    /// Where outputs are in the making: what is left there is nobody's.
    staging: PathBuf,
    /// How many folders were made there.
    staged: AtomicUsize,
    /// Large outputs of earlier runs, moved there to be removed.
    old: Mutex<Vec<PathBuf>>,
    ledger: SharedLedger,
}

impl Places {
    pub(super) fn new(root: Arc<Path>, staging: PathBuf, ledger: SharedLedger) -> Self {
        Places {
            root,
            staging,
            staged: AtomicUsize::new(0),
            old: Mutex::default(),
            ledger,
        }
    }

    /// Takes note that what stands at `path` now is zako's: it is exactly what an action writes there.
    fn adopt(&self, path: &NeutralPath) {
        if !is_own(path)
            && let Err(error) = self.ledger.lock().claim(path.as_str())
        {
            tracing::warn!(%path, %error, "cannot write down what zako wrote");
        }
    }

    /// Removes what is at `path`, and makes the folder above.
    pub(super) fn make_room(&self, path: &NeutralPath) -> Result<(), PlaceError> {
        let place = self.enter(path)?;
        remove_all(&place).map_err(PlaceError::io("remove", &place))
    }

    /// The same for an action that is about to run: what takes long to remove is moved away, to be removed [meanwhile](Self::old).
    pub(super) fn make_room_to_run(&self, path: &NeutralPath) -> Result<(), PlaceError> {
        let place = self.enter(path)?;
        if self.move_away(&place) {
            return Ok(());
        }
        remove_all(&place).map_err(PlaceError::io("remove", &place))
    }

    /// Makes the folder above `path`, if what is there may be replaced; gives the place of `path`.
    fn enter(&self, path: &NeutralPath) -> Result<PathBuf, PlaceError> {
        let place = path.to_os_path(&self.root);
        let is_own = is_own(path);
        if !is_own {
            let mut ledger = self.ledger.lock();
            if !ledger.is_claimed(path.as_str()) && fs::symlink_metadata(&place).is_ok() {
                return Err(PlaceError::InTheWay(path.clone()));
            }
            ledger
                .claim(path.as_str())
                .map_err(PlaceError::io("write what zako wrote for", &place))?;
        }
        let mut above: Vec<NeutralPath> = path
            .ancestors()
            .skip(1)
            .filter(|above| !above.is_root())
            .collect();
        above.reverse();
        for folder in &above {
            let at = folder.to_os_path(&self.root);
            match fs::symlink_metadata(&at) {
                Err(_) => break,
                Ok(found) if found.is_dir() => {}
                // A person may have put all of `zako-out` elsewhere.
                Ok(found)
                    if found.is_symlink()
                        && (!is_own || folder.as_str() == OUTPUT_DIR)
                        && at.is_dir() => {}
                Ok(_) if is_own => fs::remove_file(&at).map_err(PlaceError::io("remove", &at))?,
                Ok(_) => return Err(PlaceError::InTheWay(folder.clone())),
            }
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(PlaceError::io("create", folder))?;
            if !is_own {
                let real = fs::canonicalize(folder).map_err(PlaceError::io("read", folder))?;
                if !real.starts_with(&self.root) {
                    return Err(PlaceError::Escapes {
                        path: path.clone(),
                        folder: real,
                    });
                }
            }
        }
        Ok(place)
    }

    /// Moves a large file away; `false` when it stays where it is.
    fn move_away(&self, place: &Path) -> bool {
        let is_large = |found: fs::Metadata| found.is_file() && found.len() >= LARGE;
        if !fs::symlink_metadata(place).is_ok_and(is_large) {
            return false;
        }
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let old = self.staging.join(format!("old-{number}"));
        let is_moved = fs::rename(place, &old).is_ok();
        if is_moved {
            self.old.lock().push(old);
        }
        is_moved
    }

    /// What was moved away, for [`remove_old`].
    pub(super) fn old(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.old.lock())
    }

    /// Whether `output` stands in its place already.
    pub(super) fn is_in_place(
        &self,
        files: &Files,
        output: &OutputFile,
    ) -> Result<bool, FileError> {
        let is = files
            .value(&output.path)?
            .is_some_and(|found| found.value == output.value);
        if is {
            self.adopt(&output.path);
        }
        Ok(is)
    }

    /// Puts `output` in its place from the store.
    pub(super) fn restore(
        &self,
        files: &Files,
        store: &Store,
        output: &OutputFile,
    ) -> Result<(), PlaceError> {
        self.make_room(&output.path)?;
        files.forget(&output.path);
        let place = output.path.to_os_path(&self.root);
        match &output.value {
            ArtifactValue::File { digest, executable } => {
                let (mode, executable) = (MaterialiseMode::Reflink, *executable);
                let made =
                    store.materialise_through(&self.staging, digest, &place, mode, executable);
                match made {
                    // `zako-out` is on another disk.
                    Err(StoreError::Io { source, .. })
                        if source.kind() == io::ErrorKind::CrossesDevices =>
                    {
                        store.materialise(digest, &place, mode, executable)?;
                    }
                    made => made?,
                }
            }
            ArtifactValue::Directory { tree } => {
                let number = self.staged.fetch_add(1, Ordering::Relaxed);
                let staged = self.staging.join(format!("tree-{number}"));
                store.materialise_tree(tree, &staged, MaterialiseMode::Reflink)?;
                match fs::rename(&staged, &place) {
                    Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                        store.materialise_tree(tree, &place, MaterialiseMode::Reflink)?;
                    }
                    renamed => renamed.map_err(PlaceError::io("write", &place))?,
                }
            }
            ArtifactValue::Symlink { target } => {
                crate::system::symlink(target, &place).map_err(PlaceError::io("link", &place))?;
            }
        }
        files.put(&output.path, &output.value)?;
        Ok(())
    }

    /// Moves what an action wrote to its place.
    pub(super) fn take(
        &self,
        files: &Files,
        store: &Store,
        produced: &Produced,
    ) -> Result<(), PlaceError> {
        let output = &produced.file;
        let Some(from) = &produced.produced_at else {
            return self.restore(files, store, output);
        };
        let place = output.path.to_os_path(&self.root);
        if let ArtifactValue::File { executable, .. } = output.value {
            // As it would come out of the store.
            let mode = if executable { 0o755 } else { 0o644 };
            crate::system::set_mode(from, mode).map_err(PlaceError::io("set the mode of", from))?;
        }
        if *from != place {
            self.make_room(&output.path)?;
            match fs::rename(from, &place) {
                Ok(()) => {}
                // `zako-out` is on another disk.
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    return self.restore(files, store, output);
                }
                Err(error) => return Err(PlaceError::io("write", &place)(error)),
            }
        }
        files.put(&output.path, &output.value)?;
        Ok(())
    }
}

/// Whether `path` is below the folder that is all zako's.
fn is_own(path: &NeutralPath) -> bool {
    is_in_output(path)
}

/// Removes old outputs that were [moved away](Places::old).
pub(super) fn remove_old(old: &[PathBuf]) {
    for place in old {
        if let Err(error) = fs::remove_file(place) {
            // The next build clears that folder.
            tracing::debug!(path = %place.display(), %error, "cannot remove an old output");
        }
    }
}

/// Makes an empty folder of what is at `path`. One that is empty already is left alone: to a file system, a folder is costly.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if is_folder && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    }
    remove_all(path)?;
    fs::create_dir_all(path)
}

/// Removes a file, a link, or a folder with all that is in it, even one whose permissions were taken away.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) => Err(error),
        Ok(found) if !found.is_dir() => fs::remove_file(path),
        Ok(_) => fs::remove_dir_all(path).or_else(|error| {
            if error.kind() != io::ErrorKind::PermissionDenied {
                return Err(error);
            }
            let mut folders = vec![path.to_owned()];
            while let Some(folder) = folders.pop() {
                crate::system::set_mode(&folder, 0o700)?;
                for entry in fs::read_dir(&folder)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        folders.push(entry.path());
                    }
                }
            }
            fs::remove_dir_all(path)
        }),
    };
    match removed {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Removes the folders above `path` in `zako-out/` that hold nothing any more.
pub(crate) fn remove_empty_folders(root: &Path, path: &NeutralPath) {
    for folder in path.ancestors().skip(1) {
        let is_own = is_in_output(&folder) && folder.as_str() != OUTPUT_DIR;
        // Fails where something is left, which is where to stop.
        if !is_own || fs::remove_dir(folder.to_os_path(root)).is_err() {
            break;
        }
    }
}
