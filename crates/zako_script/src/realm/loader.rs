//! Serves V8 the modules of one closed set, and nothing else.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use deno_core::{
    ModuleLoadOptions, ModuleLoadReferrer, ModuleLoadResponse, ModuleLoader, ModuleSource,
    ModuleSourceCode, ModuleSpecifier, ModuleType, ResolutionKind,
};
use deno_error::JsErrorBox;
use sourcemap::SourceMap;

use super::ops::is_user_url;
use crate::inspect::Sources;
use crate::module::{CompiledModule, ModuleSet};

/// What a module imports to see its own namespace (the transpiler's trailer does).
const SELF: &str = "zako:self";
/// What else that trailer imports.
const TRAILER: [&str; 2] = ["zako:internal/identity", "zako:internal/settle"];

pub(super) struct SetLoader {
    /// Not there yet in a realm that stands by.
    modules: OnceCell<Arc<ModuleSet>>,
    /// Texts of sources, if a debugger looks on, which takes them from the module's own text.
    sources: Option<Sources>,
}

impl SetLoader {
    pub(super) fn new(sources: Option<Sources>) -> Self {
        SetLoader {
            modules: OnceCell::new(),
            sources,
        }
    }

    /// From now on these are its modules; a realm serves one set only.
    pub(super) fn serve(&self, modules: Arc<ModuleSet>) {
        let _one_set = self.modules.set(modules);
    }

    fn module(&self, specifier: &str) -> Option<&Arc<CompiledModule>> {
        self.modules.get()?.get(specifier)
    }
}

/// The module's code with the source map and the source in it.
fn debuggable(module: &CompiledModule, sources: &Sources) -> String {
    let js = &module.js;
    match with_source(module, sources) {
        Some(map) => format!("{js}\n//# sourceMappingURL={map}\n"),
        None => js.to_string(),
    }
}

/// The module's source map with the source in it, as an URL that is all data.
fn with_source(module: &CompiledModule, sources: &Sources) -> Option<String> {
    let mut map = SourceMap::from_slice(module.map.as_bytes()).ok()?;
    let text = match module.source.is_empty() {
        true => sources(&module.specifier.shown()),
        false => Some(module.source.to_string()),
    };
    map.set_source_contents(0, text.as_deref());
    map.to_data_url().ok()
}

fn url(text: &str) -> Result<ModuleSpecifier, JsErrorBox> {
    ModuleSpecifier::parse(text).map_err(JsErrorBox::from_err)
}

impl ModuleLoader for SetLoader {
    fn resolve(
        &self,
        specifier: &str,
        referrer: &str,
        kind: ResolutionKind,
    ) -> Result<ModuleSpecifier, JsErrorBox> {
        if matches!(kind, ResolutionKind::MainModule) {
            return url(specifier);
        }
        if specifier == SELF {
            return url(referrer);
        }
        let resolved = self
            .module(referrer)
            .and_then(|module| module.imports.get(specifier));
        match resolved {
            Some(resolved) => url(&resolved.url()),
            // Written by the engine: nothing but the trailer in a module of a user's, anything in its own.
            None if TRAILER.contains(&specifier)
                || specifier.starts_with("zako:") && !is_user_url(referrer) =>
            {
                url(specifier)
            }
            None => Err(JsErrorBox::type_error(format!(
                "\"{specifier}\" is not among this evaluation's modules"
            ))),
        }
    }

    fn load(
        &self,
        specifier: &ModuleSpecifier,
        _referrer: Option<&ModuleLoadReferrer>,
        _options: ModuleLoadOptions,
    ) -> ModuleLoadResponse {
        ModuleLoadResponse::Sync(match self.module(specifier.as_str()) {
            Some(module) => Ok(ModuleSource::new(
                ModuleType::JavaScript,
                ModuleSourceCode::String(match &self.sources {
                    Some(sources) => debuggable(module, sources).into(),
                    None => module.js.clone().into(),
                }),
                specifier,
                None,
            )),
            None => Err(JsErrorBox::type_error(format!(
                "there is no module \"{specifier}\""
            ))),
        })
    }

    fn get_source_map(&self, file_name: &str) -> Option<Cow<'_, [u8]>> {
        let module = self.module(file_name)?;
        (!module.map.is_empty()).then(|| Cow::Borrowed(module.map.as_bytes()))
    }
}
