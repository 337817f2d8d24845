//! What builds depend on beside the texts of sources, and what they say about it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use zako_core::{BuildOptions, Cause, Change, Changes, Explanation, Session};
use zako_path::NeutralPath;

use crate::fixture::{Built, Fixture, run, write};
use crate::process::global;

const IMPORTS: &str = "import { config, glob, task } from \"zako:build\";\n";

fn fixture(exports: &str, files: &[(&str, &str)]) -> Fixture {
    let f = Fixture::new(files);
    f.write("BUILD.ts", &format!("{IMPORTS}{exports}\n"));
    f
}

/// Builds everything as a new process would.
async fn again(f: &Fixture) -> Built {
    run(&f.reopened(), &[], BuildOptions::default()).await
}

fn touch(f: &Fixture, path: &str) {
    let file = fs::File::open(f.root().join(path)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(1000))
        .unwrap();
}

fn executable(f: &Fixture, path: &str) {
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(f.root().join(path), mode).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_is_no_change_and_a_mode_is_one() {
    let f = fixture(
        r#"export const o = task({ inputs: ["a"], deps: ["h"], outputs: ["o"], depfile: "o.d", shell: 'test -x "$in" && echo x > "$out" || echo f > "$out"; echo "$out: $in h" > zako-out/o.d' });"#,
        &[("a", "a\n"), ("h", "h\n")],
    );
    again(&f).await.good();
    touch(&f, "a");
    touch(&f, "h");
    touch(&f, "BUILD.ts");
    assert_eq!(again(&f).await.lines(), [""; 0]);
    executable(&f, "a");
    assert_eq!(again(&f).await.lines(), ["Ran //:o"]);
    assert_eq!(f.read("zako-out/o"), "x\n");
    f.write("h", "other\n");
    assert_eq!(again(&f).await.lines(), ["Ran //:o"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_run_when_what_they_read_changes_and_fail_again() {
    let f = fixture(
        r#"export const check = task({ inputs: ["a"], shell: 'grep -q good "$in"' });"#,
        &[("a", "good 1\n")],
    );
    assert_eq!(again(&f).await.lines(), ["eval //", "Ran //:check"]);
    assert_eq!(again(&f).await.lines(), [""; 0]);
    f.write("a", "bad\n");
    for _ in 0..2 {
        let built = again(&f).await;
        assert!(built.report.fault().is_some(), "{built:?}");
        assert_eq!(built.lines()[0], "Failed //:check");
    }
    f.write("a", "good 2\n");
    assert_eq!(again(&f).await.lines(), ["Ran //:check"]);
    f.write("a", "good 1\n");
    assert_eq!(again(&f).await.report.actions.run, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_cached_runs_and_the_others_do_not() {
    let f = fixture(
        r#"export const now = task({ cache: false, outputs: ["now"], shell: 'echo now > "$out"' });
export const user = task({ inputs: [now], outputs: ["user"], shell: 'cat "$in" > "$out"' });
export const other = task({ inputs: ["a"], outputs: ["other"], shell: 'cat "$in" > "$out"' });"#,
        &[("a", "a\n")],
    );
    again(&f).await.good();
    for _ in 0..2 {
        let built = again(&f).await.good();
        assert_eq!(built.lines(), ["Ran //:now"]);
        assert_eq!(built.report.actions.up_to_date, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_count_by_their_content() {
    let f = fixture("", &[("tool.sh", "#!/bin/sh\necho one\n")]);
    executable(&f, "tool.sh");
    let bin = f.temp().join("bin");
    write(&bin.join("say"), "#!/bin/sh\necho one > \"$1\"\n");
    let mode = || fs::Permissions::from_mode(0o755);
    fs::set_permissions(bin.join("say"), mode()).unwrap();
    f.write(
        "BUILD.ts",
        &format!(
            "{IMPORTS}export const own = task({{ tools: [\"tool.sh\"], outputs: [\"own\"], shell: './tool.sh > \"$out\"' }});\n\
             export const host = task({{ env: {{ PATH: \"{}:/usr/bin:/bin\" }}, outputs: [\"host\"], command: [\"say\", \"$out\"] }});\n",
            bin.display()
        ),
    );
    again(&f).await.good();
    assert_eq!(again(&f).await.lines(), [""; 0]);
    f.write("tool.sh", "#!/bin/sh\necho two\n");
    assert_eq!(again(&f).await.lines(), ["Ran //:own"]);
    assert_eq!(f.read("zako-out/own"), "two\n");
    write(&bin.join("say"), "#!/bin/sh\necho two > \"$1\"\n");
    assert_eq!(again(&f).await.lines(), ["Ran //:host"]);
    assert_eq!(f.read("zako-out/host"), "two\n");
    // One that is gone is an error until it is back.
    fs::rename(bin.join("say"), bin.join("gone")).unwrap();
    let built = again(&f).await;
    assert!(built.error().message.contains("say"), "{built:?}");
    fs::rename(bin.join("gone"), bin.join("say")).unwrap();
    assert_eq!(again(&f).await.report.actions.run, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_is_read_anew() {
    let text = r#"import { config, task } from "zako:build";
export const mode = task({ outputs: ["m"], env: { M: config.get("mode", "none") }, shell: 'echo $M > "$out"' });
"#;
    let f = Fixture::new(&[("a/BUILD.ts", text), ("b/BUILD.ts", text)]);
    assert_eq!(again(&f).await.report.actions.run, 2);
    f.write("zako.toml", "zako = \"0.1\"\n# remark\n");
    assert_eq!(again(&f).await.lines(), [""; 0]);
    f.write("zako.toml", "zako = \"0.1\"\n[config]\nmode = \"fast\"\n");
    assert_eq!(again(&f).await.report.actions.run, 2);
    assert_eq!(f.read("zako-out/a/m"), "fast\n");
    f.write("zako.toml", "zako = \"0.1\"\nignore = [\"b\"]\n");
    let built = again(&f).await.good();
    assert_eq!(built.report.targets.len(), 1, "{built:?}");
    assert_eq!(f.read("zako-out/a/m"), "none\n");
    f.write("zako.toml", "zako = \"0.1\"\n");
    again(&f).await.good();
    assert_eq!(f.read("zako-out/b/m"), "none\n");
    assert_eq!(again(&f).await.lines(), [""; 0]);
}

async fn explain(f: &Fixture, target: &str) -> Explanation {
    let explained = f.reopened().explain(target, BuildOptions::default()).await;
    explained.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn why_is_told_before_and_after() {
    let f = fixture(
        r#"export const one = task({ inputs: ["a"], outputs: ["one"], shell: 'cat "$in" > "$out"' });
export const two = task({ inputs: [one], outputs: ["two"], shell: 'cat "$in" > "$out"' });"#,
        &[("a", "1\n")],
    );
    let fresh = explain(&f, "//:two").await;
    assert!(fresh.would_run);
    assert_eq!(fresh.actions.len(), 2);
    assert!(!f.has("zako-out"), "nothing was built");
    again(&f).await.good();
    f.write("a", "2\n");
    let read = |path: &str| {
        vec![Cause::Read {
            path: path.to_owned(),
            change: Change::Changed,
        }]
    };
    let before = explain(&f, "//:two").await;
    assert!(before.would_run);
    let causes: Vec<_> = before.actions.iter().map(|a| a.causes.clone()).collect();
    assert_eq!(causes, [read("a"), Vec::new()]);
    assert_eq!(before.actions[1].because, [0]);
    again(&f).await.good();
    for _ in 0..2 {
        let after = explain(&f, "//:two").await;
        assert!(!after.would_run);
        let causes: Vec<_> = after.actions.iter().map(|a| a.causes.clone()).collect();
        assert_eq!(causes, [read("a"), read("zako-out/one")]);
    }
    // A question that finds something to do is no build.
    f.write("a", "3\n");
    assert!(explain(&f, "//:two").await.would_run);
    f.write("a", "2\n");
    assert_eq!(explain(&f, "//:two").await.actions.len(), 2);
    // What is put back is told, too.
    f.remove("zako-out/two");
    again(&f).await.good();
    let restored = explain(&f, "//:two").await;
    let gone = Cause::Output {
        path: "zako-out/two".to_owned(),
        change: Change::Disappeared,
    };
    assert!(!restored.would_run);
    assert_eq!(restored.actions.len(), 1, "{restored:?}");
    assert_eq!(restored.actions[0].causes, [gone]);
}

/// What changes are told of a folder by its own name only.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_takes_what_was_in_it() {
    let f = fixture(
        r#"export const o = task({ inputs: ["src/deep/a"], outputs: ["o"], shell: 'cat "$in" > "$out"' });"#,
        &[("src/deep/a", "1\n"), ("src.old/deep/a", "2\n")],
    );
    let session = Session::open(global(&f.temp().join("cache")), &f.root()).unwrap();
    let _watch = session.watch().unwrap();
    run(&session, &[], BuildOptions::default()).await.good();
    let told = async |paths: &[&str]| {
        let paths = paths.iter().map(|path| NeutralPath::new(*path).unwrap());
        let mut build = session.build_changed(&Changes::of(paths), &[], BuildOptions::default());
        while build.next_event().await.is_some() {}
        build.report().await
    };
    assert_eq!(told(&[]).await.actions.run, 0);
    // They change places, so that no list of names changes.
    let place = |name: &str| f.root().join(name);
    fs::rename(place("src"), place("away")).unwrap();
    fs::rename(place("src.old"), place("src")).unwrap();
    fs::rename(place("away"), place("src.old")).unwrap();
    let report = told(&["src", "src.old"]).await;
    assert_eq!(report.actions.run, 1, "{report:?}");
    assert_eq!(f.read("zako-out/o"), "2\n");
    assert_eq!(told(&[]).await.actions.run, 0);
}
