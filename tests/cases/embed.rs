//! `examples/embed`: zako as a library in a program of its own.

use zako_tests::{Workspace, embed, repository, run};

#[test]
fn a_program_embeds_the_engine() {
    let workspace = Workspace::bare();
    workspace.copy(&repository().join("examples/embed/workspace"), ".");
    let embed = |expected: &[&str]| {
        let mut command = workspace.program(embed());
        command.arg(workspace.cache()).arg(workspace.root());
        let said = run(command);
        for line in expected {
            assert!(
                said.lines().any(|said| said == *line),
                "it did not print {line:?}\n{said}"
            );
        }
    };
    let end = [
        "wait for a long time: cancelled",
        "cancelled: 0 run, 0 from cache, 0 up to date, 1 cancelled",
    ];
    let (all, nothing) = (
        "done: 2 run, 0 from cache, 0 up to date, 0 cancelled",
        "done: 0 run, 0 from cache, 2 up to date, 0 cancelled",
    );
    let audited = [
        "//:greeting: write greeting.txt ...",
        "audit: //:greeting ended with Code(0)",
        "audit: //:shout ended with Code(0)",
        all,
    ];
    embed(&[&audited[..], &end].concat());
    // Its own builtin `acme:env` gave the words.
    assert_eq!(
        workspace.read("zako-out/shout.txt"),
        "HELLO FROM ACME (NIGHTLY)\n"
    );
    embed(&[&[nothing][..], &end].concat());
}

#[test]
fn a_builtin_of_an_embedder_is_not_zakos() {
    let workspace = Workspace::bare();
    workspace.copy(&repository().join("examples/embed/workspace"), ".");
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:3:25", "there is no builtin \"acme:env\""]);
}
