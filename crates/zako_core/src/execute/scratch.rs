//! Scratch folders of actions, used again under the next action's name.
//!
//! Making a folder takes a file system longer than all else that is done around a short action, and the longer the more were
//! removed just before; renaming one costs nearly nothing. What an action finds is checked by its executor.
//!
//! **Invariant:** a folder is one action's at a time, and when the execution ends no more are left than there are processors, all
//! empty.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use zako_action::ExecuteError;

use super::place::remove_all;

/// The scratch folders of one execution.
#[derive(Debug)]
pub(super) struct ScratchFolders {
    /// Where those are that wait for the next execution.
    spare: PathBuf,
    /// Those that no action has now; at most as many as were in use at once.
    free: Mutex<Vec<PathBuf>>,
}

impl ScratchFolders {
    /// Those that an earlier execution left in the folder `spare`, for this one to use and to leave for the next.
    pub(super) fn from(spare: PathBuf) -> Self {
        let left = std::fs::read_dir(&spare).into_iter().flatten().flatten();
        let free = left.map(|entry| entry.path()).collect();
        ScratchFolders {
            spare,
            free: Mutex::new(free),
        }
    }

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

    /// Leaves a few of those that are free for the next execution, if they are as good as new, and removes the others.
    pub(super) fn clear(&self) -> io::Result<()> {
        let mut free = std::mem::take(&mut *self.free.lock());
        // Those that were never used have their places there already.
        free.sort_by_key(|place| !place.starts_with(&self.spare));
        for (number, place) in free.iter().enumerate() {
            if number < zako_exec::processors() && self.keep(place, number).is_ok() {
                continue;
            }
            remove_all(place)?;
        }
        Ok(())
    }

    fn keep(&self, place: &Path, number: usize) -> io::Result<()> {
        if !zako_exec::is_spare(place) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if place.starts_with(&self.spare) {
            return Ok(());
        }
        let at = self.spare.join(number.to_string());
        std::fs::rename(place, &at).or_else(|_| {
            std::fs::create_dir_all(&self.spare)?;
            std::fs::rename(place, &at)
        })
    }
}
