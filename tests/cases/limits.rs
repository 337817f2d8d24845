//! Scripts that do not end, or want everything. Only they fail.

use zako_tests::Workspace;

/// A workspace with one package of that source, and a good one beside it.
fn beside_a_good_one(source: &str) -> Workspace {
    Workspace::empty().file("bad/BUILD.ts", source).file(
        "good/BUILD.ts",
        "import { task } from \"zako:build\";\nexport const a = task({ outputs: [\"a.txt\"], shell: 'echo fine > \"$out\"' });\n",
    )
}

#[test]
fn an_endless_loop_is_stopped() {
    let workspace = beside_a_good_one("// It spins.\nwhile (true) {}\n");
    let said = workspace
        .zako("build -k --script-timeout 1s")
        .exits(2)
        .says(&["bad/BUILD.ts:2:", "limit of 1s"]);
    assert_eq!(workspace.read("zako-out/good/a.txt"), "fine\n", "{said}");
}

#[test]
fn a_heap_bomb_is_stopped() {
    let workspace = beside_a_good_one(
        "const all: unknown[] = [];\nfor (;;) {\n  all.push(new Array(1000).fill(all.length));\n}\n",
    );
    let said = workspace
        .zako("build -k --script-heap 64MiB")
        .exits(2)
        .says(&["bad/BUILD.ts:", "limit of 64 MiB"]);
    assert_eq!(workspace.read("zako-out/good/a.txt"), "fine\n", "{said}");
}

#[test]
fn a_wait_without_end_is_named() {
    let workspace = beside_a_good_one("export const a = 1;\nawait new Promise(() => {});\n");
    let said = workspace
        .zako("build -k")
        .exits(2)
        .says(&["bad/BUILD.ts:2:", "await"]);
    assert_eq!(workspace.read("zako-out/good/a.txt"), "fine\n", "{said}");
}

#[test]
fn deep_nesting_is_no_crash() {
    let workspace = beside_a_good_one(&format!(
        "export const a = {}1{};\n",
        "(".repeat(20_000),
        ")".repeat(20_000)
    ));
    workspace
        .zako("build -k")
        .exits(2)
        .says(&["bad/BUILD.ts:1:", "nest"]);
    assert!(workspace.has("zako-out/good/a.txt"));
}
