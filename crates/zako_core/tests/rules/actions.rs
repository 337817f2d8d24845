//! Actions of rules: all that `ctx.run` takes, what zako does itself, and depsets.

use zako_core::{ActionStatus, BuildEvent};

use crate::fixture::{Built, Fixture, told};

/// A rule `r` with the attributes `srcs`, `text` and `deps`, whose `analyze` is `body`.
fn rule(body: &str) -> String {
    format!(
        r#"import {{ arg, args, attr, depset, provider, rule, type, type Artifact, type Depset }} from "zako:rule";
export const Info = provider("Info", type<{{ readonly all: Depset<Artifact> }}>());
export const r = rule({{
  attrs: {{ srcs: attr.files().default([]), text: attr.string().default(""), deps: attr.list(attr.target()).default([]) }},
  provides: {{}},
  analyze(ctx) {{
    const {{ srcs, text, deps }} = ctx.attrs;
    void [arg, args, depset, srcs, text, deps];
{body}
    return {{}};
  }},
}});
"#
    )
}

fn build(calls: &str) -> String {
    format!("import {{ r }} from \"//r.rule.ts\";\n{calls}\n")
}

/// A workspace with that rule and a package `p`.
fn one(body: &str, calls: &str) -> Fixture {
    Fixture::new(&[
        ("r.rule.ts", &rule(body)),
        ("p/BUILD.ts", &build(calls)),
        ("p/a.txt", "a\n"),
        ("p/b.txt", "b\n"),
    ])
}

fn ran(built: &Built) -> usize {
    let is_ran = |event: &&BuildEvent| {
        matches!(
            event,
            BuildEvent::ActionFinished {
                status: ActionStatus::Ran,
                ..
            }
        )
    };
    built.events.iter().filter(is_ran).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_made_of_parts() {
    let f = one(
        r##"    const out = ctx.file("out");
    const set = depset({ direct: srcs });
    ctx.run({
      args: ["sh", "-c", 'out=$1; shift; printf "%s\n" "$@" > "$out"; cat "$4" > /dev/null', "sh", out,
        args.each("-I", ["x", ...srcs]), args.prefix("-D", depset({ direct: ["a", "b"] })), args.join(",", set, "--only="),
        args.join(",", []), arg`--first=${srcs[0]!}:${1}`, arg`--all=${set}`, set, args.responseFile(["last"])],
      outputs: [out],
    });
    ctx.expose("default", out);"##,
        "export const t = r({ srcs: [\"a.txt\", \"b.txt\"] });",
    );
    f.build(&[]).await.good();
    assert_eq!(
        f.read("zako-out/p/out"),
        "-I\nx\n-I\np/a.txt\n-I\np/b.txt\n-Da\n-Db\n--only=p/a.txt,p/b.txt\n--first=p/a.txt:1\n--all=p/a.txt p/b.txt\n\
         p/a.txt\np/b.txt\nlast\n"
    );
    f.check(&[]).await;
    // A file that only a set names is an input like others.
    f.write("p/b.txt", "c\n");
    f.check(&["Ran //p:t"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_more_than_a_command_line_goes_through_a_response_file() {
    // More than one argument may be, and than a whole command may be on some systems.
    const COUNT: usize = 2_500;
    let f = one(
        r##"    const object = ctx.file("the one.o");
    ctx.run({ args: ["cc", "-c", srcs[0]!, "-o", object], outputs: [object] });
    const symbols: string[] = [];
    for (let i = 0; i < Number(text); i += 1) symbols.push(`a_symbol_with_a_name_that_is_rather_long_for_a_symbol_${i}=${i}`);
    const program = ctx.file("program");
    const defined = args.prefix("-Wl,--defsym=", depset({ direct: symbols }));
    ctx.run({ args: ["cc", "-o", program, args.responseFile([object, defined])], outputs: [program] });
    ctx.expose("default", program);"##,
        "export const t = r({ srcs: [\"main.c\"], text: \"COUNT\" });",
    );
    f.write(
        "p/BUILD.ts",
        &f.read("p/BUILD.ts").replace("COUNT", &COUNT.to_string()),
    );
    f.write("p/main.c", "int main(void) { return 0; }\n");
    let built = f.build(&[]).await.good();
    assert_eq!(ran(&built), 3, "{:?}", built.lines());
    let program = f.root().join("zako-out/p/program");
    assert!(
        std::process::Command::new(program)
            .status()
            .unwrap()
            .success()
    );
    let listed = f.read("zako-out/p/program.args");
    assert!(listed.len() > 128 << 10, "{}", listed.len());
    assert!(listed.starts_with("zako-out/p/the\\ one.o\n-Wl,--defsym=a_symbol"));
    f.check(&[]).await;
    // What is in the file counts.
    f.write("p/BUILD.ts", &f.read("p/BUILD.ts").replace("2500", "2499"));
    f.check(&["eval //p", "Ran //p:t", "Ran //p:t"]).await;
    // A short command needs none, and none is left.
    f.write("p/BUILD.ts", &f.read("p/BUILD.ts").replace("2499", "2"));
    f.check(&["eval //p", "Ran //p:t"]).await;
    assert!(!f.has("zako-out/p/program.args"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_action_needs_is_said_as_for_a_task() {
    let f = one(
        r##"    const out = ctx.file("out");
    const tool = ctx.file("tool");
    ctx.write(tool, "#!/bin/sh\nexec cat\n", { executable: true });
    ctx.run({
      args: ["sh", "-c", 'echo "$WORD" > "$0"; "$1" >> "$0"', out, tool.path],
      tools: [tool],
      stdin: { text: "given\n" },
      env: { WORD: "word" },
      outputs: [out],
      cpu: 0.5, memory: "64MiB", network: { slots: 0 }, resources: {}, timeout: "1m", retries: 1, isolation: "basic", cache: true,
      worker: "json", mnemonic: "cat", message: "concatenate",
    });
    const from = ctx.file("from");
    ctx.run({ args: ["sh", "-c", 'cat > "$0"', from], stdin: srcs[0]!, outputs: [from] });
    ctx.expose("default", [out, from]);"##,
        "export const t = r({ srcs: [\"a.txt\"] });",
    );
    let built = f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/out"), "word\ngiven\n");
    assert_eq!(f.read("zako-out/p/from"), "a\n");
    let messages: Vec<&str> = built
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::ActionFinished { action, .. } if action.mnemonic == "cat" => {
                Some(action.message.as_str())
            }
            _ => None,
        })
        .collect();
    assert_eq!(messages, ["concatenate"]);
    f.write("p/a.txt", "changed\n");
    f.check(&["Ran //p:t"]).await;
    assert_eq!(f.read("zako-out/p/from"), "changed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_action_needs_is_checked_as_for_a_task() {
    for (field, message) in [
        (
            "cpu: -1",
            "\"cpu\" of ctx.run takes a number of processors from 0 to 4096",
        ),
        (
            "memory: \"much\"",
            "\"memory\" of ctx.run takes bytes, or a size as \"512MiB\"",
        ),
        (
            "timeout: \"soon\"",
            "\"timeout\" of ctx.run takes seconds, or a time as \"90s\" or \"5m\"",
        ),
        (
            "retries: 11",
            "\"retries\" of ctx.run takes a whole number from 0 to 10",
        ),
        (
            "retries: \"often\"",
            "\"retries\" of ctx.run takes a whole number from 0 to 10, or { times, on, pause }, not a string",
        ),
        ("retries: { on: [1] }", "\"retries\" of ctx.run needs times"),
        (
            "retries: { times: 1, one: [1] }",
            "\"retries\" of ctx.run has no \"one\"; did you mean \"on\"?",
        ),
        (
            "retries: { times: 0.5 }",
            "\"retries.times\" of ctx.run takes a whole number from 0 to 10",
        ),
        (
            "retries: { times: 1, on: [] }",
            "\"retries.on\" of ctx.run is empty",
        ),
        (
            "retries: { times: 1, on: \"timeout\" }",
            "\"retries.on\" of ctx.run takes a list of exit codes, signals, \"code\", \"signal\" and \"timeout\", not a string",
        ),
        (
            "retries: { times: 1, on: [0] }",
            "\"retries.on[0]\" of ctx.run takes an exit code from 1 to 255, not 0",
        ),
        (
            "isolation: \"some\"",
            "\"isolation\" of ctx.run takes none, basic, enhanced or maximum, not \"some\"",
        ),
        (
            "network: 1",
            "\"network\" of ctx.run takes true, false or { slots }, not a number",
        ),
        (
            "resources: { gpu: 0.5 }",
            "\"gpu\" of ctx.run takes a whole number from 0 to 1048576",
        ),
        (
            "worker: \"xml\"",
            "\"worker\" of ctx.run takes \"json\", not \"xml\"",
        ),
        (
            "worker: { multiplex: true }",
            "\"worker\" of ctx.run needs protocol: \"json\"",
        ),
        (
            "worker: { protocol: \"json\", multiplex: 4 }",
            "\"worker.multiplex\" of ctx.run takes true or false, not a number",
        ),
        (
            "worker: { protocol: \"json\", multiplexed: true }",
            "\"worker\" of ctx.run has no \"multiplexed\"; did you mean \"multiplex\"?",
        ),
        (
            "stdin: [\"x\"]",
            "\"stdin\" of ctx.run takes a file or { text: \"…\" }, not a string",
        ),
        (
            "inputs: [\"a.txt\"]",
            "\"inputs\" of ctx.run takes files and depsets of files, not a string",
        ),
        (
            "inputs: depset({ direct: [\"a.txt\"] })",
            "a depset among the inputs holds the text \"a.txt\", which is no file",
        ),
    ] {
        let body = format!(
            "    const out = ctx.file(\"out\");\n    ctx.run({{ args: [\"touch\", out], outputs: [out], {field} }} as any);\n    ctx.expose(\"default\", out);"
        );
        let f = one(&body, "export const t = r({});");
        let built = f.build(&[]).await;
        let error = told(built.error());
        assert!(error.contains(message), "{field}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_and_retries_hold_for_actions_of_rules() {
    let f = one(
        r##"    const out = ctx.file("out");
    ctx.run({ args: ["sh", "-c", 'sleep 600', out], outputs: [out], timeout: "200ms" });
    ctx.expose("default", out);"##,
        "export const t = r({});",
    );
    let built = f.build(&[]).await;
    assert!(
        built.error().message.contains("timed out after 200ms"),
        "{}",
        built.error()
    );
    let count = f.temp().join("count");
    let f = one(
        &r##"    const out = ctx.file("out");
    ctx.run({
      args: ["sh", "-c", 'echo again >> COUNT; test "$(wc -l < COUNT)" -ge 2; touch "$0"', out],
      outputs: [out],
      retries: { times: 2, on: [1, "timeout"], pause: 0.01 },
    });
    ctx.expose("default", out);"##
            .replace("COUNT", &count.display().to_string())
            .replace("; test", " && test")
            .replace("2; touch", "2 && touch"),
        "export const t = r({});",
    );
    std::fs::create_dir_all(count.parent().unwrap()).unwrap();
    // It counts in a file elsewhere, which a sandbox does not show.
    let options = zako_core::BuildOptions {
        isolation: Some(zako_core::Isolation::Basic),
        ..Default::default()
    };
    f.build_with(&[], options).await.good();
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "again\nagain\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn zako_writes_copies_links_and_puts_together_without_a_process() {
    let f = one(
        r##"    const program = ctx.file("program");
    ctx.write(program, "#!/bin/sh\necho made\n", { executable: true });
    const copy = ctx.file("copy");
    ctx.copy(copy, program);
    const link = ctx.file("deep/link");
    ctx.symlink(link, srcs[0]!);
    const tree = ctx.dir("tree");
    ctx.tree(tree, { "bin/program": program, "share/a": srcs[0]!, "share/b": srcs[1]! });
    const again = ctx.dir("again");
    ctx.copy(again, tree);
    const used = ctx.file("used");
    ctx.run({ args: ["sh", "-c", '"$1" > "$0"; cat "$2" "$3"/share/b >> "$0"', used, copy, link, again], outputs: [used] });
    ctx.expose("default", [used, tree]);"##,
        "export const t = r({ srcs: [\"a.txt\", \"b.txt\"] });",
    );
    let built = f.build(&[]).await.good();
    assert_eq!(ran(&built), 6);
    assert_eq!(f.read("zako-out/p/used"), "made\na\nb\n");
    assert_eq!(f.read("zako-out/p/tree/share/a"), "a\n");
    let link = std::fs::read_link(f.root().join("zako-out/p/deep/link")).unwrap();
    assert_eq!(link.to_str(), Some("../../../p/a.txt"));
    f.check(&[]).await;
    // What reads the link reads what it leads to; the copies of the other file stay.
    f.write("p/a.txt", "changed\n");
    let built = f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/used"), "made\nchanged\nb\n");
    assert_eq!(f.read("zako-out/p/tree/share/a"), "changed\n");
    assert!(!built.lines().is_empty());
    f.check(&[]).await;
    // From the store, as it was.
    std::fs::remove_dir_all(f.root().join("zako-out")).unwrap();
    let built = f.build(&[]).await.good();
    assert_eq!(ran(&built), 0, "{:?}", built.lines());
    assert_eq!(
        f.read("zako-out/p/tree/bin/program"),
        "#!/bin/sh\necho made\n"
    );
    let output = std::process::Command::new(f.root().join("zako-out/p/tree/bin/program"))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"made\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_zako_does_itself_is_checked() {
    for (body, message) in [
        (
            "ctx.tree(ctx.file(\"d\"), {});",
            "ctx.tree fills a directory made by ctx.dir",
        ),
        (
            "ctx.tree(ctx.dir(\"d\"), { \"../x\": srcs[0]! });",
            "ctx.tree: \"../x\" is not a path in the directory",
        ),
        (
            "ctx.tree(ctx.dir(\"d\"), { x: srcs[0]!, \"x/y\": srcs[0]! });",
            "ctx.tree: \"x/y\" is inside of \"x\", which is a file",
        ),
        (
            "ctx.copy(ctx.file(\"f\"), ctx.dir(\"d\"));",
            "ctx.copy: zako-out/p/d is a directory; make the output with ctx.dir",
        ),
        (
            "const f = ctx.file(\"f\"); ctx.copy(f, f);",
            "ctx.copy reads zako-out/p/f, which it writes",
        ),
        (
            "ctx.symlink(srcs[0]!, srcs[0]!);",
            "ctx.symlink may not write p/a.txt",
        ),
        (
            "ctx.write(ctx.file(\"f\"), \"\", { exec: true } as any);",
            "ctx.write has no option \"exec\"; it has executable",
        ),
    ] {
        let f = one(
            &format!("    {body}"),
            "export const t = r({ srcs: [\"a.txt\"] });",
        );
        let built = f.build(&[]).await;
        let error = told(built.error());
        assert!(error.contains(message), "{body}: {error}");
        assert!(error.starts_with("r.rule.ts:9:"), "{error}");
    }
}

/// A chain of libraries that gather words, and a program at its end.
fn chain(count: usize) -> Vec<(String, String)> {
    let rule = r##"import { attr, depset, provider, rule, type, type Depset } from "zako:rule";
export const Words = provider("Words", type<{ readonly words: Depset<string> }>());
export const lib = rule({
  attrs: { word: attr.string(), deps: attr.list(attr.target(Words)).default([]), order: attr.enum("postorder", "topological") },
  provides: { words: Words },
  analyze(ctx) {
    const { word, deps, order } = ctx.attrs;
    const words = depset({ direct: [word], transitive: deps.map((d) => d.get(Words).words), order });
    const out = ctx.file(ctx.name);
    ctx.run({ args: ["sh", "-c", 'out=$1; shift; echo "$@" > "$out"', "sh", out, words], outputs: [out] });
    ctx.expose("default", out);
    return { words: { words } };
  },
});
"##;
    let build = format!(
        "import {{ lib }} from \"//words.rule.ts\";\nexport const libs = [lib({{ word: \"w0\", order: \"topological\" }})];\n\
         for (let i = 1; i < {count}; i += 1) libs.push(lib({{ word: `w${{i}}`, deps: [libs[i - 1]!], order: \"topological\" }}));\n"
    );
    vec![
        ("words.rule.ts".to_owned(), rule.to_owned()),
        ("p/BUILD.ts".to_owned(), build),
    ]
}

fn fixture(files: &[(String, String)]) -> Fixture {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    Fixture::new(&files)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_long_chain_grows_with_its_length() {
    // Analysis alone: what is built is the first link.
    let kept = |count: usize| async move {
        let f = fixture(&chain(count));
        let last = format!("//p:libs[{}]", count - 1);
        let options = zako_core::BuildOptions {
            dry_run: true,
            ..zako_core::BuildOptions::default()
        };
        f.build_with(&[&last], options).await.good();
        let state = std::fs::read_dir(f.root().join(".zako/state")).unwrap();
        let sizes = state.map(|entry| entry.unwrap().metadata().unwrap().len());
        sizes.sum::<u64>()
    };
    let (few, many) = (kept(500).await, kept(2_000).await);
    assert!(
        many < few * 5,
        "{few} bytes for 500 libraries, {many} bytes for 2000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_hold_across_builds_and_sessions() {
    let f = fixture(&chain(4));
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/libs[3]"), "w3 w2 w1 w0\n");
    f.check(&[]).await;
    // One item in the middle: those above it see it, by sets that they share with what was remembered.
    f.write(
        "p/BUILD.ts",
        &f.read("p/BUILD.ts")
            .replace("`w${i}`", "i === 2 ? \"two\" : `w${i}`"),
    );
    let again = f.reopened();
    let built = crate::fixture::run(&again, &[], zako_core::BuildOptions::default()).await;
    assert_eq!(
        built.good().lines(),
        ["eval //p", "Ran //p:libs[2]", "Ran //p:libs[3]"]
    );
    assert_eq!(f.read("zako-out/p/libs[3]"), "w3 two w1 w0\n");
    f.write(
        "p/BUILD.ts",
        &f.read("p/BUILD.ts").replace(
            "word: \"w0\", order: \"topological\"",
            "word: \"w0\", order: \"postorder\"",
        ),
    );
    let built = f.build(&[]).await;
    let error = told(built.error());
    assert!(
        error.contains(
            "a depset in the order topological cannot have one in the order postorder in it"
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_takes_the_same_parts() {
    let build = r##"import { args, task } from "zako:build";
export const t = task({
  inputs: ["a.txt", "b.txt"],
  outputs: ["out"],
  command: ({ inputs, out }) => ["sh", "-c", 'out=$1; shift; cat "$1" > "$out"; shift; printf "%s\n" "$@" >> "$out"', "sh", out.out,
    args.responseFile([args.each("-i", inputs), "a b"], { always: true, prefix: "" }), args.join(":", inputs, "all="), args.prefix("-D", ["x"])],
});
"##;
    let f = Fixture::new(&[("p/BUILD.ts", build), ("p/a.txt", ""), ("p/b.txt", "")]);
    f.build(&[]).await.good();
    assert_eq!(
        f.read("zako-out/p/out"),
        "-i\np/a.txt\n-i\np/b.txt\na\\ b\nall=p/a.txt:p/b.txt\n-Dx\n"
    );
    f.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_output_of_a_rule_runs_what_makes_it() {
    let rules = r##"import { rule } from "zako:rule";
export const two = rule({
  attrs: {},
  provides: {},
  outputs: ["header"],
  analyze(ctx) {
    const [header, body] = [ctx.file("x.h"), ctx.file("x.c")];
    ctx.write(header, "h");
    ctx.write(body, "c");
    ctx.expose("default", body);
    ctx.expose("header", header);
    return {};
  },
});
"##;
    let f = Fixture::new(&[
        ("r.rule.ts", rules),
        (
            "p/BUILD.ts",
            "import { two } from \"//r.rule.ts\";\nexport const t = two({});\n",
        ),
        (
            "q/BUILD.ts",
            "export { t as same } from \"//p/BUILD.ts\";\n",
        ),
    ]);
    for pattern in ["//p:t#header", "//...:t#header", "//q:same#header"] {
        let built = f.build(&[pattern]).await.good();
        assert_eq!(built.report.targets.len(), 1, "{pattern}");
        let (header, body) = (f.has("zako-out/p/x.h"), f.has("zako-out/p/x.c"));
        assert!(header && !body, "{pattern}");
    }
    let built = f.build(&["//p:t#heading"]).await;
    let error = told(built.error());
    assert!(error.contains("//p:t has no output \"heading\""), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_library_is_there_when_a_program_runs() {
    let f = Fixture::new(&[
        (
            "lib/BUILD.ts",
            "import { task } from \"zako:build\";\nimport { ccLibrary } from \"zako:cc\";\n\
             const made = task({ outputs: [\"made.txt\"], shell: 'printf 7 > \"$out\"' });\n\
             export const lib = ccLibrary({ srcs: [\"lib.c\"], hdrs: [\"lib.h\"], data: [made] });\n\
             export const over = ccLibrary({ hdrs: [\"over.h\"], deps: [lib] });\n",
        ),
        ("lib/lib.h", "int number(void);\n"),
        ("lib/over.h", "#include \"lib/lib.h\"\n"),
        (
            "lib/lib.c",
            "#include <stdio.h>\n#include \"lib/lib.h\"\nint number(void) {\n  int n = 0;\n  FILE *f = fopen(\"zako-out/lib/made.txt\", \"r\");\n  \
             if (!f || fscanf(f, \"%d\", &n) != 1) return -1;\n  fclose(f);\n  return n;\n}\n",
        ),
        (
            "app/BUILD.ts",
            "import { ccBinary, ccTest } from \"zako:cc\";\nimport { over } from \"//lib/BUILD.ts\";\n\
             export const t = ccTest({ srcs: [\"t.c\"], deps: [over] });\nexport const program = ccBinary({ srcs: [\"p.c\"], deps: [over] });\n",
        ),
        (
            "app/t.c",
            "#include \"lib/over.h\"\nint main(void) { return number() == 7 ? 0 : 1; }\n",
        ),
        (
            "app/p.c",
            "#include \"lib/over.h\"\nint main(void) { return number() == 7 ? 0 : 1; }\n",
        ),
    ]);
    let tests = zako_core::BuildOptions {
        tests: true,
        ..zako_core::BuildOptions::default()
    };
    f.build_with(&["//app:t"], tests).await.good();
    // What `zako run` runs finds it, too.
    f.remove("zako-out/lib/made.txt");
    let built = f.build(&["//app:program"]).await.good();
    let runnable = f.session.runnable(&built.report).unwrap();
    let status = std::process::Command::new(runnable.program)
        .current_dir(f.root())
        .status();
    assert!(status.unwrap().success());
}

/// Beyond 64 KiB `in` is unset, and `in_file` names the list.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_inputs_are_in_a_file() {
    let names: Vec<String> = (0..900)
        .map(|n| format!("d/{}{n:03}", "long-".repeat(15)))
        .collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.push((
        "BUILD.ts",
        "import { glob, task } from \"zako:build\";\nexport const many = task({ inputs: glob(\"d/*\"), outputs: [\"many\"], shell: 'echo \"${in-unset} $(xargs -0 -n1 < \"$in_file\" | sort | tail -n1)\" > \"$out\"' });\nexport const few = task({ inputs: glob(\"d/*00\"), outputs: [\"few\"], shell: 'echo \"${in_file-unset}\" $in > \"$out\"' });\n",
    ));
    let f = Fixture::new(&files);
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/many"), format!("unset {}\n", names[899]));
    assert_eq!(f.read("zako-out/few").split(' ').count(), 10);
    assert!(f.read("zako-out/few").starts_with("unset d/"));
}
