//! What all sessions of a process share: interner, store, pools. It owns the parts and holds no logic.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::options::GlobalStateOptions;

/// The parts that every session uses.
pub struct GlobalState {
    options: GlobalStateOptions,
}

impl GlobalState {
    /// Makes the parts; several may exist in one process.
    pub fn new(options: GlobalStateOptions) -> Result<Arc<GlobalState>, Diagnostic> {
        Ok(Arc::new(GlobalState { options }))
    }

    /// What it was made with.
    pub fn options(&self) -> &GlobalStateOptions {
        &self.options
    }
}
