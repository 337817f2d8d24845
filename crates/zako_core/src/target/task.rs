//! `task`: its attributes, checked where it is called, and the action that it becomes.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use indexmap::IndexMap;
use zako_action::{
    ActionBody, ActionSpec, Isolation, OutputKind, OutputSpec, Resources, Stdin, ToolRef,
};
use zako_path::NeutralPath;
use zako_script::{ArtifactRef, TargetRef, Value, nearest};

use super::quantity;
use crate::label::Label;
use crate::workspace::OUTPUT_DIR;

/// The attributes, in the order in which they are documented.
const KEYS: [&str; 22] = [
    "inputs",
    "deps",
    "tools",
    "outputs",
    "command",
    "shell",
    "script",
    "env",
    "stdin",
    "depfile",
    "cpu",
    "memory",
    "network",
    "resources",
    "timeout",
    "retries",
    "isolation",
    "cache",
    "place",
    "message",
    "tags",
    // Said by `task` itself, not by its caller.
    "commandIsFunction",
];

/// The most times that a task is tried again; execution has the same bound.
const MAX_RETRIES: u32 = 10;

/// A file as a task names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileRef {
    /// A path below the package.
    Path(String),
    /// A file of the workspace.
    File(String),
    /// A named output; of the task itself when there is no label.
    Output(Option<String>, String),
    /// All that a target builds by default.
    Target(String),
}

/// One item of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Text(String),
    File(FileRef),
    Joined(Vec<Item>),
    In,
    Out,
    OutNamed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Command(Vec<Item>),
    Shell(String),
    Script(String),
}

/// A task's attributes, checked; files not looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskAttrs {
    inputs: Vec<FileRef>,
    deps: Vec<FileRef>,
    tools: Vec<FileRef>,
    /// Name (if it has one), path below the package, whether it is a directory.
    outputs: Vec<(Option<String>, String, bool)>,
    body: Body,
    env: BTreeMap<String, String>,
    stdin: Option<StdinRef>,
    depfile: Option<String>,
    resources: Resources,
    network: bool,
    timeout: Option<Duration>,
    retries: u32,
    isolation: Option<Isolation>,
    cache: bool,
    in_source: bool,
    message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum StdinRef {
    File(FileRef),
    Text(String),
}

/// What a task's files are, once its dependencies are known.
pub(crate) trait Lookup {
    /// What the target builds by default.
    fn files(&self, label: &str) -> Result<Vec<NeutralPath>, String>;
    /// The target's named output.
    fn output(&self, label: &str, name: &str) -> Result<NeutralPath, String>;
}

/// A task as an action, with what it exposes.
pub(crate) struct LoweredTask {
    pub(crate) spec: ActionSpec,
    /// The script module that it runs, if it runs one.
    pub(crate) script: Option<NeutralPath>,
}

impl TaskAttrs {
    /// Checks the attributes; the error is for the task's author, who is told the line by the caller.
    pub(crate) fn parse(attrs: &Value) -> Result<TaskAttrs, String> {
        let fields = attrs.as_object().ok_or("task takes an object")?;
        for key in fields.keys() {
            if !KEYS.contains(&key.as_str()) {
                let near = nearest(key, KEYS[..21].iter().copied());
                let hint = near.map_or_else(
                    || format!("it has {}", KEYS[..21].join(", ")),
                    |n| format!("did you mean \"{n}\"?"),
                );
                return Err(format!("task has no attribute \"{key}\"; {hint}"));
            }
        }
        let attrs = Attrs(fields);
        let body = attrs.body()?;
        let outputs = attrs.outputs()?;
        if matches!(body, Body::Script(_)) && attrs.get("stdin").is_some() {
            return Err("a script action has no standard input; read a file instead".to_owned());
        }
        for item in attrs.named_outs(&body) {
            if !outputs
                .iter()
                .any(|(name, path, _)| is_called(item, name.as_deref(), path))
            {
                return Err(format!(
                    "the command uses the output \"{item}\", which the task does not declare"
                ));
            }
        }
        attrs.tags()?;
        let (network, network_slots) = attrs.network()?;
        Ok(TaskAttrs {
            inputs: attrs.files("inputs")?,
            deps: attrs.files("deps")?,
            tools: attrs.files("tools")?,
            env: attrs.strings("env")?,
            stdin: attrs.stdin()?,
            depfile: attrs
                .text("depfile")?
                .map(|path| relative(&path, "depfile"))
                .transpose()?,
            resources: Resources {
                cpu_millis: attrs.cpu()?,
                memory: attrs.memory()?,
                network_slots,
                named: attrs.named_resources()?,
            },
            network,
            timeout: attrs.timeout()?,
            retries: attrs.count("retries", MAX_RETRIES)?,
            isolation: attrs.isolation()?,
            cache: attrs.flag("cache", true)?,
            in_source: attrs.in_source()?,
            message: attrs.text("message")?,
            body,
            outputs,
        })
    }

    /// Where the task's outputs are, in order.
    pub(crate) fn output_paths(&self, package: &NeutralPath) -> Result<Vec<OutputSpec>, String> {
        self.outputs
            .iter()
            .map(|(name, path, directory)| {
                Ok(OutputSpec {
                    path: self.place(package, path)?,
                    kind: if *directory {
                        OutputKind::Directory
                    } else {
                        OutputKind::File
                    },
                    name: name.clone(),
                })
            })
            .collect()
    }

    fn place(&self, package: &NeutralPath, path: &str) -> Result<NeutralPath, String> {
        let base = if self.in_source {
            package.clone()
        } else {
            output_folder(package)
        };
        base.join(path)
            .map_err(|e| format!("\"{path}\" is not an output's path: {e}"))
    }

    /// The task as an action.
    pub(crate) fn lower(&self, label: &Label, lookup: &dyn Lookup) -> Result<LoweredTask, String> {
        let package = &label.package;
        let outputs = self.output_paths(package)?;
        let resolver = Resolver {
            package,
            declared: &self.outputs,
            outputs: &outputs,
            lookup,
        };
        let inputs = resolver.all(&self.inputs)?;
        let mut staged = resolver.all(&self.deps)?;
        let tools = resolver.all(&self.tools)?;
        let mut spec = ActionSpec::new(
            label.to_string(),
            "task",
            ActionBody::Shell {
                script: String::new(),
            },
        );
        spec.tools = tools.iter().cloned().map(ToolRef::Artifact).collect();
        staged.extend(tools);
        let mut exact = inputs.clone();
        let mut script = None;
        spec.body = match &self.body {
            Body::Shell(text) => ActionBody::Shell {
                script: text.clone(),
            },
            Body::Script(specifier) => {
                let module = specifier.strip_prefix("//").unwrap_or(specifier);
                let module = NeutralPath::new(module).map_err(|e| e.to_string())?;
                script = Some(module.clone());
                ActionBody::Script {
                    module,
                    args: serde_json::Value::Null,
                }
            }
            Body::Command(items) => {
                let mut argv = Vec::new();
                for item in items {
                    match item {
                        Item::In => argv.extend(inputs.iter().map(ToString::to_string)),
                        Item::Out => {
                            argv.extend(outputs.iter().map(|output| output.path.to_string()))
                        }
                        other => argv.extend(resolver.words(other, &mut exact)?),
                    }
                }
                if argv.is_empty() {
                    return Err("the command is empty".to_owned());
                }
                ActionBody::Command { argv }
            }
        };
        let read = exact.iter().chain(&staged);
        if let Some(both) = outputs
            .iter()
            .map(|output| &output.path)
            .find(|path| read.clone().any(|read| read == *path))
        {
            return Err(format!("{both} is both an input and an output of the task"));
        }
        let known: HashSet<&NeutralPath> = exact.iter().collect();
        staged.retain(|path| !known.contains(path));
        spec.stdin = match &self.stdin {
            None => None,
            Some(StdinRef::Text(text)) => Some(Stdin::Text(text.clone())),
            Some(StdinRef::File(file)) => {
                let path = resolver.one(file)?;
                if !exact.contains(&path) && !staged.contains(&path) {
                    staged.push(path.clone());
                }
                Some(Stdin::File(path))
            }
        };
        spec.inputs = unique(exact);
        spec.staged = unique(staged);
        spec.depfile = self
            .depfile
            .as_deref()
            .map(|path| self.place(package, path))
            .transpose()?;
        spec.env = self.env.clone();
        spec.resources = self.resources.clone();
        spec.network = self.network;
        spec.timeout = self.timeout;
        spec.retries = self.retries;
        spec.isolation = self.isolation;
        spec.cache = self.cache;
        spec.message.clone_from(&self.message);
        spec.outputs = outputs;
        Ok(LoweredTask { spec, script })
    }
}

/// Where a package's outputs go.
pub(crate) fn output_folder(package: &NeutralPath) -> NeutralPath {
    NeutralPath::new(OUTPUT_DIR).map_or_else(|_| package.clone(), |out| out.join_path(package))
}

fn unique(mut paths: Vec<NeutralPath>) -> Vec<NeutralPath> {
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    paths
}

/// Whether the output with that name, or else that path, is what a command calls `item`.
fn is_called(item: &str, name: Option<&str>, path: &str) -> bool {
    name.unwrap_or(path) == item.strip_suffix('/').unwrap_or(item)
}

struct Resolver<'a> {
    package: &'a NeutralPath,
    /// The outputs as they were declared, in the order of `outputs`.
    declared: &'a [(Option<String>, String, bool)],
    outputs: &'a [OutputSpec],
    lookup: &'a dyn Lookup,
}

impl Resolver<'_> {
    fn all(&self, files: &[FileRef]) -> Result<Vec<NeutralPath>, String> {
        let mut paths = Vec::new();
        for file in files {
            paths.extend(self.expand(file)?);
        }
        Ok(unique(paths))
    }

    fn expand(&self, file: &FileRef) -> Result<Vec<NeutralPath>, String> {
        match file {
            FileRef::Path(path) => below(self.package, path).map(|path| vec![path]),
            FileRef::File(path) => NeutralPath::new(path)
                .map(|path| vec![path])
                .map_err(|e| e.to_string()),
            FileRef::Output(None, name) => {
                let own = self
                    .declared
                    .iter()
                    .position(|(own, path, _)| is_called(name, own.as_deref(), path));
                own.and_then(|at| self.outputs.get(at))
                    .map(|output| vec![output.path.clone()])
                    .ok_or_else(|| format!("the task has no output \"{name}\""))
            }
            FileRef::Output(Some(label), name) => {
                self.lookup.output(label, name).map(|path| vec![path])
            }
            FileRef::Target(label) => self.lookup.files(label),
        }
    }

    fn one(&self, file: &FileRef) -> Result<NeutralPath, String> {
        let mut paths = self.expand(file)?;
        match (paths.pop(), paths.is_empty()) {
            (Some(path), true) => Ok(path),
            (_, _) => Err("this must be exactly one file".to_owned()),
        }
    }

    fn words(&self, item: &Item, used: &mut Vec<NeutralPath>) -> Result<Vec<String>, String> {
        Ok(match item {
            Item::Text(text) => vec![text.clone()],
            Item::File(file) => {
                let paths = self.expand(file)?;
                let words = paths.iter().map(ToString::to_string).collect();
                if !matches!(file, FileRef::Output(None, _)) {
                    used.extend(paths);
                }
                words
            }
            Item::Joined(parts) => {
                let mut joined = String::new();
                for part in parts {
                    joined.push_str(&self.words(part, used)?.join(" "));
                }
                vec![joined]
            }
            Item::OutNamed(name) => {
                let output = self
                    .outputs
                    .iter()
                    .find(|output| output.name.as_deref() == Some(name));
                vec![
                    output
                        .ok_or_else(|| format!("the task has no output \"{name}\""))?
                        .path
                        .to_string(),
                ]
            }
            Item::In | Item::Out => return Err("$in and $out stand by themselves".to_owned()),
        })
    }
}

fn below(package: &NeutralPath, path: &str) -> Result<NeutralPath, String> {
    package
        .join(path)
        .map_err(|e| format!("\"{path}\" is not a path below the package: {e}"))
}

/// A path below the package, checked before the package is known.
fn relative(path: &str, what: &str) -> Result<String, String> {
    let clean = path.strip_suffix('/').unwrap_or(path);
    match NeutralPath::new(clean) {
        Ok(path) if !path.is_root() => Ok(path.to_string()),
        Ok(_) => Err(format!("{what}: the path is empty")),
        Err(e) => Err(format!(
            "{what}: \"{path}\" is not a path below the package: {e}{}",
            elsewhere(path)
        )),
    }
}

/// How to name what a path outside the package was meant to be.
pub(crate) fn elsewhere(path: &str) -> &'static str {
    if path.starts_with("//") || path.contains(':') {
        "; to use another package's target import it, or name it with label(\"//pkg:name\")"
    } else if path.contains("..") {
        "; files of other packages come from their targets, or from files() in the other package"
    } else {
        ""
    }
}

struct Attrs<'a>(&'a IndexMap<String, Value>);

impl<'a> Attrs<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0
            .get(key)
            .filter(|value| !matches!(value, Value::Undefined | Value::Null))
    }

    fn wrong<T>(key: &str, wanted: &str, value: &Value) -> Result<T, String> {
        Err(format!(
            "\"{key}\" of task takes {wanted}, not {}",
            value.kind()
        ))
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Self::wrong(key, "a string", other),
        }
    }

    /// Checks them; who names the targets reads them.
    fn tags(&self) -> Result<(), String> {
        match self.get("tags") {
            None => Ok(()),
            Some(Value::Array(tags)) if tags.iter().all(|tag| tag.as_str().is_some()) => Ok(()),
            Some(other) => Self::wrong("tags", "a list of strings", other),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Self::wrong(key, "true or false", other),
        }
    }

    fn count(&self, key: &str, most: u32) -> Result<u32, String> {
        match self.get(key) {
            None => Ok(0),
            Some(Value::Number(n)) if n.fract() == 0.0 && (0.0..=f64::from(most)).contains(n) =>
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "in range"
                )]
                Ok(*n as u32)
            }
            Some(_) => Err(format!(
                "\"{key}\" of task takes a whole number from 0 to {most}"
            )),
        }
    }

    fn files(&self, key: &str) -> Result<Vec<FileRef>, String> {
        let mut files = Vec::new();
        if let Some(value) = self.get(key) {
            flatten(key, value, &mut files)?;
        }
        Ok(files)
    }

    fn strings(&self, key: &str) -> Result<BTreeMap<String, String>, String> {
        match self.get(key) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(name, value)| match value {
                    Value::String(_) if name.is_empty() || name.contains(['=', '\0']) => Err(
                        format!("\"{key}\" of task: \"{name}\" is not a variable's name"),
                    ),
                    Value::String(text) if text.contains('\0') => {
                        Err(format!("\"{key}.{name}\" of task contains a NUL byte"))
                    }
                    Value::String(text) => Ok((name.clone(), text.clone())),
                    other => Self::wrong(&format!("{key}.{name}"), "a string", other),
                })
                .collect(),
            Some(other) => Self::wrong(key, "an object of strings", other),
        }
    }

    fn outputs(&self) -> Result<Vec<(Option<String>, String, bool)>, String> {
        let one = |name: Option<String>, value: &Value| match value {
            Value::String(path) => Ok((name, relative(path, "outputs")?, path.ends_with('/'))),
            other => Self::wrong("outputs", "paths", other),
        };
        match self.get("outputs") {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| one(None, item)).collect(),
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(name, value)| {
                    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                    if !word || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                        return Err(format!(
                            "\"{name}\" is not an output's name: use letters, digits and _"
                        ));
                    }
                    one(Some(name.clone()), value)
                })
                .collect(),
            Some(other) => Self::wrong(
                "outputs",
                "a list of paths or an object that names them",
                other,
            ),
        }
    }

    fn body(&self) -> Result<Body, String> {
        let given: Vec<&str> = ["command", "shell", "script"]
            .into_iter()
            .filter(|key| self.get(key).is_some())
            .collect();
        match given[..] {
            ["shell"] => match self.get("shell") {
                Some(Value::String(text)) => Ok(Body::Shell(text.clone())),
                other => Self::wrong("shell", "a string", other.unwrap_or(&Value::Undefined)),
            },
            ["script"] => match self.get("script") {
                Some(Value::Script(specifier)) => Ok(Body::Script(specifier.clone())),
                other => Self::wrong(
                    "script",
                    "what importing a *.script.ts file gives",
                    other.unwrap_or(&Value::Undefined),
                ),
            },
            ["command"] => {
                let literal = self.flag("commandIsFunction", false)?;
                let Some(Value::Array(items)) = self.get("command") else {
                    return Err(
                        "\"command\" of task takes a list, or a function that gives one".to_owned(),
                    );
                };
                let items: Vec<Item> = items
                    .iter()
                    .map(|item| command_item(item, literal))
                    .collect::<Result<_, _>>()?;
                if items.is_empty() {
                    return Err(
                        "\"command\" of task is empty; its first item is the program".to_owned(),
                    );
                }
                Ok(Body::Command(items))
            }
            [] => Err("task needs one of \"command\", \"shell\" and \"script\"".to_owned()),
            _ => Err(format!(
                "task takes one of {}, not all of them",
                given.join(", ")
            )),
        }
    }

    /// The outputs that a command names.
    fn named_outs<'b>(&self, body: &'b Body) -> Vec<&'b str> {
        fn walk<'b>(item: &'b Item, found: &mut Vec<&'b str>) {
            match item {
                Item::OutNamed(name) | Item::File(FileRef::Output(None, name)) => found.push(name),
                Item::Joined(parts) => parts.iter().for_each(|part| walk(part, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        if let Body::Command(items) = body {
            items.iter().for_each(|item| walk(item, &mut found));
        }
        found
    }

    fn stdin(&self) -> Result<Option<StdinRef>, String> {
        match self.get("stdin") {
            None => Ok(None),
            Some(Value::Object(fields)) => match fields.get("text") {
                Some(Value::String(text)) if fields.len() == 1 => {
                    Ok(Some(StdinRef::Text(text.clone())))
                }
                _ => Err("\"stdin\" of task takes a file or { text: \"…\" }".to_owned()),
            },
            Some(value) => {
                let mut files = Vec::new();
                flatten("stdin", value, &mut files)?;
                match (files.pop(), files.is_empty()) {
                    (Some(file), true) => Ok(Some(StdinRef::File(file))),
                    _ => Err("\"stdin\" of task takes one file".to_owned()),
                }
            }
        }
    }

    fn cpu(&self) -> Result<u32, String> {
        match self.get("cpu") {
            None => Ok(zako_action::DEFAULT_CPU_MILLIS),
            Some(Value::Number(n)) if (0.0..=4096.0).contains(n) =>
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "in range"
                )]
                Ok((n * 1000.0).round() as u32)
            }
            Some(_) => {
                Err("\"cpu\" of task takes a number of processors from 0 to 4096".to_owned())
            }
        }
    }

    fn memory(&self) -> Result<Option<u64>, String> {
        let bytes = match self.get("memory") {
            None => return Ok(None),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in range"
            )]
            Some(Value::Number(n)) if (0.0..=1e15).contains(n) => Some(*n as u64),
            Some(Value::String(text)) => quantity::bytes(text),
            Some(_) => None,
        };
        bytes
            .map(Some)
            .ok_or_else(|| "\"memory\" of task takes bytes, or a size as \"512MiB\"".to_owned())
    }

    fn timeout(&self) -> Result<Option<Duration>, String> {
        let time = match self.get("timeout") {
            None => return Ok(None),
            Some(Value::Number(n)) => quantity::duration(&n.to_string()),
            Some(Value::String(text)) => quantity::duration(text),
            Some(_) => None,
        };
        time.map(Some).ok_or_else(|| {
            "\"timeout\" of task takes seconds, or a time as \"90s\" or \"5m\"".to_owned()
        })
    }

    fn network(&self) -> Result<(bool, u32), String> {
        match self.get("network") {
            None | Some(Value::Bool(false)) => Ok((false, 0)),
            Some(Value::Bool(true)) => Ok((true, 0)),
            Some(Value::Object(fields)) if fields.keys().eq(["slots"]) => Attrs(fields)
                .count("slots", 1024)
                .map(|slots| (true, slots)),
            Some(other) => Self::wrong("network", "true, false or { slots }", other),
        }
    }

    fn named_resources(&self) -> Result<BTreeMap<String, u32>, String> {
        match self.get("resources") {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields
                .keys()
                .map(|name| Ok((name.clone(), Attrs(fields).count(name, 1 << 20)?)))
                .collect(),
            Some(other) => Self::wrong("resources", "an object of numbers", other),
        }
    }

    fn isolation(&self) -> Result<Option<Isolation>, String> {
        Ok(match self.text("isolation")?.as_deref() {
            None => None,
            Some("none") => Some(Isolation::None),
            Some("basic") => Some(Isolation::Basic),
            Some("enhanced") => Some(Isolation::Enhanced),
            Some("maximum") => Some(Isolation::Maximum),
            Some(other) => {
                return Err(format!(
                    "\"isolation\" of task takes none, basic, enhanced or maximum, not \"{other}\""
                ));
            }
        })
    }

    /// Tags are read where targets are named; here they are only checked.
    fn in_source(&self) -> Result<bool, String> {
        match self.text("place")?.as_deref() {
            None | Some("out") => Ok(false),
            Some("source") => Ok(true),
            Some(other) => Err(format!(
                "\"place\" of task takes out or source, not \"{other}\""
            )),
        }
    }
}

fn flatten(key: &str, value: &Value, files: &mut Vec<FileRef>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| flatten(key, item, files)),
        Value::String(path) => {
            files.push(FileRef::Path(relative(path, key)?));
            Ok(())
        }
        other => {
            files.push(
                file_ref(other)
                    .ok_or(())
                    .or_else(|()| Attrs::wrong(key, "paths, files and targets", other))?,
            );
            Ok(())
        }
    }
}

fn file_ref(value: &Value) -> Option<FileRef> {
    let label = |target: &TargetRef| match target {
        TargetRef::Label(label) => label.clone(),
        // Known by its label as soon as the package is named; until then the number keeps its place.
        TargetRef::Local(local) => format!("#{local}"),
    };
    Some(match value {
        Value::String(path) => FileRef::Path(path.clone()),
        Value::Target(handle) => FileRef::Target(label(&handle.target)),
        Value::Artifact(ArtifactRef::File { path, .. }) => FileRef::File(path.clone()),
        Value::Artifact(ArtifactRef::Output { target, name }) => FileRef::Output(
            Some(label(target)).filter(|label| !label.is_empty()),
            name.clone(),
        ),
        _ => return None,
    })
}

fn command_item(value: &Value, literal: bool) -> Result<Item, String> {
    match value {
        Value::String(text) if literal => Ok(Item::Text(text.clone())),
        Value::String(text) => Ok(match text.as_str() {
            "$in" => Item::In,
            "$out" => Item::Out,
            "$$" => Item::Text("$".to_owned()),
            other => match other.strip_prefix("$out.") {
                Some(name) => Item::OutNamed(name.to_owned()),
                None => Item::Text(other.to_owned()),
            },
        }),
        Value::Joined(parts) => parts
            .iter()
            .map(|part| command_item(part, true))
            .collect::<Result<_, _>>()
            .map(Item::Joined),
        Value::Array(_) => {
            Err("\"command\" of task: a list inside the list; spread it with …".to_owned())
        }
        other => match file_ref(other) {
            Some(file) => Ok(Item::File(file)),
            None => Err(format!(
                "\"command\" of task takes strings, files and targets, not {}",
                other.kind()
            )),
        },
    }
}
