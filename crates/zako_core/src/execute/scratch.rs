//! Scratch folders of actions, used again under the next action's name.
//!
//! Making a folder takes a file system longer than all else that is done around a short action, and the longer the more were
//! removed just before; renaming one costs nearly nothing. What an action finds is checked by its executor.
//!
//! **Invariant:** a folder is one action's at a time, and none is left when the execution ends.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use zako_action::ExecuteError;

use super::place::remove_all;

/// The scratch folders of one execution.
#[derive(Debug, Default)]
pub(super) struct ScratchFolders {
    /// Those that no action has now; at most as many as were in use at once.
    free: Mutex<Vec<PathBuf>>,
}

impl ScratchFolders {
    /// Moves a folder that is free to `place`, which is another action's; when there is none, nothing is there.
    pub(super) fn take(&self, place: &Path) {
        let free = self.free.lock().pop();
        if let Some(free) = free
            && let Err(error) = std::fs::rename(&free, place)
        {
            // The executor makes a new one.
            tracing::debug!(path = %free.display(), %error, "cannot use a scratch folder again");
            self.free.lock().push(free);
        }
    }

    /// The action that had `place` is done with it; what it made of its input root goes.
    pub(super) fn give_back(&self, place: PathBuf) -> Result<(), ExecuteError> {
        zako_exec::recycle(&place)?;
        self.free.lock().push(place);
        Ok(())
    }

    /// Removes those that are free.
    pub(super) fn clear(&self) -> io::Result<()> {
        let free = std::mem::take(&mut *self.free.lock());
        free.iter().try_for_each(|place| remove_all(place))
    }
}
