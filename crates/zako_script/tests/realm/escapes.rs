//! Ways out of the realm that people know, each tried: through prototypes and constructors, stacks, iterators, proxies,
//! modules, and what zako's own handles lead to.

use zako_script::ScriptErrorKind;

use super::{TestHost, evaluate, evaluate_with, export};

/// What each script says, a function's body; a throw is its text.
async fn said(body: &str) -> String {
    let source = format!(
        "import {{ task }} from \"zako:build\";\nimport {{ join }} from \"zako:path\";\nvoid [task, join];\nlet out: unknown;\n\
         try {{ out = await (async () => {{ {body} }})(); }} catch (e) {{ out = String(e); }}\nexport {{ out }};\n"
    );
    match evaluate(&source).await {
        Ok(out) if out.refused.is_empty() => export(&out, "out"),
        Ok(out) => out.refused[0].1.clone(),
        Err(error) => panic!("{body}: {error}"),
    }
}

/// Each body must say what is beside it, as the whole answer or, after `…`, somewhere in it.
async fn check(rows: &[(&str, &str)]) {
    for (body, wanted) in rows {
        let said = said(body).await;
        match wanted.strip_prefix('…') {
            Some(part) => assert!(said.contains(part), "{body}\n  says {said}\n  not {part}"),
            None => assert_eq!(said, *wanted, "{body}"),
        }
    }
}

#[tokio::test]
async fn constructors_lead_nowhere() {
    let refused = "…Code generation from strings disallowed";
    check(&[
        ("return (0, eval)('1');", refused),
        ("return [].constructor.constructor('return 1')();", refused),
        ("return new (Function.prototype.constructor as any)('return 1')();", refused),
        ("return Reflect.apply((async function* () {} as any).constructor, null, ['yield 1']);", refused),
        ("return Reflect.construct((function* () {} as any).constructor, ['yield 1']);", refused),
        ("return Reflect.construct(Object.getPrototypeOf(async () => {}).constructor, ['return 1']);", refused),
        ("class F extends Function {} return new F('return 1')();", refused),
        ("return Object.getOwnPropertyNames(new (Object.getPrototypeOf(globalThis).constructor)());", "[]"),
        ("return Reflect.construct(Object.getPrototypeOf(new Date(0)).constructor, []);", "…not available in build scripts"),
        ("class D extends Date {} return new (D as any)();", "…not available in build scripts"),
        ("return Date.prototype.constructor.now();", "…not available in build scripts"),
        ("return typeof (Date.prototype as any).toTemporalInstant;", "\"undefined\""),
        ("return (() => { try { return (function (this: unknown) { return this; })(); } catch { return 1; } })();", r#"{"$zako":["undefined"]}"#),
    ])
    .await;
}

#[tokio::test]
async fn handles_are_made_by_the_engine_alone() {
    let handle =
        "const t: any = task({ outputs: { x: 'x' }, shell: 'true' }); const f: any = t.out.x;";
    for (rest, wanted) in [
        (
            "return [t.constructor === Object, f.constructor === Object];",
            "[true,true]",
        ),
        (
            "return Reflect.ownKeys(Object.getPrototypeOf(t)).map(String);",
            r#"["toString","toJSON","Symbol(Symbol.toPrimitive)"]"#,
        ),
        (
            "return new f.constructor({ path: '/etc/passwd', directory: false });",
            r#"{"path":"/etc/passwd","directory":false}"#,
        ),
        (
            "return Object.create(Object.getPrototypeOf(t));",
            "…only plain data can leave a module",
        ),
        (
            "return task({ shell: 'true', deps: [Object.create(Object.getPrototypeOf(t))] } as any);",
            "…TypeError",
        ),
        (
            "return Object.setPrototypeOf({ path: '/etc/passwd' }, Object.getPrototypeOf(f));",
            "…only plain data can leave a module",
        ),
        (
            "return { $zako: ['file', '/etc/passwd', false] };",
            r#"{"$zako":["object",{"$zako":["file","/etc/passwd",false]}]}"#,
        ),
        ("t.extra = 1; return t.extra;", "…not extensible"),
        ("f.path = 'x'; return 1;", "…TypeError"),
        (
            "Object.getPrototypeOf(t).toString = () => 'x'; return 1;",
            "…TypeError",
        ),
    ] {
        check(&[(&format!("{handle} {rest}"), wanted)]).await;
    }
}

#[tokio::test]
async fn stacks_cannot_be_hooked_and_show_no_caller() {
    check(&[
        ("(Error as any).prepareStackTrace = (_: any, f: any) => f; return 1;", "…TypeError"),
        ("class E extends Error { static prepareStackTrace() { return 'mine'; } } return new E('x').stack!.split('\\n')[0];", "\"Error: x\""),
        ("Object.defineProperty(globalThis, 'Error', { value: 1 }); return 1;", "…TypeError"),
        ("const e: any = {}; (Error as any).captureStackTrace(e); return e.stack;", "…not a function"),
        ("(Error as any).stackTraceLimit = 0; return 1;", "…TypeError"),
        ("const { get } = Object.getOwnPropertyDescriptor(new Error('x'), 'stack') as any; get.mark = 1; return 1;", "…TypeError"),
        ("return (function f() { return (f as any).caller; })();", "…strict mode functions"),
        ("return (join as any).caller;", "…strict mode functions"),
        ("return (join as any).arguments;", "…strict mode functions"),
        ("return (function () { return (arguments as any).callee; })();", "…strict mode functions"),
        // The module's own place is all that there is: no path of the machine, no frame of the engine's.
        ("return new Error('x').stack!.includes('BUILD.ts') && !/file:|ext:|deno/.test(new Error('x').stack!);", "true"),
    ])
    .await;
}

#[tokio::test]
async fn iterators_and_promises_are_everybodys_and_fixed() {
    check(&[
        ("const g: any = Object.getPrototypeOf(Object.getPrototypeOf((async function* () {})())); g.next = 1; return 1;", "…TypeError"),
        ("const i: any = Object.getPrototypeOf([][Symbol.iterator]()); i.next = () => ({ done: true }); return 1;", "…TypeError"),
        ("const h: any = Object.getPrototypeOf([].values().map((x) => x)); h.return = 1; return 1;", "…TypeError"),
        ("(Promise.prototype as any).then = 1; return 1;", "…TypeError"),
        ("Object.defineProperty(Promise, Symbol.species, { value: 1 }); return 1;", "…TypeError"),
        ("class P extends Promise<any> { static get [Symbol.species](): any { return Object; } } return P.resolve(1).then((x) => x);", "…TypeError"),
        ("class A extends Array { static get [Symbol.species](): any { return Set; } } return new A(1, 2).map((x) => x);", "…TypeError"),
        ("const a: any = ['x']; Object.defineProperty(a, Symbol.iterator, { value: function* () { yield 'mine'; } }); return [join(...a), a];", r#"["mine",["mine"]]"#),
        ("return await ({ then(resolve: (v: string) => void) { resolve('thenable'); } } as any);", "\"thenable\""),
        ("return await (async function* () { yield 1; })().next();", r#"{"value":1,"done":false}"#),
        ("return ((strings: TemplateStringsArray) => { (strings as any)[0] = 'x'; })`a`;", "…TypeError"),
        ("const re = /(.)/; re.exec('q'); return [(RegExp as any).$1, (RegExp as any).lastMatch, (RegExp as any).input].every((x) => x === undefined);", "true"),
        ("return Object.isFrozen(console.log) && (console as any).createTask === undefined;", "true"),
        ("(task as any).note = 1; return 1;", "…TypeError"),
        ("(join as any).prototype.note = 1; return 1;", "…TypeError"),
    ])
    .await;
}

#[tokio::test]
async fn proxies_see_nothing_of_the_engine() {
    check(&[
        ("const r = Proxy.revocable({}, {}); r.revoke(); return task(r.proxy as any);", "…has been revoked"),
        ("return task(new Proxy({ shell: 'true' }, { ownKeys() { throw new RangeError('trap'); } }) as any);", "\"RangeError: trap\""),
        ("const seen: string[] = []; const p: any = new Proxy({}, { get(_, key) { seen.push(String(key)); return undefined; } }); try { task(p); } catch {} return seen.every((key) => !/ops|core|Deno/.test(key));", "true"),
        ("return new Proxy({ a: 1 }, {});", r#"{"a":1}"#),
        ("Object.setPrototypeOf(globalThis, { x: 1 }); return 1;", "…TypeError"),
        ("(globalThis as any).__proto__.x = 1; return 1;", "…TypeError"),
        ("const { get } = Object.getOwnPropertyDescriptor(Object.prototype, 'constructor') as any; get.x = 1; return 1;", "…TypeError"),
        ("return ['WeakRef', 'FinalizationRegistry', 'SharedArrayBuffer', 'Atomics', 'WebAssembly', 'Intl', 'Temporal', 'setTimeout', 'structuredClone', 'Deno', 'process', 'require', 'performance', 'crypto', 'fetch', 'gc', 'ShadowRealm', '__zako_seal', '__zako_builtins'].filter((name) => name in globalThis);", "[]"),
    ])
    .await;
}

#[tokio::test]
async fn import_meta_has_nothing() {
    check(&[
        ("return import.meta;", "{}"),
        (
            "return [Object.getPrototypeOf(import.meta), Reflect.ownKeys(import.meta)];",
            "[null,[]]",
        ),
    ])
    .await;
}

/// The error of a package beside a library `pkg/lib.ts`, before or while it runs.
async fn refused(build: &str, lib: &str) -> zako_script::ScriptError {
    let files = [("pkg/BUILD.ts", build), ("pkg/lib.ts", lib)];
    let out = evaluate_with(&files, TestHost::default(), None).await;
    out.err().unwrap_or_else(|| panic!("{build} is taken"))
}

#[tokio::test]
async fn modules_come_by_literal_names_and_as_javascript_only() {
    for computed in [
        "const n = './lib.ts'; await import(n);",
        "await import(`./lib.ts`);",
        "await import('./li' + 'b.ts');",
        "await import('./\\u006cib.ts');",
        "await import(('zako:internal/host', './lib.ts'));",
        "await import({ toString: () => './lib.ts' } as any);",
    ] {
        let error = refused(computed, "export const a = 1;").await;
        assert_eq!(
            error.kind,
            ScriptErrorKind::Transpile,
            "{computed}: {error}"
        );
        assert!(
            error.message.contains("literal specifier"),
            "{computed}: {error}"
        );
    }
    for other in [
        "import data from './lib.ts' with { type: 'json' };\nexport const a = data;",
        "import data from './lib.ts' with { type: 'text' };\nexport const a = data;",
        "import data from './lib.ts' with { type: 'bytes' };\nexport const a = data;",
        "export { default } from './lib.ts' with { type: 'json' };",
        "export * from './lib.ts' with { type: 'json' };",
        "export const a = await import('./lib.ts', { with: { type: 'json' } });",
        "import defer * as lib from './lib.ts';\nexport const { a } = lib;",
        "export const a = await import.source('./lib.ts');",
    ] {
        let error = refused(other, "export const a = 1;\nexport default 1;").await;
        assert_eq!(error.kind, ScriptErrorKind::Transpile, "{other}: {error}");
        assert!(error.place.is_some(), "{other}");
    }
}

#[tokio::test]
async fn a_namespace_is_fixed_and_a_then_among_exports_is_no_way_in() {
    let lib = "export const n = 1;\nexport function then(resolve: (v: unknown) => void): void { resolve('thenable'); }\n";
    let build = "import * as lib from './lib.ts';\nconst tried: string[] = [];\n\
         for (const f of [() => { (lib as any).n = 2; }, () => { (lib as any).m = 2; }, () => { delete (lib as any).n; }, () => Object.setPrototypeOf(lib, {})]) {\n  \
         try { f(); tried.push('done'); } catch (e) { tried.push((e as Error).name); }\n}\n\
         export { tried };\nexport const awaited = await import('./lib.ts');\n";
    let files = [("pkg/BUILD.ts", build), ("pkg/lib.ts", lib)];
    let out = evaluate_with(&files, TestHost::default(), None)
        .await
        .unwrap();
    assert_eq!(
        export(&out, "tried"),
        r#"["TypeError","TypeError","TypeError","TypeError"]"#
    );
    assert_eq!(export(&out, "awaited"), "\"thenable\"");
    // Of the package itself it is an export like others: a function, which cannot leave.
    let out = evaluate("export function then(): never { throw new Error('called'); }")
        .await
        .unwrap();
    assert_eq!(out.refused[0].0, "then");
}

#[tokio::test]
async fn what_is_queued_runs_and_its_errors_are_told() {
    let out =
        evaluate("let n = 1;\nqueueMicrotask(() => { n += 1; });\nawait null;\nexport { n };\n")
            .await;
    assert_eq!(export(&out.unwrap(), "n"), "2");
    let error = evaluate("queueMicrotask(() => {\n  throw new RangeError('late');\n});\n")
        .await
        .unwrap_err();
    assert_eq!(error.message, "RangeError: late");
    assert_eq!(error.place.unwrap().to_string(), "pkg/BUILD.ts:2:9");
    check(&[(
        "queueMicrotask(1 as any); return 1;",
        "…queueMicrotask takes a function",
    )])
    .await;
}
