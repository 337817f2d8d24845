//! What all sessions of a process share: interner, store, pools. It owns the parts and holds no logic.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use zako_action::ActionCache;
use zako_cas::{DigestFunction, Store, StoreOptions};
use zako_exec::Capacity;
use zako_interner::ThreadedInterner;
use zako_script::{
    Builtin, BuiltinRegistry, CompiledModule, ModuleKind, ScriptEngine, ScriptEngineOptions,
    Specifier, TranspileRequest, Transpiler, declare,
};

use crate::builtin::HostFunction;
use crate::diagnostic::{Diagnostic, Fault, Location};
use crate::execute::{Admitting, Shelf};
use crate::fetch::FetchRules;
use crate::options::GlobalStateOptions;

/// Where blobs are, below the cache folder. Holds nothing but what zako made.
const STORE_DIR: &str = "cas";
/// Where results of actions are, below the cache folder.
const ACTIONS_DIR: &str = "actions";
/// What toolchains fetched, in the cache folder.
const SHELF_DIR: &str = "toolchains";

/// The parts that every session uses.
pub struct GlobalState {
    options: GlobalStateOptions,
    pub(crate) interner: Arc<ThreadedInterner>,
    pub(crate) store: Store,
    pub(crate) cache: ActionCache,
    pub(crate) admitting: Admitting,
    pub(crate) engine: Arc<ScriptEngine>,
    pub(crate) transpiler: Arc<Transpiler>,
    pub(crate) builtins: Arc<BuiltinRegistry>,
    pub(crate) functions: Arc<BTreeMap<String, HostFunction>>,
}

impl GlobalState {
    /// Makes the parts; several may exist in one process. The builtins of the embedder's are transpiled here.
    pub fn new(options: GlobalStateOptions) -> Result<Arc<GlobalState>, Diagnostic> {
        let defaults = ScriptEngineOptions::default();
        let threads = options.script_threads.unwrap_or(defaults.threads);
        let engine = ScriptEngine::new(ScriptEngineOptions {
            threads,
            limits: options.script_limits,
            gc_hook: options.gc_hook.clone(),
            debugger: options.debugger.clone(),
            profiler: options.profiler.clone(),
            ..defaults
        });
        if options.warm_scripts {
            engine.warm();
        }
        let interner =
            ThreadedInterner::new().map_err(|e| Diagnostic::environment(e.to_string()))?;
        let at = |e: &dyn std::fmt::Display| {
            Diagnostic::environment(format!(
                "the cache in {} cannot be used: {e}",
                options.cache_dir.display()
            ))
            .with_help(
                "name another folder with --cache-dir, or free space and check its permissions",
            )
        };
        let store = Store::open(StoreOptions::new(options.cache_dir.join(STORE_DIR)))
            .map_err(|e| at(&e))?;
        let cache = ActionCache::open(&options.cache_dir.join(ACTIONS_DIR), DigestFunction::Blake3)
            .map_err(|e| at(&e))?
            .with_store(store.clone());
        let mut capacity = Capacity::of_this_machine();
        if let Some(jobs) = options.jobs {
            capacity.cpu_millis = u64::from(jobs.max(1)) * 1000;
        }
        if let Some(memory) = options.memory {
            capacity.memory_bytes = memory;
        }
        let transpiler = Arc::new(Transpiler::new(threads));
        let (builtins, functions) = register(&options, &transpiler)?;
        Ok(Arc::new(GlobalState {
            options,
            interner: Arc::new(interner),
            store,
            cache,
            admitting: Admitting::new(capacity),
            engine: Arc::new(engine),
            transpiler,
            builtins: Arc::new(builtins),
            functions: Arc::new(functions),
        }))
    }

    /// What it was made with.
    pub fn options(&self) -> &GlobalStateOptions {
        &self.options
    }

    /// Where toolchains have what they fetch, for a build that fetches by these rules.
    pub(crate) fn shelf(&self, rules: FetchRules) -> Shelf {
        let folder = self.options.cache_dir.join(SHELF_DIR);
        Shelf::new(self.store.clone(), self.cache.clone(), rules, folder)
    }

    /// Removes what zako keeps in the cache folder of `options`, and nothing else there; gives the bytes freed.
    pub fn clear_cache(options: &GlobalStateOptions) -> Result<u64, Diagnostic> {
        let mut freed = 0;
        for part in [STORE_DIR, ACTIONS_DIR, SHELF_DIR] {
            let path = options.cache_dir.join(part);
            freed += size_of(&path);
            match std::fs::remove_dir_all(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => {
                    return Err(Diagnostic::environment(format!(
                        "{} cannot be removed: {e}",
                        path.display()
                    )));
                }
            }
        }
        Ok(freed)
    }
}

fn size_of(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            _ => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

type Registered = (BuiltinRegistry, BTreeMap<String, HostFunction>);

fn register(
    options: &GlobalStateOptions,
    transpiler: &Transpiler,
) -> Result<Registered, Diagnostic> {
    let mut registry = BuiltinRegistry::default();
    let mut functions = BTreeMap::new();
    for module in &options.builtins {
        let name = &module.specifier;
        let wrong = |message: String| Diagnostic::user(format!("builtin {name}: {message}"));
        let source: Arc<str> = module.source.as_str().into();
        let request = TranspileRequest {
            file: name.clone(),
            source: source.clone(),
            identity: Some(name.clone()),
            frozen: false,
        };
        let code = futures::executor::block_on(transpiler.transpile(request))?;
        let declarations = declare(name, &source)?;
        let specifier = Specifier::Builtin(name.clone());
        let mut imports = HashMap::new();
        for import in &code.imports {
            let at = |message: String| {
                wrong(message).at(Location::new(&import.place, Some(source.clone())))
            };
            let resolved = specifier
                .resolve(&import.specifier)
                .map_err(|e| at(e.message))?;
            let Specifier::Builtin(imported) = &resolved else {
                return Err(at("a builtin may import builtins only".to_owned()));
            };
            registry
                .admit(imported, ModuleKind::Builtin)
                .map_err(|e| at(e.message))?;
            imports.insert(import.specifier.clone(), resolved);
        }
        let compiled = CompiledModule {
            specifier,
            js: code.js.clone(),
            map: code.map.clone(),
            source,
            imports,
        };
        registry
            .register(Builtin {
                specifier: name.clone(),
                module: Arc::new(compiled),
                declarations,
            })
            .map_err(|e| wrong(e.message))?;
        for (function, body) in &module.functions {
            if functions.insert(function.clone(), body.clone()).is_some() {
                let message =
                    format!("builtin {name}: a function \"{function}\" is registered already");
                return Err(Diagnostic::error(Fault::User, message));
            }
        }
    }
    Ok((registry, functions))
}
