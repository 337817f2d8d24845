//! What a library holds is frozen once it has run: nothing that one package or target does is there for the next.

use zako_script::ScriptErrorKind;

use super::{TestHost, evaluate_with, export, modules};

const LIBRARY: &str = r#"
export const list: number[] = [1];
export const deep: any = { a: { b: [{ c: 1 }] } };
export const map = new Map<string, any>([["a", { b: 1 }]]);
export const set = new Set([{ x: 1 }]);
export const weak = new WeakMap<object, number>([[list, 1]]);
export const weakSet = new WeakSet<object>();
export const when = new Date("2024-01-01");
export class Registry extends Map<string, number> {
  static count = 0;
  note(name: string) { super.set(name, 1); }
}
export const registry = new Registry([["a", 1]]);
export class Counter { value = 0; }
export const counter = new Counter();
export function calls() { (calls as any).n = ((calls as any).n ?? 0) + 1; }
export const accessor = { get inner() { return hidden; } };
const hidden: any = { n: 1 };
export const hide = () => { hidden.n++; };
export const spaces = /\s+/g;
export const bytes = new Uint8Array([1, 2]);
export enum Mode { A, B }
export namespace Space { export const at = { n: 1 }; }
export default { none: true } as any;
"#;

/// What `body` throws, a function's body, in a package that imports the library.
async fn said(body: &str) -> String {
    let source = format!(
        "import * as lib from \"./lib.ts\";\nimport fallback from \"./lib.ts\";\nvoid fallback;\nlet out: string = \"nothing\";\n\
         try {{ const any: any = lib; void any; (() => {{ {body} }})(); }} catch (e) {{ out = String(e); }}\nexport {{ out }};\n"
    );
    let files = [("pkg/BUILD.ts", source.as_str()), ("pkg/lib.ts", LIBRARY)];
    let out = evaluate_with(&files, TestHost::default(), None)
        .await
        .unwrap();
    serde_json::from_str(&export(&out, "out")).unwrap()
}

#[tokio::test]
async fn all_that_bindings_lead_to_is_frozen() {
    let held = "of //pkg/lib.ts: what a module holds is frozen once it has run";
    for (body, wanted) in [
        (
            "lib.list.push(2);",
            "Cannot add property 1, object is not extensible".to_owned(),
        ),
        (
            "lib.list[0] = 2;",
            "Cannot assign to read only property '0'".to_owned(),
        ),
        (
            "lib.deep.a.b[0].c = 2;",
            "Cannot assign to read only property 'c'".to_owned(),
        ),
        (
            "delete lib.deep.a;",
            "Cannot delete property 'a'".to_owned(),
        ),
        (
            "lib.map.set('b', 1);",
            format!("Cannot set in a Map {held}"),
        ),
        (
            "Map.prototype.set.call(lib.map, 'b', 1);",
            format!("Cannot set in a Map {held}"),
        ),
        ("lib.map.clear();", format!("Cannot clear in a Map {held}")),
        (
            "any.map.getOrInsert('q', 1);",
            format!("Cannot getOrInsert in a Map {held}"),
        ),
        (
            "lib.map.get('a').b = 2;",
            "Cannot assign to read only property 'b'".to_owned(),
        ),
        (
            "lib.set.add({ x: 2 });",
            format!("Cannot add in a Set {held}"),
        ),
        (
            "for (const each of lib.set) each.x = 2;",
            "Cannot assign to read only property 'x'".to_owned(),
        ),
        (
            "lib.weak.set({}, 1);",
            format!("Cannot set in a WeakMap {held}"),
        ),
        (
            "lib.weakSet.add({});",
            format!("Cannot add in a WeakSet {held}"),
        ),
        (
            "lib.when.setTime(0);",
            format!("Cannot setTime in a Date {held}"),
        ),
        (
            "lib.when.setFullYear(0);",
            format!("Cannot setFullYear in a Date {held}"),
        ),
        (
            "lib.registry.note('b');",
            format!("Cannot set in a Map {held}"),
        ),
        (
            "lib.Registry.count++;",
            "Cannot assign to read only property 'count'".to_owned(),
        ),
        (
            "any.Registry.prototype.note = 1;",
            "Cannot assign to read only property 'note'".to_owned(),
        ),
        (
            "lib.counter.value++;",
            "Cannot assign to read only property 'value'".to_owned(),
        ),
        (
            "lib.calls();",
            "Cannot add property n, object is not extensible".to_owned(),
        ),
        (
            "lib.hide();",
            "Cannot assign to read only property 'n'".to_owned(),
        ),
        (
            "any.accessor.inner.n = 3;",
            "Cannot assign to read only property 'n'".to_owned(),
        ),
        (
            "any.spaces.mine = 1;",
            "Cannot add property mine, object is not extensible".to_owned(),
        ),
        (
            "any.bytes.mine = 1;",
            "Cannot add property mine, object is not extensible".to_owned(),
        ),
        (
            "any.Mode.C = 1;",
            "Cannot add property C, object is not extensible".to_owned(),
        ),
        (
            "lib.Space.at.n = 2;",
            "Cannot assign to read only property 'n'".to_owned(),
        ),
        (
            "fallback.none = 2;",
            "Cannot assign to read only property 'none'".to_owned(),
        ),
    ] {
        let said = said(body).await;
        let said = said.strip_prefix("TypeError: ").unwrap_or(&said);
        assert!(
            said.starts_with(&wanted),
            "{body}\n  says {said}\n  not  {wanted}"
        );
    }
}

/// What is no module's, or only read, is as it was.
#[tokio::test]
async fn what_is_not_held_is_free() {
    for body in [
        "const map = new Map(lib.map); map.set('b', 1); map.delete('a'); map.clear();",
        "const copy = [...lib.list]; copy.push(2); copy.sort();",
        "const map = Object.freeze(new Map([[1, 2]])); map.set(3, 4); if (map.size !== 2) throw new Error('it does not grow');",
        "const other = new lib.Registry([['x', 1]]); other.note('b'); if (other.size !== 2) throw new Error('it does not grow');",
        "const one = new lib.Counter(); one.value++; if (one.value !== 1) throw new Error('it does not count');",
        "if (' a  b '.replace(lib.spaces, '-') !== '-a-b-' || lib.spaces.test('x')) throw new Error('patterns do not work');",
        "const day = new Date(lib.when); day.setUTCFullYear(2000); if (day.getTime() === lib.when.getTime()) throw new Error('not a copy');",
        "class Mine extends lib.Counter { override value = 5; } if (new Mine().value !== 5) throw new Error('no field');",
        "if (lib.Mode[lib.Mode.A] !== 'A' || lib.map.get('a').b !== 1 || !lib.weak.has(lib.list)) throw new Error('unreadable');",
    ] {
        assert_eq!(said(body).await, "nothing", "{body}");
    }
}

/// Modules run one after another: what the first holds is frozen when the second runs, and a module's own is free while it runs.
#[tokio::test]
async fn a_module_is_frozen_when_it_has_run() {
    let files = [
        (
            "pkg/BUILD.ts",
            "import { table } from \"./a.ts\";\nexport const size = table.length;\n",
        ),
        (
            "pkg/a.ts",
            "import { base } from \"./b.ts\";\nexport const table: number[] = [];\nfor (let n = 0; n < 3; n++) table.push(n);\nbase.push(1);\n",
        ),
        ("pkg/b.ts", "export const base: number[] = [];\n"),
    ];
    let error = evaluate_with(&files, TestHost::default(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Throw);
    assert_eq!(error.place.unwrap().to_string(), "pkg/a.ts:4:6");
    assert!(error.help.unwrap().contains("change a copy"));
}

/// A package runs once and is seen by nobody: its own variables are its own.
#[tokio::test]
async fn a_package_is_free() {
    let source = "let n = 0;\nconst list: number[] = [];\nfor (const x of [1, 2]) { n += x; list.push(n); }\nexport { n, list };\n";
    let out = evaluate_with(&[("pkg/BUILD.ts", source)], TestHost::default(), None)
        .await
        .unwrap();
    assert_eq!(
        (export(&out, "n"), export(&out, "list")),
        ("3".into(), "[1,3]".into())
    );
}

/// What could be bound anew is refused where it is written, in files that others use.
#[tokio::test]
async fn module_variables_are_faults() {
    for (file, source, place) in [
        ("pkg/a.ts", "const a = 1;\nexport let b = a;\n", "2:12"),
        ("pkg/a.ts", "let a = 1;\nexport { a };\n", "1:5"),
        ("pkg/a.rule.ts", "if (true) { var x = 1; }\n", "1:17"),
        ("pkg/a.config.ts", "let { a, ...rest } = { a: 1 };\n", "1:7"),
        ("pkg/a.toolchain.ts", "var a;\n", "1:5"),
        (
            "pkg/a.ts",
            "export function f() {}\nexport const g = () => { (f as any) = g; };\n",
            "1:17",
        ),
        (
            "pkg/a.ts",
            "class C {}\nexport function g() { C = null as any; }\n",
            "1:7",
        ),
        (
            "pkg/a.ts",
            "export namespace N { export let n = 1; }\n",
            "1:29",
        ),
    ] {
        let error = modules(&[(file, source)]).await.unwrap_err();
        assert_eq!(error.kind, ScriptErrorKind::Transpile, "{source}");
        assert_eq!(
            error.place.unwrap().to_string(),
            format!("{file}:{place}"),
            "{source}"
        );
        assert!(
            error
                .message
                .ends_with("can change after the module has run"),
            "{}",
            error.message
        );
        assert!(error.help.unwrap().starts_with("write `const`"));
    }
    for (file, source) in [
        ("pkg/BUILD.ts", "let a = 1;\nexport { a };\n"),
        ("pkg/a.script.ts", "let a = 1;\nexport { a };\n"),
        (
            "pkg/a.ts",
            "for (let i = 0; i < 2; i++) { let x = i; void x; }\nexport function f() { let y = 1; var z = y; return z; }\n",
        ),
        (
            "pkg/a.ts",
            "declare let a: number;\nexport declare var b: number;\nexport type T = typeof a;\nexport interface I { a: 1 }\n",
        ),
        (
            "pkg/a.ts",
            "export enum E { A }\nexport const enum F { B }\nexport namespace T { export type X = 1; }\nexport abstract class C {}\nexport function f(a: 1): void;\nexport function f(a: any) { void a; }\n",
        ),
    ] {
        modules(&[(file, source)]).await.unwrap();
    }
    // And those that stay run, with all that is left of their types.
    let files = [
        (
            "pkg/BUILD.ts",
            "import { C } from \"./a.ts\";\nexport const name = C.name;\n",
        ),
        (
            "pkg/a.ts",
            "export enum E { A }\nexport const enum F { B }\nexport namespace T { export type X = 1; }\nnamespace U { export const u = {}; }\nvoid U;\nexport abstract class C {}\nexport default class {}\nexport const { a, b: [c, ...d], ...e } = { a: 1, b: [1, 2, 3], f: {} };\n",
        ),
    ];
    evaluate_with(&files, TestHost::default(), None)
        .await
        .unwrap();
}
