//! From what rules declare to actions: the engine's side of `ctx.run` and `ctx.write`.

use serde_json::Value as Json;
use zako_action::{ActionBody, ActionSpec, OutputKind, OutputSpec, ToolRef};
use zako_path::NeutralPath;

use super::task::Lookup;
use super::{Target, TaskAttrs};

/// An action that a target declares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lowered {
    pub(crate) spec: ActionSpec,
    /// The script module that it runs, if it runs one.
    pub(crate) script: Option<NeutralPath>,
    /// The text that it writes, if that is all it does.
    pub(crate) write: Option<String>,
    /// Whether it is a test: run only when tests are asked for.
    pub(crate) test: bool,
}

/// The action of a task.
pub(super) fn lower_task(
    target: &Target,
    attrs: &TaskAttrs,
    lookup: &dyn Lookup,
) -> Result<Lowered, String> {
    let lowered = attrs.lower(&target.label, lookup)?;
    Ok(Lowered {
        spec: lowered.spec,
        script: lowered.script,
        write: None,
        test: false,
    })
}

/// The action that a rule's `analyze` declared as `action` (see `RunSpec` in `rule.ts`).
pub(crate) fn lower(target: &Target, action: &Json) -> Result<Lowered, String> {
    let Json::Object(fields) = action else {
        return Err("an action is an object".to_owned());
    };
    const KNOWN: [&str; 10] = [
        "args", "inputs", "staged", "outputs", "depfile", "env", "mnemonic", "message", "test",
        "write",
    ];
    if let Some(unknown) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let near = zako_script::nearest(unknown, KNOWN.into_iter());
        let hint = near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
        return Err(format!("ctx.run has no field \"{unknown}\"{hint}"));
    }
    // What is given as `undefined` is not given.
    let get = |key: &str| {
        let value = fields.get(key)?;
        (!value.is_null() && *value != undefined()).then_some(value)
    };
    let list = |key: &str, wanted: &str| -> Result<&[Json], String> {
        match get(key) {
            None => Ok(&[]),
            Some(Json::Array(items)) => Ok(items),
            Some(_) => Err(format!("{key} of ctx.run takes a list of {wanted}")),
        }
    };
    let files = |key: &str| -> Result<Vec<File>, String> {
        list(key, "files")?
            .iter()
            .map(|item| File::parse(item).ok_or_else(|| format!("{key} of ctx.run takes files")))
            .collect()
    };
    let outputs = files("outputs")?;
    let mut argv = Vec::new();
    let mut inputs = Vec::new();
    let mut tools = Vec::new();
    for (at, arg) in list("args", "strings and files")?.iter().enumerate() {
        match (arg.as_str(), File::parse(arg)) {
            (Some(text), _) => argv.push(text.to_owned()),
            (None, None) if host_tool(arg).is_some() => {
                let path = host_tool(arg).unwrap_or_default();
                argv.push(path.to_owned());
                // What runs is a tool anyway.
                if at > 0 {
                    tools.push(ToolRef::Host(path.to_owned()));
                }
            }
            (None, Some(file)) => {
                argv.push(file.path.to_string());
                if at == 0 {
                    tools.push(ToolRef::Artifact(file.path.clone()));
                }
                inputs.push(file.path);
            }
            (None, None) => return Err("args of ctx.run takes strings and files".to_owned()),
        }
    }
    let text = |key: &str| match get(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{key} of ctx.run takes a string")),
    };
    let write = text("write")?;
    if argv.is_empty() && write.is_none() {
        return Err("ctx.run needs args: the program and its arguments".to_owned());
    }
    let depfile = match get("depfile") {
        None => None,
        Some(file) => Some(
            File::parse(file)
                .ok_or("depfile of ctx.run takes a file")?
                .path,
        ),
    };
    let is_written = |path: &NeutralPath| {
        outputs.iter().any(|o| o.path == *path) || depfile.as_ref() == Some(path)
    };
    inputs.extend(files("inputs")?.into_iter().map(|file| file.path));
    inputs.retain(|path| !is_written(path));
    let mut seen = std::collections::HashSet::new();
    inputs.retain(|path| seen.insert(path.clone()));
    let mut staged: Vec<NeutralPath> = files("staged")?.into_iter().map(|file| file.path).collect();
    staged.retain(|path| !is_written(path) && seen.insert(path.clone()));

    let mnemonic = text("mnemonic")?.unwrap_or_else(|| {
        if write.is_some() {
            "write".to_owned()
        } else {
            target.rule.export.clone()
        }
    });
    let mut spec = ActionSpec::new(
        target.label.to_string(),
        mnemonic,
        ActionBody::Command { argv },
    );
    spec.message = text("message")?;
    spec.inputs = inputs;
    spec.staged = staged;
    spec.tools = tools;
    spec.depfile = depfile;
    spec.outputs = outputs
        .into_iter()
        .map(|file| OutputSpec {
            path: file.path,
            kind: if file.directory {
                OutputKind::Directory
            } else {
                OutputKind::File
            },
            name: None,
        })
        .collect();
    let env = match get("env") {
        None => None,
        Some(Json::Object(env)) => Some(env),
        Some(_) => return Err("env of ctx.run takes an object of strings".to_owned()),
    };
    for (name, value) in env.into_iter().flatten() {
        let Some(value) = value.as_str() else {
            return Err(format!("env.{name} of ctx.run takes a string"));
        };
        spec.env.insert(name.clone(), value.to_owned());
    }
    let test = match get("test") {
        None => false,
        Some(Json::Bool(test)) => *test,
        Some(_) => return Err("test of ctx.run takes true or false".to_owned()),
    };
    Ok(Lowered {
        spec,
        script: None,
        write,
        test,
    })
}

/// The path in `{"$zako": ["tool", PATH]}`, a program of the machine.
fn host_tool(json: &Json) -> Option<&str> {
    let parts = json.get("$zako")?.as_array()?;
    (parts.first()?.as_str()? == "tool").then_some(())?;
    parts.get(1)?.as_str()
}

/// `undefined`, as realms encode it.
fn undefined() -> Json {
    serde_json::json!({ "$zako": ["undefined"] })
}

/// A file as analysis knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: NeutralPath,
    directory: bool,
}

impl File {
    /// Reads `{"$zako": ["file", PATH, DIRECTORY]}`.
    pub(super) fn parse(json: &Json) -> Option<File> {
        let parts = json.get("$zako")?.as_array()?;
        if parts.first()?.as_str()? != "file" {
            return None;
        }
        Some(File {
            path: NeutralPath::new(parts.get(1)?.as_str()?).ok()?,
            directory: parts.get(2)?.as_bool()?,
        })
    }

    /// The wire form of a file.
    pub(super) fn json(path: &NeutralPath, directory: bool) -> Json {
        serde_json::json!({ "$zako": ["file", path.as_str(), directory] })
    }
}
