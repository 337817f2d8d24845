//! Packages: a `BUILD.ts` evaluated in a sealed context of its own, and its targets named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use zako_graph::{Ctx, GraphError, Key};
use zako_path::{InternedPath, NeutralPath};
use zako_script::engine::Entry;
use zako_script::module::package_facade;
use zako_script::{AttributeStep, Evaluation, ScriptErrorKind, Specifier, TargetRef, Value};

use super::attribute::point_at;
use super::cycle::ImportCycle;
use super::glob::{Globbed, would_match};
use super::host::{PackageHost, Placed, Read, Recorded};
use super::leaf::{
    ConfigValue, FileThere, HostAnswer, Ignored, PackageModule, SourceText, Variable,
};
use super::machine::{ProgramAnswer, ProgramPath};
use super::module::{Closure, add_builtins, check_names, closure, location, module_set};
use super::readers::{OptionValues, Ready};
use super::shelved::Shelved;
use super::{Faults, Services, about, fault, graph_fault};
use crate::codec::{Coded, encoded};
use crate::diagnostic::{Diagnostic, Fault, Severity, with_texts};
use crate::event::{BuildEvent, millis};
use crate::manifest::MANIFEST;
use crate::target::{Naming, Target, name_targets};
use crate::workspace::BUILD_FILE;

/// How often an evaluation is done again because a file that it read changed meanwhile.
const MAX_TRIES: usize = 3;

/// A package, by its folder: its targets and all else about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Package(pub(crate) InternedPath, pub(crate) Arc<str>);

/// What a package is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PackageValue {
    pub(crate) path: NeutralPath,
    /// Its exports, by name; every target in them by its label.
    pub(crate) exports: Vec<(String, Value)>,
    /// Its targets, by name.
    pub(crate) targets: BTreeMap<String, Arc<Target>>,
    /// Names that stand for targets of other packages, or for targets in another configuration.
    pub(crate) aliases: BTreeMap<String, TargetRef>,
    /// What it logged.
    pub(crate) logs: Vec<Diagnostic>,
}

impl Package {
    /// The package at `path`.
    pub(crate) fn new(services: &Services, path: &NeutralPath) -> Result<Package, Diagnostic> {
        Ok(Package(services.intern(path)?, path.as_str().into()))
    }
}

impl Key for Package {
    type Value = Result<Arc<PackageValue>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let (services, path) = about(ctx, self.0)?;
        let mut known = services.readers.matching(&path, &services.config);
        if known.is_none() {
            let done = evaluate(ctx, &services, &path, Given::default()).await?;
            if done.reads.is_empty() {
                return Ok(done.package);
            }
            // From here on it is known by what it read.
            known = services.readers.matching(&path, &services.config);
        }
        loop {
            let Some(values) = known else {
                let error = Diagnostic::error(Fault::Bug, format!("//{path} read nothing"));
                return Err(fault(error));
            };
            for (name, _) in &values {
                let read = ctx.get(&ConfigValue(name.clone())).await;
                read.map_err(|e| fault(graph_fault(&e)))?;
            }
            let key = PackageGiven(self.clone(), values);
            let package = ctx.get(&key).await.map_err(|e| fault(graph_fault(&e)))??;
            // An evaluation may have read more than it was known by.
            known = services.readers.matching(&path, &services.config);
            if known.as_ref() == Some(&key.1) {
                return Ok(package);
            }
        }
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        same(old, new)
    }

    fn describe(&self) -> String {
        if self.1.is_empty() {
            BUILD_FILE.to_owned()
        } else {
            format!("{}/{BUILD_FILE}", self.1)
        }
    }
}

/// A package, given these values of options: those that it was seen to read. What it is with other values stays, so that going back
/// finds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PackageGiven(pub(super) Package, pub(super) OptionValues);

impl Key for PackageGiven {
    type Value = Result<Arc<PackageValue>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let (services, path) = about(ctx, self.0.0)?;
        let given = Given {
            values: self.1.clone(),
            ready: services.readers.take(&path, &self.1),
        };
        Ok(evaluate(ctx, &services, &path, given).await?.package)
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        same(old, new)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

/// What an evaluation of a package is given.
#[derive(Default)]
struct Given {
    /// Values of options, which the node is known by.
    values: OptionValues,
    /// What it came to, if it was evaluated with these a moment ago.
    ready: Option<Ready>,
}

/// A package, evaluated.
struct Evaluated {
    package: Arc<PackageValue>,
    /// The options that it read and was not given.
    reads: BTreeSet<String>,
}

async fn evaluate(
    ctx: &Ctx,
    services: &Arc<Services>,
    path: &NeutralPath,
    given: Given,
) -> Result<Evaluated, Faults> {
    let started = Instant::now();
    let own = path
        .join(BUILD_FILE)
        .map_err(|e| fault(Diagnostic::user(e.to_string())))?;
    let file = match by_rules(ctx, services).await? {
        false => own.clone(),
        // Without one it is an error of the file that a person would look for.
        true => {
            let found = package_module(ctx, services, path).await?;
            found.unwrap_or_else(|| own.clone())
        }
    };
    let is_ready = given.ready.is_some();
    let start = Start::exports(&file, Some(path));
    let ran = run_given(ctx, services, &start, given.ready, &given.values).await;
    let ran = ran.map_err(|faults| match file == own {
        true => faults,
        false => of_rule(&faults, path),
    })?;
    let reads: BTreeSet<String> = ran
        .recorded
        .reads
        .iter()
        .filter_map(|read| match read {
            Read::Config(name, _) => Some(name.clone()),
            _ => None,
        })
        .filter(|name| given.values.iter().all(|(known, _)| known != name))
        .collect();
    if !reads.is_empty() {
        let ready = Ready {
            exports: ran.exports.clone(),
            refused: ran.refused.clone(),
            recorded: ran.recorded.clone(),
        };
        services
            .readers
            .learn(path, &given.values, &reads, &services.config, ready);
    }
    let Ran {
        exports,
        refused,
        recorded,
        closure,
    } = ran;
    let build = &closure.modules[&file];
    if let Some((name, why)) = refused.first() {
        let place = build
            .code
            .exports
            .iter()
            .find(|export| export.name == *name)
            .map(|export| &export.place);
        let mut error = Diagnostic::user(why.clone())
                .with_help("a package's exports are targets and plain data; move code that is shared into a library file");
        error.location = place.map(location);
        return Err(fault(error));
    }
    if let Some(error) = taken_for_source(services, &recorded).await {
        let told = error.with_trace(format!("in package //{path}"));
        return Err(fault(told));
    }
    let named = name_targets(path, exports, recorded.declarations)?;
    let Naming {
        exports,
        targets,
        aliases,
        warnings,
    } = named;
    let logs: Vec<Diagnostic> = recorded.logs.into_iter().chain(warnings).collect();
    if !is_ready {
        let wall_ms = millis(started.elapsed());
        services
            .send(BuildEvent::PackageEvaluated {
                package: path.to_string(),
                wall_ms,
            })
            .await;
    }
    let package = Arc::new(PackageValue {
        path: path.clone(),
        exports,
        targets,
        aliases,
        logs,
    });
    Ok(Evaluated { package, reads })
}

/// What is wrong when the package takes its own outputs for sources: it would be another package once they are there.
async fn taken_for_source(services: &Services, recorded: &Recorded) -> Option<Diagnostic> {
    let globs = || {
        recorded.reads.iter().filter_map(|read| match read {
            Read::Glob {
                include, exclude, ..
            } => Some((include, exclude)),
            _ => None,
        })
    };
    let (placed, include) = recorded.placed.iter().find_map(|placed| {
        let Placed {
            path, is_directory, ..
        } = placed;
        let taking = globs().find(|(i, e)| would_match(i, e, path, *is_directory));
        taking.map(|(include, _)| (placed, include))
    })?;
    let (shown, all) = match placed.is_directory {
        true => (format!("{}/", placed.path), format!("{}/**", placed.path)),
        false => (placed.path.clone(), placed.path.clone()),
    };
    let patterns: Vec<String> = include.iter().map(|p| format!("\"{p}\"")).collect();
    let mut error = Diagnostic::user(format!(
        "the output `{shown}` is put among the sources, where glob({}) of the same package takes it for one of them",
        patterns.join(", ")
    ))
    .with_help(format!(
        "leave it out of the glob: {{ exclude: \"{all}\" }}; a target that needs it names this one among its inputs"
    ));
    let declared = &recorded.declarations[placed.declaration];
    if let Some(place) = &declared.place {
        let path = vec![AttributeStep::Key("outputs".to_owned())];
        error.location = Some(point_at(services, location(place), path).await);
    }
    Some(error)
}

/// Whether two values are the same to whoever sees them: an object's keys have an order, which `==` does not see.
fn same<T: Coded>(old: &Result<Arc<T>, Faults>, new: &Result<Arc<T>, Faults>) -> bool {
    match (old, new) {
        (Ok(old), Ok(new)) => encoded(old) == encoded(new),
        (Err(old), Err(new)) => old == new,
        _ => false,
    }
}

/// What a package's importers see: its exports, without the attributes of its targets, so that importers are evaluated
/// again only when this changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PackageExports(pub(super) Package);

impl Key for PackageExports {
    type Value = Result<Arc<Vec<(String, Value)>>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let package = ctx
            .get(&self.0)
            .await
            .map_err(|e| fault(graph_fault(&e)))??;
        Ok(Arc::new(package.exports.clone()))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        same(old, new)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

/// One file evaluated by itself: what `zako eval` shows. A `BUILD.ts` is evaluated as its package.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Evaluate(pub(crate) InternedPath);

/// What evaluating one file gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EvaluatedModule {
    pub(crate) exports: Vec<(String, Value)>,
    pub(crate) logs: Vec<Diagnostic>,
}

impl Key for Evaluate {
    type Value = Result<Arc<EvaluatedModule>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let (services, file) = about(ctx, self.0)?;
        let Ran {
            exports,
            refused,
            recorded,
            closure,
        } = run(ctx, &services, &Start::exports(&file, None)).await?;
        let mut logs = recorded.logs;
        let module = &closure.modules[&file];
        for (name, why) in refused {
            let mut note = Diagnostic::user(format!("{why}; it is left out"));
            note.severity = Severity::Debug;
            let place = module
                .code
                .exports
                .iter()
                .find(|export| export.name == name)
                .map(|export| &export.place);
            note.location = place.map(location);
            logs.push(note);
        }
        Ok(Arc::new(EvaluatedModule { exports, logs }))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// What is evaluated, and as what.
pub(super) struct Start<'a> {
    /// The module.
    pub(super) module: Specifier,
    /// What is done with it.
    pub(super) entry: Entry,
    /// The package that it is.
    pub(super) package: Option<&'a NeutralPath>,
}

impl<'a> Start<'a> {
    /// The exports of `file`, which is that package.
    pub(super) fn exports(file: &NeutralPath, package: Option<&'a NeutralPath>) -> Start<'a> {
        let module = Specifier::File(file.clone());
        Start {
            entry: Entry::Exports(module.clone()),
            module,
            package,
        }
    }
}

/// What came of it.
pub(super) struct Ran {
    pub(super) exports: Vec<(String, Value)>,
    refused: Vec<(String, String)>,
    pub(super) recorded: Recorded,
    closure: Closure,
}

/// Evaluates the module, and records what it read as dependencies of this node.
pub(super) async fn run(
    ctx: &Ctx,
    services: &Arc<Services>,
    start: &Start<'_>,
) -> Result<Ran, Faults> {
    run_given(ctx, services, start, None, &[]).await
}

/// The same, of a node that is known by the values of some options, and that may have been evaluated already.
async fn run_given(
    ctx: &Ctx,
    services: &Arc<Services>,
    start: &Start<'_>,
    mut ready: Option<Ready>,
    given: &[(String, Option<String>)],
) -> Result<Ran, Faults> {
    let failed = |e: &GraphError| fault(graph_fault(e));
    let Start {
        module,
        entry,
        package,
    } = start;
    let closure = match module {
        Specifier::File(file) => closure(ctx, file).await?,
        _ => Closure::default(),
    };
    let mut set = module_set(services, &closure);
    if let Specifier::Builtin(name) = module {
        add_builtins(services, vec![name], &mut set);
    }
    let mut keys = Vec::new();
    for (build, import) in &closure.packages {
        // Asked of the graph, so that a package that appears heals its importers.
        let folder = build.parent().unwrap_or_else(NeutralPath::root);
        let is_there = match by_rules(ctx, services).await? {
            false => has_file(ctx, services, build)
                .await
                .map_err(|e| failed(&e))?,
            true => package_module(ctx, services, &folder).await?.is_some(),
        };
        if !is_there {
            let (message, help) =
                crate::workspace::ReadFault::Missing.explain(&services.workspace, build);
            let mut error = Diagnostic::user(message).at(location(&import.place));
            error.help = help;
            return Err(fault(error));
        }
        keys.push(PackageExports(
            Package::new(services, &folder).map_err(fault)?,
        ));
    }
    let imported = match ctx.get_all(keys).await {
        Ok(imported) => imported,
        Err(error) => {
            let told = match ImportCycle::of(&error) {
                Some(cycle) => ctx.get(&cycle).await.map_err(|e| failed(&e))?,
                None => graph_fault(&error),
            };
            return Err(fault(told));
        }
    };
    for ((build, import), exports) in closure.packages.iter().zip(imported) {
        let exports = exports.map_err(|faults| {
            let line = format!("imported by {}", import.place);
            Arc::new(
                faults
                    .iter()
                    .map(|fault| fault.clone().with_trace(line.clone()))
                    .collect::<Vec<_>>(),
            )
        })?;
        let offered: Vec<&str> = exports.iter().map(|(name, _)| name.as_str()).collect();
        check_names(import, &offered)?;
        let exports = exports.iter().map(|(name, value)| (name.as_str(), value));
        set.insert(Arc::new(package_facade(
            Specifier::File(build.clone()),
            exports,
        )));
    }

    if let Some(Ready {
        exports,
        refused,
        recorded,
    }) = ready.take()
        && record(ctx, services, *package, &recorded.reads, given).await?
    {
        return Ok(Ran {
            exports,
            refused,
            recorded,
            closure,
        });
    }
    for _ in 0..MAX_TRIES {
        let (host, recorded) = PackageHost::new(services.clone(), (*package).cloned());
        let evaluation = Evaluation {
            modules: set.clone(),
            entry: entry.clone(),
            host: Box::new(host),
            limits: None,
        };
        let result = services.engine.evaluate(evaluation, &services.cancel).await;
        let recorded = std::mem::take(&mut *recorded.lock());
        // A failed evaluation depends on what it read as much as one that succeeded.
        let settled = record(ctx, services, *package, &recorded.reads, given).await?;
        match result {
            // What it saw is gone already: its error may be too.
            Err(error) if !settled && error.kind == ScriptErrorKind::Throw => {}
            Err(error) => {
                // Whoever looks for the error wants what was logged before it.
                for log in with_texts(services.workspace.root(), recorded.logs) {
                    services.send(BuildEvent::Diagnostic(log)).await;
                }
                if matches!(
                    error.kind,
                    ScriptErrorKind::Cancelled
                        | ScriptErrorKind::Timeout
                        | ScriptErrorKind::Internal
                ) {
                    ctx.mark_transient();
                }
                let in_what = match package {
                    Some(package) => format!("in package //{package}"),
                    None => format!("in {module}"),
                };
                let mut error = Diagnostic::from(error).with_trace(in_what);
                if let Some(blame) = recorded.blame
                    && let Some(location) = error.location.take()
                {
                    // A script may have caught what was blamed, and failed for another reason.
                    let path = match error.message.ends_with(&blame.message) {
                        true => blame.path,
                        false => Vec::new(),
                    };
                    error.location = Some(point_at(services, location, path).await);
                }
                return Err(fault(error));
            }
            Ok(done) if settled => {
                return Ok(Ran {
                    exports: done.exports,
                    refused: done.refused,
                    recorded,
                    closure,
                });
            }
            Ok(_) => {}
        }
    }
    ctx.mark_transient();
    Err(fault(
        Diagnostic::environment(format!("files that {module} reads change all the time"))
            .with_help("try again when nothing writes to them"),
    ))
}

/// Whether the manifest makes folders packages, as a dependency of this node: where it does not, a package is its `BUILD.ts`, and
/// nothing has to be found out.
async fn by_rules(ctx: &Ctx, services: &Services) -> Result<bool, Faults> {
    ctx.get(&Ignored)
        .await
        .map_err(|e| fault(graph_fault(&e)))?;
    Ok(services.workspace.has_package_rules())
}

/// The module that makes the folder a package, if it is one, as a dependency of this node.
async fn package_module(
    ctx: &Ctx,
    services: &Services,
    folder: &NeutralPath,
) -> Result<Option<NeutralPath>, Faults> {
    let key = PackageModule(services.intern(folder).map_err(fault)?);
    let found = ctx.get(&key).await.map_err(|e| fault(graph_fault(&e)))?;
    found.map_err(|error| fault(Diagnostic::environment(error)))
}

/// Errors of a module that is evaluated because `[[packages]]` says so.
fn of_rule(faults: &[Diagnostic], package: &NeutralPath) -> Faults {
    let line = format!("evaluated for //{package}, as [[packages]] of {MANIFEST} says");
    let told = faults.iter().cloned();
    Arc::new(told.map(|fault| fault.with_trace(line.clone())).collect())
}

/// Whether there is a file at `path`, as a dependency of this node.
pub(super) async fn has_file(
    ctx: &Ctx,
    services: &Services,
    path: &NeutralPath,
) -> Result<bool, GraphError> {
    match services.intern(path) {
        Ok(path) => ctx.get(&FileThere(path)).await,
        Err(_) => Ok(services.workspace.has_file(path)),
    }
}

/// Makes every read a dependency; whether each still is what the evaluation saw.
async fn record(
    ctx: &Ctx,
    services: &Services,
    package: Option<&NeutralPath>,
    reads: &[Read],
    given: &[(String, Option<String>)],
) -> Result<bool, Faults> {
    let failed = |e: GraphError| fault(graph_fault(&e));
    let root = NeutralPath::root();
    let package = package.unwrap_or(&root);
    let mut settled = true;
    for read in reads {
        settled &= match read {
            Read::Text(path, seen) => {
                let key = SourceText(services.intern(path).map_err(fault)?);
                ctx.get(&key).await.map_err(failed)? == *seen
            }
            Read::File(path, there) => {
                has_file(ctx, services, path).await.map_err(failed)? == *there
            }
            Read::Glob {
                include,
                exclude,
                found,
            } => {
                let key = Globbed {
                    package: services.intern(package).map_err(fault)?,
                    include: include.clone(),
                    exclude: exclude.clone(),
                };
                let again = ctx.get(&key).await.map_err(failed)?;
                again.is_ok_and(|again| *again == *found)
            }
            // What the node is known by is nothing that it depends on.
            Read::Config(name, seen) if given.iter().any(|(known, _)| known == name) => given
                .iter()
                .any(|(known, value)| known == name && value == seen),
            Read::Config(name, seen) => {
                ctx.get(&ConfigValue(name.clone())).await.map_err(failed)? == *seen
            }
            Read::Program(name, seen) => {
                let key = ProgramPath(name.clone());
                ctx.get(&key).await.map_err(failed)? == *seen
            }
            Read::Fetched(fetch, seen) => {
                ctx.get(&Shelved(fetch.clone())).await.map_err(failed)?.ok() == *seen
            }
            Read::Asked(question, seen) => {
                let key = ProgramAnswer(question.clone());
                ctx.get(&key).await.map_err(failed)? == *seen
            }
            Read::Variable(name, seen) => {
                ctx.get(&Variable(name.clone())).await.map_err(failed)? == *seen
            }
            Read::Answer {
                function,
                args,
                answer,
            } => {
                let key = HostAnswer {
                    function: function.clone(),
                    args: args.clone(),
                };
                ctx.get(&key).await.map_err(failed)? == *answer
            }
        };
    }
    Ok(settled)
}
