//! What a script costs: a fresh context with a trivial module in it, files transpiled by the pool against bare oxc,
//! targets of one rule analysed together, and a cancellation.
//!
//! `cargo bench -p zako_script -- soak` measures none of that: it evaluates ten thousand times on end and prints what
//! the process holds meanwhile. `-- idle` prints what a V8 thread holds that has evaluated and waits.
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
use std::sync::{Arc, Barrier, LazyLock};

use divan::Bencher;
use divan::counter::ItemsCount;
use oxc::allocator::Allocator;
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use zako_path::NeutralPath;
use zako_script::engine::{Entry, refused};
use zako_script::{
    CompiledModule, Evaluation, Host, HostCall, HostFailure, ModuleSet, ScriptEngine,
    ScriptEngineOptions, Specifier, TranspileRequest, Transpiler,
};

/// How many evaluations a soak has, and after how many it prints a line.
const SOAK: (usize, usize) = (10_000, 500);
/// How many files are transpiled on end.
const FILES: usize = 200;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static ENGINE: LazyLock<ScriptEngine> =
    LazyLock::new(|| ScriptEngine::new(ScriptEngineOptions::default()));
static TRANSPILER: LazyLock<Transpiler> = LazyLock::new(|| Transpiler::new(2));

fn main() {
    let is_asked = |what: &str| std::env::args().any(|argument| argument == what);
    if is_asked("soak") {
        soak();
    } else if is_asked("idle") {
        idle();
    } else {
        divan::main();
    }
}

/// Evaluates on end, on all threads at once, and prints the memory that the process holds: flat once all is warm.
#[expect(clippy::print_stdout, reason = "a bench's figures")]
fn soak() {
    let (all, step) = SOAK;
    let source = "const kept: unknown[] = [];\nfor (let n = 0; n < 20_000; n++) kept.push({ n, s: `${n}` });\nexport const x: number = kept.length;\n";
    let (specifier, modules) = module("lib.ts", source);
    println!("evaluations  resident MiB  threads  heap collections");
    for done in (0..all).step_by(step) {
        let collections = RUNTIME.block_on(async {
            let jobs = (0..step).map(|_| {
                let evaluation = Evaluation {
                    modules: modules.clone(),
                    entry: Entry::Exports(specifier.clone()),
                    host: Box::new(AnalysisHost(Json::Null)),
                    limits: None,
                };
                async { ENGINE.evaluate(evaluation, &CancellationToken::new()).await }
            });
            let ended = futures::future::join_all(jobs).await;
            ended
                .into_iter()
                .map(|one| one.unwrap().usage.collections)
                .sum::<u32>()
        });
        let resident = resident_kib() / 1024;
        let threads = ENGINE.metrics().threads;
        println!(
            "{:11}  {resident:12}  {threads:7}  {collections:16}",
            done + step
        );
    }
}

/// Has more and more threads evaluate at once, and prints what the process holds when all wait again, and what that is for each
/// beyond the first, with which V8 itself comes.
#[expect(clippy::print_stdout, reason = "a bench's figures")]
fn idle() {
    let source = "import { readText } from \"zako:build\";\nreadText(\"x\");\n";
    let (specifier, modules) = module("pkg/BUILD.ts", source);
    println!("threads  resident MiB  each beyond the first");
    let mut first = 0;
    for threads in [1, 2, 4, 8, 16] {
        let engine = ScriptEngine::new(ScriptEngineOptions {
            threads,
            ..ScriptEngineOptions::default()
        });
        let meeting = Arc::new(Barrier::new(threads));
        RUNTIME.block_on(async {
            let jobs = (0..threads).map(|_| {
                let evaluation = Evaluation {
                    modules: modules.clone(),
                    entry: Entry::Exports(specifier.clone()),
                    host: Box::new(Meeting(meeting.clone())),
                    limits: None,
                };
                async { engine.evaluate(evaluation, &CancellationToken::new()).await }
            });
            for ended in futures::future::join_all(jobs).await {
                ended.unwrap();
            }
        });
        let resident = resident_kib();
        if threads == 1 {
            first = resident;
        }
        let more = resident.saturating_sub(first) as f64 / 1024.0;
        let each = more / (threads.max(2) - 1) as f64;
        println!(
            "{:7}  {:12}  {each:21.1}",
            engine.metrics().threads,
            resident / 1024
        );
    }
}

/// What the process holds in memory, in KiB; 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Answers as the engine's owner does when rules are analysed, and forgets what they say.
struct AnalysisHost(Json);

impl Host for AnalysisHost {
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        match call.name {
            "analysis" => Ok(self.0.take()),
            "analyzing" | "action" | "analyzed" => Ok(Json::Null),
            _ => Err(refused(&call)),
        }
    }
}

fn module(path: &str, source: &str) -> (Specifier, ModuleSet) {
    let specifier = Specifier::File(NeutralPath::new(path).unwrap());
    let request = TranspileRequest {
        file: path.to_owned(),
        source: source.into(),
        identity: Some(specifier.to_string()),
        frozen: true,
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

#[divan::bench(args = [1000, 10_000], sample_count = 10)]
fn targets_of_one_rule(bencher: Bencher<'_, '_>, targets: usize) {
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
    let requests: Vec<Json> = (0..targets)
        .map(|at| {
            json!({
                "label": format!("//p:t{at}"), "package": "p", "name": format!("t{at}"), "outputRoot": "zako-out/p", "configuration": 0,
                "rule": { "module": "//r.rule.ts", "export": "r" },
                "attrs": { "srcs": [{ "$zako": ["file", format!("p/{at}.c"), false] }] },
            })
        })
        .collect();
    let configuration = json!({ "outputRoot": "zako-out", "values": {}, "toolchains": {} });
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
            frozen: false,
        };
        RUNTIME.block_on(TRANSPILER.transpile(request)).unwrap()
    });
}

/// What a transpiler thread does with a library, by itself.
fn bare_oxc(source: &str) -> lower::Lowered {
    let (allocator, state) = (Allocator::default(), lower::ModuleState::Frozen);
    lower::lower(&allocator, "lib.ts", source, state).unwrap()
}

#[divan::bench]
fn a_hundred_lines_by_bare_oxc(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(hundred_lines)
        .bench_values(|source| bare_oxc(&source));
}

/// The figure that counts: many files one after another on one thread, as a cold load has them.
#[divan::bench(sample_count = 20)]
fn many_files_by_the_transpiler(bencher: Bencher<'_, '_>) {
    let transpiler = Transpiler::new(1);
    let files = || (0..FILES).map(|_| hundred_lines()).collect::<Vec<_>>();
    bencher
        .counter(ItemsCount::new(FILES))
        .with_inputs(files)
        .bench_values(|files| {
            let jobs = files.into_iter().map(|source| {
                transpiler.transpile(TranspileRequest {
                    file: "lib.ts".to_owned(),
                    source: source.into(),
                    identity: None,
                    frozen: false,
                })
            });
            RUNTIME.block_on(futures::future::join_all(jobs))
        });
}

#[divan::bench(sample_count = 20)]
fn many_files_by_bare_oxc(bencher: Bencher<'_, '_>) {
    let files = || (0..FILES).map(|_| hundred_lines()).collect::<Vec<_>>();
    bencher
        .counter(ItemsCount::new(FILES))
        .with_inputs(files)
        .bench_values(|files| {
            let lowered = files.iter().map(|source| bare_oxc(source));
            lowered.collect::<Vec<_>>()
        });
}

/// Waits in a script's call until so many scripts are there: each has a thread of its own then.
struct Meeting(Arc<Barrier>);

impl Host for Meeting {
    fn call(&mut self, _call: HostCall<'_>) -> Result<Json, HostFailure> {
        self.0.wait();
        Ok(Json::Null)
    }
}

/// Tells when the script has begun to loop.
struct Begun(CancellationToken);

impl Host for Begun {
    fn call(&mut self, _call: HostCall<'_>) -> Result<Json, HostFailure> {
        self.0.cancel();
        Ok(Json::Null)
    }
}

/// From the cancellation of a script that loops to the return of its error.
#[divan::bench]
fn cancel_to_return(bencher: Bencher<'_, '_>) {
    let (specifier, modules) = module(
        "pkg/BUILD.ts",
        "import { readText } from \"zako:build\";\nreadText(\"x\");\nfor (;;) {}\n",
    );
    bencher
        .with_inputs(|| {
            let (begun, cancel) = (CancellationToken::new(), CancellationToken::new());
            let evaluation = Evaluation {
                modules: modules.clone(),
                entry: Entry::Exports(specifier.clone()),
                host: Box::new(Begun(begun.clone())),
                limits: None,
            };
            let asked = cancel.clone();
            let running =
                RUNTIME.spawn(async move { ENGINE.evaluate(evaluation, &asked).await.is_err() });
            RUNTIME.block_on(begun.cancelled());
            (running, cancel)
        })
        .bench_values(|(running, cancel)| {
            cancel.cancel();
            assert!(RUNTIME.block_on(running).unwrap());
        });
}
