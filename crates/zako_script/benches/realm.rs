//! What a script costs: a fresh context with a trivial module in it, a file transpiled by the pool against bare oxc, and a
//! thousand targets of one rule analysed together.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot run has nothing to say"
)]

// The same plain functions that the transpiler's threads run, without the pool and its cache.
#[path = "../src/transpile/lower.rs"]
#[expect(dead_code, reason = "only `lower` is measured")]
mod lower;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use zako_path::NeutralPath;
use zako_script::engine::{Entry, refused};
use zako_script::{
    CompiledModule, Evaluation, Host, HostCall, HostFailure, ModuleSet, ScriptEngine,
    ScriptEngineOptions, Specifier, TranspileRequest, Transpiler,
};

/// How many targets are analysed together.
const TARGETS: usize = 1000;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static ENGINE: LazyLock<ScriptEngine> =
    LazyLock::new(|| ScriptEngine::new(ScriptEngineOptions::default()));
static TRANSPILER: LazyLock<Transpiler> = LazyLock::new(|| Transpiler::new(2));

fn main() {
    divan::main();
}

/// Answers as the engine's owner does when rules are analysed, and forgets what they say.
struct AnalysisHost(Json);

impl Host for AnalysisHost {
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        match call.name {
            "analysis" => Ok(self.0.take()),
            "analyzing" | "action" | "analyzed" => Ok(Json::Null),
            other => Err(refused(other)),
        }
    }
}

fn module(path: &str, source: &str) -> (Specifier, ModuleSet) {
    let specifier = Specifier::File(NeutralPath::new(path).unwrap());
    let request = TranspileRequest {
        file: path.to_owned(),
        source: source.into(),
        identity: Some(specifier.to_string()),
    };
    let code = RUNTIME.block_on(TRANSPILER.transpile(request)).unwrap();
    let imports: HashMap<String, Specifier> = code
        .imports
        .iter()
        .map(|import| {
            let resolved = specifier.resolve(&import.specifier).unwrap();
            (import.specifier.clone(), resolved)
        })
        .collect();
    let mut set = ModuleSet::default();
    set.insert(Arc::new(CompiledModule {
        specifier: specifier.clone(),
        js: code.js.clone(),
        map: code.map.clone(),
        source: code.source.clone(),
        imports,
    }));
    (specifier, set)
}

fn evaluate(entry: Entry, modules: &ModuleSet, analysis: Json) {
    let evaluation = Evaluation {
        modules: modules.clone(),
        entry,
        host: Box::new(AnalysisHost(analysis)),
        limits: None,
    };
    RUNTIME
        .block_on(ENGINE.evaluate(evaluation, &CancellationToken::new()))
        .unwrap();
}

#[divan::bench]
fn trivial_module_in_a_fresh_context(bencher: Bencher<'_, '_>) {
    let (specifier, modules) = module("lib.ts", "export const x: number = 1;\n");
    bencher.bench(|| evaluate(Entry::Exports(specifier.clone()), &modules, Json::Null));
}

#[divan::bench(sample_count = 10)]
fn a_thousand_targets_of_one_rule(bencher: Bencher<'_, '_>) {
    let (specifier, modules) = module(
        "r.rule.ts",
        "import { attr, rule } from \"zako:rule\";
export const r = rule({
  attrs: { srcs: attr.files() },
  provides: {},
  analyze(ctx) {
    const out = ctx.file(`${ctx.name}.o`);
    ctx.run({ args: [\"cc\", \"-c\", ...ctx.attrs.srcs, \"-o\", out], outputs: [out] });
    ctx.expose(\"default\", out);
    return {};
  },
});
",
    );
    let requests: Vec<Json> = (0..TARGETS)
        .map(|at| {
            json!({
                "label": format!("//p:t{at}"), "package": "p", "name": format!("t{at}"), "outputRoot": "zako-out/p", "configuration": 0,
                "rule": { "module": "//r.rule.ts", "export": "r" },
                "attrs": { "srcs": [{ "$zako": ["file", format!("p/{at}.c"), false] }] },
            })
        })
        .collect();
    let configuration = json!({ "outputRoot": "zako-out", "values": {} });
    let analysis =
        json!({ "requests": requests, "dependencies": {}, "configurations": [configuration] });
    bencher
        .with_inputs(|| analysis.clone())
        .bench_values(|analysis| {
            evaluate(Entry::Analysis(vec![specifier.clone()]), &modules, analysis);
        });
}

/// A hundred lines as people write them; never the same text twice, so that no cache answers.
fn hundred_lines() -> String {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let mut text = format!("// {turn}\nimport {{ join }} from \"zako:path\";\n");
    for at in 0..49 {
        text.push_str(&format!(
            "export interface Props{at} {{ readonly name: string; deps?: readonly string[] }}\nexport const f{at} = (p: Props{at}): string => join(p.name, ...(p.deps ?? [] as string[]), \"x{at}\");\n"
        ));
    }
    text
}

#[divan::bench]
fn a_hundred_lines_by_the_transpiler(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(hundred_lines).bench_values(|source| {
        let request = TranspileRequest {
            file: "lib.ts".to_owned(),
            source: source.into(),
            identity: None,
        };
        RUNTIME.block_on(TRANSPILER.transpile(request)).unwrap()
    });
}

#[divan::bench]
fn a_hundred_lines_by_bare_oxc(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(hundred_lines)
        .bench_values(|source| lower::lower("lib.ts", &source).unwrap());
}
