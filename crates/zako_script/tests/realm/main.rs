//! Scripts in real realms: what they can do, what they cannot, and how they fail.
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod declared;
mod escapes;
mod evaluate;
mod frozen;
mod hermetic;
mod limits;
mod pools;
mod reach;
mod rules;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use zako_path::NeutralPath;
use zako_script::engine::{Entry, refused};
use zako_script::{
    CompiledModule, Evaluated, Evaluation, Host, HostCall, HostFailure, Limits, LogLevel,
    ModuleKind, ModuleSet, Place, ScriptEngine, ScriptEngineOptions, ScriptError, Specifier,
    TranspileRequest, Transpiler,
};

/// One engine and one transpiler for all tests of this process, as an embedder would have.
static ENGINE: LazyLock<ScriptEngine> =
    LazyLock::new(|| ScriptEngine::new(ScriptEngineOptions::default()));
static TRANSPILER: LazyLock<Transpiler> = LazyLock::new(|| Transpiler::new(2));

/// What a test's host saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) logs: Vec<(LogLevel, String, Option<String>)>,
    pub(crate) declared: Vec<(Json, Option<String>)>,
    pub(crate) analyzed: Vec<Json>,
    pub(crate) actions: Vec<Json>,
    pub(crate) depsets: Vec<Json>,
    pub(crate) blamed: Vec<Json>,
}

/// A host that records, and answers as a package called `pkg` would.
#[derive(Clone, Default)]
pub(crate) struct TestHost {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) analysis: Json,
}

impl Host for TestHost {
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        let mut seen = self.seen.lock();
        match call.name {
            "declare" => {
                seen.declared
                    .push((call.args, call.place.map(|p| p.to_string())));
                Ok(json!(seen.declared.len() - 1))
            }
            "source" => Ok(json!(format!(
                "pkg/{}",
                call.args["path"].as_str().unwrap()
            ))),
            "config" => Ok(Json::Null),
            "analysis" => Ok(self.analysis.clone()),
            "analyzing" => Ok(Json::Null),
            "blame" => {
                seen.blamed.push(call.args["path"].clone());
                Ok(Json::Null)
            }
            "depset" => {
                seen.depsets.push(call.args);
                Ok(json!(format!("{:032x}", seen.depsets.len())))
            }
            "action" => {
                let action = call.args["action"].clone();
                seen.actions.push(action);
                Ok(Json::Null)
            }
            "analyzed" => {
                let mut result = call.args;
                result["actions"] = Json::Array(std::mem::take(&mut seen.actions));
                seen.analyzed.push(result);
                Ok(Json::Null)
            }
            _ => Err(refused(&call)),
        }
    }

    fn log(&mut self, level: LogLevel, message: &str, place: Option<&Place>) {
        self.seen
            .lock()
            .logs
            .push((level, message.to_owned(), place.map(ToString::to_string)));
    }
}

/// Modules by path, the way the engine's owner prepares them.
pub(crate) async fn modules(files: &[(&str, &str)]) -> Result<ModuleSet, ScriptError> {
    let mut set = ModuleSet::default();
    for (path, source) in files {
        let path = NeutralPath::new(*path).unwrap();
        let kind = ModuleKind::of(&path).unwrap();
        let specifier = Specifier::File(path.clone());
        let request = TranspileRequest {
            file: path.to_string(),
            source: (*source).into(),
            identity: (kind != ModuleKind::Build).then(|| specifier.to_string()),
            frozen: kind.is_shared(),
        };
        let out = TRANSPILER.transpile(request).await?;
        let imports: HashMap<String, Specifier> = out
            .imports
            .iter()
            .map(|i| {
                (
                    i.specifier.clone(),
                    specifier.resolve(&i.specifier).unwrap(),
                )
            })
            .collect();
        set.insert(Arc::new(CompiledModule {
            specifier,
            js: out.js.clone(),
            map: out.map.clone(),
            source: out.source.clone(),
            imports,
        }));
    }
    Ok(set)
}

/// An evaluation of the first of `files`.
pub(crate) async fn evaluation(
    files: &[(&str, &str)],
    host: impl Host + 'static,
    limits: Option<Limits>,
) -> Result<Evaluation, ScriptError> {
    Ok(Evaluation {
        modules: modules(files).await?,
        entry: Entry::Exports(Specifier::File(NeutralPath::new(files[0].0).unwrap())),
        host: Box::new(host),
        limits,
    })
}

/// Evaluates the first of `files`.
pub(crate) async fn evaluate_with(
    files: &[(&str, &str)],
    host: impl Host + 'static,
    limits: Option<Limits>,
) -> Result<Evaluated, ScriptError> {
    let evaluation = evaluation(files, host, limits).await?;
    ENGINE.evaluate(evaluation, &CancellationToken::new()).await
}

/// Evaluates `source` as `pkg/BUILD.ts`.
pub(crate) async fn evaluate(source: &str) -> Result<Evaluated, ScriptError> {
    evaluate_with(&[("pkg/BUILD.ts", source)], TestHost::default(), None).await
}

/// The export `name`, in wire form.
pub(crate) fn export(evaluated: &Evaluated, name: &str) -> String {
    let value = evaluated.exports.iter().find(|(export, _)| export == name);
    value
        .unwrap_or_else(|| panic!("no export {name} in {:?}", evaluated.exports))
        .1
        .to_wire()
}
