//! What an embedder, or the command line, chooses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use zako_action::Isolation;
use zako_exec::Urgency;
use zako_script::{Debugger, GcHook, Limits, Profiler};

use crate::builtin::BuiltinModule;
use crate::executor::ExecutorLayer;

/// How a [`GlobalState`](crate::GlobalState) is made.
#[derive(Clone)]
pub struct GlobalStateOptions {
    /// Where results are kept, for all workspaces.
    pub cache_dir: PathBuf,
    /// Processors that actions may use; `None` for all of the machine's.
    pub jobs: Option<u32>,
    /// Memory that actions may use, in bytes; `None` for all of the machine's.
    pub memory: Option<u64>,
    /// MAKEFLAGS of whoever started this process: when it names a jobserver, actions take part in that, and take a token each.
    pub makeflags: Option<String>,
    /// Bounds of each script.
    pub script_limits: Limits,
    /// V8 threads at most; `None` for one per processor.
    pub script_threads: Option<usize>,
    /// Starts V8 at once, beside the rest: for whoever is sure to evaluate scripts.
    pub warm_scripts: bool,
    /// Told of every garbage collection in a script.
    pub gc_hook: Option<GcHook>,
    /// Debugs the scripts that [`Session::inspect`](crate::Session::inspect) chooses.
    pub debugger: Option<Arc<Debugger>>,
    /// Samples every script that runs.
    pub profiler: Option<Arc<Profiler>>,
    /// Modules that scripts may import besides zako's own.
    pub builtins: Vec<BuiltinModule>,
    /// What stands around the executor of actions that are processes.
    pub executor: Option<ExecutorLayer>,
}

impl GlobalStateOptions {
    /// Everything as the machine has it, with results kept in `cache_dir`.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        GlobalStateOptions {
            cache_dir: cache_dir.into(),
            jobs: None,
            memory: None,
            makeflags: None,
            script_limits: Limits::default(),
            script_threads: None,
            warm_scripts: false,
            gc_hook: None,
            debugger: None,
            profiler: None,
            builtins: Vec::new(),
            executor: None,
        }
    }
}

/// How one build is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Go on after a failure with what does not depend on it.
    pub keep_going: bool,
    /// Options for scripts, in place of `[config]` and of the profile's in `zako.toml`.
    pub config: BTreeMap<String, String>,
    /// The environment of whoever builds. Toolchains find programs on its `PATH`; actions never see it.
    pub environment: BTreeMap<String, String>,
    /// The profile of `zako.toml` whose options are set.
    pub profile: Option<String>,
    /// Isolation of actions that ask for none of their own; `None` for `enhanced`, or `basic` where the machine has no
    /// more (which is told).
    pub isolation: Option<Isolation>,
    /// Also run the test actions of the targets.
    pub tests: bool,
    /// How much somebody waits for it: when several requests want the same processors, memory or workspace, the more urgent one goes
    /// first, among all sessions of a [`GlobalState`](crate::GlobalState), and for the workspace also among processes.
    pub urgency: Urgency,
    /// Run nothing: only find out which actions would run, and why.
    pub dry_run: bool,
    /// Analyse every target of a rule, and each once more apart from the others, and fail where that differs.
    pub check_determinism: bool,
    /// Leave `zako.lock` as it is: a `fetch` that is not pinned is an error.
    pub locked: bool,
    /// Use no network for `fetch`: what was not fetched before is an error.
    pub offline: bool,
    /// The folder that relative patterns start from, relative to the workspace's root; empty for the root.
    pub package: String,
}
