//! Names of targets, and the patterns that mean them.

use crate::fixture::{Fixture, told};

const T: &str = "import { task } from \"zako:build\";\nconst t = (name: string, more: any = {}) => task({ outputs: [`${name}.txt`], shell: 'echo > \"$out\"', ...more });\n";

fn package(exports: &str) -> String {
    format!("{T}{exports}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_name_targets() {
    let f = Fixture::new(&[
        (
            "p/BUILD.ts",
            &package(
                "export const one = t(\"one\");\nexport const list = [t(\"l0\"), t(\"l1\")];\nexport const tests = { fast: t(\"f\"), more: [t(\"m\")] };\nexport default t(\"d\");\nconst hidden = t(\"h\");\nexport const user = t(\"u\", { deps: [hidden] });",
            ),
        ),
        (
            "q/BUILD.ts",
            "export { one as renamed } from \"//p/BUILD.ts\";\n",
        ),
    ]);
    assert_eq!(
        f.targets(&[]).await.unwrap(),
        [
            "//p",
            "//p:list[0]",
            "//p:list[1]",
            "//p:one",
            "//p:tests.fast",
            "//p:tests.more[0]",
            "//p:user",
        ]
    );
    for (pattern, meant) in [
        ("//p", &["//p"][..]),
        ("//p:list", &["//p:list[0]", "//p:list[1]"]),
        ("//p:tests", &["//p:tests.fast", "//p:tests.more[0]"]),
        ("//p:tests.more", &["//p:tests.more[0]"]),
        ("//q:renamed", &["//p:one"]),
        ("//q", &[]),
        ("//p:user/deps[0]", &["//p:user/deps[0]"]),
    ] {
        assert_eq!(f.targets(&[pattern]).await.unwrap(), meant, "{pattern}");
    }
    let built = f.build(&["//p:user"]).await.good();
    assert_eq!(built.lines(), ["Ran //p:user", "Ran //p:user/deps[0]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_target_has_one_name() {
    for (exports, message, help) in [
        (
            "const x = t(\"x\");\nexport const a = x;\nexport const b = x;",
            "one target is exported under two names, //p:a and //p:b",
            "export it once",
        ),
        (
            "export const x = t(\"x\");\nexport default { x: t(\"y\") };",
            "two targets are called //p:x",
            "rename one",
        ),
        (
            "export const all = { \"a/b\": t(\"x\") };",
            "a target cannot be called \"a/b\" (exported from //p)",
            "have no \"/\"",
        ),
        (
            "export const make = () => t(\"x\");",
            "make is a function, which cannot leave its package",
            "move code that is shared into a library file",
        ),
    ] {
        let f = Fixture::new(&[("p/BUILD.ts", &package(exports))]);
        let built = f.build(&[]).await;
        let error = told(built.error());
        assert!(error.contains(message) && error.contains(help), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_mean_what_they_say() {
    let lint = "export const lint = t(\"lint\");\nexport const build = t(\"build\");\nexport const deploy = t(\"deploy\", { tags: [\"manual\"] });";
    let f = Fixture::new(&[
        ("BUILD.ts", &package("export const root = t(\"root\");")),
        ("a/BUILD.ts", &package(lint)),
        ("a/b/BUILD.ts", &package(lint)),
        (
            "c/BUILD.ts",
            &package("export const group = { x: t(\"x\"), y: t(\"y\") };"),
        ),
    ]);
    for (from, patterns, meant) in [
        (
            "",
            &["//..."][..],
            &[
                "//:root",
                "//a/b:build",
                "//a/b:lint",
                "//a:build",
                "//a:lint",
                "//c:group.x",
                "//c:group.y",
            ][..],
        ),
        (
            "a",
            &[],
            &["//a/b:build", "//a/b:lint", "//a:build", "//a:lint"],
        ),
        ("a", &[":lint"], &["//a:lint"]),
        ("a", &["b:lint"], &["//a/b:lint"]),
        ("a", &["../c:group.x"], &["//c:group.x"]),
        ("", &["//...:lint"], &["//a/b:lint", "//a:lint"]),
        ("", &["//a:*"], &["//a:build", "//a:lint"]),
        ("", &["//a:deploy"], &["//a:deploy"]),
        ("", &["//...:deploy"], &["//a/b:deploy", "//a:deploy"]),
        ("", &["//...", "-//a/...", "-//c:group"], &["//:root"]),
        ("", &["//a/...", "-//a"], &["//a/b:build", "//a/b:lint"]),
        (
            "",
            &["//a:*", "//a:deploy", "-//a:deploy"],
            &["//a:build", "//a:lint"],
        ),
        (
            "",
            &["-//a/...", "-//...:root"],
            &["//c:group.x", "//c:group.y"],
        ),
    ] {
        let mut found = f.targets_from(from, patterns).await.unwrap();
        found.sort();
        assert_eq!(found, meant, "{patterns:?} from {from:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_has_a_nearest() {
    let f = Fixture::new(&[
        (
            "lib/BUILD.ts",
            &package(
                "export const greet = task({ outputs: { header: \"h\" }, shell: 'echo > \"$out\"' });",
            ),
        ),
        ("empty/BUILD.ts", "export const nothing = 1;\n"),
    ]);
    for (pattern, message) in [
        (
            "//lib:gret",
            "there is no target //lib:gret\n  help: did you mean //lib:greet?",
        ),
        (
            "//empty:x",
            "there is no target //empty:x\n  help: //empty has no targets",
        ),
        (
            "//lob:greet",
            "\"//lob:greet\": there is no package //lob (no lob/BUILD.ts)\n  help: did you mean //lib?",
        ),
        (
            "//...:gret",
            "\"//...:gret\": no package there has a target \"gret\"\n  help: did you mean \"greet\"?",
        ),
        (
            "//nowhere/...",
            "\"//nowhere/...\": there is no package at or below //nowhere\n  help: a folder becomes a package by a file named BUILD.ts",
        ),
        (
            "//lib:",
            "\"//lib:\" has no name after the colon\n  help: patterns look like //pkg:name, //pkg/..., :name, //...:name or -//pkg:name",
        ),
    ] {
        let errors = f.targets(&[pattern]).await.unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(told(&errors[0]), message);
    }
    let built = f.build(&["//lib:greet#headr"]).await;
    assert_eq!(
        told(built.error()),
        "//lib:greet has no output \"headr\"\n  help: it has header"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_output_builds_what_makes_it() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        "import { task } from \"zako:build\";\nexport const two = task({ outputs: { a: \"a.txt\", b: \"b.txt\" }, shell: 'echo a > \"$out_a\"; echo b > \"$out_b\"' });\n",
    )]);
    let built = f.build(&["//:two#b"]).await.good();
    assert_eq!(built.report.targets.len(), 1);
    let files: Vec<&str> = built.report.targets[0]
        .files
        .iter()
        .map(|f| f.as_str())
        .collect();
    assert_eq!(files, ["zako-out/b.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_be_in_any_script() {
    let f = Fixture::new(&[
        (
            "my lib/ünï/BUILD.ts",
            "import { glob, task } from \"zako:build\";\nexport const 名前 = task({ inputs: glob(\"*.txt\"), outputs: [\"out put.txt\"], command: [\"cp\", \"$in\", \"$out\"] });\n",
        ),
        ("my lib/ünï/a file.txt", "hello\n"),
        (
            "app/BUILD.ts",
            "import { 名前 } from \"//my lib/ünï/BUILD.ts\";\nimport { task } from \"zako:build\";\nexport const shout = task({ inputs: [名前], outputs: [\"o\"], shell: 'tr a-z A-Z < \"$in\" > \"$out\"' });\n",
        ),
    ]);
    f.check(&[
        "eval //app",
        "eval //my lib/ünï",
        "Ran //app:shout",
        "Ran //my lib/ünï:名前",
    ])
    .await;
    assert_eq!(f.read("zako-out/app/o"), "HELLO\n");
    assert_eq!(
        f.targets(&["//my lib/ünï:名前"]).await.unwrap(),
        ["//my lib/ünï:名前"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_can_reach_is_told_every_time() {
    let f = Fixture::new(&[("BUILD.ts", &package("t(\"lost\");"))]);
    for _ in 0..2 {
        let built = f.build(&[]).await.good();
        let warnings: Vec<String> = built.report.diagnostics.iter().map(told).collect();
        assert_eq!(
            warnings,
            [
                "BUILD.ts:2:45: this target is neither exported nor used, so it is never built\n  help: export it: export const name = …"
            ]
        );
    }
}
