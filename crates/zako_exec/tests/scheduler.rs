//! The scheduler around its state machine: order, stopping and cancellation with real futures.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_exec::{
    End, Extension, Growth, Outcome, Plan, PlanBuilder, PlanId, Priority, ScheduleOptions,
    Scheduler,
};

/// Nodes with costs in milliseconds, and (node, what it needs) by index.
fn plan(costs: &[u64], edges: &[(usize, usize)]) -> (Plan, Vec<PlanId>) {
    let mut builder = PlanBuilder::new();
    let cost = |ms: &u64| Some(Duration::from_millis(*ms));
    let ids: Vec<PlanId> = costs
        .iter()
        .map(|ms| builder.add("node", cost(ms)).unwrap())
        .collect();
    edges
        .iter()
        .for_each(|&(node, needs)| builder.needs(ids[node], ids[needs]));
    (builder.build().unwrap(), ids)
}

fn options(keep_going: bool, max_in_flight: usize) -> ScheduleOptions {
    ScheduleOptions {
        keep_going,
        max_in_flight,
    }
}

#[tokio::test]
async fn the_longest_path_goes_first() {
    let (plan, _) = plan(&[1, 5, 2, 9], &[(3, 2)]);
    let order = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&order);
    let runner =
        move |id: PlanId, _: Priority, _: CancellationToken| -> BoxFuture<'static, Outcome> {
            log.lock().unwrap().push(id.index());
            async { Outcome::Succeeded }.boxed()
        };
    let report = Scheduler::new(plan, options(false, 1))
        .run(&runner, &CancellationToken::new())
        .await;
    assert!(report.all_succeeded());
    assert_eq!(*order.lock().unwrap(), [2, 3, 1, 0]);
}

#[tokio::test]
async fn after_a_failure_what_is_in_flight_ends_and_nothing_starts() {
    // 0 fails while 1 is in flight; 2 needs 0, 3 is alone and the least urgent.
    let (plan, ids) = plan(&[9, 9, 1, 1], &[(2, 0)]);
    let other_failed = Arc::new(tokio::sync::Notify::new());
    let runner =
        move |id: PlanId, _: Priority, _: CancellationToken| -> BoxFuture<'static, Outcome> {
            let failed = Arc::clone(&other_failed);
            async move {
                if id.index() == 0 {
                    failed.notify_one();
                    return Outcome::Failed;
                }
                failed.notified().await;
                tokio::task::yield_now().await;
                Outcome::Succeeded
            }
            .boxed()
        };
    let report = Scheduler::new(plan, options(false, 2))
        .run(&runner, &CancellationToken::new())
        .await;
    let ends: Vec<End> = report.iter().map(|(_, end)| end).collect();
    assert_eq!(
        ends,
        [
            End::Failed,
            End::Succeeded,
            End::Skipped { because: ids[0] },
            End::NotStarted
        ]
    );
    assert_eq!(report.count(|end| end == End::NotStarted), 1);
}

#[tokio::test]
async fn cancelling_reaches_the_runner_and_stops_the_rest() {
    let (plan, ids) = plan(&[1, 1], &[(1, 0)]);
    let cancel = CancellationToken::new();
    let trigger = cancel.clone();
    let runner =
        move |_: PlanId, _: Priority, cancel: CancellationToken| -> BoxFuture<'static, Outcome> {
            trigger.cancel();
            async move {
                cancel.cancelled().await;
                Outcome::Cancelled
            }
            .boxed()
        };
    let report = Scheduler::new(plan, options(true, 4))
        .run(&runner, &cancel)
        .await;
    assert_eq!(
        (report.end(ids[0]), report.end(ids[1])),
        (End::Cancelled, End::NotStarted)
    );
}

#[tokio::test]
async fn a_cancelled_run_starts_nothing() {
    let (plan, ids) = plan(&[1], &[]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let runner = |_: PlanId, _: Priority, _: CancellationToken| -> BoxFuture<'static, Outcome> {
        panic!("started")
    };
    let report = Scheduler::new(plan, options(true, 4))
        .run(&runner, &cancel)
        .await;
    assert_eq!(report.end(ids[0]), End::NotStarted);
}

#[tokio::test]
async fn an_empty_plan_succeeds() {
    let (plan, _) = plan(&[], &[]);
    let runner = |_: PlanId, _: Priority, _: CancellationToken| -> BoxFuture<'static, Outcome> {
        panic!("started")
    };
    assert!(
        Scheduler::new(plan, options(true, 4))
            .run(&runner, &CancellationToken::new())
            .await
            .all_succeeded()
    );
}

/// What a machine with two processors and a clock of its own makes of a graph.
mod virtual_machine {
    use std::collections::{BinaryHeap, VecDeque};
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use futures::channel::oneshot;

    use super::*;

    type Running = Arc<Mutex<BinaryHeap<(std::cmp::Reverse<u64>, usize)>>>;

    /// When the real scheduler is done, in units of cost.
    pub(super) fn by_scheduler(costs: &[u64], edges: &[(usize, usize)]) -> u64 {
        let (plan, _) = plan(costs, edges);
        let clock = Arc::new(Mutex::new(0));
        let running: Running = Arc::default();
        let ends: Arc<Mutex<Vec<Option<oneshot::Sender<()>>>>> =
            Arc::new(Mutex::new(costs.iter().map(|_| None).collect()));
        let runner = {
            let (clock, running, ends) = (clock.clone(), running.clone(), ends.clone());
            let costs = costs.to_vec();
            move |id: PlanId, _: Priority, _: CancellationToken| -> BoxFuture<'static, Outcome> {
                let at = *clock.lock().unwrap() + costs[id.index()];
                running
                    .lock()
                    .unwrap()
                    .push((std::cmp::Reverse(at), id.index()));
                let (end, ended) = oneshot::channel();
                ends.lock().unwrap()[id.index()] = Some(end);
                ended.map(|_| Outcome::Succeeded).boxed()
            }
        };
        let scheduler = Scheduler::new(plan, options(false, 2));
        let cancel = CancellationToken::new();
        let mut run = pin!(scheduler.run(&runner, &cancel));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(report) = run.as_mut().poll(&mut context) {
                assert!(report.all_succeeded());
                return *clock.lock().unwrap();
            }
            let (std::cmp::Reverse(at), id) = running.lock().unwrap().pop().unwrap();
            *clock.lock().unwrap() = at;
            ends.lock().unwrap()[id].take().unwrap().send(()).unwrap();
        }
    }

    /// The same when what is ready first runs first.
    pub(super) fn by_age(costs: &[u64], edges: &[(usize, usize)]) -> u64 {
        let mut missing: Vec<usize> = vec![0; costs.len()];
        edges.iter().for_each(|&(node, _)| missing[node] += 1);
        let mut ready: VecDeque<usize> = (0..costs.len()).filter(|n| missing[*n] == 0).collect();
        let mut running = BinaryHeap::new();
        let mut clock = 0;
        loop {
            while running.len() < 2
                && let Some(node) = ready.pop_front()
            {
                running.push((std::cmp::Reverse(clock + costs[node]), node));
            }
            let Some((std::cmp::Reverse(at), done)) = running.pop() else {
                return clock;
            };
            clock = at;
            for &(node, needs) in edges {
                if needs == done {
                    missing[node] -= 1;
                    if missing[node] == 0 {
                        ready.push_back(node);
                    }
                }
            }
        }
    }
}

/// Trees of compiling and linking of uneven size, from a seed: libraries of some sources each, of which later ones need earlier ones.
fn unbalanced(seed: u64) -> (Vec<u64>, Vec<(usize, usize)>) {
    let mut state = seed;
    let mut chance = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut costs, mut edges): (Vec<u64>, Vec<(usize, usize)>) = (Vec::new(), Vec::new());
    // What nobody waits for comes first, as tests of what is there already do.
    for _ in 0..100 {
        costs.push(1 + chance(9));
    }
    let mut last: Option<usize> = None;
    for _ in 0..25 {
        let sources: Vec<usize> = (0..1 + chance(3))
            .map(|_| {
                costs.push(1 + chance(6));
                costs.len() - 1
            })
            .collect();
        costs.push(5 + chance(20));
        let library = costs.len() - 1;
        edges.extend(
            sources
                .into_iter()
                .chain(last)
                .map(|needs| (library, needs)),
        );
        last = Some(library);
    }
    (costs, edges)
}

#[test]
fn the_critical_path_ends_unbalanced_graphs_sooner_than_age() {
    let (mut by_path, mut by_age) = (0, 0);
    for seed in 0..20 {
        let (costs, edges) = unbalanced(seed);
        by_path += virtual_machine::by_scheduler(&costs, &edges);
        by_age += virtual_machine::by_age(&costs, &edges);
    }
    assert!(
        by_path * 100 <= by_age * 85,
        "{by_path} by critical path, {by_age} by age"
    );
}

/// Node 0 adds two nodes before it ends: one that needs node 1, and one that needs that one.
async fn grown(first: Outcome, second: Outcome) -> (Vec<usize>, Vec<End>) {
    let (whole, _) = plan(&[9, 1], &[]);
    let growth = Growth::default();
    let order = Mutex::new(Vec::new());
    struct Growing<'a> {
        growth: &'a Growth,
        order: &'a Mutex<Vec<usize>>,
        ends: [Outcome; 2],
    }
    impl zako_exec::Runner for Growing<'_> {
        fn run(&self, id: PlanId, _: Priority, _: CancellationToken) -> BoxFuture<'_, Outcome> {
            async move {
                self.order.lock().unwrap().push(id.index());
                if id.index() == 0 {
                    let (added, ids) = plan(&[1, 1], &[(1, 0)]);
                    self.growth.add(Extension {
                        plan: added,
                        needs: vec![
                            (ids[0], PlanId::from_index(1).unwrap()),
                            (ids[0], PlanId::from_index(1).unwrap()),
                        ],
                    });
                }
                *self.ends.get(id.index()).unwrap_or(&Outcome::Succeeded)
            }
            .boxed()
        }
    }
    let runner = Growing {
        growth: &growth,
        order: &order,
        ends: [first, second],
    };
    let report = Scheduler::new(whole, options(true, 1))
        .run_growing(&runner, &growth, &CancellationToken::new())
        .await;
    let ends = report.iter().map(|(_, end)| end).collect();
    (order.into_inner().unwrap(), ends)
}

#[tokio::test]
async fn a_node_adds_others_while_it_runs() {
    let good = Outcome::Succeeded;
    let (order, ends) = grown(good, good).await;
    assert_eq!(order, [0, 1, 2, 3]);
    assert_eq!(ends, [End::Succeeded; 4]);
    // What was added before it failed is there all the same.
    let (order, ends) = grown(Outcome::Failed, good).await;
    assert_eq!(order, [0, 1, 2, 3]);
    assert_eq!(ends[2..], [End::Succeeded; 2]);
    let failed = End::Skipped {
        because: PlanId::from_index(1).unwrap(),
    };
    let (order, ends) = grown(good, Outcome::Failed).await;
    assert_eq!(order, [0, 1]);
    assert_eq!(ends[2..], [failed; 2]);
    let (order, ends) = grown(good, Outcome::Cancelled).await;
    assert_eq!(order, [0, 1]);
    assert_eq!(ends[2..], [End::NotStarted; 2]);
}

#[tokio::test]
async fn what_is_added_behind_a_failure_is_skipped() {
    // Node 1 fails before node 0, which is less urgent, adds what needs it.
    let (plan, _) = plan(&[1, 9], &[]);
    let growth = Arc::new(Growth::default());
    let add = growth.clone();
    let runner =
        move |id: PlanId, _: Priority, _: CancellationToken| -> BoxFuture<'static, Outcome> {
            let mut builder = PlanBuilder::new();
            let added = builder.add("added", None).unwrap();
            let extension = Extension {
                plan: builder.build().unwrap(),
                needs: vec![(added, PlanId::from_index(1).unwrap())],
            };
            if id.index() == 0 {
                add.add(extension);
            }
            async move {
                match id.index() {
                    1 => Outcome::Failed,
                    _ => Outcome::Succeeded,
                }
            }
            .boxed()
        };
    let report = Scheduler::new(plan, options(true, 1))
        .run_growing(&runner, &growth, &CancellationToken::new())
        .await;
    let because = PlanId::from_index(1).unwrap();
    let ends: Vec<End> = report.iter().map(|(_, end)| end).collect();
    assert_eq!(
        ends,
        [End::Succeeded, End::Failed, End::Skipped { because }]
    );
}
