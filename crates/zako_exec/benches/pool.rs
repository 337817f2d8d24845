//! What admission costs: one grant taken and given back, alone, beside other threads, and with others waiting.
#![expect(clippy::unwrap_used, reason = "benches")]

use divan::{Bencher, black_box};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use zako_exec::{Capacity, Priority, Request, ResourcePool};

fn main() {
    divan::main();
}

fn pool(cpu_millis: u64) -> ResourcePool {
    ResourcePool::new(Capacity {
        cpu_millis,
        memory_bytes: 1 << 40,
        network_slots: 16,
        named: [("gpu".to_owned(), 1_000_000)].into(),
    })
}

fn one_core() -> Request {
    Request {
        cpu_millis: 1000,
        memory_bytes: 1 << 20,
        ..Request::default()
    }
}

#[divan::bench(threads = [1, 2, 4])]
fn free(bencher: Bencher<'_, '_>) {
    let (pool, cancel, request) = (pool(1_000_000), CancellationToken::new(), one_core());
    bencher.bench(|| {
        let grant = pool
            .acquire(&request, Priority(0), &cancel)
            .now_or_never()
            .unwrap();
        drop(black_box(grant));
    });
}

#[divan::bench(threads = [1, 2, 4])]
fn free_with_a_name(bencher: Bencher<'_, '_>) {
    let (pool, cancel) = (pool(1_000_000), CancellationToken::new());
    let request = Request {
        named: [("gpu".to_owned(), 1)].into(),
        ..one_core()
    };
    bencher.bench(|| {
        let grant = pool
            .acquire(&request, Priority(0), &cancel)
            .now_or_never()
            .unwrap();
        drop(black_box(grant));
    });
}

/// All threads want the only core.
#[divan::bench(threads = [1, 2, 4])]
fn contended(bencher: Bencher<'_, '_>) {
    let (pool, cancel, request) = (pool(1000), CancellationToken::new(), one_core());
    bencher.bench(|| {
        let grant = futures::executor::block_on(pool.acquire(&request, Priority(0), &cancel));
        drop(black_box(grant));
    });
}

/// One more request joins so many that wait, and leaves again.
#[divan::bench(args = [1, 16, 256])]
fn queue_and_leave(bencher: Bencher<'_, '_>, waiting: usize) {
    let (pool, cancel, request) = (pool(1000), CancellationToken::new(), one_core());
    let _whole = pool
        .acquire(&request, Priority(0), &cancel)
        .now_or_never()
        .unwrap();
    let mut waiters: Vec<_> = (0..waiting)
        .map(|_| Box::pin(pool.acquire(&request, Priority(0), &cancel)))
        .collect();
    waiters
        .iter_mut()
        .for_each(|waiter| assert!(waiter.now_or_never().is_none()));
    bencher.bench_local(|| {
        black_box(
            pool.acquire(&request, Priority(0), &cancel)
                .now_or_never()
                .is_none(),
        )
    });
}
