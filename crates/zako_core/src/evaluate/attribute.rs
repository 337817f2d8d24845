//! Errors of attributes stand where the attribute is written, and not just at the call that has it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use zako_path::NeutralPath;
use zako_script::{AttributeStep, ModuleKind, Place, Specifier, TranspileRequest};

use super::Services;
use crate::diagnostic::Location;
use crate::execute::NamedAt;
use crate::label::Label;
use crate::target::WRONG_OUTPUT;
use crate::workspace::BUILD_FILE;

/// In how many files a text is looked for.
const MAX_SEARCHED: usize = 64;

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

    /// For an attribute that is named in quotes at the beginning of `message`, or that it says there is none of, or for the item of
    /// a command that it says names no output.
    pub(super) fn quoted(message: &str) -> Option<Blame> {
        if let Some(rest) = message.strip_prefix(WRONG_OUTPUT) {
            let item = format!("$out.{}", rest.split_once('"')?.0);
            return Some(Blame {
                path: vec![AttributeStep::Text(item)],
                message: message.to_owned(),
            });
        }
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
        let found = text_at(&services, declared, &label.package, &text);
        // Whoever asks may block, and the transpiler has threads of its own.
        futures::executor::block_on(found)
    })
}

/// Where `text` is written as a string of its own: in the call at `call`, else anywhere in its file, in that of the package, and in
/// the libraries that those import, if only there.
async fn text_at(
    services: &Services,
    call: &Location,
    package: &NeutralPath,
    text: &str,
) -> Option<Location> {
    let step = AttributeStep::Text(text.to_owned());
    let found = point_at(services, call.clone(), vec![step]).await;
    if found != *call {
        return Some(found);
    }
    let build = package.join(BUILD_FILE).ok();
    let own = build.clone();
    let mut queue: VecDeque<NeutralPath> = NeutralPath::new(&call.file)
        .ok()
        .into_iter()
        .chain(build)
        .collect();
    let mut seen = HashSet::new();
    while let Some(file) = queue.pop_front() {
        if seen.len() == MAX_SEARCHED || !seen.insert(file.clone()) {
            continue;
        }
        let Ok(source) = services.workspace.read_text(&file) else {
            continue;
        };
        let (shown, text) = (file.to_string(), text.to_owned());
        let found = services
            .transpiler
            .text_place(shown.clone(), source.clone(), text);
        if let Some(place) = found.await {
            return Some(Location::new(&place, None));
        }
        let request = TranspileRequest {
            file: shown,
            source,
            identity: None,
            frozen: false,
        };
        let Ok(code) = services.transpiler.transpile(request).await else {
            continue;
        };
        let importer = Specifier::File(file);
        for import in &code.imports {
            // What another package says it says of its own files.
            if let Ok(Specifier::File(path)) = importer.resolve(&import.specifier)
                && (ModuleKind::of(&path) != Some(ModuleKind::Build) || own.as_ref() == Some(&path))
            {
                queue.push_back(path);
            }
        }
    }
    None
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
