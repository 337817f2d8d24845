//! Actions that go wrong.

use zako_tests::{Workspace, runs_with};

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
fn outputs_that_other_systems_cannot_have_are_refused() {
    let said = |outputs: &str, parts: &[&str]| {
        let source = format!(
            "import {{ task }} from \"zako:build\";\nexport const a = task({{ outputs: {outputs}, shell: \"true\" }});\n"
        );
        Workspace::package(&source)
            .zako("build")
            .exits(2)
            .says(&["BUILD.ts:2:18"])
            .says(parts);
    };
    said(
        "[\"Read.txt\", \"read.txt\"]",
        &["zako-out/Read.txt", "zako-out/read.txt", "case"],
    );
    said("[\"con.txt\"]", &["zako-out/con.txt", "Windows"]);
    said(
        "[\"x\", \"x\"]",
        &["declares the output `zako-out/x` twice"],
    );
    said("[\"../x\"]", &["../x", "outputs"]);
    said("[\"/x\"]", &["/x", "absolute"]);
}

#[test]
fn inputs_that_are_not_below_the_package_are_refused() {
    for input in ["", ".", "../x", "/etc/passwd"] {
        let source = format!(
            "import {{ task }} from \"zako:build\";\nexport const a = task({{ inputs: [\"{input}\"], shell: \"true\" }});\n"
        );
        Workspace::package(&source).zako("build").exits(2).says(&[
            "BUILD.ts:2:18",
            "inputs[0] of the task",
            "not a path below the package",
        ]);
    }
}

#[test]
fn an_input_that_is_not_there_suggests_the_nearest() {
    Workspace::package(
        "import { task } from \"zako:build\";\nexport const a = task({ inputs: [\"data.cvs\"], shell: \"true\" });\n",
    )
    .file("data.csv", "")
    .zako("build")
    .exits(2)
    .says(&["BUILD.ts:2:18", "data.cvs does not exist", "did you mean `data.csv`?"]);
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
fn what_an_action_leaves_running_is_ended() {
    for (at, level) in ["none", "basic", "enhanced"].into_iter().enumerate() {
        // A length that no other process sleeps for.
        let length = format!("600.{}{at}", std::process::id());
        let script = format!("sleep {length} & test -d /proc/$!; : > \"$out\"");
        let workspace = Workspace::package(&format!(
            "import {{ task }} from \"zako:build\";\n\
             export const a = task({{ outputs: [\"done\"], isolation: \"{level}\", shell: '{script}' }});\n",
        ));
        let outcome = workspace.zako("build");
        if level == "enhanced" && outcome.stderr.contains("cannot be had") {
            println!("skipped at `enhanced`, which this machine does not have");
            continue;
        }
        outcome.exits(0);
        assert!(!runs_with(&length), "sleep {length} still runs ({level})");
    }
}

#[test]
fn what_an_action_prints_has_a_bound() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"a\"], shell: 'yes | head -c 50000000; echo the end; touch \"$out\"' });\n",
    );
    let said = workspace.zako("build").exits(0).says(&["the end"]);
    assert!(said.stderr.len() + said.stdout.len() < 1_000_000);
}

#[test]
fn resources_that_are_not_there_are_told() {
    let workspace = Workspace::bare()
        .file("zako.toml", "zako = \"0.1\"\n\n[resources]\ngpu = 1\n")
        .file(
            "BUILD.ts",
            "import { task } from \"zako:build\";\nexport const a = task({ resources: { gpu: 1 }, cpu: 500, memory: \"9TiB\", shell: \"true\" });\n",
        );
    // More processors and memory than there are: it runs alone.
    workspace.zako("build").exits(0);
    workspace.edit("BUILD.ts", "gpu: 1", "tpu: 1");
    workspace.edit("BUILD.ts", "\"true\"", "\"true again\"");
    workspace
        .zako("build")
        .exits(2)
        .says(&["tpu", "//:a", "BUILD.ts:2:18"]);
}

#[test]
fn folders_come_back_as_they_were() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: { folder: \"d/\" }, shell: `mkdir -p $out_folder/empty $out_folder/x; echo 1 > $out_folder/x/f; \
         printf '#!/bin/sh\\\\n' > $out_folder/run; chmod +x $out_folder/run; ln -s x/f $out_folder/link` });\n",
    );
    let check = || {
        assert_eq!(workspace.read("zako-out/d/link"), "1\n");
        assert_eq!(
            std::fs::read_link(workspace.path("zako-out/d/link"))
                .unwrap()
                .to_str(),
            Some("x/f")
        );
        assert!(workspace.path("zako-out/d/empty").is_dir());
        assert_eq!(workspace.run("zako-out/d/run", &[]), "");
    };
    workspace.zako("build").exits(0);
    check();
    workspace.write("zako-out/d/extra", "not zako's");
    workspace.zako("build").exits(0).ran_nothing();
    assert!(
        !workspace.has("zako-out/d/extra"),
        "an output folder has what its action wrote"
    );
    workspace.zako("clean").exits(0);
    workspace.zako("build").exits(0).ran_nothing();
    check();
}

#[test]
fn a_link_out_of_an_output_is_refused() {
    Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: { folder: \"d/\" }, shell: 'mkdir $out_folder; ln -s /etc/passwd $out_folder/x' });\n",
    )
    .zako("build")
    .exits(1)
    .says(&["zako-out/d/x", "/etc/passwd", "//:a"]);
}

#[test]
fn a_file_of_a_person_is_not_overwritten() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"notes.txt\"], place: \"source\", shell: 'echo generated > \"$out\"' });\n",
    )
    .file("notes.txt", "mine\n");
    workspace
        .zako("build")
        .exits(2)
        .says(&["notes.txt", "in the way", "//:a"]);
    assert_eq!(workspace.read("notes.txt"), "mine\n");
    std::fs::remove_file(workspace.path("notes.txt")).unwrap();
    workspace.zako("build").exits(0);
    assert_eq!(workspace.read("notes.txt"), "generated\n");
    workspace.zako("build").exits(0).ran_nothing();
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
    // The first run stops between its start and its read; later ones find `done`. It meets this test at pipes that it does not declare.
    workspace.write(
        "BUILD.ts",
        &format!(
            "import {{ task }} from \"zako:build\";\n\
             export const a = task({{\n  inputs: [\"in.txt\"],\n  outputs: [\"out.txt\"],\n  isolation: \"basic\",\n  \
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
