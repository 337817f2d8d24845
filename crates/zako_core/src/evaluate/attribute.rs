//! Errors of attributes stand where the attribute is written, and not just at the call that has it.

use std::sync::Arc;

use zako_path::NeutralPath;
use zako_script::{AttributeStep, Place};

use super::Services;
use crate::diagnostic::Location;
use crate::execute::NamedAt;
use crate::label::Label;

/// An attribute that an evaluation found wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blame {
    /// From the call's object to the value.
    pub(crate) path: Vec<AttributeStep>,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl Blame {
    /// What a builtin says as `{ path, message }`.
    pub(super) fn of(args: &serde_json::Value) -> Option<Blame> {
        let step = |step: &serde_json::Value| match (step.as_str(), step.as_u64()) {
            (Some(key), _) => Some(AttributeStep::Key(key.to_owned())),
            (None, Some(index)) => Some(AttributeStep::Index(usize::try_from(index).ok()?)),
            (None, None) => {
                let name = step["name"].as_str()?;
                Some(AttributeStep::Name(name.to_owned()))
            }
        };
        Some(Blame {
            path: args["path"]
                .as_array()?
                .iter()
                .map(step)
                .collect::<Option<_>>()?,
            message: args["message"].as_str()?.to_owned(),
        })
    }

    /// For an attribute that is named in quotes at the beginning of `message`, or that it says there is none of.
    pub(super) fn quoted(message: &str) -> Option<Blame> {
        let path = match message.strip_prefix('"') {
            Some(rest) => steps(rest.split_once('"')?.0),
            None => {
                let (_, rest) = message.split_once(" has no attribute \"")?;
                vec![AttributeStep::Name(rest.split_once('"')?.0.to_owned())]
            }
        };
        Some(Blame {
            path,
            message: message.to_owned(),
        })
    }
}

/// Where declarations name files, if they do so in plain words: for files that turn out not to be there.
pub(crate) fn names_of_files(services: Arc<Services>) -> NamedAt {
    Arc::new(move |owner, declared, path| {
        let label = Label::parse(owner.split(' ').next()?, None).ok()?;
        let text = path.strip_prefix(&label.package)?.to_string();
        let step = AttributeStep::Text(text);
        let found = point_at(&services, declared.clone(), vec![step]);
        // Whoever asks may block, and the transpiler has threads of its own.
        let found = futures::executor::block_on(found);
        (found != *declared).then_some(found)
    })
}

/// The way to `place`, as `retries.on[1]` says it. Keys that have a point in them themselves lead to what is around them.
fn steps(place: &str) -> Vec<AttributeStep> {
    let mut steps = Vec::new();
    for key in place.split('.') {
        let mut parts = key.split('[');
        steps.extend(parts.next().map(|key| AttributeStep::Key(key.to_owned())));
        let indices = parts.map_while(|index| index.strip_suffix(']')?.parse().ok());
        steps.extend(indices.map(AttributeStep::Index));
    }
    steps
}

/// The place of the value at `path` in what the call at `call` was given, as far as it is written out there; else the call's.
pub(crate) async fn point_at(
    services: &Services,
    call: Location,
    path: Vec<AttributeStep>,
) -> Location {
    if path.is_empty() {
        return call;
    }
    let source = match &call.source {
        Some(source) if !source.is_empty() => Some(source.clone()),
        _ => NeutralPath::new(&call.file)
            .ok()
            .and_then(|file| services.workspace.read_text(&file).ok()),
    };
    let Some(source) = source else { return call };
    let place = Place {
        file: call.file.clone(),
        line: call.line,
        column: call.column,
        length: 0,
    };
    let found = services.transpiler.attribute_place(source, place, path);
    match found.await {
        Some(place) => Location::new(&place, call.source),
        None => call,
    }
}
