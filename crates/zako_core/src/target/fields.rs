//! What a script says of an action, field by field: read for `task` and for `ctx.run` alike, so that they take the same and
//! refuse it in the same words.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use zako_action::{ActionSpec, Isolation, Resources, RetryPolicy, WorkerProtocol, WorkerSpec};
use zako_path::NeutralPath;
use zako_script::{ArtifactRef, DepsetRef, TargetRef, Value, nearest};

use super::depset::SetId;
use super::{quantity, retries};

/// A file as a script names it.
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

impl FileRef {
    /// The file that `value` stands for, if it stands for one.
    pub(super) fn of(value: &Value) -> Option<FileRef> {
        let label = |target: &TargetRef| match target {
            TargetRef::Label(label) => label.clone(),
            // Known by its label as soon as the package is named and the configuration known; until then this keeps its place.
            other => format!("#{other:?}"),
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
}

/// What an action reads from standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StdinRef {
    File(FileRef),
    Text(String),
}

/// The fields of an action, by name.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    /// Whose they are, as messages say it: `task`, `ctx.run`.
    pub(super) of: &'static str,
    pub(super) fields: &'a IndexMap<String, Value>,
}

impl<'a> Fields<'a> {
    /// Refuses what is not among `known`, which are called `noun`s.
    pub(super) fn only(&self, noun: &str, known: &[&str]) -> Result<(), String> {
        match self.unknown(known) {
            None => Ok(()),
            Some((unknown, hint)) => {
                Err(format!("{} has no {noun} \"{unknown}\"; {hint}", self.of))
            }
        }
    }

    /// Refuses what is not among `known` in the object that these fields are, which is the value of `key`.
    pub(super) fn only_in(&self, key: &str, known: &[&str]) -> Result<(), String> {
        match self.unknown(known) {
            None => Ok(()),
            Some((unknown, hint)) => Err(format!(
                "\"{key}\" of {} has no \"{unknown}\"; {hint}",
                self.of
            )),
        }
    }

    /// The first that is not among `known`, and what was probably meant.
    fn unknown(&self, known: &[&str]) -> Option<(&'a str, String)> {
        // What `task` says itself, not its caller.
        let is_unknown =
            |key: &&String| *key != "commandIsFunction" && !known.contains(&key.as_str());
        let unknown = self.fields.keys().find(is_unknown)?;
        let hint = match nearest(unknown, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it has {}", known.join(", ")),
        };
        Some((unknown, hint))
    }

    /// What was given; `undefined` and `null` were not.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields
            .get(key)
            .filter(|value| !matches!(value, Value::Undefined | Value::Null))
    }

    pub(super) fn wrong<T>(&self, key: &str, wanted: &str, value: &Value) -> Result<T, String> {
        Err(format!(
            "\"{key}\" of {} takes {wanted}, not {}",
            self.of,
            value.kind()
        ))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => self.wrong(key, "a string", other),
        }
    }

    /// Checks a list of strings, which somebody else reads.
    pub(super) fn words(&self, key: &str) -> Result<(), String> {
        match self.get(key) {
            None => Ok(()),
            Some(Value::Array(words)) if words.iter().all(|word| word.as_str().is_some()) => Ok(()),
            Some(other) => self.wrong(key, "a list of strings", other),
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => self.wrong(key, "true or false", other),
        }
    }

    pub(super) fn count(&self, key: &str, most: u32) -> Result<u32, String> {
        let Some(value) = self.get(key) else {
            return Ok(0);
        };
        whole(value, most).ok_or_else(|| {
            format!(
                "\"{key}\" of {} takes a whole number from 0 to {most}",
                self.of
            )
        })
    }

    pub(super) fn strings(&self, key: &str) -> Result<BTreeMap<String, String>, String> {
        match self.get(key) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields
                .iter()
                .map(|(name, value)| match value {
                    Value::String(_) if name.is_empty() || name.contains(['=', '\0']) => {
                        Err(format!(
                            "\"{key}\" of {}: \"{name}\" is not a variable's name",
                            self.of
                        ))
                    }
                    Value::String(text) if text.contains('\0') => Err(format!(
                        "\"{key}.{name}\" of {} contains a NUL byte",
                        self.of
                    )),
                    Value::String(text) => Ok((name.clone(), text.clone())),
                    other => self.wrong(&format!("{key}.{name}"), "a string", other),
                })
                .collect(),
            Some(other) => self.wrong(key, "an object of strings", other),
        }
    }

    /// Files, and sets of files; `one` reads an item that is no list.
    pub(super) fn files(
        &self,
        key: &str,
        one: &dyn Fn(&Value) -> Result<FileRef, String>,
    ) -> Result<Sourced, String> {
        let mut found = Sourced::default();
        let mut open: Vec<&Value> = self.get(key).into_iter().collect();
        while let Some(value) = open.pop() {
            match value {
                Value::Array(items) => open.extend(items.iter().rev()),
                Value::Depset(set) => found.sets.push(set_id(set)?),
                other => found.files.push(one(other)?),
            }
        }
        Ok(found)
    }

    pub(super) fn stdin(
        &self,
        one: &dyn Fn(&Value) -> Result<FileRef, String>,
    ) -> Result<Option<StdinRef>, String> {
        match self.get("stdin") {
            None => Ok(None),
            Some(Value::Object(fields)) => match fields.get("text") {
                Some(Value::String(text)) if fields.len() == 1 => {
                    Ok(Some(StdinRef::Text(text.clone())))
                }
                _ => Err(format!(
                    "\"stdin\" of {} takes a file or {{ text: \"…\" }}",
                    self.of
                )),
            },
            Some(_) => {
                let Sourced { mut files, sets } = self.files("stdin", one)?;
                match (files.pop(), files.is_empty() && sets.is_empty()) {
                    (Some(file), true) => Ok(Some(StdinRef::File(file))),
                    _ => Err(format!("\"stdin\" of {} takes one file", self.of)),
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
            Some(_) => Err(format!(
                "\"cpu\" of {} takes a number of processors from 0 to 4096",
                self.of
            )),
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
        bytes.map(Some).ok_or_else(|| {
            format!(
                "\"memory\" of {} takes bytes, or a size as \"512MiB\"",
                self.of
            )
        })
    }

    fn timeout(&self) -> Result<Option<Duration>, String> {
        let time = match self.get("timeout") {
            None => return Ok(None),
            Some(Value::Number(n)) => quantity::duration(&n.to_string()),
            Some(Value::String(text)) => quantity::duration(text),
            Some(_) => None,
        };
        time.map(Some).ok_or_else(|| {
            format!(
                "\"timeout\" of {} takes seconds, or a time as \"90s\" or \"5m\"",
                self.of
            )
        })
    }

    fn network(&self) -> Result<(bool, u32), String> {
        match self.get("network") {
            None | Some(Value::Bool(false)) => Ok((false, 0)),
            Some(Value::Bool(true)) => Ok((true, 0)),
            Some(Value::Object(fields)) if fields.keys().eq(["slots"]) => {
                let slots = Fields { fields, ..*self }.count("slots", 1024)?;
                Ok((true, slots))
            }
            Some(other) => self.wrong("network", "true, false or { slots }", other),
        }
    }

    fn named_resources(&self) -> Result<BTreeMap<String, u32>, String> {
        match self.get("resources") {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields
                .keys()
                .map(|name| {
                    let count = Fields { fields, ..*self }.count(name, 1 << 20)?;
                    Ok((name.clone(), count))
                })
                .collect(),
            Some(other) => self.wrong("resources", "an object of numbers", other),
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
                    "\"isolation\" of {} takes none, basic, enhanced or maximum, not \"{other}\"",
                    self.of
                ));
            }
        })
    }

    fn worker(&self) -> Result<Option<WorkerSpec>, String> {
        let of = self.of;
        let protocol = |key: &str, value: Option<&Value>| match value {
            Some(Value::String(name)) if name == "json" => Ok(WorkerProtocol::Json),
            Some(Value::String(name)) => {
                Err(format!("\"{key}\" of {of} takes \"json\", not \"{name}\""))
            }
            Some(other) => self.wrong(key, "\"json\"", other),
            None => Err(format!("\"worker\" of {of} needs protocol: \"json\"")),
        };
        let given = match self.get("worker") {
            None => return Ok(None),
            Some(Value::Object(fields)) => Fields { fields, ..*self },
            value => return Ok(Some(WorkerSpec::new(protocol("worker", value)?))),
        };
        let known = ["protocol", "multiplex", "sandboxDir"];
        given.only_in("worker", &known)?;
        let flag = |key: &str| match given.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => self.wrong(&format!("worker.{key}"), "true or false", other),
        };
        Ok(Some(WorkerSpec {
            protocol: protocol("worker.protocol", given.get("protocol"))?,
            multiplex: flag("multiplex")?,
            sandbox_dir: flag("sandboxDir")?,
        }))
    }
}

/// The whole number from 0 to `most` that `value` is.
pub(super) fn whole(value: &Value, most: u32) -> Option<u32> {
    let Value::Number(n) = value else { return None };
    let is_fit = n.fract() == 0.0 && (0.0..=f64::from(most)).contains(n);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range"
    )]
    is_fit.then_some(*n as u32)
}

/// Files, and the sets among them, each in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sourced {
    pub(super) files: Vec<FileRef>,
    pub(super) sets: Vec<SetId>,
}

/// The set that a script's value stands for.
pub(super) fn set_id(set: &DepsetRef) -> Result<SetId, String> {
    SetId::parse(&set.id).ok_or_else(|| format!("there is no depset {}", set.id))
}

/// What is said of every action alike: how it runs and is shown, but not what it runs on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    env: BTreeMap<String, String>,
    resources: Resources,
    network: bool,
    timeout: Option<Duration>,
    retries: Option<Box<RetryPolicy>>,
    isolation: Option<Isolation>,
    cache: bool,
    worker: Option<WorkerSpec>,
    message: Option<String>,
}

impl Settings {
    pub(super) fn parse(fields: &Fields<'_>) -> Result<Settings, String> {
        let (network, network_slots) = fields.network()?;
        Ok(Settings {
            env: fields.strings("env")?,
            resources: Resources {
                cpu_millis: fields.cpu()?,
                memory: fields.memory()?,
                network_slots,
                named: fields.named_resources()?,
            },
            network,
            timeout: fields.timeout()?,
            retries: retries::parse(fields)?,
            isolation: fields.isolation()?,
            cache: fields.flag("cache", true)?,
            worker: fields.worker()?,
            message: fields.text("message")?,
        })
    }

    pub(super) fn apply(&self, spec: &mut ActionSpec) {
        let Settings {
            env,
            resources,
            network,
            timeout,
            retries,
            isolation,
            cache,
            worker,
            message,
        } = self;
        spec.env.clone_from(env);
        spec.resources.clone_from(resources);
        spec.network = *network;
        spec.timeout = *timeout;
        spec.retries.clone_from(retries);
        spec.isolation = *isolation;
        spec.cache = *cache;
        spec.worker = *worker;
        spec.message.clone_from(message);
    }
}

/// The paths, each once and where it came first.
pub(super) fn unique(mut paths: Vec<NeutralPath>) -> Vec<NeutralPath> {
    let mut seen = std::collections::HashSet::with_capacity(paths.len());
    paths.retain(|path| seen.insert(path.clone()));
    paths
}
