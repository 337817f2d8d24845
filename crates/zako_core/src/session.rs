//! A workspace that is open: builds and questions about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zako_path::NeutralPath;
use zako_script::value::Setting;
use zako_script::{ArtifactRef, ModuleKind, TargetRef, Value};

use crate::build::{self, Building};
use crate::diagnostic::{Diagnostic, Fault, with_texts};
use crate::editor;
use crate::evaluate::{
    Evaluate, Machine, Package, Services, evaluate_text, graph_fault, identity, told,
};
use crate::event::{BuildEvent, BuildHealth};
use crate::execute::Machinery;
use crate::execute::lock::WorkspaceLock;
use crate::explain::{Explanation, last_build};
use crate::fetch::FetchRules;
use crate::glance::{Glance, Seen};
use crate::global::GlobalState;
use crate::graph::{Graph, Turn};
use crate::ledger::{Ledger, SharedLedger};
use crate::options::BuildOptions;
use crate::report::BuildReport;
use crate::select::select;
use crate::standby::{Kept, Owed};
use crate::watch::{Changes, Watch};
use crate::workspace::{BUILD_FILE, OUTPUT_DIR, STATE_DIR, Workspace};

/// How many events wait for a reader before the build waits too.
const MAX_EVENTS: usize = 4096;

/// A workspace that is open. Cloning shares it: what one build learned, the next knows.
#[derive(Clone)]
pub struct Session {
    pub(crate) global: Arc<GlobalState>,
    workspace: Arc<Workspace>,
    pub(crate) graph: Graph,
    machinery: Arc<Machinery>,
    is_watched: Arc<AtomicBool>,
    kept: Kept,
    owed: Owed,
}

/// The folder in which the ledger of the workspace at `root` lies.
pub(crate) fn state_of(root: &Path) -> PathBuf {
    root.join(STATE_DIR).join("state")
}

/// A target, as `zako targets` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetInfo {
    /// Its label.
    pub label: String,
    /// Its rule, as `zako:build#task`.
    pub rule: String,
    /// Where it is declared, `FILE:LINE:COLUMN`; empty when that is not known.
    pub declared_at: String,
    /// Names of its named outputs.
    pub outputs: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// What `zako run` starts: a program that a target built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// The program, absolute.
    pub program: PathBuf,
    /// The target's label.
    pub label: String,
}

/// What an evaluation of one file gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluatedFile {
    /// The exports as one JSON object; targets as their labels, files as their paths.
    pub exports: Json,
    /// What the file logged.
    pub logs: Vec<Diagnostic>,
}

impl EvaluatedFile {
    fn of(exports: &[(String, Value)], logs: Vec<Diagnostic>) -> Self {
        let exports = exports
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect();
        EvaluatedFile {
            exports: Json::Object(exports),
            logs,
        }
    }
}

impl Session {
    /// Opens the workspace whose `zako.toml` is in `start` or the nearest folder above it.
    pub fn open(global: Arc<GlobalState>, start: &Path) -> Result<Session, Diagnostic> {
        Ok(Session::of(global, Workspace::find(start)?))
    }

    /// Opens a folder as a workspace of its own, without a `zako.toml`: to evaluate a file that belongs to none.
    pub fn detached(global: Arc<GlobalState>, folder: &Path) -> Result<Session, Diagnostic> {
        Ok(Session::of(global, Workspace::detached(folder)?))
    }

    fn of(global: Arc<GlobalState>, workspace: Workspace) -> Session {
        let named = workspace.manifest().resources.clone();
        let state = workspace.root().join(STATE_DIR);
        let machinery = Machinery::new(
            global.admitting.with_named(named),
            &state,
            global.options().makeflags.clone(),
        );
        Session {
            machinery: Arc::new(machinery),
            global,
            workspace: Arc::new(workspace),
            graph: Graph::default(),
            is_watched: Arc::default(),
            kept: Kept::default(),
            owed: Owed::default(),
        }
    }

    /// The workspace's root: the folder of its `zako.toml`, absolute and without links.
    pub fn root(&self) -> &Path {
        self.workspace.root()
    }

    /// How everything fares that runs actions for this session: queue and pool, which all sessions of its global state share, workers
    /// and the machine.
    pub fn health(&self) -> BuildHealth {
        self.machinery.health()
    }

    /// The workspace's name: what its manifest says, or its folder's name.
    pub fn name(&self) -> String {
        let folder = self
            .root()
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        self.workspace
            .manifest()
            .name
            .clone()
            .or(folder)
            .unwrap_or_default()
    }

    /// Begins a build of the targets that `patterns` name (see the README's "Patterns"); none means all at or below
    /// `options.package`. Must be called in a tokio runtime.
    pub fn build(&self, patterns: &[String], options: BuildOptions) -> Build {
        self.begin(patterns, options, None, None)
    }

    /// As [`build`](Self::build), looking at nothing but what `changes` says has changed since the last build of this
    /// session, provided that it is [watched](Self::watch) and that nobody else built here since.
    pub fn build_changed(
        &self,
        changes: &Changes,
        patterns: &[String],
        options: BuildOptions,
    ) -> Build {
        // One that was cancelled did not look at all that it was told.
        let changes = self.owed.add(changes);
        self.begin(patterns, options, None, Some(changes))
    }

    /// Begins to watch the workspace: gives what tells of changes, and keeps what builds find out from now on in memory.
    pub fn watch(&self) -> Result<Watch, Diagnostic> {
        self.is_watched.store(true, Ordering::Relaxed);
        Watch::new(self.workspace.clone())
    }

    /// As [`build`](Self::build), going on from what a look at the workspace saw.
    pub fn build_after(&self, glance: Glance, patterns: &[String], options: BuildOptions) -> Build {
        self.begin(patterns, options, glance.seen, None)
    }

    fn begin(
        &self,
        patterns: &[String],
        options: BuildOptions,
        glance: Option<Seen>,
        changes: Option<Changes>,
    ) -> Build {
        let is_watched = self.is_watched.load(Ordering::Relaxed);
        let (send, events) = mpsc::channel(MAX_EVENTS);
        let cancel = CancellationToken::new();
        let (options, refused) = match self.workspace.manifest().with_profile(options.clone()) {
            Ok(options) => (options, None),
            Err(error) => (options, Some(error)),
        };
        let services = self.services(&options, &cancel, Some(send.clone()));
        let building = Building {
            refused,
            global: self.global.clone(),
            machinery: self.machinery.clone(),
            services,
            graph: self.graph.clone(),
            kept: is_watched.then(|| self.kept.clone()),
            owed: self.owed.clone(),
            changes,
            glance,
            patterns: patterns.to_vec(),
            options,
            events: send,
            cancel: cancel.clone(),
            weaker_told: Arc::default(),
        };
        Build {
            events,
            task: tokio::spawn(build::run(building)),
            cancel,
        }
    }

    /// The targets that `patterns` name, by label.
    pub async fn targets(
        &self,
        patterns: &[String],
        options: &BuildOptions,
    ) -> Result<Vec<TargetInfo>, Vec<Diagnostic>> {
        let options = &self.with_profile(options).map_err(|e| vec![e])?;
        let services = self.services(options, &CancellationToken::new(), None);
        let from = folder(&options.package).map_err(|e| vec![e])?;
        let turn = self.look_into(&services).await;
        let selection = select(&turn, &services, patterns, &from).await;
        if !selection.faults.is_empty() {
            return Err(with_texts(self.root(), selection.faults));
        }
        let mut infos = Vec::new();
        for root in &selection.roots {
            let Some((target, location)) = selection.targets.get(&root.label) else {
                continue;
            };
            infos.push(TargetInfo {
                label: root.label.clone(),
                rule: target.rule.to_string(),
                declared_at: location
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                outputs: target.outputs.clone(),
                tags: target.tags.clone(),
            });
        }
        Ok(infos)
    }

    /// Why actions of the one target that `target` names would run now; when none would, why they ran in the last build.
    pub async fn explain(
        &self,
        target: &str,
        options: BuildOptions,
    ) -> Result<Explanation, Vec<Diagnostic>> {
        let options = BuildOptions {
            dry_run: true,
            keep_going: false,
            ..options
        };
        let mut build = self.build(&[target.to_owned()], options);
        while build.next_event().await.is_some() {}
        let report = build.report().await;
        if report.fault().is_some() {
            return Err(report.diagnostics);
        }
        let [built] = &report.targets[..] else {
            let error = format!(
                "\"{target}\" is not one target but {}",
                report.targets.len()
            );
            return Err(vec![
                Diagnostic::user(error).with_help("name one, as //app:server"),
            ]);
        };
        let would_run = !report.would_run.is_empty();
        let actions = match would_run {
            true => report.would_run,
            false => {
                let state = state_of(self.root());
                let (function, label) = (self.global.store.function(), built.label.clone());
                let identity = identity(&self.global.builtins, &self.global.functions);
                let look = tokio::task::spawn_blocking(move || {
                    let (ledger, _) = Ledger::open(&state, function, &identity)?;
                    Ok::<_, std::io::Error>(last_build(&ledger, &label))
                });
                let failed = |error: &dyn std::fmt::Display| {
                    vec![Diagnostic::environment(format!(
                        "cannot read the workspace's state: {error}"
                    ))]
                };
                look.await
                    .map_err(|e| failed(&e))?
                    .map_err(|e| failed(&e))?
            }
        };
        Ok(Explanation {
            target: built.label.clone(),
            would_run,
            actions,
        })
    }

    /// What the one target of `report` built that can be run.
    pub fn runnable(&self, report: &BuildReport) -> Result<Runnable, Diagnostic> {
        let [target] = &report.targets[..] else {
            let labels: Vec<&str> = report.targets.iter().map(|t| t.label.as_str()).collect();
            return Err(Diagnostic::user(format!(
                "run takes one target, not {}: {}",
                labels.len(),
                labels.join(", ")
            )));
        };
        let label = target.label.clone();
        let programs: Vec<PathBuf> = target
            .files
            .iter()
            .map(|file| file.to_os_path(self.root()))
            .filter(|file| crate::system::is_program(file))
            .collect();
        match &programs[..] {
            [program] => Ok(Runnable {
                program: program.clone(),
                label,
            }),
            [] => Err(
                Diagnostic::user(format!("{label} builds nothing that can be run")).with_help(
                    "run takes a target whose output is an executable file, as ccBinary's is",
                ),
            ),
            _ => Err(
                Diagnostic::user(format!("{label} builds more than one program"))
                    .with_help("name one of its outputs: //pkg:name#output"),
            ),
        }
    }

    /// Evaluates one file by itself, hermetically; a `BUILD.ts` as the package that it is.
    pub async fn evaluate(
        &self,
        file: &Path,
        options: &BuildOptions,
    ) -> Result<EvaluatedFile, Diagnostic> {
        let options = &self.with_profile(options)?;
        self.global.engine.warm();
        let services = self.services(options, &CancellationToken::new(), None);
        let real = std::fs::canonicalize(file)
            .map_err(|e| Diagnostic::user(format!("{} cannot be read: {e}", file.display())))?;
        let path = real
            .strip_prefix(self.root())
            .ok()
            .and_then(|below| NeutralPath::from_os_path(below).ok());
        let Some(path) = path else {
            return Err(Diagnostic::user(format!(
                "{} is outside the workspace {}",
                file.display(),
                self.root().display()
            )));
        };
        if ModuleKind::of(&path).is_none() {
            return Err(Diagnostic::user(format!(
                "{path} is not a script: scripts end in .ts"
            )));
        }
        let request = self.look_into(&services).await;
        let first = |faults: &[Diagnostic]| {
            faults
                .first()
                .cloned()
                .unwrap_or_else(|| Diagnostic::error(Fault::Bug, "it failed without an error"))
                .with_text(self.root())
        };
        let (exports, logs) = if path.file_name() == Some(BUILD_FILE) {
            let folder = path.parent().unwrap_or_else(NeutralPath::root);
            let package = match request.get(&Package::new(&services, &folder)?).await {
                Ok(package) => package,
                Err(error) => return Err(told(&request, &error).await),
            };
            let package = package.map_err(|faults| first(&faults))?;
            (package.exports.clone(), package.logs.clone())
        } else {
            let evaluated = request
                .get(&Evaluate(services.intern(&path)?))
                .await
                .map_err(|e| graph_fault(&e))?;
            let evaluated = evaluated.map_err(|faults| first(&faults))?;
            (evaluated.exports.clone(), evaluated.logs.clone())
        };
        Ok(EvaluatedFile::of(&exports, with_texts(self.root(), logs)))
    }

    /// Evaluates a text that is no file, hermetically. `name` is what messages call it, as `memory:NAME`; it may import
    /// builtins that read nothing of the workspace, `zako:path` or an embedder's own, and no files.
    pub async fn evaluate_text(
        &self,
        name: &str,
        source: &str,
        options: &BuildOptions,
    ) -> Result<EvaluatedFile, Diagnostic> {
        let options = &self.with_profile(options)?;
        let services = self.services(options, &CancellationToken::new(), None);
        let (exports, logs) = evaluate_text(&services, name, source).await?;
        Ok(EvaluatedFile::of(&exports, logs))
    }

    /// Writes the declarations of all builtins and a `tsconfig.json` for editors below `.zako/`, and a root
    /// `tsconfig.json` when there is none; gives the files, written now or as they should be already.
    pub fn write_types(&self) -> Result<Vec<PathBuf>, Diagnostic> {
        editor::write_types(self.root(), &self.global.builtins)
    }

    /// Removes what zako wrote into the workspace, `zako-out/` and `.zako/`; gives what it removed. Waits for no other
    /// zako: one that builds here now is an error.
    pub fn clean(&self) -> Result<Vec<PathBuf>, Diagnostic> {
        let _lock = WorkspaceLock::try_acquire(self.root())?;
        let mut removed = Vec::new();
        for name in [OUTPUT_DIR, STATE_DIR] {
            let path = self.root().join(name);
            match std::fs::remove_dir_all(&path) {
                Ok(()) => removed.push(path),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => {
                    return Err(Diagnostic::environment(format!(
                        "{} cannot be removed: {e}",
                        path.display()
                    )));
                }
            }
        }
        Ok(removed)
    }

    /// The script graph for a question, with what is kept on disk; that is not changed.
    async fn look_into(&self, services: &Arc<Services>) -> Turn {
        self.graph
            .begin(services, &self.kept_on_disk(services), None)
            .await
    }

    /// What is kept on disk; nothing when that can't be read.
    pub(crate) fn kept_on_disk(&self, services: &Services) -> SharedLedger {
        let state = state_of(self.root());
        let opened = Ledger::open(&state, self.global.store.function(), &services.identity());
        let ledger = match opened {
            Ok((ledger, _)) => ledger,
            Err(error) => {
                tracing::warn!(%error, "cannot read what was kept of the workspace");
                Ledger::empty(&state, self.global.store.function(), &services.identity())
            }
        };
        SharedLedger::new(ledger)
    }

    pub(crate) fn with_profile(&self, options: &BuildOptions) -> Result<BuildOptions, Diagnostic> {
        self.workspace.manifest().with_profile(options.clone())
    }

    pub(crate) fn services(
        &self,
        options: &BuildOptions,
        cancel: &CancellationToken,
        events: Option<mpsc::Sender<BuildEvent>>,
    ) -> Arc<Services> {
        let mut config = self.workspace.manifest().config.clone();
        config.extend(options.config.clone());
        Arc::new(Services {
            workspace: self.workspace.clone(),
            interner: self.global.interner.clone(),
            engine: self.global.engine.clone(),
            transpiler: self.global.transpiler.clone(),
            builtins: self.global.builtins.clone(),
            functions: self.global.functions.clone(),
            config,
            machine: Machine::new(options.environment.clone()),
            shelf: Arc::new(self.global.shelf(FetchRules {
                locked: options.locked,
                offline: options.offline,
            })),
            settings: options.config.clone(),
            readers: self.graph.readers.clone(),
            profile: options.profile.clone(),
            cancel: cancel.clone(),
            events,
        })
    }
}

/// The folder that relative patterns start from.
pub(crate) fn folder(path: &str) -> Result<NeutralPath, Diagnostic> {
    NeutralPath::normalize(path)
        .map_err(|e| Diagnostic::user(format!("\"{path}\" is not a folder of the workspace: {e}")))
}

/// A value as plain JSON, for people and other programs.
fn plain(value: &Value) -> Json {
    match value {
        Value::Undefined | Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Number(_) => match value.to_json() {
            number @ Json::Number(_) => number,
            _ => Json::Null,
        },
        Value::BigInt(digits) => Json::String(digits.clone()),
        Value::String(text) => Json::String(text.clone()),
        Value::Array(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Joined(items) => Json::Array(items.iter().map(plain).collect()),
        // Neither leaves a package.
        Value::Args(_) | Value::Depset(_) => Json::Null,
        Value::Object(fields) => Json::Object(
            fields
                .iter()
                .map(|(key, field)| (key.clone(), plain(field)))
                .collect(),
        ),
        Value::Target(handle) => Json::String(target(&handle.target)),
        Value::Artifact(ArtifactRef::Output { target: of, name }) => {
            Json::String(format!("{}#{name}", target(of)))
        }
        Value::Artifact(ArtifactRef::File { path, .. } | ArtifactRef::Tool { path, .. }) => {
            Json::String(path.clone())
        }
        Value::Script(specifier) => Json::String(specifier.clone()),
        Value::Option(option) => Json::String(option.id.clone()),
        Value::Setting(settings) => settings.iter().map(setting).collect(),
        Value::Select(select) => {
            let cases = select.cases.iter();
            let cases = cases.map(|(name, case)| (name.clone(), plain(case)));
            json!({ "select": select.option, "cases": cases.collect::<Map<_, _>>() })
        }
    }
}

/// A target as people know it, with what is set for it.
fn target(reference: &TargetRef) -> String {
    match reference {
        TargetRef::Label(label) => label.clone(),
        TargetRef::Local(local) => format!("target {local}"),
        TargetRef::Configured { of, transition } => {
            let exec = transition.exec.then(|| "for tools".to_owned());
            let settings = transition.settings.iter().map(setting);
            let all: Vec<String> = exec.into_iter().chain(settings).collect();
            format!("{} ({})", target(of), all.join(", "))
        }
    }
}

fn setting(setting: &Setting) -> String {
    format!("{}={}", setting.option, setting.value)
}

/// A build that runs. Dropping it cancels the build; its children are stopped in the background.
pub struct Build {
    events: mpsc::Receiver<BuildEvent>,
    task: tokio::task::JoinHandle<BuildReport>,
    cancel: CancellationToken,
}

impl Build {
    /// The next event; `None` after the last. A build waits when nobody reads its events, until [`Build::report`] is awaited.
    pub async fn next_event(&mut self) -> Option<BuildEvent> {
        self.events.recv().await
    }

    /// A handle that cancels the build; the report comes when its children are gone.
    pub fn cancel_handle(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Waits for the end, dropping events that were not read.
    pub async fn report(mut self) -> BuildReport {
        while self.events.recv().await.is_some() {}
        (&mut self.task).await.unwrap_or_else(|error| BuildReport {
            diagnostics: vec![Diagnostic::error(
                Fault::Bug,
                format!("the build failed: {error}"),
            )],
            ..BuildReport::default()
        })
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
