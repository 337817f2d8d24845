//! The standard rules, with the real tools of the machine.

use std::collections::BTreeMap;
use std::process::Command;

use zako_core::BuildOptions;

use crate::fixture::{Built, Fixture, run, told, write};

/// A build with the environment of these tests: compilers may be anywhere on its PATH.
async fn build(f: &Fixture, tests: bool, more: &[(&str, String)]) -> Built {
    let mut environment: BTreeMap<String, String> = std::env::vars().collect();
    environment.extend(
        more.iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    let options = BuildOptions {
        environment,
        tests,
        ..BuildOptions::default()
    };
    run(&f.session, &[], options).await
}

/// The only error, with what the action printed.
fn failed(built: &Built) -> String {
    let error = built.error();
    format!(
        "{}\n{}",
        told(error),
        error.output.as_deref().unwrap_or_default()
    )
}

/// What a program that was built prints.
fn output(f: &Fixture, program: &str) -> String {
    let output = Command::new(f.root().join(program)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn c_libraries_are_shared_and_private() {
    let f = Fixture::new(&[
        (
            "low/BUILD.ts",
            "import { ccLibrary } from \"zako:cc\";\nexport const low = ccLibrary({ srcs: [\"low.c\"], hdrs: [\"low.h\"], includes: [\".\"], defines: [\"LOW=20\"] });\n",
        ),
        ("low/low.h", "int low(void);\n"),
        (
            "low/low.c",
            "#include \"low.h\"\nint low(void) { return LOW; }\n",
        ),
        (
            "lib/BUILD.ts",
            "import { ccLibrary } from \"zako:cc\";\nimport { low } from \"//low/BUILD.ts\";\nexport const mid = ccLibrary({ srcs: [\"mid.c\"], hdrs: [\"mid.h\"], privateDeps: [low], privateDefines: [\"MINE=1\"], privateIncludes: [\"inside\"], shared: true });\n",
        ),
        ("lib/mid.h", "int mid(void);\n"),
        ("lib/inside/more.h", "#define MORE 1\n"),
        (
            "lib/mid.c",
            "#include \"lib/mid.h\"\n#include \"low.h\"\n#include \"more.h\"\nint mid(void) { return low() + MINE + MORE; }\n",
        ),
        (
            "app/BUILD.ts",
            "import { ccBinary, ccTest } from \"zako:cc\";\nimport { mid } from \"//lib/BUILD.ts\";\nexport const app = ccBinary({ srcs: [\"main.c\"], deps: [mid] });\nexport const app_test = ccTest({ srcs: [\"test.c\"], deps: [mid] });\n",
        ),
        (
            "app/main.c",
            "#include <stdio.h>\n#include \"lib/mid.h\"\n#if defined LOW || defined MINE\n#error they are private\n#endif\nint main(void) { printf(\"%d\\n\", mid()); }\n",
        ),
        (
            "app/test.c",
            "#include \"lib/mid.h\"\nint main(void) { return mid() == 22 ? 0 : 1; }\n",
        ),
    ]);
    // Headers of the private folder are sources of the library, too.
    f.write(
        "lib/BUILD.ts",
        &f.read("lib/BUILD.ts")
            .replace("srcs: [\"mid.c\"]", "srcs: [\"mid.c\", \"inside/more.h\"]"),
    );
    build(&f, true, &[]).await.good();
    assert_eq!(output(&f, "zako-out/app/app"), "22\n");
    assert!(f.has("zako-out/lib/libmid.so"));
    assert_eq!(build(&f, true, &[]).await.good().lines(), [""; 0]);
    // The header of a private dependency is not to be had.
    f.write(
        "app/main.c",
        "#include \"low.h\"\nint main(void) { return 0; }\n",
    );
    let built = build(&f, false, &[]).await;
    assert!(failed(&built).contains("low.h"), "{built:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn installed_libraries_are_found_by_pkg_config() {
    let f = Fixture::new(&[
        (
            "BUILD.ts",
            "import { ccBinary, pkgConfig } from \"zako:cc\";\nconst mine = pkgConfig(\"mine\", { version: \">=1.2\" });\nexport const app = ccBinary({ srcs: [\"main.c\"], deps: [mine] });\n",
        ),
        (
            "main.c",
            "#include <stdio.h>\n#include <math.h>\n#include <mine.h>\nint main(int argc, char **argv) { (void)argv; printf(\"%s %.1f\\n\", MINE, floor(sqrt(2.25 * argc))); }\n",
        ),
    ]);
    let installed = f.temp().join("installed");
    write(&installed.join("include/mine.h"), "\n");
    let describe = |version: &str, word: &str| {
        let text = format!(
            "Name: mine\nDescription: mine\nVersion: {version}\nCflags: -I{} -DMINE=\\\"{word}\\\"\nLibs: -lm\n",
            installed.join("include").display()
        );
        // As package managers do.
        write(&installed.join("new"), &text);
        std::fs::rename(installed.join("new"), installed.join("mine.pc")).unwrap();
    };
    let path = [("PKG_CONFIG_PATH", installed.display().to_string())];
    let built = build(&f, false, &path).await;
    let text = told(built.error());
    assert!(text.contains("the library mine is not installed"), "{text}");
    describe("1.1", "old");
    let text = told(build(&f, false, &path).await.error());
    assert!(
        text.contains("the library mine is 1.1, and >=1.2 is needed"),
        "{text}"
    );
    describe("1.2.3", "one");
    build(&f, false, &path).await.good();
    assert_eq!(output(&f, "zako-out/app"), "one 1.0\n");
    assert_eq!(build(&f, false, &path).await.good().lines(), [""; 0]);
    describe("1.2.4", "two");
    build(&f, false, &path).await.good();
    assert_eq!(output(&f, "zako-out/app"), "two 1.0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_compile_and_link() {
    let f = Fixture::new(&[
        (
            "gen.rule.ts",
            "import { attr, rule } from \"zako:rule\";\nimport { CcToolchain, compile, link } from \"zako:cc\";\nexport const answer = rule({\n  attrs: { value: attr.int() },\n  provides: {},\n  toolchains: { cc: CcToolchain },\n  analyze(ctx) {\n    const source = ctx.file(`${ctx.name}.c`);\n    ctx.write(source, `#include <stdio.h>\\nint main(void) { printf(\"%d\\\\n\", ${ctx.attrs.value}); }\\n`);\n    ctx.expose(\"default\", link(ctx, ctx.name, compile(ctx, { srcs: [source] })));\n    return {};\n  },\n});\n",
        ),
        (
            "BUILD.ts",
            "import { answer } from \"./gen.rule.ts\";\nexport const a = answer({ value: 42 });\n",
        ),
    ]);
    build(&f, false, &[]).await.good();
    assert_eq!(output(&f, "zako-out/a"), "42\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_crates_macros_and_tests() {
    let f = Fixture::new(&[
        (
            "BUILD.ts",
            "import { rustBinary, rustLibrary, rustProcMacro, rustTest } from \"zako:rust\";\nimport { ccLibrary } from \"zako:cc\";\nconst native = ccLibrary({ srcs: [\"native.c\"] });\nconst answer = rustProcMacro({ srcs: [\"answer.rs\"] , crate: \"answer\" });\nconst base = rustLibrary({ srcs: [\"base/lib.rs\", \"base/inner.rs\"], crate: \"base\", features: [\"loud\"], ccDeps: [native] });\nconst mid = rustLibrary({ srcs: [\"mid.rs\"], deps: [base], crate: \"mid\" });\nexport const hello = rustBinary({ srcs: [\"main.rs\"], deps: [mid], macros: [answer], edition: \"2024\", env: { WHO: \"world\" } });\nexport const base_test = rustTest({ srcs: [\"base/lib.rs\", \"base/inner.rs\"], features: [\"loud\"], ccDeps: [native] });\n",
        ),
        ("native.c", "int native(void) { return 7; }\n"),
        (
            "answer.rs",
            "extern crate proc_macro;\n#[proc_macro]\npub fn answer(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"42\".parse().unwrap() }\n",
        ),
        (
            "base/lib.rs",
            "mod inner;\nunsafe extern \"C\" { fn native() -> i32; }\npub fn base() -> String { format!(\"{} {}\", inner::word(), unsafe { native() }) }\n#[test]\nfn it_is() { assert_eq!(base(), \"LOUD 7\"); }\n",
        ),
        (
            "base/inner.rs",
            "pub fn word() -> &'static str { if cfg!(feature = \"loud\") { \"LOUD\" } else { \"quiet\" } }\n",
        ),
        (
            "mid.rs",
            "pub fn mid() -> String { format!(\"<{}>\", base::base()) }\n",
        ),
        (
            "main.rs",
            "fn main() { println!(\"{} {} {}\", mid::mid(), answer::answer!(), env!(\"WHO\")); }\n",
        ),
    ]);
    build(&f, true, &[]).await.good();
    assert_eq!(output(&f, "zako-out/hello"), "<LOUD 7> 42 world\n");
    assert_eq!(build(&f, true, &[]).await.good().lines(), [""; 0]);
    f.write(
        "base/inner.rs",
        "pub fn word() -> &'static str { \"other\" }\n",
    );
    let built = build(&f, true, &[]).await;
    let text = failed(&built);
    assert!(
        text.contains("//:base_test") && text.contains("it_is"),
        "{text}"
    );
    build(&f, false, &[]).await.good();
    assert_eq!(output(&f, "zako-out/hello"), "<other 7> 42 world\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_the_same_bytes() {
    let files = [
        (
            "BUILD.ts",
            "import { archive } from \"zako:archive\";\nimport { task } from \"zako:build\";\nconst dir = task({ outputs: [\"d/\"], shell: 'mkdir -p \"$out/s\"; echo 1 > \"$out/s/one\"; chmod +x \"$out/s/one\"' });\nexport const t = archive({ srcs: [\"b\", \"a\"], entries: { \"x/tree\": dir }, folder: \"top\", format: \"tar\" });\nexport const g = archive({ srcs: [\"a\"] });\n",
        ),
        ("a", "A\n"),
        ("b", "B\n"),
    ];
    let made: Vec<(String, Vec<u8>)> = {
        let mut made = Vec::new();
        for _ in 0..2 {
            let f = Fixture::new(&files);
            build(&f, false, &[]).await.good();
            let list = Command::new("tar")
                .arg("-tvf")
                .arg(f.root().join("zako-out/t.tar"))
                .env("TZ", "UTC")
                .output()
                .unwrap();
            made.push((
                String::from_utf8(list.stdout).unwrap(),
                [
                    std::fs::read(f.root().join("zako-out/t.tar")).unwrap(),
                    std::fs::read(f.root().join("zako-out/g.tar.gz")).unwrap(),
                ]
                .concat(),
            ));
        }
        made
    };
    assert_eq!(made[0], made[1]);
    let listed: Vec<String> = made[0]
        .0
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[0], words[3], words.last().unwrap())
        })
        .collect();
    assert_eq!(
        listed,
        [
            "drwxr-xr-x 1970-01-01 ./",
            "drwxr-xr-x 1970-01-01 ./top/",
            "-rw-r--r-- 1970-01-01 ./top/a",
            "-rw-r--r-- 1970-01-01 ./top/b",
            "drwxr-xr-x 1970-01-01 ./top/x/",
            "drwxr-xr-x 1970-01-01 ./top/x/tree/",
            "drwxr-xr-x 1970-01-01 ./top/x/tree/s/",
            "-rwxr-xr-x 1970-01-01 ./top/x/tree/s/one",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_have_parts_and_are_kept() {
    let f = Fixture::new(&[
        (
            "BUILD.ts",
            "import { test } from \"zako:test\";\nexport const one = test({ command: [\"grep\", \"-q\", \"x\", \"$in\"], data: [\"words\"] });\nexport const parts = test({ shell: 'test \"$TEST_SHARD_INDEX\" -lt \"$TEST_TOTAL_SHARDS\"', shards: 3 });\n",
        ),
        ("words", "x\n"),
    ]);
    assert_eq!(build(&f, false, &[]).await.good().lines(), ["eval //"]);
    assert_eq!(
        build(&f, true, &[]).await.good().lines(),
        [
            "Ran //:one",
            "Ran //:parts[0]",
            "Ran //:parts[1]",
            "Ran //:parts[2]"
        ]
    );
    assert_eq!(build(&f, true, &[]).await.good().lines(), [""; 0]);
    f.write("words", "y\n");
    let built = build(&f, true, &[]).await;
    assert!(told(built.error()).contains("//:one"), "{built:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_scripts_are_tasks() {
    let f = Fixture::new(&[
        (
            "BUILD.ts",
            "import { nodeModules } from \"zako:node\";\nexport const modules = nodeModules();\n",
        ),
        (
            "node_modules/shout/package.json",
            "{ \"name\": \"shout\", \"main\": \"index.js\" }",
        ),
        (
            "node_modules/shout/index.js",
            "module.exports = (text) => text.toUpperCase();\n",
        ),
        (
            "packages/core/package.json",
            "{ \"name\": \"core\", \"main\": \"dist/index.js\", \"scripts\": { \"build\": \"mkdir -p dist && node build.js\" } }",
        ),
        (
            "packages/core/build.js",
            "require(\"fs\").writeFileSync(\"dist/index.js\", `module.exports = ${JSON.stringify(require(\"shout\")(\"core\"))} + ${JSON.stringify(process.argv[2])};\\n`);\n",
        ),
        (
            "packages/core/BUILD.ts",
            "import { npmScript } from \"zako:node\";\nimport { modules } from \"//BUILD.ts\";\nexport const build = npmScript(\"build\", { inputs: [\"build.js\"], deps: [modules], outputs: [\"dist/\"], args: [\"a 'b'\"] });\n",
        ),
        (
            "packages/app/package.json",
            "{ \"name\": \"app\", \"scripts\": { \"test\": \"node test.js\" } }",
        ),
        (
            "packages/app/test.js",
            "if (require(\"../core/dist/index.js\") !== \"COREa 'b'\") throw new Error(\"not so\");\n",
        ),
        (
            "packages/app/BUILD.ts",
            "import { npmScript } from \"zako:node\";\nimport { build } from \"//packages/core/BUILD.ts\";\nexport const test = npmScript(\"test\", { inputs: [\"test.js\"], deps: [build], test: true });\n",
        ),
    ]);
    build(&f, true, &[]).await.good();
    assert_eq!(
        f.read("packages/core/dist/index.js"),
        "module.exports = \"CORE\" + \"a 'b'\";\n"
    );
    assert_eq!(build(&f, true, &[]).await.good().lines(), [""; 0]);
    f.write(
        "node_modules/shout/index.js",
        "module.exports = (text) => text;\n",
    );
    let built = build(&f, true, &[]).await;
    assert!(failed(&built).contains("not so"), "{built:?}");
    f.write(
        "packages/app/BUILD.ts",
        "import { npmScript } from \"zako:node\";\nexport const test = npmScript(\"tets\");\n",
    );
    let built = build(&f, false, &[]).await;
    assert!(
        told(built.error()).contains("package.json has no script \"tets\"; it has test"),
        "{built:?}"
    );
}

/// What `pkgConfig` and `npmScript` stand on is anybody's: a macro that asks the machine.
#[tokio::test(flavor = "multi_thread")]
async fn packages_may_ask_the_machine() {
    let f = Fixture::new(&[
        (
            "ask.ts",
            "import { host, task } from \"zako:build\";\nexport const wanted = (name: string) => {\n  const tool = host.find(name, { install: \"ask around\" });\n  return host.satisfies(host.version(tool), \">=1.2\") ? task({ outputs: [\"out\"], command: [\"sh\", \"-c\", '\"$0\" > \"$1\"', tool, \"$out\"] }) : [];\n};\nexport const run = () => host.run(\"sh\" as any, []);\nexport const maybe = host.findOptional;\n",
        ),
        (
            "BUILD.ts",
            "import { maybe, wanted } from \"./ask.ts\";\nexport const out = wanted(\"zako-test-tool\");\nexport const none = maybe(\"zako-test-none\") === undefined;\n",
        ),
        (
            "bad/BUILD.ts",
            "import { run } from \"//ask.ts\";\nexport const out = run();\n",
        ),
    ]);
    let tools = f.temp().join("tools");
    let path = [(
        "PATH",
        format!("{}:{}", tools.display(), std::env::var("PATH").unwrap()),
    )];
    let built = build(&f, false, &path).await;
    let mut errors: Vec<String> = built.errors().into_iter().map(told).collect();
    errors.sort();
    assert!(
        errors[0].starts_with("ask.ts:3:21: `zako-test-tool` is not on this machine (looked in ")
            && errors[0].contains("; install it: ask around")
            && errors[0].contains("at top level (BUILD.ts:2:20)"),
        "{}",
        errors[0]
    );
    assert!(
        errors[1].starts_with("ask.ts:6:31: TypeError: run takes a program that find gave"),
        "{}",
        errors[1]
    );
    f.remove("bad/BUILD.ts");
    let tool = |version: &str| {
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'tool {version}' || echo made by {version}\n"
        );
        write(&tools.join("new"), &text);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(tools.join("new"), mode).unwrap();
        std::fs::rename(tools.join("new"), tools.join("zako-test-tool")).unwrap();
    };
    tool("1.3");
    build(&f, false, &path).await.good();
    assert_eq!(f.read("zako-out/out"), "made by 1.3\n");
    assert_eq!(build(&f, false, &path).await.good().lines(), [""; 0]);
    tool("1.4");
    build(&f, false, &path).await.good();
    assert_eq!(f.read("zako-out/out"), "made by 1.4\n");
    tool("1.1");
    build(&f, false, &path).await.good();
    assert!(
        !f.has("zako-out/out"),
        "the target is gone, so its output is"
    );
}
