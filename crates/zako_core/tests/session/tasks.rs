//! `task`: every attribute, and every wrong value.

use std::collections::BTreeMap;

use zako_core::{ActionStatus, BuildEvent, BuildOptions, Fault};

use crate::fixture::{Built, Fixture, told};

const IMPORTS: &str = "import { arg, files, glob, label, task } from \"zako:build\";\nimport gen from \"./gen.script.ts\";\n";

const SCRIPT: &str = r#"import { script } from "zako:script";
export default script((ctx) => {
  ctx.writeText(ctx.outputs[0], ctx.inputs.map((path) => ctx.readText(path)).join("") + (ctx.env.WORD ?? ""));
});
"#;

fn fixture(exports: &str) -> Fixture {
    Fixture::new(&[
        ("p/BUILD.ts", &format!("{IMPORTS}{exports}\n")),
        ("p/gen.script.ts", SCRIPT),
        ("p/a.txt", "a\n"),
        ("p/b.txt", "b\n"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_files_in_many_ways() {
    let f = fixture(
        r#"
export const list = task({ inputs: ["a.txt", "b.txt"], outputs: { one: "one", two: "two" },
  command: ["sh", "-c", 'echo "$@" > zako-out/p/one; echo > zako-out/p/two', "sh", "$in", "|", "$out", "|", "$out.two", "|", "$$", "$x"] });
export const fn = task({ inputs: ["a.txt", list.out.one], outputs: ["dir/xo", "o"],
  command: (a) => ["sh", "-c", 'echo "$@" | tee zako-out/p/dir/xo > zako-out/p/o', "sh", "$in", arg`--first=${a.inputs[0]}`, arg`${1}:${a.out["o"]}`, a.inputs[1], a.out["dir/xo"]] });
export const direct = task({ outputs: ["d"], command: ["cp", files("a.txt")[0], "$out"] });
export const whole = task({ outputs: ["w"], command: (a) => ["sh", "-c", 'cat $1 $2 > $3', "sh", list, a.out.w] });
"#,
    );
    f.build(&[]).await.good();
    assert_eq!(
        f.read("zako-out/p/one"),
        "p/a.txt p/b.txt | zako-out/p/one zako-out/p/two | zako-out/p/two | $ $x\n"
    );
    assert_eq!(
        f.read("zako-out/p/o"),
        "$in --first=p/a.txt 1:zako-out/p/o zako-out/p/one zako-out/p/dir/xo\n"
    );
    assert_eq!(f.read("zako-out/p/d"), "a\n");
    assert_eq!(
        f.read("zako-out/p/w"),
        format!("{}\n", f.read("zako-out/p/one"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_scripts_and_stdin() {
    let f = fixture(
        r##"
export const sh = task({ inputs: ["a.txt"], deps: ["b.txt"], outputs: { x: "x", d: "d/" }, env: { WORD: "w x" },
  shell: 'cat "$in" p/b.txt > "$out_x"; echo "$WORD" >> "$out_x"; mkdir -p "$out_d"; echo in > "$out_d/in"; echo "$out" >> "$out_x"' });
export const dir = task({ inputs: [sh.out.d], outputs: ["ls"], shell: 'ls "$in" > "$out"' });
export const scripted = task({ script: gen, inputs: ["a.txt", "b.txt"], outputs: ["s"], env: { WORD: "end" } });
export const text = task({ stdin: { text: "typed\n" }, outputs: ["t"], shell: 'cat > "$out"' });
export const file = task({ stdin: text, outputs: ["tf"], shell: 'tr a-z A-Z > "$out"' });
export const tool = task({ outputs: ["tool.sh"], shell: 'printf "#!/bin/sh\necho tooled\n" > "$out"; chmod +x "$out"' });
export const uses = task({ tools: [tool], outputs: ["u"], shell: 'zako-out/p/tool.sh > "$out"' });
export const first = task({ outputs: ["f"], command: ["sh", "-c", '"$0" > "$1"', tool, "$out"] });
export const source = task({ place: "source", outputs: ["made.txt"], shell: 'echo made > "$out"' });
export const check = task({ inputs: ["a.txt"], shell: 'test -s "$in"' });
"##,
    );
    f.build(&[]).await.good();
    assert_eq!(
        f.read("zako-out/p/x"),
        "a\nb\nw x\nzako-out/p/x zako-out/p/d\n"
    );
    for (path, text) in [
        ("zako-out/p/ls", "in\n"),
        ("zako-out/p/s", "a\nb\nend"),
        ("zako-out/p/tf", "TYPED\n"),
        ("zako-out/p/u", "tooled\n"),
        ("zako-out/p/f", "tooled\n"),
        ("p/made.txt", "made\n"),
    ] {
        assert_eq!(f.read(path), text, "{path}");
    }
    f.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_depfile_narrows_deps() {
    let f = fixture(
        r#"export const o = task({ inputs: ["a.txt"], deps: glob("*.h"), outputs: ["o"], depfile: "o.d",
  shell: 'cat "$in" p/used.h > "$out"; echo "$out: $in p/used.h" > zako-out/p/o.d' });"#,
    );
    f.write("p/used.h", "1\n");
    f.write("p/unused.h", "1\n");
    f.check(&["eval //p", "Ran //p:o"]).await;
    f.write("p/unused.h", "2\n");
    f.check(&[]).await;
    f.write("p/used.h", "2\n");
    f.check(&["Ran //p:o"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_it_runs() {
    let f = fixture(
        r#"
export const quick = task({ timeout: "150ms", outputs: ["q"], shell: 'sleep 600' });
export const flaky = task({ retries: 2, isolation: "none", cache: false, outputs: ["f"],
  shell: 'n=$(cat "$COUNT" 2>/dev/null || echo 0); n=$((n+1)); echo $n > "$COUNT"; test $n = 3; echo > "$out"', env: { COUNT: "COUNTER" } });
export const heavy = task({ cpu: 0.5, memory: "16MiB", network: { slots: 1 }, resources: { gpu: 1 }, message: "think hard", tags: ["x"], outputs: ["h"], shell: 'echo > "$out"' });
export const nothing = task({ resources: { gup: 1 }, outputs: ["n"], shell: 'echo > "$out"' });
export const uncached = task({ cache: false, outputs: ["u"], shell: 'echo > "$out"' });
"#,
    );
    f.write("zako.toml", "zako = \"0.1\"\n[resources]\ngpu = 1\n");
    let counter = f.temp().join("counter");
    let text = f
        .read("p/BUILD.ts")
        .replace("COUNTER", counter.to_str().unwrap());
    f.write("p/BUILD.ts", &text);
    let global = crate::process::global(&f.temp().join("cache"));
    let session = zako_core::Session::open(global, &f.root()).unwrap();
    let run = async |pattern: &str| -> Built {
        crate::fixture::run(&session, &[pattern], BuildOptions::default()).await
    };
    let quick = run("//p:quick").await;
    assert!(
        quick.error().message.contains("150ms"),
        "{:?}",
        quick.error()
    );
    assert_eq!(quick.report.fault(), Some(Fault::Build));
    run("//p:flaky").await.good();
    assert_eq!(std::fs::read_to_string(&counter).unwrap(), "3\n");
    let heavy = run("//p:heavy").await.good();
    let shown = heavy.events.iter().any(|event| {
        matches!(event, BuildEvent::ActionStarted(action) if action.message == "think hard")
    });
    assert!(shown, "{:?}", heavy.events);
    let unknown = told(run("//p:nothing").await.error());
    assert!(
        unknown.contains("there is no resource named `gup`"),
        "{unknown}"
    );
    for _ in 0..2 {
        let built = run("//p:uncached").await.good();
        assert_eq!(built.report.actions.run, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values_are_told_at_their_line() {
    let cases: &[(&str, &str)] = &[
        ("{ command: [] }", "\"command\" of task is empty"),
        ("{ command: [[\"x\"]] }", "a list inside the list"),
        (
            "{ command: [1] }",
            "\"command\" of task takes strings, files and targets, not a number",
        ),
        (
            "{ command: [\"x\", \"$out.nope\"] }",
            "the output \"nope\", which the task does not declare",
        ),
        (
            "{ command: (a) => [a.out.nope] }",
            "\"command\" of task takes strings, files and targets, not undefined",
        ),
        (
            "{ shell: 1 }",
            "\"shell\" of task takes a string, not a number",
        ),
        (
            "{ shell: \"x\", command: [\"y\"] }",
            "task takes one of command, shell",
        ),
        (
            "{}",
            "task needs one of \"command\", \"shell\" and \"script\"",
        ),
        (
            "{ script: \"./gen.script.ts\" }",
            "\"script\" of task takes what importing a *.script.ts file gives",
        ),
        (
            "{ script: gen, stdin: \"a.txt\" }",
            "a script action has no standard input",
        ),
        (
            "{ shel: \"x\" }",
            "task has no attribute \"shel\"; did you mean \"shell\"?",
        ),
        (
            "{ shell: \"x\", quick: true }",
            "task has no attribute \"quick\"",
        ),
        (
            "{ shell: \"x\", inputs: 3 }",
            "\"inputs\" of task takes paths, files and targets, not a number",
        ),
        (
            "{ shell: \"x\", inputs: [\"../up.txt\"] }",
            "\"../up.txt\" is not a path below the package; files of other packages come from their targets",
        ),
        (
            "{ shell: \"x\", deps: \"//p:a\" }",
            "to use another package's target import it",
        ),
        (
            "{ shell: \"x\", outputs: [\"/abs\"] }",
            "outputs: \"/abs\" is not a path below the package",
        ),
        (
            "{ shell: \"x\", outputs: [\"\"] }",
            "outputs: the path is empty",
        ),
        (
            "{ shell: \"x\", outputs: { \"a-b\": \"x\" } }",
            "\"a-b\" is not an output's name",
        ),
        (
            "{ shell: \"x\", outputs: [3] }",
            "\"outputs\" of task takes paths, not a number",
        ),
        (
            "{ shell: \"x\", env: { A: 1 } }",
            "\"env.A\" of task takes a string, not a number",
        ),
        (
            "{ shell: \"x\", env: { \"A=B\": \"1\" } }",
            "\"A=B\" is not a variable's name",
        ),
        (
            "{ shell: \"x\", stdin: { txt: \"x\" } }",
            "\"stdin\" of task takes a file or { text: \"…\" }",
        ),
        (
            "{ shell: \"x\", stdin: [\"a.txt\", \"b.txt\"] }",
            "\"stdin\" of task takes one file",
        ),
        (
            "{ shell: \"x\", cpu: -1 }",
            "\"cpu\" of task takes a number of processors",
        ),
        (
            "{ shell: \"x\", cpu: NaN }",
            "\"cpu\" of task takes a number of processors",
        ),
        (
            "{ shell: \"x\", memory: \"much\" }",
            "\"memory\" of task takes bytes",
        ),
        (
            "{ shell: \"x\", network: { slot: 1 } }",
            "\"network\" of task takes true, false or { slots }",
        ),
        (
            "{ shell: \"x\", resources: { gpu: 0.5 } }",
            "takes a whole number",
        ),
        (
            "{ shell: \"x\", timeout: 0 }",
            "\"timeout\" of task takes seconds",
        ),
        (
            "{ shell: \"x\", retries: 11 }",
            "\"retries\" of task takes a whole number from 0 to 10",
        ),
        (
            "{ shell: \"x\", isolation: \"total\" }",
            "\"isolation\" of task takes none, basic, enhanced or maximum",
        ),
        (
            "{ shell: \"x\", cache: 1 }",
            "\"cache\" of task takes true or false, not a number",
        ),
        (
            "{ shell: \"x\", place: \"home\" }",
            "\"place\" of task takes out or source",
        ),
        (
            "{ shell: \"x\", message: 1 }",
            "\"message\" of task takes a string",
        ),
        (
            "{ shell: \"x\", tags: \"manual\" }",
            "\"tags\" of task takes a list of strings",
        ),
        (
            "{ shell: \"x\", inputs: [() => 1] }",
            "the task.inputs[0] is a function, which cannot leave its package",
        ),
        ("3", "task takes an object"),
    ];
    let f = fixture("");
    for (spec, message) in cases {
        f.write(
            "p/BUILD.ts",
            &format!("{IMPORTS}export const x =\n  task({spec} as any);\n"),
        );
        let built = f.build(&["//p"]).await;
        let error = told(built.error());
        assert!(error.contains(message), "{spec}: {error}");
        // At the value of the attribute that it names or an item of it, at the name of one that there is not, else at the call.
        let column = error
            .strip_prefix("p/BUILD.ts:4:")
            .and_then(|rest| rest.split_once(": TypeError: "))
            .and_then(|(column, _)| column.parse::<usize>().ok());
        let named = column.and_then(|column| spec.get(column.checked_sub(8)?..));
        let before: &[&str] = match error.contains("has no attribute") {
            true => &["{ ", ", "],
            false => &[": ", "[", ", "],
        };
        let is_before = |text: &str| before.iter().any(|before| text.ends_with(before));
        assert!(
            column == Some(3)
                || named.is_some_and(|rest| is_before(&spec[..spec.len() - rest.len()])),
            "{spec}: {error}"
        );
        assert_eq!(built.report.fault(), Some(Fault::User), "{spec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_files_are_checked_too() {
    let f = fixture("");
    for (expression, message) in [
        (
            "files(\"c.txt\")",
            "there is no file p/c.txt; did you mean p/a.txt?",
        ),
        (
            "files(\"../x\")",
            "\"../x\" is not a path below the package; files of other packages",
        ),
        (
            "glob(\"../*.txt\")",
            "the pattern \"../*.txt\" leaves its package",
        ),
        ("glob(\"{a\")", "\"{a\" is not a pattern"),
        (
            "glob(\"*.txt\", { exlude: [] } as any)",
            "glob has no option \"exlude\"",
        ),
        (
            "label(\"p:x\")",
            "\"p:x\" is not a label; write it as \"//package:name\"",
        ),
        (
            "`${task({ shell: \"x\" })}`",
            "a target cannot be turned into a string",
        ),
    ] {
        f.write(
            "p/BUILD.ts",
            &format!("{IMPORTS}export const x =\n  {expression};\n"),
        );
        let built = f.build(&["//p"]).await;
        let error = told(built.error());
        assert!(
            error.starts_with("p/BUILD.ts:4:") && error.contains(message),
            "{expression}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_not_written() {
    let f = fixture(
        "export const x = task({ place: \"source\", inputs: [\"a.txt\"], outputs: [\"a.txt\"], shell: 'echo gone > \"$out\"' });",
    );
    let error = told(f.build(&[]).await.error());
    assert!(
        error.contains("p/a.txt is both an input and an output of the task"),
        "{error}"
    );
    f.write("p/BUILD.ts", &format!("{IMPORTS}export const x = task({{ place: \"source\", outputs: [\"a.txt\"], shell: 'echo gone > \"$out\"' }});\n"));
    let error = told(f.build(&[]).await.error());
    assert!(error.contains("`p/a.txt` is in the way"), "{error}");
    assert_eq!(f.read("p/a.txt"), "a\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_action_in_another_session_is_from_the_cache() {
    let f = fixture(
        "export const x = task({ inputs: [\"a.txt\"], outputs: [\"o\"], shell: 'cat \"$in\" > \"$out\"' });",
    );
    f.build(&[]).await.good();
    f.session.clean().unwrap();
    let built = f.build(&[]).await.good();
    let statuses: BTreeMap<&str, ActionStatus> = built
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::ActionFinished { action, status, .. } => {
                Some((action.owner.as_str(), *status))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        statuses,
        BTreeMap::from([("//p:x", ActionStatus::FromCache)])
    );
    assert_eq!(f.read("zako-out/p/o"), "a\n");
}
