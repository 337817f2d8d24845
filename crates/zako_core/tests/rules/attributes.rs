//! Attributes of rules: kinds, defaults, labels, who may use what, and where errors stand.

use crate::fixture::{Fixture, told};

const RULES: &str = r#"import { attr, provider, rule, type } from "zako:rule";
import { target } from "zako:build";
export const Word = provider("Word", type<{ readonly word: string }>());
export const word = rule({
  attrs: { word: attr.string().default("none"), data: attr.files().default([]) },
  provides: { word: Word },
  analyze(ctx) {
    const out = ctx.file(`${ctx.name}.word`);
    ctx.write(out, ctx.attrs.word);
    ctx.runfiles(ctx.attrs.data);
    ctx.expose("default", out);
    return { word: { word: ctx.attrs.word } };
  },
});
export const join = rule({
  attrs: {
    one: attr.target(Word).default(target("//words:fallback", Word)),
    by: attr.dict(attr.list(attr.target(Word))).default({}),
    files: attr.dict(attr.file()).optional(),
    sizes: attr.list(attr.dict(attr.int())).default([{ a: 1 }]),
    on: attr.bool().default(true),
    mode: attr.enum("a", "b").optional(),
  },
  provides: {},
  analyze(ctx) {
    const { one, by, files, sizes, on, mode } = ctx.attrs;
    const out = ctx.file(`${ctx.name}.txt`);
    const groups = Object.entries(by).map(([key, deps]) => `${key}=${deps.map((d) => d.get(Word).word).join("+")}`);
    const named = Object.entries(files ?? {}).map(([key, file]) => `${key}:${file.path}`);
    ctx.write(out, [one.get(Word).word, ...groups, ...named, JSON.stringify(sizes), on, mode ?? "no mode"].join(" "));
    const read = ctx.file(`${ctx.name}.read`);
    ctx.run({ args: ["sh", "-c", 'cat "$@" > "$0"', read, one.runfiles], outputs: [read] });
    ctx.runfiles(one.runfiles);
    ctx.expose("default", [out, read]);
    return {};
  },
});
"#;

fn fixture(files: &[(&str, &str)]) -> Fixture {
    let common = [
        ("r.rule.ts", RULES),
        (
            "words/BUILD.ts",
            "import { word } from \"//r.rule.ts\";\nexport const fallback = word({ word: \"fallback\", data: [\"data.txt\"] });\n",
        ),
        ("words/data.txt", "data\n"),
    ];
    let all: Vec<(&str, &str)> = common.iter().chain(files).copied().collect();
    Fixture::new(&all)
}

fn app(rest: &str) -> String {
    format!(
        "import {{ join, word }} from \"//r.rule.ts\";\nimport {{ alias, label, target, task }} from \"zako:build\";\nvoid [alias, join, label, target, task, word];\n{rest}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_nest_and_have_defaults() {
    let f = fixture(&[
        (
            "app/BUILD.ts",
            &app(
                "const a = word({ word: \"a\" });\nexport const b = word({});\nexport const plain = join({});\n\
                 export const full = join({ one: b, by: { x: [a, b], y: [] }, files: { f: \"f.txt\" }, sizes: [{ n: 2 }, {}], on: false, mode: \"b\" });",
            ),
        ),
        ("app/f.txt", ""),
    ]);
    f.build(&[]).await.good();
    assert_eq!(
        f.read("zako-out/app/plain.txt"),
        "fallback [{\"a\":1}] true no mode"
    );
    assert_eq!(
        f.read("zako-out/app/full.txt"),
        "none x=a+none y= f:app/f.txt [{\"n\":2},{}] false b"
    );
    // What a dependency needs when it runs reaches who depends on it.
    assert_eq!(f.read("zako-out/app/plain.read"), "data\n");
    assert_eq!(f.read("zako-out/app/full.read"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_stand_at_the_attribute() {
    for (call, wanted) in [
        (
            "export const t = join({ one: word({}), by: { x: [word({}), task({ shell: \"true\" }) as any] } });",
            "app/BUILD.ts:4:60: TypeError: attribute \"by.x[1]\" of join takes a target that provides Word",
        ),
        (
            "export const t = join({\n  on: true,\n  sizes: [{ a: 1 }, { b: \"2\" as any }],\n});",
            "app/BUILD.ts:6:26: TypeError: attribute \"sizes[1].b\" of join takes a whole number, not \"2\"",
        ),
        (
            "export const t = join({ mod: \"a\" } as any);",
            "app/BUILD.ts:4:25: TypeError: join has no attribute \"mod\"; did you mean \"mode\"?",
        ),
        (
            "const mode: any = \"c\";\nexport const t = join({ mode });",
            "app/BUILD.ts:5:25: TypeError: attribute \"mode\" of join takes one of \"a\", \"b\", not \"c\"",
        ),
        (
            "export const t = join({ files: { f: \"../x\" } });",
            "app/BUILD.ts:4:37: TypeError: attribute \"files.f\" of join: \"../x\" is not a path below the package",
        ),
        (
            "const props = { mode: \"c\" } as any;\nexport const t = join({ ...props });",
            "app/BUILD.ts:5:18: TypeError: attribute \"mode\" of join takes one of",
        ),
        (
            "export const t = task({ shell: \"true\", retries: 99 });",
            "app/BUILD.ts:4:49: TypeError: \"retries\" of task takes a whole number from 0 to 10",
        ),
        (
            "export const t = task({\n  shell: \"true\",\n  retries: { times: 2, on: [75, \"SIGSEGF\" as any] },\n});",
            "app/BUILD.ts:6:33: TypeError: \"retries.on[1]\" of task takes an exit code, a signal as \"SIGSEGV\", \"code\", \"signal\" or \"timeout\", not \"SIGSEGF\"; did you mean \"SIGSEGV\"?",
        ),
        (
            "export const t = task({ shell: \"true\", retries: { times: 2, pause: \"1h\" } });",
            "app/BUILD.ts:4:68: TypeError: \"retries.pause\" of task takes seconds, or a time as \"200ms\" or \"5s\", up to 5 minutes",
        ),
        (
            "import { test } from \"zako:test\";\nexport const t = test({ shell: \"true\", retries: { times: 1, on: [256] } });",
            "app/BUILD.ts:5:66: TypeError: \"retries.on[0]\" of task takes an exit code from 1 to 255, not 256",
        ),
        (
            "export const t = word({ visibility: [\"lib\"] });",
            "app/BUILD.ts:4:37: TypeError: \"visibility\" takes \"public\", \"private\" or a list of packages",
        ),
        (
            "export const t = word({ tags: \"manual\" as any });",
            "app/BUILD.ts:4:31: TypeError: attribute \"tags\" of word takes a list",
        ),
        (
            "export const t = word({ deprecated: 1 as any });",
            "app/BUILD.ts:4:37: TypeError: attribute \"deprecated\" of word takes a string",
        ),
        (
            "export const t = join({ by: { x: [target(\"//words:fallback\"), label(\"//words:nothing\")] } });",
            "app/BUILD.ts:4:63: there is no target //words:nothing",
        ),
        // One that was caught is forgotten.
        (
            "try { join({ mode: \"c\" as any }); } catch { }\nexport const t = join({}); throw new Error(\"other\");",
            "app/BUILD.ts:5:34: other",
        ),
    ] {
        let f = fixture(&[("app/BUILD.ts", &app(call))]);
        let built = f.build(&["//app"]).await;
        let error = told(built.error());
        assert!(error.starts_with(wanted), "{call}\n{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_checked_when_they_are_used() {
    // Two packages that need each other's targets.
    let f = fixture(&[
        (
            "app/BUILD.ts",
            &app(
                "import { Word } from \"//r.rule.ts\";\nimport { low } from \"//lib/BUILD.ts\";\nexport const w = word({ word: \"late\" });\n\
                 export const t = join({ one: low });\nexport const plain = task({ outputs: [\"x\"], shell: 'echo > \"$out\"' });\nvoid Word;",
            ),
        ),
        (
            "lib/BUILD.ts",
            "import { join, word, Word } from \"//r.rule.ts\";\nimport { target } from \"zako:build\";\n\
             export const low = word({ word: \"low\" });\nexport const t = join({ one: target(\"//app:w\", Word) });\n",
        ),
    ]);
    f.build(&[]).await.good();
    assert_eq!(
        f.read("zako-out/lib/t.txt"),
        "late [{\"a\":1}] true no mode"
    );
    f.check(&[]).await;
    f.write(
        "lib/BUILD.ts",
        &f.read("lib/BUILD.ts").replace("//app:w", "//app:plain"),
    );
    let built = f.build(&[]).await;
    assert!(
        told(built.error()).starts_with(
            "lib/BUILD.ts:4:30: //lib:t: attribute \"one\" needs a target that provides Word, and //app:plain provides nothing"
        ),
        "{}",
        told(built.error())
    );
    let going = f.keep_going(&[]).await;
    assert!(!going.targets()["//lib:t"]);
    assert!(going.targets()["//app:t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_use_a_target_is_its_own_say() {
    let f = fixture(&[
        (
            "lib/BUILD.ts",
            "import { word } from \"//r.rule.ts\";\nexport const w = word({ word: \"w\", visibility: [\"//app/...\"] });\n\
             export const own = word({ visibility: \"private\" });\n",
        ),
        (
            "app/sub/BUILD.ts",
            "import { join } from \"//r.rule.ts\";\nimport { w } from \"//lib/BUILD.ts\";\nexport const t = join({ one: w });\n",
        ),
    ]);
    f.build(&[]).await.good();
    f.write(
        "other/BUILD.ts",
        "import { join } from \"//r.rule.ts\";\nimport { own, w } from \"//lib/BUILD.ts\";\nexport const t = join({ one: w });\nexport const u = join({\n  by: { x: [own] },\n});\n",
    );
    let built = f.keep_going(&[]).await;
    let errors: Vec<String> = built.errors().into_iter().map(told).collect();
    assert_eq!(
        errors,
        [
            "other/BUILD.ts:3:30: //other:t may not use //lib:w, which is not visible to it\n  //lib:w is declared at lib/BUILD.ts:2:18\n  \
             help: add \"//other\" to the visibility of //lib:w, or use a target that is meant for others",
            "other/BUILD.ts:5:13: //other:u may not use //lib:own, which is not visible to it\n  //lib:own is declared at lib/BUILD.ts:3:20\n  \
             help: add \"//other\" to the visibility of //lib:own, or use a target that is meant for others",
        ]
    );
    assert!(built.targets()["//app/sub:t"]);
    assert!(!built.targets()["//other:t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deprecated_target_warns_once_and_again_on_each_build() {
    let f = fixture(&[
        (
            "lib/BUILD.ts",
            "import { join, word } from \"//r.rule.ts\";\nexport const old = word({ word: \"w\", deprecated: \"use //lib:new\" });\n\
             export const mine = join({ one: old });\n",
        ),
        (
            "app/BUILD.ts",
            "import { join } from \"//r.rule.ts\";\nimport { old } from \"//lib/BUILD.ts\";\nexport const t = join({ one: old });\nexport const u = join({ one: old });\n",
        ),
    ]);
    for _ in 0..2 {
        let built = f.build(&[]).await.good();
        let warnings: Vec<String> = built.report.diagnostics.iter().map(told).collect();
        assert_eq!(
            warnings,
            [
                "app/BUILD.ts:3:30: //lib:old is deprecated: use //lib:new\n  used by //app:t\n  //lib:old is declared at lib/BUILD.ts:2:20"
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deprecated_attribute_warns_once_in_each_package() {
    let f = Fixture::new(&[
        (
            "old.rule.ts",
            "import { attr, rule } from \"zako:rule\";\nexport const old = rule({ attrs: { sources: attr.list(attr.string()).default([]).deprecated(\"use srcs\"), word: attr.string().deprecated(\"say nothing\").optional() }, provides: {}, analyze(ctx) { const out = ctx.file(ctx.name); ctx.write(out, ctx.attrs.sources.join()); ctx.expose(\"default\", out); return {}; } });\n",
        ),
        (
            "a/BUILD.ts",
            "import { old } from \"//old.rule.ts\";\nexport const x = old({});\nexport const y = old({ sources: [\"a\"] });\nexport const z = old({ sources: [] });\n",
        ),
        (
            "b/BUILD.ts",
            "import { old } from \"//old.rule.ts\";\nexport const x = old({ sources: [] });\n",
        ),
    ]);
    // On each build, evaluated or not.
    for _ in 0..2 {
        let built = f.build(&[]).await.good();
        let warnings: Vec<String> = built.report.diagnostics.iter().map(told).collect();
        let text = "attribute \"sources\" of old is deprecated: use srcs";
        assert_eq!(
            warnings,
            [
                format!("a/BUILD.ts:3:18: {text}"),
                format!("b/BUILD.ts:2:18: {text}")
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_target_may_have_two_names() {
    let f = fixture(&[
        (
            "lib/BUILD.ts",
            &app(
                "export const w = word({ word: \"w\" });\nexport const same = alias(w);\nconst hidden = word({ word: \"h\" });\nexport const only = alias(hidden);\nexport const t = join({ one: same });",
            ),
        ),
        (
            "app/BUILD.ts",
            &app(
                "import { same, only } from \"//lib/BUILD.ts\";\nexport const t = join({ one: same, by: { x: [only, label(\"//lib:same\")] } });\nexport const again = same;",
            ),
        ),
    ]);
    f.build(&[]).await.good();
    assert_eq!(
        f.read("zako-out/app/t.txt"),
        "w x=h+w [{\"a\":1}] true no mode"
    );
    assert_eq!(f.targets(&["//lib:same"]).await.unwrap(), ["//lib:w"]);
    assert_eq!(f.targets(&["//app:again"]).await.unwrap(), ["//lib:w"]);
    assert_eq!(
        f.targets(&["//lib:*"]).await.unwrap(),
        ["//lib:only", "//lib:t", "//lib:w"]
    );
    f.check(&[]).await;
    f.write(
        "lib/BUILD.ts",
        &app("export const w = word({ word: \"w\" });\nexport const x = word({});\nexport default { x: alias(w) };"),
    );
    let built = f.build(&["//lib"]).await;
    assert!(
        told(built.error()).contains("two targets are called //lib:x"),
        "{}",
        told(built.error())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_needs_when_it_runs_is_built_with_it() {
    let f = fixture(&[(
        "app/BUILD.ts",
        &app(
            "const made = task({ outputs: [\"made.txt\"], shell: 'echo made > \"$out\"' });\n\
             const w = word({ data: [made] });\nexport const t = join({ one: w });\nexport { w };",
        ),
    )]);
    f.build(&["//app:w"]).await.good();
    assert_eq!(f.read("zako-out/app/made.txt"), "made\n");
    f.remove("zako-out/app/made.txt");
    // It belongs to the target: the next build brings it back.
    f.build(&["//app:t"]).await.good();
    assert_eq!(f.read("zako-out/app/made.txt"), "made\n");
    assert_eq!(f.read("zako-out/app/t.read"), "made\n");
}
