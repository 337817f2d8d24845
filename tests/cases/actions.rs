//! Actions that go wrong.

use zako_tests::Workspace;

#[test]
fn two_actions_with_one_output_are_refused() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"same.txt\"], shell: 'echo a > \"$out\"' });\n\
         export const b = task({ outputs: [\"same.txt\"], shell: 'echo b > \"$out\"' });\n",
    );
    workspace.zako("build").exits(2).says(&[
        "zako-out/same.txt",
        "//:a",
        "//:b",
        "BUILD.ts:2:18",
        "BUILD.ts:3:18",
    ]);
    assert!(!workspace.has("zako-out/same.txt"));
}

#[test]
fn an_output_within_another_is_refused() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"folder/\"], shell: 'mkdir -p \"$out\"' });\n\
         export const b = task({ outputs: [\"folder/b.txt\"], shell: 'echo b > \"$out\"' });\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["zako-out/folder", "//:a", "//:b"]);
}

#[test]
fn an_output_that_is_not_written_is_an_error() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"there.txt\", \"missing.txt\"], shell: 'echo a > zako-out/there.txt' });\n",
    );
    for _ in 0..2 {
        workspace
            .zako("build")
            .exits(1)
            .says(&["//:a", "missing.txt", "not"]);
    }
}

#[test]
fn a_failing_compiler_is_shown_once() {
    let workspace = Workspace::example("hello-c");
    workspace.edit(
        "greet/greet.c",
        "return snprintf",
        "return nonsense_here + snprintf",
    );
    let failed = workspace
        .zako("build")
        .exits(1)
        .says_once("(first use in this function)")
        .says(&["greet/greet.c:6:", "//greet:greet"]);
    assert_eq!(
        failed.actions("failed"),
        ["compile greet/greet.c"],
        "{failed}"
    );
    assert!(!workspace.has("zako-out/app/hello"));
}

#[test]
fn warnings_of_a_compiler_are_shown_when_it_runs() {
    let workspace = Workspace::example("hello-c");
    workspace.edit(
        "greet/greet.c",
        "#include <stdio.h>",
        "#include <stdio.h>\n#warning \"mind me\"",
    );
    workspace.zako("build").exits(0).says(&["mind me"]);
}

#[test]
fn what_can_be_built_is_built() {
    let workspace = Workspace::example("hello-c").file(
        "other/BUILD.ts",
        "import { ccBinary } from \"zako:cc\";\nexport const other = ccBinary({ srcs: [\"other.c\"] });\n",
    );
    workspace.write("other/other.c", "int main(void) { return 0; }\n");
    workspace.edit(
        "greet/greet.c",
        "return snprintf",
        "return nonsense_here + snprintf",
    );
    let failed = workspace.zako("build -k").exits(1);
    assert_eq!(
        failed.actions("failed"),
        ["compile greet/greet.c"],
        "{failed}"
    );
    assert!(
        failed.actions("ran").contains(&"compile app/main.c"),
        "{failed}"
    );
    assert!(
        failed
            .actions("skipped")
            .contains(&"link zako-out/app/hello"),
        "{failed}"
    );
    assert_eq!(workspace.run("zako-out/other/other", &[]), "");

    workspace.edit("greet/greet.c", "nonsense_here + ", "");
    let mended = workspace.zako("build").exits(0);
    assert!(
        !mended.actions("ran").contains(&"compile app/main.c"),
        "what was built is kept\n{mended}"
    );
}

#[test]
fn a_missing_tool_is_named_with_where_it_was_looked_for() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"a\"], command: [\"no-such-tool\", \"$out\"] });\n",
    );
    workspace
        .zako("build")
        .exits(3)
        .says(&["no-such-tool", "//:a", "/usr/bin"]);
    Workspace::example("hello-c")
        .zako("build -D cc=no-such-cc")
        .exits(3)
        .says(&["no-such-cc", "//greet:greet"]);
}

#[test]
fn a_tool_that_a_signal_ends_is_told() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nexport const a = task({ outputs: [\"a\"], shell: 'kill -SEGV $$' });\n",
    );
    workspace
        .zako("build")
        .exits(1)
        .says(&["//:a", "signal 11"]);
}

#[test]
fn an_action_that_takes_too_long_is_stopped() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"a\"], timeout: \"1s\", shell: 'sleep 600' });\n",
    );
    workspace
        .zako("build")
        .exits(1)
        .says(&["//:a", "timed out after 1s"]);
}

#[test]
fn the_environment_is_cleared() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"env.txt\"], env: { MINE: \"yes\" }, shell: 'env > \"$out\"' });\n",
    );
    workspace.zako("build").exits(0);
    let env = workspace.read("zako-out/env.txt");
    assert!(env.contains("MINE=yes\n"), "{env}");
    assert!(env.contains("PATH=/usr/local/bin:/usr/bin:/bin\n"), "{env}");
    assert!(
        !env.contains(&workspace.outside("../home").display().to_string()),
        "{env}"
    );
    assert!(
        !env.contains(&format!(
            "HOME={}",
            workspace.root().parent().unwrap().join("home").display()
        )),
        "{env}"
    );
}

#[test]
fn an_input_edited_while_its_action_runs_is_never_cached_wrong() {
    let workspace = Workspace::empty();
    let (started, go_on) = (workspace.fifo("started"), workspace.fifo("go-on"));
    // The first run stops between its start and its read; later ones find `done`.
    workspace.write(
        "BUILD.ts",
        &format!(
            "import {{ task }} from \"zako:build\";\n\
             export const a = task({{\n  inputs: [\"in.txt\"],\n  outputs: [\"out.txt\"],\n  \
             shell: `if [ ! -e {done} ]; then echo > {started}; read line < {go_on}; fi; cat \"$in\" > \"$out\"`,\n}});\n",
            done = workspace.outside("done").display(),
            started = started.path().display(),
            go_on = go_on.path().display(),
        ),
    );
    workspace.write("in.txt", "old\n");
    let build = workspace.start(&["build"]);
    started.receive();
    workspace.write("in.txt", "newer\n");
    std::fs::write(workspace.outside("done"), "").unwrap();
    go_on.send("go");
    workspace.finish(build);

    // Whatever came of that run: now each text gives itself.
    for text in ["newer\n", "old\n", "newer\n"] {
        workspace.write("in.txt", text);
        workspace.zako("build").exits(0);
        assert_eq!(workspace.read("zako-out/out.txt"), text);
    }
}
