//! What a package's `BUILD.ts` reaches while it is evaluated: declaring targets, and reads that are recorded.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use zako_path::NeutralPath;
use zako_script::engine::refused;
use zako_script::{Host, HostCall, HostFailure, LogLevel, Place, Value};

use super::Services;
use super::attribute::Blame;
use super::glob::glob;
use super::machine::{Answer, Machine, Question, version_is};
use super::toolchain::{Need, Toolchain};
use crate::diagnostic::{Diagnostic, Location};
use crate::fetch;
use crate::label::Label;
use crate::target::{RuleId, TaskAttrs, Visibility, cases, elsewhere};
use crate::workspace::ReadFault;

/// The most targets of one package.
const MAX_TARGETS: usize = 1 << 20;

/// A target as it was declared, before it has a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TargetDeclaration {
    pub(crate) rule: RuleId,
    /// The attributes, an object.
    pub(crate) attrs: Value,
    pub(crate) place: Option<Place>,
    pub(crate) provides: Vec<String>,
    pub(crate) outputs: Vec<String>,
    /// The toolchains that its rule uses: the name that the rule has each by, and the type's id.
    pub(crate) toolchains: Vec<(String, String)>,
}

/// Something that an evaluation learned, with what it was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Read {
    Text(NeutralPath, Result<Arc<str>, ReadFault>),
    /// Whether there is a file.
    File(NeutralPath, bool),
    Glob {
        include: Vec<String>,
        exclude: Vec<String>,
        found: Vec<String>,
    },
    Config(String, Option<String>),
    /// A variable of the environment of whoever builds.
    Variable(String, Option<String>),
    /// Where a program is.
    Program(String, Option<Arc<str>>),
    /// Where something is that is fetched; nothing when it could not be.
    Fetched(fetch::Fetch, Option<Arc<str>>),
    /// What a program said.
    Asked(Question, Result<Answer, String>),
    Answer {
        function: String,
        args: String,
        answer: Result<String, String>,
    },
}

/// An output that is put among the package's sources.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed {
    /// Its target, by its place among the declarations.
    pub(crate) declaration: usize,
    /// Below the package.
    pub(crate) path: String,
    pub(crate) is_directory: bool,
}

/// What one evaluation did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) declarations: Vec<TargetDeclaration>,
    /// Their outputs that are put among the sources.
    pub(crate) placed: Vec<Placed>,
    pub(crate) reads: Vec<Read>,
    pub(crate) logs: Vec<Diagnostic>,
    /// The toolchains that were resolved.
    pub(crate) toolchains: Vec<Toolchain>,
    /// What must be fetched before the script can say more.
    pub(crate) awaited: Vec<fetch::Fetch>,
    /// The attribute that was found wrong last.
    pub(crate) blame: Option<Blame>,
}

/// Answers for one package, or for a file that is none.
pub(crate) struct PackageHost {
    services: Arc<Services>,
    /// The package; `None` for a file that is evaluated by itself.
    package: Option<NeutralPath>,
    recorded: Arc<Mutex<Recorded>>,
}

impl PackageHost {
    /// A host for `package`, and where it records.
    pub(crate) fn new(
        services: Arc<Services>,
        package: Option<NeutralPath>,
    ) -> (PackageHost, Arc<Mutex<Recorded>>) {
        let recorded = Arc::new(Mutex::new(Recorded::default()));
        (
            PackageHost {
                services,
                package,
                recorded: recorded.clone(),
            },
            recorded,
        )
    }

    fn package(&self, call: &HostCall<'_>) -> Result<&NeutralPath, HostFailure> {
        self.package.as_ref().ok_or_else(|| refused(call))
    }

    /// A path below the package, as the workspace knows it.
    fn below(&self, call: &HostCall<'_>) -> Result<NeutralPath, HostFailure> {
        let package = self.package(call)?;
        let path = call.args["path"].as_str().unwrap_or_default();
        let joined = package.join(path).ok().filter(|joined| joined != package);
        joined.ok_or_else(|| {
            let place = call.args["where"]
                .as_str()
                .map(|place| format!("{place}: "))
                .unwrap_or_default();
            let help = elsewhere(path);
            misuse(format!(
                "{place}\"{path}\" is not a path below the package{help}"
            ))
        })
    }

    fn declare(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        self.package(&call)?;
        let rule = RuleId {
            module: text(&call.args["rule"]["module"]),
            export: text(&call.args["rule"]["export"]),
        };
        let attrs = Value::from_json(call.args["attrs"].clone()).map_err(misuse)?;
        let mut placed: Vec<(String, bool)> = Vec::new();
        let checked = match rule.is_task() {
            true => cases(&attrs).iter().try_for_each(|attrs| {
                let task = TaskAttrs::parse(attrs)?;
                placed.extend(task.among_sources().map(|(path, is)| (path.to_owned(), is)));
                Ok(())
            }),
            false => Ok(()),
        };
        let visibility = attrs.as_object().and_then(|attrs| attrs.get("visibility"));
        let checked = checked.and_then(|()| Visibility::parse(visibility).map(drop));
        if let Err(message) = checked {
            self.recorded.lock().blame = Blame::quoted(&message);
            return Err(misuse(message));
        }
        let words = |key: &str| {
            call.args["shape"][key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect()
        };
        let toolchains = match &call.args["toolchains"] {
            Json::Null => Vec::new(),
            given => serde_json::from_value(given.clone()).map_err(misuse)?,
        };
        let mut recorded = self.recorded.lock();
        if recorded.declarations.len() >= MAX_TARGETS {
            return Err(misuse(format!(
                "a package may declare {MAX_TARGETS} targets at most"
            )));
        }
        let declaration = TargetDeclaration {
            rule,
            attrs,
            place: call.place,
            provides: words("provides"),
            outputs: words("outputs"),
            toolchains,
        };
        let at = recorded.declarations.len();
        let placed = placed.into_iter().map(|(path, is_directory)| Placed {
            declaration: at,
            path,
            is_directory,
        });
        recorded.placed.extend(placed);
        recorded.declarations.push(declaration);
        Ok(json!(recorded.declarations.len() - 1))
    }

    fn glob(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        let package = self.package(&call)?;
        let list = |key: &str| -> Vec<String> {
            call.args[key]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect()
        };
        let (include, exclude) = (list("include"), list("exclude"));
        let found = glob(&self.services.workspace, package, &include, &exclude).map_err(misuse)?;
        // Recorded even when nothing matches: a file that appears must heal the package.
        self.recorded.lock().reads.push(Read::Glob {
            include: include.clone(),
            exclude,
            found: found.clone(),
        });
        if found.is_empty() && call.args["allowEmpty"] != json!(true) {
            return Err(misuse(format!(
                "glob({}) matches no file in //{package}; pass {{ allowEmpty: true }} if that is fine",
                include
                    .iter()
                    .map(|pattern| format!("\"{pattern}\""))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        Ok(json!(found))
    }

    fn read_text(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        let path = self.below(&call)?;
        let read = self.services.workspace.read_text(&path);
        self.recorded
            .lock()
            .reads
            .push(Read::Text(path.clone(), read.clone()));
        match read {
            Ok(text) => Ok(json!(text)),
            Err(fault) => {
                let (message, help) = fault.explain(&self.services.workspace, &path);
                let help = help.map(|help| format!("; {help}")).unwrap_or_default();
                Err(HostFailure {
                    message: format!("{message}{help}"),
                    misuse: false,
                })
            }
        }
    }

    fn file(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        let path = self.below(&call)?;
        let there = self.services.workspace.has_file(&path);
        self.recorded
            .lock()
            .reads
            .push(Read::File(path.clone(), there));
        if there {
            return Ok(json!(path.as_str()));
        }
        let near = self.services.workspace.nearest_file(&path);
        let near = near
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        Err(HostFailure {
            message: format!("there is no file {path}{near}"),
            misuse: false,
        })
    }
}

/// What `fetch` asks. Only builtins can.
impl PackageHost {
    /// What the content at an address must be: what is declared, or else what is pinned; nothing when it is neither. Toolchains
    /// ask for what is `pinned`, in no package.
    fn pin(&mut self, call: &HostCall<'_>) -> Result<Json, HostFailure> {
        if call.name == "pin" {
            self.package(call)?;
        }
        let url = text(&call.args["url"]);
        if let Some(message) = fetch::unfit(&url) {
            return Err(misuse(message));
        }
        if let Some(declared) = call.args["integrity"].as_str() {
            let declared: fetch::Integrity = declared.parse().map_err(misuse)?;
            return Ok(json!(declared.to_string()));
        }
        let path = NeutralPath::new(fetch::LOCK_FILE).map_err(misuse)?;
        let read = self.services.workspace.read_text(&path);
        let seen = Read::Text(path.clone(), read.clone());
        self.recorded.lock().reads.push(seen);
        let failure = |message: String| HostFailure {
            message,
            misuse: false,
        };
        match read {
            Ok(lock) => {
                let pin = fetch::pin_of(&lock, &url).map_err(|e| failure(e.to_string()))?;
                Ok(json!(pin.map(|pin| pin.to_string())))
            }
            Err(ReadFault::Missing) => Ok(Json::Null),
            Err(fault) => Err(failure(fault.explain(&self.services.workspace, &path).0)),
        }
    }
}

/// What toolchains ask. Only builtins can: scripts have no way to these calls.
impl PackageHost {
    fn find(&mut self, call: &HostCall<'_>) -> Json {
        let name = text(&call.args["name"]);
        let found = self.services.machine.find(&name);
        let found: Option<Arc<str>> = found.and_then(|path| path.to_str().map(Into::into));
        let read = Read::Program(name, found.clone());
        self.recorded.lock().reads.push(read);
        json!({ "path": found })
    }

    fn probe(&mut self, call: &HostCall<'_>) -> Result<Json, HostFailure> {
        let words = |json: &Json| serde_json::from_value(json.clone()).map_err(misuse);
        let question = Question {
            argv: words(&call.args["argv"])?,
            reads: words(&call.args["reads"])?,
        };
        let clock = self.services.workspace.clock();
        let (answer, _) = self.services.machine.ask(&question, clock);
        let read = Read::Asked(question, answer.clone());
        self.recorded.lock().reads.push(read);
        Ok(match answer {
            Ok(Answer {
                status,
                stdout,
                stderr,
            }) => json!({ "status": status, "stdout": stdout, "stderr": stderr }),
            Err(error) => json!({ "error": error }),
        })
    }

    fn fetched(&mut self, call: &HostCall<'_>) -> Result<Json, HostFailure> {
        let url = text(&call.args["url"]);
        if let Some(message) = fetch::unfit(&url) {
            return Err(misuse(message));
        }
        let integrity: fetch::Integrity = text(&call.args["integrity"]).parse().map_err(misuse)?;
        let strip = call.args["strip"].as_u64();
        let wanted = fetch::Fetch {
            url,
            integrity: Some(integrity.to_string()),
            strip: strip.and_then(|strip| u32::try_from(strip).ok()),
            executable: strip.is_none(),
        };
        let answer = self.services.shelf.answer(&wanted);
        let mut recorded = self.recorded.lock();
        let folder = answer.as_ref().map(|answer| answer.as_ref().ok().cloned());
        let read = folder.map(|folder| Read::Fetched(wanted.clone(), folder));
        recorded.reads.extend(read);
        Ok(match answer {
            Some(Ok(folder)) => json!({ "folder": folder }),
            Some(Err(error)) => json!({ "error": error }),
            None => {
                recorded.awaited.push(wanted);
                json!({})
            }
        })
    }

    fn toolchain(&mut self, call: &HostCall<'_>) -> Result<Json, HostFailure> {
        let found = match call.args["lacking"].as_str() {
            Some(lacking) => Err(lacking.to_owned()),
            None => {
                let value = Value::from_json(call.args["value"].clone()).map_err(misuse)?;
                Ok(value.to_wire().into())
            }
        };
        let target = match &call.args["target"] {
            Json::Array(needs) => needs.iter().map(Need::of).collect(),
            _ => Vec::new(),
        };
        self.recorded.lock().toolchains.push(Toolchain {
            name: text(&call.args["export"]),
            target,
            found,
        });
        Ok(Json::Null)
    }
}

impl Host for PackageHost {
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        match call.name {
            "declare" => self.declare(call),
            "source" => self.below(&call).map(|path| json!(path.as_str())),
            "file" => self.file(call),
            "pin" | "pinned" => self.pin(&call),
            "glob" => self.glob(call),
            "readText" => self.read_text(call),
            "label" => label(&call, self.package.as_ref()),
            "blame" => {
                self.recorded.lock().blame = Blame::of(&call.args);
                Ok(Json::Null)
            }
            "depset" | "depsetList" => Err(misuse(
                "a depset belongs to analyze: it is listed there, and no package can export it",
            )),
            "config" => {
                let name = text(&call.args["name"]);
                let value = self.services.config.get(&name).cloned();
                self.recorded
                    .lock()
                    .reads
                    .push(Read::Config(name, value.clone()));
                Ok(json!(value))
            }
            "find" => Ok(self.find(&call)),
            "probe" => self.probe(&call),
            "searchPath" => Ok(json!(self.services.machine.search_path())),
            "machine" => Ok(json!({ "os": Machine::OS, "arch": Machine::ARCH })),
            "versionIs" => {
                let (version, wanted) = (text(&call.args["version"]), text(&call.args["wanted"]));
                version_is(&version, &wanted)
                    .map(|is| json!(is))
                    .map_err(misuse)
            }
            "toolchain" => self.toolchain(&call),
            "fetched" => self.fetched(&call),
            "env" => {
                self.package(&call)?;
                let name = text(&call.args["name"]);
                let value = self.services.machine.variable(&name).map(str::to_owned);
                let read = Read::Variable(name, value.clone());
                self.recorded.lock().reads.push(read);
                Ok(json!(value))
            }
            "function" => {
                let (function, args) = (text(&call.args["name"]), call.args["args"].to_string());
                let Some(body) = self.services.functions.get(&function) else {
                    return Err(misuse(format!(
                        "no builtin registered a function \"{function}\""
                    )));
                };
                let answer = body(&call.args["args"]).map(|answer| answer.to_string());
                self.recorded.lock().reads.push(Read::Answer {
                    function,
                    args,
                    answer: answer.clone(),
                });
                match answer {
                    Ok(answer) => serde_json::from_str(&answer).map_err(misuse),
                    Err(message) => Err(HostFailure {
                        message,
                        misuse: false,
                    }),
                }
            }
            _ => Err(refused(&call)),
        }
    }

    fn log(&mut self, level: LogLevel, message: &str, place: Option<&Place>) {
        let location = place.map(|place| Location::new(place, None));
        let logged = Diagnostic::logged(level, message, location);
        self.recorded.lock().logs.push(logged);
    }
}

/// The label that a script names, which is relative in a package only.
pub(crate) fn label(
    call: &HostCall<'_>,
    package: Option<&NeutralPath>,
) -> Result<Json, HostFailure> {
    let text = call.args["label"].as_str().unwrap_or_default();
    let label = Label::parse(text, package).map_err(misuse)?;
    Ok(json!({ "label": label.to_string(), "outputs": [] }))
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn misuse(error: impl std::fmt::Display) -> HostFailure {
    HostFailure {
        message: error.to_string(),
        misuse: true,
    }
}
