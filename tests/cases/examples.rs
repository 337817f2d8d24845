//! Each example as its README shows it: built, run, built again, and put together from the store.

use zako_tests::{Outcome, Workspace};

/// Builds the example, then again (nothing runs), then from the store alone (nothing runs either).
fn build_thrice(workspace: &Workspace) -> Outcome {
    let first = workspace.zako("build").exits(0);
    assert_ne!(first.actions("ran"), Vec::<&str>::new(), "{first}");
    let second = workspace.zako("build").exits(0).ran_nothing();
    assert_eq!(second.actions("from-cache"), Vec::<&str>::new(), "{second}");
    workspace
        .zako("build --check-determinism")
        .exits(0)
        .ran_nothing();
    workspace.zako("clean").exits(0);
    assert!(
        !workspace.has("zako-out"),
        "`zako clean` leaves nothing that zako built"
    );
    let third = workspace.zako("build").exits(0).ran_nothing();
    // What has no outputs needs nothing put in place.
    let mut known = [third.actions("from-cache"), third.actions("up-to-date")].concat();
    known.sort_unstable();
    assert_eq!(known, first.actions("ran"), "{third}");
    first
}

#[test]
fn hello_c() {
    let workspace = Workspace::example("hello-c");
    let first = build_thrice(&workspace);
    assert_eq!(
        first.actions("ran"),
        [
            "archive zako-out/greet/libgreet.a",
            "compile app/main.c",
            "compile greet/greet.c",
            "compile tests/greet_test.c",
            "link zako-out/app/hello",
            "link zako-out/tests/greet_test",
        ]
    );
    assert_eq!(first.evaluated(), ["app", "greet", "tests"]);
    assert_eq!(workspace.run("zako-out/app/hello", &[]), "Hello, world!\n");
    assert_eq!(
        workspace.run("zako-out/app/hello", &["zako"]),
        "Hello, zako!\n"
    );
    workspace
        .zako("run //app:hello -- you")
        .exits(0)
        .says(&["Hello, you!\n"]);
    let targets = workspace.zako("targets").exits(0).stdout;
    assert!(
        ["//app:hello", "//greet:greet", "//tests:greet_test"]
            .iter()
            .all(|label| targets.contains(label)),
        "{targets}"
    );
}

#[test]
fn hello_c_tests_itself() {
    let workspace = Workspace::example("hello-c");
    let first = workspace.zako("test").exits(0);
    assert!(
        first.actions("ran").contains(&"test //tests:greet_test"),
        "{first}"
    );
    workspace.zako("test").exits(0).ran_nothing();

    workspace.edit("greet/greet.c", "Hello, %s!", "Hullo, %s!");
    workspace
        .zako("test")
        .exits(1)
        .says_once("greet(\"world\") gave \"Hullo, world!\"")
        .says(&["//tests:greet_test"]);
}

#[test]
fn hello_c_from_below_its_root() {
    let workspace = Workspace::example("hello-c");
    let built = workspace.zako("-C app build").exits(0);
    assert!(
        built.actions("ran").contains(&"link zako-out/app/hello"),
        "{built}"
    );
    assert!(
        !workspace.has("zako-out/tests"),
        "no pattern means what is below the current folder"
    );
    workspace.zako("-C app build :hello").exits(0).ran_nothing();
}

#[test]
fn codegen() {
    let workspace = Workspace::example("codegen");
    let first = build_thrice(&workspace);
    assert!(
        first.actions("ran").contains(&"generate C from status.tsv"),
        "{first}"
    );
    assert_eq!(
        workspace.run("zako-out/app/explain", &["4"]),
        "no such \"thing\"\n"
    );
    assert!(
        workspace
            .run("zako-out/app/explain", &[])
            .starts_with("3 codes, from data ")
    );
    assert!(
        workspace
            .read("zako-out/codes/status.h")
            .contains("STATUS_BUSY = 7")
    );

    // The fingerprint is of the data: the package is evaluated again, and everything after follows.
    workspace.edit("codes/status.tsv", "try again later", "later, please");
    let changed = workspace.zako("build").exits(0);
    assert!(changed.evaluated().contains(&"codes"), "{changed}");
    assert_eq!(
        workspace.run("zako-out/app/explain", &["7"]),
        "later, please\n"
    );
}

#[test]
fn a_failing_script_action_says_where() {
    let workspace = Workspace::example("codegen");
    workspace.edit("codes/status.tsv", "STATUS_BUSY\t7", "STATUS_BUSY\tseven");
    workspace.zako("build").exits(1).says(&[
        "codes/status.tsv:4: expected SYMBOL",
        "tools/rows.ts:19:",
        "//codes:status.sources",
    ]);
}

#[test]
fn monorepo() {
    let workspace = Workspace::example("monorepo");
    build_thrice(&workspace);
    let index = workspace.read("zako-out/articles/index.json");
    assert!(
        index.contains("\"address\": \"swifts-are-back\""),
        "{index}"
    );
    assert_eq!(
        workspace.read("zako-out/articles/addresses.txt"),
        "swifts-are-back\nlate-frost-and-what-it-left\n"
    );
    assert!(
        workspace
            .read("zako-out/site/pages/index.html")
            .contains("<h1>Field notes</h1>")
    );
    let mut tar = workspace.program("/usr/bin/env".as_ref());
    tar.args(["tar", "tf", "zako-out/dist/site.tar"]);
    let listed = zako_tests::run(tar);
    assert_eq!(
        listed,
        "./\n./index.html\n./late-frost-and-what-it-left.html\n./swifts-are-back.html\n"
    );
    assert!(
        !workspace.has("zako-out/dist/sizes.txt"),
        "manual targets are built only by name"
    );

    workspace.zako("build //dist:sizes").exits(0);
    assert!(workspace.read("zako-out/dist/sizes.txt").starts_with("2\n"));
}

#[test]
fn monorepo_rebuilds_what_an_option_changes() {
    let workspace = Workspace::example("monorepo");
    workspace.zako("build").exits(0);
    let other = workspace
        .zako_args(&["build", "-D", "title=Garden diary"])
        .exits(0);
    assert_eq!(
        other.actions("ran"),
        ["pack dist/site.tar", "render the pages"],
        "{other}"
    );
    assert!(
        workspace
            .read("zako-out/site/pages/index.html")
            .contains("<h1>Garden diary</h1>")
    );
    let back = workspace.zako("build").exits(0).ran_nothing();
    assert_eq!(
        back.actions("from-cache"),
        ["pack dist/site.tar", "render the pages"],
        "{back}"
    );
    assert!(
        workspace
            .read("zako-out/site/pages/index.html")
            .contains("<h1>Field notes</h1>")
    );
}

#[test]
fn monorepo_sees_new_files_and_failing_checks() {
    let workspace = Workspace::example("monorepo");
    workspace.zako("build //...:check").exits(0);
    workspace.zako("build //...:check").exits(0).ran_nothing();
    workspace.write("articles/posts/2024-06-01-hail.md", "Hail\n");
    workspace
        .zako("build //...:check")
        .exits(1)
        .says_once("articles/posts/2024-06-01-hail.md:1: a post is a heading")
        .says(&["//articles:check"]);
    workspace.write(
        "articles/posts/2024-06-01-hail.md",
        "# Hail\n\nAs large as peas.\n",
    );
    workspace.zako("build").exits(0);
    assert!(
        workspace.has("zako-out/site/pages/hail.html"),
        "the glob sees new files"
    );
}

#[test]
fn profiles() {
    let workspace = Workspace::example("profiles");
    let first = build_thrice(&workspace);
    assert_eq!(
        first.evaluated(),
        ["app", "sites/home", "sites/shop", "tools"]
    );
    assert_eq!(
        workspace.run("zako-out/app/square", &["7"]),
        "49\ndebug on Linux, 10 squares\n"
    );
    assert_eq!(
        workspace.run("zako-out/@mode-fast/app/square", &["700"]),
        "490000\nfast on Linux, 1000 squares\n"
    );
    assert_eq!(
        workspace.read("zako-out/sites/home/index.html"),
        "<h1>At home</h1>\n<p>Nobody is here.</p>\n<!-- nobody in particular -->\n"
    );
    let release = workspace
        .zako("build --profile release //app:square")
        .exits(0);
    assert_eq!(release.evaluated(), Vec::<&str>::new());
    assert!(
        !release
            .actions("ran")
            .iter()
            .any(|name| name.contains("squares.c")),
        "the tool is there: {release}"
    );
    assert_eq!(
        workspace.run("zako-out/@release/app/square", &["7"]),
        "49\nfast on Linux, 1000 squares\n"
    );
    for line in ["build", "build --profile release //app:square", "build"] {
        workspace.zako(line).exits(0).ran_nothing();
    }
}
