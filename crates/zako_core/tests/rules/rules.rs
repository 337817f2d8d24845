//! Custom rules, end to end.

use crate::fixture::{Fixture, told};

const CONCAT: &str = r#"import { attr, provider, rule, type } from "zako:rule";
export const TextInfo = provider("TextInfo", type<{ words: readonly string[] }>());
export const text = rule({
  attrs: { word: attr.string(), srcs: attr.files().default([]), deps: attr.list(attr.target(TextInfo)).default([]) },
  provides: { info: TextInfo },
  outputs: ["list"],
  analyze(ctx) {
    const words = [...ctx.attrs.deps.flatMap((d) => d.get(TextInfo).words), ctx.attrs.word];
    const list = ctx.file(`${ctx.name}.list`);
    ctx.write(list, words.join("\n") + "\n");
    const out = ctx.file(`${ctx.name}.txt`);
    ctx.run({
      args: ["sh", "-c", 'out=$1; shift; cat "$@" > "$out"', "sh", out, list, ...ctx.attrs.srcs],
      outputs: [out],
      mnemonic: "concat",
    });
    ctx.expose("default", out);
    ctx.expose("list", list);
    return { info: { words } };
  },
});
"#;

#[tokio::test(flavor = "multi_thread")]
async fn providers_and_outputs_cross_packages() {
    let f = Fixture::new(&[
        ("rules/text.rule.ts", CONCAT),
        (
            "lib/BUILD.ts",
            "import { text } from \"//rules/text.rule.ts\";\nexport const a = text({ word: \"a\", srcs: [\"more.txt\"] });\nexport const b = text({ word: \"b\", deps: [a], srcs: [a.out.list] });\n",
        ),
        ("lib/more.txt", "more\n"),
        (
            "app/BUILD.ts",
            "import { text } from \"//rules/text.rule.ts\";\nimport { b } from \"//lib/BUILD.ts\";\nimport { task } from \"zako:build\";\nexport const c = text({ word: \"c\", deps: [b], srcs: [b] });\nexport const words = task({ inputs: [c.out.list], outputs: [\"w\"], command: [\"cp\", \"$in\", \"$out\"] });\n",
        ),
    ]);
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/lib/a.txt"), "a\nmore\n");
    assert_eq!(f.read("zako-out/lib/b.txt"), "a\nb\na\n");
    assert_eq!(f.read("zako-out/app/c.txt"), "a\nb\nc\na\nb\na\n");
    assert_eq!(f.read("zako-out/app/w"), "a\nb\nc\n");
    f.check(&[]).await;
    // A change of the rule analyses anew.
    f.write(
        "rules/text.rule.ts",
        &CONCAT.replace("\"\\n\") + \"\\n\"", "\" \") + \"\\n\""),
    );
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/app/w"), "a b c\n");
}

fn rule(body: &str) -> String {
    format!(
        "import {{ attr, rule }} from \"zako:rule\";\nexport const r = rule({{\n  attrs: {{ s: attr.string().default(\"\"), deps: attr.list(attr.target()).default([]) }},\n  provides: {{}},\n  analyze(ctx) {{\n    const out = ctx.file(`${{ctx.name}}.txt`);\n    {body}\n    ctx.expose(\"default\", out);\n    return {{}};\n  }},\n}});\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn analysis_errors_have_the_line_and_the_target() {
    for (body, message) in [
        (
            "ctx.run({ args: [\"x\"], outputs: [out], inptus: [] } as any);",
            "TypeError: ctx.run has no field \"inptus\"; did you mean \"inputs\"?",
        ),
        (
            "ctx.run({ args: [], outputs: [out] });",
            "TypeError: ctx.run needs args: the program and its arguments",
        ),
        (
            "ctx.run({ args: [\"x\", 3 as any], outputs: [out] });",
            "TypeError: \"args\" of ctx.run takes strings, files and depsets, not a number",
        ),
        (
            "ctx.run({ args: [\"x\"], outputs: [out], env: { A: 1 as any } });",
            "TypeError: \"env.A\" of ctx.run takes a string, not a number",
        ),
        (
            "ctx.run({ args: [\"x\"], outputs: \"x\" as any });",
            "TypeError: \"outputs\" of ctx.run takes a list of files, not a string",
        ),
        (
            "ctx.file(`${ctx.name}.txt`);",
            "TypeError: the output \"t.txt\" is declared twice",
        ),
        (
            "ctx.file(\"../up\");",
            "TypeError: \"../up\" is not an output's name: it is a path below the package, as \"gen/x.h\"",
        ),
        (
            "ctx.expose(\"nope\" as never, out);",
            "TypeError: the rule r declares no output \"nope\"",
        ),
        (
            "throw new Error(`no ${ctx.label}`);",
            "r.rule.ts:7:11: no //p:t\n  at analyze (r.rule.ts:7:11)\n  in the analysis of //p:t by r",
        ),
    ] {
        let f = Fixture::new(&[
            ("r.rule.ts", &rule(body)),
            (
                "p/BUILD.ts",
                "import { r } from \"//r.rule.ts\";\nexport const t = r({});\n",
            ),
        ]);
        let built = f.build(&[]).await;
        let error = told(built.error());
        assert!(error.starts_with("r.rule.ts:7:"), "{error}");
        assert!(error.contains(message), "{error}");
        assert!(
            error.contains("\n  in the analysis of //p:t by r (declared at p/BUILD.ts:2:18)"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_writes_its_own_files_only() {
    let steal = rule(
        "const other = ctx.attrs.deps[0]; if (other) ctx.run({ args: [\"touch\", other.files[0]], outputs: [other.files[0]] }); else ctx.write(out, \"x\");",
    );
    let f = Fixture::new(&[
        ("r.rule.ts", &steal),
        (
            "p/BUILD.ts",
            "import { r } from \"//r.rule.ts\";\nconst a = r({});\nexport const b = r({ deps: [a] });\nexport { a };\n",
        ),
    ]);
    let error = f.build(&[]).await;
    let error = told(error.error());
    assert!(
        error.contains("ctx.run may not write zako-out/p/a.txt: it is no file that ctx.file or ctx.dir of //p:b made"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_actions_of_a_rule_may_not_write_one_file() {
    let f = Fixture::new(&[
        (
            "r.rule.ts",
            &rule("ctx.write(out, \"x\"); ctx.write(out, \"y\");"),
        ),
        (
            "p/BUILD.ts",
            "import { r } from \"//r.rule.ts\";\nexport const t = r({});\n",
        ),
    ]);
    let built = f.build(&[]).await;
    let error = told(built.error());
    assert!(error.contains("zako-out/p/t.txt"), "{error}");
    assert_eq!(built.report.fault(), Some(zako_core::Fault::User));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_analysis_does_not_lose_the_others() {
    let f = Fixture::new(&[
        (
            "r.rule.ts",
            &rule(
                "if (ctx.attrs.s === \"bad\") throw new Error(\"bad one\"); ctx.write(out, ctx.label);",
            ),
        ),
        (
            "other.rule.ts",
            &format!("{}throw new Error(\"broken module\");\n", ""),
        ),
        (
            "p/BUILD.ts",
            "import { r } from \"//r.rule.ts\";\nexport const a = r({});\nexport const bad = r({ s: \"bad\" });\nexport const needs = r({ deps: [bad] });\nexport const z = r({ deps: [a] });\n",
        ),
        (
            "q/BUILD.ts",
            "import \"//other.rule.ts\";\nexport const q = 1;\n",
        ),
    ]);
    let built = f.keep_going(&[]).await;
    let errors: Vec<&str> = built.errors().iter().map(|e| e.message.as_str()).collect();
    assert_eq!(errors, ["broken module", "bad one"]);
    assert_eq!(
        built.targets().into_iter().collect::<Vec<_>>(),
        [
            ("//p:a", true),
            ("//p:bad", false),
            ("//p:needs", false),
            ("//p:z", true)
        ]
    );
    let built = f.build(&["//p/..."]).await;
    assert_eq!(built.error().message, "bad one");
    assert!(
        built.report.targets.is_empty(),
        "nothing is built without -k"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_lacks_the_provider_is_found_in_analysis() {
    let f = Fixture::new(&[
        ("text.rule.ts", CONCAT),
        (
            "p/BUILD.ts",
            "import { label, task } from \"zako:build\";\nimport { text } from \"//text.rule.ts\";\nexport const plain = task({ outputs: [\"o\"], shell: 'echo > \"$out\"' });\nexport const t = text({ word: \"w\", deps: [label(\":plain\") as any] });\n",
        ),
    ]);
    let error = f.build(&[]).await;
    assert_eq!(
        told(error.error()).lines().next().unwrap(),
        "p/BUILD.ts:4:43: //p:t: attribute \"deps[0]\" needs a target that provides TextInfo, and //p:plain provides nothing"
    );
    f.write(
        "p/BUILD.ts",
        "import { task } from \"zako:build\";\nimport { text } from \"//text.rule.ts\";\nconst plain = task({ outputs: [\"o\"], shell: 'echo > \"$out\"' });\nexport const t = text({ word: \"w\", deps: [plain as any] });\n",
    );
    let error = f.build(&[]).await;
    assert!(
        told(error.error()).starts_with("p/BUILD.ts:4:43: TypeError: attribute \"deps[0]\" of text takes a target that provides TextInfo"),
        "{}",
        told(error.error())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_a_rule_keeps_is_found_out() {
    let f = Fixture::new(&[
        (
            "r.rule.ts",
            "import { attr, rule } from \"zako:rule\";\nconst count = (() => { let n = 0; return () => ++n; })();\nexport const good = rule({\n  attrs: {},\n  provides: {},\n  analyze(ctx) {\n    const out = ctx.file(`${ctx.name}.good`);\n    ctx.write(out, ctx.name);\n    ctx.expose(\"default\", out);\n    return {};\n  },\n});\nexport const bad = rule({\n  attrs: {},\n  provides: {},\n  analyze(ctx) {\n    const n = count();\n    const out = ctx.file(`${ctx.name}.bad`);\n    ctx.write(out, `${n}`);\n    ctx.expose(\"default\", out);\n    return {};\n  },\n});\n",
        ),
        (
            "BUILD.ts",
            "import { bad, good } from \"./r.rule.ts\";\nexport const a = good({});\nexport const b = good({});\nexport const c = bad({});\nexport const d = bad({});\n",
        ),
    ]);
    let check = zako_core::BuildOptions {
        check_determinism: true,
        ..zako_core::BuildOptions::default()
    };
    f.build(&[]).await.good();
    f.build_with(&["//:a", "//:b"], check.clone()).await.good();
    let built = f.build_with(&[], check).await;
    assert_eq!(
        told(built.error()),
        "BUILD.ts:5:18: //:d comes to something else when it is analysed by itself: what //r.rule.ts#bad makes of it depends on other targets\n  in //:d\n  help: analyze must depend on ctx alone: look for a variable that only a function of its module sees"
    );
}

/// Targets of one rule are analysed together: what one would leave behind in the rule's module is refused, at its line.
#[tokio::test(flavor = "multi_thread")]
async fn what_modules_hold_is_frozen() {
    let rule = rule("ctx.write(out, `${seen.set(ctx.label, 1).size}`);").replace(
        "export const r",
        "const seen = new Map<string, number>();\nexport const r",
    );
    let f = Fixture::new(&[
        ("r.rule.ts", &rule),
        (
            "macro.ts",
            "import { r } from \"./r.rule.ts\";\nconst made: string[] = [];\nexport function make(s: string) {\n  made.push(s);\n  return r({ s });\n}\n",
        ),
        (
            "a/BUILD.ts",
            "import { r } from \"//r.rule.ts\";\nexport const x = r({});\n",
        ),
        (
            "b/BUILD.ts",
            "import { make } from \"//macro.ts\";\nexport const y = make(\"y\");\n",
        ),
    ]);
    insta::assert_snapshot!(told(f.build(&["//a:x"]).await.error()), @r#"
    r.rule.ts:8:28: TypeError: Cannot set in a Map of //r.rule.ts: what a module holds is frozen once it has run
      at analyze (r.rule.ts:8:28)
      in the analysis of //a:x by r (declared at a/BUILD.ts:2:18)
      help: what a library or rule module holds is frozen once it has run, and what comes from another module is frozen too; change a copy (`{ ...x }`, `[...x]`, `new Map(x)`), or make what changes in the function that needs it
    "#);
    insta::assert_snapshot!(told(f.build(&["//b:y"]).await.error()), @r#"
    macro.ts:4:8: TypeError: Cannot add property 0, object is not extensible
      at make (macro.ts:4:8)
      at top level (b/BUILD.ts:2:18)
      in package //b
      help: what a library or rule module holds is frozen once it has run, and what comes from another module is frozen too; change a copy (`{ ...x }`, `[...x]`, `new Map(x)`), or make what changes in the function that needs it
    "#);
    f.write(
        "macro.ts",
        "export let n = 0;\nexport const make = () => { n++; return []; };\n",
    );
    insta::assert_snapshot!(told(f.build(&["//b:all"]).await.error()), @r#"
    macro.ts:1:12: `n` of this module can change after the module has run
      imported by b/BUILD.ts:1:22
      help: write `const`, or keep it in a function: what a library or rule module holds is frozen once it has run, so that no package and no target sees what another one did
    "#);
}
