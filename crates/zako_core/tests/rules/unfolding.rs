//! Dynamic steps beside everything else: what overlaps is proved by actions that can only end when another one runs at the same time.

use std::collections::BTreeSet;
use std::path::Path;

use zako_core::{ActionStatus, BuildEvent, BuildOptions, Isolation};

use crate::fixture::{Built, Fixture, run};

/// A target with a step: `before` is run for what the step reads, `after` is what the step declares.
const RULES: &str = r##"import { attr, dynamic, rule, type } from "zako:rule";
const sh = (script: string) => ["sh", "-ec", `${script}\necho done > "$0"`] as const;
export const then = dynamic({
  params: type<string>(),
  run(ctx) {
    console.log(`the step of ${ctx.name} runs`);
    if (ctx.params === "throw") throw new Error("no way");
    ctx.run({ args: [...sh(ctx.params), ctx.outputs[0]!], outputs: ctx.outputs, mnemonic: "after", timeout: "60s" });
  },
});
export const stepped = rule({
  attrs: { before: attr.string().default("true"), after: attr.string().default("true"), src: attr.files().optional() },
  provides: {},
  analyze(ctx) {
    const list = ctx.file(`${ctx.name}.list`);
    ctx.run({ args: [...sh(ctx.attrs.before), list], inputs: ctx.attrs.src ?? [], outputs: [list], mnemonic: "before", timeout: "60s" });
    const out = ctx.file(ctx.name);
    ctx.dynamic(then, { reads: [list], outputs: [out], params: ctx.attrs.after });
    ctx.expose("default", out);
    return {};
  },
});
"##;

/// Room for four actions at once, whatever the machine has.
fn roomy(build: &str) -> Fixture {
    let build = format!(
        "import {{ task }} from \"zako:build\";\nimport {{ stepped }} from \"//r.rule.ts\";\n{build}"
    );
    let files = [("r.rule.ts", RULES), ("BUILD.ts", &build)];
    Fixture::with(&files, |options| options.jobs = Some(4))
}

fn unwalled() -> BuildOptions {
    BuildOptions {
        isolation: Some(Isolation::None),
        ..BuildOptions::default()
    }
}

/// A place where two actions meet: neither gets further before the other one is there.
struct Meeting(String);

impl Meeting {
    fn at(folder: &Path, name: &str) -> Meeting {
        for side in ["a", "b"] {
            let place = folder.join(format!("{name}.{side}"));
            let made = std::process::Command::new("mkfifo").arg(&place).status();
            assert!(made.unwrap().success());
        }
        Meeting(folder.join(name).display().to_string())
    }

    fn one(&self) -> String {
        let place = &self.0;
        format!("echo here > {place}.a; read word < {place}.b")
    }

    fn other(&self) -> String {
        let place = &self.0;
        format!("read word < {place}.a; echo here > {place}.b")
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The numbers under which actions ended, each of which is told once.
fn numbers(built: &Built) -> BTreeSet<u32> {
    let ended: Vec<u32> = built
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::ActionFinished { action, .. } => Some(action.id),
            _ => None,
        })
        .collect();
    let numbers: BTreeSet<u32> = ended.iter().copied().collect();
    assert_eq!(numbers.len(), ended.len(), "{ended:?}");
    numbers
}

fn counts(built: &Built) -> (usize, usize, usize) {
    let actions = built.report.actions;
    (actions.run, actions.from_cache, actions.up_to_date)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_step_runs_beside_what_one_waits_for_and_beside_what_comes_of_it() {
    let places = folder();
    let early = Meeting::at(places.path(), "early");
    let late = Meeting::at(places.path(), "late");
    // It is there before the step, and ends after what the step declares has begun.
    let f = roomy(&format!(
        "export const alone = task({{ outputs: [\"alone\"], timeout: \"60s\", shell: '{}; {}; echo > \"$out\"' }});\n\
         export const lib = stepped({{ before: \"{}\", after: \"{}\" }});\n\
         export const user = task({{ inputs: [lib], outputs: [\"user\"], shell: 'cp \"$in\" \"$out\"' }});\n",
        early.one(),
        late.one(),
        early.other(),
        late.other(),
    ));
    let built = f.build_with(&[], unwalled()).await.good();
    assert_eq!(counts(&built), (4, 0, 0), "{:?}", built.lines());
    assert_eq!(numbers(&built), BTreeSet::from([0, 1, 2, 3]));
    assert!(built.targets().values().all(|built| *built));
    assert_eq!(f.read("zako-out/user"), "done\n");
    let planned: Vec<usize> = built
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Planned { actions, .. } => Some(*actions),
            _ => None,
        })
        .collect();
    assert_eq!(planned, [2, 4]);
    for session in [&f.session, &f.reopened()] {
        let again = run(session, &[], unwalled()).await.good();
        assert_eq!((counts(&again), again.lines()), ((0, 0, 4), vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_steps_run_beside_each_other() {
    let places = folder();
    let across = Meeting::at(places.path(), "across");
    let at_last = Meeting::at(places.path(), "at_last");
    // What comes of the first step meets what the second one waits for; then what comes of both meets.
    let f = roomy(&format!(
        "export const first = stepped({{ after: \"{}; {}\" }});\n\
         export const second = stepped({{ before: \"{}\", after: \"{}\" }});\n",
        across.one(),
        at_last.one(),
        across.other(),
        at_last.other(),
    ));
    let built = f.build_with(&[], unwalled()).await.good();
    assert_eq!(counts(&built), (4, 0, 0), "{:?}", built.lines());
    assert_eq!(numbers(&built).len(), 4);
    let again = f.build_with(&[], unwalled()).await.good();
    assert_eq!((counts(&again), again.lines()), ((0, 0, 4), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_takes_only_its_own_with_it() {
    let f = roomy(
        "export const bad = stepped({ after: \"throw\" });\n\
         export const good = stepped({});\n\
         export const alone = task({ outputs: [\"alone\"], shell: 'echo > \"$out\"' });\n\
         export const user = task({ inputs: [bad], outputs: [\"user\"], shell: 'cp \"$in\" \"$out\"' });\n",
    );
    let built = f.keep_going(&[]).await;
    assert_eq!(built.error().message, "no way");
    let targets = built.targets();
    assert!(targets["//:good"] && targets["//:alone"]);
    assert!(!targets["//:bad"] && !targets["//:user"]);
    // Nothing that was known is done again, and what is wrong is said again.
    let built = f.keep_going(&[]).await;
    assert_eq!(built.error().message, "no way");
    assert_eq!(counts(&built), (0, 0, 4), "{:?}", built.lines());
    let stopped = f.build(&[]).await;
    assert_eq!(stopped.error().message, "no way");
    assert!(!stopped.targets()["//:user"]);
    // Without the step there is nothing wrong.
    f.build(&["//:good", "//:alone"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_write_the_same_are_found_when_the_second_comes_to_be_known() {
    let f = roomy(
        "export const lib = stepped({});\nexport const late = stepped({ src: [lib] });\nexport const user = task({ inputs: [lib], outputs: [\"x/y\"], shell: 'cp \"$in\" \"$out\"' });\n\
         export const other = task({ outputs: [\"x/\"], shell: 'mkdir -p \"$out\"' });\n",
    );
    let built = f.build(&[]).await;
    let error = built.error();
    assert_eq!(
        error.message,
        "`zako-out/x/y`, which //:user writes, is inside of `zako-out/x`, which //:other writes"
    );
    assert!(!built.targets()["//:user"]);
    // With others that come later, too; nothing of it is taken for up to date.
    for _ in 0..2 {
        let built = f.keep_going(&[]).await;
        assert!(
            built.error().message.contains("is inside of"),
            "{:?}",
            built.errors()
        );
        let targets = built.targets();
        assert!(!targets["//:user"] && targets["//:other"]);
    }
    f.build(&["//:lib", "//:other"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_beside_a_step_ends_the_build_or_not() {
    let f = roomy(
        "export const bad = task({ outputs: [\"bad\"], shell: 'exit 7' });\n\
         export const lib = stepped({});\n",
    );
    let built = f.keep_going(&[]).await;
    assert!(built.error().message.contains("exit code 7"));
    let targets = built.targets();
    assert!(targets["//:lib"] && !targets["//:bad"]);
    assert_eq!(f.read("zako-out/lib"), "done\n");
    // Asked for alone, it is known by now.
    let built = f.build(&["//:lib"]).await.good();
    assert_eq!(counts(&built), (0, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_cancelled_ends_with_what_steps_wait_for() {
    let places = folder();
    let meeting = Meeting::at(places.path(), "never");
    let f = roomy(&format!(
        "export const alone = task({{ outputs: [\"alone\"], shell: 'echo > \"$out\"' }});\n\
         export const lib = stepped({{ before: \"{}\" }});\n",
        meeting.one(),
    ));
    let mut build = f.session.build(&[], unwalled());
    let cancel = build.cancel_handle();
    let mut ended = Vec::new();
    let (mut begun, mut is_told) = (false, false);
    while let Some(event) = build.next_event().await {
        match event {
            BuildEvent::ActionStarted(action) if action.mnemonic == "before" => begun = true,
            BuildEvent::ActionFinished { action, status, .. } => {
                ended.push((action.owner, status));
            }
            _ => {}
        }
        // The other one runs to its end beside what never ends.
        let is_alone = ended.contains(&("//:alone".to_owned(), ActionStatus::Ran));
        if begun && is_alone && !is_told {
            is_told = true;
            cancel.cancel();
        }
    }
    let report = build.report().await;
    assert!(report.cancelled && is_told);
    assert_eq!((report.actions.run, report.actions.cancelled), (1, 1));
    assert!(!f.has("zako-out/lib"));
    // What was done stays done.
    let built = f.build_with(&["//:alone"], unwalled()).await.good();
    assert_eq!(counts(&built), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_else_would_run_and_which_steps_wait_for_what() {
    let f = roomy(
        "export const alone = task({ inputs: [\"src\"], outputs: [\"alone\"], shell: 'cp \"$in\" \"$out\"' });\n\
         export const lib = stepped({ src: [\"list\"] });\n\
         export const user = task({ inputs: [lib, \"src\"], outputs: [\"user\"], shell: 'cat $in > \"$out\"' });\n",
    );
    f.write("src", "1\n");
    f.write("list", "1\n");
    let dry = BuildOptions {
        dry_run: true,
        ..BuildOptions::default()
    };
    let would = |built: &Built| -> Vec<(String, Vec<usize>)> {
        let reasons = built.report.would_run.iter();
        reasons
            .map(|reason| (reason.owner.clone(), reason.because.clone()))
            .collect()
    };
    let built = f.build_with(&[], dry.clone()).await;
    let lib = || "//:lib".to_owned();
    let alone = ("//:alone".to_owned(), vec![]);
    assert_eq!(would(&built), [alone, (lib(), vec![]), (lib(), vec![1])]);
    f.build(&[]).await.good();
    let built = f.build_with(&[], dry.clone()).await.good();
    assert_eq!(would(&built), []);
    // The step is known to come to the same: what is behind it is told.
    f.write("src", "2\n");
    let built = f.build_with(&[], dry).await.good();
    let mut owners: Vec<String> = would(&built).into_iter().map(|(owner, _)| owner).collect();
    owners.sort();
    assert_eq!(owners, ["//:alone", "//:user"]);
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built), (2, 0, 2), "{:?}", built.lines());
}
