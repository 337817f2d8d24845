//! What `zako types` gives to editors, checked by TypeScript's own compiler.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
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
    for example in ["hello-c", "codegen", "monorepo", "profiles"] {
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
    let head = "import { alias, arg, args, config, files, glob, label, target, task } from \"zako:build\";\n\
                import { CcInfo, ccBinary, ccLibrary } from \"zako:cc\";\n\
                import { attr, depset, dynamic, provider, rule, type, type Artifact, type Depset, type RuleDefinition } from \"zako:rule\";\n\
                const t = task({ outputs: { header: \"v.h\" }, shell: \"true\" });\n\
                const l = task({ outputs: [\"a.txt\"], shell: \"true\" });\n\
                const lib = ccLibrary({ srcs: [\"a.c\"] });\n\
                const Info = provider(\"Info\", type<{ n: number }>());\n\
                const needs = rule({\n  attrs: { dep: attr.target(Info), kind: attr.enum(\"a\", \"b\").default(\"a\") },\n  \
                provides: {},\n  analyze: (ctx) => { const n: number = ctx.attrs.dep.get(Info).n; void n; return {}; },\n});\n\
                const gives = rule({\n  attrs: { files: attr.dict(attr.list(attr.file())).optional(), deps: attr.list(attr.target(Info)).default([target(\"//x\", Info)]) },\n  \
                provides: { info: Info },\n  outputs: [\"list\"],\n  analyze(ctx) {\n    const set: Depset<string> = depset({ direct: [\"a\"], order: \"preorder\" });\n    \
                const files: Readonly<Record<string, readonly Artifact[]>> | undefined = ctx.attrs.files;\n    const out = ctx.dir(\"d\");\n    \
                ctx.run({ args: [\"x\", set, args.each(\"-x\", [set, out]), arg`-o${out}`], outputs: [out], inputs: ctx.attrs.deps.map((d) => d.runfiles), \
                stdin: { text: \"\" }, timeout: \"1m\", worker: \"json\", retries: { times: 1, on: [75, \"SIGSEGV\", \"timeout\"], pause: 1 } });\n    ctx.expose(\"list\", out);\n    void files;\n    return { info: { n: 1 } };\n  },\n});\n\
                const late = target(\"//b:x\", Info);\nconst given = gives({ deps: [late, alias(late)], visibility: [\"//a\"], deprecated: \"no\", tags: [] });\nneeds({ dep: given });\n\
                type Body = RuleDefinition<{}, {}, {}, never>;\nconst body = (analyze: Body[\"analyze\"]) => void rule({ attrs: {}, provides: {}, analyze });\n\
                const step = dynamic({ params: type<{ readonly list: Artifact }>(), run(ctx) {\n  const text: string = ctx.readText(ctx.params.list);\n  \
                for (const path of ctx.list(ctx.params.list)) ctx.write(ctx.file(path), text);\n  ctx.copy(ctx.outputs[0]!, ctx.params.list);\n} });\n\
                body((ctx) => { const list = ctx.file(\"l\"); ctx.dynamic(step, { reads: [list], outputs: [ctx.file(\"o\")], params: { list } }); return {}; });\n\
                void [arg, args, alias, config, files, glob, label, CcInfo, t, l, lib, needs, gives, target, given, body];\n";
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
        "task({ shell: \"true\", retries: { on: [1] } });",
        "task({ shell: \"true\", retries: { times: 1, on: [\"SIGWINCH\"] } });",
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
        "given.out.other;",
        "gives({ files: { a: [1] } });",
        "gives({ deps: [target(\"//x\", CcInfo)] });",
        "gives({ visibility: \"some\" });",
        "gives({ deprecated: true });",
        "task({ shell: \"true\", visibility: 1 });",
        "needs({ dep: target(\"//x\") });",
        "target(5);",
        "alias(\"//x\");",
        "depset({ direct: [1], order: \"backwards\" });",
        "const set: Depset<number> = depset({ direct: [\"a\"] }); void set;",
        "depset({ direct: [1], transitive: [depset({ direct: [\"a\"] })] });",
        "args.each(5, []);",
        "args.responseFile([], { format: \"xml\" });",
        "body((ctx) => { ctx.run({ args: [5], outputs: [] }); return {}; });",
        "body((ctx) => { ctx.run({ args: [\"x\"] }); return {}; });",
        "body((ctx) => { ctx.run({ args: [\"x\"], outputs: [], timeout: true }); return {}; });",
        "body((ctx) => { ctx.run({ args: [\"x\"], outputs: [], inputs: [\"x\"] }); return {}; });",
        "body((ctx) => { ctx.run({ args: [\"x\"], outputs: [], worker: \"xml\" }); return {}; });",
        "body((ctx) => { ctx.run({ args: [\"x\"], outputs: [], worker: { protocol: \"json\", multiplex: 4 } }); return {}; });",
        "body((ctx) => { ctx.copy(ctx.file(\"x\"), \"y\"); return {}; });",
        "body((ctx) => { ctx.tree(ctx.dir(\"x\"), [\"y\"]); return {}; });",
        "body((ctx) => { ctx.write(ctx.file(\"x\"), \"\", { mode: 1 }); return {}; });",
        "body((ctx) => { ctx.expose(\"nothing\", ctx.file(\"x\")); return {}; });",
        "body((ctx) => { void ctx.attrs.missing; return {}; });",
        "body((ctx) => { ctx.dynamic(step, { reads: [], outputs: [], params: { list: 1 } }); return {}; });",
        "body((ctx) => { ctx.dynamic(step, { outputs: [], params: { list: ctx.file(\"l\") } }); return {}; });",
        "dynamic({ params: type<number>(), run: (ctx) => void ctx.params.list });",
        "dynamic({ params: type<number>(), run: (ctx) => void ctx.attrs });",
        "rule({ attrs: {}, provides: { info: Info }, analyze: () => ({}) });",
        "rule({ attrs: {}, provides: { info: Info }, analyze: () => ({ info: { n: \"1\" } }) });",
        "rule({ attrs: { a: attr.int().default(\"x\") }, provides: {}, analyze: () => ({}) });",
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

#[test]
fn types_follow_from_what_is_declared() {
    // What must be wrong is marked there, and a mark where nothing is wrong is an error of its own.
    let workspace = Workspace::bare();
    workspace.copy(&repository().join("tests/fixtures/inference"), ".");
    assert_eq!(tsc(&workspace), "");
    workspace.edit(
        "app/BUILD.ts",
        "// @ts-expect-error: a case is missing\n",
        "",
    );
    assert!(
        tsc(&workspace).contains("fast"),
        "an error that is not marked is told"
    );
}

/// Where npm's packages of the tests are.
fn packages() -> std::path::PathBuf {
    repository().join(".tools/npm/node_modules")
}

#[test]
fn check_shows_errors_of_types_at_their_place() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\nexport const a = task({ shell: \"true\", tags: 1 });\n",
    )
    .file("lib.ts", "export const n: number = \"\u{1d4b3}\" + wrong;\n");
    symlink(packages(), workspace.path("node_modules")).unwrap();
    workspace.zako("check").exits(2).says(&[
        "BUILD.ts:2:40",
        "tags: 1",
        "not assignable",
        "lib.ts:1:32",
        "Cannot find name 'wrong'. (TS2304)",
        "errors of types",
    ]);
    assert!(!workspace.has("tsconfig.json"), "it leaves the root alone");
    workspace.write("BUILD.ts", "export const a = 1;\n");
    workspace.write("lib.ts", "export const n: number = 1;\n");
    workspace.zako("check").exits(0).says(&["well typed"]);
}

#[test]
fn check_takes_the_compiler_of_a_folder_above_or_on_the_path() {
    let workspace = Workspace::bare()
        .file("below/zako.toml", "zako = \"0.1\"\n")
        .file("below/BUILD.ts", "export const a: string = 1;\n");
    let outcome = workspace.zako("-C below check");
    // Where there is none at all, it says how to get one.
    if !std::path::Path::new("/usr/bin/tsc").exists()
        && !std::path::Path::new("/usr/local/bin/tsc").exists()
    {
        outcome
            .exits(3)
            .says(&["is not installed", "npm install --save-dev typescript"]);
    }
    symlink(packages(), workspace.path("node_modules")).unwrap();
    workspace
        .zako("-C below check")
        .exits(2)
        .says(&["BUILD.ts:1:14"]);
}

#[test]
fn a_workspace_without_scripts_is_well_typed() {
    let workspace = Workspace::empty();
    symlink(packages(), workspace.path("node_modules")).unwrap();
    workspace.zako("check").exits(0);
}

/// The names that a declaration file exports, each as an import writes it.
fn exported(declarations: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in declarations.lines() {
        let Some(rest) = line.strip_prefix("export ") else {
            continue;
        };
        let rest = rest.strip_prefix("declare ").unwrap_or(rest);
        let Some((kind, rest)) = rest.split_once(' ') else {
            continue;
        };
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        match kind {
            _ if end == 0 => {}
            "interface" | "type" => names.push(format!("type {}", &rest[..end])),
            "function" | "const" | "class" => names.push(rest[..end].to_owned()),
            _ => {}
        }
    }
    names
}

/// The blocks of TypeScript in doc comments.
fn examples(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in source.lines() {
        let text = line
            .trim_start()
            .strip_prefix("* ")
            .or(line.trim_start().strip_prefix('*'));
        match (text, &mut open) {
            (Some(text), None) if text.trim() == "```ts" => open = Some(String::new()),
            (Some(text), Some(_)) if text.trim() == "```" => found.extend(open.take()),
            (Some(text), Some(block)) => {
                block.push_str(text);
                block.push('\n');
            }
            _ => open = None,
        }
    }
    found
}

/// Whether the example brings that name itself.
fn declares(example: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let kinds = ["const", "function", "class", "interface", "type"];
    example.lines().any(|line| {
        let mut words = line
            .split(|c: char| !is_word(c))
            .filter(|word| !word.is_empty());
        if line.starts_with("import ") {
            return words.any(|word| word == name);
        }
        let kind = words.find(|word| !["export", "default"].contains(word));
        kind.is_some_and(|kind| kinds.contains(&kind)) && words.next() == Some(name)
    })
}

#[test]
fn the_examples_in_the_builtins_comments_are_well_typed() {
    let workspace = Workspace::empty();
    workspace.zako("types").exits(0);
    let mut modules: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    let builtins = repository().join("crates/zako_script/builtins");
    for entry in fs::read_dir(builtins).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "ts") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let declared = workspace.read(&format!(".zako/types/zako/{name}.d.ts"));
        let source = fs::read_to_string(&path).unwrap();
        modules.insert(name, (exported(&declared), examples(&source)));
    }
    let mut count = 0;
    for (name, (_, examples)) in &modules {
        for example in examples {
            // What the example's own module exports comes first; what others do helps out.
            let mut taken: Vec<&str> = Vec::new();
            let mut text = String::new();
            let others = modules.keys().filter(|other| *other != name);
            for module in std::iter::once(name).chain(others) {
                for import in &modules[module].0 {
                    let bare = import.trim_start_matches("type ");
                    let missing = example.contains(bare) && !declares(example, bare);
                    if missing && !taken.contains(&bare) {
                        text.push_str(&format!("import {{ {import} }} from \"zako:{module}\";\n"));
                        taken.push(bare);
                    }
                }
            }
            count += 1;
            workspace.write(
                &format!("{name}_{count}.ts"),
                &format!("{text}export {{}};\n{example}"),
            );
        }
    }
    assert!(count >= 10, "only {count} examples were found");
    // What an example imports of others.
    workspace.write(
        "build/mode.config.ts",
        "import { option } from \"zako:config\";\nexport const mode = option({ values: [\"debug\", \"fast\"], default: \"debug\" });\n",
    );
    workspace.write(
        "greet/BUILD.ts",
        "import { ccLibrary } from \"zako:cc\";\nexport const greet = ccLibrary({ srcs: [\"greet.c\"] });\n",
    );
    assert_eq!(tsc(&workspace), "");
}
