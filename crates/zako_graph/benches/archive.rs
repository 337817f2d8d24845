//! What the graph on disk costs: 60,000 leaves and 30,000 inner nodes, as of 10,000 compiled files.
//! Prints the size of the file for each node first.
#![expect(clippy::unwrap_used, reason = "a bench")]
#![expect(clippy::print_stderr, reason = "a bench")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tempfile::TempDir;
use zako_graph::archive::{Archive, Id, Kind, Record};

const LEAVES: usize = 60_000;
const INNER: usize = 30_000;
const FILE: Kind = Kind::leaf(1);
const ACTION: Kind = Kind::inner(1);
const REQUEST: Kind = Kind::inner(2);
/// Kind, mode, size, two times, inode, device.
const WITNESS: usize = 48;
const DEPENDENCIES: usize = 10;

fn leaf_key(n: usize) -> String {
    format!("components/part{:03}/src/module{n:05}.c", n / 100)
}

fn inner_key(n: usize) -> String {
    format!("//components/part{:03}:module{n:05}", n / 100)
}

fn fill(archive: &mut Archive) -> Id {
    archive.set_revision(1);
    let leaves: Vec<Id> = (0..LEAVES)
        .map(|n| {
            let id = archive.intern(FILE, leaf_key(n).as_bytes());
            let witness = [n.to_le_bytes(); WITNESS / 8].concat();
            archive.put_leaf(id, [1; 16], 1, 1, &witness, &[2; 34]);
            id
        })
        .collect();
    let mut asked = Vec::new();
    for n in 0..INNER {
        let id = archive.intern(ACTION, inner_key(n).as_bytes());
        asked.push(id);
        let some = (0..DEPENDENCIES).map(|i| vec![leaves[(n * 2 + i * 7) % LEAVES]]);
        archive.put(id, record(some.collect()));
    }
    let request = archive.intern(REQUEST, b"//...");
    asked.extend(leaves);
    archive.put(request, record(vec![asked]));
    request
}

fn record(dependencies: Vec<Vec<Id>>) -> Record {
    Record {
        changed_at: 1,
        verified_at: 1,
        value: Box::from([3; 60]),
        dependencies,
        ..Record::default()
    }
}

fn compacted() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::empty(folder.path(), "bench");
    let root = fill(&mut archive);
    archive.compact(&[root]).unwrap();
    folder
}

fn open(folder: &Path) -> Archive {
    Archive::open(folder, "bench").unwrap().0
}

fn main() {
    let folder = compacted();
    let size = fs::metadata(folder.path().join("graph")).unwrap().len();
    let nodes = (LEAVES + INNER) as u64;
    eprintln!("graph: {size} bytes, {} a node", size / nodes);
    divan::main();
}

fn null_path(archive: &Archive) -> usize {
    let request = archive.find(REQUEST, b"//...").unwrap();
    let mut sum = 0;
    for id in archive.dependencies(request).flat() {
        sum += archive.key(id).len() + usize::from(archive.witness(id).first() == Some(&1));
    }
    sum
}

/// What a build in which nothing changed does beside asking the file system.
#[divan::bench]
fn open_verify_leaves_and_iterate(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    bencher.counter(ItemsCount::new(LEAVES)).bench(|| {
        let archive = open(folder.path());
        archive.verify_leaves().unwrap();
        black_box(null_path(&archive))
    });
}

#[divan::bench]
fn open_alone(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    bencher.bench(|| open(folder.path()));
}

#[divan::bench]
fn open_and_verify_leaves(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    bencher.bench(|| open(folder.path()).verify_leaves().unwrap());
}

#[divan::bench]
fn open_and_verify_all(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    bencher.bench(|| open(folder.path()).verify_all().unwrap());
}

#[divan::bench]
fn iterate_leaves(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    let archive = open(folder.path());
    bencher
        .counter(ItemsCount::new(LEAVES))
        .bench(|| black_box(null_path(&archive)));
}

#[divan::bench]
fn find(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    let archive = open(folder.path());
    let keys: Vec<String> = (0..1000).map(|n| leaf_key(n * 7919 % LEAVES)).collect();
    bencher.counter(ItemsCount::new(keys.len())).bench(|| {
        for key in &keys {
            black_box(archive.find(FILE, key.as_bytes()).unwrap());
        }
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn compact(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    bencher
        .counter(ItemsCount::new(LEAVES + INNER))
        .with_inputs(|| open(folder.path()))
        .bench_local_refs(|archive| {
            let root = archive.find(REQUEST, b"//...").unwrap();
            archive.compact(&[root]).unwrap()
        });
}

/// A first build: everything is put, appended, and compacted.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn fill_flush_and_compact(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(LEAVES + INNER))
        .with_inputs(|| tempfile::tempdir().unwrap())
        .bench_local_refs(|folder| {
            let mut archive = Archive::empty(folder.path(), "bench");
            let root = fill(&mut archive);
            archive.flush().unwrap();
            archive.compact(&[root]).unwrap();
        });
}

#[divan::bench(args = [1, 10_000], sample_count = 20, sample_size = 1)]
fn flush(bencher: Bencher<'_, '_>, records: usize) {
    let folder = compacted();
    let mut archive = open(folder.path());
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        for n in 0..records {
            let id = archive.find(FILE, leaf_key(n).as_bytes()).unwrap();
            archive.put_leaf(id, [4; 16], 2, 2, &[5; WITNESS], &[6; 34]);
        }
        archive.flush().unwrap();
    });
}

/// The journal of a build that changed a tenth.
#[divan::bench(sample_count = 20)]
fn open_with_journal(bencher: Bencher<'_, '_>) {
    let folder = compacted();
    let mut archive = open(folder.path());
    for n in 0..LEAVES / 10 {
        let id = archive.find(FILE, leaf_key(n).as_bytes()).unwrap();
        archive.put_leaf(id, [4; 16], 2, 2, &[5; WITNESS], &[6; 34]);
    }
    archive.flush().unwrap();
    bencher
        .counter(BytesCount::new(
            fs::metadata(folder.path().join("journal")).unwrap().len(),
        ))
        .bench(|| open(folder.path()));
}
