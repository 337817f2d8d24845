//! One build, from patterns to a report: select, analyse, cut to what is needed, execute.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zako_action::Isolation;
use zako_exec::ResourcePool;

use crate::demand::{Demand, demand};
use crate::diagnostic::{Diagnostic, Fault, Severity, with_texts};
use crate::evaluate::Services;
use crate::event::{ActionStatus, BuildEvent, millis};
use crate::execute::lock::WorkspaceLock;
use crate::execute::{
    ExecuteParts, ExecuteSummary, Execution, PlannedAction, ScriptProgram, WorkspaceDirs, execute,
};
use crate::global::GlobalState;
use crate::options::BuildOptions;
use crate::report::{ActionCounts, BuildReport};
use crate::select::select;
use crate::session::{Graph, folder};
use crate::target::{analyze, script_modules};

/// A build about to run.
pub(crate) struct Building {
    pub(crate) global: Arc<GlobalState>,
    pub(crate) pool: ResourcePool,
    pub(crate) services: Arc<Services>,
    pub(crate) graph: Graph,
    pub(crate) patterns: Vec<String>,
    pub(crate) options: BuildOptions,
    pub(crate) events: mpsc::Sender<BuildEvent>,
    pub(crate) cancel: CancellationToken,
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
    let mut report = BuildReport {
        targets: Vec::new(),
        actions: ActionCounts::default(),
        diagnostics: Vec::new(),
        cancelled: false,
        wall: started.elapsed(),
    };
    stages(building, &mut report).await;
    report.cancelled = cancel.is_cancelled();
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
async fn stages(building: Building, report: &mut BuildReport) {
    let Building {
        global,
        pool,
        services,
        graph,
        patterns,
        options,
        events,
        cancel,
    } = building;
    let keep_going = options.keep_going;
    let root = services.workspace.root().clone();
    let from = match folder(&options.package) {
        Ok(from) => from,
        Err(error) => return tell(&events, &root, report, vec![error]).await,
    };
    let lock = match WorkspaceLock::acquire(&root, &events, &cancel).await {
        Ok(lock) => lock,
        Err(error) => return tell(&events, &root, report, vec![error]).await,
    };

    // Only now: what another build changed while this one waited is seen.
    let request = graph.begin(&services).await;
    let selection = select(&request, &services, &patterns, &from).await;
    tell(&events, &root, report, selection.logs.clone()).await;
    let broken = !selection.faults.is_empty();
    tell(&events, &root, report, selection.faults.clone()).await;
    if (broken && !keep_going) || cancel.is_cancelled() {
        return;
    }

    let analysis = analyze(&request, &services, &selection.targets, graph.analyses()).await;
    tell(&events, &root, report, analysis.logs.clone()).await;
    let broken = !analysis.faults.is_empty();
    tell(&events, &root, report, analysis.faults.clone()).await;
    if (broken && !keep_going) || cancel.is_cancelled() {
        return;
    }

    let Demand {
        actions: needed,
        targets,
        makers,
        faults,
    } = demand(&selection, &analysis, options.tests);
    let broken = !faults.is_empty();
    tell(&events, &root, report, faults).await;
    if broken && !keep_going {
        return;
    }
    let mut actions = Vec::with_capacity(needed.len());
    for needed in needed {
        let mut broken = None;
        let script = match &needed.action.script {
            None => None,
            Some(path) => match script_modules(&request, &services, path).await {
                Ok((module, modules)) => Some(Arc::new(ScriptProgram { module, modules })),
                Err(faults) if keep_going => {
                    broken = Some(faults);
                    None
                }
                Err(faults) => return tell(&events, &root, report, faults.to_vec()).await,
            },
        };
        actions.push(PlannedAction {
            spec: Arc::new(needed.action.spec.clone()),
            declared_at: needed.declared_at,
            test: needed.action.test,
            write: needed.action.write.clone(),
            script,
            broken,
        });
    }
    drop(request);
    report.targets = targets;
    let _ = events
        .send(BuildEvent::Planned {
            targets: report.targets.len(),
            actions: actions.len(),
        })
        .await;

    let parts = ExecuteParts {
        store: global.store.clone(),
        cache: global.cache.clone(),
        pool,
        engine: global.engine.clone(),
        script_limits: global.options().script_limits,
    };
    let isolation = options.isolation.unwrap_or(Isolation::Basic);
    let execution = Execution {
        actions,
        keep_going,
        isolation,
        events: events.clone(),
        cancel,
    };
    let ExecuteSummary {
        counts,
        diagnostics,
        statuses,
    } = execute(&parts, &WorkspaceDirs { root }, execution).await;
    drop(lock);
    report.actions = counts;
    report.diagnostics.extend(diagnostics);
    let good = |at: &usize| {
        matches!(
            statuses.get(*at),
            Some(ActionStatus::Ran | ActionStatus::FromCache | ActionStatus::UpToDate)
        )
    };
    for (target, makers) in report.targets.iter_mut().zip(&makers) {
        target.built = analysis.results.contains_key(&target.label) && makers.iter().all(good);
    }
}

/// Sends errors as events and keeps them for the report.
async fn tell(
    events: &mpsc::Sender<BuildEvent>,
    root: &Path,
    report: &mut BuildReport,
    diagnostics: Vec<Diagnostic>,
) {
    for diagnostic in with_texts(root, diagnostics) {
        if diagnostic.fault != Fault::Interrupted {
            let _ = events
                .send(BuildEvent::Diagnostic(diagnostic.clone()))
                .await;
        }
        if diagnostic.severity >= Severity::Warning {
            report.diagnostics.push(diagnostic);
        }
    }
}
