//! Patterns and labels that name nothing.

use zako_tests::Workspace;

#[test]
fn an_unknown_target_suggests_the_nearest() {
    let workspace = Workspace::example("hello-c");
    workspace.zako("build //app:helo").exits(2).says(&[
        "//app:helo",
        "did you mean",
        "//app:hello",
    ]);
    workspace
        .zako("run //app:helo")
        .exits(2)
        .says(&["did you mean", "//app:hello"]);
}

#[test]
fn an_unknown_package_suggests_the_nearest() {
    let workspace = Workspace::example("hello-c");
    workspace
        .zako("build //ap:hello")
        .exits(2)
        .says(&["//ap", "did you mean", "//app"]);
    workspace
        .zako("build //nothing/like/it/...")
        .exits(2)
        .says(&["//nothing/like/it"]);
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let workspace = Workspace::example("hello-c");
    workspace
        .zako("build //app:hello:again")
        .exits(2)
        .says(&["//app:hello:again"]);
}

#[test]
fn patterns_include_and_exclude() {
    let workspace = Workspace::example("hello-c");
    let built = workspace.zako("build //... -//tests/...").exits(0);
    assert!(
        !built
            .actions("ran")
            .iter()
            .any(|m| m.contains("greet_test")),
        "{built}"
    );
    assert!(
        built.actions("ran").contains(&"link zako-out/app/hello"),
        "{built}"
    );
}

#[test]
fn what_cannot_run_says_so() {
    Workspace::example("hello-c")
        .zako("run //greet:greet")
        .exits(2)
        .says(&["//greet:greet"]);
}

#[test]
fn lists_and_objects_of_targets_have_labels() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         const one = (n: number) => task({ outputs: [`${n}.txt`], shell: `echo ${n} > \"$out\"` });\n\
         export const list = [one(0), one(1)];\n\
         export const named = { deep: { er: one(2) } };\n\
         export default one(3);\n",
    );
    workspace.zako("build //:list[1] //:named.deep.er").exits(0);
    assert!(workspace.has("zako-out/1.txt") && workspace.has("zako-out/2.txt"));
    assert!(!workspace.has("zako-out/0.txt") && !workspace.has("zako-out/3.txt"));
    workspace.zako("build").exits(0);
    assert!(workspace.has("zako-out/0.txt") && workspace.has("zako-out/3.txt"));
}

#[test]
fn a_label_that_names_nothing_is_refused_where_it_is_used() {
    let workspace = Workspace::package(
        "import { label, task } from \"zako:build\";\nexport const a = task({ inputs: [label(\"//b:x\")], shell: \"true\" });\n",
    )
    .file("b/BUILD.ts", "import { task } from \"zako:build\";\nexport const y = task({ shell: \"true\" });\n");
    workspace.zako("build").exits(2).says(&["//b:x"]);
}

#[test]
fn a_cycle_of_targets_by_label_is_printed() {
    let workspace = Workspace::package(
        "import { label, task } from \"zako:build\";\n\
         export const a = task({ inputs: [label(\":b\")], outputs: [\"a\"], shell: \"true\" });\n\
         export const b = task({ inputs: [label(\":a\")], outputs: [\"b\"], shell: \"true\" });\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["cycle", "//:a", "//:b"]);
}

#[test]
fn manual_targets_of_any_rule_are_built_by_name_only() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nimport { ccBinary } from \"zako:cc\";\n\
         export const a = ccBinary({ srcs: [\"a.c\"], tags: [\"manual\"] });\n\
         export const b = task({ outputs: [\"b\"], tags: [\"manual\"], shell: 'touch \"$out\"' });\n\
         export const c = task({ outputs: [\"c\"], shell: 'touch \"$out\"' });\n",
    )
    .file("a.c", "int main(void) { return 0; }\n");
    workspace.zako("build").exits(0);
    assert!(
        workspace.has("zako-out/c") && !workspace.has("zako-out/a") && !workspace.has("zako-out/b")
    );
    workspace.zako("build :a :b").exits(0);
    assert!(workspace.has("zako-out/a") && workspace.has("zako-out/b"));

    workspace.edit(
        "BUILD.ts",
        "tags: [\"manual\"], shell",
        "tags: \"manual\" as any, shell",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["\"tags\" of task takes a list", "BUILD.ts:4:47"]);
    workspace.edit("BUILD.ts", "tags: [\"manual\"] }", "tags: [1] as any }");
    workspace
        .zako("build")
        .exits(2)
        .says(&["tags", "ccBinary", "BUILD.ts:3:"]);
}
