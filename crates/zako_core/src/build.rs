//! One build, from patterns to a report: select, analyse, cut to what is needed, execute.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zako_action::ActionBody;
use zako_exec::BlockingPool;
use zako_graph::archive::Id;
use zako_path::NeutralPath;

use crate::burial::{Living, bury};
use crate::diagnostic::{Diagnostic, Fault, Severity, with_texts};
use crate::evaluate::kinds;
use crate::evaluate::{Faults, Services, names_of_files};
use crate::event::{ActionStatus, BuildEvent, millis};
use crate::execute::health::STUCK_AFTER;
use crate::execute::lock::WorkspaceLock;
use crate::execute::{
    ExecuteParts, ExecuteSummary, Execution, Growing, Machinery, PlannedAction, ScriptProgram,
    WorkspaceDirs, execute,
};
use crate::fetch::FetchRules;
use crate::files::Files;
use crate::glance::Seen;
use crate::global::GlobalState;
use crate::graph::{Graph, Turn};
use crate::ledger::{Ledger, Requested, RequestedTarget, SharedLedger, request};
use crate::manifest::MANIFEST;
use crate::options::BuildOptions;
use crate::recall::{Question, Recalled, Work, recall};
use crate::report::{BuildReport, BuiltTarget};
use crate::select::{Selection, select};
use crate::session::folder;
use crate::standby::{Kept, Owed};
use crate::steps::{Known, Steps};
use crate::target::{Analysis, KeptAnalyses, analyze, analyze_twice, script_modules};
use crate::watch::Changes;

/// A build about to run.
pub(crate) struct Building {
    pub(crate) global: Arc<GlobalState>,
    pub(crate) machinery: Arc<Machinery>,
    pub(crate) services: Arc<Services>,
    pub(crate) graph: Graph,
    /// Where what is known is kept between builds of a session that is watched.
    pub(crate) kept: Option<Kept>,
    /// What builds of the session still have to look at.
    pub(crate) owed: Owed,
    /// What has changed since then.
    pub(crate) changes: Option<Changes>,
    /// Why it is not to be tried.
    pub(crate) refused: Option<Diagnostic>,
    /// What was seen of the workspace already.
    pub(crate) glance: Option<Seen>,
    pub(crate) patterns: Vec<String>,
    pub(crate) options: BuildOptions,
    pub(crate) events: mpsc::Sender<BuildEvent>,
    pub(crate) cancel: CancellationToken,
    /// Whether it was said that actions are less isolated than they should be.
    pub(crate) weaker_told: Arc<AtomicBool>,
}

/// Runs the build to its end, however it ends.
pub(crate) async fn run(building: Building) -> BuildReport {
    let started = Instant::now();
    let events = building.events.clone();
    let cancel = building.cancel.clone();
    let _ = events
        .send(BuildEvent::Started {
            patterns: building.patterns.clone(),
        })
        .await;
    let mut report = BuildReport::default();
    let (owed, changes) = (building.owed.clone(), building.changes.clone());
    stages(building, &mut report).await;
    report.cancelled = cancel.is_cancelled();
    if let Some(changes) = changes.filter(|_| !report.cancelled) {
        owed.settle(&changes);
    }
    if report.cancelled {
        // What was stopped because of that is no error of its own.
        report
            .diagnostics
            .retain(|diagnostic| diagnostic.fault != Fault::Interrupted);
    }
    report.wall = started.elapsed();
    let counts = report.actions;
    let _ = events
        .send(BuildEvent::Finished {
            run: counts.run,
            from_cache: counts.from_cache,
            up_to_date: counts.up_to_date,
            failed: counts.failed,
            skipped: counts.skipped,
            wall_ms: millis(report.wall),
        })
        .await;
    report
}

/// The stages; each adds to the report what it found, and the first that finds the build impossible ends it.
async fn stages(mut building: Building, report: &mut BuildReport) {
    if let Some(error) = building.refused.take() {
        return building.tell(report, vec![error]).await;
    }
    let from = match folder(&building.options.package) {
        Ok(from) => from,
        Err(error) => return building.tell(report, vec![error]).await,
    };
    let root = building.services.workspace.root().clone();
    let seen = match building.glance.take() {
        Some(seen)
            if seen.key == building.request_key()
                && seen.identity == building.services.identity() =>
        {
            Ok(seen)
        }
        other => {
            // It holds the lock.
            drop(other);
            building.look(&root).await
        }
    };
    let Seen {
        mut lock,
        recalled,
        notice,
        ..
    } = match seen {
        Ok(seen) => seen,
        Err(error) => return building.tell(report, vec![error]).await,
    };
    building.tell(report, notice.into_iter().collect()).await;
    if let Err(error) = lock.announce(&root) {
        return building.tell(report, vec![error]).await;
    }
    // What is remembered of analysis is what is in doubt.
    let doubted = match recalled {
        Recalled::UpToDate { ledger, .. } if building.options.check_determinism => ledger.sound(),
        Recalled::Affected(work) if building.options.check_determinism => work.ledger.sound(),
        recalled => return building.go_on(recalled, lock, &from, report).await,
    };
    match doubted {
        Ok((ledger, notice)) => {
            let notice = notice.map(Diagnostic::warning);
            building.tell(report, notice.into_iter().collect()).await;
            let recalled = Recalled::Unknown(ledger);
            building.go_on(recalled, lock, &from, report).await;
        }
        Err(error) => {
            let error = Diagnostic::environment(format!("cannot read what is kept: {error}"));
            building.tell(report, vec![error]).await;
        }
    }
}

impl Building {
    /// Does what is left to do, as far as it is known; the workspace is locked until then.
    async fn go_on(
        self,
        recalled: Recalled,
        lock: WorkspaceLock,
        from: &NeutralPath,
        report: &mut BuildReport,
    ) {
        match recalled {
            Recalled::UpToDate {
                ledger,
                targets,
                warnings,
                actions,
            } => {
                self.tell(report, warnings).await;
                self.close(SharedLedger::new(ledger), report).await;
                report.actions.up_to_date = actions;
                report.targets = targets
                    .into_iter()
                    .map(|target| target.built(true))
                    .collect();
            }
            Recalled::Affected(work) => self.catch_up(*work, report).await,
            Recalled::Unknown(ledger) => self.plan(ledger, from, report).await,
        }
        drop(lock);
    }

    fn request_key(&self) -> Vec<u8> {
        let root = self.services.workspace.root();
        request::key(root, &self.patterns, &self.options)
    }

    /// Waits for its turn in the workspace, then looks what earlier builds know of the request: what another build changed
    /// meanwhile is seen.
    async fn look(&self, root: &Path) -> Result<Seen, Diagnostic> {
        let lock =
            WorkspaceLock::acquire(root, self.options.urgency, &self.events, &self.cancel).await?;
        let (services, key) = (self.services.clone(), self.request_key());
        let function = self.global.store.function();
        let (kept, changes) = (self.kept.clone(), self.changes.clone());
        let identity = self.services.identity();
        let seen = tokio::task::spawn_blocking(move || {
            let kept = kept
                .as_ref()
                .and_then(|kept| kept.take(services.workspace.root()));
            let (recalled, notice) = recall(Question {
                workspace: &services.workspace,
                key: &key,
                given: services.given(),
                function,
                identity: &identity,
                kept: kept.zip(changes.as_ref()),
            })?;
            Ok(Seen {
                lock,
                recalled,
                notice,
                key,
                identity,
            })
        });
        let failed =
            |panic: tokio::task::JoinError| Diagnostic::error(Fault::Bug, panic.to_string());
        seen.await.map_err(failed)?
    }

    /// Begins what the first action waits for otherwise: to read the cache and the store, to watch the machine, to have a thread
    /// that starts programs.
    fn begin_ahead(&self) {
        let (store, cache) = (self.global.store.clone(), self.global.cache.clone());
        let machinery = self.machinery.clone();
        let pool = BlockingPool::new(&Handle::current());
        tokio::spawn(async move {
            let ahead = move || {
                machinery.watch();
                // Whoever uses them tells what is wrong.
                let _told_later = cache.refresh();
                zako_exec::begin_launcher();
                let _told_later = store.refresh();
            };
            pool.run(ahead).await
        });
    }

    /// Runs the affected part of a request whose scripts have not changed.
    async fn catch_up(self, work: Work, report: &mut BuildReport) {
        let Work {
            ledger,
            targets,
            warnings,
            actions: all,
            affected,
        } = work;
        if !affected.is_empty() {
            self.begin_ahead();
        }
        let told = report.diagnostics.len();
        self.tell(report, warnings).await;
        let places: HashMap<Id, usize> = affected
            .iter()
            .enumerate()
            .map(|(at, affected)| (affected.action, at))
            .collect();
        let mut actions = Vec::with_capacity(affected.len());
        for affected in affected {
            match PlannedAction::recalled(&ledger, affected) {
                Some(action) => actions.push(action),
                // What was kept of it can't be read: all is planned anew.
                None => {
                    report.diagnostics.truncate(told);
                    let from =
                        folder(&self.options.package).unwrap_or_else(|_| NeutralPath::root());
                    let (ledger, text) = match ledger.sound() {
                        Ok(sound) => sound,
                        Err(error) => {
                            let error = format!("cannot set the workspace's state aside: {error}");
                            return self
                                .tell(report, vec![Diagnostic::environment(error)])
                                .await;
                        }
                    };
                    let notice = text.map(Diagnostic::warning);
                    self.tell(report, notice.into_iter().collect()).await;
                    return self.plan(ledger, &from, report).await;
                }
            }
        }
        let ledger = SharedLedger::new(ledger);
        if actions.iter().any(|action| action.is_script()) {
            let turn = self
                .graph
                .begin(&self.services, &ledger, self.changes.as_ref())
                .await;
            for action in &mut actions {
                if let Err(faults) = self.load_program(&turn, action).await {
                    if !self.options.keep_going {
                        return self.tell(report, faults.to_vec()).await;
                    }
                    action.broken = Some(faults);
                }
            }
        }
        let rest = all.len() - actions.len();
        let makers: Vec<Vec<usize>> = targets
            .iter()
            .map(|target| {
                let makers = target.makers.iter();
                let action = |maker: &u32| all.get(*maker as usize);
                makers
                    .filter_map(action)
                    .filter_map(|action| places.get(action).copied())
                    .collect()
            })
            .collect();
        report.targets = targets
            .into_iter()
            .map(|target| target.built(true))
            .collect();
        let summary = self.execute(actions, None, &ledger, rest, report).await;
        report.actions.up_to_date += rest;
        settle(report, &makers, &summary);
        self.close(ledger, report).await;
    }

    /// Plans the request by its scripts, and runs what is not up to date.
    async fn plan(self, ledger: Ledger, from: &NeutralPath, report: &mut BuildReport) {
        let keep_going = self.options.keep_going;
        let (services, cancel) = (&self.services, &self.cancel);
        let ledger = SharedLedger::new(ledger);
        let turn = self
            .graph
            .begin(services, &ledger, self.changes.as_ref())
            .await;
        let told = report.diagnostics.len();
        let selection = select(&turn, services, &self.patterns, from).await;
        self.tell(report, selection.logs.clone()).await;
        let mut broken = !selection.faults.is_empty();
        self.tell(report, selection.faults.clone()).await;
        if (broken && !keep_going) || cancel.is_cancelled() {
            return self.keep(turn, ledger, report).await;
        }

        let memo = KeptAnalyses(ledger.clone());
        let analysis = match self.options.check_determinism {
            false => analyze(&turn, services, &selection, &memo).await,
            true => analyze_twice(&turn, services, &selection, &memo).await,
        };
        drop(memo);
        self.tell(report, analysis.logs.clone()).await;
        broken |= !analysis.faults.is_empty();
        self.tell(report, analysis.faults.clone()).await;
        if (broken && !keep_going) || cancel.is_cancelled() {
            return self.keep(turn, ledger, report).await;
        }

        let unread = self.unread(&turn, &ledger, &selection);
        self.tell(report, unread).await;
        let mut warnings = report.diagnostics[told..].to_vec();
        let steps = Steps::new(&self, &turn, &ledger, &selection, analysis);
        let (batch, faults) = steps.begin().await;
        let is_wrong = !faults.is_empty();
        self.tell(report, faults).await;
        if is_wrong && !keep_going {
            return self.keep(turn, ledger, report).await;
        }
        let later = steps.look(|known| {
            report.targets.clone_from(&known.targets);
            std::mem::take(&mut known.later)
        });
        let growing = match batch.steps.is_empty() {
            true => None,
            false => Some(Growing {
                unfolding: &steps,
                steps: batch.steps,
                later: later.into_iter().collect(),
            }),
        };
        let summary = self
            .execute(batch.actions, growing, &ledger, 0, report)
            .await;
        let known = steps.end();
        broken |= known.is_broken || known.is_open(summary.statuses.len());
        let Known {
            analysis,
            targets,
            makers,
            is_whole,
            ..
        } = known;
        warnings.extend(known.warnings);
        report.targets = targets;
        settle(report, &makers, &summary);
        for (target, is_whole) in report.targets.iter_mut().zip(is_whole) {
            target.built &= is_whole && analysis.results.contains_key(&target.label);
        }
        if !self.options.dry_run && !cancel.is_cancelled() {
            self.bury(&ledger, &selection, &analysis, &summary, report)
                .await;
            // Once it is noted nobody looks for the dead again. Execution that never came so far identified nothing.
            if !broken && summary.identified.len() == summary.statuses.len() {
                let noted = Noted {
                    analysis: &analysis,
                    makers: &makers,
                    targets: &report.targets,
                    warnings: &warnings,
                };
                self.note_request(&turn, &ledger, &selection, &summary, &noted);
            }
        }
        self.keep(turn, ledger, report).await;
    }

    /// Warnings of what `-D` sets and nothing that was asked for reads.
    fn unread(&self, turn: &Turn, ledger: &SharedLedger, selection: &Selection) -> Vec<Diagnostic> {
        if selection.unclaimed.is_empty() {
            return Vec::new();
        }
        let mut ledger = ledger.lock();
        turn.keep(&mut ledger);
        let footprint = turn.footprint(&ledger);
        if !footprint.complete {
            return Vec::new();
        }
        let archive = ledger.archive();
        let options = footprint.leaves.iter();
        let options = options.filter(|leaf| archive.kind(**leaf) == kinds::CONFIG_VALUE);
        let read: Vec<&[u8]> = options.map(|leaf| archive.key(*leaf)).collect();
        let unread = selection.unclaimed.iter();
        let unread = unread.filter(|(name, _)| !read.contains(&name.as_bytes()));
        let warning = |(name, near): &(String, Option<String>)| {
            let text =
                format!("the option {name}, which -D sets, is read by nothing that is built");
            let help = match near {
                Some(near) => format!("did you mean {near}?"),
                None => "leave it out, or declare it in a *.config.ts file".to_owned(),
            };
            Diagnostic::warning(text).with_help(help)
        };
        unread.map(warning).collect()
    }

    /// The modules of a script action.
    pub(crate) async fn load_program(
        &self,
        turn: &Turn,
        action: &mut PlannedAction,
    ) -> Result<(), Faults> {
        let ActionBody::Script { module, .. } = &action.spec.body else {
            return Ok(());
        };
        let (module, modules) = script_modules(turn, &self.services, module).await?;
        action.script = Some(Arc::new(ScriptProgram { module, modules }));
        Ok(())
    }

    async fn execute(
        &self,
        actions: Vec<PlannedAction>,
        growing: Option<Growing<'_>>,
        ledger: &SharedLedger,
        rest: usize,
        report: &mut BuildReport,
    ) -> ExecuteSummary {
        let planned = BuildEvent::Planned {
            targets: report.targets.len(),
            actions: actions.len() + rest,
        };
        let _nobody_listens = self.events.send(planned).await;
        let parts = ExecuteParts {
            store: self.global.store.clone(),
            cache: self.global.cache.clone(),
            machinery: self.machinery.clone(),
            policy: self.services.workspace.manifest().policy.clone(),
            stuck_after: STUCK_AFTER,
            engine: self.global.engine.clone(),
            script_limits: self.global.options().script_limits,
            layer: self.global.options().executor.clone(),
            fetching: FetchRules {
                locked: self.options.locked,
                offline: self.options.offline,
            },
            named_at: names_of_files(self.services.clone()),
        };
        let execution = Execution {
            actions,
            growing,
            keep_going: self.options.keep_going,
            isolation: self.options.isolation,
            weaker_told: self.weaker_told.clone(),
            dry_run: self.options.dry_run,
            urgency: self.options.urgency,
            ledger: ledger.clone(),
            events: self.events.clone(),
            cancel: self.cancel.clone(),
        };
        let dirs = WorkspaceDirs {
            root: self.services.workspace.root().clone(),
        };
        let summary = execute(&parts, &dirs, execution).await;
        report.actions = summary.counts;
        report
            .diagnostics
            .extend(summary.diagnostics.iter().cloned());
        report.would_run.clone_from(&summary.would_run);
        summary
    }

    /// Takes note of what the request came to, so that the next build need not ask its scripts.
    fn note_request(
        &self,
        turn: &Turn,
        ledger: &SharedLedger,
        selection: &Selection,
        summary: &ExecuteSummary,
        noted: &Noted<'_>,
    ) {
        // The manifest is a leaf like others.
        let files = Files::open(
            self.services.workspace.root().clone(),
            ledger.clone(),
            HashSet::new(),
        );
        let manifest = NeutralPath::new(MANIFEST).ok().filter(|path| {
            let found = files.value(path);
            matches!(found, Ok(Some(_)))
        });
        let manifest = manifest.map(|path| files.leaf(&path));
        // What decides about actions counts as what scripts read.
        let reads = noted.analysis.steps.values().flatten();
        let decisive: Vec<Id> = reads.map(|path| files.leaf(path)).collect();
        let mut ledger = ledger.lock();
        turn.keep(&mut ledger);
        let scripts = turn.footprint(&ledger);
        if !scripts.complete {
            return;
        }
        let actions = summary
            .identified
            .iter()
            .map(|action| ledger.action_id(&action.name.0, &action.identity))
            .collect();
        let own = noted.analysis.own.iter();
        let analyses = own.filter_map(|(label, own)| ledger.analysis_id(label, own));
        let mut analyses: Vec<Id> = analyses.collect();
        analyses.sort_unstable();
        // What a package is with the options of this request: its node may be another one by the time that is asked again.
        let given = selection.packages.keys().filter_map(|package| {
            let key = self.services.readers.node(package, &self.services.config)?;
            ledger.archive().find(kinds::PACKAGE_GIVEN, &key)
        });
        analyses.extend(given);
        let targets: Vec<RequestedTarget> = noted
            .targets
            .iter()
            .zip(noted.makers)
            .map(|(target, makers)| RequestedTarget {
                label: target.label.clone(),
                files: target.files.clone(),
                makers: makers
                    .iter()
                    .filter_map(|maker| u32::try_from(*maker).ok())
                    .collect(),
            })
            .collect();
        let leaves = scripts.leaves.into_iter().chain(manifest);
        let leaves = leaves.chain(decisive).collect();
        let groups = [leaves, actions, analyses, scripts.roots];
        let requested = Requested {
            is_dynamic: !noted.analysis.steps.is_empty(),
            targets,
            warnings: noted.warnings.to_vec(),
        };
        ledger.note_request(&self.request_key(), groups, &requested);
    }

    /// Removes outputs that nothing claims any more.
    async fn bury(
        &self,
        ledger: &SharedLedger,
        selection: &Selection,
        analysis: &Analysis,
        summary: &ExecuteSummary,
        report: &mut BuildReport,
    ) {
        let workspace = &self.services.workspace;
        let living = Living::new(
            workspace,
            &selection.packages,
            analysis,
            &summary.identified,
        );
        let faults = bury(ledger, &living, &self.request_key());
        self.tell(report, faults).await;
    }

    /// Keeps what the scripts came to, and closes the ledger.
    async fn keep(&self, turn: Turn, ledger: SharedLedger, report: &mut BuildReport) {
        turn.keep(&mut ledger.lock());
        drop(turn);
        self.close(ledger, report).await;
    }

    async fn close(&self, ledger: SharedLedger, report: &mut BuildReport) {
        let (kept, root) = (self.kept.clone(), self.services.workspace.root().clone());
        let closed = match ledger.into_inner() {
            Some(mut ledger) => {
                let tidy = move || {
                    ledger.tidy()?;
                    if let Some(kept) = kept {
                        kept.put(&root, ledger);
                    }
                    Ok::<_, std::io::Error>(())
                };
                BlockingPool::new(&Handle::current()).run(tidy).await
            }
            None => return,
        };
        if let Ok(Err(error)) = closed {
            // Only time is lost by that.
            let warning = format!("cannot write the workspace's state: {error}");
            self.tell(report, vec![Diagnostic::warning(warning)]).await;
        }
    }

    /// Sends errors as events and keeps them for the report.
    pub(crate) async fn tell(&self, report: &mut BuildReport, diagnostics: Vec<Diagnostic>) {
        for diagnostic in with_texts(self.services.workspace.root(), diagnostics) {
            if diagnostic.fault != Fault::Interrupted {
                let event = BuildEvent::Diagnostic(diagnostic.clone());
                let _nobody_listens = self.events.send(event).await;
            }
            if diagnostic.severity >= Severity::Warning {
                report.diagnostics.push(diagnostic);
            }
        }
    }
}

/// What is noted of a request beside its nodes.
struct Noted<'a> {
    analysis: &'a Analysis,
    targets: &'a [BuiltTarget],
    /// For each target the actions that make what was asked for of it.
    makers: &'a [Vec<usize>],
    warnings: &'a [Diagnostic],
}

/// Says of each target whether it is built, by the actions that make it.
fn settle(report: &mut BuildReport, makers: &[Vec<usize>], summary: &ExecuteSummary) {
    let is_good = |at: &usize| {
        matches!(
            summary.statuses.get(*at),
            Some(ActionStatus::Ran | ActionStatus::FromCache | ActionStatus::UpToDate)
        )
    };
    for (target, makers) in report.targets.iter_mut().zip(makers) {
        target.built = makers.iter().all(is_good);
    }
}
