//! What runs actions: timings, workers, nested build tools, policy, and what is told of a build's health.

use zako_tests::Workspace;

#[test]
fn timings_list_what_ran_the_slowest_first() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const quick = task({ outputs: [\"quick.txt\"], shell: 'echo > \"$out\"' });\n\
         export const slow = task({ inputs: [quick], outputs: [\"slow.txt\"], shell: 'sleep 0.3; echo > \"$out\"' });\n\
         export const bad = task({ inputs: [slow], outputs: [\"bad.txt\"], shell: 'kill -TERM $$' });\n",
    );
    let said = workspace.zako("build --timings").exits(1);
    let said = said.says(&["written", "signal 15", "exit 0"]);
    let text = said.to_string();
    let at = |name: &str| {
        text.find(&format!("  {name}"))
            .unwrap_or_else(|| panic!("{name}: {text}"))
    };
    assert!(at("task //:slow\n") < at("task //:quick\n"), "{text}");
    // Nothing runs: nothing is listed.
    workspace
        .zako("build :slow --timings")
        .exits(0)
        .omits("written");
}

#[test]
fn the_event_log_has_what_an_action_wrote_to_the_disk() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const big = task({ outputs: [\"big\"], shell: 'dd if=/dev/zero of=\"$out\" bs=1M count=4 conv=fsync' });\n",
    );
    let kind = std::process::Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(workspace.root())
        .output()
        .unwrap();
    let said = workspace.zako("build --isolation basic --timings").exits(0);
    let number = |field: &str| {
        let path = format!("/usage/{field}");
        let mut found = said.events.iter().filter_map(|event| event.number(&path));
        found.next().unwrap_or_else(|| panic!("{field}: {said}"))
    };
    assert_eq!((number("exit"), number("attempts")), (0, 1));
    for counted in [
        "wall_ms",
        "user_ms",
        "system_ms",
        "max_rss_bytes",
        "read_bytes",
    ] {
        let _it_is_told = number(counted);
    }
    // What is in memory is on no disk.
    if kind.stdout != b"tmpfs\n" {
        assert!(number("written_bytes") >= 4 << 20, "{said}");
    }
}

#[test]
fn failures_that_are_named_are_tried_again_and_others_are_not() {
    let workspace = Workspace::bare();
    let log = workspace.outside("log");
    let source = "import { task } from \"zako:build\";\nimport { test } from \"zako:test\";\n\
         export const flaky = task({ outputs: [\"flaky.txt\"], retries: { times: 3, on: [75], pause: \"10ms\" },\n  \
           shell: 'echo x >> LOG; test \"$(wc -l < LOG)\" -ge 2 || exit 75; echo > \"$out\"' });\n\
         export const bad = test({ retries: { times: 3, on: [75, \"signal\"] }, shell: 'kill -TERM $$' });\n\
         export const wrong = task({ retries: { times: 3, on: [75] }, shell: 'exit 1' });\n";
    let source = source.replace("LOG", &log.display().to_string());
    workspace.write("BUILD.ts", &source);
    workspace.write("zako.toml", "zako = \"0.1\"\n");
    // It counts in a file elsewhere.
    let build = "build :flaky --isolation basic";
    workspace.zako(build).exits(0);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "x\nx\n");
    // How often, and after what, is in no key.
    workspace.edit("BUILD.ts", "on: [75], pause: \"10ms\"", "on: [\"timeout\"]");
    workspace.zako(build).exits(0).ran_nothing();
    workspace
        .zako("test :bad")
        .exits(1)
        .says(&["killed by signal 15, after 4 attempts"]);
    workspace
        .zako("build :wrong")
        .exits(1)
        .says(&["exit code 1; not tried again, because its `retries` do not name that"]);
}

#[test]
fn the_policy_names_the_line_that_denies() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"a.txt\"], shell: 'awk 1 /dev/null > \"$out\"' });\n",
    );
    let manifest = workspace.read("zako.toml");
    workspace.zako("build").exits(0);
    workspace.write(
        "zako.toml",
        &format!("{manifest}\n[[policy.rules]]\npackages = \"//...\"\ndeny = [\"awk\"]\n"),
    );
    let line = manifest.lines().count() + 2;
    // Also what was built before.
    workspace.zako("build").exits(2).says(&[
        &format!("task //:a runs `awk`, which the rule at zako.toml:{line} denies"),
        "BUILD.ts:2:18",
    ]);
    workspace.write("zako.toml", &manifest);
    workspace.zako("build").exits(0);
}

/// Recipes that wait for each other: they end only when make may run two, by tokens of zako's.
#[test]
fn a_nested_make_runs_as_many_jobs_as_the_pool_has() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const made = task({ inputs: [\"Makefile\"], outputs: [\"out.txt\"], timeout: \"120s\",\n\
           shell: 'mkfifo \"$TMPDIR/ab\" \"$TMPDIR/ba\"; make -s; echo \"$MAKEFLAGS\" > \"$out\"' });\n",
    )
    .file(
        "Makefile",
        "all: a b\na:\n\t@echo 1 > $(TMPDIR)/ab; cat $(TMPDIR)/ba > /dev/null\nb:\n\t@cat $(TMPDIR)/ab > /dev/null; echo 2 > $(TMPDIR)/ba\n",
    );
    workspace.zako("build -j 2 --isolation basic").exits(0);
    assert!(
        workspace
            .read("zako-out/out.txt")
            .contains("--jobserver-auth=3,4")
    );
}

/// make has two jobs for all: four tasks that zako could run at once take turns.
#[test]
fn zako_takes_part_in_the_jobserver_of_a_make_that_starts_it() {
    let task = |name: &str| {
        format!(
            "export const {name} = task({{ outputs: [\"{name}.txt\"], shell: 'echo + >> LOG; sleep 0.3; echo - >> LOG; echo > \"$out\"' }});\n"
        )
    };
    let tasks: String = ["a", "b", "c", "d"].map(task).concat();
    let workspace = Workspace::bare();
    let log = workspace.outside("log");
    let source = format!("import {{ task }} from \"zako:build\";\n{tasks}");
    workspace.write(
        "BUILD.ts",
        &source.replace("LOG", &log.display().to_string()),
    );
    workspace.write("zako.toml", "zako = \"0.1\"\n");
    let zako = zako_tests::zako().display();
    let cache = workspace.cache();
    // They write outside of what they declare, where this test looks.
    let build = format!(
        "{zako} --cache-dir {} build -j 4 --isolation basic",
        cache.display()
    );
    workspace.write(
        "Makefile",
        &format!("all:\n\t+{build}\nplain:\n\t{build}\n"),
    );
    let make = |target: &str| {
        let mut make = workspace.program(std::path::Path::new("make"));
        let output = make.args(["-s", "-j2", target]).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = make("all");
    assert!(!said.contains("jobserver"), "{said}");
    let (mut now, mut most) = (0, 0);
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        now += if line == "+" { 1 } else { -1 };
        most = most.max(now);
    }
    assert!((1..=2).contains(&most), "{most} at once");
    // A recipe that passes nothing on: zako says what to do, and goes on.
    workspace.edit("BUILD.ts", "sleep 0.3", "true");
    assert!(make("plain").contains("begin the line that runs zako with `+`"));
}

/// A worker in shell: it numbers the requests that it was given.
const WORKER: &str = r#"answer() { echo "made by $2" > "$1"; }
case " $* " in
  *" --persistent_worker "*)
    n=0
    while read -r line; do
      n=$((n + 1))
      answer "$(printf '%s' "$line" | sed 's/.*"arguments":\["\([^"]*\)".*/\1/')" it
      echo "{\"exitCode\":0,\"output\":\"request $n\"}"
    done ;;
  *) file=${1#@}; answer "$(cat "$file")" it; echo alone >&2 ;;
esac
"#;

const RULE: &str = r#"import { attr, rule } from "zako:rule";
export const made = rule({
  attrs: { tool: attr.file(), worker: attr.bool() },
  provides: {},
  analyze(ctx) {
    const out = ctx.file(`${ctx.name}.txt`);
    const list = ctx.file(`${ctx.name}.args`);
    ctx.write(list, `${out.path}\n`);
    ctx.run({
      args: ["sh", ctx.attrs.tool, `@${list.path}`],
      inputs: [list],
      outputs: [out],
      ...(ctx.attrs.worker ? { worker: "json" as const } : {}),
    });
    ctx.expose("default", out);
    return {};
  },
});
"#;

#[test]
fn a_worker_serves_one_action_after_the_other_and_makes_the_same() {
    let build = |worker: bool| {
        format!(
            "import {{ made }} from \"//made.rule.ts\";\n\
             export const a = made({{ tool: \"worker.sh\", worker: {worker} }});\n\
             export const b = made({{ tool: \"worker.sh\", worker: {worker} }});\n"
        )
    };
    let workspace = Workspace::package(&build(true))
        .file("made.rule.ts", RULE)
        .file("worker.sh", WORKER);
    workspace
        .zako("build -j 1 --isolation basic")
        .exits(0)
        .says(&["request 1", "request 2"]);
    let by_worker = [
        workspace.read("zako-out/a.txt"),
        workspace.read("zako-out/b.txt"),
    ];
    // It is in no key: the same action without one is known.
    workspace.write("BUILD.ts", &build(false));
    workspace
        .zako("build -j 1 --isolation basic")
        .exits(0)
        .omits("alone");
    workspace.zako("clean --cache").exits(0);
    workspace
        .zako("build -j 1 --isolation basic")
        .exits(0)
        .says(&["alone"]);
    assert_eq!(
        by_worker,
        [
            workspace.read("zako-out/a.txt"),
            workspace.read("zako-out/b.txt")
        ]
    );
}

/// A worker in shell that answers when it has two requests.
const TWO_AT_ONCE: &str = r#"part() { printf '%s' "$line" | sed "s/.*\"$1\":\[*\"*\([^],}\"]*\).*/\1/"; }
while read -r one && read -r two; do
  for line in "$one" "$two"; do
    echo "made together" > "$(part sandboxDir)/$(part arguments)"
    echo "{\"requestId\":$(part requestId),\"output\":\"two at once\"}"
  done
done
"#;

/// Two actions that end only when one process has both of them.
#[test]
fn a_worker_that_takes_several_requests_is_given_them_at_once() {
    let rule = RULE.replace(
        "{ worker: \"json\" as const }",
        "{ memory: 0, worker: { protocol: \"json\" as const, multiplex: true, sandboxDir: true } }",
    );
    let workspace = Workspace::package(
        "import { made } from \"//made.rule.ts\";\n\
         export const a = made({ tool: \"worker.sh\", worker: true });\n\
         export const b = made({ tool: \"worker.sh\", worker: true });\n",
    )
    .file("made.rule.ts", &rule)
    .file("worker.sh", TWO_AT_ONCE);
    workspace
        .zako("build -j 2 --isolation basic")
        .exits(0)
        .says(&["two at once"]);
    for name in ["a", "b"] {
        let text = workspace.read(&format!("zako-out/{name}.txt"));
        assert_eq!(text, "made together\n");
    }
}
