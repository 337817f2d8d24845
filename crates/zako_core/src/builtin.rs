//! Builtin modules that an embedder brings.

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

/// A function of the embedder's that a builtin calls: JSON in, JSON out; an error's text is thrown to the script.
/// It must give the same answer for the same arguments within one build: results are kept.
pub type HostFunction = Arc<dyn Fn(&Json) -> Result<Json, String> + Send + Sync>;

/// A module that scripts import by name, as `import { host } from "acme:env"`.
#[derive(Clone)]
pub struct BuiltinModule {
    /// Its specifier: a scheme of the embedder's own, as `acme:env`.
    pub specifier: String,
    /// Its TypeScript source. It may import builtins, and `call` from `zako:host` to reach `functions`.
    pub source: String,
    /// What `call(name, args)` in it reaches, by name.
    pub functions: Vec<(String, HostFunction)>,
}

impl BuiltinModule {
    /// A module of that source, without functions.
    pub fn new(specifier: impl Into<String>, source: impl Into<String>) -> Self {
        BuiltinModule {
            specifier: specifier.into(),
            source: source.into(),
            functions: Vec::new(),
        }
    }

    /// The same with one function more.
    #[must_use]
    pub fn function(
        mut self,
        name: impl Into<String>,
        function: impl Fn(&Json) -> Result<Json, String> + Send + Sync + 'static,
    ) -> Self {
        self.functions.push((name.into(), Arc::new(function)));
        self
    }
}

impl fmt::Debug for BuiltinModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<&str> = self
            .functions
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        f.debug_struct("BuiltinModule")
            .field("specifier", &self.specifier)
            .field("functions", &functions)
            .finish()
    }
}
