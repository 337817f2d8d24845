//! Sharing, cancelling, panics and shutting down: the graph stays whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{join, join_all};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use zako_graph::{Ctx, Data, Engine, EngineOptions, GraphError, Key, Request};

use crate::sheet::{Sheet, cell};

/// Holds back computations, and counts them.
struct Gate {
    open: Semaphore,
    begun: AtomicUsize,
    inside: AtomicUsize,
    most_inside: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Self> {
        let zero = AtomicUsize::default;
        Arc::new(Self {
            open: Semaphore::new(0),
            begun: zero(),
            inside: zero(),
            most_inside: zero(),
        })
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Lets the others run until `count` computations have begun in all.
    async fn until_begun(&self, count: usize) {
        while self.begun() < count {
            tokio::task::yield_now().await;
        }
    }
}

/// Waits at the gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slow(u32);

impl Key for Slow {
    type Value = Result<u32, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        struct Inside<'a>(&'a Gate);
        impl Drop for Inside<'_> {
            fn drop(&mut self) {
                self.0.inside.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let gate = ctx.data::<Arc<Gate>>()?;
        let inside = gate.inside.fetch_add(1, Ordering::SeqCst) + 1;
        let _inside = Inside(gate);
        gate.most_inside.fetch_max(inside, Ordering::SeqCst);
        gate.begun.fetch_add(1, Ordering::SeqCst);
        gate.open.acquire().await.unwrap().forget();
        Ok(self.0)
    }
}

/// A tower on top of `Slow(0)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Floor(u32);

impl Key for Floor {
    type Value = Result<u32, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        match self.0 {
            0 => ctx.get(&Slow(0)).await?,
            n => Ok(ctx.get(&Floor(n - 1)).await?? + 1),
        }
    }
}

struct House {
    runtime: Runtime,
    engine: Engine,
    gate: Arc<Gate>,
}

impl House {
    fn new(threads: usize) -> Self {
        let runtime = match threads {
            1 => Builder::new_current_thread().build().unwrap(),
            n => Builder::new_multi_thread()
                .worker_threads(n)
                .build()
                .unwrap(),
        };
        let engine = Engine::new(runtime.handle().clone(), EngineOptions::default());
        Self {
            runtime,
            engine,
            gate: Gate::new(),
        }
    }

    fn begin(&self) -> Request {
        self.engine.begin(Data::new().with(self.gate.clone()))
    }

    #[track_caller]
    fn check_idle(&self) {
        self.runtime.block_on(self.engine.idle());
        assert_eq!(self.engine.running_count(), 0);
        assert_eq!(self.gate.inside.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn askers_share_a_computation() {
    for threads in [1, 4] {
        let house = House::new(threads);
        let request = house.begin();
        let (key, top) = (Slow(0), Floor(3));
        let asked = join(
            join_all((0..20).map(|_| request.get(&key))),
            request.get(&top),
        );
        let opened = async {
            house.gate.until_begun(1).await;
            house.gate.open.add_permits(1);
        };
        let ((answers, tower), ()) = house.runtime.block_on(join(asked, opened));
        assert_eq!(answers, vec![Ok(Ok(0)); 20]);
        assert_eq!(tower, Ok(Ok(3)));
        assert_eq!(house.gate.begun(), 1);
        house.check_idle();
    }
}

#[test]
fn a_newer_request_waits_for_an_older_one_and_verifies() {
    let house = House::new(1);
    let (old, new) = (house.begin(), house.begin());
    let key = Slow(0);
    let opened = async {
        house.gate.until_begun(1).await;
        house.gate.open.add_permits(1);
    };
    let (first, second, ()) = house
        .runtime
        .block_on(async { futures::join!(old.get(&key), new.get(&key), opened) });
    assert_eq!((first, second), (Ok(Ok(0)), Ok(Ok(0))));
    assert_eq!(house.gate.begun(), 1);
    house.check_idle();
}

#[test]
fn a_computation_ends_with_its_last_asker() {
    for threads in [1, 4] {
        let house = House::new(threads);
        let request = house.begin();
        let top = Floor(50);
        house.runtime.block_on(async {
            let mut first = Box::pin(request.get(&top));
            let mut second = Box::pin(request.get(&top));
            assert!(futures::poll!(&mut first).is_pending());
            assert!(futures::poll!(&mut second).is_pending());
            house.gate.until_begun(1).await;
            drop(first);
            // The other one keeps it going.
            tokio::task::yield_now().await;
            assert_eq!(house.gate.inside.load(Ordering::SeqCst), 1);
            drop(second);
            house.engine.idle().await;
        });
        house.check_idle();
        assert_eq!(house.engine.why(&Floor(0)), None);

        // As if nothing had been.
        house.gate.open.add_permits(1);
        assert_eq!(house.runtime.block_on(request.get(&top)), Ok(Ok(50)));
        assert_eq!(house.gate.begun(), 2);
    }
}

#[test]
fn cancelling_a_request_ends_its_asks_and_no_others() {
    let house = House::new(1);
    let (cancelled, kept) = (house.begin(), house.begin());
    let (shared, own) = (Slow(0), Slow(1));
    let (first, second, third, ()) = house.runtime.block_on(async {
        futures::join!(
            cancelled.get(&shared),
            cancelled.get(&own),
            kept.get(&shared),
            async {
                house.gate.until_begun(2).await;
                cancelled.cancel();
                house.gate.open.add_permits(1);
            }
        )
    });
    assert_eq!(
        (first, second),
        (Err(GraphError::Cancelled), Err(GraphError::Cancelled))
    );
    assert_eq!(third, Ok(Ok(0)));
    assert_eq!(
        house.runtime.block_on(cancelled.get(&shared)),
        Err(GraphError::Cancelled)
    );
    assert_eq!(house.engine.why(&own), None);
    house.check_idle();
}

#[test]
fn a_successor_starts_when_its_aborted_predecessor_has_ended() {
    let house = House::new(4);
    let request = house.begin();
    let key = Slow(0);
    house.runtime.block_on(async {
        for round in 1..300 {
            let mut asked = Box::pin(request.get(&key));
            assert!(futures::poll!(&mut asked).is_pending());
            house.gate.until_begun(round).await;
        }
        house.gate.open.add_permits(1);
        assert_eq!(request.get(&key).await, Ok(Ok(0)));
    });
    assert_eq!(house.gate.most_inside.load(Ordering::SeqCst), 1);
    house.check_idle();
}

#[test]
fn a_panic_is_an_error_for_the_askers() {
    let sheet = Sheet::new("a = 1\nboom = panic\ntop = a + boom\nsafe = try boom");
    let panicked = GraphError::Panicked {
        key: "boom".into(),
        message: "cell boom blew up".into(),
    };
    assert_eq!(sheet.get("boom"), Err(panicked.clone()));
    assert_eq!(
        sheet.get("top"),
        Ok(Err("computing boom panicked: cell boom blew up".into()))
    );
    assert_eq!(sheet.get("safe"), Ok(Ok(-1)));
    // All askers of one revision get the one panic.
    let request = sheet.begin();
    sheet.log();
    let boom = cell("boom");
    let both = sheet
        .runtime
        .block_on(join(request.get(&boom), request.get(&boom)));
    assert_eq!(both, (Err(panicked.clone()), Err(panicked)));
    assert_eq!(
        sheet.log(),
        ["computed 'boom", "failed boom"]
            .map(str::to_owned)
            .map(|event| {
                // The text was read in earlier revisions and is the same.
                event.replace("computed", "cut off")
            })
    );

    sheet.edit("boom = 4");
    assert_eq!(sheet.get("top"), Ok(Ok(5)));
    assert_eq!(sheet.get("safe"), Ok(Ok(4)));
    sheet.check_idle();
}

#[test]
fn a_panic_keeps_what_was_known_before() {
    let sheet = Sheet::new("a = 1\nb = a\ntop = b");
    assert_eq!(sheet.get("top"), Ok(Ok(1)));
    sheet.edit("b = panic");
    assert!(matches!(sheet.get("b"), Err(GraphError::Panicked { .. })));
    sheet.edit("b = a");
    sheet.log();
    assert_eq!(sheet.get("top"), Ok(Ok(1)));
    assert!(sheet.log().contains(&"verified top".to_owned()));
}

#[test]
fn a_runtime_that_shuts_down_cancels() {
    let House {
        runtime,
        engine,
        gate,
    } = House::new(4);
    let request = engine.begin(Data::new().with(gate.clone()));
    let outside = Builder::new_current_thread().build().unwrap();
    let top = Floor(9);
    let mut asked = Box::pin(request.get(&top));
    outside.block_on(async {
        assert!(futures::poll!(&mut asked).is_pending());
        gate.until_begun(1).await;
    });
    drop(runtime);
    assert_eq!(outside.block_on(asked).map_err(|_| ()), Err(()));
    // And nothing begins on it any more.
    assert_eq!(
        outside.block_on(request.get(&Floor(1))),
        Err(GraphError::Cancelled)
    );
    assert_eq!(engine.running_count(), 0);
}
