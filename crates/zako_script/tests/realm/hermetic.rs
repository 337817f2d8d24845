//! The realm has nothing that tells of time, place, chance or memory, and nothing in it can be changed.

use super::{evaluate, export};

/// Evaluates the expression and gives its JSON, or the error's message when it throws.
async fn value(expression: &str) -> String {
    let source = format!(
        "let out: unknown;\ntry {{ out = {expression}; }} catch (e) {{ out = String(e); }}\nexport {{ out }};\n"
    );
    match evaluate(&source).await {
        Ok(out) => export(&out, "out"),
        Err(error) => panic!("{expression}: {error}"),
    }
}

#[tokio::test]
async fn the_globals_are_the_language_and_no_more() {
    let globals = value("Object.getOwnPropertyNames(globalThis).sort().join(' ')").await;
    assert_eq!(
        globals.trim_matches('"'),
        "AggregateError Array ArrayBuffer AsyncDisposableStack BigInt BigInt64Array BigUint64Array Boolean DataView Date \
         DisposableStack Error EvalError Float16Array Float32Array Float64Array Function Infinity Int16Array Int32Array \
         Int8Array Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set \
         String SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray \
         WeakMap WeakSet console decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval globalThis isFinite \
         isNaN parseFloat parseInt queueMicrotask undefined unescape"
    );
    assert_eq!(
        value("Object.getOwnPropertySymbols(globalThis).length").await,
        "0"
    );
}

#[tokio::test]
async fn time_place_and_chance_are_refused_with_advice() {
    for expression in ["Date()", "new Date()", "Date.now()", "Math.random()"] {
        let said = value(expression).await;
        assert!(
            said.contains("not available in build scripts"),
            "{expression}: {said}"
        );
    }
    assert!(
        value("new (new Date(0)).constructor()")
            .await
            .contains("not available")
    );
    assert!(
        value("Reflect.construct(Date, [], Object)")
            .await
            .contains("not available")
    );
    assert!(
        value("new Date('Jan 1 2020').getTime()")
            .await
            .contains("ISO 8601")
    );
}

#[tokio::test]
async fn dates_are_values_in_utc() {
    for (expression, wanted) in [
        (
            "new Date(2024, 0, 2, 3).toISOString()",
            "2024-01-02T03:00:00.000Z",
        ),
        (
            "new Date('2024-07-01T12:00').toISOString()",
            "2024-07-01T12:00:00.000Z",
        ),
        (
            "new Date('2024-07-01T12:00+02:00').toISOString()",
            "2024-07-01T10:00:00.000Z",
        ),
        ("new Date(0).toString()", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (
            "`${new Date(0).getHours()} ${new Date(0).getTimezoneOffset()}`",
            "0 0",
        ),
        ("new Date(0).toLocaleString()", "1970-01-01T00:00:00.000Z"),
        ("(1234.5).toLocaleString()", "1234.5"),
        (
            "['b', 'a', 'B', 'ä'].sort((x, y) => x.localeCompare(y)).join('')",
            "Babä",
        ),
    ] {
        assert_eq!(
            value(expression).await.trim_matches('"'),
            wanted,
            "{expression}"
        );
    }
    assert_eq!(
        value(
            "[new Date(0) instanceof Date, Date.length, Date.name, class D extends Date {}.name]"
        )
        .await,
        r#"[true,7,"Date","D"]"#
    );
}

#[tokio::test]
async fn code_from_strings_is_refused() {
    for expression in [
        "eval('1')",
        "new Function('return 1')()",
        "(() => {}).constructor('return 1')()",
        "(async () => {}).constructor('return 1')",
        "(function* () {}).constructor('return 1')",
        "Reflect.construct(Function, ['return 1'])",
    ] {
        let said = value(expression).await;
        assert!(
            said.contains("Code generation from strings disallowed"),
            "{expression}: {said}"
        );
    }
}

#[tokio::test]
async fn what_is_shared_is_frozen() {
    for expression in [
        "(() => { (Array.prototype as any).push = 1; })()",
        "(() => { (Object.prototype as any).polluted = 1; })()",
        "(() => { (globalThis as any).leak = 1; })()",
        "(() => { (Math as any).max = 1; })()",
        "(() => { (Error as any).prepareStackTrace = () => 'mine'; })()",
        "(() => { (console as any).log = 1; })()",
        "(() => { (Object.getPrototypeOf(async function* () {}.prototype) as any).next = 1; })()",
        "(() => { ([][Symbol.iterator]() as any).__proto__.next = 1; })()",
        "(() => { Object.defineProperty(Promise.prototype, 'then', { value: 1 }); })()",
        "(() => { delete (JSON as any).parse; })()",
        "(() => { ({} as any).__proto__.x = 1; })()",
        "(() => { (Object.prototype as any).toString = () => 'mine'; })()",
    ] {
        let said = value(expression).await;
        assert!(said.contains("TypeError"), "{expression}: {said}");
    }
}

#[tokio::test]
async fn freezing_does_not_hurt_ordinary_code() {
    for (expression, wanted) in [
        (
            "(() => { const o: any = {}; o.toString = () => 'mine'; return `${o}`; })()",
            "\"mine\"",
        ),
        (
            "(() => { class E extends Error {} E.prototype.name = 'E'; return String(new E('m')); })()",
            "\"E: m\"",
        ),
        (
            "(() => { const e = new Error('a'); e.message = 'b'; return e.message; })()",
            "\"b\"",
        ),
        (
            "(() => { const e: any = new Error('a'); e.name = 'N'; return String(e); })()",
            "\"N: a\"",
        ),
        (
            "(() => { function F(this: any) {} (F as any).prototype.constructor = F; return 1; })()",
            "1",
        ),
        (
            "(() => { const a: any = []; a.push = () => 'mine'; return a.push(); })()",
            "\"mine\"",
        ),
        (
            "JSON.stringify(Object.keys(Object.assign({}, { valueOf: 1 })))",
            "\"[\\\"valueOf\\\"]\"",
        ),
        ("[...new Map([[1, 2]]).entries()].flat().length", "2"),
        ("'aXbX'.replaceAll('X', '-')", "\"a-b-\""),
        (
            "/(?<y>\\\\d+)/.exec('in 2024')?.groups?.y ?? 'none'",
            "\"none\"",
        ),
        ("await Promise.all([1, Promise.resolve(2)])", "[1,2]"),
        (
            "structuredCloneMissing()",
            "\"ReferenceError: structuredCloneMissing is not defined\"",
        ),
    ] {
        assert_eq!(value(expression).await, wanted, "{expression}");
    }
}

#[tokio::test]
async fn the_engine_is_out_of_reach() {
    for expression in [
        "(globalThis as any).Deno",
        "(globalThis as any).__bootstrap",
        "(globalThis as any).__infra",
        "(RegExp as any).$1",
        "(Error as any).captureStackTrace",
    ] {
        assert_eq!(
            value(expression).await,
            r#"{"$zako":["undefined"]}"#,
            "{expression}"
        );
    }
    let from = zako_script::Specifier::File(zako_path::NeutralPath::new("a.ts").expect("a path"));
    assert!(
        from.resolve("zako:internal/host").is_err(),
        "internal modules do not resolve"
    );
}
