//! Flags, the manifest, and the commands that build nothing.

use zako_tests::{Workspace, run};

#[test]
fn an_unknown_flag_is_refused() {
    Workspace::empty()
        .zako("build --keep-goin")
        .exits(2)
        .says(&["--keep-goin", "--keep-going"]);
    Workspace::empty()
        .zako("biuld")
        .exits(2)
        .says(&["biuld", "build"]);
}

#[test]
fn without_a_manifest_there_is_no_workspace() {
    Workspace::bare()
        .zako("build")
        .exits(2)
        .says(&["zako.toml", "zako init"]);
}

#[test]
fn an_unknown_key_in_the_manifest_is_shown() {
    let workspace = Workspace::bare().file("zako.toml", "zako = \"0.1\"\nnmae = \"x\"\n");
    workspace
        .zako("build")
        .exits(2)
        .says(&["zako.toml:2:1", "nmae", "did you mean", "name"]);
}

#[test]
fn a_manifest_that_is_no_toml_is_shown() {
    let workspace = Workspace::bare().file("zako.toml", "zako = \"0.1\"\nname = hello\n");
    workspace.zako("build").exits(2).says(&["zako.toml:2:"]);
}

#[test]
fn a_manifest_without_a_version_or_for_a_later_one_is_refused() {
    Workspace::bare()
        .file("zako.toml", "name = \"x\"\n")
        .zako("build")
        .exits(2)
        .says(&["zako.toml", "zako = \"0.1\""]);
    Workspace::bare()
        .file("zako.toml", "zako = \"99.0\"\n")
        .zako("build")
        .exits(2)
        .says(&["zako.toml:1:", "99.0"]);
}

#[test]
fn init_gives_a_workspace_that_builds() {
    let workspace = Workspace::bare();
    workspace
        .zako("init")
        .exits(0)
        .says(&["zako.toml", "BUILD.ts"]);
    let first = workspace.zako("build").exits(0);
    assert_eq!(first.actions("failed"), Vec::<&str>::new(), "{first}");
    workspace.zako("build").exits(0).ran_nothing();
    let before = workspace.read("BUILD.ts");
    workspace.write("BUILD.ts", "// mine\n");
    workspace.zako("init");
    assert_eq!(
        workspace.read("BUILD.ts"),
        "// mine\n",
        "init overwrites nothing (it wrote {before})"
    );
}

#[test]
fn init_in_a_folder_by_name() {
    let workspace = Workspace::bare();
    workspace.zako("init new").exits(0);
    assert!(workspace.has("new/zako.toml"));
    workspace.zako("-C new build").exits(0);
}

#[test]
fn clean_removes_what_zako_wrote_and_no_more() {
    let workspace = Workspace::example("hello-c");
    workspace.zako("build").exits(0);
    workspace.zako("clean").exits(0);
    assert!(!workspace.has("zako-out") && !workspace.has(".zako"));
    assert!(workspace.has("app/main.c") && workspace.has("zako.toml"));
    workspace.zako("clean").exits(0);
}

#[test]
fn doctor_finds_the_compiler() {
    Workspace::example("hello-c")
        .zako("doctor")
        .exits(0)
        .says(&["cc"]);
    // Also where there is no workspace.
    Workspace::bare().zako("doctor").exits(0);
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let workspace = Workspace::bare();
    let bash = workspace.zako("completions bash").exits(0).stdout;
    workspace.write("zako.bash", &bash);
    let mut check = workspace.program("/usr/bin/env".as_ref());
    check.args(["bash", "-n", "zako.bash"]);
    run(check);
    assert!(bash.contains("--keep-going"), "{bash}");
    for (shell, mark) in [("zsh", "#compdef zako"), ("fish", "complete -c zako")] {
        workspace
            .zako(&format!("completions {shell}"))
            .exits(0)
            .says(&[mark]);
    }
}

#[test]
fn eval_prints_exports_as_json() {
    let workspace = Workspace::empty().file(
        "lib/names.ts",
        "import { join } from \"zako:path\";\nexport const a = join(\"x\", \"../y\");\nexport const list = [1, { b: true }];\n",
    );
    let printed = workspace.zako("eval lib/names.ts").exits(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "a": "y", "list": [1, { "b": true }] })
    );
}

#[test]
fn eval_is_no_package() {
    let workspace = Workspace::empty().file(
        "lib/names.ts",
        "import { task } from \"zako:build\";\nexport const t = task({ shell: \"true\" });\n",
    );
    workspace
        .zako("eval lib/names.ts")
        .exits(2)
        .says(&["task", "lib/names.ts:2:18", "BUILD.ts"]);
}

#[test]
fn targets_are_listed_as_json() {
    let workspace = Workspace::example("monorepo");
    let printed = workspace.zako("targets //dist:* --json").exits(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let labels: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["label"].as_str().unwrap())
        .collect();
    assert!(labels.contains(&"//dist:archive"), "{printed}");
    assert!(
        printed.contains("dist/BUILD.ts:6:"),
        "each has its place: {printed}"
    );
}

#[test]
fn settings_reach_scripts() {
    let workspace = Workspace::bare()
        .file("zako.toml", "zako = \"0.1\"\n\n[config]\nword = \"from the manifest\"\n")
        .file(
            "BUILD.ts",
            "import { config, log, task } from \"zako:build\";\n\
             log.info(`word is ${config.get(\"word\")}`);\n\
             export const a = task({ outputs: [\"a.txt\"], env: { WORD: config.get(\"word\") }, shell: 'echo \"$WORD\" > \"$out\"' });\n",
        );
    workspace
        .zako("build")
        .exits(0)
        .says(&["word is from the manifest"]);
    workspace
        .zako("build -D word=given")
        .exits(0)
        .says(&["word is given"]);
    assert_eq!(workspace.read("zako-out/a.txt"), "given\n");
    Workspace::package(
        "import { config } from \"zako:build\";\nexport const w = config.get(\"word\");\n",
    )
    .zako("build")
    .exits(2)
    .says(&["the option \"word\" is not set", "-D word=", "BUILD.ts:2:"]);
}
