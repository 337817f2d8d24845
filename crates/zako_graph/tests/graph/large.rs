//! Depth and breadth of 100,000, on the small stack of a test thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::{Builder, Runtime};
use zako_graph::archive::{Archive, Kind};
use zako_graph::{
    Codecs, Ctx, Data, Encoded, Engine, EngineEvent, EngineOptions, EventKind, GraphError, Kept,
    Key,
};

const MANY: u64 = 100_000;

/// A number outside of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaf(u64);

impl Key for Leaf {
    type Value = u64;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> u64 {
        if self.0 == 0 {
            ctx.data::<Arc<AtomicU64>>().unwrap().load(Ordering::SeqCst)
        } else {
            self.0
        }
    }

    fn same(old: &u64, new: &u64) -> bool {
        old == new
    }
}

/// One more than the link before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link(u64);

impl Key for Link {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        match self.0 {
            0 => ctx.get(&Leaf(0)).await,
            n => Ok(ctx.get(&Link(n - 1)).await?? + 1),
        }
    }
}

/// A link that asks for the two before it at once, so that most are joined and not started.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Braid(u64);

impl Key for Braid {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        match self.0 {
            0 | 1 => Ok(1),
            n => {
                let before = ctx.get_all([Braid(n - 1), Braid(n - 2)]).await?;
                Ok(before[0].clone()? % 1000 + before[1].clone()? % 1000)
            }
        }
    }
}

/// A ring of links, each asking for the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ring(u64);

impl Key for Ring {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        ctx.get(&Ring((self.0 + 1) % MANY)).await?
    }
}

/// The sum of that many leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sum(u64);

impl Key for Sum {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        Ok(ctx.get_all((0..self.0).map(Leaf)).await?.into_iter().sum())
    }
}

/// Keys of these types are a number, and so are their values.
macro_rules! kept {
    ($key:ident, $kind:expr, $number:ident => $value:expr, $pattern:pat => $of:expr) => {
        impl Kept for $key {
            const KIND: Kind = $kind;

            fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
                out.extend_from_slice(&self.0.to_le_bytes());
                true
            }

            fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
                Some(Self(u64::from_le_bytes(bytes.try_into().ok()?)))
            }

            fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
                let $pattern = value else {
                    return Encoded::Not;
                };
                out.extend_from_slice(&u64::to_le_bytes(*$of));
                Encoded::Value
            }

            fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
                let $number = u64::from_le_bytes(bytes.try_into().ok()?);
                Some($value)
            }
        }
    };
}

#[expect(irrefutable_let_patterns, reason = "one macro for both")]
mod kept {
    use super::*;

    kept!(Leaf, Kind::leaf(1), n => n, n => n);
    kept!(Link, Kind::inner(1), n => Ok(n), Ok(n) => n);
    kept!(Sum, Kind::inner(2), n => Ok(n), Ok(n) => n);
}

struct World {
    runtime: Runtime,
    engine: Engine,
    zero: Arc<AtomicU64>,
    computed: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let computed = Arc::new(AtomicU64::new(0));
        let counter = computed.clone();
        let observer = move |event: EngineEvent<'_>| {
            if event.kind == EventKind::Computed {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        };
        let options = EngineOptions {
            observer: Some(Arc::new(observer)),
            codecs: Codecs::new().with::<Leaf>().with::<Link>().with::<Sum>(),
        };
        let engine = Engine::new(runtime.handle().clone(), options);
        Self {
            runtime,
            engine,
            zero: Arc::default(),
            computed,
        }
    }

    #[track_caller]
    fn check<K: Key<Value = Result<u64, GraphError>>>(&self, key: K, expected: u64, computed: u64) {
        self.computed.store(0, Ordering::SeqCst);
        let request = self.engine.begin(Data::new().with(self.zero.clone()));
        assert_eq!(self.runtime.block_on(request.get(&key)), Ok(Ok(expected)));
        assert_eq!(self.computed.load(Ordering::SeqCst), computed);
    }
}

#[test]
fn a_long_chain_is_computed_verified_and_changed() {
    let world = World::new();
    world.check(Link(MANY), MANY, MANY + 2);
    world.check(Link(MANY), MANY, 0);
    world.zero.store(5, Ordering::SeqCst);
    world.check(Link(MANY), MANY + 5, MANY + 2);
}

#[test]
fn a_wide_sum_is_computed_verified_and_changed() {
    let world = World::new();
    let sum = MANY * (MANY - 1) / 2;
    world.check(Sum(MANY), sum, MANY + 1);
    world.check(Sum(MANY), sum, 0);
    world.zero.store(5, Ordering::SeqCst);
    world.check(Sum(MANY), sum + 5, 2);
}

/// Another engine goes on with what the first one had, which was for `key`, and finds nothing changed.
#[track_caller]
fn restart<K: Key<Value = Result<u64, GraphError>>>(key: K, value: u64, changed: u64, again: u64) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let request = world.engine.begin(Data::new().with(world.zero.clone()));
    assert_eq!(world.runtime.block_on(request.get(&key)), Ok(Ok(value)));
    let mut archive = Archive::empty(folder.path(), "test");
    world.engine.keep(&mut archive, &request);
    let footprint = world.engine.footprint(&request, &archive);
    assert!(footprint.complete);
    archive.compact(&footprint.roots).unwrap();
    drop((world, archive));

    let (mut archive, _) = Archive::open(folder.path(), "test").unwrap();
    let world = World::new();
    let restored = world.engine.restore(&archive, &Data::new()).unwrap();
    assert_eq!(restored, archive.len());
    let data = Data::new().with(world.zero.clone());
    let request = world
        .engine
        .begin_confirmed(data, |leaf| leaf.id().is_some());
    assert_eq!(world.runtime.block_on(request.get(&key)), Ok(Ok(value)));
    assert_eq!(world.computed.load(Ordering::SeqCst), 0);
    world.zero.store(5, Ordering::SeqCst);
    world.check(key.clone(), changed, again);
    let request = world.engine.begin_confirmed(Data::new(), |_| true);
    assert_eq!(world.runtime.block_on(request.get(&key)), Ok(Ok(changed)));
    world.engine.keep(&mut archive, &request);
    archive.flush().unwrap();
    assert!(world.engine.footprint(&request, &archive).complete);
}

#[test]
fn a_long_chain_is_restored() {
    restart(Link(MANY), MANY, MANY + 5, MANY + 2);
}

#[test]
fn a_wide_sum_is_restored() {
    let sum = MANY * (MANY - 1) / 2;
    restart(Sum(MANY), sum, sum + 5, 2);
}

#[test]
fn a_long_braid_is_no_cycle() {
    let world = World::new();
    let mut expected = [1, 1];
    for _ in 2..=MANY {
        expected = [expected[1], expected[1] % 1000 + expected[0] % 1000];
    }
    world.check(Braid(MANY), expected[1], MANY + 1);
    world.check(Braid(MANY), expected[1], 0);
}

#[test]
fn a_long_cycle_is_found() {
    let world = World::new();
    let request = world.engine.begin(Data::new());
    match world.runtime.block_on(request.get(&Ring(7))) {
        Err(GraphError::Cycle { path }) => assert_eq!(path.len() as u64, MANY + 1),
        other => panic!("{other:?}"),
    }
    world.runtime.block_on(world.engine.idle());
}

#[test]
fn a_long_chain_can_be_dropped_at_any_time() {
    let world = World::new();
    for _ in 0..5 {
        let request = world.engine.begin(Data::new().with(world.zero.clone()));
        world.runtime.block_on(async {
            let top = Link(MANY);
            let mut asked = Box::pin(request.get(&top));
            assert!(futures::poll!(&mut asked).is_pending());
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
        world.runtime.block_on(world.engine.idle());
        assert_eq!(world.engine.running_count(), 0);
    }
    let request = world.engine.begin(Data::new().with(world.zero.clone()));
    assert_eq!(
        world.runtime.block_on(request.get(&Link(MANY))),
        Ok(Ok(MANY))
    );
}
