//! Cycles that several askers close at once.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use super::try_orders;
use super::world::{Ask, Begun, Node, World};
use crate::GraphError;

/// The path of the cycle through the first so many nodes.
fn path(nodes: u8) -> GraphError {
    let path: Vec<_> = (0..nodes)
        .chain([0])
        .map(|node| format!("{:?}", Node(node)))
        .collect();
    GraphError::Cycle { path: path.into() }
}

/// Asks for all of `nodes` at once: each must end in `expected`.
fn check(begun: &Arc<Begun>, nodes: impl IntoIterator<Item = u8>, expected: &GraphError) {
    let asker = |node| {
        let (begun, expected) = (begun.clone(), expected.clone());
        thread::spawn(move || {
            let value = block_on(begun.request.get(&Node(node)));
            // The node on the cycle itself, or what hangs on it and passes the error on.
            assert!(
                value == Err(expected.clone()) || value == Ok(Err(expected)),
                "{value:?}"
            );
        })
    };
    let threads: Vec<_> = nodes.into_iter().map(asker).collect();
    for thread in threads {
        thread.join().expect("a thread that panics fails the model");
    }
}

#[test]
fn all_on_a_cycle_end_in_it_whoever_asks_first() {
    try_orders(5, 1000, || {
        // Two that need each other, and one that needs both.
        let graph = vec![
            vec![Ask::Leaf(0), Ask::Node(1)],
            vec![Ask::Leaf(1), Ask::Node(0)],
            vec![Ask::All(vec![0, 1])],
        ];
        let world = World::new(2, graph);
        let engine = World::engine();
        let begun = Arc::new(world.begin(&engine));
        check(&begun, [0, 1, 2], &path(2));
        block_on(engine.idle());
        assert_eq!(engine.running_count(), 0);
        // As it was, for whoever asks again in the same revision.
        check(&begun, [1], &path(2));
    });
}

#[test]
fn a_cycle_of_three_closed_from_three_ends() {
    try_orders(6, 1000, || {
        let graph = (0..3).map(|node| vec![Ask::Node((node + 1) % 3)]);
        let world = World::new(1, graph.collect());
        let engine = World::engine();
        let begun = Arc::new(world.begin(&engine));
        check(&begun, 0..3, &path(3));
        block_on(engine.idle());
        assert_eq!(engine.running_count(), 0);
    });
}

/// The cycle goes through one edge as long as the leaf says so: what ran into it is not kept.
#[test]
fn a_cycle_that_an_edit_opens_is_gone() {
    try_orders(7, 500, || {
        let graph = vec![
            vec![Ask::Either(0, 1, 2)],
            vec![Ask::Node(0)],
            vec![Ask::Leaf(0)],
        ];
        let world = World::new(1, graph);
        let engine = World::engine();
        let before = Arc::new(world.begin(&engine));
        check(&before, [0, 1], &path(2));
        // Twice, for the value to be another.
        world.edit(0);
        world.edit(0);
        block_on(world.check_end(&engine));
    });
}
