//! From what rules declare to actions: the engine's side of `ctx.run`, `ctx.write`, `ctx.copy`, `ctx.symlink` and `ctx.tree`.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;
use zako_action::{ActionBody, ActionSpec, OutputKind, OutputSpec, Stdin, ToolRef};
use zako_path::NeutralPath;
use zako_script::{ArtifactRef, Value};

use super::command::{self, Item, Paths};
use super::draft::{Draft, Late, Step};
use super::fields::{Fields, FileRef, Settings, Sourced, StdinRef, unique};
use super::file_work::FileWork;
use super::task::Lookup;
use super::{Target, TaskAttrs};
use crate::fetch::Fetch;

/// An action that a target declares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lowered {
    pub(crate) spec: ActionSpec,
    /// The script module that it runs, if it runs one.
    pub(crate) script: Option<NeutralPath>,
    /// What zako does itself, if that is all; the body is not looked at then.
    pub(crate) work: Option<Arc<FileWork>>,
    /// Whether it is a test: run only when tests are asked for.
    pub(crate) test: bool,
}

/// The fields of `ctx.run`, in the order in which they are documented.
const RUN_FIELDS: [&str; 19] = [
    "args",
    "inputs",
    "staged",
    "tools",
    "outputs",
    "depfile",
    "stdin",
    "env",
    "cpu",
    "memory",
    "network",
    "resources",
    "timeout",
    "retries",
    "isolation",
    "cache",
    "worker",
    "mnemonic",
    "message",
];

/// The action of a task.
pub(super) fn lower_task(
    target: &Target,
    attrs: &TaskAttrs,
    lookup: &dyn Lookup,
) -> Result<Draft, String> {
    attrs.lower(&target.label, lookup)
}

/// The action that a rule's `analyze` declared as `action` (see `RunSpec` in `rule.ts`).
pub(crate) fn lower(target: &Target, action: Json) -> Result<Draft, String> {
    let action = Value::from_json(action).map_err(|e| e.to_string())?;
    let Some(fields) = action.as_object() else {
        return Err("an action is an object".to_owned());
    };
    match fields.get("work") {
        Some(Value::Object(work))
            if work.get("kind").and_then(Value::as_str) == Some("dynamic") =>
        {
            step(target, work, fields.get("outputs"))
        }
        Some(Value::Object(work)) => file_work(target, work, fields.get("outputs")),
        _ => run(target, fields),
    }
}

/// `ctx.run`.
fn run(target: &Target, fields: &IndexMap<String, Value>) -> Result<Draft, String> {
    let fields = Fields {
        of: "ctx.run",
        fields,
    };
    let known: Vec<&str> = RUN_FIELDS.into_iter().chain(["test"]).collect();
    fields.only("field", &known)?;
    let outputs = outputs("ctx.run", fields.get("outputs"))?;
    let depfile = match fields.get("depfile") {
        None => None,
        Some(value) => match File::of(value) {
            Some(file) => Some(file.path),
            None => return fields.wrong("depfile", "a file", value),
        },
    };
    let items = match fields.get("args") {
        None => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|value| command::item("ctx.run", value, &|_| None))
            .collect::<Result<Vec<_>, _>>()?,
        Some(other) => return fields.wrong("args", "a list of strings and files", other),
    };
    if items.is_empty() {
        return Err("ctx.run needs args: the program and its arguments".to_owned());
    }
    let mut used = Vec::new();
    let words = command::words(&items, &Analysed, &mut used)?;
    let sourced = |key: &str| -> Result<(Vec<NeutralPath>, Vec<super::depset::SetId>), String> {
        let Sourced { files, sets } = fields.files(key, &|value| match FileRef::of(value) {
            Some(file @ FileRef::File(_)) => Ok(file),
            _ => fields.wrong(key, "files and depsets of files", value),
        })?;
        let mut paths = Vec::with_capacity(files.len());
        for file in &files {
            paths.extend(Analysed.paths(file, &mut Vec::new())?);
        }
        Ok((paths, sets))
    };
    let (inputs, input_sets) = sourced("inputs")?;
    let (staged, staged_sets) = sourced("staged")?;
    let (tools, tool_sets) = sourced("tools")?;
    let settings = Settings::parse(&fields)?;
    let mnemonic = fields.text("mnemonic")?;
    let mnemonic = mnemonic.unwrap_or_else(|| target.rule.export.clone());
    let plain = command::plain(&words);
    let late = Late {
        argv: if plain.is_some() { Vec::new() } else { words },
        inputs: input_sets,
        staged: staged_sets.into_iter().chain(tool_sets).collect(),
        step: None,
    };
    let argv = plain.unwrap_or_default();
    let mut spec = ActionSpec::new(
        target.label.to_string(),
        mnemonic,
        ActionBody::Command { argv },
    );
    settings.apply(&mut spec);
    if let Some(Item::File(FileRef::File(program))) = items.first() {
        let program = NeutralPath::new(program.clone()).map_err(|e| e.to_string())?;
        spec.tools.push(ToolRef::Artifact(program));
    }
    spec.tools.extend(command::host_references(&items));
    spec.tools
        .extend(tools.iter().cloned().map(ToolRef::Artifact));
    used.extend(inputs);
    let mut staged: Vec<NeutralPath> = staged.into_iter().chain(tools).collect();
    let stdin = fields.stdin(&|value| match FileRef::of(value) {
        Some(file @ FileRef::File(_)) => Ok(file),
        _ => fields.wrong("stdin", "a file or { text: \"…\" }", value),
    })?;
    spec.stdin = match stdin {
        None => None,
        Some(StdinRef::Text(text)) => Some(Stdin::Text(text)),
        Some(StdinRef::File(file)) => {
            let path = Analysed.paths(&file, &mut Vec::new())?.pop();
            staged.extend(path.clone());
            path.map(Stdin::File)
        }
    };
    let is_written = |path: &NeutralPath| {
        depfile.as_ref() == Some(path) || outputs.iter().any(|o| o.path == *path)
    };
    used.retain(|path| !is_written(path));
    spec.inputs = unique(used);
    let exact: std::collections::HashSet<&NeutralPath> = spec.inputs.iter().collect();
    staged.retain(|path| !is_written(path) && !exact.contains(path));
    spec.staged = unique(staged);
    spec.depfile = depfile;
    spec.outputs = outputs;
    let test = fields.flag("test", false)?;
    let is_late = late != Late::default();
    Ok(Draft {
        action: Lowered {
            spec,
            script: None,
            work: None,
            test,
        },
        late: is_late.then(|| Box::new(late)),
    })
}

/// `ctx.dynamic`.
fn step(
    target: &Target,
    work: &IndexMap<String, Value>,
    written: Option<&Value>,
) -> Result<Draft, String> {
    let of = "ctx.dynamic";
    let text = |key: &str| work.get(key).and_then(Value::as_str).unwrap_or_default();
    let reads = outputs(of, work.get("reads"))?;
    let outputs = outputs(of, written)?;
    let reads: Vec<NeutralPath> = unique(reads.into_iter().map(|file| file.path).collect());
    if let Some(both) = outputs.iter().find(|output| reads.contains(&output.path)) {
        return Err(format!("{of} reads {}, which it writes", both.path));
    }
    let mut spec = ActionSpec::new(
        target.label.to_string(),
        "dynamic",
        ActionBody::Command { argv: Vec::new() },
    );
    spec.inputs.clone_from(&reads);
    spec.outputs = outputs;
    let step = Step {
        module: text("module").to_owned(),
        export: text("export").to_owned(),
        params: text("params").to_owned(),
        reads,
    };
    Ok(Draft {
        action: Lowered {
            spec,
            script: None,
            work: None,
            test: false,
        },
        late: Some(Box::new(Late {
            step: Some(step),
            ..Late::default()
        })),
    })
}

/// `ctx.write`, `ctx.copy`, `ctx.symlink` and `ctx.tree`: `{ kind, … }`.
fn file_work(
    target: &Target,
    work: &IndexMap<String, Value>,
    written: Option<&Value>,
) -> Result<Draft, String> {
    let fields = |of| Fields { of, fields: work };
    let kind = work.get("kind").and_then(Value::as_str);
    let file = |of: &'static str, key: &str| -> Result<NeutralPath, String> {
        let found = work.get(key).unwrap_or(&Value::Undefined);
        match File::of(found) {
            Some(file) => Ok(file.path),
            None => fields(of).wrong(key, "a file", found),
        }
    };
    let (of, work) = match kind {
        Some("write") => {
            let fields = fields("ctx.write");
            let work = FileWork::Write {
                text: fields.text("text")?.unwrap_or_default(),
                executable: fields.flag("executable", false)?,
            };
            ("ctx.write", work)
        }
        Some("copy") => {
            let from = file("ctx.copy", "from")?;
            ("ctx.copy", FileWork::Copy { from })
        }
        Some("symlink") => {
            let to = file("ctx.symlink", "to")?;
            ("ctx.symlink", FileWork::Symlink { to })
        }
        Some("tree") => {
            let entries = match work.get("files") {
                Some(Value::Object(files)) => tree(files)?,
                other => {
                    let other = other.unwrap_or(&Value::Undefined);
                    return fields("ctx.tree").wrong("files", "an object of files", other);
                }
            };
            ("ctx.tree", FileWork::Tree { entries })
        }
        Some("fetch") => {
            let fields = fields("fetch");
            let strip = match work.get("strip") {
                Some(Value::Number(strip)) => Some(*strip as u32),
                _ => None,
            };
            let fetch = Fetch {
                url: fields.text("url")?.unwrap_or_default(),
                integrity: fields.text("integrity")?,
                strip,
                executable: fields.flag("executable", false)?,
            };
            ("fetch", FileWork::Fetch(fetch))
        }
        _ => return Err("an action needs something to do".to_owned()),
    };
    let outputs = outputs(of, written)?;
    let mut spec = ActionSpec::new(
        target.label.to_string(),
        work.mnemonic(),
        ActionBody::Command { argv: Vec::new() },
    );
    spec.inputs = work.inputs();
    if let Some(both) = outputs.iter().find(|o| spec.inputs.contains(&o.path)) {
        return Err(format!("{of} reads {}, which it writes", both.path));
    }
    spec.outputs = outputs;
    if let FileWork::Fetch(fetch) = &work {
        spec.network = true;
        spec.resources.network_slots = 1;
        // What nobody knows yet is asked for each time, and pinned.
        spec.cache = fetch.integrity.is_some();
    }
    let action = Lowered {
        spec,
        script: None,
        work: Some(Arc::new(work)),
        test: false,
    };
    Ok(Draft::from(action))
}

/// What goes where in a directory; nothing may stand inside of something else.
fn tree(files: &IndexMap<String, Value>) -> Result<Vec<(NeutralPath, NeutralPath)>, String> {
    let mut entries = Vec::with_capacity(files.len());
    for (path, value) in files {
        let place = match NeutralPath::new(path.as_str()) {
            Ok(place) if !place.is_root() => place,
            Ok(_) => return Err("ctx.tree: a path in the directory is empty".to_owned()),
            Err(e) => {
                return Err(format!(
                    "ctx.tree: \"{path}\" is not a path in the directory: {e}"
                ));
            }
        };
        let Some(source) = File::of(value) else {
            return Err(format!(
                "ctx.tree takes a file for \"{path}\", not {}",
                value.kind()
            ));
        };
        entries.push((place, source.path));
    }
    entries.sort();
    for pair in entries.windows(2) {
        if pair[1].0.starts_with(&pair[0].0) {
            return Err(format!(
                "ctx.tree: \"{}\" is inside of \"{}\", which is a file",
                pair[1].0, pair[0].0
            ));
        }
    }
    Ok(entries)
}

fn outputs(of: &'static str, value: Option<&Value>) -> Result<Vec<OutputSpec>, String> {
    let list = match value {
        None | Some(Value::Undefined | Value::Null) => &[][..],
        Some(Value::Array(list)) => list,
        Some(other) => {
            return Err(format!(
                "\"outputs\" of {of} takes a list of files, not {}",
                other.kind()
            ));
        }
    };
    let output = |value: &Value| match File::of(value) {
        Some(File { path, directory }) => Ok(OutputSpec {
            path,
            kind: match directory {
                true => OutputKind::Directory,
                false => OutputKind::File,
            },
            name: None,
        }),
        None => Err(format!(
            "\"outputs\" of {of} takes files, not {}",
            value.kind()
        )),
    };
    list.iter().map(output).collect()
}

/// Files as analysis knows them: by their paths.
struct Analysed;

impl Paths for Analysed {
    fn paths(
        &self,
        file: &FileRef,
        used: &mut Vec<NeutralPath>,
    ) -> Result<Vec<NeutralPath>, String> {
        let FileRef::File(path) = file else {
            return Err(
                "ctx.run takes files, and no targets; use the files of a dependency".into(),
            );
        };
        let path = NeutralPath::new(path.clone()).map_err(|e| e.to_string())?;
        used.push(path.clone());
        Ok(vec![path])
    }

    fn own(&self, _item: &Item) -> Result<Vec<String>, String> {
        Err("ctx.run has no such item".to_owned())
    }
}

/// A file as analysis knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: NeutralPath,
    pub(super) directory: bool,
}

impl File {
    /// The file that `value` is.
    fn of(value: &Value) -> Option<File> {
        match value {
            Value::Artifact(ArtifactRef::File { path, directory }) => Some(File {
                path: NeutralPath::new(path.clone()).ok()?,
                directory: *directory,
            }),
            _ => None,
        }
    }

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
