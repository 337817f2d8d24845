//! What `zako types` gives to editors, checked by TypeScript's own compiler.

use std::process::Command;

use zako_tests::{Workspace, repository};

/// What `tsc` says of the workspace, after `zako types`: an empty text when all is well.
#[track_caller]
pub(crate) fn tsc(workspace: &Workspace) -> String {
    let program = repository().join(".tools/npm/node_modules/.bin/tsc");
    assert!(
        program.exists(),
        "TypeScript is not installed ({}): run scripts/setup",
        program.display()
    );
    workspace.zako("types").exits(0);
    // With the environment of this process: Node.js may be anywhere.
    let output = Command::new(program)
        .args(["--pretty", "false", "-p", "."])
        .current_dir(workspace.root())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn the_examples_are_well_typed() {
    for example in ["hello-c", "codegen", "monorepo"] {
        let workspace = Workspace::example(example);
        assert_eq!(tsc(&workspace), "", "{example}");
        assert!(workspace.has(".zako/tsconfig.json") && workspace.has("tsconfig.json"));
    }
}

#[test]
fn a_tsconfig_of_the_authors_stays() {
    let own = "{ \"extends\": \"./.zako/tsconfig.json\" }\n";
    let workspace = Workspace::example("hello-c").file("tsconfig.json", own);
    assert_eq!(tsc(&workspace), "");
    assert_eq!(workspace.read("tsconfig.json"), own);
}

#[test]
fn what_init_writes_is_well_typed() {
    let workspace = Workspace::bare();
    workspace.zako("init").exits(0);
    assert_eq!(tsc(&workspace), "");
}

#[test]
fn wrong_programs_are_refused() {
    let head = "import { arg, config, files, glob, label, task } from \"zako:build\";\n\
                import { CcInfo, ccBinary, ccLibrary } from \"zako:cc\";\n\
                import { attr, provider, rule, type } from \"zako:rule\";\n\
                const t = task({ outputs: { header: \"v.h\" }, shell: \"true\" });\n\
                const l = task({ outputs: [\"a.txt\"], shell: \"true\" });\n\
                const lib = ccLibrary({ srcs: [\"a.c\"] });\n\
                const Info = provider(\"Info\", type<{ n: number }>());\n\
                const needs = rule({\n  attrs: { dep: attr.target(Info), kind: attr.enum(\"a\", \"b\").default(\"a\") },\n  \
                provides: {},\n  analyze: (ctx) => { const n: number = ctx.attrs.dep.get(Info).n; void n; return {}; },\n});\n\
                void [arg, config, files, glob, label, CcInfo, t, l, lib, needs];\n";
    let good = Workspace::package(head).file("a.c", "");
    assert_eq!(tsc(&good), "", "the head alone is right");
    for wrong in [
        "t.out.source;",
        "l.out.header;",
        "task({ outputs: { x: \"x\" }, command: (a) => [\"cp\", a.out.y] });",
        "task({ outputs: [\"x\"], command: (a) => [\"cp\", a.out.y] });",
        "task({ comand: [\"x\"] });",
        "task({ inputs: [1], shell: \"true\" });",
        "task({ outputs: { x: 1 }, shell: \"true\" });",
        "task({ shell: \"true\", isolation: \"some\" });",
        "ccBinary({ srcs: [\"a.c\"], deps: [t] });",
        "ccBinary({ srcs: [\"a.c\"], deps: [\"//lib:lib\"] });",
        "ccBinary({ sources: [\"a.c\"] });",
        "ccLibrary({ defines: \"X\" });",
        "const n: number = config.get(\"x\"); void n;",
        "needs({ dep: lib });",
        "needs({});",
        "needs({ dep: lib, kind: \"c\" });",
        "arg`${{}}`;",
        "glob(\"*\", { exlude: \"x\" });",
        "process.exit(1);",
        "fetch(\"http://example.org\");",
        "import fs from \"node:fs\"; void fs;",
        "import { x } from \"//missing/BUILD.ts\"; void x;",
        "import { Target } from \"zako:build\"; export const x: Target = t;",
    ] {
        let line = head.lines().count() + 1;
        good.write("BUILD.ts", &format!("{head}{wrong}\n"));
        let said = tsc(&good);
        assert!(
            said.contains(&format!("BUILD.ts({line},")),
            "tsc takes this: {wrong}\n{said}"
        );
    }
}
