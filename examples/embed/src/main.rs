//! A program that has zako inside: it brings a module that scripts import, builds, listens, and cancels.
//!
//! `embed [CACHE_DIR [WORKSPACE]]`: without them a temporary folder, and the workspace beside this program's sources.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program may print; the library does not"
)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use serde_json::Value as Json;
use zako_core::executor::{ExecuteError, Executed, Executor, Job, OutputSink};
use zako_core::{
    ActionStatus, BuildEvent, BuildOptions, BuildReport, BuiltinModule, CancellationToken,
    Diagnostic, ExecutorLayer, Fault, GlobalState, GlobalStateOptions, Session, Severity,
};

/// What `import { setting } from "acme:env"` gives a script.
const ACME_ENV: &str = r#"
import { call } from "zako:host";

/** A setting of the program that embeds zako. */
export function setting(name: string): string {
  return call("setting", { name }) as string;
}
"#;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        // A diagnostic is data: message, place with the file's text, trace, help. This is the shortest way to show one.
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.fault.exit_code())
        }
    }
}

async fn run() -> Result<(), Diagnostic> {
    let temporary =
        tempfile::tempdir().map_err(|error| Diagnostic::environment(error.to_string()))?;
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let cache_dir = arguments
        .next()
        .unwrap_or_else(|| temporary.path().to_owned());
    let workspace = arguments
        .next()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("workspace"));

    // 1. The parts that all sessions of this program share: store, threads, V8. Several may exist side by side.
    let mut options = GlobalStateOptions::new(cache_dir);
    options
        .builtins
        .push(BuiltinModule::new("acme:env", ACME_ENV).function("setting", setting));
    // Actions go through an executor of this program, which leaves the work to zako's.
    options.executor = Some(ExecutorLayer::new(|zakos, _store| Box::new(Audit(zakos))));
    let global = GlobalState::new(options)?;

    // 2. A workspace, and a build of all that it has.
    let session = Session::open(global, &workspace)?;
    println!("workspace {}", session.root().display());
    let report = build(&session).await;
    show(&report);
    if report.fault().is_some() {
        // Each was an event already; the first one says how this program ends.
        return Err(first_error(report));
    }
    for target in &report.targets {
        for file in &target.files {
            println!("{} is {}", target.label, file.as_str());
        }
    }

    // 3. A build that nobody wants to wait for.
    let report = cancelled(&session).await;
    show(&report);
    Ok(())
}

/// Writes down what ran and what it cost. It could as well send the job to another machine, or refuse it.
struct Audit(Box<dyn Executor>);

impl Executor for Audit {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<Executed, ExecuteError>> + Send + 'a>> {
        Box::pin(async move {
            let executed = self.0.execute(job, sink, cancel).await?;
            let owner = &job.action.spec.owner;
            println!("audit: {owner} ended with {:?}", executed.exit);
            Ok(executed)
        })
    }
}

/// The host function behind `setting`. What it returns becomes part of the build, so it must not change meanwhile;
/// an error is thrown to the script, with the script's own line.
fn setting(arguments: &Json) -> Result<Json, String> {
    match arguments["name"].as_str() {
        Some("product") => Ok("acme".into()),
        Some("channel") => Ok("nightly".into()),
        Some(other) => Err(format!(
            "acme has no setting \"{other}\"; there are product and channel"
        )),
        None => Err("a setting's name is a string".to_owned()),
    }
}

/// Builds everything and prints what happens as it happens. A build waits when nobody takes its events.
async fn build(session: &Session) -> BuildReport {
    let mut build = session.build(&["//...".to_owned()], BuildOptions::default());
    while let Some(event) = build.next_event().await {
        match event {
            BuildEvent::PackageEvaluated { package, wall_ms } => {
                println!("evaluated //{package} in {wall_ms} ms")
            }
            BuildEvent::Planned { targets, actions } => {
                println!("{targets} targets, {actions} actions")
            }
            BuildEvent::ActionStarted(action) => {
                println!("{}: {} ...", action.owner, action.message)
            }
            BuildEvent::ActionFinished { action, status, .. } => {
                println!("{}: {}", action.message, word(status))
            }
            BuildEvent::Diagnostic(diagnostic) => println!("{diagnostic}"),
            _ => {}
        }
    }
    build.report().await
}

/// Starts what would take ten minutes, and stops it when it runs. The report comes when its processes are gone.
async fn cancelled(session: &Session) -> BuildReport {
    let mut build = session.build(&["//:endless".to_owned()], BuildOptions::default());
    let cancel = build.cancel_handle();
    while let Some(event) = build.next_event().await {
        if let BuildEvent::ActionStarted(action) = event {
            println!("{}: cancelled", action.message);
            cancel.cancel();
        }
    }
    build.report().await
}

fn first_error(report: BuildReport) -> Diagnostic {
    let mut errors = report
        .diagnostics
        .into_iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors
        .next()
        .unwrap_or_else(|| Diagnostic::error(Fault::Interrupted, "the build was cancelled"))
}

fn show(report: &BuildReport) {
    let actions = &report.actions;
    let ending = if report.cancelled {
        "cancelled"
    } else {
        "done"
    };
    println!(
        "{ending}: {} run, {} from cache, {} up to date, {} cancelled",
        actions.run, actions.from_cache, actions.up_to_date, actions.cancelled
    );
}

fn word(status: ActionStatus) -> &'static str {
    match status {
        ActionStatus::Ran => "ran",
        ActionStatus::FromCache => "from cache",
        ActionStatus::UpToDate => "up to date",
        ActionStatus::Failed => "failed",
        ActionStatus::Skipped => "skipped",
        ActionStatus::Cancelled => "cancelled",
    }
}
