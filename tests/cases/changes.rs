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
