//! What another process would begin with.

use std::path::Path;
use std::sync::Arc;

use zako_core::{GlobalState, GlobalStateOptions};

pub(crate) fn global(cache: &Path) -> Arc<GlobalState> {
    GlobalState::new(GlobalStateOptions::new(cache)).unwrap()
}
