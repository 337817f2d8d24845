#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Pool, PoolError, PoolOptions, ThreadSpawner, Worker, WorkerFactory};

/// A worker that counts its jobs and tells when it is dropped.
struct Counter {
    jobs: usize,
    live: Arc<AtomicUsize>,
    relieved: Arc<AtomicUsize>,
    spent_after: usize,
}

impl Worker for Counter {
    fn after_job(&mut self) {
        self.jobs += 1;
    }
    fn relieve(&mut self) {
        self.relieved.fetch_add(1, Ordering::SeqCst);
    }
    fn spent(&self) -> bool {
        self.jobs >= self.spent_after
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Counters {
    live: Arc<AtomicUsize>,
    relieved: Arc<AtomicUsize>,
    spent_after: usize,
}

impl Counters {
    fn new() -> Self {
        Counters {
            live: Arc::default(),
            relieved: Arc::default(),
            spent_after: usize::MAX,
        }
    }
}

impl WorkerFactory for Counters {
    type Worker = Counter;
    fn create(&self) -> Counter {
        self.live.fetch_add(1, Ordering::SeqCst);
        Counter {
            jobs: 0,
            live: self.live.clone(),
            relieved: self.relieved.clone(),
            spent_after: self.spent_after,
        }
    }
}

fn pool(max: usize, idle: Duration, counters: &Counters) -> Pool<Counter> {
    Pool::new(
        PoolOptions {
            name: "test",
            max,
            idle,
            ..PoolOptions::default()
        },
        counters.clone(),
        ThreadSpawner,
    )
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn it_grows_to_its_bound_and_no_further() {
    let pool = pool(3, LONG, &Counters::new());
    let (started, starts) = mpsc::channel();
    let gate = CancellationToken::new();
    let mut results = Vec::new();
    for n in 0..8 {
        let (started, gate) = (started.clone(), gate.clone());
        results.push(
            pool.submit(CancellationToken::new(), move |_, _| {
                started.send(()).unwrap();
                futures::executor::block_on(gate.cancelled());
                n
            })
            .unwrap(),
        );
    }
    for _ in 0..3 {
        starts.recv().unwrap();
    }
    let metrics = pool.metrics();
    assert_eq!(
        (metrics.threads, metrics.idle, metrics.queued, metrics.grown),
        (3, 0, 5, 3)
    );
    gate.cancel();
    let mut sum = 0;
    for result in results {
        sum += result.await.unwrap().unwrap();
    }
    assert_eq!(sum, 28);
    assert_eq!(pool.metrics().finished, 8);
}

#[tokio::test]
async fn a_warm_pool_has_made_its_worker_before_there_is_a_job() {
    let counters = Counters::new();
    let pool = pool(3, LONG, &counters);
    pool.warm();
    pool.warm();
    let threads = |pool: &Pool<Counter>| (pool.metrics().threads, pool.metrics().grown);
    assert_eq!(threads(&pool), (1, 1), "at once, and only one");
    // Submitted while the worker is being made or after: the job is that worker's, and no other thread is started for it.
    let jobs = pool.run(|worker, _| worker.jobs).await.unwrap();
    assert_eq!(jobs, 0);
    assert_eq!(threads(&pool), (1, 1));
    assert_eq!(counters.live.load(Ordering::SeqCst), 1);
    pool.warm();
    assert_eq!(threads(&pool), (1, 1), "it is warm already");
}

/// Starts no thread.
struct NoThreads;

impl super::Spawn for NoThreads {
    fn spawn(
        &self,
        _name: &'static str,
        _stack_bytes: usize,
        _body: Box<dyn FnOnce() + Send>,
    ) -> std::io::Result<()> {
        Err(std::io::Error::other("no threads today"))
    }
}

#[tokio::test]
async fn a_job_that_counts_on_a_warm_thread_is_told_when_there_is_none() {
    let pool = Pool::new(PoolOptions::default(), Counters::new(), NoThreads);
    pool.warm();
    // Whether the attempt has failed by now or not.
    let error = pool.run(|_, _| ()).await.unwrap_err();
    assert_eq!(error, PoolError::NoThread("no threads today".to_owned()));
    assert_eq!(pool.metrics().threads, 0);
}

#[tokio::test]
async fn it_shrinks_when_idle() {
    let counters = Counters::new();
    let pool = pool(2, Duration::ZERO, &counters);
    assert_eq!(pool.run(|_, _| 1).await, Ok(1));
    // With no idle time allowed the thread ends as soon as it looks for work; wait for that, not for a time.
    while pool.metrics().threads > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.metrics().shrunk, 1);
    assert_eq!(pool.run(|_, _| 2).await, Ok(2));
    assert_eq!(pool.metrics().grown, 2);
}

#[tokio::test]
async fn a_panic_costs_one_job() {
    let counters = Counters::new();
    let pool = pool(1, LONG, &counters);
    let result: Result<(), _> = pool.run(|_, _| panic!("out of cheese")).await;
    assert_eq!(result, Err(PoolError::Panicked("out of cheese".into())));
    assert_eq!(
        pool.run(|worker, _| worker.jobs).await,
        Ok(0),
        "the worker is a fresh one"
    );
    let metrics = pool.metrics();
    assert_eq!(
        (metrics.panicked, metrics.recycled, metrics.finished),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn a_cancelled_job_never_begins() {
    let pool = pool(1, LONG, &Counters::new());
    let gate = CancellationToken::new();
    let inner = gate.clone();
    let first = pool
        .submit(CancellationToken::new(), move |_, _| {
            futures::executor::block_on(inner.cancelled())
        })
        .unwrap();
    let token = CancellationToken::new();
    let second = pool
        .submit(token.clone(), |_, _| panic!("must not run"))
        .unwrap();
    token.cancel();
    gate.cancel();
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap(), Err(PoolError::Cancelled));
    assert_eq!(pool.metrics().cancelled, 1);
}

#[tokio::test]
async fn spent_workers_are_replaced() {
    let counters = Counters {
        spent_after: 2,
        ..Counters::new()
    };
    let pool = pool(1, LONG, &counters);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(pool.run(|worker, _| worker.jobs).await.unwrap());
    }
    assert_eq!(seen, [0, 1, 0, 1, 0]);
    assert_eq!(pool.metrics().recycled, 2);
    let mut threads = Vec::new();
    for _ in 0..4 {
        let thread = pool.run(|_, _| std::thread::current().id());
        threads.push(thread.await.unwrap());
    }
    // The second job of each worker is the last of its thread; the first one here was such.
    assert_ne!(threads[0], threads[1]);
    assert_eq!(threads[1], threads[2]);
    assert_ne!(threads[2], threads[3]);
    let metrics = pool.metrics();
    assert_eq!(
        (metrics.threads, metrics.grown, metrics.recycled),
        (1, 1, 4)
    );
}

#[tokio::test]
async fn memory_pressure_reaches_idle_workers() {
    let counters = Counters::new();
    let pool = pool(1, LONG, &counters);
    pool.run(|_, _| ()).await.unwrap();
    pool.relieve();
    while counters.relieved.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(counters.relieved.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn closing_refuses_what_waits_and_drops_workers() {
    let counters = Counters::new();
    let pool = pool(1, LONG, &counters);
    let gate = CancellationToken::new();
    let (started, starts) = mpsc::channel();
    let inner = gate.clone();
    let first = pool
        .submit(CancellationToken::new(), move |_, _| {
            started.send(()).unwrap();
            futures::executor::block_on(inner.cancelled());
        })
        .unwrap();
    starts.recv().unwrap();
    let second = pool.submit(CancellationToken::new(), |_, _| ()).unwrap();
    drop(pool);
    assert_eq!(second.await.unwrap(), Err(PoolError::Closed));
    gate.cancel();
    first.await.unwrap().unwrap();
    while counters.live.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let counters = Counters::new();
    let options = PoolOptions {
        max: 1,
        max_queue: 1,
        idle: LONG,
        ..PoolOptions::default()
    };
    let pool = Pool::new(options, counters, ThreadSpawner);
    let gate = CancellationToken::new();
    let (started, starts) = mpsc::channel();
    let inner = gate.clone();
    let first = pool
        .submit(CancellationToken::new(), move |_, _| {
            started.send(()).unwrap();
            futures::executor::block_on(inner.cancelled());
        })
        .unwrap();
    starts.recv().unwrap();
    let second = pool.submit(CancellationToken::new(), |_, _| ()).unwrap();
    assert_eq!(
        pool.submit(CancellationToken::new(), |_, _| ()).err(),
        Some(PoolError::Full(1))
    );
    gate.cancel();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}

/// Tidies up when it is told to, and may fail at that.
struct Tidy {
    told: mpsc::Receiver<bool>,
    ended: mpsc::Sender<()>,
    is_used: bool,
}

impl Worker for Tidy {
    fn tidy(&mut self) {
        let is_good = self.told.recv().unwrap();
        self.ended.send(()).unwrap();
        assert!(is_good, "what is left can't be let go of");
    }
}

struct Tidies(std::sync::Mutex<Vec<Tidy>>);

impl WorkerFactory for Tidies {
    type Worker = Tidy;
    fn create(&self) -> Tidy {
        self.0.lock().unwrap().pop().unwrap()
    }
}

#[tokio::test]
async fn a_result_is_there_before_the_worker_tidies_up_and_a_panic_in_that_costs_the_worker() {
    let (ended, ends) = mpsc::channel();
    let mut tell = Vec::new();
    let workers = (0..2).map(|_| {
        let (told, hear) = mpsc::channel();
        tell.push(told);
        Tidy {
            told: hear,
            ended: ended.clone(),
            is_used: false,
        }
    });
    let factory = Tidies(std::sync::Mutex::new(workers.collect()));
    let options = PoolOptions {
        max: 1,
        idle: LONG,
        ..PoolOptions::default()
    };
    let pool = Pool::new(options, factory, ThreadSpawner);
    let uses =
        |worker: &mut Tidy, _: &CancellationToken| std::mem::replace(&mut worker.is_used, true);
    // Nobody has said that it may tidy up.
    assert!(!pool.run(uses).await.unwrap());
    tell[1].send(true).unwrap();
    ends.recv().unwrap();
    assert!(pool.run(uses).await.unwrap(), "the same worker");
    tell[1].send(false).unwrap();
    ends.recv().unwrap();
    assert!(!pool.run(uses).await.unwrap(), "another one");
    tell[0].send(true).unwrap();
    ends.recv().unwrap();
    let metrics = pool.metrics();
    assert_eq!((metrics.panicked, metrics.recycled), (1, 1));
}
