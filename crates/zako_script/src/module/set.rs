//! The closed set of modules that one evaluation is given.
//!
//! **Invariant:** every import of every module in a set is resolved and in the set, or is a builtin, so
//! that loading never asks for anything while V8 runs.

use std::collections::HashMap;
use std::sync::Arc;

use super::Specifier;

/// A module ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledModule {
    /// Its name.
    pub specifier: Specifier,
    /// Its JavaScript.
    pub js: Arc<str>,
    /// The source map from `js` to `source`, JSON; empty for generated modules.
    pub map: Arc<str>,
    /// The text that its author wrote; empty for generated modules, and for those whose file can be read again.
    pub source: Arc<str>,
    /// What each specifier in it means.
    pub imports: HashMap<String, Specifier>,
}

/// Modules by the URL under which V8 knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleSet {
    modules: HashMap<String, Arc<CompiledModule>>,
}

impl ModuleSet {
    /// Adds a module, in place of one of the same name.
    pub fn insert(&mut self, module: Arc<CompiledModule>) {
        self.modules.insert(module.specifier.url(), module);
    }

    /// The module at `url`.
    pub fn get(&self, url: &str) -> Option<&Arc<CompiledModule>> {
        self.modules.get(url)
    }

    /// Whether the module is in the set.
    pub fn contains(&self, specifier: &Specifier) -> bool {
        self.modules.contains_key(&specifier.url())
    }

    /// All modules, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CompiledModule>> {
        self.modules.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }
}
