//! One sealed context: a fresh isolate from the snapshot, one evaluation, and gone.
//!
//! **Invariant:** an isolate never leaves its thread, and nothing of one evaluation is there in the next.

mod buffers;
mod control;
mod failure;
mod loader;
pub(crate) mod ops;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deno_core::error::{CoreError, CoreErrorKind, JsError};
use deno_core::{JsRuntime, ModuleSpecifier, PollEventLoopOptions, RuntimeOptions, v8};

use crate::error::{ScriptError, ScriptErrorKind};
use crate::inspect::{Attached, Profiler, Sampling, Sources};
use crate::module::ModuleSet;
pub(crate) use control::{Control, StopReason};
pub(crate) use failure::Places;
use ops::{HostCalls, HostSlot};

/// The realm that every evaluation starts from, made by `build.rs`.
static SNAPSHOT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/realm.snapshot"));

/// The function that seals a restored realm (see `harden.js`): what deno_core needed until now goes, the global object is frozen.
const SEAL: &str = "__zako_seal";

/// The largest heap, in bytes, that is still there when a result is sent.
const MAX_HEAP_LEFT: usize = 32 << 20;

/// A bound on what one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The JavaScript heap, in bytes; typed arrays may use as much again.
    pub heap_bytes: usize,
    /// Wall-clock time from the moment that it starts to run.
    pub time: Duration,
}

impl Default for Limits {
    /// 512 MiB and 30 s.
    fn default() -> Self {
        Limits {
            heap_bytes: 512 << 20,
            time: Duration::from_secs(30),
        }
    }
}

/// What an evaluation used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the heap in use at the end.
    pub heap_used: usize,
    /// Bytes of the heap committed at the end.
    pub heap_committed: usize,
    /// Garbage collections that ran.
    pub collections: u32,
    /// From the start of the isolate to its last result.
    pub wall: Duration,
}

/// What to run.
pub(crate) struct RealmJob {
    /// The modules, and the URL of the one to start with.
    pub(crate) modules: Arc<ModuleSet>,
    pub(crate) entry: String,
    pub(crate) host: Box<dyn HostCalls>,
    pub(crate) limits: Limits,
    pub(crate) inspection: Inspection,
}

/// Who looks into a realm; mostly nobody.
#[derive(Default)]
pub(crate) struct Inspection {
    /// The debugger that it waits for.
    pub(crate) attached: Option<Attached>,
    /// What takes its CPU profile, and what that calls it.
    pub(crate) profiler: Option<(Arc<Profiler>, String)>,
}

/// A sealed context in which nothing was evaluated yet.
pub(crate) struct Realm {
    /// Dropped before the event loop that it was made in.
    runtime: JsRuntime,
    tokio: tokio::runtime::Runtime,
    loader: Rc<loader::SetLoader>,
    heap_bytes: usize,
    is_inspected: bool,
}

/// A realm after its evaluation; nothing of it is used again. Letting it go takes longer than many an evaluation.
pub(crate) struct Spent {
    /// Dropped before the event loop that it was made in, and before what its interrupts look at.
    _runtime: JsRuntime,
    _tokio: tokio::runtime::Runtime,
    _control: Arc<Control>,
}

/// What came of a job, and what it left behind.
pub(crate) struct Ran {
    pub(crate) result: Result<(), ScriptError>,
    pub(crate) usage: Usage,
    pub(crate) spent: Option<Spent>,
}

impl Ran {
    fn without_realm(error: ScriptError) -> Ran {
        Ran {
            result: Err(error),
            usage: Usage::default(),
            spent: None,
        }
    }
}

/// Why there is no realm.
pub(crate) enum NoRealm {
    EventLoop(std::io::Error),
    Core(CoreError),
}

impl Realm {
    /// One for scripts with this bound on their heap, on this thread, which must be one of the platform's.
    pub(crate) fn plain(heap_bytes: usize) -> Result<Realm, NoRealm> {
        Realm::new(heap_bytes, None, false)
    }

    fn new(
        heap_bytes: usize,
        sources: Option<Sources>,
        is_inspected: bool,
    ) -> Result<Realm, NoRealm> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(NoRealm::EventLoop)?;
        let loader = Rc::new(loader::SetLoader::new(sources));
        let runtime = {
            let _inside = tokio.enter();
            create(heap_bytes, loader.clone(), is_inspected).map_err(NoRealm::Core)?
        };
        Ok(Realm {
            runtime,
            tokio,
            loader,
            heap_bytes,
            is_inspected,
        })
    }

    /// Whether `job` may run in it.
    fn fits(&self, job: &RealmJob) -> bool {
        self.heap_bytes == job.limits.heap_bytes && !self.is_inspected && !job.is_inspected()
    }
}

impl RealmJob {
    fn is_inspected(&self) -> bool {
        self.inspection.attached.is_some() || self.inspection.profiler.is_some()
    }
}

/// Runs `job` to its end on this thread, which must be one of the platform's; in the realm that stands by, if it fits.
pub(crate) fn run(job: RealmJob, control: &Arc<Control>, standby: Option<Realm>) -> Ran {
    let started = Instant::now();
    let places = Places::new(job.modules.clone());
    // Isolates of a thread go in the order opposite to the one in which they came: one that does not fit goes first.
    let realm = match standby.filter(|realm| realm.fits(&job)) {
        Some(realm) => Ok(realm),
        None => {
            let sources = job.inspection.attached.as_ref().map(Attached::sources);
            Realm::new(job.limits.heap_bytes, sources, job.is_inspected())
        }
    };
    let Realm {
        mut runtime,
        tokio,
        loader,
        ..
    } = match realm {
        Ok(realm) => realm,
        Err(NoRealm::EventLoop(e)) => {
            let error = ScriptError::new(
                ScriptErrorKind::Internal,
                format!("no event loop could be made: {e}"),
            );
            return Ran::without_realm(error);
        }
        Err(NoRealm::Core(error)) => {
            return Ran::without_realm(places.failure(control, error));
        }
    };
    loader.serve(job.modules.clone());
    let (result, usage) = tokio.block_on(async {
        control.attach(&mut runtime);
        runtime
            .op_state()
            .borrow_mut()
            .put(HostSlot(Some(job.host)));
        let sampling = (job.inspection.profiler).map(|to| (Sampling::begin(&runtime), to));
        let result = evaluate(&mut runtime, &job.entry, job.inspection.attached.as_ref()).await;
        if let Some((sampling, (profiler, title))) = sampling {
            sampling.end(title, &places, &profiler);
        }
        let result = match control.reason() {
            // A script that catches what it should not have still does not go on.
            Some(_) => Err(places.stopped(control)),
            None => result.map_err(|error| places.failure(control, error)),
        };
        let heap = runtime.v8_isolate().get_heap_statistics();
        let usage = Usage {
            heap_used: heap.used_heap_size(),
            heap_committed: heap.total_physical_size(),
            collections: control.collections(),
            wall: started.elapsed(),
        };
        control.detach();
        (result, usage)
    });
    let spent = Spent {
        _runtime: runtime,
        _tokio: tokio,
        _control: control.clone(),
    };
    Ran {
        result,
        usage,
        // A large one goes at once: how much memory the process takes is looked at next.
        spent: (usage.heap_committed < MAX_HEAP_LEFT).then_some(spent),
    }
}

fn create(
    heap_bytes: usize,
    loader: Rc<loader::SetLoader>,
    is_inspected: bool,
) -> Result<JsRuntime, CoreError> {
    let params = v8::CreateParams::default()
        .heap_limits(0, heap_bytes)
        .array_buffer_allocator(buffers::allocator(heap_bytes));
    let mut runtime = JsRuntime::try_new(RuntimeOptions {
        module_loader: Some(loader),
        inspector: is_inspected,
        extensions: vec![ops::zako::init()],
        startup_snapshot: Some(SNAPSHOT),
        create_params: Some(params),
        ..RuntimeOptions::default()
    })?;
    seal(&mut runtime)?;
    runtime
        .v8_isolate()
        .set_host_initialize_import_meta_object_callback(leave_meta_empty);
    let context = runtime.main_context();
    {
        deno_core::scope!(scope, &mut runtime);
        v8::Local::new(scope, context).set_allow_generation_from_strings(false);
    }
    Ok(runtime)
}

/// Calls what seals the realm, without a script that would have to be compiled for it.
fn seal(runtime: &mut JsRuntime) -> Result<(), CoreError> {
    let context = runtime.main_context();
    deno_core::scope!(scope, runtime);
    v8::tc_scope!(let scope, scope);
    let global = v8::Local::new(scope, context).global(scope);
    let sealed = v8::String::new(scope, SEAL)
        .and_then(|name| global.get(scope, name.into()))
        .and_then(|seal| seal.try_cast::<v8::Function>().ok())
        .and_then(|seal| seal.call(scope, global.into(), &[]));
    match (sealed, scope.exception()) {
        (Some(_), _) => Ok(()),
        (None, Some(exception)) => Err(JsError::from_v8_exception(scope, exception).into()),
        (None, None) => {
            Err(CoreErrorKind::Io(std::io::Error::other("the realm has no seal")).into())
        }
    }
}

/// `import.meta` has nothing: deno_core's `resolve` would answer for modules that a script may not import.
extern "C" fn leave_meta_empty(
    _context: v8::Local<'_, v8::Context>,
    _module: v8::Local<'_, v8::Module>,
    _meta: v8::Local<'_, v8::Object>,
) {
}

async fn evaluate(
    runtime: &mut JsRuntime,
    entry: &str,
    debugger: Option<&Attached>,
) -> Result<(), CoreError> {
    let url = ModuleSpecifier::parse(entry)?;
    let id = runtime.load_main_es_module(&url).await?;
    if let Some(debugger) = debugger {
        // Everything is compiled and nothing has run: breakpoints find their scripts.
        let inspector = runtime.inspector();
        debugger.announce(inspector.get_session_sender());
        inspector.wait_for_session_and_break_on_next_statement();
    }
    let evaluated = runtime.mod_evaluate(id);
    runtime
        .run_event_loop(PollEventLoopOptions::default())
        .await?;
    evaluated.await
}
