//! From a declared action to a prepared one: the values of its inputs, its tools, its keys.
//!
//! It reads files and hashes: for a thread that may block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zako_action::{
    ActionSpec, ArtifactValue, Isolation, NarrowKey, Prepared, ResolvedTool, StrongKey, ToolRef,
};
use zako_cas::{Digest, DigestFunction, SubtreeCache};
use zako_path::NeutralPath;

use super::level::Levels;
use super::tools::{Tools, is_of_the_machine, toolchain_roots};
use super::{PlannedAction, ScriptProgram};
use crate::codec::encoded;
use crate::diagnostic::{Diagnostic, Location};
use crate::files::{FileError, Files, Stamp};
use crate::target::FileWork;
use crate::workspace::is_in_output;

/// How many missing inputs of one action are told.
const MAX_TOLD: usize = 10;

/// An action that can be looked up and run.
pub(super) struct Ready {
    pub(super) action: Arc<Prepared>,
    /// All that was read of the workspace, as it was.
    pub(super) stamps: BTreeMap<NeutralPath, Stamp>,
    pub(super) toolchains: Vec<PathBuf>,
    /// Over the content of everything that is there. Not known until it is [asked for](Ready::strong): what the narrow key
    /// finds needs none.
    strong: Option<StrongKey>,
    pub(super) narrow: Option<NarrowKey>,
}

impl Ready {
    /// The strong key of the action, which is `planned`.
    pub(super) fn strong(
        &mut self,
        bench: &Bench<'_>,
        planned: &PlannedAction,
    ) -> Result<StrongKey, Vec<Diagnostic>> {
        if let Some(strong) = self.strong {
            return Ok(strong);
        }
        let key = self.action.strong_key(bench.function, Some(bench.subtrees));
        let strong = key.map_err(|error| vec![do_not_go_together(planned, &error)])?;
        self.strong = Some(strong);
        Ok(strong)
    }

    /// The strong key, if it was asked for.
    pub(super) fn known_strong(&self) -> Option<&StrongKey> {
        self.strong.as_ref()
    }
}

fn do_not_go_together(planned: &PlannedAction, error: &zako_cas::TreeError) -> Diagnostic {
    let owner = &planned.spec.owner;
    let message = format!("the inputs of {owner} do not go together: {error}");
    planned.blame(Diagnostic::user(message))
}

/// What preparing needs of the build.
pub(super) struct Bench<'a> {
    pub(super) root: &'a Path,
    pub(super) function: DigestFunction,
    pub(super) files: &'a Files,
    pub(super) tools: &'a Tools,
    pub(super) subtrees: &'a SubtreeCache,
    pub(super) levels: &'a Levels,
    pub(super) named_at:
        &'a (dyn Fn(&str, &Location, &NeutralPath) -> Option<Location> + Send + Sync),
}

/// Prepares `planned`; its errors carry its place.
pub(super) fn prepare(
    bench: &Bench<'_>,
    planned: &PlannedAction,
) -> Result<Ready, Vec<Diagnostic>> {
    let spec = &planned.spec;
    let mut found = Found {
        bench,
        planned,
        stamps: BTreeMap::new(),
        errors: Vec::new(),
    };
    let inputs = found.values(&spec.inputs);
    let staged = found.values(&spec.staged);
    let tools = found.tools(planned);
    let Found { stamps, errors, .. } = found;
    if !errors.is_empty() {
        return Err(errors
            .into_iter()
            .map(|error| planned.blame(error))
            .collect());
    }
    let isolation = bench.levels.of(spec);
    bench
        .levels
        .check(planned, isolation)
        .map_err(|error| vec![planned.blame(error)])?;
    // What runs without walls could have read anything of this workspace; what is installed in a folder that the command
    // names is in no key.
    let is_open =
        isolation < Isolation::Enhanced || !zako_exec::named_outside(spec, bench.root).is_empty();
    let salt = if is_open {
        bench.root.display().to_string()
    } else {
        String::new()
    };
    let toolchains = toolchain_roots(&tools, bench.root);
    let action = Prepared {
        spec: spec.clone(),
        inputs,
        staged,
        tools,
        salt,
        isolation,
    };
    let narrow = action.narrow_key(bench.function, Some(bench.subtrees));
    let narrow = narrow.map_err(|error| vec![do_not_go_together(planned, &error)])?;
    Ok(Ready {
        action: Arc::new(action),
        stamps,
        toolchains,
        strong: None,
        narrow,
    })
}

/// What tells the digest of a version from that of a content.
const VERSION_MARK: &str = "zako tool version 1";

/// The version that is the identity of the program called `name`, if the action says so.
pub(super) fn version_of<'a>(spec: &'a ActionSpec, name: &str) -> Option<&'a str> {
    spec.tools.iter().find_map(|tool| match tool {
        ToolRef::Versioned { path, version } if path == name => Some(version.as_str()),
        _ => None,
    })
}

struct Found<'a> {
    bench: &'a Bench<'a>,
    planned: &'a PlannedAction,
    stamps: BTreeMap<NeutralPath, Stamp>,
    errors: Vec<Diagnostic>,
}

impl Found<'_> {
    fn value(&mut self, path: &NeutralPath) -> Option<ArtifactValue> {
        match self.bench.files.value(path) {
            Ok(Some(found)) => {
                self.stamps.insert(path.clone(), found.stamp);
                return Some(found.value);
            }
            Ok(None) if self.errors.len() < MAX_TOLD => {
                let mut error = missing(self.bench.files, path);
                let PlannedAction {
                    spec, declared_at, ..
                } = self.planned;
                let declared = declared_at.as_ref();
                error.location =
                    declared.and_then(|at| (self.bench.named_at)(&spec.owner, at, path));
                self.errors.push(error);
            }
            Ok(None) => {}
            Err(error) => self.errors.push(unreadable(path, &error)),
        }
        None
    }

    fn values(&mut self, paths: &[NeutralPath]) -> BTreeMap<NeutralPath, ArtifactValue> {
        paths
            .iter()
            .filter_map(|path| Some((path.clone(), self.value(path)?)))
            .collect()
    }

    /// What runs first, then the declared ones in order.
    fn tools(&mut self, planned: &PlannedAction) -> Vec<ResolvedTool> {
        let spec = &planned.spec;
        let mut tools = Vec::new();
        if let Some(work) = &planned.work {
            tools.push(own(self.bench.function, work));
        } else if let Some(program) = &planned.script {
            tools.push(script(self.bench.function, program));
        } else if let Some(argv) = spec.argv() {
            match argv.first() {
                Some(name) => tools.extend(self.program(spec, name)),
                None => self.errors.push(Diagnostic::user(format!(
                    "the command of {} is empty",
                    spec.owner
                ))),
            }
        }
        for tool in &spec.tools {
            match tool {
                ToolRef::Host(name) => tools.extend(self.host(spec, name)),
                ToolRef::Versioned { path, .. } => tools.extend(self.host(spec, path)),
                ToolRef::Artifact(path) => tools.extend(self.artifact(path.as_str(), path)),
            }
        }
        tools
    }

    /// The program of a command: a bare name or an absolute path is one of the machine, else it is a declared file.
    fn program(&mut self, spec: &ActionSpec, name: &str) -> Option<ResolvedTool> {
        if is_of_the_machine(name) {
            return self.host(spec, name);
        }
        let path = match NeutralPath::normalize(name) {
            Ok(path) => path,
            Err(error) => {
                let message = format!("`{name}` cannot be run: {error}");
                self.errors.push(
                    Diagnostic::user(message)
                        .with_help("name a file of the workspace, or a bare name"),
                );
                return None;
            }
        };
        let is_declared = |path: &NeutralPath| {
            super::edges::reads(spec).any(|declared| path.starts_with(declared))
        };
        if !is_declared(&path) {
            let message = format!("{} runs `{path}` without declaring it", spec.owner);
            self.errors.push(
                Diagnostic::user(message)
                    .with_help(format!("add `{path}` to its `tools` or `inputs`")),
            );
            return None;
        }
        self.artifact(name, &path)
    }

    fn host(&mut self, spec: &ActionSpec, name: &str) -> Option<ResolvedTool> {
        let path = spec.env.get("PATH").map(String::as_str);
        match self.bench.tools.find(self.bench.files, name, path) {
            Ok(tool) => Some(match version_of(spec, name) {
                None => tool,
                Some(version) => ResolvedTool {
                    digest: self
                        .bench
                        .function
                        .hash(&encoded(&(VERSION_MARK.to_owned(), version.to_owned()))),
                    ..tool
                },
            }),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    fn artifact(&mut self, name: &str, path: &NeutralPath) -> Option<ResolvedTool> {
        let digest = self.value(path)?.digest()?;
        Some(ResolvedTool {
            name: name.to_owned(),
            path: path.as_str().into(),
            digest,
        })
    }
}

/// The "tool" of what zako does itself: all that is said of it.
fn own(function: DigestFunction, work: &FileWork) -> ResolvedTool {
    let name = format!("zako:{}", work.mnemonic());
    let content = match work {
        FileWork::Fetch(fetch) => Some(FileWork::Fetch(fetch.content())),
        _ => None,
    };
    let work = content.as_ref().unwrap_or(work);
    ResolvedTool {
        path: name.as_str().into(),
        name,
        digest: function.hash(&encoded(work)),
    }
}

/// The "tool" of a script action: zako's version and every module that may run.
fn script(function: DigestFunction, program: &ScriptProgram) -> ResolvedTool {
    let name = "zako:script";
    ResolvedTool {
        name: name.to_owned(),
        path: name.into(),
        digest: program_digest(function, program),
    }
}

/// The digest of zako's version and every module that may run, in order of their names.
pub(super) fn program_digest(function: DigestFunction, program: &ScriptProgram) -> Digest {
    let mut modules: Vec<_> = program
        .modules
        .iter()
        .map(|module| (module.specifier.url(), &module.js))
        .collect();
    modules.sort_unstable();
    let mut hasher = function.hasher();
    let mut add = |part: &str| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    add(env!("CARGO_PKG_VERSION"));
    add(&program.module.url());
    for (name, js) in modules {
        add(&name);
        add(js);
    }
    hasher.finish()
}

fn missing(files: &Files, path: &NeutralPath) -> Diagnostic {
    let near = files
        .nearest(path)
        .map(|near| format!("did you mean `{near}`?"));
    if is_in_output(path) {
        let diagnostic = Diagnostic::user(format!(
            "input {path} does not exist, and no action writes it"
        ));
        return diagnostic.with_help(
            near.unwrap_or_else(|| "name the target that builds it, not the file".to_owned()),
        );
    }
    let diagnostic = Diagnostic::user(format!("input {path} does not exist"));
    match near {
        Some(near) => diagnostic.with_help(near),
        None => diagnostic,
    }
}

fn unreadable(path: &NeutralPath, error: &FileError) -> Diagnostic {
    match error {
        FileError::Escapes { .. } => Diagnostic::user(format!("input {error}")).with_help(
            "copy what it links to into the workspace: a build uses nothing that lies elsewhere",
        ),
        FileError::BadName { .. } | FileError::Special(_) | FileError::Tree(_) => {
            Diagnostic::user(format!("input `{path}` cannot be used: {error}"))
        }
        FileError::Unstable(_) | FileError::Io { .. } => {
            Diagnostic::environment(format!("input `{path}`: {error}"))
        }
    }
}
