//! Rule modules: what one needs to run, and a fingerprint of all the code that its rules can run.

use std::sync::Arc;

use zako_graph::{Ctx, Key, Request};
use zako_path::{InternedPath, NeutralPath};
use zako_script::{ModuleSet, Specifier};

use crate::codec::{Fingerprint, encoded, fingerprint};
use crate::diagnostic::Diagnostic;
use crate::evaluate::{
    Faults, Services, about, add_builtins, closure, fault, graph_fault, identity, module_set,
};

/// What a rule module needs to run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RuleModule(pub(crate) InternedPath);

impl Key for RuleModule {
    type Value = Result<Arc<ModuleSet>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let (services, path) = about(ctx, self.0)?;
        let closure = closure(ctx, &path).await?;
        Ok(Arc::new(module_set(&services, &closure)))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// A fingerprint of the code of a rule module and all that it imports, so that nobody needs that code to know that it
/// is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RuleCode(pub(crate) InternedPath);

impl Key for RuleCode {
    type Value = Result<Fingerprint, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let set = ctx
            .get(&RuleModule(self.0))
            .await
            .map_err(|e| fault(graph_fault(&e)))??;
        Ok(code_fingerprint(&set))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// Over what the modules do when they run: their names, code and imports. Source maps say only where it stood.
pub(crate) fn code_fingerprint(set: &ModuleSet) -> Fingerprint {
    let parts = module_parts(set).into_iter();
    let code: Vec<_> = parts.map(|(name, (code, _map))| (name, code)).collect();
    fingerprint(&encoded(&code))
}

/// A module's code and what its imports mean.
type Code = (Arc<str>, Vec<(String, String)>);

/// All that a set of modules is, in order: each one's name, its code and its source map.
pub(crate) fn module_parts(set: &ModuleSet) -> Vec<(String, (Code, Arc<str>))> {
    let mut parts: Vec<_> = set
        .iter()
        .map(|module| {
            let mut imports: Vec<(String, String)> = module
                .imports
                .iter()
                .map(|(text, meaning)| (text.clone(), meaning.url()))
                .collect();
            imports.sort();
            let code = (module.js.clone(), imports);
            (module.specifier.url(), (code, module.map.clone()))
        })
        .collect();
    parts.sort();
    parts
}

/// A rule module, by the name that targets know it by: `//path` or a builtin.
enum Named {
    File(NeutralPath),
    Builtin(String),
}

impl Named {
    fn parse(module: &str) -> Result<Named, Faults> {
        match module.strip_prefix("//") {
            Some(path) => NeutralPath::new(path)
                .map(Named::File)
                .map_err(|e| fault(Diagnostic::user(e.to_string()))),
            None => Ok(Named::Builtin(module.to_owned())),
        }
    }
}

/// What tells the rules of `module` from others: its code, and zako's own.
pub(super) async fn rule_identity(
    ctx: &Request,
    services: &Services,
    module: &str,
) -> Result<Fingerprint, Faults> {
    let code = match Named::parse(module)? {
        Named::File(path) => {
            let key = RuleCode(services.intern(&path).map_err(fault)?);
            ctx.get(&key).await.map_err(|e| fault(graph_fault(&e)))??
        }
        // All builtins are in the identity.
        Named::Builtin(_) => Fingerprint::default(),
    };
    let zako = identity(&services.builtins, &services.functions);
    Ok(fingerprint(&encoded(&(zako, hex::encode(code)))))
}

/// The module's name, and what it needs to run.
pub(super) async fn rule_modules(
    ctx: &Request,
    services: &Services,
    module: &str,
) -> Result<(Specifier, ModuleSet), Faults> {
    match Named::parse(module)? {
        Named::File(path) => {
            let key = RuleModule(services.intern(&path).map_err(fault)?);
            let set = ctx.get(&key).await.map_err(|e| fault(graph_fault(&e)))??;
            Ok((Specifier::File(path), ModuleSet::clone(&set)))
        }
        Named::Builtin(name) => {
            let mut set = ModuleSet::default();
            add_builtins(services, vec![&name], &mut set);
            Ok((Specifier::Builtin(name), set))
        }
    }
}

/// A script action's module with all that it needs to run.
pub(crate) async fn script_modules(
    ctx: &Request,
    services: &Services,
    path: &NeutralPath,
) -> Result<(Specifier, ModuleSet), Faults> {
    rule_modules(ctx, services, &format!("//{path}")).await
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zako_script::CompiledModule;

    use super::*;

    fn set(name: &str, js: &str, map: &str, imported: &str) -> ModuleSet {
        let mut set = ModuleSet::default();
        set.insert(Arc::new(CompiledModule {
            specifier: Specifier::Builtin(name.to_owned()),
            js: js.into(),
            map: map.into(),
            source: "".into(),
            imports: HashMap::from([("x:y".to_owned(), Specifier::Builtin(imported.to_owned()))]),
        }));
        set
    }

    #[test]
    fn code_is_told_apart_and_places_are_not() {
        let base = code_fingerprint(&set("a:b", "1", "m", "x:y"));
        assert_eq!(base, code_fingerprint(&set("a:b", "1", "n", "x:y")));
        assert_ne!(base, code_fingerprint(&set("a:c", "1", "m", "x:y")));
        assert_ne!(base, code_fingerprint(&set("a:b", "2", "m", "x:y")));
        assert_ne!(base, code_fingerprint(&set("a:b", "1", "m", "x:z")));
        assert_ne!(base, code_fingerprint(&ModuleSet::default()));
    }
}
