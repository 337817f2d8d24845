//! Evaluations: modules in, exports out, on a pool of V8 threads.
//!
//! **Invariant:** an evaluation has all that it needs before a worker is taken, so no V8 job ever waits
//! for another one and a bounded pool cannot deadlock.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::error::{Place, ScriptError, ScriptErrorKind};
use crate::inspect::{Debugger, Profiler};
use crate::module::{CompiledModule, ModuleSet, Specifier};
use crate::platform::{Platform, WORKER_STACK_BYTES};
use crate::pool::{Pool, PoolError, PoolMetrics, PoolOptions, Worker, WorkerFactory};
use crate::realm::ops::{HostCalls, HostFailure, JsPlace};
use crate::realm::{
    self, Control, Inspection, Limits, Places, Realm, RealmJob, Spent, StopReason, Usage,
};
use crate::resident::Growth;
use crate::value::Value;

/// The name of the generated module that every evaluation starts with.
const ENTRY: &str = "zako:entry";
/// What the heaps of evaluations on one thread come to, in bytes, before another thread goes on in its place: what the allocator kept
/// for it goes with it. A thousand packages are well below.
const MAX_HEAPS_OF_THREAD: usize = 16 << 30;
/// How much the process may grow, in bytes, while a thread is there, before another thread goes on in its place.
const MAX_GROWTH_OF_THREAD: usize = 512 << 20;

/// What a script's builtins reach. It lives on the script's thread while the script runs.
pub trait Host: Send {
    /// Answers a call of a builtin with JSON data.
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure>;

    /// Answers a call that carries bytes both ways. Refused unless the host says otherwise.
    fn bytes(&mut self, call: HostCall<'_>, data: &[u8]) -> Result<Vec<u8>, HostFailure> {
        let _ = data;
        Err(refused(&call))
    }

    /// Takes a message that the script logged.
    fn log(&mut self, level: LogLevel, message: &str, place: Option<&Place>) {
        let _ = (level, message, place);
    }
}

/// A host for scripts that may reach nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        Err(refused(&call))
    }
}

/// The failure of a call that this host does not answer: `task` outside a package, say.
pub fn refused(call: &HostCall<'_>) -> HostFailure {
    // What a script's author called, which is not always what the builtin asks for.
    let name = match call.name {
        "declare" => call.args["rule"]["export"].as_str().unwrap_or("a rule"),
        // `srcs[0] of the task`, `attribute "srcs[0]" of box (case "fast")`
        "source" => {
            let place = call.args["where"].as_str().unwrap_or("a rule");
            let of = place.rsplit_once(" of ").map_or(place, |(_, of)| of);
            let of = of.split(" (").next().unwrap_or(of);
            of.strip_prefix("the ").unwrap_or(of)
        }
        "file" => "files",
        "pin" => "fetch",
        "config" => "config.get",
        "find" => "host.find",
        "probe" => "host.run",
        "env" => "get of an env option",
        "glob" | "readText" | "label" => call.name,
        other => {
            return HostFailure {
                message: format!(
                    "this can be called only where zako provides for it (call: {other})"
                ),
                misuse: true,
            };
        }
    };
    HostFailure {
        message: format!(
            "{name} can be called only while a BUILD.ts file is evaluated: in a library call it in a function, in a rule take what it gives as an attribute"
        ),
        misuse: true,
    }
}

/// One call of a builtin.
#[derive(Debug)]
pub struct HostCall<'a> {
    /// What is called, as `declare`.
    pub name: &'a str,
    /// Its arguments.
    pub args: Json,
    /// Where the user's code called, for calls that tell it.
    pub place: Option<Place>,
}

/// How loud a message of a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For whoever looks for it.
    Debug,
    /// Worth a line.
    Info,
    /// Probably wrong.
    Warn,
    /// Wrong.
    Error,
}

/// A garbage collection in some realm, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcEvent {
    /// Whether it was a full collection rather than one of the young generation.
    pub full: bool,
    /// Heap in use before.
    pub used_before: usize,
    /// Heap in use after.
    pub used_after: usize,
    /// Heap committed after.
    pub committed: usize,
    /// The heap's limit.
    pub limit: usize,
}

/// Called on the script's thread after each garbage collection; must be quick and must not call back.
pub type GcHook = Arc<dyn Fn(&GcEvent) + Send + Sync>;

/// How an engine behaves.
#[derive(Clone)]
pub struct ScriptEngineOptions {
    /// The most V8 threads.
    pub threads: usize,
    /// How long an idle V8 thread stays.
    pub idle: Duration,
    /// Bounds of every evaluation that brings none of its own.
    pub limits: Limits,
    /// What the heaps of evaluations on one thread may come to, in bytes, before another thread takes its place.
    pub recycle_after: usize,
    /// How much the resident memory of the process may have grown since a thread's first evaluation, in bytes, before another thread
    /// takes its place. Looked at now and then, where the system tells it.
    pub recycle_growth: usize,
    /// Told of every garbage collection.
    pub gc_hook: Option<GcHook>,
    /// Debugs the evaluations that it chose; none of the others has an inspector.
    pub debugger: Option<Arc<Debugger>>,
    /// Samples every evaluation.
    pub profiler: Option<Arc<Profiler>>,
}

impl Default for ScriptEngineOptions {
    fn default() -> Self {
        let pool = PoolOptions::default();
        ScriptEngineOptions {
            threads: pool.max,
            idle: pool.idle,
            limits: Limits::default(),
            recycle_after: MAX_HEAPS_OF_THREAD,
            recycle_growth: MAX_GROWTH_OF_THREAD,
            gc_hook: None,
            debugger: None,
            profiler: None,
        }
    }
}

/// What an evaluation starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Evaluate this module and give its exports.
    Exports(Specifier),
    /// Load these modules, then analyse what the host's `analysis` call asks for.
    Analysis(Vec<Specifier>),
    /// Run the script action that is this module's default export.
    Script(Specifier),
    /// Resolve the toolchains of this type that the module exports.
    Toolchain(Specifier, String),
}

impl Entry {
    /// What a person calls an evaluation that starts with it.
    fn title(&self) -> String {
        match self {
            Entry::Exports(module) => format!("evaluate {}", module.shown()),
            Entry::Analysis(modules) => {
                let modules: Vec<String> = modules.iter().map(Specifier::shown).collect();
                format!("analyse by {}", modules.join(", "))
            }
            Entry::Script(module) => format!("run {}", module.shown()),
            Entry::Toolchain(module, wanted) => format!("resolve {wanted} by {}", module.shown()),
        }
    }

    fn js(&self) -> String {
        let quoted = |specifier: &Specifier| Json::String(specifier.url()).to_string();
        match self {
            Entry::Exports(module) => format!(
                "import {{ finish }} from \"zako:internal/encode\";\nimport * as module from {};\nfinish(module);\n",
                quoted(module)
            ),
            Entry::Analysis(modules) => {
                let imports: String = modules
                    .iter()
                    .map(|m| format!("import {};\n", quoted(m)))
                    .collect();
                format!(
                    "import {{ analyze }} from \"zako:internal/analyze\";\n{imports}analyze();\n"
                )
            }
            Entry::Script(module) => format!(
                "import {{ run }} from \"zako:internal/script_body\";\nimport script from {};\nawait run(script);\n",
                quoted(module)
            ),
            Entry::Toolchain(module, wanted) => format!(
                "import {{ resolve }} from \"zako:internal/toolchain\";\nimport * as module from {};\nresolve(module, {});\n",
                quoted(module),
                Json::String(wanted.clone())
            ),
        }
    }
}

/// One evaluation.
pub struct Evaluation {
    /// The modules that it may need, all of them.
    pub modules: ModuleSet,
    /// Where it starts.
    pub entry: Entry,
    /// What its builtins reach.
    pub host: Box<dyn Host>,
    /// Its bounds, instead of the engine's.
    pub limits: Option<Limits>,
}

/// What an evaluation gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The exports, sorted by name; empty unless exports were asked for.
    pub exports: Vec<(String, Value)>,
    /// Exports that cannot leave the realm, by name, with the reason.
    pub refused: Vec<(String, String)>,
    /// What it used.
    pub usage: Usage,
}

/// The V8 engine: a pool of threads, each evaluation in a fresh sealed context.
pub struct ScriptEngine {
    pool: Pool<Realms>,
    options: ScriptEngineOptions,
    /// The evaluations that run or wait.
    live: Mutex<Vec<Weak<Control>>>,
}

/// What a V8 thread has. No isolate is used twice: a fresh one per evaluation is what makes contexts sealed.
struct Realms {
    /// The realm of its first evaluation, made together with it.
    standby: Option<Realm>,
    /// The realm of the evaluation that has just ended.
    used: Option<Spent>,
    /// The heaps of what ran on this thread, as they were at its end: added up, in bytes.
    heaps: usize,
    recycle_after: usize,
    growth: Growth,
    is_grown: bool,
}

impl Worker for Realms {
    fn relieve(&mut self) {
        self.standby = None;
    }

    fn tidy(&mut self) {
        self.used = None;
    }

    fn after_job(&mut self) {
        self.is_grown = self.growth.is_too_much();
    }

    fn spent(&self) -> bool {
        self.is_grown || self.heaps >= self.recycle_after
    }
}

struct RealmsFactory {
    /// The bound on the heap of most scripts; `None` where each is looked into, which takes realms of another kind.
    heap_bytes: Option<usize>,
    recycle_after: usize,
    recycle_growth: usize,
}

impl WorkerFactory for RealmsFactory {
    type Worker = Realms;

    fn create(&self) -> Realms {
        Realms {
            // Where it fails, the first evaluation finds out why.
            standby: self
                .heap_bytes
                .and_then(|heap_bytes| Realm::plain(heap_bytes).ok()),
            used: None,
            heaps: 0,
            recycle_after: self.recycle_after,
            growth: Growth::new(self.recycle_growth),
            is_grown: false,
        }
    }
}

impl ScriptEngine {
    /// An engine. Threads start with the first evaluation, and V8 itself with the first of them in the process: who
    /// evaluates nothing pays for nothing.
    pub fn new(options: ScriptEngineOptions) -> Self {
        let is_plain = options.debugger.is_none() && options.profiler.is_none();
        let pool = Pool::new(
            PoolOptions {
                name: "zako-v8",
                max: options.threads,
                idle: options.idle,
                stack_bytes: WORKER_STACK_BYTES,
                ..PoolOptions::default()
            },
            RealmsFactory {
                heap_bytes: is_plain.then_some(options.limits.heap_bytes),
                recycle_after: options.recycle_after,
                recycle_growth: options.recycle_growth,
            },
            Platform,
        );
        ScriptEngine {
            pool,
            options,
            live: Mutex::default(),
        }
    }

    /// Starts V8, a thread and the realm of the first evaluation, while the caller prepares what that will be. Returns at once.
    pub fn warm(&self) {
        self.pool.warm();
    }

    /// Evaluates; cancelling `cancel`, or dropping the future, stops the script at its next safe point.
    pub async fn evaluate(
        &self,
        evaluation: Evaluation,
        cancel: &CancellationToken,
    ) -> Result<Evaluated, ScriptError> {
        let Evaluation {
            mut modules,
            entry,
            host,
            limits,
        } = evaluation;
        let limits = limits.unwrap_or(self.options.limits);
        modules.insert(Arc::new(CompiledModule {
            specifier: Specifier::Builtin(ENTRY.to_owned()),
            js: entry.js().into(),
            map: "".into(),
            source: "".into(),
            imports: modules
                .iter()
                .map(|m| (m.specifier.url(), m.specifier.clone()))
                .collect(),
        }));
        let debugger = self.options.debugger.as_ref();
        let attached = debugger.and_then(|debugger| debugger.wants(&entry));
        let profiler = self.options.profiler.clone();
        let inspection = Inspection {
            profiler: profiler.map(|profiler| (profiler, entry.title())),
            attached,
        };
        let is_debugged = inspection.attached.is_some();
        let modules = Arc::new(modules);
        let finished = Arc::new(Mutex::new(Finished::default()));
        let adapter = Adapter {
            host,
            finished: finished.clone(),
            places: Places::new(modules.clone()),
        };
        let job = RealmJob {
            modules,
            entry: ENTRY.to_owned(),
            host: Box::new(adapter),
            limits,
            inspection,
        };

        let control = Control::new(self.options.gc_hook.clone(), limits);
        {
            let mut live = self.live.lock();
            live.retain(|control| control.strong_count() > 0);
            live.push(Arc::downgrade(&control));
        }
        // Whatever ends this future early ends the script too.
        let _stop = StopOnDrop(control.clone());
        let queued = CancellationToken::new();
        let (started, mut has_started) = tokio::sync::oneshot::channel();
        let on_worker = control.clone();
        let mut result = self
            .pool
            .submit(queued.clone(), move |realms, _| {
                let _ = started.send(());
                let ran = realm::run(job, &on_worker, realms.standby.take());
                realms.heaps = realms.heaps.saturating_add(ran.usage.heap_committed);
                realms.used = ran.spent;
                (ran.result, ran.usage)
            })
            .map_err(|e| unavailable(&e))?;
        let mut running = false;
        let deadline = tokio::time::sleep(Duration::MAX);
        tokio::pin!(deadline);
        let mut cancelled = false;
        let (outcome, usage) = loop {
            tokio::select! {
                biased;
                ended = &mut result => match ended {
                    Ok(Ok(outcome)) => break outcome,
                    Ok(Err(PoolError::Cancelled)) => {
                        return Err(ScriptError::new(ScriptErrorKind::Cancelled, "the evaluation was cancelled"));
                    }
                    Ok(Err(error)) => return Err(unavailable(&error)),
                    Err(_) => return Err(unavailable(&PoolError::Closed)),
                },
                () = cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    queued.cancel();
                    control.stop(StopReason::Cancelled);
                }
                _ = &mut has_started, if !running && !is_debugged => {
                    running = true;
                    deadline.as_mut().reset(tokio::time::Instant::now() + limits.time);
                }
                () = &mut deadline, if running => {
                    control.stop(StopReason::Timeout);
                    // Ask again now and then: a builtin of V8's that loops without safe points ends sometime.
                    deadline.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(1));
                }
            }
        };
        outcome?;
        let Finished { exports, refused } = std::mem::take(&mut *finished.lock());
        Ok(Evaluated {
            exports,
            refused,
            usage,
        })
    }

    /// Tells every script that runs that memory is short: each collects its garbage at its next safe point.
    pub fn relieve(&self) {
        self.pool.relieve();
        for control in self.live.lock().iter().filter_map(Weak::upgrade) {
            control.relieve();
        }
    }

    /// The V8 pool's counters.
    pub fn metrics(&self) -> PoolMetrics {
        self.pool.metrics()
    }
}

fn unavailable(error: &PoolError) -> ScriptError {
    ScriptError::new(
        ScriptErrorKind::Internal,
        format!("the V8 pool failed: {error}"),
    )
}

struct StopOnDrop(Arc<Control>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(StopReason::Cancelled);
    }
}

#[derive(Default)]
struct Finished {
    exports: Vec<(String, Value)>,
    refused: Vec<(String, String)>,
}

/// Between the realm's raw calls and a [`Host`]: JSON, places, and what every host answers alike.
struct Adapter {
    host: Box<dyn Host>,
    finished: Arc<Mutex<Finished>>,
    places: Places,
}

fn misuse(error: impl std::fmt::Display) -> HostFailure {
    HostFailure {
        message: error.to_string(),
        misuse: true,
    }
}

impl HostCalls for Adapter {
    fn call(
        &mut self,
        name: &str,
        args: &str,
        caller: Option<JsPlace>,
    ) -> Result<String, HostFailure> {
        let args: Json = serde_json::from_str(args).map_err(misuse)?;
        let place = caller.map(|place| self.places.original(&place));
        match name {
            "finish" => self.finish(args).map(|()| String::new()),
            "log" => {
                let level = match args["level"].as_str() {
                    Some("debug") => LogLevel::Debug,
                    Some("warn") => LogLevel::Warn,
                    Some("error") => LogLevel::Error,
                    _ => LogLevel::Info,
                };
                self.host.log(
                    level,
                    args["message"].as_str().unwrap_or_default(),
                    place.as_ref(),
                );
                Ok(String::new())
            }
            "nearest" => {
                let words = args["words"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Json::as_str);
                let near =
                    crate::builtin::nearest(args["word"].as_str().unwrap_or_default(), words);
                Ok(Json::from(near).to_string())
            }
            _ => self
                .host
                .call(HostCall { name, args, place })
                .map(|answer| answer.to_string()),
        }
    }

    fn bytes(&mut self, name: &str, args: &str, data: &[u8]) -> Result<Vec<u8>, HostFailure> {
        let args: Json = serde_json::from_str(args).map_err(misuse)?;
        if name == "hash" {
            let data = args["text"].as_str().map_or(data, str::as_bytes);
            return match args["algorithm"].as_str() {
                Some("blake3") => Ok(blake3::hash(data).as_bytes().to_vec()),
                Some("sha256") => Ok(sha2::Digest::finalize(sha2::Digest::chain_update(
                    <sha2::Sha256 as sha2::Digest>::new(),
                    data,
                ))
                .to_vec()),
                _ => Err(misuse("no such hash function")),
            };
        }
        self.host.bytes(
            HostCall {
                name,
                args,
                place: None,
            },
            data,
        )
    }
}

impl Adapter {
    fn finish(&mut self, args: Json) -> Result<(), HostFailure> {
        let mut finished = self.finished.lock();
        for (entry, refused) in [("exports", false), ("refused", true)] {
            for pair in args[entry].as_array().into_iter().flatten() {
                let name = pair[0].as_str().unwrap_or_default().to_owned();
                if refused {
                    finished
                        .refused
                        .push((name, pair[1].as_str().unwrap_or_default().to_owned()));
                } else {
                    finished
                        .exports
                        .push((name, Value::from_json(pair[1].clone()).map_err(misuse)?));
                }
            }
        }
        Ok(())
    }
}
