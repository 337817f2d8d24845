//! `docs/scripts.md` and `docs/configuration.md`: every file that each shows, put together as one workspace.

use std::fs;

use zako_tests::{Workspace, repository};

/// A file that the guide shows.
struct Shown {
    path: String,
    text: String,
}

/// The blocks of the guide that begin "```LANGUAGE file=PATH".
fn shown(guide: &str) -> Vec<Shown> {
    let mut files: Vec<Shown> = Vec::new();
    let mut before = "";
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            if !line.is_empty() {
                before = line;
            }
            continue;
        };
        let text: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| [line, "\n"])
            .collect();
        let Some((_, path)) = info.split_once(" file=") else {
            assert!(!info.starts_with("ts"), "code that is not tested:\n{text}");
            continue;
        };
        assert_eq!(before, format!("`{path}`"), "readers see the path too");
        files.push(Shown {
            path: path.to_owned(),
            text,
        });
    }
    files
}

fn workspace() -> Workspace {
    workspace_of("docs/scripts.md", 8)
}

/// The files of a page, which shows that many scripts at least.
fn workspace_of(page: &str, scripts: usize) -> Workspace {
    let guide = fs::read_to_string(repository().join(page)).unwrap();
    let files = shown(&guide);
    let is_script = |file: &&Shown| file.path.ends_with(".ts");
    assert!(files.iter().filter(is_script).count() >= scripts);
    files.iter().fold(Workspace::bare(), |workspace, file| {
        workspace.file(&file.path, &file.text)
    })
}

#[test]
fn the_guide_builds() {
    let workspace = workspace();
    workspace.zako("build").exits(0).omits("warning");
    workspace.zako("build").exits(0).ran_nothing();
    assert_eq!(workspace.read("zako-out/words/top.txt"), "the\nand\ncat\n");
    assert_eq!(
        workspace.read("zako-out/words/longest.txt"),
        "nightingale\n"
    );
    assert_eq!(
        workspace.read("zako-out/report/report.txt"),
        "Most frequent words\nthe\nand\ncat\nThe longest is nightingale. That is all.\n"
    );
    assert_eq!(
        workspace.read("zako-out/notes/first/note.txt"),
        "One of many\n"
    );
    assert_eq!(
        workspace.read("zako-out/shout/upper/one.txt"),
        "HEAR, HEAR\n"
    );
    assert_eq!(
        workspace.run("zako-out/hello/hello", &["you"]),
        "HELLO, YOU\n"
    );
    assert!(
        !workspace.has("zako-out/hello/hello.parts"),
        "a named output that nobody asked for is not made"
    );
    workspace.zako("build //hello:hello#parts").exits(0);
    assert_eq!(
        workspace.read("zako-out/hello/hello.parts"),
        "hello/text.sh\nhello/spare.sh\n"
    );

    let tested = workspace.zako("test").exits(0);
    assert_eq!(
        tested.actions("ran"),
        ["test //greet:greet_test", "test //hello:hello_test"]
    );
    workspace.zako("test").exits(0).ran_nothing();
}

#[test]
fn the_guides_rule_knows_what_it_read() {
    let workspace = workspace();
    workspace.zako("build //hello/...").exits(0);
    workspace.edit("hello/spare.sh", "tr A-Z a-z", "tr '[:upper:]' '[:lower:]'");
    let spare = workspace.zako("build //hello/...").exits(0);
    assert_eq!(spare.actions("ran"), ["check hello/spare.sh"], "{spare}");

    workspace.edit("hello/text.sh", "tr a-z A-Z", "sed 's/$/!/'");
    let text = workspace.zako("build //hello/...").exits(0);
    assert_eq!(
        text.actions("ran"),
        [
            "bundle hello/hello.sh",
            "check hello/text.sh",
            "install zako-out/hello/hello"
        ],
        "{text}"
    );
    assert_eq!(
        workspace.run("zako-out/hello/hello", &[]),
        "hello, world!\n"
    );
    workspace
        .zako("test //hello/...")
        .exits(1)
        .says(&["//hello:hello_test"]);

    workspace.edit("hello/hello.sh", ". hello/text.sh", ". hello/txet.sh");
    workspace
        .zako("build //hello/...")
        .exits(1)
        .says_once("hello/txet.sh: cannot be read");
}

#[test]
fn the_guide_is_well_typed() {
    assert_eq!(super::types::tsc(&workspace()), "");
}

#[test]
fn the_guides_options_are_read() {
    let workspace = workspace();
    workspace.zako("build").exits(0);
    let draft = workspace
        .zako("build -D draft=true -D top=1")
        .exits(0)
        .says(&["this report is a draft", "report/BUILD.ts:6:"]);
    assert_eq!(
        draft.actions("ran").len(),
        2,
        "the words and the report: {draft}"
    );
    assert_eq!(workspace.read("zako-out/words/top.txt"), "the\n");
    workspace.zako("build").exits(0).ran_nothing();
}

#[test]
fn the_page_on_configuration_is_true() {
    let workspace = workspace_of("docs/configuration.md", 4);
    assert_eq!(super::types::tsc(&workspace), "");
    workspace.zako("build").exits(0).omits("warning");
    assert_eq!(workspace.read("zako-out/both.txt"), "5\n5\n");
    assert_eq!(
        workspace.read("zako-out/weight/weight.txt"),
        "debug:\nzako-out/@mode-fast/add\nzako-out/add\n"
    );
    let release = workspace.zako("build --profile release //weight").exits(0);
    assert_eq!(
        workspace.read("zako-out/@release/weight/weight.txt"),
        "fast:\nzako-out/@release/add\nzako-out/@release/add\n",
        "{release}"
    );
    assert!(workspace.has("zako-out/_objs/sum/checked.c.o"));
    assert!(!workspace.has("zako-out/@release/_objs/sum/checked.c.o"));
    for line in [
        "build",
        "build --profile release //weight",
        "build -D mode=fast -D checks=false //weight",
    ] {
        workspace.zako(line).exits(0).ran_nothing();
    }
    let targets = workspace.zako("targets //:*").exits(0);
    assert_eq!(
        targets.stdout,
        "//:add\n//:both\n//:add @mode-fast\n//:sum\n"
    );
    workspace
        .zako("build -D platform=bord")
        .exits(2)
        .says(&["did you mean platform=board?"]);
}
