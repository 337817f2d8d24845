//! Cycles are errors with the whole path, whoever runs at the same time as whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use zako_graph::{Ctx, Data, Engine, EngineOptions, GraphError, Key};

use crate::sheet::{Sheet, cell};

fn threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap()
}

fn cycle(path: &str) -> GraphError {
    GraphError::Cycle {
        path: path.split(" -> ").map(str::to_owned).collect(),
    }
}

#[test]
fn each_key_on_a_cycle_reports_the_whole_path() {
    let sheet = Sheet::new("a = b\nb = c + 1\nc = all x a\nx = 1\ntop = x + b\nself = self");
    for name in ["a", "b", "c"] {
        assert_eq!(sheet.get(name), Err(cycle("a -> b -> c -> a")), "{name}");
    }
    assert_eq!(sheet.get("self"), Err(cycle("self -> self")));
    // Whoever leads to a cycle without being on it gets the error as an answer.
    assert_eq!(sheet.get("top"), Ok(Err("cycle: a -> b -> c -> a".into())));
    sheet.check_idle();
}

#[test]
fn a_cycle_is_gone_once_it_is_cut() {
    let sheet = Sheet::new("a = 1\nb = a\nc = b\ntop = try c");
    assert_eq!(sheet.get("top"), Ok(Ok(1)));
    sheet.edit("a = c");
    assert_eq!(sheet.get("top"), Ok(Ok(-1)));
    assert_eq!(sheet.get("c"), Err(cycle("a -> c -> b -> a")));
    sheet.edit("a = 2");
    assert_eq!(sheet.get("top"), Ok(Ok(2)));
    assert_eq!(sheet.get("c"), Ok(Ok(2)));
    // Also the old way round: what was kept before the cycle is still good.
    sheet.edit("a = c");
    assert_eq!(sheet.get("b"), Err(cycle("a -> c -> b -> a")));
    sheet.edit("a = 2");
    sheet.log();
    assert_eq!(sheet.get("top"), Ok(Ok(2)));
    sheet.check_idle();
}

#[test]
fn edges_that_turn_round_are_no_cycle() {
    let sheet = Sheet::new("s = 1\nx = 5\na = if s b x\nb = if s x a");
    assert_eq!(sheet.get("a"), Ok(Ok(5)));
    assert_eq!(sheet.get("b"), Ok(Ok(5)));
    sheet.edit("s = 0");
    assert_eq!(sheet.get("a"), Ok(Ok(5)));
    assert_eq!(sheet.get("b"), Ok(Ok(5)));
    sheet.edit("s = 1\nx = 6");
    assert_eq!(sheet.get("b"), Ok(Ok(6)));
    assert_eq!(sheet.get("a"), Ok(Ok(6)));
}

/// Asks for the next one round a ring, after all of the ring have begun.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ring(usize);

const RING: usize = 7;

impl Key for Ring {
    type Value = Result<(), GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        ctx.data::<Arc<Barrier>>()?.wait().await;
        ctx.get(&Ring((self.0 + 1) % RING)).await?
    }
}

#[test]
fn a_cycle_across_running_computations_is_reported_to_all_of_them() {
    let runtime = threads();
    let engine = Engine::new(runtime.handle().clone(), EngineOptions::default());
    let path: Vec<String> = (0..RING).chain([0]).map(|n| format!("Ring({n})")).collect();
    for _ in 0..200 {
        let request = engine.begin(Data::new().with(Arc::new(Barrier::new(RING))));
        let keys: Vec<Ring> = (0..RING).map(Ring).collect();
        let answers = runtime.block_on(join_all(keys.iter().map(|key| request.get(key))));
        for answer in answers {
            assert_eq!(
                answer,
                Err(GraphError::Cycle {
                    path: path.clone().into()
                })
            );
        }
        runtime.block_on(engine.idle());
        assert_eq!(engine.running_count(), 0);
    }
}

#[test]
fn askers_in_other_requests_hear_of_it_too() {
    let sheet = Sheet::on(threads(), "a = b\nb = c\nc = d\nd = a\ntop = all a c");
    for _ in 0..100 {
        let (one, other) = (sheet.begin(), sheet.begin());
        let (a, c, top) = (cell("a"), cell("c"), cell("top"));
        let (first, second, third) = sheet
            .runtime
            .block_on(async { futures::join!(one.get(&a), other.get(&c), other.get(&top)) });
        // Where the revisions mix, one may see the cycle as the answer of a key on it.
        let expected = cycle("a -> b -> c -> d -> a");
        for answer in [first, second] {
            assert!(
                answer == Err(expected.clone()) || answer == Ok(Err(expected.to_string())),
                "{answer:?}"
            );
        }
        assert_eq!(third, Ok(Err(expected.to_string())));
    }
    sheet.check_idle();
}

#[test]
fn two_cycles_through_one_key_both_end() {
    let sheet = Sheet::on(threads(), "hub = all l r\nl = hub\nr = hub\nfree = 3");
    for _ in 0..100 {
        let request = sheet.begin();
        let keys = ["hub", "l", "r", "free"].map(cell);
        let answers = sheet
            .runtime
            .block_on(join_all(keys.iter().map(|key| request.get(key))));
        let messages: BTreeSet<String> = answers[..3]
            .iter()
            .map(|answer| match answer {
                Ok(Err(message)) => message.clone(),
                Err(error) => error.to_string(),
                Ok(Ok(value)) => panic!("{value} from a cycle"),
            })
            .collect();
        for message in messages {
            assert!(
                ["cycle: hub -> l -> hub", "cycle: hub -> r -> hub"].contains(&&*message),
                "{message}"
            );
        }
        assert_eq!(answers[3], Ok(Ok(3)));
    }
    sheet.check_idle();
}
