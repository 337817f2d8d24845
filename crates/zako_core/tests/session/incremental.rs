//! What a change to a file makes a live session do again.

use std::collections::BTreeMap;

use zako_core::BuildOptions;

use crate::fixture::Fixture;

const LIB: &str = r#"import { task } from "zako:build";
export const text = task({ inputs: ["lib.txt"], outputs: { copy: "copy.txt" }, shell: 'cat "$in" > "$out_copy"' });
"#;
const APP: &str = r#"import { task } from "zako:build";
import { text } from "//lib/BUILD.ts";
export const app = task({ inputs: [text.out.copy], outputs: ["app.txt"], shell: 'cat "$in" > "$out"; echo app >> "$out"' });
"#;

fn two() -> Fixture {
    Fixture::new(&[
        ("lib/BUILD.ts", LIB),
        ("lib/lib.txt", "one\n"),
        ("app/BUILD.ts", APP),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_build_does_nothing() {
    let f = two();
    f.check(&[
        "eval //app",
        "eval //lib",
        "Ran //app:app",
        "Ran //lib:text",
    ])
    .await;
    assert_eq!(f.read("zako-out/app/app.txt"), "one\napp\n");
    f.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_evaluates_its_package_and_runs_nothing() {
    let f = two();
    f.build(&[]).await.good();
    f.write("lib/BUILD.ts", &format!("// hello\n\n{LIB}"));
    f.check(&["eval //lib"]).await;
    f.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_no_business_of_importers_but_the_shape_is() {
    let f = two();
    f.build(&[]).await.good();
    f.write(
        "lib/BUILD.ts",
        &LIB.replace("cat \"$in\"", "tr a-z A-Z < \"$in\""),
    );
    f.check(&["eval //lib", "Ran //app:app", "Ran //lib:text"])
        .await;
    assert_eq!(f.read("zako-out/app/app.txt"), "ONE\napp\n");
    // Another export is another shape.
    f.write("lib/BUILD.ts", &format!("{LIB}export const more = 1;\n"));
    f.check(&[
        "eval //app",
        "eval //lib",
        "FromCache //app:app",
        "FromCache //lib:text",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_runs_what_reads_it_and_evaluates_nothing() {
    let f = two();
    f.build(&[]).await.good();
    f.write("lib/lib.txt", "two\n");
    f.check(&["Ran //app:app", "Ran //lib:text"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_file_evaluates_its_importers() {
    let macros = |word: &str| {
        format!(
            "import {{ task }} from \"zako:build\";\nexport const say = (name: string) => task({{ outputs: [`${{name}}.txt`], shell: 'echo {word} > \"$out\"' }});\n"
        )
    };
    let user = "import { say } from \"//tools/say.ts\";\nexport const x = say(\"x\");\n";
    let f = Fixture::new(&[
        ("tools/say.ts", &macros("one")),
        ("a/BUILD.ts", user),
        ("b/BUILD.ts", user),
        ("c/BUILD.ts", "export const nothing = 1;\n"),
    ]);
    f.check(&["eval //a", "eval //b", "eval //c", "Ran //a:x", "Ran //b:x"])
        .await;
    f.write("tools/say.ts", &macros("two"));
    f.check(&["eval //a", "eval //b", "Ran //a:x", "Ran //b:x"])
        .await;
    assert_eq!(f.read("zako-out/a/x.txt"), "two\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_glob_matches_is_seen() {
    let f = Fixture::new(&[
        (
            "BUILD.ts",
            "import { glob, task } from \"zako:build\";\nexport const all = task({ inputs: glob(\"src/**/*.txt\"), outputs: [\"all\"], shell: 'cat $in > \"$out\"' });\n",
        ),
        ("src/a.txt", "a\n"),
    ]);
    f.check(&["eval //", "Ran //:all"]).await;
    f.write("src/deep/b.txt", "b\n");
    f.check(&["eval //", "Ran //:all"]).await;
    assert_eq!(f.read("zako-out/all"), "a\nb\n");
    f.write("src/c.md", "no match\n");
    f.check(&[]).await;
    f.remove("src/deep/b.txt");
    f.check(&["eval //", "FromCache //:all"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_glob_is_healed_by_a_file() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        "import { glob } from \"zako:build\";\nexport const found = glob(\"*.txt\");\n",
    )]);
    let error = f.build(&[]).await;
    assert!(
        error.error().message.contains("matches no file"),
        "{error:?}"
    );
    f.write("a.txt", "");
    f.check(&["eval //"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_may_appear_later() {
    let f = Fixture::new(&[("app/BUILD.ts", APP), ("lib/lib.txt", "one\n")]);
    let built = f.build(&[]).await;
    assert!(
        built
            .error()
            .message
            .contains("there is no file lib/BUILD.ts"),
        "{built:?}"
    );
    f.write("lib/BUILD.ts", LIB);
    f.build(&[]).await.good();
    f.remove("lib/BUILD.ts");
    let built = f.build(&["//app/..."]).await;
    assert!(
        built
            .error()
            .message
            .contains("there is no file lib/BUILD.ts"),
        "{built:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn options_evaluate_what_reads_them() {
    let f = Fixture::new(&[
        (
            "a/BUILD.ts",
            "import { config, task } from \"zako:build\";\nexport const mode = task({ outputs: [\"m\"], env: { M: config.get(\"mode\", \"none\") }, shell: 'echo $M > \"$out\"' });\n",
        ),
        ("b/BUILD.ts", "export const plain = 1;\n"),
    ]);
    let with = |mode: &str| BuildOptions {
        config: BTreeMap::from([("mode".to_owned(), mode.to_owned())]),
        ..BuildOptions::default()
    };
    f.check(&["eval //a", "eval //b", "Ran //a:mode"]).await;
    let built = f.build_with(&[], with("fast")).await;
    assert_eq!(built.lines(), ["eval //a", "Ran //a:mode"]);
    assert_eq!(f.read("zako-out/a/m"), "fast\n");
    let mut other = with("fast");
    other.config.insert("unread".to_owned(), "x".to_owned());
    let built = f.build_with(&[], other).await;
    assert_eq!(built.lines(), [""; 0]);
    // What the request came to the first time is known.
    f.check(&["FromCache //a:mode"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_a_script_reads_is_an_input() {
    let f = Fixture::new(&[
        (
            "BUILD.ts",
            "import { readJson, task } from \"zako:build\";\nconst { word } = readJson(\"data.json\");\nexport const say = task({ outputs: [\"s\"], env: { W: word }, shell: 'echo $W > \"$out\"' });\n",
        ),
        ("data.json", "{\"word\": \"hi\"}"),
    ]);
    f.check(&["eval //", "Ran //:say"]).await;
    f.write("data.json", "{\"word\": \"ho\"}");
    f.check(&["eval //", "Ran //:say"]).await;
    assert_eq!(f.read("zako-out/s"), "ho\n");
    // The same meaning in other words evaluates, and cuts off.
    f.write("data.json", "{ \"word\": \"ho\" }");
    f.check(&["eval //"]).await;
    f.remove("data.json");
    let built = f.build(&[]).await;
    assert!(
        built.error().message.contains("there is no file data.json"),
        "{built:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_come_and_go() {
    let one = |name: &str| {
        format!(
            "import {{ task }} from \"zako:build\";\nexport const {name} = task({{ outputs: [\"o\"], shell: 'echo {name} > \"$out\"' }});\n"
        )
    };
    let f = Fixture::new(&[("a/BUILD.ts", &one("a"))]);
    f.check(&["eval //a", "Ran //a:a"]).await;
    f.write("deep/er/b/BUILD.ts", &one("b"));
    f.check(&["eval //deep/er/b", "Ran //deep/er/b:b"]).await;
    f.remove("a/BUILD.ts");
    f.check(&[]).await;
    assert_eq!(f.targets(&[]).await.unwrap(), ["//deep/er/b:b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_see_the_same_workspace_the_same_way() {
    let f = two();
    let first = f.build(&[]).await.good();
    let other = two();
    let second = other.build(&[]).await.good();
    assert_eq!(first.lines(), second.lines());
    assert_eq!(first.report.targets, second.report.targets);
    let planned = |built: &crate::fixture::Built| {
        let mut names: Vec<String> = built
            .events
            .iter()
            .filter_map(|event| match event {
                zako_core::BuildEvent::ActionFinished {
                    action, outputs, ..
                } => Some(format!("{} {} {outputs:?}", action.id, action.message)),
                _ => None,
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(planned(&first), planned(&second));
    // A new session of the same workspace goes on from what is on disk: it evaluates nothing and runs nothing.
    let again =
        zako_core::Session::open(crate::process::global(&f.temp().join("cache")), &f.root())
            .unwrap();
    let again = crate::fixture::run(&again, &[], BuildOptions::default()).await;
    assert_eq!(again.lines(), [""; 0]);
}
