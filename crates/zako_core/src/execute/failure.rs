//! Failures of actions, as a person is told them.

use zako_action::{ExecuteError, Exit, Job, ToolRef};
use zako_exec::{AcquireError, EscapingLink, LocalExecutor};
use zako_script::{ScriptError, ScriptErrorKind};

use super::PlannedAction;
use super::tools::is_of_the_machine;
use crate::diagnostic::{Diagnostic, Fault};
use crate::fetch::FetchError;

/// How an action that ended badly ended.
pub(super) fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(126) => {
            "failed: exit code 126 (a program that it runs cannot be executed)".to_owned()
        }
        Exit::Code(127) => {
            "failed: exit code 127 (a program that it runs was not found)".to_owned()
        }
        Exit::Code(code) => format!("failed: exit code {code}"),
        Exit::Signal(signal) => format!("failed: killed by signal {signal}{}", signal_name(signal)),
        Exit::TimedOut { after } => format!("timed out after {after:?}"),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (aborted)",
        7 => " (bus error)",
        8 => " (arithmetic error)",
        9 => " (killed; perhaps the machine ran out of memory)",
        11 => " (segmentation fault)",
        _ => "",
    }
}

/// An action that ran and ended badly, after that many attempts.
pub(super) fn ended_badly(
    planned: &PlannedAction,
    exit: Exit,
    attempts: u32,
    output: Option<String>,
) -> Diagnostic {
    let mut message = format!("{} {}", planned.subject(), describe(exit));
    if attempts > 1 {
        message.push_str(&format!(", after {attempts} attempts"));
    }
    let retries = planned.spec.retries.as_deref();
    if retries.is_some_and(|policy| !policy.causes.include(exit)) {
        message.push_str("; not tried again, because its `retries` do not name that");
    }
    Diagnostic {
        output,
        ..Diagnostic::error(Fault::Build, message)
    }
}

/// An action that could not be run, or not to a good end; `None` when it was cancelled.
pub(super) fn of_error(
    planned: &PlannedAction,
    error: ExecuteError,
    job: &Job,
    executor: Option<&LocalExecutor>,
    output: Option<String>,
) -> Option<Diagnostic> {
    let subject = planned.subject();
    let built = |message: String| Diagnostic::error(Fault::Build, message);
    let text = error.to_string();
    let diagnostic = match error {
        ExecuteError::Cancelled => return None,
        ExecuteError::MissingOutput { paths } => {
            let list: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
            let mut diagnostic = built(format!(
                "{subject} ended well, but did not write {}",
                list.join(", ")
            ));
            let alike = paths.iter().flat_map(|path| {
                executor
                    .map(|e| e.written_instead(job, path))
                    .unwrap_or_default()
            });
            let alike: Vec<String> = alike.map(|path| format!("`{path}`")).collect();
            diagnostic.help = Some(match alike.is_empty() {
                true => format!(
                    "make it write that path, or correct the outputs of {}",
                    planned.spec.owner
                ),
                false => format!(
                    "it wrote {}; declare that as its output, or make it write what is declared",
                    alike.join(", ")
                ),
            });
            diagnostic
        }
        ExecuteError::OutputKind {
            path,
            declared,
            found,
        } => built(format!(
            "{subject} wrote a {found} where it declares a {declared}: `{path}`"
        ))
        .with_help("a directory is declared with a `/` at its end"),
        ExecuteError::UndeclaredInput { .. }
        | ExecuteError::Depfile { .. }
        | ExecuteError::InputChanged { .. } => built(text),
        ExecuteError::MissingTool { .. } => Diagnostic::environment(text),
        ExecuteError::Spawn { ref program, .. } => {
            let mut tools = planned.spec.tools.iter();
            let is_own = tools.any(
                |tool| matches!(tool, ToolRef::Artifact(path) if program.ends_with(path.as_str())),
            );
            match is_own || !is_of_the_machine(program) {
                true => built(text)
                    .with_help("is it executable, and is what its first line names there?"),
                false => Diagnostic::environment(text),
            }
        }
        ExecuteError::Io { .. } | ExecuteError::Store(_) => {
            Diagnostic::environment(format!("{subject}: {text}"))
        }
        ExecuteError::Unsupported { .. } => Diagnostic::user(format!("{subject}: {text}")),
        ExecuteError::Script(_) => built(text),
        ExecuteError::Other(inner) => match inner.downcast::<ScriptError>() {
            Ok(error) => of_script(planned, *error),
            Err(inner) if inner.is::<FetchError>() => match inner.downcast::<FetchError>() {
                Ok(error) => of_fetch(&subject, &error),
                Err(inner) => Diagnostic::error(Fault::Bug, inner.to_string()),
            },
            Err(inner) if inner.is::<EscapingLink>() => built(format!("{subject}: {text}")),
            Err(inner) if inner.is::<zako_cas::TreeError>() => built(format!("{subject}: {text}")),
            Err(_) => Diagnostic::error(Fault::Bug, format!("{subject}: {text}")),
        },
        _ => Diagnostic::error(Fault::Bug, format!("{subject}: {text}")),
    };
    Some(Diagnostic {
        output,
        ..diagnostic
    })
}

/// The place is where the script failed, which says more than where the action was declared.
fn of_script(planned: &PlannedAction, error: ScriptError) -> Diagnostic {
    let kind = error.kind;
    let mut diagnostic = Diagnostic::from(error);
    let module = planned
        .script
        .as_ref()
        .map(|program| program.shown())
        .unwrap_or_default();
    diagnostic.message = format!("script {module} failed: {}", diagnostic.message);
    if !matches!(kind, ScriptErrorKind::Internal) {
        diagnostic.fault = Fault::Build;
    }
    diagnostic
}

/// The fault is whose the address, the server or the network is.
fn of_fetch(subject: &str, error: &FetchError) -> Diagnostic {
    let message = format!("{subject}: {error}");
    let diagnostic = match error {
        FetchError::Unlocked { .. } | FetchError::Integrity(_) | FetchError::Pins(_) => {
            Diagnostic::user(message)
        }
        FetchError::Offline { .. } | FetchError::Network { .. } | FetchError::Io { .. } => {
            Diagnostic::environment(message)
        }
        FetchError::Mismatch { .. }
        | FetchError::Status { .. }
        | FetchError::Archive { .. }
        | FetchError::Cancelled => Diagnostic::error(Fault::Build, message),
    };
    match error.help() {
        Some(help) => diagnostic.with_help(help),
        None => diagnostic,
    }
}

/// Why an action was not admitted; `None` when it was cancelled.
pub(super) fn of_admission(planned: &PlannedAction, error: &AcquireError) -> Option<Diagnostic> {
    match error {
        AcquireError::Cancelled => None,
        AcquireError::Unknown { .. } | AcquireError::TooLarge { .. } => Some(Diagnostic::user(
            format!("{} cannot run: {error}", planned.subject()),
        )),
        AcquireError::QueueFull => Some(Diagnostic::environment(format!(
            "{}: {error}",
            planned.subject()
        ))),
    }
}
