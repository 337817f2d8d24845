//! The execution side of a build: actions go in, as lowered from scripts; they are prepared, looked up, admitted,
//! executed, stored and put in place, and every step is told as an event.
//!
//! Must never know packages, targets, rules or configuration. It prints nothing. The caller holds the
//! [`WorkspaceLock`](lock::WorkspaceLock) while it runs.
//!
//! **Invariants:** when [`execute`] returns, no process that it started is left, and all that finished is recorded.
//! Files below `.zako/` are checksummed: whatever an earlier run left half done is found out and made anew.

mod chores;
mod difference;
mod discovered;
mod edges;
mod failure;
mod fetch_executor;
mod file_executor;
mod forecast;
mod growth;
pub(crate) mod health;
mod hint;
mod history;
mod identity;
mod judge;
mod level;
pub(crate) mod lock;
mod lookup;
mod machinery;
mod note;
mod permission;
mod place;
mod prepare;
mod printed;
mod run;
mod scratch;
mod script_executor;
mod shelf;
mod tools;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zako_action::{ActionBody, ActionCache, ActionSpec, Isolation};
use zako_cas::{Store, SubtreeCache};
use zako_exec::{
    BlockingPool, End, Growth, Outcome, PlanId, Priority, Sandbox, ScheduleOptions, Scheduler,
    Sources, Urgency,
};
use zako_graph::archive::Id;
use zako_path::NeutralPath;
use zako_script::{Limits, ModuleSet, ScriptEngine, Specifier};

use crate::codec::action::decode_lowered;
use crate::diagnostic::{Diagnostic, Fault, Location, with_texts};
use crate::event::{ActionName, ActionStatus, ActionUsage, BuildEvent};
use crate::executor::ExecutorLayer;
use crate::fetch::FetchRules;
use crate::files::Files;
use crate::label;
use crate::ledger::{Affected, Ledger, SharedLedger};
use crate::policy::Policy;
use crate::report::{ActionCounts, ActionReason};
use crate::target::{FileWork, Lowered};
use crate::workspace::OUTPUT_DIR;

use chores::Chores;
pub(crate) use growth::{Batch, Growing, PlannedStep, Unfolded, Unfolding};
use growth::{Crew, Node};
use history::{History, Names, StableName};
pub(crate) use identity::Identified;
use identity::identify;
use judge::Court;
pub(crate) use judge::{Standing, look_again};
use level::Levels;
pub(crate) use machinery::{Admitting, Machinery};
use permission::may_do;
use place::Places;
pub(crate) use place::{remove_all, remove_empty_folders};
use prepare::Bench;
use run::Stopped;
use scratch::ScratchFolders;
pub(crate) use shelf::Shelf;
pub(crate) use tools::{Tools, is_of_the_machine};

/// How many actions are in flight at most, those that wait for resources included.
const MAX_IN_FLIGHT: usize = 256;

/// How many bytes of folders' messages are remembered while input roots are hashed.
const SUBTREE_CACHE_BYTES: u64 = 64 << 20;

/// Where the declaration of an owner, which begins at a place, names a path. It may take its time.
pub(crate) type NamedAt =
    Arc<dyn Fn(&str, &Location, &NeutralPath) -> Option<Location> + Send + Sync>;

/// The parts that execution uses.
#[derive(Clone)]
pub(crate) struct ExecuteParts {
    /// Where outputs are kept.
    pub(crate) store: Store,
    /// Where results are kept; of the store's digest function.
    pub(crate) cache: ActionCache,
    /// Who may run now, and what runs it.
    pub(crate) machinery: Arc<Machinery>,
    /// What actions may do.
    pub(crate) policy: Arc<Policy>,
    /// After how long without a sign of life an action is called stuck.
    pub(crate) stuck_after: Duration,
    /// What runs script actions.
    pub(crate) engine: Arc<ScriptEngine>,
    /// Bounds of script actions; a task's own `timeout` replaces the time.
    pub(crate) script_limits: Limits,
    /// What an embedder puts around the executor of processes.
    pub(crate) layer: Option<ExecutorLayer>,
    /// What `fetch` may do.
    pub(crate) fetching: FetchRules,
    /// Finds where a declaration names a file that is not there.
    pub(crate) named_at: NamedAt,
}

/// Where a workspace is on disk.
#[derive(Debug, Clone)]
pub(crate) struct WorkspaceDirs {
    /// Its root: absolute, without links.
    pub(crate) root: Arc<Path>,
}

impl WorkspaceDirs {
    /// Where actions run.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join(".zako/exec")
    }

    /// Where empty scratch folders wait for the next build.
    fn spare(&self) -> PathBuf {
        self.root.join(".zako/spare")
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
    /// What it is. Where zako does the work itself the body is not looked at.
    pub(crate) spec: Arc<ActionSpec>,
    /// Where the target is declared.
    pub(crate) declared_at: Option<Location>,
    /// Whether it is a test: run for its success.
    pub(crate) test: bool,
    /// What zako does itself, if that is all.
    pub(crate) work: Option<Arc<FileWork>>,
    /// The modules of a script action.
    pub(crate) script: Option<Arc<ScriptProgram>>,
    /// Why it cannot run at all: its script is wrong.
    pub(crate) broken: Option<Arc<Vec<Diagnostic>>>,
    /// How the ledger knows it and where it stands, when that is where it came from.
    pub(crate) known: Option<(Identified, Standing)>,
}

impl PlannedAction {
    #[cfg(test)]
    /// An action that runs what `spec` says.
    pub(crate) fn new(spec: ActionSpec) -> Self {
        PlannedAction {
            spec: Arc::new(spec),
            declared_at: None,
            test: false,
            work: None,
            script: None,
            broken: None,
            known: None,
        }
    }

    /// The action that a target declares at that place.
    pub(crate) fn of(action: &Lowered, declared_at: Option<Location>) -> Self {
        PlannedAction {
            spec: Arc::new(action.spec.clone()),
            declared_at,
            test: action.test,
            work: action.work.clone(),
            script: None,
            broken: None,
            known: None,
        }
    }

    /// An affected action as the ledger keeps it; `None` when it can't be read.
    pub(crate) fn recalled(ledger: &Ledger, affected: Affected) -> Option<Self> {
        let record = ledger.record(affected.action)?;
        let key = ledger.archive().key(affected.action);
        let (name, identity) = key.split_first_chunk::<16>()?;
        let lowered = decode_lowered(&record.declaration)?;
        let identified = Identified {
            name: StableName(*name),
            identity: identity.try_into().ok()?,
            declaration: record.declaration,
        };
        let standing = Standing::Affected(affected.action, affected.causes);
        Some(PlannedAction {
            known: Some((identified, standing)),
            ..PlannedAction::of(&lowered, record.declared_at)
        })
    }

    /// Whether it runs a script.
    pub(crate) fn is_script(&self) -> bool {
        matches!(self.spec.body, ActionBody::Script { .. })
    }

    /// As its target declares it.
    pub(crate) fn lowered(&self) -> Lowered {
        let module = match &self.spec.body {
            ActionBody::Script { module, .. } => Some(module.clone()),
            _ => None,
        };
        Lowered {
            spec: (*self.spec).clone(),
            script: module,
            work: self.work.clone(),
            test: self.test,
        }
    }

    /// What it is called in a sentence, as "compile app/main.c".
    pub(crate) fn subject(&self) -> String {
        let spec = &self.spec;
        if let Some(message) = &spec.message {
            // The same is done in other configurations.
            return match label::configuration(&spec.owner) {
                Some(configuration) => format!("{message} ({configuration})"),
                None => message.clone(),
            };
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
pub(crate) struct Execution<'a> {
    /// The actions, all of which are wanted; events and statuses number them in this order.
    pub(crate) actions: Vec<PlannedAction>,
    /// How there come to be more of them.
    pub(crate) growing: Option<Growing<'a>>,
    /// Go on after a failure with what does not depend on it.
    pub(crate) keep_going: bool,
    /// The isolation of actions that ask for none; `None` for the best of `enhanced` and `basic` that can be had.
    pub(crate) isolation: Option<Isolation>,
    /// Whether this build has said already that it has less than it should.
    pub(crate) weaker_told: Arc<AtomicBool>,
    /// Run nothing: only find out what would run.
    pub(crate) dry_run: bool,
    /// How much somebody waits for it.
    pub(crate) urgency: Urgency,
    /// What is known of the workspace.
    pub(crate) ledger: SharedLedger,
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
    /// What the ledger calls each action; empty when it never came to that.
    pub(crate) identified: Vec<Identified>,
    /// In a dry run, the actions that would run.
    pub(crate) would_run: Vec<ActionReason>,
}

/// An action of an execution.
struct Piece {
    planned: Arc<PlannedAction>,
    identified: Identified,
    standing: Standing,
    /// Its node, unless it holds.
    node: Option<PlanId>,
}

/// Everything that the actions of one execution share.
struct Workshop {
    parts: ExecuteParts,
    dirs: WorkspaceDirs,
    pieces: RwLock<Vec<Arc<Piece>>>,
    /// What the nodes of the plan are.
    nodes: RwLock<Vec<Node>>,
    /// What actions were called.
    names: Mutex<Names>,
    /// The leaves that were looked at, where more actions may come.
    looked: Mutex<HashSet<Id>>,
    /// Whether there was something to do.
    has_begun: AtomicBool,
    /// Whether nothing can be added any more.
    is_closed: AtomicBool,
    levels: Levels,
    events: mpsc::Sender<BuildEvent>,
    files: Files,
    tools: Tools,
    subtrees: SubtreeCache,
    places: Places,
    scratches: ScratchFolders,
    ledger: SharedLedger,
    writers: RwLock<edges::Writers>,
    history: History,
    /// Where files are read and digests computed.
    pool: BlockingPool,
    /// How often the system had killed something for want of memory when that was last looked at.
    memory_kills: AtomicU64,
    chores: Chores,
    /// How many actions were noted in the ledger.
    noted: AtomicUsize,
    /// The actions that run.
    running: Arc<health::Running>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    diagnostics: Vec<Diagnostic>,
    statuses: Vec<Option<ActionStatus>>,
    /// What those used that ran, until their ends are told.
    usages: HashMap<usize, ActionUsage>,
}

/// Executes. Needs a tokio runtime; the order of `actions` does not matter.
pub(crate) async fn execute(
    parts: &ExecuteParts,
    dirs: &WorkspaceDirs,
    execution: Execution<'_>,
) -> ExecuteSummary {
    let Execution {
        actions,
        growing,
        keep_going,
        isolation,
        weaker_told,
        dry_run,
        urgency,
        ledger,
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
        identified: Vec::new(),
        would_run: Vec::new(),
    };
    let (teller, root) = (events.clone(), dirs.root.clone());
    let pool = BlockingPool::new(&Handle::current());
    let shared = dirs.scratch().join("shared");
    let levels = Levels {
        asked: isolation,
        told: weaker_told,
        sandbox: Sandbox::new(shared, NeutralPath::new(OUTPUT_DIR).ok()),
    };
    let here = pool.clone();
    let (steps, later) = match &growing {
        Some(growing) => (Some(growing.steps.clone()), growing.later.clone()),
        None => (None, HashSet::new()),
    };
    let opening = move || {
        let begin = Beginning {
            actions,
            steps,
            later,
        };
        open(parts, dirs, begin, levels, ledger, events, pool)
    };
    let opening = here.run(opening);
    let opened = opening
        .await
        .unwrap_or_else(|panic| Err(vec![Diagnostic::error(Fault::Bug, panic.to_string())]));
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
    if dry_run {
        return shop.foresee(growing, &cancel).await;
    }
    shop.begin(&shop.work()).await;

    let health = health::watch(
        shop.running.clone(),
        shop.parts.machinery.clone(),
        shop.parts.stuck_after,
        shop.events.clone(),
    );
    let scheduler = Scheduler::new(
        plan,
        ScheduleOptions {
            keep_going,
            max_in_flight: MAX_IN_FLIGHT,
        },
    );
    let growth = Growth::default();
    let crew = Crew {
        shop: shop.clone(),
        growth: &growth,
        unfolding: growing.as_ref().map(|growing| growing.unfolding),
        urgency,
    };
    let report = scheduler.run_growing(&crew, &growth, &cancel).await;
    health.end().await;
    shop.chores.end().await;
    for (id, end) in report.iter() {
        let Node::Action(at) = shop.node(id) else {
            continue;
        };
        let status = match end {
            End::Skipped { .. } => ActionStatus::Skipped,
            End::NotStarted => ActionStatus::Cancelled,
            // Told by the action itself, unless its task panicked.
            End::Failed => ActionStatus::Failed,
            End::Succeeded | End::Cancelled => continue,
        };
        if shop.told.lock().statuses[at].is_none() {
            if status == ActionStatus::Failed {
                let planned = shop.piece(at).planned.clone();
                let message = format!("zako failed while it ran {}", planned.subject());
                shop.complain(planned.blame(Diagnostic::error(Fault::Bug, message)))
                    .await;
            }
            shop.tell_end(at, status, None).await;
        }
    }
    let saved = shop
        .blocking(|shop| {
            place::remove_old(&shop.places.old());
            if let Err(error) = shop.scratches.clear() {
                tracing::warn!(%error, "cannot remove scratch folders");
            }
            if let Err(error) = shop.levels.sandbox.clear() {
                tracing::warn!(%error, "cannot remove what sandboxes shared");
            }
            shop.sweep_up();
            Ok::<_, Stopped>(shop.save())
        })
        .await;
    if let Ok(Ok(Err(error))) = saved {
        // Only time is lost by that.
        let diagnostic =
            Diagnostic::warning(format!("cannot write the workspace's state: {error}"));
        shop.complain(diagnostic).await;
    }
    shop.summary()
}

/// How many actions ended in which way.
pub(crate) fn counts(statuses: &[ActionStatus]) -> ActionCounts {
    let mut counts = ActionCounts::default();
    for status in statuses {
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
    counts
}

/// How often the system has killed a process for want of memory; zero where it does not tell.
fn memory_kills() -> u64 {
    Sources::default().out_of_memory_kills().unwrap_or(0)
}

type Opened = (Workshop, zako_exec::Plan);

/// What an execution begins with.
struct Beginning {
    actions: Vec<PlannedAction>,
    /// The steps, where there may be any.
    steps: Option<Vec<PlannedStep>>,
    /// What is written outside of `zako-out/` by whom is not known yet.
    later: HashSet<NeutralPath>,
}

/// Judges, and plans what is left to do. Blocks.
fn open(
    parts: ExecuteParts,
    dirs: WorkspaceDirs,
    beginning: Beginning,
    levels: Levels,
    ledger: SharedLedger,
    events: mpsc::Sender<BuildEvent>,
    pool: BlockingPool,
) -> Result<Opened, Vec<Diagnostic>> {
    let Beginning {
        actions,
        steps,
        later,
    } = beginning;
    may_do(&parts.policy, &actions)?;
    let actions: Vec<Arc<PlannedAction>> = actions.into_iter().map(Arc::new).collect();
    let scratch = dirs.scratch();
    let broken = |what: String, error: std::io::Error| {
        vec![Diagnostic::environment(format!("cannot {what}: {error}"))]
    };
    // What a killed run left.
    place::clear(&scratch).map_err(|e| broken(format!("clear {}", scratch.display()), e))?;
    let mut writers = edges::Writers::default();
    writers.add(&actions, 0)?;
    let function = parts.store.function();
    let mut outside = writers.outside_of_out();
    outside.extend(later);
    let files = Files::open(dirs.root.clone(), ledger.clone(), outside);
    let tools = Tools::default();
    let mut names = Names::default();
    let looked = Mutex::default();
    let identified = identify(&mut names, &actions, &dirs.root, function);
    let judged = actions.iter().map(|action| action.known.as_ref());
    let judged: Option<Vec<Standing>> = judged
        .map(|known| known.map(|(_, standing)| standing.clone()))
        .collect();
    let standing = match judged {
        Some(standing) => standing,
        None => {
            let court = Court {
                ledger: &ledger,
                files: &files,
                tools: &tools,
                root: &dirs.root,
                writers: &writers,
                looked: steps.is_some().then_some(&looked),
            };
            judge::judge(&court, &actions, &identified, None)
                .map_err(|e| broken(format!("look into {}", dirs.root.display()), e))?
        }
    };
    let is_settled = |at: usize| standing[at].holds();
    // What comes later has to be admitted, too.
    let is_work = steps.is_some() || !(0..actions.len()).all(is_settled);
    let known = actions.iter().map(|action| {
        let (identified, standing) = action.known.as_ref()?;
        Some((identified.name, standing.record()?))
    });
    let history = match known.collect::<Option<Vec<_>>>() {
        // Those that came from the ledger are all that is looked at there.
        Some(known) => History::of_known(&ledger.lock(), &known),
        None if is_work => History::of(&ledger.lock()),
        None => History::default(),
    };
    let duration = |at: usize| history.duration(identified[at].name);
    let steps = steps.unwrap_or_default();
    let laid = writers.plan(&actions, 0, &steps, &is_settled, &duration, &|_| None)?;
    let statuses = (0..actions.len())
        .map(|at| is_settled(at).then_some(ActionStatus::UpToDate))
        .collect();
    let pieces = actions.into_iter().zip(identified).zip(standing);
    let pieces = pieces.zip(laid.ids);
    let pieces = pieces.map(|(((planned, identified), standing), node)| {
        Arc::new(Piece {
            planned,
            identified,
            standing,
            node,
        })
    });
    let shop = Workshop {
        pieces: RwLock::new(pieces.collect()),
        nodes: RwLock::new(laid.nodes),
        names: Mutex::new(names),
        looked,
        has_begun: AtomicBool::new(false),
        is_closed: AtomicBool::new(false),
        files,
        tools,
        subtrees: SubtreeCache::new(function, SUBTREE_CACHE_BYTES),
        places: Places::new(dirs.root.clone(), dirs.scratch(), ledger.clone()),
        scratches: ScratchFolders::from(dirs.spare()),
        ledger,
        writers: RwLock::new(writers),
        history,
        pool,
        memory_kills: AtomicU64::new(memory_kills()),
        chores: Chores::default(),
        noted: AtomicUsize::new(0),
        running: Arc::default(),
        told: Mutex::new(Told {
            diagnostics: Vec::new(),
            statuses,
            usages: HashMap::new(),
        }),
        parts,
        dirs,
        levels,
        events,
    };
    Ok((shop, laid.plan))
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
                self.tell_end(at, ended.status, ended.output).await;
                Outcome::Succeeded
            }
            Err(Stopped::Cancelled) => {
                self.tell_end(at, ActionStatus::Cancelled, None).await;
                Outcome::Cancelled
            }
            Err(Stopped::Failed(diagnostics)) => {
                for diagnostic in diagnostics {
                    self.complain(diagnostic).await;
                }
                self.tell_end(at, ActionStatus::Failed, None).await;
                Outcome::Failed
            }
        }
    }

    /// Does work that reads disks and computes where it may block.
    async fn blocking<T: Send + 'static, E: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Workshop) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Stopped> {
        let shop = self.clone();
        let done = self.pool.run(move || work(&shop)).await;
        done.map_err(|panic| Diagnostic::error(Fault::Bug, format!("zako failed: {panic}")).into())
    }

    fn bench(&self) -> Bench<'_> {
        Bench {
            root: &self.dirs.root,
            function: self.parts.store.function(),
            files: &self.files,
            tools: &self.tools,
            subtrees: &self.subtrees,
            levels: &self.levels,
            named_at: &*self.parts.named_at,
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

    /// Action number `at`.
    fn piece(&self, at: usize) -> Arc<Piece> {
        self.pieces.read()[at].clone()
    }

    /// The actions that have to be looked into.
    fn work(&self) -> Vec<usize> {
        let nodes = self.nodes.read();
        let action = |node: &Node| match node {
            Node::Action(at) => Some(*at),
            Node::Step(_) => None,
        };
        nodes.iter().filter_map(action).collect()
    }

    async fn tell_end(&self, at: usize, status: ActionStatus, output: Option<String>) {
        let usage = {
            let mut told = self.told.lock();
            told.statuses[at] = Some(status);
            told.usages.remove(&at)
        };
        let piece = self.piece(at);
        let action = &piece.planned;
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

    /// Removes folders that were made for outputs which did not come. Only now: none is made for others any more.
    fn sweep_up(&self) {
        let statuses = self.told.lock().statuses.clone();
        let pieces = self.pieces.read();
        let failed = statuses.iter().zip(&*pieces).filter(|(status, _)| {
            matches!(status, Some(ActionStatus::Failed | ActionStatus::Cancelled))
        });
        for output in failed.flat_map(|(_, piece)| &piece.planned.spec.outputs) {
            remove_empty_folders(&self.dirs.root, &output.path);
        }
    }

    /// Writes down what was done.
    fn save(&self) -> std::io::Result<()> {
        self.parts.cache.flush().map_err(std::io::Error::other)?;
        self.ledger.lock().flush()
    }

    fn summary(&self) -> ExecuteSummary {
        let told = self.told.lock();
        let statuses: Vec<_> = told
            .statuses
            .iter()
            .map(|status| status.unwrap_or(ActionStatus::Cancelled))
            .collect();
        ExecuteSummary {
            counts: counts(&statuses),
            diagnostics: told.diagnostics.clone(),
            statuses,
            identified: self
                .pieces
                .read()
                .iter()
                .map(|piece| piece.identified.clone())
                .collect(),
            would_run: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
