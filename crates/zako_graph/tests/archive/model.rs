//! Random changes, flushes, compactions and crashes, against a model.

use std::fs;

use proptest::prelude::*;
use zako_graph::archive::Archive;

use crate::golden::PRODUCER;
use crate::plain::{KINDS, Model, Name, Plain, open, put};

#[derive(Clone, Debug)]
enum Step {
    Put(Name, Plain),
    Verify(Name, u32),
    Remove(Name),
    Revision(u32),
    Flush,
    Reopen,
    Compact(Vec<Name>),
    /// Cut so many bytes off the journal.
    Crash(u64),
}

fn name() -> impl Strategy<Value = Name> {
    (
        prop::sample::select(&KINDS[..]),
        prop::collection::vec(0..3_u8, 0..3),
    )
}

fn plain(leaf: bool) -> impl Strategy<Value = Plain> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..4);
    let groups = prop::collection::vec(prop::collection::vec(name(), 1..4), 0..4);
    (
        any::<[u8; 16]>(),
        0..9_u32,
        0..9_u32,
        bytes(),
        bytes(),
        groups,
    )
        .prop_map(
            move |(fingerprint, changed_at, verified_at, witness, value, dependencies)| Plain {
                fingerprint,
                changed_at,
                verified_at,
                witness: if leaf { witness } else { Vec::new() },
                value,
                dependencies: if leaf { Vec::new() } else { dependencies },
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let record = name().prop_flat_map(|name| (plain(name.0.is_leaf()), Just(name)));
    prop_oneof![
        12 => record.prop_map(|(plain, name)| Step::Put(name, plain)),
        3 => (name(), 0..20_u32).prop_map(|(name, at)| Step::Verify(name, at)),
        2 => name().prop_map(Step::Remove),
        1 => (0..100_u32).prop_map(Step::Revision),
        3 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => prop::collection::vec(name(), 0..8).prop_map(Step::Compact),
        1 => (0..200_u64).prop_map(Step::Crash),
    ]
}

/// Plays `steps`; what is on disk is always the state after some flush, at best the last.
fn play(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let length = || fs::metadata(&journal).map_or(0, |found| found.len());
    let mut archive = Archive::empty(folder.path(), PRODUCER);
    let mut model = Model::default();
    // The states on disk by the length that the journal had; the first is that of the graph file.
    let mut durable = vec![(0, model.clone())];
    for step in steps {
        match step {
            Step::Put(name, plain) => {
                put(&mut archive, &name, &plain);
                model.nodes.insert(name, plain);
            }
            Step::Verify((kind, key), revision) => {
                let id = archive.intern(kind, &key);
                archive.set_verified(id, revision);
                if let Some(plain) = model.nodes.get_mut(&(kind, key)) {
                    plain.verified_at = revision;
                }
            }
            Step::Remove((kind, key)) => {
                if let Some(id) = archive.find(kind, &key) {
                    archive.remove(id);
                }
                model.nodes.remove(&(kind, key));
            }
            Step::Revision(revision) => {
                archive.set_revision(revision);
                model.revision = revision;
            }
            Step::Flush => {
                archive.flush().unwrap();
                durable.push((length(), model.clone()));
            }
            Step::Reopen => {
                archive = open(folder.path());
                model = durable.last().unwrap().1.clone();
            }
            Step::Compact(roots) => {
                let ids: Vec<_> = roots
                    .iter()
                    .filter_map(|(kind, key)| archive.find(*kind, key))
                    .collect();
                archive.compact(&ids).unwrap();
                model.keep(&roots);
                durable = vec![(0, model.clone())];
            }
            Step::Crash(bytes) => {
                drop(archive);
                let left = length().saturating_sub(bytes);
                if let Ok(file) = fs::OpenOptions::new().write(true).open(&journal) {
                    file.set_len(left).unwrap();
                }
                archive = open(folder.path());
                durable.retain(|(length, _)| *length <= left);
                model = durable.last().unwrap().1.clone();
                // What was cut to nothing is a journal anew.
            }
        }
        assert_eq!(Model::of(&archive), model);
    }
    archive.flush().unwrap();
    assert_eq!(Model::of(&open(folder.path())), model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn an_archive_is_what_was_put_into_it(steps in prop::collection::vec(step(), 1..120)) {
        play(steps);
    }
}
