//! Outputs that nothing claims any more.

use std::fs;

use zako_core::BuildOptions;

use crate::fixture::{Fixture, run};

const IMPORTS: &str = "import { glob, task } from \"zako:build\";\n";

fn package(exports: &str) -> String {
    format!("{IMPORTS}{exports}\n")
}

fn task(name: &str, output: &str, place: &str) -> String {
    format!(
        "export const {name} = task({{ place: \"{place}\", outputs: [\"{output}\"], shell: 'echo {output} > \"$out\"' }});\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_leaves_nothing() {
    let both = [task("a", "a", "out"), task("b", "deep/er/b", "out")].concat();
    let f = Fixture::new(&[
        ("p/BUILD.ts", &package(&both)),
        ("q/BUILD.ts", "export const none = 1;\n"),
    ]);
    f.build(&[]).await.good();
    assert!(f.has("zako-out/p/deep/er/b"));
    f.write("p/BUILD.ts", &package(&task("a", "a", "out")));
    f.check(&["eval //p"]).await;
    assert!(!f.has("zako-out/p/deep"), "nor folders");
    f.remove("p/BUILD.ts");
    f.check(&[]).await;
    assert!(!f.has("zako-out/p"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_changed_stays() {
    let both = [task("a", "a", "out"), task("b", "b", "source")].concat();
    let f = Fixture::new(&[("p/BUILD.ts", &package(&both))]);
    f.build(&[]).await.good();
    f.write("zako-out/p/a", "mine\n");
    f.write("p/b", "mine\n");
    f.write("p/BUILD.ts", &package("export const none = 1;"));
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/a"), "mine\n");
    assert_eq!(f.read("p/b"), "mine\n");
    // It is theirs now: no target takes it over.
    f.write("p/BUILD.ts", &package(&task("b", "b", "source")));
    let built = f.build(&[]).await;
    assert!(built.error().message.contains("in the way"), "{built:?}");
    assert_eq!(f.read("p/b"), "mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_among_sources_goes_too() {
    let f = Fixture::new(&[("p/BUILD.ts", &package(&task("b", "b", "source")))]);
    f.build(&[]).await.good();
    assert!(f.has("p/b"));
    f.write("p/BUILD.ts", &package("export const none = 1;"));
    f.build(&[]).await.good();
    assert!(!f.has("p/b"));
    // A person's file in its place later is no output.
    f.write("p/b", "mine\n");
    f.write("p/BUILD.ts", &package(&task("b", "b", "source")));
    let built = f.build(&[]).await;
    assert!(built.error().message.contains("in the way"), "{built:?}");
    assert_eq!(f.read("p/b"), "mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_output_in_a_living_one_is_that_ones() {
    let file = r#"export const a = task({ outputs: ["gen/a.h"], shell: 'echo a > "$out"' });"#;
    let folder = r#"export const all = task({ outputs: ["gen/"], shell: 'mkdir -p "$out"; echo a > "$out/a.h"' });"#;
    let f = Fixture::new(&[("BUILD.ts", &package(file))]);
    for exports in [folder, file, folder] {
        f.build(&[]).await.good();
        f.write("BUILD.ts", &package(exports));
        f.build(&[]).await.good();
        assert_eq!(f.read("zako-out/gen/a.h"), "a\n", "{exports}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_does_not_make_the_next_build_forget_the_dead() {
    let both = [task("a", "a", "out"), task("b", "b", "out")].concat();
    let f = Fixture::new(&[("BUILD.ts", &package(&both))]);
    f.build(&[]).await.good();
    f.write("BUILD.ts", &package(&task("a", "a", "out")));
    let dry = BuildOptions {
        dry_run: true,
        ..BuildOptions::default()
    };
    run(&f.reopened(), &[], dry).await.good();
    assert!(f.has("zako-out/b"), "a dry run touches nothing");
    run(&f.reopened(), &[], BuildOptions::default())
        .await
        .good();
    assert!(!f.has("zako-out/b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_action_leaves_no_folder() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        &package(
            r#"export const a = task({ outputs: ["x/y/z"], shell: 'echo part > "$out"; exit 1' });"#,
        ),
    )]);
    let built = f.build(&[]).await;
    assert!(built.report.fault().is_some());
    assert!(!f.has("zako-out/x"));
    let left = fs::read_dir(f.root().join(".zako/exec")).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_output_makes_way_and_nothing_of_it_is_left() {
    let script = r#"test "$(cat "$in")" -lt 3; head -c "$(cat "$in")00000" /dev/zero > "$out""#;
    let task = format!(
        r#"export const a = task({{ inputs: ["n"], outputs: ["x"], shell: '{script}' }});"#
    );
    let f = Fixture::new(&[("n", "1"), ("BUILD.ts", &package(&task))]);
    let scratch = f.root().join(".zako/exec");
    for (n, size) in [
        ("1", Some(100_000)),
        ("2", Some(200_000)),
        ("1", Some(100_000)),
        ("3", None),
    ] {
        f.write("n", n);
        let built = f.build(&[]).await;
        assert_eq!(built.report.fault().is_some(), size.is_none(), "{n}");
        let found = fs::metadata(f.root().join("zako-out/x")).ok();
        assert_eq!(found.map(|found| found.len()), size, "{n}");
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "{n}");
    }
}
