//! What a node costs: computing and verifying chains and fan-ins. Divide by `NODES` for one node.
#![expect(clippy::unwrap_used, reason = "a bench")]

use divan::Bencher;
use divan::counter::ItemsCount;
use tokio::runtime::{Builder, Runtime};
use zako_graph::{Ctx, Data, Engine, EngineOptions, GraphError, Key};

const NODES: u64 = 100_000;
const THREADS: [usize; 3] = [1, 2, 4];

/// Reads nothing: only the engine is measured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaf(u64);

impl Key for Leaf {
    type Value = u64;
    const LEAF: bool = true;

    async fn compute(&self, _: &Ctx) -> u64 {
        self.0
    }

    fn same(old: &u64, new: &u64) -> bool {
        old == new
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link(u64);

impl Key for Link {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        match self.0 {
            0 => ctx.get(&Leaf(0)).await,
            n => ctx.get(&Link(n - 1)).await?,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sum(u64);

impl Key for Sum {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        Ok(ctx.get_all((0..self.0).map(Leaf)).await?.into_iter().sum())
    }
}

/// Files under packages under a whole: 1,000 sums of 100 links of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tree {
    Whole,
    Package(u64),
    File(u64),
}

impl Key for Tree {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let parts = match *self {
            Self::Whole => ctx.get_all((0..NODES / 200).map(Self::Package)).await?,
            Self::Package(p) => {
                ctx.get_all((0..100).map(|f| Self::File(p * 100 + f)))
                    .await?
            }
            Self::File(f) => return ctx.get(&Leaf(f)).await,
        };
        parts.into_iter().sum()
    }
}

fn main() {
    divan::main();
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .build()
        .unwrap()
}

fn engine(runtime: &Runtime) -> Engine {
    Engine::new(runtime.handle().clone(), EngineOptions::default())
}

fn ask<K: Key<Value = Result<u64, GraphError>>>(
    runtime: &Runtime,
    engine: &Engine,
    key: &K,
) -> u64 {
    runtime
        .block_on(engine.begin(Data::new()).get(key))
        .unwrap()
        .unwrap()
}

fn compute<K: Key<Value = Result<u64, GraphError>>>(
    bencher: Bencher<'_, '_>,
    threads: usize,
    key: K,
) {
    let runtime = runtime(threads);
    bencher
        .counter(ItemsCount::new(NODES))
        .with_inputs(|| engine(&runtime))
        .bench_refs(|engine| ask(&runtime, engine, &key));
}

fn verify<K: Key<Value = Result<u64, GraphError>>>(
    bencher: Bencher<'_, '_>,
    threads: usize,
    key: K,
) {
    let runtime = runtime(threads);
    let engine = engine(&runtime);
    ask(&runtime, &engine, &key);
    bencher
        .counter(ItemsCount::new(NODES))
        .bench(|| ask(&runtime, &engine, &key));
}

#[divan::bench(args = THREADS, sample_count = 10)]
fn compute_chain(bencher: Bencher<'_, '_>, threads: usize) {
    compute(bencher, threads, Link(NODES));
}

#[divan::bench(args = THREADS, sample_count = 10)]
fn compute_fan_in(bencher: Bencher<'_, '_>, threads: usize) {
    compute(bencher, threads, Sum(NODES));
}

#[divan::bench(args = THREADS, sample_count = 10)]
fn compute_tree(bencher: Bencher<'_, '_>, threads: usize) {
    compute(bencher, threads, Tree::Whole);
}

#[divan::bench(args = THREADS, sample_count = 10)]
fn verify_chain(bencher: Bencher<'_, '_>, threads: usize) {
    verify(bencher, threads, Link(NODES));
}

#[divan::bench(args = THREADS, sample_count = 10)]
fn verify_fan_in(bencher: Bencher<'_, '_>, threads: usize) {
    verify(bencher, threads, Sum(NODES));
}

#[divan::bench(args = THREADS, sample_count = 10)]
fn verify_tree(bencher: Bencher<'_, '_>, threads: usize) {
    verify(bencher, threads, Tree::Whole);
}
