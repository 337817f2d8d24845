//! Scripts that do not end by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{TestHost, evaluate, evaluate_with, evaluation, export};
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;
use zako_script::{
    Host, HostCall, HostFailure, Limits, ScriptEngine, ScriptEngineOptions, ScriptErrorKind,
};

const SHORT: Limits = Limits {
    heap_bytes: 64 << 20,
    time: Duration::from_millis(200),
};
const SMALL: Limits = Limits {
    heap_bytes: 32 << 20,
    time: Duration::from_secs(60),
};

#[tokio::test]
async fn an_endless_loop_is_stopped_with_its_stack() {
    let source = "function spin(): never {\n  while (true) {}\n}\nexport const x = 1;\nspin();\n";
    let error = evaluate_with(
        &[("pkg/BUILD.ts", source)],
        TestHost::default(),
        Some(SHORT),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Timeout);
    let places: Vec<_> = error
        .frames
        .iter()
        .filter(|f| f.user)
        .map(|f| (f.function.clone(), f.place.line))
        .collect();
    assert_eq!(places, [(Some("spin".to_owned()), 2), (None, 5)]);
    assert_eq!(error.place.unwrap().line, 2);
    assert_eq!(
        export(&evaluate("export const ok = 1;").await.unwrap(), "ok"),
        "1",
        "the pool goes on"
    );
}

#[tokio::test]
async fn catching_everything_does_not_help() {
    let source = "for (;;) { try { for (;;) {} } catch {} finally { for (;;) {} } }";
    let error = evaluate_with(
        &[("pkg/BUILD.ts", source)],
        TestHost::default(),
        Some(SHORT),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Timeout);
}

#[tokio::test]
async fn endless_microtasks_are_stopped() {
    let source = "async function f(): Promise<void> { for (;;) await null; }\nawait f();";
    let error = evaluate_with(
        &[("pkg/BUILD.ts", source)],
        TestHost::default(),
        Some(SHORT),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Timeout);
}

#[tokio::test]
async fn a_heap_bomb_is_stopped_with_its_stack() {
    let source = "const hoard: number[][] = [];\nfunction grow() {\n  for (;;) hoard.push(new Array(1000).fill(hoard.length));\n}\ngrow();\n";
    let error = evaluate_with(
        &[("pkg/BUILD.ts", source)],
        TestHost::default(),
        Some(SMALL),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::HeapLimit);
    assert!(
        error
            .frames
            .iter()
            .any(|f| f.function.as_deref() == Some("grow")),
        "{:?}",
        error.frames
    );
    assert_eq!(
        export(&evaluate("export const ok = 1;").await.unwrap(), "ok"),
        "1",
        "the pool goes on"
    );
}

#[tokio::test]
async fn a_string_bomb_is_stopped() {
    let source = "let s = 'x';\nconst all: string[] = [];\nfor (;;) { s = s.length > 1e6 ? 'y' : s + s; all.push(s.split('').reverse().join('')); }\n";
    let error = evaluate_with(
        &[("pkg/BUILD.ts", source)],
        TestHost::default(),
        Some(SMALL),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::HeapLimit);
}

#[tokio::test]
async fn typed_arrays_have_a_limit_too() {
    let source = "const all: Uint8Array[] = [];\nfor (;;) all.push(new Uint8Array(1 << 20));\n";
    let error = evaluate_with(
        &[("pkg/BUILD.ts", source)],
        TestHost::default(),
        Some(SMALL),
    )
    .await
    .unwrap_err();
    // Whichever comes first: V8 counts typed arrays towards a garbage collection, and the allocator counts too.
    let refused = error.kind == ScriptErrorKind::Throw
        && error.message.contains("Array buffer allocation failed");
    assert!(
        refused || error.kind == ScriptErrorKind::HeapLimit,
        "{error}"
    );
}

/// They do not come from the allocator that bounds the others.
#[tokio::test]
async fn resizable_buffers_have_a_limit_too() {
    for make in [
        "new ArrayBuffer(1 << 20, { maxByteLength: 1 << 20 })",
        "(() => { const b: any = new ArrayBuffer(0, { maxByteLength: 1 << 20 } as any); b.resize(1 << 20); return b; })()",
    ] {
        let source = format!(
            "const all: unknown[] = [];\nfor (let n = 0; n < 1000; n++) all.push({make});\nexport const n = all.length;\n"
        );
        let files = [("pkg/BUILD.ts", source.as_str())];
        let error = evaluate_with(&files, TestHost::default(), Some(SMALL)).await;
        assert_eq!(
            error.unwrap_err().kind,
            ScriptErrorKind::HeapLimit,
            "{make}"
        );
    }
}

#[tokio::test]
async fn endless_recursion_is_a_plain_error() {
    let error = evaluate("const f = (): number => f() + 1;\nf();\n")
        .await
        .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Throw);
    assert!(
        error.message.contains("Maximum call stack size exceeded"),
        "{error}"
    );
}

#[tokio::test]
async fn an_await_that_cannot_go_on_is_a_deadlock() {
    let error = evaluate("export const a = 1;\nawait new Promise(() => {});\n")
        .await
        .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Deadlock);
    assert_eq!(error.place.expect("it has a place").line, 2);
}

#[tokio::test]
async fn an_unhandled_rejection_is_a_throw() {
    let error = evaluate("Promise.reject(new TypeError('late'));\nexport const a = 1;\n")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ScriptErrorKind::Throw, "TypeError: late")
    );
    let error = evaluate("throw 'text';").await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ScriptErrorKind::Throw, "text")
    );
}

/// Tells when the script has begun.
struct Signal(CancellationToken);

impl Host for Signal {
    fn call(&mut self, _call: HostCall<'_>) -> Result<Json, HostFailure> {
        self.0.cancel();
        Ok(Json::from("-"))
    }
}

#[tokio::test]
async fn a_cancelled_script_stops_where_it_is() {
    let files = [(
        "pkg/BUILD.ts",
        "import { config } from \"zako:build\";\nconfig.get('begun');\nfor (;;) {}\n",
    )];
    let (begun, cancel) = (CancellationToken::new(), CancellationToken::new());
    let evaluation = evaluation(&files, Signal(begun.clone()), Some(SMALL))
        .await
        .unwrap();
    let (result, ()) = tokio::join!(super::ENGINE.evaluate(evaluation, &cancel), async {
        begun.cancelled().await;
        cancel.cancel();
    });
    let error = result.unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Cancelled);
    assert_eq!(error.place.unwrap().line, 3);
}

#[tokio::test]
async fn a_cancelled_evaluation_may_not_begin_at_all() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let evaluation = evaluation(&[("a.ts", "for (;;) {}")], TestHost::default(), None)
        .await
        .unwrap();
    let error = super::ENGINE
        .evaluate(evaluation, &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Cancelled);
}

/// Says that memory is short, from within a script.
struct Squeeze(Arc<ScriptEngine>);

impl Host for Squeeze {
    fn call(&mut self, _call: HostCall<'_>) -> Result<Json, HostFailure> {
        self.0.relieve();
        Ok(Json::from("-"))
    }
}

#[tokio::test]
async fn scripts_that_run_give_back_memory_when_it_is_short() {
    let full = Arc::new(AtomicUsize::new(0));
    let seen = full.clone();
    let engine = ScriptEngine::new(ScriptEngineOptions {
        gc_hook: Some(Arc::new(move |event| {
            seen.fetch_add(usize::from(event.full), Ordering::SeqCst);
        })),
        ..ScriptEngineOptions::default()
    });
    let engine = Arc::new(engine);
    let source = "import { config } from \"zako:build\";\nconfig.get(\"short\");\nlet n = 0;\nfor (let i = 0; i < 1000; i++) n += i;\nexport const sum = n;\n";
    let evaluation = evaluation(&[("pkg/BUILD.ts", source)], Squeeze(engine.clone()), None)
        .await
        .unwrap();
    let out = engine
        .evaluate(evaluation, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(export(&out, "sum"), "499500");
    assert!(full.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn garbage_collections_are_reported() {
    let full = Arc::new(AtomicUsize::new(0));
    let seen = full.clone();
    let engine = ScriptEngine::new(ScriptEngineOptions {
        threads: 1,
        gc_hook: Some(Arc::new(move |event| {
            assert!(event.used_after > 0 && event.used_after <= event.limit * 2);
            seen.fetch_add(1, Ordering::SeqCst);
        })),
        ..ScriptEngineOptions::default()
    });
    let source = "let kept: unknown[] = [];\nfor (let i = 0; i < 500_000; i++) { kept.push([i, { i }]); if (kept.length > 9999) kept = []; }\n";
    let evaluation = evaluation(&[("BUILD.ts", source)], TestHost::default(), Some(SMALL))
        .await
        .unwrap();
    let out = engine
        .evaluate(evaluation, &CancellationToken::new())
        .await
        .unwrap();
    assert!(full.load(Ordering::SeqCst) > 0);
    // The isolate's end may collect once more, after the count was taken.
    let counted = out.usage.collections as usize;
    assert!((1..=full.load(Ordering::SeqCst)).contains(&counted));
}
