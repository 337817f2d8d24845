//! The execution side of a build: actions go in, as lowered from scripts; they are prepared, looked up, admitted,
//! executed, stored and put in place, and every step is told as an event.
//!
//! Must never know packages, targets, rules or configuration. It prints nothing. The caller holds the
//! [`WorkspaceLock`](lock::WorkspaceLock) while it runs.
//!
//! **Invariants:** when [`execute`] returns, no process that it started is left, and all that finished is recorded.
//! Files below `.zako/` are checksummed: whatever an earlier run left half done is found out and made anew.

mod discovered;
mod edges;
mod failure;
mod hint;
mod history;
pub(crate) mod lock;
mod lookup;
mod manifest;
mod place;
mod prepare;
mod printed;
mod run;
mod script_executor;
mod tools;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use zako_action::{ActionCache, ActionSpec, Isolation};
use zako_cas::{Store, SubtreeCache};
use zako_exec::{End, Outcome, PlanId, Priority, ResourcePool, ScheduleOptions, Scheduler};
use zako_script::{Limits, ModuleSet, ScriptEngine, Specifier};

use crate::diagnostic::{Diagnostic, Fault, Location, with_texts};
use crate::event::{ActionName, ActionStatus, BuildEvent};
use crate::files::Files;
use crate::report::ActionCounts;

use history::History;
use manifest::Manifest;
use place::Places;
use prepare::Bench;
use run::Stopped;
use tools::Tools;

/// How many actions are in flight at most, those that wait for resources included.
const MAX_IN_FLIGHT: usize = 256;

/// How many bytes of folders' messages are remembered while input roots are hashed.
const SUBTREE_CACHE_BYTES: u64 = 64 << 20;

/// The parts that execution uses.
#[derive(Clone)]
pub(crate) struct ExecuteParts {
    /// Where outputs are kept.
    pub(crate) store: Store,
    /// Where results are kept; of the store's digest function.
    pub(crate) cache: ActionCache,
    /// Who may run now.
    pub(crate) pool: ResourcePool,
    /// What runs script actions.
    pub(crate) engine: Arc<ScriptEngine>,
    /// Bounds of script actions; a task's own `timeout` replaces the time.
    pub(crate) script_limits: Limits,
}

/// Where a workspace is on disk.
#[derive(Debug, Clone)]
pub(crate) struct WorkspaceDirs {
    /// Its root: absolute, without links.
    pub(crate) root: Arc<Path>,
}

impl WorkspaceDirs {
    /// What zako remembers of the workspace.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join(".zako/state")
    }

    /// Where actions run.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join(".zako/exec")
    }
}

/// The modules of a script action.
#[derive(Debug, Clone)]
pub(crate) struct ScriptProgram {
    /// The one whose default export runs.
    pub(crate) module: Specifier,
    /// That one and all that it imports.
    pub(crate) modules: ModuleSet,
}

/// An action of a build.
#[derive(Debug, Clone)]
pub(crate) struct PlannedAction {
    /// What it is. For an action that writes a text the body is not looked at.
    pub(crate) spec: Arc<ActionSpec>,
    /// Where the target is declared.
    pub(crate) declared_at: Option<Location>,
    /// Whether it is a test: run for its success.
    pub(crate) test: bool,
    /// The text that it writes to each of its outputs, if that is all that it does.
    pub(crate) write: Option<String>,
    /// The modules of a script action.
    pub(crate) script: Option<Arc<ScriptProgram>>,
    /// Why it cannot run at all: its script is wrong.
    pub(crate) broken: Option<Arc<Vec<Diagnostic>>>,
}

impl PlannedAction {
    #[cfg(test)]
    /// An action that runs what `spec` says.
    pub(crate) fn new(spec: ActionSpec) -> Self {
        PlannedAction {
            spec: Arc::new(spec),
            declared_at: None,
            test: false,
            write: None,
            script: None,
            broken: None,
        }
    }

    /// What it is called in a sentence, as "compile app/main.c".
    fn subject(&self) -> String {
        let spec = &self.spec;
        if let Some(message) = &spec.message {
            return message.clone();
        }
        let object = match (&spec.inputs[..], spec.outputs.first()) {
            // A task is one action: its label says it best.
            _ if spec.mnemonic == "task" => spec.owner.as_str(),
            ([input], _) if !self.test => input.as_str(),
            (_, Some(output)) => output.path.as_str(),
            _ => spec.owner.as_str(),
        };
        format!("{} {object}", spec.mnemonic)
    }

    fn event_name(&self, at: usize) -> ActionName {
        ActionName {
            id: u32::try_from(at).unwrap_or(u32::MAX),
            owner: self.spec.owner.clone(),
            mnemonic: self.spec.mnemonic.clone(),
            message: self.subject(),
        }
    }

    /// `diagnostic` with this action's place and owner.
    fn blame(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        if diagnostic.location.is_none() {
            diagnostic.location = self.declared_at.clone();
        } else if let Some(location) = &self.declared_at {
            diagnostic.trace.push(format!("declared at {location}"));
        }
        diagnostic.with_trace(format!("in {}", self.spec.owner))
    }
}

/// What is to be executed, and how.
pub(crate) struct Execution {
    /// The actions, all of which are wanted; events and statuses number them in this order.
    pub(crate) actions: Vec<PlannedAction>,
    /// Go on after a failure with what does not depend on it.
    pub(crate) keep_going: bool,
    /// The isolation of actions that ask for none.
    pub(crate) isolation: Isolation,
    /// Told of everything, diagnostics included.
    pub(crate) events: mpsc::Sender<BuildEvent>,
    /// Ends it early.
    pub(crate) cancel: CancellationToken,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecuteSummary {
    pub(crate) counts: ActionCounts,
    /// What went wrong, in the order in which it was found; each was an event already.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// How each action ended, by its number.
    pub(crate) statuses: Vec<ActionStatus>,
}

/// Everything that the actions of one execution share.
struct Workshop {
    parts: ExecuteParts,
    dirs: WorkspaceDirs,
    actions: Vec<PlannedAction>,
    isolation: Isolation,
    events: mpsc::Sender<BuildEvent>,
    files: Files,
    tools: Tools,
    subtrees: SubtreeCache,
    places: Places,
    history: History,
    /// As many pieces of work that compute as there are processors.
    computing: Semaphore,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    diagnostics: Vec<Diagnostic>,
    statuses: Vec<Option<ActionStatus>>,
}

/// Executes. Needs a tokio runtime; the order of `actions` does not matter.
pub(crate) async fn execute(
    parts: &ExecuteParts,
    dirs: &WorkspaceDirs,
    execution: Execution,
) -> ExecuteSummary {
    let Execution {
        actions,
        keep_going,
        isolation,
        events,
        cancel,
    } = execution;
    // Whoever drops this future stops what was started.
    let cancel = cancel.child_token();
    let _stop = cancel.clone().drop_guard();
    let (parts, dirs) = (parts.clone(), dirs.clone());
    let count = actions.len();
    let stop_early = |diagnostics: Vec<Diagnostic>| ExecuteSummary {
        counts: ActionCounts {
            cancelled: count,
            ..ActionCounts::default()
        },
        diagnostics,
        statuses: vec![ActionStatus::Cancelled; count],
    };
    let (teller, root) = (events.clone(), dirs.root.clone());
    let opened =
        tokio::task::spawn_blocking(move || open(parts, dirs, actions, isolation, events)).await;
    let opened =
        opened.unwrap_or_else(|panic| Err(vec![Diagnostic::error(Fault::Bug, panic.to_string())]));
    let (shop, plan) = match opened {
        Ok((shop, plan)) => (Arc::new(shop), plan),
        Err(diagnostics) => {
            let diagnostics = with_texts(&root, diagnostics);
            for diagnostic in &diagnostics {
                let _nobody_listens = teller
                    .send(BuildEvent::Diagnostic(diagnostic.clone()))
                    .await;
            }
            return stop_early(diagnostics);
        }
    };
    drop(teller);

    let scheduler = Scheduler::new(
        plan,
        ScheduleOptions {
            keep_going,
            max_in_flight: MAX_IN_FLIGHT,
        },
    );
    let runner = {
        let shop = shop.clone();
        move |id: PlanId, priority: Priority, cancel: CancellationToken| {
            let shop = shop.clone();
            async move {
                let work =
                    tokio::spawn(async move { shop.run(id.index(), priority, &cancel).await });
                work.await.unwrap_or(Outcome::Failed)
            }
            .boxed()
        }
    };
    let report = scheduler.run(&runner, &cancel).await;
    for (id, end) in report.iter() {
        let status = match end {
            End::Skipped { .. } => ActionStatus::Skipped,
            End::NotStarted => ActionStatus::Cancelled,
            // Told by the action itself, unless its task panicked.
            End::Failed => ActionStatus::Failed,
            End::Succeeded | End::Cancelled => continue,
        };
        if shop.told.lock().statuses[id.index()].is_none() {
            if status == ActionStatus::Failed {
                let message = format!(
                    "zako failed while it ran {}",
                    shop.actions[id.index()].subject()
                );
                shop.complain(
                    shop.actions[id.index()].blame(Diagnostic::error(Fault::Bug, message)),
                )
                .await;
            }
            shop.tell_end(id.index(), status, None, None).await;
        }
    }
    let saved = shop.blocking(|shop| Ok::<_, Stopped>(shop.save())).await;
    if let Ok(Ok(Err(error))) = saved {
        // Only time is lost by that.
        let mut diagnostic =
            Diagnostic::environment(format!("cannot write the workspace's state: {error}"));
        diagnostic.severity = crate::diagnostic::Severity::Warning;
        shop.complain(diagnostic).await;
    }
    shop.summary()
}

/// Reads what is remembered, and plans. Blocks.
fn open(
    parts: ExecuteParts,
    dirs: WorkspaceDirs,
    actions: Vec<PlannedAction>,
    isolation: Isolation,
    events: mpsc::Sender<BuildEvent>,
) -> Result<(Workshop, zako_exec::Plan), Vec<Diagnostic>> {
    let (state, scratch) = (dirs.state(), dirs.scratch());
    // What a killed run left.
    place::remove_all(&scratch)
        .and_then(|()| std::fs::create_dir_all(&scratch))
        .map_err(|e| {
            vec![Diagnostic::environment(format!(
                "cannot clear {}: {e}",
                scratch.display()
            ))]
        })?;
    let writers = edges::Writers::of(&actions)?;
    let history = History::load(state.join("history"), &actions);
    let plan = writers.plan(&actions, &history)?;
    let function = parts.store.function();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shop = Workshop {
        files: Files::open(dirs.root.clone(), &state, function, writers.paths()),
        tools: Tools::default(),
        subtrees: SubtreeCache::new(function, SUBTREE_CACHE_BYTES),
        places: Places::new(
            dirs.root.clone(),
            Manifest::load(state.join("outputs"), function),
        ),
        history,
        computing: Semaphore::new(processors),
        told: Mutex::new(Told {
            diagnostics: Vec::new(),
            statuses: vec![None; actions.len()],
        }),
        parts,
        dirs,
        actions,
        isolation,
        events,
    };
    Ok((shop, plan))
}

impl Workshop {
    /// Runs one action and tells how it ended.
    async fn run(
        self: &Arc<Self>,
        at: usize,
        priority: Priority,
        cancel: &CancellationToken,
    ) -> Outcome {
        match run::run(self, at, priority, cancel).await {
            Ok(ended) => {
                self.tell_end(at, ended.status, ended.usage, ended.output)
                    .await;
                Outcome::Succeeded
            }
            Err(Stopped::Cancelled) => {
                self.tell_end(at, ActionStatus::Cancelled, None, None).await;
                Outcome::Cancelled
            }
            Err(Stopped::Failed(diagnostics)) => {
                for diagnostic in diagnostics {
                    self.complain(diagnostic).await;
                }
                self.tell_end(at, ActionStatus::Failed, None, None).await;
                Outcome::Failed
            }
        }
    }

    /// Runs work that reads disks and computes on a thread for it, as many at once as there are processors.
    async fn blocking<T: Send + 'static, E: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Workshop) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Stopped> {
        let _permit = self
            .computing
            .acquire()
            .await
            .map_err(|_| Stopped::Cancelled)?;
        let shop = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&shop)).await;
        done.map_err(|panic| Diagnostic::error(Fault::Bug, format!("zako failed: {panic}")).into())
    }

    fn bench(&self) -> Bench<'_> {
        Bench {
            root: &self.dirs.root,
            function: self.parts.store.function(),
            files: &self.files,
            tools: &self.tools,
            subtrees: &self.subtrees,
            isolation: self.isolation,
        }
    }

    async fn tell(&self, event: BuildEvent) {
        let _nobody_listens = self.events.send(event).await;
    }

    async fn complain(&self, diagnostic: Diagnostic) {
        let diagnostic = diagnostic.with_text(&self.dirs.root);
        self.told.lock().diagnostics.push(diagnostic.clone());
        self.tell(BuildEvent::Diagnostic(diagnostic)).await;
    }

    async fn tell_end(
        &self,
        at: usize,
        status: ActionStatus,
        usage: Option<crate::event::ActionUsage>,
        output: Option<String>,
    ) {
        self.told.lock().statuses[at] = Some(status);
        let action = &self.actions[at];
        let wrote = matches!(status, ActionStatus::Ran | ActionStatus::FromCache);
        let outputs = action
            .spec
            .outputs
            .iter()
            .filter(|_| wrote)
            .map(|output| output.path.to_string())
            .collect();
        self.tell(BuildEvent::ActionFinished {
            action: action.event_name(at),
            status,
            outputs,
            usage,
            output,
        })
        .await;
    }

    /// Writes down what the next build wants to know.
    fn save(&self) -> std::io::Result<()> {
        self.files.save()?;
        self.places.save()?;
        self.history.save()
    }

    fn summary(&self) -> ExecuteSummary {
        let told = self.told.lock();
        let statuses: Vec<_> = told
            .statuses
            .iter()
            .map(|status| status.unwrap_or(ActionStatus::Cancelled))
            .collect();
        let mut counts = ActionCounts::default();
        for status in &statuses {
            let count = match status {
                ActionStatus::Ran => &mut counts.run,
                ActionStatus::FromCache => &mut counts.from_cache,
                ActionStatus::UpToDate => &mut counts.up_to_date,
                ActionStatus::Failed => &mut counts.failed,
                ActionStatus::Skipped => &mut counts.skipped,
                ActionStatus::Cancelled => &mut counts.cancelled,
            };
            *count += 1;
        }
        ExecuteSummary {
            counts,
            diagnostics: told.diagnostics.clone(),
            statuses,
        }
    }
}

#[cfg(test)]
mod tests;
