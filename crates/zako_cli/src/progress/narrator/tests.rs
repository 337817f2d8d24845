use insta::assert_snapshot;

use super::*;

fn action(id: u32, message: &str) -> ActionName {
    ActionName {
        id,
        owner: "//app:server".to_owned(),
        mnemonic: "compile".to_owned(),
        message: message.to_owned(),
    }
}

fn finished(id: u32, message: &str, status: ActionStatus, output: Option<&str>) -> BuildEvent {
    let usage = matches!(status, ActionStatus::Ran | ActionStatus::Failed).then(|| ActionUsage {
        wall_ms: 120 * u64::from(id),
        ..ActionUsage::default()
    });
    BuildEvent::ActionFinished {
        action: action(id, message),
        status,
        outputs: Vec::new(),
        usage,
        output: output.map(str::to_owned),
    }
}

fn failure(output: &str) -> Diagnostic {
    let mut error = Diagnostic::error(Fault::Build, "compile app/main.c failed: exit code 1");
    error.output = Some(output.to_owned());
    error
}

fn a_build() -> Vec<BuildEvent> {
    let log = Diagnostic {
        severity: Severity::Info,
        ..Diagnostic::user("using 3 sources")
    };
    let warning = Diagnostic {
        severity: Severity::Warning,
        ..Diagnostic::user("the option `fast` does nothing")
    };
    vec![
        BuildEvent::Started {
            patterns: vec!["//...".to_owned()],
        },
        BuildEvent::Waiting { pid: Some(71) },
        BuildEvent::PackageEvaluated {
            package: "app".to_owned(),
            wall_ms: 12,
        },
        BuildEvent::Diagnostic(log.clone()),
        BuildEvent::Diagnostic(log),
        BuildEvent::Diagnostic(warning),
        BuildEvent::Planned {
            targets: 2,
            actions: 6,
        },
        BuildEvent::ActionStarted(action(1, "compile app/util.c")),
        finished(
            1,
            "compile app/util.c",
            ActionStatus::Ran,
            Some("app/util.c:1: warning: unused\n"),
        ),
        finished(2, "compile app/old.c", ActionStatus::UpToDate, None),
        finished(3, "compile app/new.c", ActionStatus::FromCache, None),
        finished(
            4,
            "compile app/main.c",
            ActionStatus::Failed,
            Some("app/main.c:3: error: no\n"),
        ),
        BuildEvent::Diagnostic(failure("app/main.c:3: error: no\n")),
        finished(5, "link app/server", ActionStatus::Skipped, None),
        finished(6, "archive lib/x.a", ActionStatus::Ran, None),
        BuildEvent::Finished {
            run: 2,
            from_cache: 1,
            up_to_date: 1,
            failed: 1,
            skipped: 1,
            wall_ms: 900,
        },
    ]
}

fn report(diagnostics: Vec<Diagnostic>) -> BuildReport {
    BuildReport {
        diagnostics,
        ..BuildReport::default()
    }
}

fn narrator(verbosity: Verbosity, each_action: bool) -> Narrator {
    Narrator::of(
        verbosity,
        Palette::PLAIN,
        Renderer::new(false, false, 100),
        each_action,
    )
}

fn told(
    verbosity: Verbosity,
    each_action: bool,
    events: &[BuildEvent],
    diagnostics: Vec<Diagnostic>,
) -> String {
    let mut narrator = narrator(verbosity, each_action);
    let mut text: String = events.iter().map(|event| narrator.on(event)).collect();
    text.push_str(&narrator.finish(&report(diagnostics)));
    text
}

#[test]
fn plain_lines() {
    assert_snapshot!(told(Verbosity::Normal, true, &a_build(), Vec::new()), @"
waiting for another zako (process 71) that builds in this workspace
note: using 3 sources
note: using 3 sources
warning: the option `fast` does nothing
[1/6] compile app/util.c (0.12 s)
app/util.c:1: warning: unused
error: compile app/main.c failed: exit code 1
app/main.c:3: error: no
[6/6] archive lib/x.a (0.72 s)
");
}

#[test]
fn verbose_lines() {
    assert_snapshot!(told(Verbosity::Verbose, true, &a_build(), Vec::new()), @"
waiting for another zako (process 71) that builds in this workspace
evaluated //app (0.01 s)
note: using 3 sources
note: using 3 sources
warning: the option `fast` does nothing
6 actions from 2 targets
[1/6] compile app/util.c (0.12 s)
app/util.c:1: warning: unused
[2/6] compile app/old.c (up to date)
[3/6] compile app/new.c (from cache)
[4/6] compile app/main.c (failed, 0.48 s)
error: compile app/main.c failed: exit code 1
app/main.c:3: error: no
[5/6] link app/server (skipped)
[6/6] archive lib/x.a (0.72 s)
");
}

#[test]
fn quiet_lines() {
    assert_snapshot!(told(Verbosity::Quiet, true, &a_build(), Vec::new()), @"
warning: the option `fast` does nothing
error: compile app/main.c failed: exit code 1
app/main.c:3: error: no
");
}

#[test]
fn lines_above_a_board() {
    assert_snapshot!(told(Verbosity::Normal, false, &a_build(), Vec::new()), @"
waiting for another zako (process 71) that builds in this workspace
note: using 3 sources
note: using 3 sources
warning: the option `fast` does nothing
[1/6] compile app/util.c (0.12 s)
app/util.c:1: warning: unused
error: compile app/main.c failed: exit code 1
app/main.c:3: error: no
");
}

#[test]
fn what_only_the_report_has_is_told_at_the_end() {
    let diagnostics = vec![
        failure("app/main.c:3: error: no\n"),
        Diagnostic::user("and this"),
    ];
    let text = told(Verbosity::Normal, true, &a_build(), diagnostics);
    assert!(text.ends_with("error: and this\n"), "{text}");
    assert_eq!(
        text.matches("compile app/main.c failed").count(),
        1,
        "{text}"
    );
}

#[test]
fn what_a_failed_action_wrote_is_told_once_whichever_comes_first() {
    let ended = finished(
        4,
        "compile app/main.c",
        ActionStatus::Failed,
        Some("oh no\n"),
    );
    let error = BuildEvent::Diagnostic(failure("oh no"));
    for events in [
        vec![ended.clone(), error.clone()],
        vec![error, ended.clone()],
        vec![ended],
    ] {
        let text = told(Verbosity::Normal, true, &events, Vec::new());
        assert_eq!(text.matches("oh no").count(), 1, "{text}");
    }
}

#[test]
fn an_interruption_is_not_told_as_an_error() {
    let event = BuildEvent::Diagnostic(Diagnostic::error(Fault::Interrupted, "stopped"));
    assert_eq!(told(Verbosity::Normal, true, &[event], Vec::new()), "");
}

#[test]
fn counts_never_pass_their_total() {
    let mut narrator = narrator(Verbosity::Normal, true);
    assert_eq!(
        narrator.on(&finished(1, "a", ActionStatus::Ran, None)),
        "[1] a (0.12 s)\n"
    );
    narrator.on(&BuildEvent::Planned {
        targets: 1,
        actions: 1,
    });
    assert_eq!(
        narrator.on(&finished(2, "b", ActionStatus::Ran, None)),
        "[2/2] b (0.24 s)\n"
    );
}
