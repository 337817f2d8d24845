//! Names too much in what builtins are given, and other things that would else be overlooked.

use crate::fixture::{Fixture, told};

/// What is said of a package whose `x` is that expression; `prepared` stands before it.
async fn said(f: &Fixture, prepared: &str, expression: &str) -> String {
    let text = format!(
        "import * as build from \"zako:build\";\nimport * as cargo from \"zako:cargo\";\nimport {{ pkgConfig }} from \"zako:cc\";\n\
         import * as node from \"zako:node\";\nimport * as r from \"./r.rule.ts\";\nvoid [build, cargo, node, pkgConfig, r];\n{prepared}\nexport const x = {expression};\n"
    );
    f.write("BUILD.ts", &text);
    let built = f.build(&["//:x"]).await;
    told(built.error())
}

/// A file with the rule `x`, whose `analyze` is that.
fn rule(analyze: &str, more: &str) -> String {
    format!(
        "import {{ args, depset, dynamic, rule, type }} from \"zako:rule\";\nvoid [args, depset, dynamic, type];\nexport const x = rule({{ attrs: {{}}, provides: {{}}, {analyze} }} as any);\n{more}\n"
    )
}

const GOOD: &str = "analyze(ctx: any) { ctx.write(ctx.file(ctx.name), \"\"); return {}; }";

#[tokio::test(flavor = "multi_thread")]
async fn names_too_much_are_errors() {
    let f = Fixture::new(&[
        ("r.rule.ts", &rule(GOOD, "")),
        ("Cargo.toml", "[package]\nname = \"x\"\n"),
        ("Cargo.lock", "version = 4\n"),
        ("tsconfig.json", "{}"),
    ]);
    for (expression, of) in [
        (
            "build.task({ shell: \"true\", qqq: 1 } as any)",
            "task has no attribute \"qqq\"",
        ),
        (
            "build.fetch({ url: \"file:///x\", qqq: 1 } as any)",
            "fetch has no attribute \"qqq\"; it has url, integrity, name, extract,",
        ),
        (
            "build.fetch({ url: \"file:///x\", extract: { strip: 1, qqq: 1 } } as any)",
            "extract of fetch has no option \"qqq\"",
        ),
        (
            "build.runnable({ command: [\"true\"], qqq: 1 } as any)",
            "runnable has no attribute \"qqq\"; it has command,",
        ),
        (
            "build.glob(\"*\", { qqq: 1 } as any)",
            "glob has no option \"qqq\"",
        ),
        (
            "build.host.find(\"sh\", { qqq: 1 } as any).path",
            "find has no option \"qqq\"",
        ),
        (
            "build.host.run(build.host.find(\"sh\"), [\"-c\", \"true\"], { qqq: 1 } as any)",
            "run has no option \"qqq\"",
        ),
        (
            "pkgConfig(\"zlib\", { qqq: 1 } as any)",
            "pkgConfig has no option \"qqq\"",
        ),
        (
            "node.tsProject({ srcs: [], qqq: 1 } as any)",
            "tsProject has no attribute \"qqq\"",
        ),
        (
            "cargo.cargoBinary({ qqq: 1 } as any)",
            "cargoBinary has no attribute \"qqq\"; it has manifest,",
        ),
        (
            "cargo.cargoLibrary({ bin: \"x\" } as any)",
            "cargoLibrary has no attribute \"bin\"",
        ),
        ("r.x({ qqq: 1 })", "x has no attribute \"qqq\""),
    ] {
        let text = said(&f, "", expression).await;
        assert!(text.contains(of), "{expression}: {text}");
    }
    // A misspelt name is pointed at.
    let text = said(
        &f,
        "",
        "build.fetch({ url: \"file:///x\", integrety: \"\" } as any)",
    )
    .await;
    assert!(
        text.contains("BUILD.ts:8:50: ") && text.contains("did you mean \"integrity\"?"),
        "{text}"
    );
    for (analyze, more, of) in [
        (
            "analyse: 1, analyze() { return {}; }",
            "",
            "rule has no field \"analyse\"; did you mean \"analyze\"?",
        ),
        (
            "analyze() { return { qqq: 1 }; }",
            "",
            "what analyze of x returns has no provider \"qqq\"; it has none",
        ),
        (
            "analyze() { depset({ direct: [], qqq: 1 } as any); return {}; }",
            "",
            "depset has no field \"qqq\"",
        ),
        (
            GOOD,
            "export const step = dynamic({ params: type<{}>(), run() {}, qqq: 1 } as any);",
            "dynamic has no field \"qqq\"",
        ),
        (
            "analyze() { args.responseFile([], { qqq: 1 } as any); return {}; }",
            "",
            "args.responseFile has no option \"qqq\"",
        ),
        (
            "async analyze() { return {}; }",
            "",
            "analyze of x gave a promise",
        ),
    ] {
        f.write("r.rule.ts", &rule(analyze, more));
        let text = said(&f, "", "r.x({})").await;
        assert!(text.contains(of), "{analyze}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_wrong_time_are_named() {
    let f = Fixture::new(&[]);
    for (call, name) in [
        ("task({ shell: \"true\" })", "task"),
        ("task({ inputs: [\"a\"], shell: \"true\" })", "task"),
        ("glob(\"*\")", "glob"),
        ("files(\"a\")", "files"),
        ("readText(\"a\")", "readText"),
        ("directory(\"a\")", "directory"),
        ("fetch({ url: \"file:///x\" })", "fetch"),
        ("config.get(\"a\")", "config.get"),
        ("host.find(\"sh\")", "host.find"),
        ("x({ file: \"a\" })", "x"),
    ] {
        f.write(
            "r.rule.ts",
            &format!("import {{ config, directory, fetch, files, glob, host, readText, task }} from \"zako:build\";\nimport {{ attr, rule }} from \"zako:rule\";\nvoid [config, directory, fetch, files, glob, host, readText, task];\nexport const x: any = rule({{ attrs: {{ file: attr.file().optional() }}, provides: {{}}, analyze() {{\n  {call};\n  return {{}};\n}} }});\n"),
        );
        f.write(
            "BUILD.ts",
            "import { x } from \"./r.rule.ts\";\nexport const a = x({});\n",
        );
        let built = f.build(&[]).await;
        let text = told(built.error());
        let expected =
            format!("TypeError: {name} can be called only while a BUILD.ts file is evaluated");
        assert!(
            text.starts_with("r.rule.ts:5:") && text.contains(&expected),
            "{call}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_among_sources_is_no_source() {
    let build = |outputs: &str, glob: &str| {
        format!(
            "import {{ glob, task }} from \"zako:build\";\nexport const all = task({{ inputs: {glob}, outputs: [\"all\"], shell: 'cat $in > \"$out\"' }});\nexport const made = task({{ place: \"source\", outputs: [\"{outputs}\"], shell: 'mkdir -p dist; echo made > dist/b.js' }});\n"
        )
    };
    for outputs in ["dist/b.js", "dist/"] {
        let f = Fixture::new(&[("a.js", "a\n")]);
        f.write("BUILD.ts", &build(outputs, "glob(\"**/*.js\")"));
        let text = told(f.build(&[]).await.error());
        assert!(
            text.starts_with(&format!("BUILD.ts:3:54: the output `{outputs}` is put among the sources, where glob(\"**/*.js\")")),
            "{text}"
        );
        let exclude = outputs.trim_end_matches('/').to_owned()
            + if outputs.ends_with('/') { "/**" } else { "" };
        assert!(text.contains(&format!("exclude: \"{exclude}\"")), "{text}");
        f.write(
            "BUILD.ts",
            &build(
                outputs,
                &format!("glob(\"**/*.js\", {{ exclude: \"{exclude}\" }})"),
            ),
        );
        f.build(&[]).await.good();
        // It is there now, and nothing is other than before.
        f.check(&[]).await;
        assert_eq!(f.read("zako-out/all"), "a\n");
    }
}
