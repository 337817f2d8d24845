//! Build files that are wrong: the message stands at the author's own line, with what to do.

use zako_tests::Workspace;

#[test]
fn a_syntax_error_is_shown_in_its_line() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nexport const broken = task({ shell: \"true\" );\n",
    );
    workspace.zako("build").exits(2).says(&[
        "BUILD.ts:2:",
        "export const broken = task({ shell: \"true\" );",
    ]);
}

#[test]
fn a_type_imported_as_a_value_says_so() {
    let workspace = Workspace::package(
        "import { task, Target } from \"zako:build\";\nexport const a: Target = task({ shell: \"true\" });\n",
    );
    workspace.zako("build").exits(2).says(&[
        "BUILD.ts:1:16",
        "Target",
        "type",
        "import { task, Target } from",
    ]);
}

#[test]
fn a_thrown_error_has_its_line_and_stack() {
    let workspace = Workspace::package(
        "interface Limit {\n  most: number;\n}\nfunction check(n: number, limit: Limit): void {\n  \
         if (n > limit.most) throw new RangeError(\"three is too many\");\n}\ncheck(3, { most: 2 });\n",
    );
    workspace.zako("build").exits(2).says(&[
        "BUILD.ts:5:",
        "RangeError: three is too many",
        "throw new RangeError(",
        "check (BUILD.ts:5:",
        "BUILD.ts:7:1",
    ]);
}

#[test]
fn an_error_in_a_library_leads_back_to_the_package() {
    let workspace = Workspace::empty()
        .file("lib/pick.ts", "export function pick(o: Record<string, string>, k: string): string {\n  if (!(k in o)) throw new Error(`no ${k}`);\n  return o[k];\n}\n")
        .file("app/BUILD.ts", "import { pick } from \"//lib/pick.ts\";\n\nexport const word = pick({}, \"name\");\n");
    workspace
        .zako("build")
        .exits(2)
        .says(&["lib/pick.ts:2:", "no name", "app/BUILD.ts:3:21"]);
}

#[test]
fn causes_are_shown() {
    let workspace = Workspace::package(
        "try {\n  JSON.parse(\"{\");\n} catch (cause) {\n  throw new Error(\"the settings are bad\", { cause });\n}\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:4:", "the settings are bad", "SyntaxError"]);
}

#[test]
fn an_unknown_attribute_is_named() {
    let workspace = Workspace::package(
        "import { ccLibrary } from \"zako:cc\";\nexport const a = ccLibrary({\n  sources: [\"a.c\"],\n} as any);\n",
    );
    workspace.zako("build").exits(2).says(&[
        "ccLibrary has no attribute \"sources\"",
        "did you mean \"srcs\"?",
        "BUILD.ts:3:3",
    ]);
}

#[test]
fn an_unknown_field_of_a_task_is_named() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nexport const a = task({ shel: \"true\" } as any);\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["\"shel\"", "shell", "BUILD.ts:2:25"]);
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let workspace =
        Workspace::package("import { ccBinary } from \"zako:cc\";\nexport const a = ccBinary({ srcs: [\"mian.c\"] });\n")
            .file("main.c", "int main(void) { return 0; }\n");
    workspace
        .zako("build")
        .exits(2)
        .says(&["mian.c", "main.c", "BUILD.ts:2:18"]);
}

#[test]
fn an_exported_function_is_refused_at_its_line() {
    let workspace = Workspace::package(
        "export const a = 1;\n\nexport function helper(): number {\n  return 2;\n}\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:3:", "helper", "function"]);
}

#[test]
fn a_glob_that_matches_nothing_is_refused() {
    let workspace = Workspace::package(
        "import { glob } from \"zako:build\";\nexport const a = glob(\"src/*.c\");\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["src/*.c", "allowEmpty", "BUILD.ts:2:18"]);
}

#[test]
fn one_target_under_two_names_is_refused() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nexport const a = task({ shell: \"true\" });\nexport const b = a;\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:", "a", "b", "two names"]);
}

#[test]
fn a_target_in_a_string_is_refused() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nconst a = task({ outputs: [\"a\"], shell: \"true\" });\nexport const s = `${a}`;\n",
    );
    workspace.zako("build").exits(2).says(&[
        "cannot be turned into a string",
        "arg`…`",
        "BUILD.ts:3:",
    ]);
}

#[test]
fn other_packages_are_evaluated_all_the_same() {
    let workspace =
        Workspace::example("hello-c").file("bad/BUILD.ts", "throw new Error(\"not today\");\n");
    workspace
        .zako("build -k")
        .exits(2)
        .says_once("error: not today")
        .says(&["bad/BUILD.ts:1:"]);
    assert_eq!(workspace.run("zako-out/app/hello", &[]), "Hello, world!\n");
}

#[test]
fn two_wrong_packages_are_two_messages() {
    let workspace = Workspace::empty()
        .file("a/BUILD.ts", "throw new Error(\"first\");\n")
        .file("b/BUILD.ts", "throw new Error(\"second\");\n");
    workspace
        .zako("build -k")
        .exits(2)
        .says_once("error: first")
        .says_once("error: second");
}

#[test]
fn what_a_script_logs_is_shown_with_its_line() {
    let workspace =
        Workspace::package("console.warn(\"mind the gap\", { deep: [1] });\nexport const a = 1;\n");
    workspace
        .zako("build")
        .exits(0)
        .says(&["mind the gap", "BUILD.ts:1:"]);
}

#[test]
fn a_realm_has_no_clock_and_no_chance() {
    for (expression, word) in [
        ("Date.now()", "Date.now"),
        ("Math.random()", "Math.random"),
        ("new Date()", "Date"),
    ] {
        let workspace = Workspace::package(&format!("export const a = {expression};\n"));
        workspace
            .zako("build")
            .exits(2)
            .says(&[word, "BUILD.ts:1:"]);
    }
}
