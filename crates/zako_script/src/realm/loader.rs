//! Serves V8 the modules of one closed set, and nothing else.

use std::borrow::Cow;
use std::sync::Arc;

use deno_core::{
    ModuleLoadOptions, ModuleLoadReferrer, ModuleLoadResponse, ModuleLoader, ModuleSource,
    ModuleSourceCode, ModuleSpecifier, ModuleType, ResolutionKind,
};
use deno_error::JsErrorBox;

use super::ops::is_user_url;
use crate::module::ModuleSet;

/// What a module imports to see its own namespace (the transpiler's trailer does).
const SELF: &str = "zako:self";
/// What else that trailer imports.
const IDENTITY: &str = "zako:internal/identity";

pub(super) struct SetLoader {
    modules: Arc<ModuleSet>,
}

impl SetLoader {
    pub(super) fn new(modules: Arc<ModuleSet>) -> Self {
        SetLoader { modules }
    }
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
            .modules
            .get(referrer)
            .and_then(|module| module.imports.get(specifier));
        match resolved {
            Some(resolved) => url(&resolved.url()),
            // Written by the engine: nothing but the trailer in a module of a user's, anything in its own.
            None if specifier == IDENTITY
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
        ModuleLoadResponse::Sync(match self.modules.get(specifier.as_str()) {
            Some(module) => Ok(ModuleSource::new(
                ModuleType::JavaScript,
                ModuleSourceCode::String(module.js.clone().into()),
                specifier,
                None,
            )),
            None => Err(JsErrorBox::type_error(format!(
                "there is no module \"{specifier}\""
            ))),
        })
    }

    fn get_source_map(&self, file_name: &str) -> Option<Cow<'_, [u8]>> {
        let module = self.modules.get(file_name)?;
        (!module.map.is_empty()).then(|| Cow::Borrowed(module.map.as_bytes()))
    }
}
