//! Requests that overlap, while leaves are edited and asks are taken back.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::try_orders;
use super::world::{Ask, Begun, Node, World, nap};
use crate::archive::Archive;
use crate::{Engine, GraphError};

/// Asks for any node; a value is as new as the request.
fn ask(world: &Arc<World>, begun: &Begun) {
    let nodes = u8::try_from(world.graph.len()).expect("a few nodes");
    let node = thread_rng().gen_range(0..nodes);
    match block_on(begun.request.get(&Node(node))) {
        Ok(Ok(seen)) => world.check(begun, node, &seen),
        Ok(Err(error)) | Err(error) => assert_eq!(error, GraphError::Cancelled),
    }
}

/// So many threads, each with `times` requests of any kind, and two asks in each.
fn askers(
    world: &Arc<World>,
    engine: &Engine,
    threads: usize,
    times: usize,
) -> Vec<thread::JoinHandle<()>> {
    let asker = |_| {
        let (world, engine) = (world.clone(), engine.clone());
        thread::spawn(move || {
            for _ in 0..times {
                block_on(nap());
                let begun = world.begin(&engine);
                ask(&world, &begun);
                ask(&world, &begun);
            }
        })
    };
    (0..threads).map(asker).collect()
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a thread that panics fails the model");
    }
}

#[test]
fn a_value_holds_in_each_revision_that_it_is_claimed_for() {
    try_orders(1, 2000, || {
        let world = World::random(3, 4);
        let engine = World::engine();
        let mut threads = askers(&world, &engine, 2, 2);
        let editor = world.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                block_on(nap());
                editor.edit_any();
            }
        }));
        join(threads);
        block_on(world.check_end(&engine));
    });
}

/// Two nodes above one leaf, which an older request is still reading when a newer one takes over what it was.
#[test]
fn a_leaf_that_is_read_late_does_not_pass_for_what_was_confirmed() {
    try_orders(8, 1000, || {
        let world = World::new(1, vec![vec![Ask::Leaf(0)], vec![Ask::Leaf(0)]]);
        let engine = World::engine();
        let first = world.begin_anew(&engine);
        for node in 0..2 {
            let value = block_on(first.request.get(&Node(node)));
            assert_eq!(value, Ok(Ok(world.expected(node))));
        }
        let asker = |node, begin: fn(&Arc<World>, &Engine) -> Begun| {
            let (world, engine) = (world.clone(), engine.clone());
            thread::spawn(move || {
                block_on(nap());
                let begun = begin(&world, &engine);
                let value = block_on(begun.request.get(&Node(node)));
                world.check(&begun, node, &value.expect("a value").expect("a value"));
            })
        };
        let threads = vec![
            asker(0, World::begin_anew),
            asker(1, World::begin_confirmed),
        ];
        block_on(nap());
        world.edit(0);
        world.edit(0);
        join(threads);
        block_on(world.check_end(&engine));
    });
}

/// Two nodes above one leaf, of which an older request takes over one as it was, and looks into the other
/// once a newer request has begun.
#[test]
fn what_an_older_request_learns_late_is_a_change_for_what_it_took_over() {
    try_orders(9, 1000, || {
        let world = World::new(1, vec![vec![Ask::Leaf(0)], vec![Ask::Leaf(0)]]);
        let engine = World::engine();
        let first = world.begin_anew(&engine);
        for node in 0..2 {
            let value = block_on(first.request.get(&Node(node)));
            assert_eq!(value, Ok(Ok(world.expected(node))));
        }
        let (teller, told) = (world.clone(), engine.clone());
        let older = thread::spawn(move || {
            let begun = teller.begin_told(&told);
            ask(&teller, &begun);
            block_on(nap());
            ask(&teller, &begun);
        });
        block_on(nap());
        world.edit(0);
        world.edit(0);
        ask(&world, &world.begin(&engine));
        join(vec![older]);
        block_on(world.check_end(&engine));
    });
}

#[test]
fn a_cancelled_request_leaves_no_trace() {
    try_orders(2, 1000, || {
        let world = World::random(2, 4);
        let engine = World::engine();
        let begun = Arc::new(world.begin(&engine));
        let (asker, cancelled) = (world.clone(), begun.clone());
        let mut threads = askers(&world, &engine, 1, 2);
        threads.push(thread::spawn(move || ask(&asker, &cancelled)));
        threads.push(thread::spawn(move || {
            block_on(nap());
            begun.request.cancel();
        }));
        world.edit_any();
        join(threads);
        block_on(world.check_end(&engine));
    });
}

#[test]
fn askers_of_one_request_share_each_computation() {
    try_orders(3, 1000, || {
        let graph = vec![
            vec![Ask::All(vec![1, 2])],
            vec![Ask::Node(3), Ask::Leaf(0)],
            vec![Ask::Leaf(1), Ask::Node(3)],
            vec![Ask::Leaf(0), Ask::Leaf(1)],
        ];
        let world = World::new(2, graph);
        let engine = World::engine();
        let mut revisions = Vec::new();
        for _ in 0..2 {
            let begun = Arc::new(world.begin(&engine));
            revisions.push(begun.request.revision());
            let asker = |node| {
                let (world, begun) = (world.clone(), begun.clone());
                thread::spawn(move || {
                    let value = block_on(begun.request.get(&Node(node)));
                    assert_eq!(value, Ok(Ok(world.expected(node))));
                })
            };
            join([0, 0, 1, 2].map(asker).into());
            world.edit(0);
            world.edit(0);
        }
        for ((key, revision), times) in world.computed() {
            assert!(
                times == 1 && revisions.contains(&revision),
                "{key} in {revision}: {times} times"
            );
        }
        block_on(world.check_end(&engine));
    });
}

#[test]
fn what_is_kept_while_others_compute_holds_for_the_next_process() {
    try_orders(4, 1000, || {
        let world = World::random(3, 4);
        let engine = World::engine();
        let threads = askers(&world, &engine, 2, 2);
        let (editor, keeper) = (world.clone(), engine.clone());
        // In memory only: nothing is flushed.
        let mut archive = Archive::empty("".as_ref(), "model");
        let kept = world.begin(&engine);
        world.edit_any();
        let keeping = thread::spawn(move || {
            for _ in 0..3 {
                keeper.keep(&mut archive, &kept.request);
                editor.edit_any();
            }
            archive
        });
        join(threads);
        let archive = keeping
            .join()
            .expect("a thread that panics fails the model");
        block_on(world.check_end(&engine));
        let next = World::engine();
        next.restore(&archive, &world.data())
            .expect("nothing is damaged");
        block_on(async {
            let begun = world.begin_confirmed(&next);
            for node in (0..4).rev() {
                let value = begun.request.get(&Node(node)).await;
                assert_eq!(value, Ok(Ok(world.expected(node))));
            }
            world.check_end(&next).await;
        });
    });
}
