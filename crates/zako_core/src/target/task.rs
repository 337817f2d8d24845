//! `task`: its attributes, checked where it is called, and the action that it becomes.

use std::collections::HashSet;

use zako_action::{ActionBody, ActionSpec, OutputKind, OutputSpec, Stdin, ToolRef};
use zako_path::NeutralPath;
use zako_script::Value;

use super::Lowered;
use super::command::{self, Item, Paths};
use super::draft::{Draft, Late};
use super::fields::{Fields, FileRef, Settings, StdinRef, unique};
use crate::label::Label;
use crate::workspace::OUTPUT_DIR;

/// How a message begins of an output that a command names and its task has not; the name follows, and a quote.
pub(crate) const WRONG_OUTPUT: &str = "the command uses the output \"";

/// The attributes, in the order in which they are documented.
const KEYS: [&str; 24] = [
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
    "test",
    "tags",
    "visibility",
    "deprecated",
];

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
    stdin: Option<StdinRef>,
    depfile: Option<String>,
    settings: Settings,
    in_source: bool,
    test: bool,
}

/// What a task's files are, once its dependencies are known.
pub(crate) trait Lookup {
    /// What the target builds by default.
    fn files(&self, label: &str) -> Result<Vec<NeutralPath>, String>;
    /// The target's named output.
    fn output(&self, label: &str, name: &str) -> Result<NeutralPath, String>;
}

impl TaskAttrs {
    /// Checks the attributes; the error is for the task's author, who is told the line by the caller.
    pub(crate) fn parse(attrs: &Value) -> Result<TaskAttrs, String> {
        let fields = attrs.as_object().ok_or("task takes an object")?;
        let fields = Fields { of: "task", fields };
        fields.only("attribute", &KEYS)?;
        let attrs = Attrs(fields);
        let body = attrs.body()?;
        let outputs = attrs.outputs()?;
        if matches!(body, Body::Script(_)) && fields.get("stdin").is_some() {
            return Err("a script action has no standard input; read a file instead".to_owned());
        }
        for item in attrs.named_outs(&body) {
            if !outputs
                .iter()
                .any(|(name, path, _)| is_called(item, name.as_deref(), path))
            {
                return Err(format!(
                    "{WRONG_OUTPUT}{item}\", which the task does not declare"
                ));
            }
        }
        // Who names the targets reads them.
        fields.words("tags")?;
        fields.text("deprecated")?;
        Ok(TaskAttrs {
            inputs: attrs.files("inputs")?,
            deps: attrs.files("deps")?,
            tools: attrs.files("tools")?,
            stdin: fields.stdin(&|value| attrs.file("stdin", value))?,
            depfile: fields
                .text("depfile")?
                .map(|path| relative(&path, "depfile"))
                .transpose()?,
            settings: Settings::parse(&fields)?,
            in_source: attrs.in_source()?,
            test: fields.flag("test", false)?,
            body,
            outputs,
        })
    }

    /// The outputs that are put among the sources, as the task gives them, and whether each is a directory.
    pub(crate) fn among_sources(&self) -> impl Iterator<Item = (&str, bool)> {
        let placed = self.outputs.iter().filter(|_| self.in_source);
        placed.map(|(_, path, directory)| (path.as_str(), *directory))
    }

    /// Where the task's outputs are, in order.
    pub(crate) fn output_paths(&self, label: &Label) -> Result<Vec<OutputSpec>, String> {
        self.outputs
            .iter()
            .map(|(name, path, directory)| {
                Ok(OutputSpec {
                    path: self.place(label, path)?,
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

    fn place(&self, label: &Label, path: &str) -> Result<NeutralPath, String> {
        let base = if self.in_source {
            label.package.clone()
        } else {
            output_folder(label)
        };
        base.join(path)
            .map_err(|e| format!("\"{path}\" is not an output's path: {e}"))
    }

    /// The task as an action.
    pub(super) fn lower(&self, label: &Label, lookup: &dyn Lookup) -> Result<Draft, String> {
        let package = &label.package;
        let outputs = self.output_paths(label)?;
        let resolver = Resolver {
            package,
            declared: &self.outputs,
            outputs: &outputs,
            inputs: &[],
            lookup,
        };
        let inputs = resolver.all(&self.inputs)?;
        let resolver = Resolver {
            inputs: &inputs,
            ..resolver
        };
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
        let mut late = None;
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
                spec.tools.extend(command::host_references(items));
                let words = command::words(items, &resolver, &mut exact)?;
                let plain = command::plain(&words);
                if plain.is_none() {
                    late = Some(Box::new(Late {
                        argv: words,
                        ..Late::default()
                    }));
                } else if words.is_empty() {
                    return Err("the command is empty".to_owned());
                }
                ActionBody::Command {
                    argv: plain.unwrap_or_default(),
                }
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
            .map(|path| self.place(label, path))
            .transpose()?;
        self.settings.apply(&mut spec);
        spec.outputs = outputs;
        let action = Lowered {
            spec,
            script,
            work: None,
            test: self.test,
        };
        Ok(Draft { action, late })
    }
}

/// Where the outputs of a configuration go; the base is the one without a name.
pub(crate) fn output_root(configuration: Option<&str>) -> String {
    match configuration {
        None => OUTPUT_DIR.to_owned(),
        Some(name) => format!("{OUTPUT_DIR}/@{name}"),
    }
}

/// Where the outputs of a target go.
pub(crate) fn output_folder(label: &Label) -> NeutralPath {
    let root = NeutralPath::new(output_root(label.configuration.as_deref()));
    root.map_or_else(
        |_| label.package.clone(),
        |out| out.join_path(&label.package),
    )
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
    /// What `$in` stands for.
    inputs: &'a [NeutralPath],
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
}

impl Paths for Resolver<'_> {
    fn paths(
        &self,
        file: &FileRef,
        used: &mut Vec<NeutralPath>,
    ) -> Result<Vec<NeutralPath>, String> {
        let paths = self.expand(file)?;
        if !matches!(file, FileRef::Output(None, _)) {
            used.extend(paths.iter().cloned());
        }
        Ok(paths)
    }

    fn own(&self, item: &Item) -> Result<Vec<String>, String> {
        Ok(match item {
            Item::In => self.inputs.iter().map(ToString::to_string).collect(),
            Item::Out => self.outputs.iter().map(|o| o.path.to_string()).collect(),
            Item::OutNamed(name) => {
                let is_named = |output: &&OutputSpec| output.name.as_deref() == Some(name);
                let output = self.outputs.iter().find(is_named);
                let output = output.ok_or_else(|| format!("the task has no output \"{name}\""))?;
                vec![output.path.to_string()]
            }
            _ => Vec::new(),
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

/// What only `task` has.
struct Attrs<'a>(Fields<'a>);

impl Attrs<'_> {
    fn file(&self, key: &str, value: &Value) -> Result<FileRef, String> {
        match FileRef::of(value) {
            Some(FileRef::Path(path)) => relative(&path, key).map(FileRef::Path),
            Some(file) => Ok(file),
            None => self.0.wrong(key, "paths, files and targets", value),
        }
    }

    fn files(&self, key: &str) -> Result<Vec<FileRef>, String> {
        let found = self.0.files(key, &|value| self.file(key, value))?;
        Ok(found.files)
    }

    fn outputs(&self) -> Result<Vec<(Option<String>, String, bool)>, String> {
        let one = |name: Option<String>, value: &Value| match value {
            Value::String(path) => Ok((name, relative(path, "outputs")?, path.ends_with('/'))),
            other => self.0.wrong("outputs", "paths", other),
        };
        match self.0.get("outputs") {
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
            Some(other) => self.0.wrong(
                "outputs",
                "a list of paths or an object that names them",
                other,
            ),
        }
    }

    fn body(&self) -> Result<Body, String> {
        let given: Vec<&str> = ["command", "shell", "script"]
            .into_iter()
            .filter(|key| self.0.get(key).is_some())
            .collect();
        let undefined = &Value::Undefined;
        match given[..] {
            ["shell"] => match self.0.get("shell") {
                Some(Value::String(text)) => Ok(Body::Shell(text.clone())),
                other => self
                    .0
                    .wrong("shell", "a string", other.unwrap_or(undefined)),
            },
            ["script"] => match self.0.get("script") {
                Some(Value::Script(specifier)) => Ok(Body::Script(specifier.clone())),
                other => self.0.wrong(
                    "script",
                    "what importing a *.script.ts file gives",
                    other.unwrap_or(undefined),
                ),
            },
            ["command"] => {
                let literal = self.0.flag("commandIsFunction", false)?;
                let Some(Value::Array(items)) = self.0.get("command") else {
                    return Err(
                        "\"command\" of task takes a list, or a function that gives one".to_owned(),
                    );
                };
                let own = |text: &str| if literal { None } else { dollar(text) };
                let items: Vec<Item> = items
                    .iter()
                    .map(|value| command::item("task", value, &own))
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
                Item::Joined(parts) | Item::Part(_, parts) => {
                    parts.iter().for_each(|part| walk(part, found));
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        if let Body::Command(items) = body {
            items.iter().for_each(|item| walk(item, &mut found));
        }
        found
    }

    fn in_source(&self) -> Result<bool, String> {
        match self.0.text("place")?.as_deref() {
            None | Some("out") => Ok(false),
            Some("source") => Ok(true),
            Some(other) => Err(format!(
                "\"place\" of task takes out or source, not \"{other}\""
            )),
        }
    }
}

/// What a whole item of a command that begins with a dollar sign means.
fn dollar(text: &str) -> Option<Item> {
    Some(match text {
        "$in" => Item::In,
        "$out" => Item::Out,
        "$$" => Item::Text("$".to_owned()),
        other => Item::OutNamed(other.strip_prefix("$out.")?.to_owned()),
    })
}
