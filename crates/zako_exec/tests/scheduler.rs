//! The scheduler around its state machine: order, stopping and cancellation with real futures.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_exec::{End, Outcome, Plan, PlanBuilder, PlanId, Priority, ScheduleOptions, Scheduler};

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
