//! Builds whose actions depend on what is built: in rounds. Each builds what dynamic steps read and runs those, until all actions
//! are known; the rest is one plan, as in every build.
//!
//! **Invariant:** what a round built is up to date in the next, so nothing runs twice.

use std::collections::{HashMap, HashSet};

use crate::build::Building;
use crate::demand::{Demand, demand};
use crate::diagnostic::{Diagnostic, Severity};
use crate::event::ActionStatus;
use crate::execute::ExecuteSummary;
use crate::files::Files;
use crate::graph::Turn;
use crate::ledger::SharedLedger;
use crate::report::{ActionReason, BuildReport};
use crate::select::Selection;
use crate::target::{Analysis, KeptAnalyses, Pending, lose, resolve};

/// What rounds need of a build.
pub(crate) struct Stepping<'a> {
    pub(crate) turn: &'a Turn,
    pub(crate) ledger: &'a SharedLedger,
    pub(crate) selection: &'a Selection,
}

/// What came of all rounds.
#[derive(Default)]
pub(crate) struct Stepped {
    /// Whether something is wrong that the build goes on from.
    pub(crate) broken: bool,
    /// What the steps warned of.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The build has ended: the report says why.
pub(crate) struct RoundsStopped;

/// What the rounds did, by actions.
#[derive(Default)]
pub(crate) struct Rounds(HashMap<([u8; 16], [u8; 16]), ActionStatus>);

impl Rounds {
    /// Runs rounds until all actions are known, which is at once where there is no dynamic step.
    pub(crate) async fn run(
        &mut self,
        build: &Building,
        stepping: &Stepping<'_>,
        analysis: &mut Analysis,
        report: &mut BuildReport,
    ) -> Result<Stepped, RoundsStopped> {
        let Stepping {
            turn,
            ledger,
            selection,
        } = *stepping;
        let keep_going = build.options.keep_going;
        let mut stepped = Stepped::default();
        // As good as always: nothing is planned twice.
        if !has_steps(analysis) {
            return Ok(stepped);
        }
        loop {
            let Demand {
                actions: needed,
                targets,
                makers: _,
                pending,
                faults,
            } = demand(selection, analysis, build.options.tests);
            if pending.is_empty() && faults.is_empty() {
                return Ok(stepped);
            }
            if pending.is_empty() {
                // The plan of the rest tells them.
                let is_circular = has_steps(analysis) && needed.is_empty();
                if is_circular {
                    build.tell(report, faults).await;
                    return Err(RoundsStopped);
                }
                return Ok(stepped);
            }
            let planned = build.planned(turn, needed, report).await;
            let (actions, are_wrong) = planned.map_err(|()| RoundsStopped)?;
            stepped.broken |= are_wrong;
            report.targets = targets;
            let mut summary = build.execute(actions, ledger, 0, report).await;
            self.credit(&mut summary);
            self.remember(&summary);
            report.actions = summary.counts;
            if build.cancel.is_cancelled() {
                return Err(RoundsStopped);
            }
            if build.options.dry_run && !summary.would_run.is_empty() {
                report
                    .would_run
                    .extend(unknown(&pending, summary.would_run.len()));
                return Err(RoundsStopped);
            }
            let is_good = |at: &usize| {
                matches!(
                    summary.statuses.get(*at),
                    Some(ActionStatus::Ran | ActionStatus::FromCache | ActionStatus::UpToDate)
                )
            };
            let (ready, failed): (Vec<_>, Vec<_>) = pending
                .into_iter()
                .partition(|(_, makers)| makers.iter().all(is_good));
            if !failed.is_empty() || !(0..summary.statuses.len()).all(|at| is_good(&at)) {
                stepped.broken = true;
                if !keep_going {
                    return Err(RoundsStopped);
                }
            }
            let labels: HashSet<String> = failed.into_iter().map(|(step, _)| step.label).collect();
            lose(&selection.targets, analysis, labels);
            let steps: Vec<Pending> = ready.into_iter().map(|(step, _)| step).collect();
            let logged = analysis.logs.len();
            let wrong = {
                let root = build.services.workspace.root().clone();
                let files = Files::open(root, ledger.clone(), HashSet::new());
                let memo = KeptAnalyses(ledger.clone());
                let (services, targets) = (&build.services, &selection.targets);
                resolve(turn, services, targets, analysis, steps, &memo, &files).await
            };
            let logs = analysis.logs[logged..].to_vec();
            let warnings = logs.iter().filter(|log| log.severity >= Severity::Warning);
            stepped.warnings.extend(warnings.cloned());
            build.tell(report, logs).await;
            stepped.broken |= !wrong.is_empty();
            let is_over = !wrong.is_empty() && !keep_going;
            build.tell(report, wrong).await;
            if is_over || build.cancel.is_cancelled() {
                return Err(RoundsStopped);
            }
        }
    }

    /// Says of what earlier rounds did that it was done, and not that it is up to date.
    pub(crate) fn credit(&self, summary: &mut ExecuteSummary) {
        if self.0.is_empty() {
            return;
        }
        for (action, status) in summary.identified.iter().zip(&mut summary.statuses) {
            if *status == ActionStatus::UpToDate
                && let Some(earlier) = self.0.get(&(action.name.0, action.identity))
            {
                *status = *earlier;
            }
        }
        summary.counts = crate::execute::counts(&summary.statuses);
    }

    fn remember(&mut self, summary: &ExecuteSummary) {
        let ended = summary.identified.iter().zip(&summary.statuses);
        let worked =
            ended.filter(|(_, end)| matches!(end, ActionStatus::Ran | ActionStatus::FromCache));
        self.0
            .extend(worked.map(|(action, end)| ((action.name.0, action.identity), *end)));
    }
}

fn has_steps(analysis: &Analysis) -> bool {
    let mut actions = analysis.results.values().flat_map(|result| &result.actions);
    actions.any(|action| action.step().is_some())
}

/// What a dry run can't tell: the actions of the steps, which wait for all before them.
fn unknown(pending: &[(Pending, Vec<usize>)], before: usize) -> Vec<ActionReason> {
    let reason = |(step, _): &(Pending, Vec<usize>)| ActionReason {
        owner: step.label.clone(),
        what: format!("whatever a dynamic step of {} declares then", step.label),
        causes: Vec::new(),
        because: (0..before).collect(),
    };
    pending.iter().map(reason).collect()
}
