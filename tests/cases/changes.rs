//! What is done again after an edit, and what is not.

use zako_tests::Workspace;

#[test]
fn a_header_compiles_what_includes_it() {
    let workspace = Workspace::example("hello-c");
    workspace.write(
        "app/BUILD.ts",
        &workspace
            .read("app/BUILD.ts")
            .replace("\"main.c\"", "\"main.c\", \"alone.c\""),
    );
    workspace.write("app/alone.c", "int alone(void) { return 1; }\n");
    workspace.zako("build").exits(0);
    workspace.edit("greet/greet.h", "int greet(", "extern int greet(");
    let changed = workspace.zako("build").exits(0);
    let compiled: Vec<_> = changed
        .actions("ran")
        .into_iter()
        .filter(|m| m.starts_with("compile "))
        .collect();
    assert_eq!(
        compiled,
        [
            "compile app/main.c",
            "compile greet/greet.c",
            "compile tests/greet_test.c"
        ],
        "{changed}"
    );
}

#[test]
fn a_comment_in_a_header_ends_at_the_objects() {
    let workspace = Workspace::example("hello-c");
    workspace.zako("build").exits(0);
    workspace.edit("greet/greet.h", "/* Writes", "/* It writes");
    let changed = workspace.zako("build").exits(0);
    assert_eq!(
        changed.actions("ran"),
        [
            "compile app/main.c",
            "compile greet/greet.c",
            "compile tests/greet_test.c"
        ],
        "equal objects are neither archived nor linked again\n{changed}"
    );
}

#[test]
fn a_comment_in_a_build_file_runs_nothing() {
    let workspace = Workspace::example("hello-c");
    workspace.zako("build").exits(0);
    workspace.edit(
        "greet/BUILD.ts",
        "import",
        "// A remark,\n// and another.\nimport",
    );
    workspace.zako("build").exits(0).ran_nothing();
}

#[test]
fn an_output_that_somebody_spoils_is_made_again() {
    let workspace = Workspace::example("hello-c");
    workspace.zako("build").exits(0);
    std::fs::remove_file(workspace.path("zako-out/app/hello")).unwrap();
    workspace.zako("build").exits(0).ran_nothing();
    assert_eq!(workspace.run("zako-out/app/hello", &[]), "Hello, world!\n");
}

#[test]
fn an_output_that_somebody_edits_is_put_back() {
    let workspace = Workspace::example("codegen");
    workspace.zako("build").exits(0);
    let good = workspace.read("zako-out/codes/status.h");
    // Shorter, and as long: neither may reach the store through a link.
    for junk in ["junk\n".to_owned(), "x".repeat(good.len())] {
        workspace.write("zako-out/codes/status.h", &junk);
        workspace.zako("build").exits(0).ran_nothing();
        assert_eq!(workspace.read("zako-out/codes/status.h"), good);
        workspace.zako("clean").exits(0);
        workspace.zako("build").exits(0).ran_nothing();
        assert_eq!(workspace.read("zako-out/codes/status.h"), good);
    }
}

#[test]
fn what_a_script_action_imports_is_part_of_it() {
    let workspace = Workspace::example("codegen");
    workspace.zako("build").exits(0);
    workspace.edit(
        "tools/rows.ts",
        "text: rest[0]",
        "text: rest[0].toUpperCase()",
    );
    let changed = workspace.zako("build").exits(0);
    assert!(
        changed
            .actions("ran")
            .contains(&"generate C from status.tsv"),
        "{changed}"
    );
    assert_eq!(
        workspace.run("zako-out/app/explain", &["7"]),
        "TRY AGAIN LATER\n"
    );
    workspace.edit("tools/rows.ts", ".toUpperCase()", "");
    workspace.zako("build").exits(0).ran_nothing();
    assert_eq!(
        workspace.run("zako-out/app/explain", &["7"]),
        "try again later\n"
    );
}

#[test]
fn a_rule_of_ones_own_is_part_of_its_targets() {
    let workspace = Workspace::empty()
        .file(
            "rules/concat.rule.ts",
            "import { attr, rule } from \"zako:rule\";\n\
             export const concat = rule({\n  attrs: { srcs: attr.files(), end: attr.string().default(\"\") },\n  provides: {},\n  \
             analyze(ctx) {\n    const out = ctx.file(`${ctx.name}.txt`);\n    \
             ctx.run({ args: [\"sh\", \"-c\", 'out=$1; shift; { cat \"$@\"; echo tail; } > \"$out\"', \"sh\", out, ...ctx.attrs.srcs], outputs: [out] });\n    \
             ctx.expose(\"default\", out);\n    return {};\n  },\n});\n",
        )
        .file(
            "a/BUILD.ts",
            "import { concat } from \"//rules/concat.rule.ts\";\nexport const both = concat({ srcs: [\"x\", \"y\"] });\nexport const more = concat({ srcs: [both] });\n",
        )
        .file("a/x", "1\n")
        .file("a/y", "2\n");
    workspace.zako("build").exits(0);
    assert_eq!(workspace.read("zako-out/a/more.txt"), "1\n2\ntail\ntail\n");
    workspace.zako("build").exits(0).ran_nothing();
    workspace.edit("rules/concat.rule.ts", "echo tail", "echo end");
    let changed = workspace.zako("build").exits(0);
    assert_eq!(changed.actions("ran").len(), 2, "{changed}");
    assert_eq!(workspace.read("zako-out/a/more.txt"), "1\n2\nend\nend\n");
    workspace.edit("a/BUILD.ts", "srcs: [both]", "srcs: [both], ends: 1");
    workspace.zako("build").exits(2).says(&[
        "concat has no attribute \"ends\"",
        "did you mean \"end\"?",
        "a/BUILD.ts:3:44",
    ]);
}

#[test]
fn a_depfile_narrows_what_counts() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({\n  inputs: [\"a.txt\"], deps: [\"used.txt\", \"unused.txt\"], outputs: [\"o.txt\"], depfile: \"o.d\",\n  \
         shell: 'cat a.txt used.txt > \"$out\"; echo \"$out: a.txt used.txt\" > zako-out/o.d',\n});\n",
    );
    for name in ["a.txt", "used.txt", "unused.txt"] {
        workspace.write(name, "1\n");
    }
    workspace.zako("build").exits(0);
    workspace.write("unused.txt", "2\n");
    workspace.zako("build").exits(0).ran_nothing();
    workspace.write("used.txt", "2\n");
    assert_eq!(
        workspace.zako("build").exits(0).actions("ran"),
        ["task //:a"]
    );
    assert_eq!(workspace.read("zako-out/o.txt"), "1\n2\n");
}

#[test]
fn a_damaged_store_is_mended_not_trusted() {
    let workspace = Workspace::example("hello-c");
    workspace.zako("build").exits(0);
    let mut folders = ["cas/blake3", "cas/segments"]
        .map(|folder| workspace.cache().join(folder))
        .to_vec();
    let mut spoiled = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::metadata(&path).unwrap().len() > 0 {
                let mut bytes = std::fs::read(&path).unwrap();
                // A byte of every blob, whether it has a file to itself or not.
                bytes.iter_mut().step_by(16).for_each(|byte| *byte = !*byte);
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, bytes).unwrap();
                spoiled += 1;
            }
        }
    }
    assert!(spoiled > 0);
    workspace.zako("clean").exits(0);
    workspace.zako("build").exits(0);
    assert_eq!(workspace.run("zako-out/app/hello", &[]), "Hello, world!\n");
    workspace.zako("clean").exits(0);
    workspace.zako("build").exits(0).ran_nothing();
}

#[test]
fn two_builds_at_once_take_turns() {
    let workspace = Workspace::empty();
    let (started, go_on) = (workspace.fifo("started"), workspace.fifo("go-on"));
    workspace.write(
        "BUILD.ts",
        &format!(
            "import {{ task }} from \"zako:build\";\n\
             export const a = task({{ outputs: [\"a\"], isolation: \"basic\", shell: `echo > {}; read line < {}; touch \"$out\"` }});\n",
            started.path().display(),
            go_on.path().display(),
        ),
    );
    let first = workspace.start(&["build"]);
    started.receive();
    let second = workspace.start(&["build"]);
    workspace.await_event(&second.1, "waiting");
    go_on.send("go");
    workspace.finish(first).exits(0);
    workspace
        .finish(second)
        .exits(0)
        .ran_nothing()
        .says(&["waiting for another zako"]);
}

#[test]
fn an_action_that_fails_once_runs_again() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ inputs: [\"in.txt\"], outputs: [\"out.txt\"], shell: 'grep good \"$in\" > \"$out\"' });\n",
    )
    .file("in.txt", "bad\n");
    workspace.zako("build").exits(1).says(&["//:a"]);
    workspace.zako("build").exits(1).says(&["//:a"]);
    workspace.write("in.txt", "good\n");
    workspace.zako("build").exits(0);
    assert_eq!(workspace.read("zako-out/out.txt"), "good\n");
}

#[test]
fn a_source_that_goes_is_an_error_with_its_place() {
    let workspace = Workspace::example("hello-c");
    workspace.zako("build").exits(0);
    std::fs::remove_file(workspace.path("app/main.c")).unwrap();
    workspace
        .zako("build")
        .exits(2)
        .says(&["main.c", "app/BUILD.ts:5:"]);
}

#[test]
fn two_workspaces_share_results() {
    let first = Workspace::example("hello-c");
    first.zako("build").exits(0);
    let second = Workspace::example("hello-c");
    let cache = first.cache().display().to_string();
    // The later of two equal options would be refused, so the store is linked instead.
    std::os::unix::fs::symlink(&cache, second.cache()).unwrap();
    let built = second.zako("build").exits(0);
    assert_eq!(second.run("zako-out/app/hello", &[]), "Hello, world!\n");
    // Below `enhanced` results are salted with the workspace, so that an undeclared read cannot poison another one.
    assert_eq!(built.actions("failed"), Vec::<&str>::new(), "{built}");
}
