//! Builds that fail, in part or as a whole, are cancelled, dropped or wait.

use zako_core::{ActionStatus, BuildEvent, BuildOptions, Fault, Limits, Session};

use crate::fixture::{Fixture, run, strings, told};
use crate::process::global;

const T: &str = "import { task } from \"zako:build\";\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_depend_on_a_failure_is_built() {
    let f = Fixture::new(&[
        ("broken/BUILD.ts", "export const x = ;\n"),
        (
            "user/BUILD.ts",
            &format!(
                "import {{ x }} from \"//broken/BUILD.ts\";\n{T}export const u = task({{ inputs: [x], shell: 'x' }});\n"
            ),
        ),
        (
            "fine/BUILD.ts",
            &format!(
                "{T}import wrong from \"./wrong.script.ts\";\nexport const ok = task({{ outputs: [\"ok\"], shell: 'echo > \"$out\"' }});\nexport const bad = task({{ outputs: [\"bad\"], shell: 'echo no >&2; exit 3' }});\nexport const after = task({{ inputs: [bad], outputs: [\"after\"], shell: 'echo > \"$out\"' }});\nexport const scripted = task({{ script: wrong, outputs: [\"s\"] }});\n"
            ),
        ),
        ("fine/wrong.script.ts", "export default 1 +;\n"),
    ]);
    let built = f.keep_going(&[]).await;
    assert_eq!(
        built.targets().into_iter().collect::<Vec<_>>(),
        [
            ("//fine:after", false),
            ("//fine:bad", false),
            ("//fine:ok", true),
            ("//fine:scripted", false),
        ]
    );
    let status = |owner: &str| {
        built.events.iter().find_map(|event| match event {
            BuildEvent::ActionFinished { action, status, .. } if action.owner == owner => {
                Some(*status)
            }
            _ => None,
        })
    };
    assert_eq!(status("//fine:after"), Some(ActionStatus::Skipped));
    assert_eq!(status("//fine:scripted"), Some(ActionStatus::Failed));
    let errors: Vec<String> = built.errors().iter().map(|e| told(e)).collect();
    assert_eq!(errors.len(), 3, "{errors:#?}");
    assert!(
        errors[0].starts_with("broken/BUILD.ts:1:18: "),
        "{errors:#?}"
    );
    assert!(
        errors
            .iter()
            .any(|e| e.starts_with("fine/wrong.script.ts:1:")),
        "{errors:#?}"
    );
    // Wrong input weighs more than a failing action.
    assert_eq!(built.report.fault(), Some(Fault::User));
    let output: Vec<&str> = built
        .errors()
        .iter()
        .filter_map(|e| e.output.as_deref())
        .collect();
    assert_eq!(output, ["no\n"]);

    let built = f.build(&["//fine:bad", "//fine:ok"]).await;
    assert_eq!(built.report.fault(), Some(Fault::Build));
    let built = f.build(&[]).await;
    assert_eq!(built.report.actions.run, 0, "nothing runs without -k");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_dependency_is_broken_is_reported_unbuilt() {
    let f = Fixture::new(&[
        ("broken/BUILD.ts", "throw new Error(\"no\");\n"),
        (
            "a/BUILD.ts",
            "import { label, task } from \"zako:build\";\nexport const a = task({ deps: [label(\"//broken:x\")], shell: 'true' });\n",
        ),
    ]);
    let built = f.keep_going(&["//a:a"]).await;
    assert_eq!(built.errors().len(), 1);
    assert_eq!(
        built.targets().into_iter().collect::<Vec<_>>(),
        [("//a:a", false)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_logged_before_an_error_is_told() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        "console.log(\"got\", { here: 1 });\nconsole.warn(\"careful\");\nthrow new Error(\"no\");\n",
    )]);
    let built = f.build(&[]).await;
    let said: Vec<String> = built
        .events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Diagnostic(diagnostic) => Some(diagnostic.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(
        said,
        [
            "BUILD.ts:1:9: got { here: 1 }",
            "BUILD.ts:2:9: careful",
            "BUILD.ts:3:7: no"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_is_cancelled() {
    let f = Fixture::with(
        &[("BUILD.ts", "console.log(\"in\");\nwhile (true) {}\n")],
        |options| {
            options.script_limits = Limits {
                time: std::time::Duration::from_secs(600),
                ..options.script_limits
            };
        },
    );
    let mut build = f.session.build(&[], BuildOptions::default());
    let cancel = build.cancel_handle();
    assert!(matches!(
        build.next_event().await,
        Some(BuildEvent::Started { .. })
    ));
    cancel.cancel();
    let report = build.report().await;
    assert!(report.cancelled);
    assert_eq!(report.fault(), Some(Fault::Interrupted));
    assert!(report.diagnostics.is_empty(), "{:?}", report.diagnostics);
    // Nothing of that is remembered.
    f.write("BUILD.ts", "export const x = 1;\n");
    f.check(&["eval //"]).await;
}

const SLEEPER: &str = "export const a = task({ outputs: [\"a\"], shell: 'echo > \"$out\"' });\nexport const s = task({ inputs: [a], outputs: [\"s\"], env: { PID: \"PIDFILE\" }, shell: 'echo $$ > \"$PID\"; sleep 600; echo > \"$out\"' });\n";

fn sleeper() -> Fixture {
    let f = Fixture::new(&[]);
    let pid = f.temp().join("pid");
    f.write(
        "BUILD.ts",
        &format!("{T}{}", SLEEPER.replace("PIDFILE", pid.to_str().unwrap())),
    );
    f
}

async fn until_sleeping(build: &mut zako_core::Build) {
    loop {
        match build.next_event().await.expect("it sleeps") {
            BuildEvent::ActionStarted(action) if action.owner == "//:s" => return,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_actions_leave_no_child_and_finished_work_is_kept() {
    let f = sleeper();
    let mut build = f.session.build(&[], BuildOptions::default());
    until_sleeping(&mut build).await;
    build.cancel_handle().cancel();
    let report = build.report().await;
    assert!(report.cancelled);
    assert_eq!((report.actions.run, report.actions.cancelled), (1, 1));
    // The shell may have been stopped before it wrote its number; if it did, it is gone.
    if let Ok(pid) = std::fs::read_to_string(f.temp().join("pid")) {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        assert!(state.is_err(), "{state:?}");
    }
    let built = f.build(&["//:a"]).await;
    assert_eq!(built.report.actions.up_to_date, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_build_lets_the_next_one_in() {
    let f = sleeper();
    let mut build = f.session.build(&[], BuildOptions::default());
    until_sleeping(&mut build).await;
    drop(build);
    // Waits for the lock that the dropped one gives back.
    let built = f.build(&["//:a"]).await.good();
    assert_eq!(built.report.actions.up_to_date, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_session_waits_for_the_first() {
    let f = sleeper();
    let other = Session::open(global(&f.temp().join("cache")), &f.root()).unwrap();
    let mut first = f.session.build(&[], BuildOptions::default());
    until_sleeping(&mut first).await;
    let mut second = other.build(&strings(&["//:a"]), BuildOptions::default());
    assert!(matches!(
        second.next_event().await,
        Some(BuildEvent::Started { .. })
    ));
    assert_eq!(
        second.next_event().await,
        Some(BuildEvent::Waiting {
            pid: Some(std::process::id())
        })
    );
    assert!(
        other
            .clean()
            .unwrap_err()
            .message
            .contains("another zako builds")
    );
    // What changes while it waits is seen when its turn comes.
    f.write(
        "BUILD.ts",
        &format!(
            "{T}export const a = task({{ outputs: [\"b\"], shell: 'echo new > \"$out\"' }});\n"
        ),
    );
    first.cancel_handle().cancel();
    assert!(first.report().await.cancelled);
    assert_eq!(second.report().await.fault(), None);
    assert_eq!(f.read("zako-out/b"), "new\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_of_one_session_with_other_options_do_not_mix() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        "import { config, task } from \"zako:build\";\nexport const x = task({ outputs: [config.get(\"n\")], env: { N: config.get(\"n\") }, shell: 'echo $N > \"$out\"' });\n",
    )]);
    let with = |n: usize| {
        let mut options = BuildOptions::default();
        options.config.insert("n".to_owned(), n.to_string());
        options
    };
    let builds: Vec<_> = (0..8)
        .map(|n| {
            let session = f.session.clone();
            let options = with(n);
            tokio::spawn(async move { run(&session, &[], options).await })
        })
        .collect();
    for (n, build) in builds.into_iter().enumerate() {
        let built = build.await.unwrap().good();
        let files: Vec<&str> = built.report.targets[0]
            .files
            .iter()
            .map(|f| f.as_str())
            .collect();
        assert_eq!(files, [format!("zako-out/{n}")]);
    }
}
