//! How busy two processors are kept by a graph of actions of 20 ms, and how much sooner the critical path makes it end.
//!
//! `cargo bench -p zako_exec --bench schedule`. The processes are real: this program, told to compute for so long.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_exec::{
    Capacity, Outcome, Plan, PlanBuilder, PlanId, Priority, Process, Request, ResourcePool,
    ScheduleOptions, Scheduler,
};

const CORES: u64 = 2;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("burn") {
        let millis: u64 = args.next().unwrap().parse().unwrap();
        let end = Instant::now() + Duration::from_millis(millis);
        while Instant::now() < end {}
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // 200 actions of 20 ms, in ten rows of which each needs two of the row before.
        let even: Vec<(u64, Vec<usize>)> = (0..200)
            .map(|n| match n / 20 {
                0 => (20, vec![]),
                row => (20, vec![(row - 1) * 20 + n % 20, (row - 1) * 20 + (n * 7 + 3) % 20]),
            })
            .collect();
        let (wall, busy) = run(&even, true).await;
        println!(
            "20 ms actions: {wall:?} for 200, {CORES} processors {:.1} % busy",
            100.0 * busy.as_secs_f64() / (CORES as f64 * wall.as_secs_f64())
        );
        // 120 short ones that nobody waits for, and a chain declared after them.
        let mut uneven: Vec<(u64, Vec<usize>)> = (0..120).map(|n| (5 + n % 11, vec![])).collect();
        for link in 0..30 {
            uneven.push((30, if link == 0 { vec![] } else { vec![119 + link] }));
        }
        let (by_path, _) = run(&uneven, true).await;
        let (by_age, _) = run(&uneven, false).await;
        println!(
            "unbalanced graph: {by_path:?} by critical path, {by_age:?} first come first served: {:.0} % less",
            100.0 * (1.0 - by_path.as_secs_f64() / by_age.as_secs_f64())
        );
    });
}

fn plan(nodes: &[(u64, Vec<usize>)]) -> (Plan, Vec<PlanId>) {
    let mut builder = PlanBuilder::new();
    let cost = |millis: u64| Some(Duration::from_millis(millis));
    let ids: Vec<PlanId> = nodes
        .iter()
        .map(|(millis, _)| builder.add("burn", cost(*millis)).unwrap())
        .collect();
    for (at, (_, needs)) in nodes.iter().enumerate() {
        needs
            .iter()
            .for_each(|&needed| builder.needs(ids[at], ids[needed]));
    }
    (builder.build().unwrap(), ids)
}

/// How long it took, and the sum of what the actions took.
async fn run(nodes: &[(u64, Vec<usize>)], by_path: bool) -> (Duration, Duration) {
    let (plan, _) = plan(nodes);
    let millis: Arc<[u64]> = nodes.iter().map(|(millis, _)| *millis).collect();
    let pool = ResourcePool::new(Capacity {
        cpu_millis: 1000 * CORES,
        ..Capacity::of_this_machine()
    });
    let busy = Arc::new(AtomicU64::new(0));
    let age = Arc::new(Mutex::new(0i64));
    let this: PathBuf = std::env::current_exe().unwrap();
    let runner = {
        let busy = Arc::clone(&busy);
        move |id: PlanId,
              path: Priority,
              cancel: CancellationToken|
              -> BoxFuture<'static, Outcome> {
            let (pool, busy, millis) = (pool.clone(), Arc::clone(&busy), millis[id.index()]);
            let mut process = Process::new(&this, "/");
            process.args = vec!["burn".into(), millis.to_string().into()];
            let mut age = age.lock().unwrap();
            *age -= 1;
            let priority = if by_path { path } else { Priority(*age) };
            let work = tokio::spawn(async move {
                let one = Request {
                    cpu_millis: 1000,
                    ..Request::default()
                };
                let _grant = pool.acquire(&one, priority, &cancel).await.unwrap();
                let mut receive = |_, _: &[u8]| ControlFlow::Continue(());
                let ended = process.run(&mut receive, &cancel).await.unwrap();
                let took = u64::try_from(ended.usage.wall.as_micros()).unwrap();
                busy.fetch_add(took, Ordering::Relaxed);
                Outcome::Succeeded
            });
            async move { work.await.unwrap() }.boxed()
        }
    };
    let options = ScheduleOptions {
        keep_going: false,
        max_in_flight: 256,
    };
    let scheduler = Scheduler::new(plan, options);
    let began = Instant::now();
    let report = scheduler.run(&runner, &CancellationToken::new()).await;
    assert!(report.all_succeeded());
    (
        began.elapsed(),
        Duration::from_micros(busy.load(Ordering::Relaxed)),
    )
}
