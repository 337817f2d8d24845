//! The V8 pool under load: it grows to its bound, ends its threads when idle, and keeps nothing of what it ran.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use zako_script::{GcEvent, ScriptEngine, ScriptEngineOptions};

use super::{TestHost, evaluation, export};

/// How long something may take that has no other bound.
const DEADLINE: Duration = Duration::from_secs(60);
/// Evaluations on end. Each fills about 20 MiB of its heap, 2.4 GiB in all.
const MANY: usize = 120;
/// How much more the process may hold after them, in MiB: other tests run in it at the same time.
const MAX_GROWTH: u64 = 600;

const HUNGRY: &str = "const kept: unknown[] = [];\nfor (let n = 0; n < 150_000; n++) kept.push({ n, s: `${n}` });\nexport const x = kept.length;\n";

fn engine(threads: usize, idle: Duration) -> ScriptEngine {
    ScriptEngine::new(ScriptEngineOptions {
        threads,
        idle,
        ..ScriptEngineOptions::default()
    })
}

/// Evaluates `source` so many times at once.
async fn evaluate_all(engine: &ScriptEngine, source: &str, times: usize) {
    let mut jobs = Vec::new();
    for _ in 0..times {
        let files = [("pkg/BUILD.ts", source)];
        jobs.push(evaluation(&files, TestHost::default(), None).await.unwrap());
    }
    let cancel = CancellationToken::new();
    for ended in join_all(jobs.into_iter().map(|job| engine.evaluate(job, &cancel))).await {
        assert!(!export(&ended.unwrap(), "x").is_empty());
    }
}

#[tokio::test]
async fn it_grows_to_its_bound_and_shrinks_to_nothing() {
    let engine = engine(2, Duration::from_millis(20));
    assert_eq!(
        engine.metrics().threads,
        0,
        "who evaluates nothing pays for nothing"
    );
    evaluate_all(&engine, "export const x = 1;", 12).await;
    let metrics = engine.metrics();
    assert_eq!(
        (metrics.grown, metrics.finished, metrics.panicked),
        (2, 12, 0)
    );
    let begun = Instant::now();
    while engine.metrics().threads > 0 {
        assert!(begun.elapsed() < DEADLINE, "{:?}", engine.metrics());
        std::thread::yield_now();
    }
    assert_eq!(engine.metrics().shrunk, 2);
    evaluate_all(&engine, "export const x = 2;", 1).await;
    assert_eq!(engine.metrics().grown, 3, "and grows again");
}

/// What the process holds in memory, in MiB.
#[tokio::test]
async fn a_realm_that_stands_by_is_used_once() {
    let engine = engine(1, Duration::from_secs(3600));
    engine.warm();
    let source = "export const x = 1;\nconst seen = Object.isFrozen(globalThis) ? \"sealed\" : \"open\";\nexport const how = seen;\n";
    for _ in 0..2 {
        let job = evaluation(&[("pkg/BUILD.ts", source)], TestHost::default(), None)
            .await
            .unwrap();
        let ended = engine
            .evaluate(job, &CancellationToken::new())
            .await
            .unwrap();
        assert_eq!(export(&ended, "how"), "\"sealed\"");
    }
    let limits = zako_script::Limits {
        heap_bytes: 64 << 20,
        ..zako_script::Limits::default()
    };
    // One with another bound gets a realm of its own.
    let engine = self::engine(1, Duration::from_secs(3600));
    engine.warm();
    let greedy =
        "const kept: number[][] = [];\nfor (;;) kept.push(new Array(100_000).fill(1.5));\n";
    let job = evaluation(
        &[("pkg/BUILD.ts", greedy)],
        TestHost::default(),
        Some(limits),
    )
    .await
    .unwrap();
    let error = engine
        .evaluate(job, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind, zako_script::ScriptErrorKind::HeapLimit);
    assert_eq!(engine.metrics().grown, 1);
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .next()
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_evaluations_leave_the_process_as_large_as_few() {
    let engine = engine(2, Duration::from_secs(60));
    evaluate_all(&engine, HUNGRY, 8).await;
    let before = resident();
    for _ in 0..MANY / 8 {
        evaluate_all(&engine, HUNGRY, 8).await;
    }
    let grown = resident().saturating_sub(before);
    assert!(
        grown < MAX_GROWTH,
        "{grown} MiB more than the {before} MiB after a few"
    );
}

#[tokio::test]
async fn collections_tell_the_heap_before_and_after() {
    let events: Arc<Mutex<Vec<GcEvent>>> = Arc::default();
    let sink = events.clone();
    let engine = ScriptEngine::new(ScriptEngineOptions {
        threads: 1,
        gc_hook: Some(Arc::new(move |event| sink.lock().push(*event))),
        ..ScriptEngineOptions::default()
    });
    let garbage = "let last: unknown;\nfor (let n = 0; n < 400_000; n++) last = [n, { n }];\nexport const x = last === undefined;\n";
    evaluate_all(&engine, garbage, 1).await;
    let events = events.lock();
    assert!(
        events
            .iter()
            .any(|event| event.used_before > event.used_after)
    );
    assert!(
        events
            .iter()
            .all(|event| event.used_after > 0 && event.committed > 0)
    );
}

/// By counts: what heaps come to decides when a thread is replaced, and nothing is lost by that.
#[tokio::test]
async fn threads_are_recycled_by_what_their_heaps_come_to() {
    let recycling = |recycle_after: usize| {
        ScriptEngine::new(ScriptEngineOptions {
            threads: 1,
            recycle_after,
            ..ScriptEngineOptions::default()
        })
    };
    for (recycle_after, wanted) in [(1, 6), (usize::MAX, 0)] {
        let engine = recycling(recycle_after);
        evaluate_all(&engine, "export const x = 1;", 6).await;
        let metrics = engine.metrics();
        assert_eq!(
            (metrics.finished, metrics.recycled, metrics.threads),
            (6, wanted, 1)
        );
    }
    // With no growth allowed a thread goes when it is first looked at.
    let engine = ScriptEngine::new(ScriptEngineOptions {
        threads: 1,
        recycle_growth: 0,
        ..ScriptEngineOptions::default()
    });
    evaluate_all(&engine, "export const x = 1;", 3).await;
    let wanted = if cfg!(target_os = "linux") { 3 } else { 0 };
    assert_eq!(engine.metrics().recycled, wanted);
    // A heap of 20 MiB counts more than one of an empty package.
    let engine = recycling(16 << 20);
    evaluate_all(&engine, "export const x = 1;", 1).await;
    assert_eq!(engine.metrics().recycled, 0);
    evaluate_all(&engine, HUNGRY, 1).await;
    assert_eq!(engine.metrics().recycled, 1);
}
