//! Costs of the store and of trees. `cargo bench -p zako_cas`.

use divan::{Bencher, counter::BytesCount};
use zako_cas::{
    DigestFunction, Durability, MaterialiseMode, Store, StoreOptions, SubtreeCache, TreeBuilder,
};
use zako_path::NeutralPath;

fn main() {
    divan::main();
}

fn store(memory: u64) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = StoreOptions {
        memory_cache_bytes: memory,
        ..StoreOptions::new(dir.path())
    };
    (dir, Store::open(options).expect("a store"))
}

fn blob(size: usize, seed: u64) -> Vec<u8> {
    let mut blob: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    blob[..8].copy_from_slice(&seed.to_le_bytes());
    blob
}

/// With the largest that goes to a segment, and one a little larger.
const SIZES: [usize; 4] = [1 << 10, 32 << 10, 33 << 10, 64 << 20];

#[divan::bench(args = SIZES, sample_count = 20)]
fn put_new(bencher: Bencher<'_, '_>, size: usize) {
    let (_dir, store) = store(0);
    let mut seed = 0;
    bencher
        .counter(BytesCount::new(size))
        .with_inputs(|| {
            seed += 1;
            blob(size, seed)
        })
        .bench_local_values(|blob| store.put_bytes(&blob));
}

#[divan::bench]
fn put_new_synced_1k(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = StoreOptions {
        durability: Durability::Synced,
        ..StoreOptions::new(dir.path())
    };
    let store = Store::open(options).expect("a store");
    let mut seed = 0;
    bencher
        .with_inputs(|| {
            seed += 1;
            blob(1 << 10, seed)
        })
        .bench_local_values(|blob| store.put_bytes(&blob));
}

#[divan::bench(args = SIZES, sample_count = 20)]
fn put_again(bencher: Bencher<'_, '_>, size: usize) {
    let (_dir, store) = store(0);
    let blob = blob(size, 0);
    store.put_bytes(&blob).expect("put");
    std::thread::sleep(std::time::Duration::from_millis(100)); // Past the grain of file times.
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| store.put_bytes(&blob));
}

#[divan::bench(args = SIZES, sample_count = 20)]
fn put_file(bencher: Bencher<'_, '_>, size: usize) {
    let (dir, store) = store(0);
    let path = dir.path().join("tmp/input");
    let mut seed = 0;
    bencher
        .counter(BytesCount::new(size))
        .with_inputs(|| {
            seed += 1;
            std::fs::write(&path, blob(size, seed)).expect("write");
        })
        .bench_local_values(|()| store.put_file(&path));
}

#[divan::bench(args = SIZES, sample_count = 20)]
fn get_from_disk(bencher: Bencher<'_, '_>, size: usize) {
    let (_dir, store) = store(0);
    let digest = store.put_bytes(&blob(size, 0)).expect("put");
    std::thread::sleep(std::time::Duration::from_millis(100)); // Past the grain of file times.
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| store.get(&digest));
}

/// Ten thousand blobs of 1 KiB, as a build's outputs: the time is that of all of them.
#[divan::bench(sample_count = 10)]
fn put_10_000_of_1k(bencher: Bencher<'_, '_>) {
    let blobs: Vec<_> = (0..10_000).map(|seed| blob(1 << 10, seed)).collect();
    bencher
        .with_inputs(|| store(0))
        .bench_local_refs(|(_, store)| {
            blobs.iter().for_each(|b| drop(store.put_bytes(b)));
            store.flush()
        });
}

#[divan::bench(sample_count = 10)]
fn get_10_000_of_1k(bencher: Bencher<'_, '_>) {
    let (dir, store) = store(0);
    let digests: Vec<_> = (0..10_000)
        .map(|seed| store.put_bytes(&blob(1 << 10, seed)).expect("put"))
        .collect();
    drop(store);
    bencher
        .with_inputs(|| {
            Store::open(StoreOptions {
                memory_cache_bytes: 0,
                ..StoreOptions::new(dir.path())
            })
        })
        .bench_local_values(|store| {
            let store = store.expect("a store");
            digests
                .iter()
                .filter(|d| matches!(store.get(d), Ok(Some(_))))
                .count()
        });
}

#[divan::bench(sample_count = 5)]
fn materialise_10_000_of_1k(bencher: Bencher<'_, '_>) {
    let (dir, store) = store(0);
    let digests: Vec<_> = (0..10_000)
        .map(|seed| store.put_bytes(&blob(1 << 10, seed)).expect("put"))
        .collect();
    let out = dir.path().join("out");
    bencher
        .with_inputs(|| drop(std::fs::remove_dir_all(&out)))
        .bench_local_values(|()| {
            for (n, digest) in digests.iter().enumerate() {
                let dest = out.join(format!("{}/{n}", n / 1000));
                store
                    .materialise(digest, &dest, MaterialiseMode::Reflink, false)
                    .expect("a file");
            }
        });
}

#[divan::bench]
fn get_from_memory_1k(bencher: Bencher<'_, '_>) {
    let (_dir, store) = store(1 << 20);
    let digest = store.put_bytes(&blob(1 << 10, 0)).expect("put");
    bencher.bench_local(|| store.get(&digest));
}

#[divan::bench(args = [MaterialiseMode::Copy, MaterialiseMode::Reflink, MaterialiseMode::Hardlink])]
fn materialise_1k(bencher: Bencher<'_, '_>, mode: MaterialiseMode) {
    let (dir, store) = store(0);
    let digest = store.put_bytes(&blob(1 << 10, 0)).expect("put");
    std::thread::sleep(std::time::Duration::from_millis(100)); // Past the grain of file times.
    let dest = dir.path().join("tmp/out");
    bencher
        .with_inputs(|| drop(std::fs::remove_file(&dest)))
        .bench_local_values(|()| store.materialise(&digest, &dest, mode, false));
}

fn builder(inputs: usize) -> TreeBuilder {
    let function = DigestFunction::Blake3;
    let mut builder = TreeBuilder::new(function);
    for i in 0..inputs {
        let path = format!("packages/p{}/include/h{i}.h", i / 50);
        let path = NeutralPath::new(path).expect("a neutral path");
        builder.file(&path, function.hash(&i.to_le_bytes()), false);
    }
    builder
}

#[divan::bench(args = [100, 10_000])]
fn tree(bencher: Bencher<'_, '_>, inputs: usize) {
    bencher
        .with_inputs(|| builder(inputs))
        .bench_values(|b| b.build());
}

#[divan::bench(args = [100, 10_000])]
fn tree_with_cache(bencher: Bencher<'_, '_>, inputs: usize) {
    let cache = SubtreeCache::new(DigestFunction::Blake3, 64 << 20);
    bencher
        .with_inputs(|| builder(inputs))
        .bench_values(|b| b.build_with(&cache));
}

/// An action that adds ten files of its own to a tree of headers built before.
#[divan::bench]
fn tree_of_shared_part(bencher: Bencher<'_, '_>) {
    let shared = builder(10_000).build().expect("a tree").root;
    bencher
        .with_inputs(|| {
            let mut builder = TreeBuilder::new(DigestFunction::Blake3);
            builder.directory(
                &NeutralPath::new("zako-out/headers").expect("a path"),
                shared,
            );
            for i in 0..10_u64 {
                let path = NeutralPath::new(format!("src/f{i}.c")).expect("a path");
                builder.file(&path, DigestFunction::Blake3.hash(&i.to_le_bytes()), false);
            }
            builder
        })
        .bench_values(|b| b.build());
}
