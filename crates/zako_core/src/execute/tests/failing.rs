//! What goes wrong, and what is said about it.

use std::time::Duration;

use zako_action::{RetryCauses, RetryPolicy};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_once_and_never_kept() {
    let world = World::new(&[("a", "1\n")]);
    let mut failing = PlannedAction::new(sh(
        "echo out; echo err >&2; exit 3",
        &["a"],
        &["zako-out/b"],
    ));
    failing.declared_at = Some(Location {
        file: "app/BUILD.ts".into(),
        line: 3,
        column: 1,
        length: 0,
        source: None,
    });
    let dependent = PlannedAction::new(cat(&["zako-out/b"], "zako-out/c"));
    for _ in 0..2 {
        let cancel = CancellationToken::new();
        let built = world
            .execute(vec![failing.clone(), dependent.clone()], &cancel)
            .await;
        assert_eq!(built.summary.statuses, [Failed, Skipped]);
        let error = built.error();
        assert_eq!(
            error.to_string(),
            "app/BUILD.ts:3:1: make a failed: exit code 3"
        );
        assert_eq!(
            (error.fault, &error.trace[..]),
            (Fault::Build, &["in //t:zako-out_b".to_owned()][..])
        );
        let output = error.output.as_deref().unwrap();
        assert!(
            ["out\nerr\n", "err\nout\n"].contains(&output),
            "both streams, each once: {output}"
        );
        assert_eq!(
            built.output(0),
            None,
            "the output is in the diagnostic alone"
        );
        let told = built
            .events
            .iter()
            .filter(|event| matches!(event, BuildEvent::Diagnostic(_)))
            .count();
        assert_eq!(told, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_going_builds_what_does_not_depend_on_a_failure() {
    let mut world = World::new(&[("a", "1\n")]);
    let actions = [
        sh("exit 1", &["a"], &["zako-out/bad"]),
        cat(&["zako-out/bad"], "zako-out/behind"),
        cat(&["a"], "zako-out/first"),
        cat(&["zako-out/first"], "zako-out/second"),
    ];
    world.keep_going = true;
    world.check(&actions, &[Failed, Skipped, Ran, Ran]).await;
    world.keep_going = false;
    let built = world.build(&actions[..2]).await;
    assert_eq!(built.summary.statuses, [Failed, Skipped]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outputs_of_a_failed_action_are_gone() {
    let world = World::new(&[("a", "good\n")]);
    let actions = [sh("cp $in $out; grep -q good $in", &["a"], &["zako-out/b"])];
    world.check(&actions, &[Ran]).await;
    world.write("a", "bad\n");
    world.check(&actions, &[Failed]).await;
    assert!(!world.place("zako-out/b").exists(), "never stale");
    world.write("a", "good\n");
    world.check(&actions, &[FromCache]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let world = World::new(&[("app/main.c", ""), ("a", "")]);
    let built = world
        .check(&[cat(&["app/mian.c"], "zako-out/b")], &[Failed])
        .await;
    assert_eq!(built.error().message, "input app/mian.c does not exist");
    assert_eq!(
        built.error().help.as_deref(),
        Some("did you mean `app/main.c`?")
    );
    assert_eq!(built.error().fault, Fault::User);

    let mut tool = sh("", &["a"], &["zako-out/b"]);
    tool.body = ActionBody::Command {
        argv: vec!["zako-no-such-program".into()],
    };
    let built = world.check(&[tool], &[Failed]).await;
    assert_eq!(built.error().fault, Fault::Environment);
    assert!(
        built
            .error()
            .message
            .contains("the program `zako-no-such-program` is not on this machine")
    );

    let built = world
        .check(
            &[sh("echo > zako-out/lib.hh", &["a"], &["zako-out/lib.h"])],
            &[Failed],
        )
        .await;
    let error = built.error();
    assert_eq!(
        error.message,
        "make a ended well, but did not write `zako-out/lib.h`"
    );
    assert!(
        error
            .help
            .as_ref()
            .unwrap()
            .contains("it wrote `zako-out/lib.hh`"),
        "{error:?}"
    );

    let mut undeclared = sh("", &[], &["zako-out/b"]);
    undeclared.body = ActionBody::Command {
        argv: vec!["app/main.c".into()],
    };
    let built = world.check(&[undeclared], &[Failed]).await;
    assert!(
        built
            .error()
            .message
            .contains("runs `app/main.c` without declaring it")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_and_circles_are_errors_before_anything_runs() {
    let world = World::new(&[("a", "")]);
    let mut second = cat(&["a"], "zako-out/b");
    second.owner = "//t:other".into();
    let built = world
        .check(
            &[cat(&["a"], "zako-out/b"), second],
            &[Cancelled, Cancelled],
        )
        .await;
    assert_eq!(
        built.error().message,
        "`zako-out/b` is written by two actions, of //t:zako-out_b and of //t:other"
    );
    assert_eq!(built.error().trace.len(), 2);
    let nested = [
        cat(&["a"], "zako-out/d/x"),
        cat(&["a"], "zako-out/d-e"),
        sh("", &["a"], &["zako-out/d/"]),
    ];
    let built = world.check(&nested, &[Cancelled; 3]).await;
    assert!(
        built.error().message.contains("is inside of `zako-out/d`"),
        "{:?}",
        built.error()
    );
    let circle = [
        cat(&["zako-out/y"], "zako-out/x"),
        cat(&["zako-out/x"], "zako-out/y"),
    ];
    let built = world.check(&circle, &[Cancelled, Cancelled]).await;
    assert!(
        built
            .error()
            .message
            .contains("in a circle: //t:zako-out_x (zako-out/x) → "),
        "{:?}",
        built.error()
    );
    let own = [sh("", &["zako-out/d/x"], &["zako-out/d/"])];
    let built = world.check(&own, &[Cancelled]).await;
    assert!(built.error().message.contains("which it writes itself"));
    assert!(!world.place("zako-out").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_edited_meanwhile_runs_again_and_the_old_result_is_not_kept() {
    let mut world = World::new(&[("a", "1\n")]);
    // It reaches out of its input root, to talk to this test.
    world.isolation = Some(Isolation::Basic);
    let edit = format!(
        "cp $in $out; if grep -q 1 $in; then echo 2 > {}; fi",
        world.place("a").display()
    );
    let actions = [sh(&edit, &["a"], &["zako-out/b"])];
    let built = world.check(&actions, &[Ran]).await;
    assert_eq!(world.read("zako-out/b"), "2\n");
    let started = built
        .events
        .iter()
        .filter(|event| matches!(event, BuildEvent::ActionStarted(_)))
        .count();
    assert_eq!(started, 1, "one action, told once");
    world.check(&actions, &[UpToDate]).await;
    world.write("a", "1\n");
    // It runs, changes its input again, and what that leads to is known.
    let built = world.check(&actions, &[FromCache]).await;
    assert!(
        built
            .events
            .iter()
            .any(|event| matches!(event, BuildEvent::ActionStarted(_))),
        "1 led to nothing recorded"
    );
    assert_eq!(world.read("zako-out/b"), "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_changes_every_time_is_named() {
    let mut world = World::new(&[("a", "1\n"), ("runs", "")]);
    // It reaches out of its input root, to talk to this test.
    world.isolation = Some(Isolation::Basic);
    let edit = format!(
        "echo >> {}; cp $in $out; echo >> {}",
        world.cache.join("runs").display(),
        world.place("a").display()
    );
    let built = world
        .check(&[sh(&edit, &["a"], &["zako-out/b"])], &[Failed])
        .await;
    assert_eq!(
        built.error().message,
        "make a ran 4 times, and `a` changed each time"
    );
    assert_eq!(
        fs::read_to_string(world.cache.join("runs")).unwrap().len(),
        4
    );
    assert!(!world.place("zako-out/b").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_bounded_and_only_the_last_attempt_is_shown() {
    let mut world = World::new(&[("a", "")]);
    // It reaches out of its input root, to talk to this test.
    world.isolation = Some(Isolation::Basic);
    let runs = world.cache.join("runs");
    let count = format!("echo x >> {0}; echo try $(wc -l < {0})", runs.display());
    let mut flaky = sh(
        &format!(
            "{count}; test $(wc -l < {}) -eq 2; cp $in $out",
            runs.display()
        ),
        &["a"],
        &["zako-out/b"],
    );
    flaky.retries = Some(Box::new(RetryPolicy::default().with_retries(3)));
    let built = world.check(&[flaky], &[Ran]).await;
    assert_eq!(built.output(0), Some("try 2\n"));
    let mut failing = sh("exit 1", &["a"], &["zako-out/c"]);
    failing.retries = Some(Box::new(RetryPolicy::default().with_retries(1)));
    let built = world.check(&[failing], &[Failed]).await;
    assert_eq!(
        built.error().message,
        "make a failed: exit code 1, after 2 attempts"
    );
}

/// Tries again after these, twice at most.
fn on(causes: RetryCauses) -> Option<Box<RetryPolicy>> {
    Some(Box::new(RetryPolicy {
        causes,
        ..RetryPolicy::default().with_retries(2)
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_ends_that_are_named_are_tried_again() {
    let mut world = World::new(&[("a", "")]);
    // They count in a file elsewhere, which a sandbox does not show.
    world.isolation = Some(Isolation::Basic);
    let runs = world.cache.join("runs");
    let first_then = |first: &str, then: &str| {
        let runs = runs.display();
        format!("if test ! -e {runs}; then : > {runs}; {first}; fi; {then}")
    };
    let code = || RetryCauses {
        codes: vec![75],
        ..RetryCauses::default()
    };
    let signal = || RetryCauses {
        signals: vec![11],
        ..RetryCauses::default()
    };
    for (first, causes) in [("exit 75", code()), ("kill -SEGV $$", signal())] {
        let mut action = sh(&first_then(first, "echo > $out"), &["a"], &["zako-out/b"]);
        action.retries = on(causes.clone());
        world.check(&[action], &[Ran]).await;
        fs::remove_file(&runs).unwrap();
        // The next one ends in another way.
        let mut action = sh(&first_then(first, "exit 3"), &["a"], &["zako-out/b"]);
        action.retries = on(causes);
        let built = world.check(&[action], &[Failed]).await;
        assert_eq!(
            built.error().message,
            "make a failed: exit code 3, after 2 attempts; not tried again, because its `retries` do not name that"
        );
        fs::remove_file(&runs).unwrap();
    }
    let mut slow = sh("sleep 600", &["a"], &["zako-out/b"]);
    slow.timeout = Some(Duration::from_millis(50));
    slow.retries = on(code());
    let built = world.check(&[slow.clone()], &[Failed]).await;
    assert_eq!(
        built.error().message,
        "make a timed out after 50ms; not tried again, because its `retries` do not name that"
    );
    slow.retries = on(RetryCauses {
        timeout: true,
        ..RetryCauses::default()
    });
    let built = world.check(&[slow], &[Failed]).await;
    assert_eq!(
        built.error().message,
        "make a timed out after 50ms, after 3 attempts"
    );
}

/// One that waits to be tried again holds nothing: with one processor for all, what it waits for is made meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_lets_others_run() {
    let mut world = World::new(&[("a", "")]);
    world.isolation = Some(Isolation::Basic);
    world.parts.machinery = machinery(&world.cache, 1000);
    let flag = world.cache.join("flag").display().to_string();
    let mut waits = sh(
        &format!("test -e {flag}; echo > $out"),
        &["a"],
        &["zako-out/w"],
    );
    // Until then it fails: ten times in all, if nobody else gets to run.
    waits.retries = Some(Box::new(RetryPolicy::default().with_retries(10)));
    let makes = sh(
        &format!("echo > {flag}; echo > $out"),
        &["a"],
        &["zako-out/m"],
    );
    // What much depends on goes first.
    let after = cat(&["zako-out/w"], "zako-out/x");
    let last = cat(&["zako-out/x"], "zako-out/y");
    world
        .check(&[waits, makes, after, last], &[Ran, Ran, Ran, Ran])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_outs_and_signals_are_told() {
    let world = World::new(&[("a", "")]);
    let mut slow = sh("sleep 60", &["a"], &["zako-out/b"]);
    slow.timeout = Some(Duration::from_millis(100));
    let built = world.check(&[slow], &[Failed]).await;
    assert_eq!(built.error().message, "make a timed out after 100ms");
    let built = world
        .check(&[sh("kill -TERM $$", &["a"], &["zako-out/b"])], &[Failed])
        .await;
    assert!(
        built
            .error()
            .message
            .starts_with("make a failed: killed by signal 15"),
        "{:?}",
        built.error()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_children_and_keeps_finished_work() {
    let mut world = World::new(&[("a", "1\n")]);
    // It reaches out of its input root, to talk to this test.
    world.isolation = Some(Isolation::Basic);
    let pid_file = world.cache.join("pid");
    let slow = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; sleep 600",
        pid_file.display()
    );
    let actions = [
        cat(&["a"], "zako-out/done"),
        sh(&slow, &["zako-out/done"], &["zako-out/slow"]),
        cat(&["zako-out/slow"], "zako-out/behind"),
    ];
    let cancel = CancellationToken::new();
    let planned = actions
        .iter()
        .map(|spec| PlannedAction::new(spec.clone()))
        .collect();
    let watch = async {
        while !pid_file.exists() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (built, ()) = tokio::join!(world.execute(planned, &cancel), watch);
    assert_eq!(built.summary.statuses, [Ran, Cancelled, Cancelled]);
    assert_eq!(built.summary.diagnostics, []);
    let pid = fs::read_to_string(&pid_file).unwrap();
    assert!(
        !PathBuf::from(format!("/proc/{}", pid.trim())).exists(),
        "the child is gone"
    );
    let built = world.build(&actions[..1]).await;
    assert_eq!(built.summary.statuses, [UpToDate]);
}

/// Reads a policy as `zako.toml` has it.
fn policy(rules: &str) -> Arc<crate::policy::Policy> {
    let text = format!("zako = \"0.1\"\n{rules}");
    crate::manifest::Manifest::parse(&text).unwrap().policy
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_denies_is_an_error_before_anything_runs() {
    let mut world = World::new(&[]);
    let mut curl = sh("echo x > $out", &[], &["zako-out/b"]);
    curl.owner = "//vendor/zlib:get".to_owned();
    curl.body = ActionBody::Shell {
        script: "cd . && curl -o $out http://localhost/".to_owned(),
    };
    let mut net = sh("echo x > $out", &[], &["zako-out/c"]);
    net.owner = "//app:net".to_owned();
    net.network = true;
    let good = sh("echo x > $out", &[], &["zako-out/a"]);
    world.parts.policy = policy(
        "[[policy.rules]]\npackages = \"//vendor/ok\"\nallow = [\"curl\"]\n\
         [[policy.rules]]\npackages = \"//vendor/...\"\ndeny = [\"cu*\", \"wget\"]\n\
         [[policy.rules]]\nnetwork = false\n",
    );
    let built = world
        .build(&[good.clone(), curl.clone(), net.clone()])
        .await;
    assert_eq!(built.summary.statuses, [Cancelled; 3]);
    assert!(!world.place("zako-out/a").exists());
    assert_eq!(
        built.messages(),
        [
            "make zako-out/b runs `curl`, which the rule at zako.toml:5 denies",
            "make zako-out/c uses the network, which the rule at zako.toml:8 denies",
        ]
    );
    assert!(
        built
            .summary
            .diagnostics
            .iter()
            .all(|d| d.fault == Fault::User)
    );
    // The first rule that covers the package and speaks of the program decides.
    curl.owner = "//vendor/ok:get".to_owned();
    net.network = false;
    world.parts.policy = policy(
        "[[policy.rules]]\npackages = \"//vendor/ok\"\nallow = [\"curl\"]\n\
         [[policy.rules]]\nallow = [\"sh\"]\n[[policy.rules]]\ndeny = [\"*\"]\n",
    );
    curl.body = ActionBody::Shell {
        script: "if false; then curl; fi; echo > $out".to_owned(),
    };
    world.check(&[good, curl, net], &[Ran, Ran, Ran]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_for_memory_runs_again_alone_once() {
    let mut world = World::new(&[]);
    // It counts outside of what it declares.
    world.isolation = Some(Isolation::Basic);
    // It kills itself as the kernel would, as long as it is not alone.
    let counter = world.place("times");
    let script = |until: u32| {
        format!(
            "echo x >> {0}; if [ $(wc -l < {0}) -le {until} ]; then kill -KILL $$; fi; echo x > $out",
            counter.display()
        )
    };
    let built = world
        .check(&[sh(&script(1), &[], &["zako-out/a"])], &[Ran])
        .await;
    assert_eq!(
        built.messages(),
        ["make zako-out/a was killed for want of memory: again, alone"]
    );
    assert_eq!(world.read("times").lines().count(), 2);
    // Not for ever.
    fs::remove_file(&counter).unwrap();
    let built = world
        .check(&[sh(&script(9), &[], &["zako-out/b"])], &[Failed])
        .await;
    assert_eq!(world.read("times").lines().count(), 2);
    let used = built.events.iter().find_map(|event| match event {
        BuildEvent::ActionFinished { usage, .. } => *usage,
        _ => None,
    });
    let used = used.unwrap();
    assert_eq!((used.exit, used.signal, used.attempts), (None, Some(9), 2));
    assert_eq!(world.parts.machinery.pool.state().grants, 0);
}

/// It waits for a pipe that nobody writes to, until it was called stuck.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "it says what it skips")]
async fn a_stuck_action_is_named_while_it_runs_at_every_level() {
    for level in [
        Isolation::None,
        Isolation::Basic,
        Isolation::Enhanced,
        Isolation::Maximum,
    ] {
        let mut world = World::new(&[]);
        let machine = zako_exec::capabilities(&world.place(".zako/probe"));
        if let Err(lack) = machine.check(level) {
            println!("skipped: {level:?} can't be had here: {lack}");
            continue;
        }
        world.isolation = Some(level);
        world.parts.stuck_after = Duration::from_millis(1);
        let script = "mkfifo \"$TMPDIR/pipe\"; read word < \"$TMPDIR/pipe\"; : > $out";
        let action = PlannedAction::new(sh(script, &[], &["zako-out/a"]));
        let (send, mut events) = mpsc::channel(64);
        let (ledger, _) = Ledger::open(
            &world.place(".zako/state"),
            world.parts.store.function(),
            "tests",
        )
        .unwrap();
        let cancel = CancellationToken::new();
        let execution = Execution {
            actions: vec![action],
            growing: None,
            keep_going: false,
            isolation: world.isolation,
            weaker_told: Default::default(),
            dry_run: false,
            urgency: Urgency::Normal,
            ledger: SharedLedger::new(ledger),
            events: send,
            cancel: cancel.clone(),
        };
        let dirs = WorkspaceDirs {
            root: world.root.as_path().into(),
        };
        let listen = async {
            let (mut stuck, mut seen) = (Vec::new(), None);
            while let Some(event) = events.recv().await {
                match event {
                    BuildEvent::ActionStuck { action, .. } => stuck.push(action.message),
                    BuildEvent::Health(now) => seen = seen.max(Some((now.running, now.cpu_millis))),
                    _ => {}
                }
                // How the build fares is told now and then, so it may have been before the action.
                if !stuck.is_empty() && seen > Some((0, 0)) {
                    cancel.cancel();
                }
            }
            (stuck, seen)
        };
        let (summary, (stuck, seen)) =
            tokio::join!(execute(&world.parts, &dirs, execution), listen);
        assert_eq!(summary.statuses, [Cancelled]);
        // Again, if it had come to itself in between.
        assert!(!stuck.is_empty());
        assert!(stuck.iter().all(|name| name == "make zako-out/a"));
        assert_eq!(seen, Some((1, 1000)));
    }
}
