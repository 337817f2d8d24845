//! What goes in and what comes out.

use super::{TestHost, evaluate, evaluate_with, export, modules};
use std::sync::Arc;
use zako_path::NeutralPath;
use zako_script::engine::Entry;
use zako_script::module::{package_facade, script_facade};
use zako_script::{LogLevel, ScriptErrorKind, Specifier};

#[tokio::test]
async fn exports_come_out_as_data() {
    let out = evaluate(
        "interface A { b: number }\nexport const a: A = { b: 1 };\nexport const list = [1, 'two', null, undefined, -0, NaN, 10n];\n\
         export default { z: 1, a: { $zako: 'mine' } };\nexport const { length } = 'four';\nenum E { X = 3 }\nexport const e = E.X;",
    )
    .await
    .unwrap();
    assert_eq!(export(&out, "a"), r#"{"b":1}"#);
    assert_eq!(
        export(&out, "list"),
        r#"[1,"two",null,{"$zako":["undefined"]},{"$zako":["number","-0"]},{"$zako":["number","NaN"]},{"$zako":["bigint","10"]}]"#
    );
    assert_eq!(
        export(&out, "default"),
        r#"{"z":1,"a":{"$zako":["object",{"$zako":"mine"}]}}"#
    );
    assert_eq!(export(&out, "length"), "4");
    assert_eq!(export(&out, "e"), "3");
    assert!(out.refused.is_empty());
    assert!(out.usage.heap_used > 0);
}

#[tokio::test]
async fn what_cannot_leave_is_named_with_its_reason() {
    let out = evaluate(
        "export function f() {}\nexport class C {}\nexport const good = 1;\nexport const deep = { a: [1, Symbol('s')] };\n\
         export const m = new Map();\nconst c: any = {}; c.c = c; export { c as cycle };\nexport const p = Promise.resolve(1);",
    )
    .await
    .unwrap();
    let refused: Vec<String> = out
        .refused
        .iter()
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    assert_eq!(
        refused,
        [
            "C: C is a class, which cannot leave its package",
            "cycle: cycle.c contains itself",
            "deep: deep.a[1] is a symbol, which cannot leave its module",
            "f: f is a function, which cannot leave its package",
            "m: m is an instance of Map; only plain data can leave a module",
            "p: p is a promise; await it first",
        ]
    );
    assert_eq!(export(&out, "good"), "1");
}

#[tokio::test]
async fn a_throw_has_the_line_of_the_ts_file() {
    let error = evaluate_with(
        &[
            ("pkg/BUILD.ts", "import { f } from \"./lib.ts\";\n\n\nexport const x = f(1);\n"),
            ("pkg/lib.ts", "interface Wide { a: string;\n b: number }\nexport function f(n: number): Wide {\n  throw new RangeError(`no ${n}`, { cause: new Error(\"why\") });\n}\n"),
        ],
        TestHost::default(),
        None,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Throw);
    assert_eq!(error.message, "RangeError: no 1");
    assert_eq!(error.place.as_ref().unwrap().to_string(), "pkg/lib.ts:4:9");
    assert!(error.source.as_ref().unwrap().contains("interface Wide"));
    let frames: Vec<String> = error
        .frames
        .iter()
        .filter(|f| f.user)
        .map(|f| f.place.to_string())
        .collect();
    assert_eq!(frames, ["pkg/lib.ts:4:9", "pkg/BUILD.ts:4:18"]);
    assert_eq!(error.cause.unwrap().message, "why");
}

#[tokio::test]
async fn a_type_imported_as_a_value_says_so() {
    let error = evaluate_with(
        &[
            (
                "pkg/BUILD.ts",
                "import { Options } from \"./lib.ts\";\nexport const x: Options = 1 as any;\n",
            ),
            ("pkg/lib.ts", "export interface Options { a: string }\n"),
        ],
        TestHost::default(),
        None,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Resolve);
    assert!(error.message.contains("Options"), "{error}");
    assert!(error.help.unwrap().contains("import type"));
}

#[tokio::test]
async fn logs_tell_their_line() {
    let host = TestHost::default();
    evaluate_with(
        &[(
            "pkg/BUILD.ts",
            "import { log } from \"zako:build\";\nlog.warn('a', { b: [1] });\nconsole.log('c');\n",
        )],
        host.clone(),
        None,
    )
    .await
    .unwrap();
    let seen = host.seen.lock();
    assert_eq!(
        seen.logs[0],
        (
            LogLevel::Warn,
            "a { b: [1] }".to_owned(),
            Some("pkg/BUILD.ts:2:5".to_owned())
        )
    );
    assert_eq!(
        seen.logs[1],
        (
            LogLevel::Info,
            "c".to_owned(),
            Some("pkg/BUILD.ts:3:9".to_owned())
        )
    );
}

#[tokio::test]
async fn packages_meet_as_frozen_handles() {
    let other = evaluate_with(
        &[(
            "pkg/BUILD.ts",
            "import { task } from \"zako:build\";\nexport const gen = task({ outputs: { h: 'x.h' }, shell: 'true' });\nexport const level = { a: [1] };\n",
        )],
        TestHost::default(),
        None,
    )
    .await
    .unwrap();
    let facade = package_facade(
        Specifier::File(NeutralPath::new("pkg/BUILD.ts").unwrap()),
        other
            .exports
            .iter()
            .map(|(name, value)| (name.as_str(), value)),
    );
    let mut set = modules(&[(
        "app/BUILD.ts",
        "import { gen, level } from \"//pkg/BUILD.ts\";\nexport const again = gen;\nexport const header = gen.out.h;\n\
         export const sum = level.a[0] + 1;\nexport const frozen = Object.isFrozen(level) && Object.isFrozen(level.a) && Object.isFrozen(gen);\n\
         let text = ''; try { text = `${gen}`; } catch (e) { text = (e as Error).name; }\nexport { text };",
    )])
    .await
    .unwrap();
    set.insert(Arc::new(facade));
    let evaluation = zako_script::Evaluation {
        modules: set,
        entry: Entry::Exports(Specifier::File(NeutralPath::new("app/BUILD.ts").unwrap())),
        host: Box::new(TestHost::default()),
        limits: None,
    };
    let out = super::ENGINE
        .evaluate(evaluation, &tokio_util::sync::CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(export(&out, "sum"), "2");
    assert_eq!(export(&out, "frozen"), "true");
    assert_eq!(export(&out, "text"), "\"TypeError\"");
    assert_eq!(export(&out, "header"), r#"{"$zako":["output",0,"h"]}"#);
    assert!(export(&out, "again").contains("zako:build#task"));
}

#[tokio::test]
async fn script_modules_are_opaque() {
    let mut set = modules(&[(
        "a/BUILD.ts",
        "import gen from \"./gen.script.ts\";\nexport const g = gen;\n",
    )])
    .await
    .unwrap();
    set.insert(Arc::new(script_facade(Specifier::File(
        NeutralPath::new("a/gen.script.ts").unwrap(),
    ))));
    let evaluation = zako_script::Evaluation {
        modules: set,
        entry: Entry::Exports(Specifier::File(NeutralPath::new("a/BUILD.ts").unwrap())),
        host: Box::new(TestHost::default()),
        limits: None,
    };
    let out = super::ENGINE
        .evaluate(evaluation, &tokio_util::sync::CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(
        export(&out, "g"),
        r#"{"$zako":["script","//a/gen.script.ts"]}"#
    );
}

#[tokio::test]
async fn path_and_hash_give_what_they_say() {
    let out = evaluate(
        "import { join, dirname, basename, extname, relative, normalize, withExtension } from \"zako:path\";\n\
         import { blake3, sha256 } from \"zako:hash\";\n\
         export const p = [join('a', '../b', './c.txt'), dirname('a/b'), dirname('b'), basename('a/b.c', '.c'), extname('x.tar.gz'), extname('.profile'), relative('a/b', 'a/c/d'), normalize('a//b/../..'), withExtension('a/b.c', '.o')];\n\
         export const h = [blake3(''), sha256('abc'), sha256(new Uint8Array([97, 98, 99]))];",
    )
    .await
    .unwrap();
    assert_eq!(
        export(&out, "p"),
        r#"["b/c.txt","a",".","b",".gz","","../c/d",".","a/b.o"]"#
    );
    // The digests of the functions' own specifications.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(export(&out, "h"), format!(r#"["{empty}","{abc}","{abc}"]"#));
}
