//! Imports that lead nowhere, or where a build file may not go.

use std::os::unix::fs::symlink;

use zako_tests::Workspace;

/// A package that imports `specifier` in its second line; the error must be there and say all of `parts`.
#[track_caller]
fn refused(specifier: &str, parts: &[&str]) {
    let source = format!(
        "// A remark.\nimport {{ thing }} from \"{specifier}\";\nexport const a = thing;\n"
    );
    Workspace::package(&source)
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:2:23"])
        .says(parts);
}

#[test]
fn a_missing_file() {
    refused("./missing.ts", &["missing.ts"]);
    refused("//lib/missing.ts", &["lib/missing.ts"]);
}

#[test]
fn a_missing_file_with_a_near_name() {
    let workspace = Workspace::package("import { x } from \"./difs.ts\";\nexport const a = x;\n")
        .file("defs.ts", "export const x = 1;\n");
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:1:19", "difs.ts", "did you mean", "defs.ts"]);
}

#[test]
fn modules_of_other_runtimes() {
    refused("node:fs", &["node:fs", "Node.js", "readText"]);
    refused(
        "http://example.org/x.ts",
        &["http://example.org/x.ts", "network"],
    );
    refused("https://example.org/x.ts", &["network"]);
    refused("npm:left-pad", &["npm:left-pad"]);
}

#[test]
fn builtins_that_are_not_there() {
    refused(
        "zako:buidl",
        &["zako:buidl", "did you mean \"zako:build\"?"],
    );
    refused("zako:internal/host", &["zako:internal/host"]);
}

#[test]
fn paths_out_of_the_workspace() {
    refused("../outside/x.ts", &["outside the workspace"]);
    refused("//../outside/x.ts", &["outside the workspace"]);
    refused("/etc/x.ts", &["outside the workspace"]);
    refused("file:///etc/x.ts", &["outside the workspace"]);
}

#[test]
fn symlinks_out_of_the_workspace() {
    let workspace = Workspace::package("import { x } from \"./link.ts\";\nexport const a = x;\n");
    std::fs::write(workspace.outside("x.ts"), "export const x = \"secret\";\n").unwrap();
    symlink(workspace.outside("x.ts"), workspace.path("link.ts")).unwrap();
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:1:19", "link.ts", "out of the workspace"])
        .omits("secret");

    let workspace = Workspace::package("import { x } from \"./lib/x.ts\";\nexport const a = x;\n");
    std::fs::write(workspace.outside("x.ts"), "export const x = \"secret\";\n").unwrap();
    symlink(workspace.outside(""), workspace.path("lib")).unwrap();
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:1:19", "lib/x.ts", "out of the workspace"])
        .omits("secret");
}

#[test]
fn a_builtin_that_is_not_for_this_kind_of_file() {
    refused(
        "zako:script",
        &[
            "a BUILD.ts file may not import \"zako:script\"",
            "*.script.ts",
        ],
    );
}

#[test]
fn a_kind_of_file_that_may_not_be_imported() {
    let workspace = Workspace::empty()
        .file(
            "lib/defs.ts",
            "import { a } from \"//a/BUILD.ts\";\nexport const b = a;\n",
        )
        .file("a/BUILD.ts", "export const a = 1;\n")
        .file(
            "c/BUILD.ts",
            "import { b } from \"//lib/defs.ts\";\nexport const c = b;\n",
        );
    workspace
        .zako("build //c/...")
        .exits(2)
        .says(&["lib/defs.ts:1:19", "only packages import packages"]);
}

#[test]
fn tokens_and_rules_are_imported_from_any_file() {
    let library = "import { box } from \"./box.rule.ts\";\nimport { mode } from \"./mode.config.ts\";\nexport const make = () => box({ mode: \"fast\" });\nvoid mode;\n";
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nimport { box } from \"./box.rule.ts\";\nimport { make } from \"./make.ts\";\nimport gen from \"./gen.script.ts\";\nexport const a = task({ outputs: [\"a\"], script: gen });\nexport const b = make();\nexport const c = box({});\n",
    )
    .file("mode.config.ts", "import { option } from \"zako:config\";\nexport const mode = option({ values: [\"slow\", \"fast\"], default: \"slow\" });\n")
    .file("more.config.ts", "import { Boxes } from \"./box.rule.ts\";\nexport const id = Boxes.toolchain;\n")
    .file("box.rule.ts", "import { attr, rule, toolchainType, type } from \"zako:rule\";\nimport { mode } from \"./mode.config.ts\";\nexport const WORD = \"word\";\nexport const Boxes = toolchainType(\"box\", type<{ word: string }>());\nexport const box = rule({ attrs: { mode: attr.string().optional() }, provides: {}, toolchains: { box: Boxes }, analyze(ctx) { const out = ctx.file(ctx.name); ctx.write(out, `${ctx.tools.box.word} ${ctx.config(mode)}`); ctx.expose(\"default\", out); return {}; } });\n")
    .file("box.toolchain.ts", "import { toolchain } from \"zako:toolchain\";\nimport { Boxes, WORD } from \"./box.rule.ts\";\nimport { mode } from \"./mode.config.ts\";\nexport default toolchain({ type: Boxes, resolve: () => ({ word: WORD }) });\nvoid mode;\n")
    .file("make.ts", library)
    .file("gen.script.ts", "import { script } from \"zako:script\";\nimport { WORD } from \"./box.rule.ts\";\nexport default script((ctx) => ctx.writeText(ctx.outputs[0]!, WORD));\n")
    .file("zako.toml", "zako = \"0.1\"\ntoolchains = [\"//box.toolchain.ts\"]\n");
    workspace.zako("build").exits(0);
    assert_eq!(workspace.read("zako-out/a"), "word");
    assert_eq!(workspace.read("zako-out/b"), "word slow");
    // What a rule's code is made of is what the action is made of.
    workspace.edit("box.rule.ts", "\"word\";", "\"other\";");
    workspace.zako("build :a").exits(0);
    assert_eq!(workspace.read("zako-out/a"), "other");
}

#[test]
fn what_runs_elsewhere_is_a_handle() {
    for (file, text) in [
        (
            "x.toolchain.ts",
            "import { toolchain } from \"zako:toolchain\";\nexport const other = 1;\nvoid toolchain;\n",
        ),
        ("x.script.ts", "export const other = 1;\n"),
    ] {
        let workspace = Workspace::package(&format!(
            "import handle, {{ other }} from \"./{file}\";\nexport const x = [handle, other];\n"
        ))
        .file(file, text);
        workspace.zako("build").exits(2).says(&[
            "BUILD.ts:1:18",
            "gives no \"other\" to who imports it",
            "its default is the handle",
        ]);
    }
}

#[test]
fn a_script_file_may_not_declare_targets() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nimport gen from \"./gen.script.ts\";\nexport const a = task({ outputs: [\"a\"], script: gen });\n",
    )
    .file("gen.script.ts", "import { script } from \"zako:script\";\nimport { task } from \"zako:build\";\nexport default script(() => { task({}); });\n");
    workspace
        .zako("build")
        .exits(2)
        .says(&["gen.script.ts:2:22", "may not import \"zako:build\""]);
}

#[test]
fn a_name_that_the_module_does_not_export() {
    let workspace = Workspace::empty()
        .file("lib/defs.ts", "export const flags = [];\n")
        .file(
            "BUILD.ts",
            "import { flag } from \"//lib/defs.ts\";\nexport const a = flag;\n",
        );
    workspace
        .zako("build")
        .exits(2)
        .says(&["BUILD.ts:1:10", "flag", "//lib/defs.ts"]);

    let workspace = Workspace::example("hello-c");
    workspace.edit(
        "app/BUILD.ts",
        "import { greet }",
        "import { great as greet }",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["app/BUILD.ts:2:10", "great", "greet"]);
}

#[test]
fn a_cycle_of_packages_is_printed_as_a_chain() {
    let package = |next: &str| {
        format!(
            "import {{ x as y }} from \"//{next}/BUILD.ts\";\nimport {{ task }} from \"zako:build\";\nexport const x = task({{ inputs: [y], shell: \"true\" }});\n"
        )
    };
    let workspace = Workspace::empty()
        .file("first/BUILD.ts", &package("second"))
        .file("second/BUILD.ts", &package("third"))
        .file("third/BUILD.ts", &package("first"));
    let said = workspace.zako("build").exits(2).says(&[
        "cycle",
        "first/BUILD.ts",
        "second/BUILD.ts",
        "third/BUILD.ts",
    ]);
    // In the order of the imports, from whichever it was noticed at.
    let orders = ["second", "third", "first"]
        .map(|start| said.stderr.find(&format!("{start}/BUILD.ts")).unwrap());
    assert!(orders.iter().all(|at| *at > 0), "{said}");
}

#[test]
fn a_package_that_imports_itself_is_a_cycle() {
    let workspace = Workspace::empty().file(
        "a/BUILD.ts",
        "import { x } from \"//a/BUILD.ts\";\nexport const y = x;\n",
    );
    workspace
        .zako("build")
        .exits(2)
        .says(&["cycle", "a/BUILD.ts"]);
}
