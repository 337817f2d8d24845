//! An execution that grows: steps among its actions find out more of them while the others run.
//!
//! It must never know what a step does. **Invariants:** what was added stays, under its number; when something could not be added,
//! nothing more is. A file that an action may be writing
//! is not looked at for what is added; that action takes note of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_exec::{Extension, Growth, Outcome, PlanId, Priority, Runner, Urgency};
use zako_path::NeutralPath;

use super::judge::{Court, Earlier, judge};
use super::run::Stopped;
use super::{Identified, Piece, PlannedAction, Workshop, may_do};
use crate::diagnostic::{Diagnostic, Fault, Severity};
use crate::event::ActionStatus;
use crate::files::Files;

/// What finds out more actions.
pub(crate) trait Unfolding: Send + Sync {
    /// Runs the step with that number; what it reads is built, and to be found in `files`.
    fn run<'a>(&'a self, step: usize, files: &'a Files) -> BoxFuture<'a, Unfolded<'a>>;
}

/// A step that has run.
pub(crate) struct Unfolded<'a> {
    /// What is known since then.
    pub(crate) batch: Batch,
    /// What is to be told, of whatever severity.
    pub(crate) told: Vec<Diagnostic>,
    /// Whether that is all right.
    pub(crate) is_good: bool,
    /// Until it is dropped nobody else adds anything.
    pub(crate) _adding: tokio::sync::MutexGuard<'a, ()>,
}

/// What is added to an execution.
#[derive(Default)]
pub(crate) struct Batch {
    /// The actions, which are numbered on from those of before.
    pub(crate) actions: Vec<PlannedAction>,
    /// The steps.
    pub(crate) steps: Vec<PlannedStep>,
}

/// A step of an execution.
#[derive(Debug, Clone)]
pub(crate) struct PlannedStep {
    /// What it is called by whoever runs it.
    pub(crate) number: usize,
    /// Label of the target that it belongs to.
    pub(crate) owner: String,
    /// The numbers of the actions that it waits for.
    pub(crate) makers: Vec<usize>,
}

/// How an execution grows.
pub(crate) struct Growing<'a> {
    pub(crate) unfolding: &'a dyn Unfolding,
    /// The steps that are known at the beginning.
    pub(crate) steps: Vec<PlannedStep>,
    /// What will be written outside of `zako-out/` by actions that are not known yet.
    pub(crate) later: HashSet<NeutralPath>,
}

/// What a node of the plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// An action, by its number.
    Action(usize),
    /// A step, by its number.
    Step(usize),
}

/// Runs the nodes of an execution's plan.
pub(super) struct Crew<'a> {
    pub(super) shop: Arc<Workshop>,
    pub(super) growth: &'a Growth,
    pub(super) unfolding: Option<&'a dyn Unfolding>,
    pub(super) urgency: Urgency,
}

impl Runner for Crew<'_> {
    fn run(
        &self,
        id: PlanId,
        priority: Priority,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Outcome> {
        match self.shop.node(id) {
            Node::Step(number) => self.step(number, cancel).boxed(),
            Node::Action(at) => {
                let (shop, priority) = (self.shop.clone(), priority.of(self.urgency));
                async move {
                    let work = tokio::spawn(async move { shop.run(at, priority, &cancel).await });
                    work.await.unwrap_or(Outcome::Failed)
                }
                .boxed()
            }
        }
    }
}

impl Crew<'_> {
    /// Runs a step and adds what comes of it.
    async fn step(&self, number: usize, cancel: CancellationToken) -> Outcome {
        let Some(unfolding) = self.unfolding else {
            return Outcome::Failed;
        };
        let Unfolded {
            batch,
            told,
            mut is_good,
            _adding,
        } = unfolding.run(number, &self.shop.files).await;
        self.shop.remark(told).await;
        if cancel.is_cancelled() {
            return Outcome::Cancelled;
        }
        if batch.actions.is_empty() && batch.steps.is_empty() {
            return match is_good {
                true => Outcome::Succeeded,
                false => Outcome::Failed,
            };
        }
        // What comes later is numbered on from what could not be added.
        if self.shop.is_closed.load(Ordering::Relaxed) {
            return Outcome::Failed;
        }
        match self.shop.extend(batch).await {
            Ok(extension) => self.growth.add(extension),
            Err(wrong) => {
                is_good = false;
                self.shop.is_closed.store(true, Ordering::Relaxed);
                for diagnostic in wrong {
                    self.shop.complain(diagnostic).await;
                }
            }
        }
        match is_good {
            true => Outcome::Succeeded,
            false => Outcome::Failed,
        }
    }
}

impl Workshop {
    pub(super) fn node(&self, id: PlanId) -> Node {
        self.nodes.read()[id.index()]
    }

    /// Tells what a step had to say; only what is at least a warning is kept.
    pub(super) async fn remark(&self, told: Vec<Diagnostic>) {
        for diagnostic in told {
            if diagnostic.severity >= Severity::Warning {
                if diagnostic.fault != Fault::Interrupted {
                    self.complain(diagnostic).await;
                }
                continue;
            }
            let diagnostic = diagnostic.with_text(&self.dirs.root);
            self.tell(crate::event::BuildEvent::Diagnostic(diagnostic))
                .await;
        }
    }

    /// Adds `batch`, and gives what the plan gets of it.
    pub(super) async fn extend(
        self: &Arc<Self>,
        batch: Batch,
    ) -> Result<Extension, Vec<Diagnostic>> {
        let added = self.blocking(move |shop| shop.take_in(batch));
        let (extension, actions) = match added.await {
            Ok(added) => added?,
            Err(Stopped::Failed(wrong)) => return Err(wrong),
            Err(Stopped::Cancelled) => return Err(Vec::new()),
        };
        self.begin(&actions).await;
        Ok(extension)
    }

    /// The same, with the actions of it that have to be looked into. Blocks.
    fn take_in(&self, batch: Batch) -> Result<(Extension, Vec<usize>), Vec<Diagnostic>> {
        let Batch { actions, steps } = batch;
        may_do(&self.parts.policy, &actions)?;
        let pieces = self.pieces.read().clone();
        let first = pieces.len();
        let mut all: Vec<Arc<PlannedAction>> =
            pieces.iter().map(|piece| piece.planned.clone()).collect();
        all.extend(actions.into_iter().map(Arc::new));
        self.writers.write().add(&all, first)?;
        let taken = self.judge_and_plan(&pieces, &all, &steps);
        if taken.is_err() {
            self.writers.write().remove_from(first);
        }
        taken
    }

    fn judge_and_plan(
        &self,
        pieces: &[Arc<Piece>],
        all: &[Arc<PlannedAction>],
        steps: &[PlannedStep],
    ) -> Result<(Extension, Vec<usize>), Vec<Diagnostic>> {
        let first = pieces.len();
        let (root, function) = (&self.dirs.root, self.parts.store.function());
        let identified: Vec<Identified> = {
            let mut names = self.names.lock();
            let new = all[first..].iter();
            new.map(|action| Identified::of(action, names.name(&action.spec), root, function))
                .collect()
        };
        // Those that ended well are noted, and nobody writes what they wrote any more.
        let is_open: Vec<bool> = {
            let told = self.told.lock();
            let ends = pieces.iter().zip(&told.statuses);
            ends.map(|(piece, end)| {
                let is_good = matches!(
                    end,
                    Some(ActionStatus::Ran | ActionStatus::FromCache | ActionStatus::UpToDate)
                );
                piece.node.is_some() && !is_good
            })
            .collect()
        };
        let writers = self.writers.read();
        let court = Court {
            ledger: &self.ledger,
            files: &self.files,
            tools: &self.tools,
            root,
            writers: &writers,
            looked: Some(&self.looked),
        };
        let earlier = Earlier {
            is_open: &|at| is_open[at],
            is_node: &|at| pieces[at].node.is_some(),
            count: first,
        };
        let standing = judge(&court, &all[first..], &identified, Some(&earlier)).map_err(|e| {
            let place = root.display();
            vec![Diagnostic::environment(format!(
                "cannot look into {place}: {e}"
            ))]
        })?;
        let mut nodes = self.nodes.write();
        let base = nodes.len();
        let duration = |at: usize| {
            Some(identified.get(at.checked_sub(first)?)?.name)
                .and_then(|n| self.history.duration(n))
        };
        let laid = writers.plan(
            all,
            first,
            steps,
            &|at| standing[at - first].holds(),
            &duration,
            &|at| pieces[at].node,
        )?;
        nodes.extend(&laid.nodes);
        let mut told = self.told.lock();
        let mut all_pieces = self.pieces.write();
        let mut work = Vec::new();
        let new = all[first..].iter().zip(identified).zip(standing);
        for (number, ((planned, identified), standing)) in new.enumerate() {
            let node = laid.ids[number].and_then(|id| PlanId::from_index(id.index() + base));
            work.extend(node.map(|_| first + number));
            told.statuses
                .push(standing.holds().then_some(ActionStatus::UpToDate));
            all_pieces.push(Arc::new(Piece {
                planned: planned.clone(),
                identified,
                standing,
                node,
            }));
        }
        let extension = Extension {
            plan: laid.plan,
            needs: laid.needs,
        };
        Ok((extension, work))
    }

    /// Takes note that there is something to do, before it is done.
    pub(super) async fn begin(self: &Arc<Self>, actions: &[usize]) {
        if actions.is_empty() {
            return;
        }
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            self.ledger.lock().note_begin();
            if let Some(warning) = self.parts.machinery.start() {
                self.complain(warning).await;
            }
        }
        let leaves_it_open = |at: &usize| {
            let piece = self.piece(*at);
            let planned = &piece.planned;
            let is_process = planned.script.is_none() && planned.work.is_none();
            is_process && planned.spec.isolation.is_none()
        };
        if actions.iter().any(leaves_it_open) {
            let notice = self.blocking(|shop| Ok::<_, Stopped>(shop.levels.notice()));
            if let Ok(Ok(Some(notice))) = notice.await {
                self.complain(notice).await;
            }
        }
    }
}
