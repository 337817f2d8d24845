//! The pool with real waiting: cancellation, names, clamping, and many threads at once.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use zako_exec::{AcquireError, Capacity, Priority, Request, ResourcePool};

fn pool() -> ResourcePool {
    ResourcePool::new(Capacity {
        cpu_millis: 4000,
        memory_bytes: 1000,
        network_slots: 2,
        named: [("gpu".to_owned(), 1), ("licence".to_owned(), 3)].into(),
    })
}

fn cpu(cpu_millis: u64) -> Request {
    Request {
        cpu_millis,
        ..Request::default()
    }
}

fn named(name: &str, count: u32) -> Request {
    Request {
        named: [(name.to_owned(), count)].into(),
        ..Request::default()
    }
}

fn assert_free(pool: &ResourcePool) {
    let state = pool.state();
    assert_eq!(
        (
            state.in_use.cpu_millis,
            state.in_use.memory_bytes,
            state.in_use.network_slots
        ),
        (0, 0, 0)
    );
    assert!(state.in_use.named.values().all(|n| *n == 0));
    assert_eq!(state.waiting, 0);
}

#[tokio::test]
async fn pools_share_processors_and_keep_what_is_named_apart() {
    let cancel = CancellationToken::new();
    let one = pool();
    let other = one.with_named([("gpu".to_owned(), 2)].into());
    let mine = one.acquire(&named("gpu", 1), Priority(0), &cancel).await;
    let (mine, theirs) = (mine.unwrap(), other.try_acquire(&named("gpu", 2)).unwrap());
    assert!(theirs.is_some() && one.try_acquire(&named("gpu", 1)).unwrap().is_none());
    let state = [&one, &other].map(|pool| pool.state().in_use.named["gpu"]);
    assert_eq!(state, [1, 2]);
    let licence = other.check(&named("licence", 1));
    assert!(
        matches!(licence, Err(AcquireError::Unknown { .. })),
        "{licence:?}"
    );
    let all = other.try_acquire(&cpu(4000)).unwrap();
    assert!(all.is_some() && one.try_acquire(&cpu(1)).unwrap().is_none());
    // The resource goes when what holds some of it does, and another pool has its place then.
    drop(other);
    let next = one.with_named([("gpu".to_owned(), 5)].into());
    assert_eq!(next.state().in_use.named["gpu"], 0);
    drop((theirs, next));
    let next = one.with_named([("gpu".to_owned(), 5)].into());
    assert!(next.try_acquire(&named("gpu", 5)).unwrap().is_some());
    drop((mine, all));
    assert_free(&one);
}

#[tokio::test]
async fn names_are_checked() {
    let (pool, cancel) = (pool(), CancellationToken::new());
    let error = pool
        .acquire(&named("gpus", 1), Priority(0), &cancel)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no resource named `gpus`, did you mean `gpu`?"
    );
    let error = pool
        .acquire(&named("quux", 1), Priority(0), &cancel)
        .await
        .unwrap_err();
    assert_eq!(
        error,
        AcquireError::Unknown {
            name: "quux".to_owned(),
            nearest: None
        }
    );
    let error = pool
        .acquire(&named("licence", 4), Priority(0), &cancel)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("4 of the resource `licence` were asked for, but there are only 3")
    );
    let network = Request {
        network_slots: 3,
        ..Request::default()
    };
    assert!(
        matches!(pool.try_acquire(&network), Err(AcquireError::TooLarge { name, .. }) if name == "network")
    );
    assert_free(&pool);
}

#[tokio::test]
async fn more_than_the_machine_is_the_whole_machine() {
    let pool = pool();
    let huge = Request {
        cpu_millis: 99_000,
        memory_bytes: u64::MAX,
        ..Request::default()
    };
    let grant = pool
        .acquire(&huge, Priority(0), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((grant.cpu_millis(), grant.memory_bytes()), (4000, 1000));
    assert!(
        pool.try_acquire(&cpu(1)).unwrap().is_none(),
        "it runs alone"
    );
    drop(grant);
    assert_free(&pool);
}

#[tokio::test]
async fn cancelling_or_dropping_a_waiter_leaves_nothing() {
    let (pool, cancel) = (pool(), CancellationToken::new());
    let whole = pool
        .acquire(&cpu(4000), Priority(0), &cancel)
        .await
        .unwrap();
    let token = CancellationToken::new();
    let request = cpu(1000);
    let mut cancelled = Box::pin(pool.acquire(&request, Priority(0), &token));
    let mut dropped = Box::pin(pool.acquire(&request, Priority(0), &cancel));
    assert!((&mut cancelled).now_or_never().is_none());
    assert!((&mut dropped).now_or_never().is_none());
    assert_eq!(pool.state().waiting, 2);
    token.cancel();
    assert_eq!(cancelled.await.unwrap_err(), AcquireError::Cancelled);
    drop(dropped);
    assert_eq!(pool.state().waiting, 0);
    drop(whole);
    assert_free(&pool);
    assert_eq!(
        pool.acquire(&request, Priority(0), &token)
            .await
            .unwrap_err(),
        AcquireError::Cancelled
    );
}

/// Granted by a release, but dropped before it could take notice.
#[tokio::test]
async fn a_grant_that_nobody_takes_goes_back() {
    let (pool, cancel) = (pool(), CancellationToken::new());
    let whole = pool
        .acquire(&cpu(4000), Priority(0), &cancel)
        .await
        .unwrap();
    let request = cpu(3000);
    let mut first = Box::pin(pool.acquire(&request, Priority(1), &cancel));
    let mut second = Box::pin(pool.acquire(&request, Priority(0), &cancel));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(whole);
    assert_eq!(pool.state().in_use.cpu_millis, 3000);
    drop(first);
    let grant = second.now_or_never().expect("granted by the drop").unwrap();
    assert_eq!(pool.state().in_use.cpu_millis, 3000);
    drop(grant);
    assert_free(&pool);
}

#[test]
fn a_request_is_what_an_action_declares() {
    let mut resources = zako_action::Resources::default();
    assert_eq!(
        Request::of(&resources, 7),
        Request {
            memory_bytes: 7,
            ..cpu(1000)
        }
    );
    resources.memory = Some(9);
    resources.network_slots = 1;
    resources.named = [("gpu".to_owned(), 1)].into();
    let expected = Request {
        cpu_millis: 1000,
        memory_bytes: 9,
        network_slots: 1,
        ..named("gpu", 1)
    };
    assert_eq!(Request::of(&resources, 7), expected);
}

#[test]
fn many_threads_never_exceed_the_capacity() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 400;
    let pool = pool();
    let in_use = Arc::new([const { AtomicU64::new(0) }; 3]);
    let start = Arc::new(Barrier::new(THREADS as usize));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (pool, in_use, start) = (pool.clone(), Arc::clone(&in_use), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                let mut random = thread.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                let mut granted = 0;
                for _ in 0..ROUNDS {
                    // xorshift: only has to mix.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let request = Request {
                        cpu_millis: random % 4001,
                        memory_bytes: (random >> 16) % 1001,
                        network_slots: ((random >> 32) % 3) as u32,
                        named: [("licence".to_owned(), ((random >> 40) % 4) as u32)].into(),
                    };
                    let token = CancellationToken::new();
                    let wait = pool.acquire(&request, Priority((random % 3) as i64), &token);
                    let grant = match (random >> 48) % 4 {
                        0 => wait.now_or_never(),
                        _ => Some(futures::executor::block_on(wait)),
                    };
                    let Some(grant) = grant else { continue };
                    let grant = grant.unwrap();
                    granted += 1;
                    let amounts = [
                        request.cpu_millis,
                        request.memory_bytes,
                        u64::from(request.network_slots),
                    ];
                    for (at, whole) in [4000, 1000, 2].into_iter().enumerate() {
                        let used =
                            in_use[at].fetch_add(amounts[at], Ordering::SeqCst) + amounts[at];
                        assert!(used <= whole, "over capacity");
                    }
                    std::thread::yield_now();
                    for (at, amount) in amounts.into_iter().enumerate() {
                        in_use[at].fetch_sub(amount, Ordering::SeqCst);
                    }
                    drop(grant);
                }
                granted
            })
        })
        .collect();
    let granted: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert!(
        granted >= THREADS * ROUNDS / 2,
        "those that wait are all granted"
    );
    assert_free(&pool);
}

/// A machine with `headroom` bytes left, none of which this pool's work uses.
fn weather(headroom: u64) -> zako_exec::Weather {
    zako_exec::Weather {
        headroom,
        ours: 0,
        is_stalled: false,
    }
}

async fn owned(pool: ResourcePool, request: Request) -> zako_exec::Grant {
    let cancel = CancellationToken::new();
    pool.acquire(&request, Priority(0), &cancel).await.unwrap()
}

fn memory(memory_bytes: u64) -> Request {
    Request {
        memory_bytes,
        ..Request::default()
    }
}

#[tokio::test]
async fn what_wants_memory_waits_for_the_machine_and_never_for_ever() {
    let (pool, cancel) = (pool(), CancellationToken::new());
    pool.observe(weather(100));
    // Nothing runs: the first may start whatever the weather.
    let first = pool
        .acquire(&memory(500), Priority(0), &cancel)
        .now_or_never()
        .unwrap()
        .unwrap();
    let mut second = Box::pin(owned(pool.clone(), memory(200)));
    assert!((&mut second).now_or_never().is_none());
    assert!(pool.state().waits_for_memory);
    // What wants no memory overtakes.
    drop(owned(pool.clone(), cpu(1000)).now_or_never().unwrap());
    assert!((&mut second).now_or_never().is_none());
    // The machine has recovered: 500 promised and unused, 200 wanted.
    pool.observe(weather(700));
    let second = (&mut second).now_or_never().unwrap();
    assert!(!pool.state().waits_for_memory);
    pool.observe(weather(0));
    let mut third = Box::pin(owned(pool.clone(), memory(1)));
    assert!((&mut third).now_or_never().is_none());
    drop((first, second));
    drop((&mut third).now_or_never().unwrap());
    assert_free(&pool);
}

#[tokio::test]
async fn who_wants_to_be_alone_is() {
    let (pool, cancel) = (pool(), CancellationToken::new());
    let alone = pool
        .acquire(&Request::default().alone(), Priority(0), &cancel)
        .await
        .unwrap();
    assert_eq!((alone.cpu_millis(), alone.memory_bytes()), (4000, 1000));
    assert!(pool.try_acquire(&cpu(1)).unwrap().is_none());
    assert!(pool.try_acquire(&memory(1)).unwrap().is_none());
}

/// Real files, a real thread: the watch follows what a folder in place of `/proc` says.
#[test]
fn a_watch_follows_the_machine_and_lets_waiters_in() {
    let proc = tempfile::tempdir().unwrap();
    let say = |available: u64| {
        let text = format!("MemTotal: 1000000 kB\nMemAvailable: {available} kB\n");
        let next = proc.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, proc.path().join("meminfo")).unwrap();
    };
    say(1);
    let pool = ResourcePool::new(Capacity {
        memory_bytes: 1 << 30,
        ..pool().capacity().clone()
    });
    let watch = pool.watch(zako_exec::Sources::at(
        proc.path(),
        proc.path(),
        std::process::id(),
    ));
    let watch = watch.unwrap();
    let first = futures::executor::block_on(owned(pool.clone(), memory(1 << 20)));
    // It looks at once when it is rung, and once more at least before this ends.
    while pool.state().weather.is_none() {
        std::thread::yield_now();
    }
    let (told, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let second = futures::executor::block_on(owned(pool.clone(), memory(1 << 20)));
            told.send(()).unwrap();
            drop(second);
        });
        while pool.state().waiting == 0 {
            std::thread::yield_now();
        }
        assert!(waits.try_recv().is_err());
        say(900_000);
        waits.recv().unwrap();
    });
    drop(first);
    drop(watch);
    assert_free(&pool);
}
