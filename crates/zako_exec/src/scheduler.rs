//! Runs a [`Plan`]: what is ready starts, longest critical path first, until all is done or nothing may start.
//!
//! It must never know what a node does, nor resources: a runner waits for its own grant.
//!
//! **Invariants:** one owner changes states, in [`progress::Progress::transition`] only. Each node is started at most
//! once, and only when all it needs has succeeded. While something is ready and fewer than the bound are in flight,
//! something starts.

mod growth;
mod progress;

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::{Plan, PlanId, Priority};
pub use growth::{Extension, Growth};
use progress::{Event, Progress};

/// How a node ended, as its runner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What depends on it may run.
    Succeeded,
    /// What depends on it is skipped.
    Failed,
    /// It was ended before it was done; what depends on it does not run.
    Cancelled,
}

/// Runs one node of a plan. The work of core: admission, cache, execution, reporting.
pub trait Runner: Send + Sync {
    /// Starts node `id`. The scheduler polls all these futures in one task, so work that computes belongs into a task of
    /// its own. `cancel` is cancelled when the whole run is; the future should then end soon.
    fn run(
        &self,
        id: PlanId,
        priority: Priority,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Outcome>;
}

impl<F> Runner for F
where
    F: Fn(PlanId, Priority, CancellationToken) -> BoxFuture<'static, Outcome> + Send + Sync,
{
    fn run(
        &self,
        id: PlanId,
        priority: Priority,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Outcome> {
        self(id, priority, cancel)
    }
}

/// How to run a plan.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleOptions {
    /// Go on after a failure with everything that doesn't depend on it. Otherwise nothing new starts.
    pub keep_going: bool,
    /// How many nodes may be in flight, waiting for resources included; at least one is.
    pub max_in_flight: usize,
}

/// How each node of a plan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ran and succeeded.
    Succeeded,
    /// It ran and failed.
    Failed,
    /// It was in flight and ended by cancellation.
    Cancelled,
    /// It could not run, because of a failure.
    Skipped {
        /// The node that failed; not always a direct dependency.
        because: PlanId,
    },
    /// It could have run, but the run was stopped before.
    NotStarted,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleReport {
    ends: Vec<End>,
}

impl ScheduleReport {
    /// How node `id` ended.
    #[must_use]
    pub fn end(&self, id: PlanId) -> End {
        self.ends[id.index()]
    }

    /// All nodes with their ends, in order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (PlanId, End)> + '_ {
        self.ends
            .iter()
            .enumerate()
            .filter_map(|(at, end)| Some((PlanId::from_index(at)?, *end)))
    }

    /// How many nodes satisfy `which`.
    pub fn count(&self, which: impl Fn(End) -> bool) -> usize {
        self.ends.iter().filter(|end| which(**end)).count()
    }

    /// Whether every node succeeded.
    #[must_use]
    pub fn all_succeeded(&self) -> bool {
        self.ends.iter().all(|end| *end == End::Succeeded)
    }
}

/// Runs plans.
///
/// ```
/// # use futures::FutureExt;
/// # use tokio_util::sync::CancellationToken;
/// # use zako_exec::{Outcome, PlanBuilder, PlanId, Priority, ScheduleOptions, Scheduler};
/// let mut plan = PlanBuilder::new();
/// let compile = plan.add("compile", None)?;
/// let link = plan.add("link", None)?;
/// plan.needs(link, compile);
///
/// let runner = |_: PlanId, _: Priority, _: CancellationToken| async { Outcome::Succeeded }.boxed();
/// let options = ScheduleOptions { keep_going: false, max_in_flight: 8 };
/// let (scheduler, cancel) = (Scheduler::new(plan.build()?, options), CancellationToken::new());
/// let report = futures::executor::block_on(scheduler.run(&runner, &cancel));
/// assert!(report.all_succeeded());
/// # Ok::<(), zako_exec::PlanError>(())
/// ```
#[derive(Debug)]
pub struct Scheduler {
    plan: Arc<Plan>,
    options: ScheduleOptions,
}

impl Scheduler {
    /// A scheduler for one plan.
    #[must_use]
    pub fn new(plan: impl Into<Arc<Plan>>, options: ScheduleOptions) -> Self {
        Self {
            plan: plan.into(),
            options,
        }
    }

    /// Runs the plan to its end and says how each node ended.
    ///
    /// After a failure without `keep_going`, and after `cancel`, nothing new starts and what is in flight is waited
    /// for. Dropping the future drops what is in flight.
    pub async fn run(&self, runner: &dyn Runner, cancel: &CancellationToken) -> ScheduleReport {
        self.run_growing(runner, &Growth::default(), cancel).await
    }

    /// The same of a plan to which running nodes add others, by `growth`: what a node adds before it ends is run, too, as soon as
    /// what it needs has succeeded. The report has the added nodes behind the plan's, in the order of adding.
    pub async fn run_growing(
        &self,
        runner: &dyn Runner,
        growth: &Growth,
        cancel: &CancellationToken,
    ) -> ScheduleReport {
        let mut progress = Progress::new(&self.plan, self.options);
        let mut in_flight = FuturesUnordered::new();
        let mut stop = std::pin::pin!(cancel.cancelled());
        if cancel.is_cancelled() {
            progress.transition(Event::Stop);
        }
        loop {
            while let Some(id) = progress.start_next() {
                let work = runner.run(id, progress.priority(id), cancel.clone());
                in_flight.push(async move { (id, work.await) });
            }
            tokio::select! {
                biased;
                () = &mut stop, if !progress.is_stopped() => progress.transition(Event::Stop),
                finished = in_flight.next() => match finished {
                    Some((id, outcome)) => {
                        // What it added comes before its end: else there might seem to be nothing left.
                        for extension in growth.take() {
                            progress.transition(Event::Grow(extension));
                        }
                        progress.transition(Event::Finished(id, outcome));
                    }
                    None => break,
                },
            }
        }
        ScheduleReport {
            ends: progress.into_ends(),
        }
    }
}
