//! `zako compile-commands`: how sources are compiled, for tools that read `compile_commands.json`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;
use zako_tests::{Workspace, run};

fn entries(workspace: &Workspace) -> Vec<Value> {
    serde_json::from_str(&workspace.read("compile_commands.json")).unwrap()
}

fn words(entry: &Value) -> Vec<&str> {
    let words = entry["arguments"].as_array().unwrap().iter();
    words.map(|word| word.as_str().unwrap()).collect()
}

fn files(entries: &[Value]) -> Vec<&str> {
    let files = entries.iter().map(|entry| entry["file"].as_str().unwrap());
    files.collect()
}

#[test]
fn the_commands_compile_their_sources() {
    let workspace = Workspace::example("hello-c");
    workspace
        .zako("compile-commands")
        .exits(0)
        .says(&["3 commands in compile_commands.json"]);
    assert!(!workspace.has("zako-out"), "it builds nothing");
    let all = entries(&workspace);
    assert_eq!(
        files(&all),
        ["app/main.c", "greet/greet.c", "tests/greet_test.c"]
    );
    let root = workspace.root().canonicalize().unwrap();
    for entry in &all {
        assert_eq!(entry["directory"], root.to_str().unwrap());
        let output = entry["output"].as_str().unwrap();
        assert!(output.starts_with("zako-out/"), "{entry}");
        let (program, mut rest) = {
            let words = words(entry);
            (words[0].to_owned(), words[1..].to_vec())
        };
        // As tools do that parse and do not write.
        for (option, takes) in [("-MD", 0), ("-MF", 1), ("-o", 1)] {
            let at = rest.iter().position(|word| *word == option).unwrap();
            rest.drain(at..=at + takes);
        }
        let mut command = workspace.program(Path::new(&program));
        command.current_dir(entry["directory"].as_str().unwrap());
        command.arg("-fsyntax-only").args(&rest);
        run(command);
    }

    let inode = || {
        let file = workspace.path("compile_commands.json");
        std::fs::metadata(file).unwrap().ino()
    };
    let before = inode();
    workspace.zako("compile-commands").exits(0);
    assert_eq!(inode(), before, "what is the same is not written");
    // What the target needs is compiled for it, too.
    workspace
        .zako_args(&["-C", "app", "compile-commands", ":hello"])
        .exits(0);
    assert_eq!(files(&entries(&workspace)), ["app/main.c", "greet/greet.c"]);
    assert_ne!(inode(), before, "another file takes its place");
}

#[test]
fn rules_of_ones_own_and_sources_that_are_not_there_are_listed() {
    let workspace = Workspace::empty()
        .file(
            "units.rule.ts",
            r#"import { args, attr, depset, rule } from "zako:rule";
export const units = rule({
  attrs: { srcs: attr.files() },
  provides: {},
  analyze(ctx) {
    const made = ctx.file(`${ctx.name}.c`);
    ctx.run({ args: ["sh", "-c", 'echo "int made;" > "$0"', made], outputs: [made], mnemonic: "generate" });
    const object = ctx.file(`${ctx.name}.o`);
    const flags = depset({ direct: ["-DA=a b", "-I."] });
    ctx.run({
      args: ["cc", "-r", "-o", object, args.responseFile([flags, made, ...ctx.attrs.srcs], { always: true })],
      outputs: [object],
      mnemonic: "compile",
    });
    ctx.expose("default", object);
    return {};
  },
});
"#,
        )
        .file("a.c", "int a;\n")
        .file(
            "BUILD.ts",
            "import { task } from \"zako:build\";\nimport { units } from \"./units.rule.ts\";\nexport const both = units({ srcs: [\"a.c\"] });\nexport const other = task({ outputs: [\"x\"], shell: \"echo > $out\" });\n",
        );
    workspace.zako("compile-commands").exits(0);
    assert!(!workspace.has("zako-out"), "it builds nothing");
    let all = entries(&workspace);
    assert_eq!(files(&all), ["a.c", "zako-out/both.c"]);
    for entry in &all {
        assert_eq!(
            words(entry),
            [
                "cc",
                "-r",
                "-o",
                "zako-out/both.o",
                "-DA=a b",
                "-I.",
                "zako-out/both.c",
                "a.c"
            ]
        );
        assert_eq!(entry["output"], "zako-out/both.o");
    }
    workspace.zako("build").exits(0);

    workspace.zako("compile-commands :other").exits(0).says(&[
        "0 commands in compile_commands.json",
        "the mnemonic `compile`",
    ]);
    assert_eq!(workspace.read("compile_commands.json"), "[]\n");
    workspace
        .zako("compile-commands :bot")
        .exits(2)
        .says(&["did you mean"]);
}
