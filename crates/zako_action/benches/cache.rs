//! Costs of recording and finding results. `cargo bench -p zako_action`.

use std::time::Duration;

use divan::Bencher;
use zako_action::{
    ActionCache, ActionResult, ArtifactValue, Discovered, DiscoveredPath, NarrowKey, OutputFile,
    StrongKey, Usage,
};
use zako_cas::DigestFunction;
use zako_path::NeutralPath;

const F: DigestFunction = DigestFunction::Blake3;

/// What a build of this many actions records; a time is that of all of them.
const ACTIONS: usize = 10_000;

fn main() {
    divan::main();
}

fn result(n: usize) -> ActionResult {
    let output = OutputFile {
        path: NeutralPath::new(format!("zako-out/package/f{n}.o")).expect("a path"),
        value: ArtifactValue::File {
            digest: F.hash(&n.to_le_bytes()),
            executable: false,
        },
    };
    ActionResult {
        exit_code: 0,
        outputs: vec![output],
        stdout: F.empty(),
        stderr: F.empty(),
        usage: Usage {
            wall: Duration::from_millis(1),
            ..Usage::default()
        },
        narrow: None,
    }
}

fn strong() -> Vec<(StrongKey, ActionResult)> {
    let key = |n: usize| StrongKey(F.hash(format!("key {n}").as_bytes()));
    (0..ACTIONS).map(|n| (key(n), result(n))).collect()
}

fn fresh() -> (tempfile::TempDir, ActionCache) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cache = ActionCache::open(dir.path(), F).expect("a cache");
    (dir, cache)
}

#[divan::bench(sample_count = 10)]
fn record_10_000(bencher: Bencher<'_, '_>) {
    let results = strong();
    bencher.with_inputs(fresh).bench_local_refs(|(_, cache)| {
        for (key, result) in &results {
            cache.record(key, result).expect("a record");
        }
        cache.flush()
    });
}

#[divan::bench(sample_count = 10)]
fn look_up_10_000(bencher: Bencher<'_, '_>) {
    let (dir, cache) = fresh();
    let results = strong();
    for (key, result) in &results {
        cache.record(key, result).expect("a record");
    }
    drop(cache);
    bencher
        .with_inputs(|| ActionCache::open(dir.path(), F).expect("a cache"))
        .bench_local_values(|cache| {
            let is_there = |key| matches!(cache.lookup(key), Ok(Some(_)));
            results.iter().filter(|(key, _)| is_there(key)).count()
        });
}

#[divan::bench(sample_count = 10)]
fn miss_10_000(bencher: Bencher<'_, '_>) {
    let (dir, cache) = fresh();
    cache
        .record(&StrongKey(F.empty()), &result(0))
        .expect("a record");
    drop(cache);
    let results = strong();
    bencher
        .with_inputs(|| ActionCache::open(dir.path(), F).expect("a cache"))
        .bench_local_values(|cache| {
            let is_there = |key| matches!(cache.lookup(key), Ok(Some(_)));
            results.iter().filter(|(key, _)| is_there(key)).count()
        });
}

/// A compilation that read a hundred headers.
#[divan::bench]
fn record_narrow(bencher: Bencher<'_, '_>) {
    let (_dir, cache) = fresh();
    let list: Vec<_> = (0..100_usize)
        .map(|n| Discovered {
            path: DiscoveredPath::Workspace(
                NeutralPath::new(format!("include/h{n}.h")).expect("a path"),
            ),
            digest: F.hash(&n.to_le_bytes()),
        })
        .collect();
    let mut n = 0_usize;
    bencher
        .with_inputs(|| {
            n += 1;
            NarrowKey(F.hash(format!("key {n}").as_bytes()))
        })
        .bench_local_values(|key| cache.record_narrow(&key, list.clone(), &result(0)));
}
