//! Results of earlier builds: found by key, and put in place.
//!
//! **Invariant:** a result is used only when every blob that it names is in the store. One with files of this machine
//! in its list of what was read is found by its narrow key alone, which looks at them.

use zako_action::{
    ActionCache, ActionResult, ArtifactValue, CacheError, Discovered, DiscoveredPath, OutputFile,
    StrongKey,
};
use zako_cas::Store;

use super::place::{PlaceError, Places};
use super::prepare::Ready;
use crate::diagnostic::Diagnostic;
use crate::files::Files;

/// The recorded result that the narrow key of `ready` finds, if there is one that can be used.
pub(super) fn find_narrow(
    cache: &ActionCache,
    store: &Store,
    files: &Files,
    ready: &Ready,
) -> Result<Option<ActionResult>, CacheError> {
    let Some(narrow) = &ready.narrow else {
        return Ok(None);
    };
    let current = |path: &DiscoveredPath| match path {
        DiscoveredPath::Workspace(path) => match ready.action.staged.get(path) {
            Some(ArtifactValue::File { digest, .. }) => Some(*digest),
            _ => None,
        },
        DiscoveredPath::External(path) => files.external(path.as_ref()).ok().flatten(),
    };
    let found = cache.lookup_narrow(narrow, current)?;
    Ok(found.filter(|result| result.is_complete(store)))
}

/// The recorded result of this strong key, if there is one that can be used.
pub(super) fn find_strong(
    cache: &ActionCache,
    store: &Store,
    strong: &StrongKey,
) -> Result<Option<ActionResult>, CacheError> {
    let found = cache.lookup(strong)?;
    Ok(found.filter(|result| result.is_complete(store)))
}

/// Puts `outputs` in place; gives whether all were there already, or `None` when the store has lost one, so that the
/// action has to run.
pub(super) fn put(
    store: &Store,
    files: &Files,
    places: &Places,
    outputs: &[OutputFile],
) -> Result<Option<bool>, PlaceError> {
    let mut was_up_to_date = true;
    for output in outputs {
        // What can't be read as it is, is replaced.
        if places.is_in_place(files, output).unwrap_or(false) {
            continue;
        }
        was_up_to_date = false;
        match places.restore(files, store, output) {
            Ok(()) => {}
            Err(error) if error.is_missing_blob() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(was_up_to_date))
}

/// Records a good result under the keys that it may be found by.
pub(super) fn record(
    cache: &ActionCache,
    ready: &Ready,
    result: &ActionResult,
    discovered: Option<Vec<Discovered>>,
) -> Result<(), CacheError> {
    if let Some(strong) = ready.known_strong()
        && !result.is_local()
    {
        cache.record(strong, result)?;
    }
    if let (Some(narrow), Some(discovered)) = (&ready.narrow, discovered) {
        cache.record_narrow(narrow, discovered, result)?;
    }
    Ok(())
}

impl From<CacheFault> for Diagnostic {
    fn from(CacheFault(error): CacheFault) -> Self {
        match error {
            CacheError::Io { .. } => Diagnostic::environment(error.to_string()),
            _ => Diagnostic::error(crate::diagnostic::Fault::Bug, error.to_string()),
        }
    }
}

/// An error of the action cache, on its way to a person.
pub(super) struct CacheFault(pub(super) CacheError);
