//! `runnable`: commands with what they need, run by `zako run`.

use zako_tests::Workspace;

#[test]
fn a_command_has_what_it_needs() {
    let workspace = Workspace::empty()
        .file("p/BUILD.ts", "import { runnable, task } from \"zako:build\";\nconst tool = task({ outputs: [\"tool\"], shell: 'printf \"#!/bin/sh\\\\necho \\\\\"\\\\$@\\\\\" \\\\$WHO; cat zako-out/p/data; pwd\" > \"$out\"; chmod +x \"$out\"' });\nconst data = task({ outputs: [\"data\"], shell: 'echo data > \"$out\"' });\nexport const serve = runnable({ command: [tool, \"it's\", \"a b\"], data: [data], env: { WHO: \"o'x\" }, cwd: \"\" });\nexport const here = runnable({ command: [\"sh\", \"-c\", 'cat \"$1\"; pwd', \"sh\", data] });\n");
    let ran = workspace
        .zako_args(&["run", "//p:serve", "--", "more"])
        .exits(0);
    let root = workspace.root().canonicalize().unwrap();
    assert_eq!(
        ran.stdout,
        format!("it's a b more o'x\ndata\n{}\n", root.display())
    );
    let here = workspace.zako_args(&["-C", "p", "run", ":here"]).exits(0);
    assert!(here.stdout.starts_with("data\n"), "{here}");
    workspace.edit("p/BUILD.ts", "command: [tool, ", "command: [");
    workspace.edit(
        "p/BUILD.ts",
        "\"it's\", \"a b\"], data: [data]",
        "], data: [data]",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["runnable takes an object", "p/BUILD.ts:4:"]);
}

/// Files that people commit are made by a build, and written back by `zako run` alone.
#[test]
fn what_is_committed_is_written_back_by_run() {
    let workspace = Workspace::package(
        "import { runnable, task } from \"zako:build\";\nconst formatted = task({ inputs: [\"names\"], outputs: [\"sorted\"], shell: 'sort \"$in\" > \"$out\"' });\nexport const format = runnable({ command: [\"cp\", formatted, \"names\"], cwd: \"\" });\n",
    )
    .file("names", "b\na\n");
    workspace.zako("build").exits(0);
    assert_eq!(workspace.read("names"), "b\na\n");
    workspace.zako("run :format").exits(0);
    assert_eq!(workspace.read("names"), "a\nb\n");
    // What it reads is another now; once more, and nothing is left to do.
    workspace.zako("run :format").exits(0);
    workspace.zako("build").exits(0).ran_nothing();
    assert_eq!(workspace.read("names"), "a\nb\n");
}
