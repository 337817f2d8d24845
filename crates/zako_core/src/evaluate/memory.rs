//! A text that is no file, evaluated by itself: what an embedder, or `zako eval -`, has in hand.
//!
//! No node of the graph: it depends on nothing but itself and the invocation.

use std::collections::HashMap;
use std::sync::Arc;

use zako_script::engine::Entry;
use zako_script::{
    CompiledModule, Evaluation, ModuleKind, ModuleSet, Specifier, TranspileRequest, Value,
};

use super::Services;
use super::host::PackageHost;
use super::module::add_builtins;
use crate::diagnostic::{Diagnostic, Location};

/// The exports of `source`, and what it logged.
pub(crate) async fn evaluate_text(
    services: &Arc<Services>,
    name: &str,
    source: &str,
) -> Result<(Vec<(String, Value)>, Vec<Diagnostic>), Diagnostic> {
    let specifier = Specifier::Memory(name.to_owned());
    let shown = specifier.shown();
    let request = TranspileRequest {
        file: shown.clone(),
        source: source.into(),
        identity: None,
        frozen: false,
    };
    let code = services.transpiler.transpile(request).await?;
    let mut imports = HashMap::new();
    let mut builtins = Vec::new();
    for import in &code.imports {
        let resolved = match specifier.resolve(&import.specifier) {
            Ok(Specifier::Builtin(name)) => services
                .builtins
                .admit(&name, ModuleKind::Memory)
                .map(|()| Specifier::Builtin(name)),
            Ok(_) => {
                let message = format!(
                    "{} may not import \"{}\": it may import builtins only",
                    ModuleKind::Memory.noun(),
                    import.specifier
                );
                Err(zako_script::module::ResolveFault {
                    message,
                    help: Some("put it into a file of the workspace".to_owned()),
                })
            }
            Err(fault) => Err(fault),
        };
        let resolved = resolved.map_err(|fault| {
            let mut error = Diagnostic::user(fault.message)
                .at(Location::new(&import.place, Some(code.source.clone())));
            error.help = fault.help;
            error
        })?;
        if let Specifier::Builtin(name) = &resolved {
            builtins.push(name.clone());
        }
        imports.insert(import.specifier.clone(), resolved);
    }
    let mut modules = ModuleSet::default();
    add_builtins(
        services,
        builtins.iter().map(String::as_str).collect(),
        &mut modules,
    );
    modules.insert(Arc::new(CompiledModule {
        specifier: specifier.clone(),
        js: code.js.clone(),
        map: code.map.clone(),
        source: code.source.clone(),
        imports,
    }));
    let (host, recorded) = PackageHost::new(services.clone(), None);
    let evaluation = Evaluation {
        modules,
        entry: Entry::Exports(specifier),
        host: Box::new(host),
        limits: None,
    };
    let done = services
        .engine
        .evaluate(evaluation, &services.cancel)
        .await
        .map_err(|error| Diagnostic::from(error).with_trace(format!("in {shown}")))?;
    let mut logs = std::mem::take(&mut recorded.lock().logs);
    for location in logs.iter_mut().filter_map(|log| log.location.as_mut()) {
        if location.file == shown {
            location.source = Some(code.source.clone());
        }
    }
    Ok((done.exports, logs))
}
