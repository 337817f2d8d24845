//! Packages that import one another, and how that goes wrong.

use zako_core::BuildOptions;

use crate::fixture::{Fixture, told};

const TASK: &str = "import { label, task } from \"zako:build\";\n";

fn copies(name: &str, from: &str) -> String {
    format!(
        "export const {name} = task({{ inputs: [{from}], outputs: [\"{name}.txt\"], shell: 'cat $in > \"$out\"; echo {name} >> \"$out\"' }});\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_cross_where_imports_would_be_a_cycle() {
    let f = Fixture::new(&[
        (
            "a/BUILD.ts",
            &format!(
                "{TASK}{}{}",
                copies("base", ""),
                copies("top", "label(\"//b:middle\")")
            ),
        ),
        (
            "b/BUILD.ts",
            &format!(
                "import {{ base }} from \"//a/BUILD.ts\";\n{TASK}{}",
                copies("middle", "base")
            ),
        ),
    ]);
    let built = f.build(&["//a:top"]).await.good();
    assert_eq!(
        built.lines(),
        [
            "eval //a",
            "eval //b",
            "Ran //a:base",
            "Ran //a:top",
            "Ran //b:middle"
        ]
    );
    assert_eq!(f.read("zako-out/a/top.txt"), "base\nmiddle\ntop\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_may_name_an_alias() {
    let f = Fixture::new(&[
        ("a/BUILD.ts", &format!("{TASK}{}", copies("base", ""))),
        (
            "b/BUILD.ts",
            "export { base as alias } from \"//a/BUILD.ts\";\n",
        ),
        (
            "c/BUILD.ts",
            &format!(
                "{TASK}export const again = label(\"//b:alias\");\n{}",
                copies("top", "label(\"//b:alias\")")
            ),
        ),
    ]);
    f.build(&["//c:top"]).await.good();
    assert_eq!(f.read("zako-out/c/top.txt"), "base\ntop\n");
    let built = f.build(&["//c:again"]).await.good();
    assert_eq!(
        built.targets().into_iter().collect::<Vec<_>>(),
        [("//a:base", true)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_of_nothing_is_told_with_its_user() {
    let f = Fixture::new(&[
        ("a/BUILD.ts", &format!("{TASK}{}", copies("base", ""))),
        (
            "b/BUILD.ts",
            &format!(
                "{TASK}{}{}",
                copies("x", "label(\"//a:bsae\")"),
                copies("y", "label(\"//aa:base\")")
            ),
        ),
    ]);
    let built = f.build(&["//b:x"]).await;
    assert_eq!(
        told(built.error()),
        "b/BUILD.ts:2:34: there is no target //a:bsae\n  needed by //b:x\n  help: did you mean //a:base?"
    );
    let built = f.build(&["//b:y"]).await;
    assert_eq!(
        told(built.error()),
        "b/BUILD.ts:3:18: there is no package //aa (no aa/BUILD.ts)\n  needed by //b:y\n  help: did you mean //a?"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_in_a_cycle_are_an_error_and_others_are_not() {
    let f = Fixture::new(&[
        (
            "a/BUILD.ts",
            &format!(
                "{TASK}{}{}",
                copies("x", "label(\"//b:y\")"),
                copies("fine", "")
            ),
        ),
        (
            "b/BUILD.ts",
            &format!("{TASK}{}", copies("y", "label(\"//a:x\")")),
        ),
    ]);
    let built = f.build(&[]).await;
    assert_eq!(
        told(built.error()),
        "a/BUILD.ts:2:18: targets depend on one another in a cycle: //a:x → //b:y → //a:x"
    );
    let built = f.keep_going(&[]).await;
    assert_eq!(built.errors().len(), 1);
    assert_eq!(
        built.targets().into_iter().collect::<Vec<_>>(),
        [("//a:fine", true), ("//a:x", false), ("//b:y", false)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_imports_is_told_once() {
    let import = |other: &str| {
        format!(
            "import {{ x }} from \"//{other}/BUILD.ts\";\nexport const y = 1;\nexport {{ x }};\n"
        )
    };
    let f = Fixture::new(&[
        ("a/BUILD.ts", &import("b")),
        ("b/BUILD.ts", &import("c")),
        ("c/BUILD.ts", &import("a")),
        ("user/BUILD.ts", &import("b")),
        ("fine/BUILD.ts", &format!("{TASK}{}", copies("t", ""))),
    ]);
    for patterns in [&["//..."][..], &["//c/...", "//a/...", "//user:x", "//..."]] {
        let built = f.build(patterns).await;
        let error = built.error();
        assert_eq!(
            error.message,
            "packages import one another in a cycle: a/BUILD.ts → b/BUILD.ts → c/BUILD.ts → a/BUILD.ts"
        );
        assert!(error.help.as_ref().unwrap().contains("label("), "{error:?}");
    }
    let built = f.keep_going(&[]).await;
    assert_eq!(built.errors().len(), 1);
    assert_eq!(built.targets().get("//fine:t"), Some(&true));
    // Mended, it is all well.
    f.write("c/BUILD.ts", "export const x = 1;\n");
    f.build(&[]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_library_is_told_once_with_the_way_to_it() {
    let user = "import { f } from \"//lib/f.ts\";\nexport const x = f();\n";
    let f = Fixture::new(&[
        ("a/BUILD.ts", user),
        ("b/BUILD.ts", user),
        ("lib/f.ts", "export const f = () => ;\n"),
    ]);
    let built = f.build(&[]).await;
    let text = told(built.error());
    assert!(text.starts_with("lib/f.ts:1:24: "), "{text}");
    assert!(text.contains("\n  imported by a/BUILD.ts:1:"), "{text}");
    f.write(
        "lib/f.ts",
        "export const f = () => {\n  throw new Error(\"no luck\");\n};\n",
    );
    let text = told(f.build(&["//a"]).await.error());
    assert_eq!(
        text,
        "lib/f.ts:2:9: no luck\n  at f (lib/f.ts:2:9)\n  at top level (a/BUILD.ts:2:18)\n  in package //a"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_an_error_reads_from_the_inside_out() {
    let f = Fixture::new(&[
        (
            "a/BUILD.ts",
            "import { x } from \"//b/BUILD.ts\";\nexport const y = x;\n",
        ),
        (
            "b/BUILD.ts",
            "import { z } from \"//c/BUILD.ts\";\nexport const x = z;\n",
        ),
        (
            "c/BUILD.ts",
            "export const z = 1;\nthrow new TypeError(\"broken\", { cause: new Error(\"below\") });\n",
        ),
    ]);
    let built = f.build(&["//a"]).await;
    assert_eq!(
        told(built.error()),
        "c/BUILD.ts:2:7: TypeError: broken\n  caused by: c/BUILD.ts:2:40: below\n  in package //c\n  imported by b/BUILD.ts:1:19\n  imported by a/BUILD.ts:1:19"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_carry_data_and_are_frozen() {
    let f = Fixture::new(&[
        (
            "lib/BUILD.ts",
            "export const data = { list: [1, -0, 2n, undefined, \"x\"], nested: { $zako: [1] } };\n",
        ),
        (
            "app/BUILD.ts",
            "import { data } from \"//lib/BUILD.ts\";\nif (!Object.is(data.list[1], -0) || data.list[2] !== 2n || data.nested.$zako[0] !== 1) throw new Error(\"changed\");\nlet frozen = false;\ntry { (data as any).list.push(1); } catch { frozen = true; }\nexport const ok = frozen;\nif (!frozen) throw new Error(\"not frozen\");\n",
        ),
    ]);
    f.check(&["eval //app", "eval //lib"]).await;
}

const EACH: &str = r#"import { glob, readJson, task } from "zako:build";
const { name, words }: { name: string; words: string[] } = readJson("package.json");
export default task({
  inputs: glob("*.txt", { allowEmpty: true }),
  outputs: { all: "all.out" },
  env: { WORDS: [name, ...words].join(" ") },
  shell: 'for file in $in; do cat "$file"; done > "$out_all"; echo $WORDS >> "$out_all"',
});
"#;

const MANIFEST: &str = "zako = \"0.1\"\n[[packages]]\nmatch = \"packages/*/package.json\"\nbuild = \"//tools/each.ts\"\n";

fn json(name: &str) -> String {
    format!("{{ \"name\": \"{name}\", \"words\": [\"one\"] }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_makes_no_package_is_told() {
    let more = "[[packages]]\nmatch = \"pakcages/*/package.json\"\nbuild = \"//tools/each.ts\"\n[[packages]]\nmatch = \"packages/c/*.json\"\nbuild = \"//tools/each.ts\"\n";
    let f = Fixture::new(&[
        ("zako.toml", &format!("{MANIFEST}{more}")),
        ("tools/each.ts", "export const x = 1;\n"),
        ("packages/a/package.json", &json("a")),
        ("packages/c/package.json", &json("c")),
        ("packages/d/BUILD.ts", "export const own = 1;\n"),
    ]);
    // On each build of everything, and the null build; others don't know.
    for _ in 0..2 {
        let built = f.build(&["//..."]).await.good();
        let warnings: Vec<String> = built.report.diagnostics.iter().map(told).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("zako.toml:5:1: this [[packages]] makes no package: no folder has a file that \"pakcages/*/package.json\" matches"), "{warnings:?}");
        assert!(warnings[1].starts_with("zako.toml:8:1: "), "{warnings:?}");
    }
    let built = f.build(&["//packages/..."]).await.good();
    assert_eq!(built.report.diagnostics, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_module_makes_many_packages() {
    let f = Fixture::new(&[
        ("zako.toml", MANIFEST),
        ("tools/each.ts", EACH),
        ("packages/a/package.json", &json("a")),
        ("packages/a/x.txt", "x of a\n"),
        ("packages/b/package.json", &json("b")),
        ("packages/c/package.json", &json("c")),
        ("packages/c/BUILD.ts", "export const own = 1;\n"),
        ("packages/none/x.txt", ""),
        (
            "packages/a/deep/package.json",
            &json("no package: too deep"),
        ),
        (
            "app/BUILD.ts",
            "import { task } from \"zako:build\";\nimport files from \"//packages/a/BUILD.ts\";\nexport const app = task({ inputs: [files.out.all], outputs: [\"app\"], shell: 'cat $in > \"$out\"' });\n",
        ),
    ]);
    f.check(&[
        "eval //app",
        "eval //packages/a",
        "eval //packages/b",
        "eval //packages/c",
        "Ran //app:app",
        "Ran //packages/a",
        "Ran //packages/b",
    ])
    .await;
    assert_eq!(f.read("zako-out/app/app"), "x of a\na one\n");
    f.check(&[]).await;
    assert_eq!(
        f.targets(&["//packages/..."]).await.unwrap(),
        ["//packages/a", "//packages/b"]
    );
    // What one reads concerns it alone; the module all.
    f.write("packages/b/package.json", &json("bee"));
    f.check(&["eval //packages/b", "Ran //packages/b"]).await;
    f.write("tools/each.ts", &EACH.replace("[name,", "[\"by\", name,"));
    let mut all = f.build(&[]).await.good().lines();
    all.retain(|line| line.starts_with("eval"));
    assert_eq!(all, ["eval //packages/a", "eval //packages/b"]);
    assert_eq!(f.read("zako-out/packages/b/all.out"), "by bee one\n");
    // They come, and go, and get a file of their own; and each is seen by its neighbours.
    f.write("packages/d/package.json", &json("d"));
    f.check(&["eval //packages/d", "Ran //packages/d"]).await;
    f.build(&["//packages/a"]).await.good();
    assert!(f.has("zako-out/packages/d/all.out"), "of another request");
    f.remove("packages/d/package.json");
    f.check(&[]).await;
    assert!(!f.has("zako-out/packages/d"));
    f.write("packages/b/BUILD.ts", "export const own = 1;\n");
    f.check(&["eval //packages/b"]).await;
    assert!(!f.has("zako-out/packages/b/all.out"));
    f.remove("packages/a/package.json");
    let error = f.build(&[]).await;
    assert!(
        error
            .error()
            .message
            .contains("there is no file packages/a/BUILD.ts"),
        "{error:?}"
    );
    f.write("packages/a/package.json", &json("a"));
    f.build(&[]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glob_stops_at_a_package_of_the_manifest() {
    let f = Fixture::new(&[
        ("zako.toml", MANIFEST),
        ("tools/each.ts", EACH),
        (
            "BUILD.ts",
            "import { glob } from \"zako:build\";\nexport const all = glob(\"packages/**/*.txt\");\n",
        ),
        ("packages/a/x.txt", ""),
        ("packages/b/x.txt", ""),
    ]);
    let all = async || {
        let file = f.root().join("BUILD.ts");
        let evaluated = f.session.evaluate(&file, &BuildOptions::default()).await;
        evaluated.unwrap().exports["all"].to_string()
    };
    assert_eq!(all().await, r#"["packages/a/x.txt","packages/b/x.txt"]"#);
    f.write("packages/a/package.json", &json("a"));
    assert_eq!(all().await, r#"["packages/b/x.txt"]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_module_of_many_says_for_whom() {
    let f = Fixture::new(&[
        ("zako.toml", MANIFEST),
        ("tools/each.ts", "throw new Error(\"no\");\n"),
        ("packages/a/package.json", "{}"),
    ]);
    let built = f.build(&[]).await;
    let error = told(built.error());
    assert!(error.starts_with("tools/each.ts:1:"), "{error}");
    assert!(
        error.contains("evaluated for //packages/a, as [[packages]] of zako.toml says"),
        "{error}"
    );
    f.remove("tools/each.ts");
    let built = f.build(&[]).await;
    let error = told(built.error());
    assert!(
        error.starts_with("there is no file tools/each.ts"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_of_types_are_no_dependencies() {
    let task = "import { task } from \"zako:build\";\n";
    // Two packages that name each other's types, one that is wrong, a rule module that throws, and what is not there at all.
    let a = format!(
        "{task}import type {{ B }} from \"//b/BUILD.ts\";\nimport {{ type C }} from \"//c/BUILD.ts\";\n\
         import type {{ Info }} from \"//c/c.rule.ts\";\nimport {{ type D, type E as F }} from \"//d/lost.ts\";\n\
         export type {{ G }} from \"//d/lost.ts\";\nexport {{ type H }} from \"//d/lost.ts\";\n\
         export interface A {{ b?: B; c?: C; d?: D; f?: F; info?: Info }}\nexport const t = task({{ shell: \"true\" }});\n"
    );
    let b = format!(
        "{task}import type {{ A }} from \"//a/BUILD.ts\";\nimport {{ t }} from \"//a/BUILD.ts\";\n\
         export interface B {{ a?: A }}\nexport const u = task({{ deps: [t], shell: \"true\" }});\n"
    );
    let f = Fixture::new(&[
        ("a/BUILD.ts", &a),
        ("b/BUILD.ts", &b),
        (
            "c/BUILD.ts",
            "export interface C {}\nthrow new Error(\"c\");\n",
        ),
        (
            "c/c.rule.ts",
            "export interface Info {}\nthrow new Error(\"c\");\n",
        ),
    ]);
    let built = f.build(&["//a"]).await.good();
    assert_eq!(built.evaluated(), ["a"]);
    let built = f.build(&["//b"]).await.good();
    assert_eq!(built.evaluated(), ["b"]);
    // What they say is no input either.
    f.write("c/c.rule.ts", "export interface Info { x: 1 }\nthrow 1;\n");
    f.write("b/BUILD.ts", &b.replace("a?: A", "a?: A | null"));
    let built = f.build(&["//a"]).await.good();
    assert_eq!(built.evaluated(), [""; 0]);
    // One name of a statement that is none makes it one.
    f.write(
        "a/BUILD.ts",
        &a.replace("import type { B }", "import { type B, u }"),
    );
    let built = f.build(&["//a"]).await;
    let error = told(built.error());
    assert!(error.contains("cycle"), "{error}");
}
