//! Wrong workspaces, and all that is said of each: what a person reads is what is compared.

use zako_tests::Workspace;

/// What `zako` says of the workspace, which is none of its good.
fn said(command: &str, files: &[(&str, &str)]) -> String {
    let mut workspace = Workspace::empty();
    for (path, text) in files {
        workspace = workspace.file(path, text);
    }
    let outcome = workspace.zako(command);
    let lines = outcome.stderr.lines().map(str::trim_end);
    // The last line counts actions and milliseconds.
    let told: Vec<&str> = lines
        .filter(|line| !line.starts_with("failed in "))
        .collect();
    told.join("\n")
}

const RULE: &str = "import { attr, provider, rule, type } from \"zako:rule\";\nexport const Info = provider(\"Info\", type<{ n: number }>());\nexport const box = rule({\n  attrs: { size: attr.int(), kind: attr.enum(\"big\", \"small\").default(\"big\"), parts: attr.list(attr.target(Info)).default([]), srcs: attr.files().default([]) },\n  provides: { info: Info },\n  analyze(ctx) {\n    if (ctx.attrs.size < 0) throw new RangeError(`${ctx.attrs.size} is less than nothing`);\n    const out = ctx.file(ctx.name);\n    ctx.run({ args: [\"cp\", ...ctx.attrs.srcs, out], outputs: [out] });\n    ctx.expose(\"default\", out);\n    return { info: { n: ctx.attrs.size } };\n  },\n});\n";

#[test]
fn attributes() {
    let build = |call: &str| {
        let text = format!(
            "import {{ task }} from \"zako:build\";\nimport {{ box }} from \"./box.rule.ts\";\nexport const plain = task({{ outputs: [\"x\"], shell: \"true\" }});\n\n\nexport const it = {call};\n"
        );
        said("build :it", &[("box.rule.ts", RULE), ("BUILD.ts", &text)])
    };
    insta::assert_snapshot!(build("box({ size: 1, sice: 2 })"), @r#"
    error: TypeError: box has no attribute "sice"; did you mean "size"?
       ,-[BUILD.ts:6:34]
     5 |
     6 | export const it = box({ size: 1, sice: 2 });
       :                                  ^^^^
       `----
      in package //
    "#);
    insta::assert_snapshot!(build("task({ inptus: [], shell: \"true\" })"), @r#"
    error: TypeError: task has no attribute "inptus"; did you mean "inputs"?
       ,-[BUILD.ts:6:26]
     5 |
     6 | export const it = task({ inptus: [], shell: "true" });
       :                          ^^^^^^
       `----
      in package //
    "#);
    insta::assert_snapshot!(build("box({ size: \"1\" as any })"), @r#"
    error: TypeError: attribute "size" of box takes a whole number, not "1"
       ,-[BUILD.ts:6:31]
     5 |
     6 | export const it = box({ size: "1" as any });
       :                               ^^^^^^^^^^
       `----
      in package //
    "#);
    insta::assert_snapshot!(build("box({ size: 1, parts: [box({ size: 1 }), plain as any] })"), @r#"
    error: TypeError: attribute "parts[1]" of box takes a target that provides Info, not a target that lacks it
       ,-[BUILD.ts:6:60]
     5 |
     6 | export const it = box({ size: 1, parts: [box({ size: 1 }), plain as any] });
       :                                                            ^^^^^^^^^^^^
       `----
      in package //
    "#);
    insta::assert_snapshot!(build("box({ size: -4 })"), @r#"
    error: RangeError: -4 is less than nothing
       ,-[box.rule.ts:7:35]
     6 |   analyze(ctx) {
     7 |     if (ctx.attrs.size < 0) throw new RangeError(`${ctx.attrs.size} is less than nothing`);
       :                                   ^
     8 |     const out = ctx.file(ctx.name);
       `----
      at analyze (box.rule.ts:7:35)
      in the analysis of //:it by box (declared at BUILD.ts:6:19)
    "#);
    insta::assert_snapshot!(build("box({ size: 1, srcs: [\"missing.txt\"] })"), @r#"
    error: input missing.txt does not exist
       ,-[BUILD.ts:6:41]
     5 |
     6 | export const it = box({ size: 1, srcs: ["missing.txt"] });
       :                                         ^^^^^^^^^^^^^
       `----
      declared at BUILD.ts:6:19
      in //:it
    "#);
    insta::assert_snapshot!(build("box({ size: 1, srcs: [\"../other/file\"] })"), @r#"
    error: TypeError: attribute "srcs[0]" of box: "../other/file" is not a path below the package; files of other packages come from their targets, or from files() in the other package
       ,-[BUILD.ts:6:41]
     5 |
     6 | export const it = box({ size: 1, srcs: ["../other/file"] });
       :                                         ^^^^^^^^^^^^^^^
       `----
      in package //
    "#);
    insta::assert_snapshot!(build("task({ outputs: [\"x\"], command: [`cat ${plain}`] })"), @r#"
    error: TypeError: a target cannot be turned into a string: its path is known only when it is built. Use it as an item of a command by itself, or inside the arg`…` template
       ,-[BUILD.ts:6:59]
     5 |
     6 | export const it = task({ outputs: ["x"], command: [`cat ${plain}`] });
       :                                                           ^
       `----
      in package //
    "#);
}

#[test]
fn modules() {
    let one = |text: &str| said("build", &[("BUILD.ts", text)]);
    insta::assert_snapshot!(one("import { taks } from \"zako:build\";\nexport const a = taks;\n"), @r#"
    error: "zako:build" has no export "taks" when it runs
       ,-[BUILD.ts:1:10]
     1 | import { taks } from "zako:build";
       :          ^^^^
     2 | export const a = taks;
       `----
      help: did you mean "task"? If it is a type, write `import type`
    "#);
    insta::assert_snapshot!(one("import { task } from \"zako:biuld\";\nexport const a = task;\n"), @r#"
    error: there is no builtin "zako:biuld"
       ,-[BUILD.ts:1:22]
     1 | import { task } from "zako:biuld";
       :                      ^^^^^^^^^^^^
     2 | export const a = task;
       `----
      help: did you mean "zako:build"?
    "#);
    insta::assert_snapshot!(one("import { readFileSync } from \"node:fs\";\nexport const a = readFileSync;\n"), @r#"
    error: "node:fs" is a Node.js module; build scripts run in zako's own hermetic realm
       ,-[BUILD.ts:1:30]
     1 | import { readFileSync } from "node:fs";
       :                              ^^^^^^^^^
     2 | export const a = readFileSync;
       `----
      help: to read a file use readText or glob from "zako:build"; to write one, a task
    "#);
    insta::assert_snapshot!(one("import { a } from \"./lib\";\nexport const b = a;\n"), @r#"
    error: "./lib" has no .ts extension
       ,-[BUILD.ts:1:19]
     1 | import { a } from "./lib";
       :                   ^^^^^^^
     2 | export const b = a;
       `----
      help: write the whole file name, as "./defs.ts" or "//lib/BUILD.ts"
    "#);
    insta::assert_snapshot!(one("export const f = () => 1;\n"), @r#"
    error: f is a function, which cannot leave its package
       ,-[BUILD.ts:1:14]
     1 | export const f = () => 1;
       :              ^
       `----
      help: a package's exports are targets and plain data; move code that is shared into a library file
    "#);
    insta::assert_snapshot!(one("export const now = Date.now();\n"), @r#"
    error: TypeError: Date.now is not available in build scripts: a build must not depend on when it runs; pass a time in with -D or an action's env
       ,-[BUILD.ts:1:25]
     1 | export const now = Date.now();
       :                         ^
       `----
      in package //
    "#);
    insta::assert_snapshot!(one("import { glob } from \"zako:build\";\nexport const c = glob(\"*.nothing\");\n"), @r#"
    error: TypeError: glob("*.nothing") matches no file in //; pass { allowEmpty: true } if that is fine
       ,-[BUILD.ts:2:18]
     1 | import { glob } from "zako:build";
     2 | export const c = glob("*.nothing");
       :                  ^
       `----
      in package //
    "#);
    let many = |files: &[(&str, &str)]| said("build //a/...", files);
    insta::assert_snapshot!(many(&[
        ("a/BUILD.ts", "import { tool } from \"//b/BUILD.ts\";\nexport const t = tool;\n"),
        ("b/BUILD.ts", "import { task } from \"zako:build\";\nexport const tools = task({ shell: \"true\" });\n"),
    ]), @r#"
    error: "//b/BUILD.ts" has no export "tool" when it runs
       ,-[a/BUILD.ts:1:10]
     1 | import { tool } from "//b/BUILD.ts";
       :          ^^^^
     2 | export const t = tool;
       `----
      help: did you mean "tools"? If it is a type, write `import type`
    "#);
    insta::assert_snapshot!(many(&[
        ("a/BUILD.ts", "import { b } from \"//b/BUILD.ts\";\nexport const a = b;\n"),
        ("b/BUILD.ts", "import { a } from \"//a/BUILD.ts\";\nexport const b = a;\n"),
    ]), @r#"
    error: packages import one another in a cycle: a/BUILD.ts → b/BUILD.ts → a/BUILD.ts
       ,-[b/BUILD.ts:1:19]
     1 | import { a } from "//a/BUILD.ts";
       :                   ^^^^^^^^^^^^^^
     2 | export const b = a;
       `----
      a/BUILD.ts:1:19 imports b/BUILD.ts
      b/BUILD.ts:1:19 imports a/BUILD.ts
      help: move what they share into a package of its own, or name one target with label("//pkg:name")
    "#);
    insta::assert_snapshot!(many(&[
        ("a/BUILD.ts", "import { pick } from \"//lib/pick.ts\";\nexport const a = pick(\"x\");\n"),
        ("lib/pick.ts", "import { names } from \"./names.ts\";\nexport const pick = (name: string) => {\n  const found = names.find((n) => n === name);\n  if (found === undefined) throw new Error(`no ${name} among ${names.join(\", \")}`);\n  return found;\n};\n"),
        ("lib/names.ts", "export const names = [\"a\", \"b\"];\n"),
    ]), @r#"
    error: no x among a, b
       ,-[lib/pick.ts:4:34]
     3 |   const found = names.find((n) => n === name);
     4 |   if (found === undefined) throw new Error(`no ${name} among ${names.join(", ")}`);
       :                                  ^
     5 |   return found;
       `----
      at pick (lib/pick.ts:4:34)
      at top level (a/BUILD.ts:2:18)
      in package //a
    "#);
    insta::assert_snapshot!(many(&[
        ("a/BUILD.ts", "import { task } from \"zako:build\";\nexport const t = task({ shell: \"true\" });\n"),
        ("o.config.ts", "import \"./lib.ts\";\n"),
        ("lib.ts", "import { glob } from \"zako:build\";\nexport const sources = glob(\"*.c\");\n"),
    ]), @r#"
    error: TypeError: glob can be called only while a BUILD.ts file is evaluated: in a library call it in a function, in a rule take what it gives as an attribute
       ,-[lib.ts:2:24]
     1 | import { glob } from "zako:build";
     2 | export const sources = glob("*.c");
       :                        ^
       `----
      in //o.config.ts
    "#);
    insta::assert_snapshot!(many(&[
        ("a/BUILD.ts", "import { next } from \"//lib/count.ts\";\nexport const a = next();\n"),
        ("lib/count.ts", "let count = 0;\nexport const next = () => ++count;\n"),
    ]), @r#"
    error: `count` of this module can change after the module has run
       ,-[lib/count.ts:1:5]
     1 | let count = 0;
       :     ^^^^^
     2 | export const next = () => ++count;
       `----
      imported by a/BUILD.ts:1:22
      help: write `const`, or keep it in a function: what a library or rule module holds is frozen once it has run, so that no package and no target sees what another one did
    "#);
}

#[test]
fn targets_and_options() {
    let one = |command: &str, text: &str| {
        said(
            command,
            &[
                (
                    "o.config.ts",
                    "import { option } from \"zako:config\";\nexport const mode = option({ values: [\"slow\", \"fast\"], default: \"slow\" });\n",
                ),
                (
                    "lib/BUILD.ts",
                    "import { task } from \"zako:build\";\nexport const mine = task({ outputs: [\"m\"], shell: \"true\", visibility: \"private\" });\n",
                ),
                ("BUILD.ts", text),
            ],
        )
    };
    let task = "import { task } from \"zako:build\";\nexport const hello = task({ outputs: [\"h\"], shell: 'touch \"$out\"' });\n";
    insta::assert_snapshot!(one("build :helo", task), @r#"
    error: there is no target //:helo
      help: did you mean //:hello?
    "#);
    insta::assert_snapshot!(one("build //lob:mine", task), @r#"
    error: "//lob:mine": there is no package //lob (no lob/BUILD.ts)
      help: did you mean //lib?
    "#);
    insta::assert_snapshot!(one("build -D mode=fats", task), @r#"
    error: "fats" is no value of the option mode: it has slow, fast
      help: did you mean mode=fast?
    "#);
    insta::assert_snapshot!(one("build :t", "import { task } from \"zako:build\";\nimport { mine } from \"//lib/BUILD.ts\";\nexport const t = task({ inputs: [mine], shell: \"true\" });\n"), @r#"
    error: //:t may not use //lib:mine, which is not visible to it
       ,-[BUILD.ts:3:34]
     2 | import { mine } from "//lib/BUILD.ts";
     3 | export const t = task({ inputs: [mine], shell: "true" });
       :                                  ^^^^
       `----
      //lib:mine is declared at lib/BUILD.ts:2:21
      help: add "//" to the visibility of //lib:mine, or use a target that is meant for others
    "#);
    insta::assert_snapshot!(one("build :t", "import { task } from \"zako:build\";\nimport { select } from \"zako:config\";\nimport { mode } from \"./o.config.ts\";\nexport const t = task({ inputs: select(mode, { slow: [] } as any), shell: \"true\" });\n"), @r#"
    error: TypeError: select over the option mode has no case for "fast"
       ,-[BUILD.ts:4:33]
     3 | import { mode } from "./o.config.ts";
     4 | export const t = task({ inputs: select(mode, { slow: [] } as any), shell: "true" });
       :                                 ^
       `----
      in package //
    "#);
    insta::assert_snapshot!(one("build :t", "import { config, task } from \"zako:build\";\nexport const t = task({ shell: config.get(\"what\") });\n"), @r#"
    error: TypeError: the option "what" is not set; pass -D what=VALUE or set it in [config] of zako.toml
       ,-[BUILD.ts:2:39]
     1 | import { config, task } from "zako:build";
     2 | export const t = task({ shell: config.get("what") });
       :                                       ^
       `----
      in package //
    "#);
    insta::assert_snapshot!(one("build :t", "import { task } from \"zako:build\";\nexport const t = task({ outputs: [\"never\"], shell: \"true\" });\n"), @r#"
    error: task //:t ended well, but did not write `zako-out/never`
       ,-[BUILD.ts:2:18]
     1 | import { task } from "zako:build";
     2 | export const t = task({ outputs: ["never"], shell: "true" });
       :                  ^
       `----
      in //:t
      help: make it write that path, or correct the outputs of //:t
    "#);
    insta::assert_snapshot!(one("build :t", "import { task } from \"zako:build\";\nexport const t = task({ command: [\"no-such-program\"] });\n"), @r#"
    error: the program `no-such-program` is not on this machine (looked in /usr/local/bin:/usr/bin:/bin)
       ,-[BUILD.ts:2:18]
     1 | import { task } from "zako:build";
     2 | export const t = task({ command: ["no-such-program"] });
       :                  ^
       `----
      in //:t
      help: install it (on Debian and Ubuntu: `apt install no-such-program`), or build it and name it in `tools`
    "#);
}
