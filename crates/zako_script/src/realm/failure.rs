//! Errors of a realm as its author wrote them: positions through the source maps, the user's frames first.

use std::collections::HashMap;
use std::sync::Arc;

use deno_core::error::{CoreError, CoreErrorKind, JsError};
use parking_lot::Mutex;
use sourcemap::SourceMap;

use super::Limits;
use super::control::{Control, StopReason};
use super::ops::{JsPlace, is_user_url};
use crate::error::{Frame, Place, ScriptError, ScriptErrorKind};
use crate::module::ModuleSet;

/// How deep a chain of causes is followed.
const MAX_CAUSES: usize = 8;
/// How deno_core begins its report of a top-level await that cannot go on.
const STALLED: &str = "Top-level await promise never resolved";

/// From places in JavaScript to places in what its author wrote, for one evaluation's modules.
pub(crate) struct Places {
    modules: Arc<ModuleSet>,
    maps: Mutex<HashMap<String, Option<Arc<SourceMap>>>>,
}

impl Places {
    pub(crate) fn new(modules: Arc<ModuleSet>) -> Self {
        Places {
            modules,
            maps: Mutex::new(HashMap::new()),
        }
    }

    /// The place that a person knows, for one in JavaScript; itself where there is no map.
    pub(crate) fn original(&self, place: &JsPlace) -> Place {
        let mapped = self.map(&place.url).and_then(|map| {
            let token =
                map.lookup_token(place.line.saturating_sub(1), place.column.saturating_sub(1))?;
            Some((token.get_src_line() + 1, token.get_src_col() + 1))
        });
        let (line, column) = mapped.unwrap_or((place.line, place.column));
        Place {
            file: self.shown(&place.url),
            line,
            column,
            length: 0,
        }
    }

    fn map(&self, url: &str) -> Option<Arc<SourceMap>> {
        self.maps
            .lock()
            .entry(url.to_owned())
            .or_insert_with(|| {
                let module = self.modules.get(url)?;
                SourceMap::from_slice(module.map.as_bytes())
                    .ok()
                    .map(Arc::new)
            })
            .clone()
    }

    fn shown(&self, url: &str) -> String {
        self.modules
            .get(url)
            .map_or_else(|| url.to_owned(), |module| module.specifier.shown())
    }

    /// The error of a script that was stopped.
    pub(super) fn stopped(&self, control: &Control) -> ScriptError {
        let Limits { heap_bytes, time } = control.limits();
        let (kind, message, help) = match control.reason() {
            Some(StopReason::Timeout) => (
                ScriptErrorKind::Timeout,
                format!("the script ran longer than its limit of {time:?}"),
                Some("look for a loop that does not end; heavy work belongs in a task"),
            ),
            Some(StopReason::HeapLimit) => (
                ScriptErrorKind::HeapLimit,
                format!(
                    "the script needed more memory than its limit of {} MiB",
                    heap_bytes >> 20
                ),
                Some("look for data that grows without end; heavy work belongs in a task"),
            ),
            Some(StopReason::Cancelled) => (
                ScriptErrorKind::Cancelled,
                "the evaluation was cancelled".to_owned(),
                None,
            ),
            None => (
                ScriptErrorKind::Internal,
                "the script was stopped for no known reason".to_owned(),
                None,
            ),
        };
        let mut error = ScriptError::new(kind, message);
        error.help = help.map(str::to_owned);
        error.frames = control
            .stack()
            .iter()
            .map(|(function, place)| Frame {
                function: function.clone(),
                place: self.original(place),
                user: is_user_url(&place.url),
            })
            .collect();
        self.locate(error)
    }

    /// The error that deno_core reports, as the script's author should see it.
    pub(super) fn failure(&self, control: &Control, error: CoreError) -> ScriptError {
        if control.reason().is_some() {
            return self.stopped(control);
        }
        match error.into_kind() {
            CoreErrorKind::Js(thrown) => self.thrown(&thrown, 0),
            CoreErrorKind::CouldNotExecute { error, .. } => self.failure(control, (*error).into()),
            CoreErrorKind::PendingPromiseResolution | CoreErrorKind::ModuleEvaluationDeadlock => {
                ScriptError::new(
                    ScriptErrorKind::Deadlock,
                    "a top-level await waits for something that never happens",
                )
            }
            other => ScriptError::new(ScriptErrorKind::Internal, other.to_string()),
        }
    }

    fn thrown(&self, thrown: &JsError, depth: usize) -> ScriptError {
        let frames: Vec<Frame> = thrown
            .frames
            .iter()
            .filter_map(|frame| {
                let url = frame.file_name.clone()?;
                let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
                Some(Frame {
                    function: frame.function_name.clone(),
                    user: is_user_url(&url),
                    place: Place {
                        file: self.shown(&url),
                        line: number(frame.line_number),
                        column: number(frame.column_number),
                        length: 0,
                    },
                })
            })
            .collect();
        let stalled = thrown.exception_message.contains(STALLED);
        let text = match (&thrown.name, &thrown.message) {
            (Some(name), Some(message)) if !message.is_empty() && name != "Error" => {
                format!("{name}: {message}")
            }
            (Some(_), Some(message)) if !message.is_empty() => message.clone(),
            (Some(name), _) => name.clone(),
            _ => {
                let text = &thrown.exception_message;
                let text = text.strip_prefix("Uncaught ").unwrap_or(text);
                text.strip_prefix("(in promise) ")
                    .unwrap_or(text)
                    .to_owned()
            }
        };
        let mut error = if stalled {
            ScriptError::new(
                ScriptErrorKind::Deadlock,
                "this top-level await waits for something that never happens",
            )
            .with_help(
                "nothing outside the script can settle a promise; every builtin answers at once",
            )
        } else {
            ScriptError::new(ScriptErrorKind::Throw, text)
        };
        if thrown
            .message
            .as_deref()
            .is_some_and(|m| m.contains("does not provide an export named"))
        {
            error.kind = ScriptErrorKind::Resolve;
            error.help = Some("if it is a type, write `import type`; a plain import must exist when the script runs".to_owned());
        }
        if thrown.name.as_deref() == Some("TypeError")
            && thrown.message.as_deref().is_some_and(tells_of_frozen)
        {
            error.help = Some(
                "what a library or rule module holds is frozen once it has run, and what comes from another module is frozen too; \
                 change a copy (`{ ...x }`, `[...x]`, `new Map(x)`), or make what changes in the function that needs it"
                    .to_owned(),
            );
        }
        error.frames = frames;
        error.cause = match &thrown.cause {
            Some(cause) if depth < MAX_CAUSES => Some(Box::new(self.thrown(cause, depth + 1))),
            _ => None,
        };
        self.locate(error)
    }

    /// Points the error at its innermost frame in the user's code.
    fn locate(&self, mut error: ScriptError) -> ScriptError {
        if error.place.is_none()
            && let Some(frame) = error.frames.iter().find(|frame| frame.user)
        {
            error.source = self
                .modules
                .iter()
                .find(|m| m.specifier.shown() == frame.place.file)
                .map(|m| m.source.clone())
                .filter(|source| !source.is_empty());
            error.place = Some(frame.place.clone());
        }
        error
    }
}

/// Whether V8, or a collection (harden.js), refuses with `message` to change what is frozen.
fn tells_of_frozen(message: &str) -> bool {
    const BEGINNINGS: [&str; 5] = [
        "Cannot assign to read only property ",
        "Cannot add property ",
        "Cannot delete property ",
        "Cannot define property ",
        "Cannot redefine property: ",
    ];
    BEGINNINGS.iter().any(|text| message.starts_with(text))
        || message.ends_with("object is not extensible")
        || message.ends_with("is frozen once it has run")
}
