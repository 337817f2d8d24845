//! What a watched session has at hand between two builds: what is known, and what it was told and did not look at yet.
//!
//! **Invariant:** what is known is used again only if nobody else has written to the workspace's state since; a path that was
//! told stays owed until a build that knew of it has come to its end.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ledger::{Appearance, Ledger};
use crate::session::state_of;
use crate::watch::Changes;

/// What was told to have changed, and no build has looked at to its end.
#[derive(Clone, Default)]
pub(crate) struct Owed(Arc<Mutex<Changes>>);

impl Owed {
    /// Adds `changes`; gives all that is owed.
    pub(crate) fn add(&self, changes: &Changes) -> Changes {
        let mut owed = self.0.lock();
        owed.extend(changes.clone());
        owed.clone()
    }

    /// A build has looked at these.
    pub(crate) fn settle(&self, seen: &Changes) {
        let mut owed = self.0.lock();
        owed.paths.retain(|path| !seen.paths.contains(path));
        owed.all &= !seen.all;
    }
}

/// The ledger between two builds of a session.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Option<(Ledger, Appearance)>>>);

impl Kept {
    /// The ledger, unless somebody else has written there since.
    pub(crate) fn take(&self, root: &Path) -> Option<Ledger> {
        let (ledger, appearance) = self.0.lock().take()?;
        (Appearance::of(&state_of(root)) == appearance).then_some(ledger)
    }

    pub(crate) fn put(&self, root: &Path, ledger: Ledger) {
        *self.0.lock() = Some((ledger, Appearance::of(&state_of(root))));
    }
}
