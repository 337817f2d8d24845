//! Analysis: what rules make of targets, dependencies first.
//!
//! Tasks are lowered here; the targets of one rule module are analysed together, in one context, as soon as all that
//! they depend on outside of it is known. No V8 job waits for another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};
use zako_action::OutputKind;
use zako_graph::{Ctx, Key};
use zako_path::NeutralPath;
use zako_script::engine::{Entry, refused};
use zako_script::{Evaluation, Host, HostCall, HostFailure, LogLevel, ModuleSet, Place, Specifier};

use super::lower::{File, Lowered, lower, lower_task};
use super::task::{Lookup, output_folder};
use super::{Target, TaskAttrs};
use crate::diagnostic::{Diagnostic, Fault, Location};
use crate::evaluate::{Faults, Services, closure, fault, graph_fault, module_set};

/// What analysis made of targets.
#[derive(Debug, Default)]
pub(crate) struct Analysis {
    /// By label.
    pub(crate) results: HashMap<String, Analyzed>,
    /// What rules logged.
    pub(crate) logs: Vec<Diagnostic>,
    /// Errors; targets that they concern, or that depend on those, have no result.
    pub(crate) faults: Vec<Diagnostic>,
}

/// What analysis made of one target.
#[derive(Debug, Clone)]
pub(crate) struct Analyzed {
    /// What it builds by default.
    pub(crate) files: Vec<NeutralPath>,
    /// Its named outputs.
    pub(crate) outputs: BTreeMap<String, NeutralPath>,
    /// Its actions.
    pub(crate) actions: Vec<Lowered>,
    /// Files, outputs and providers as a realm knows them.
    wire: Json,
}

/// A target to analyse, with the text of the file that declares it.
pub(crate) type Declared = (Arc<Target>, Option<Location>);

/// Analyses `targets`, which contain all that they depend on.
pub(crate) async fn analyze(
    ctx: &zako_graph::Request,
    services: &Arc<Services>,
    targets: &BTreeMap<String, Declared>,
) -> Analysis {
    let mut analysis = Analysis::default();
    let mut waiting: BTreeMap<&str, &Declared> = targets
        .iter()
        .map(|(label, target)| (label.as_str(), target))
        .collect();
    let mut failed: HashSet<String> = HashSet::new();
    // Targets on a cycle fail; those beside it do not.
    while let Some(chain) = find_cycle(targets, &failed) {
        let location = targets
            .get(&chain[0])
            .and_then(|(_, location)| location.clone());
        let mut error = Diagnostic::user(format!(
            "targets depend on one another in a cycle: {}",
            chain.join(" \u{2192} ")
        ));
        error.location = location;
        analysis.faults.push(error);
        for label in chain {
            waiting.remove(label.as_str());
            failed.insert(label);
        }
    }
    while !waiting.is_empty() {
        // What depends on something that failed has failed too, silently.
        let doomed: Vec<&str> = waiting
            .iter()
            .filter(|(_, (target, _))| {
                target
                    .dependencies()
                    .iter()
                    .any(|dep| failed.contains(*dep))
            })
            .map(|(label, _)| *label)
            .collect();
        if !doomed.is_empty() {
            for label in doomed {
                waiting.remove(label);
                failed.insert(label.to_owned());
            }
            continue;
        }
        let ready_tasks: Vec<&str> = waiting
            .iter()
            .filter(|(_, (target, _))| {
                target.rule.is_task()
                    && target
                        .dependencies()
                        .iter()
                        .all(|dep| analysis.results.contains_key(*dep))
            })
            .map(|(label, _)| *label)
            .collect();
        if !ready_tasks.is_empty() {
            for label in ready_tasks {
                let Some((target, location)) = waiting.remove(label) else {
                    continue;
                };
                match task_result(target, &analysis) {
                    Ok(result) => {
                        analysis.results.insert(label.to_owned(), result);
                    }
                    Err(message) => {
                        failed.insert(label.to_owned());
                        analysis
                            .faults
                            .push(located(message, target, location.as_ref()));
                    }
                }
            }
            continue;
        }
        let waves = rule_groups(&waiting, &analysis);
        if waves.is_empty() {
            // No cycle and nothing ready: a dependency is not among the targets, which the caller rules out.
            let label = waiting.keys().next().copied().unwrap_or_default();
            analysis.faults.push(Diagnostic::error(
                Fault::Bug,
                format!("{label} cannot be analysed"),
            ));
            return analysis;
        }
        let jobs = waves
            .iter()
            .map(|(module, group)| group_job(ctx, services, module, group, targets, &analysis));
        let results = join_all(jobs).await;
        for ((_, group), done) in waves.iter().zip(results) {
            // A rule module that is wrong fails its own targets.
            let done = done.unwrap_or_else(|faults| Done {
                faults: faults.to_vec(),
                ..Done::default()
            });
            analysis.logs.extend(done.logs);
            for label in group {
                waiting.remove(label.as_str());
                match done.results.get(label) {
                    Some(result) => {
                        analysis.results.insert(label.clone(), result.clone());
                    }
                    None => {
                        failed.insert(label.clone());
                    }
                }
            }
            analysis.faults.extend(done.faults);
        }
    }
    analysis
}

fn located(message: impl Into<String>, target: &Target, location: Option<&Location>) -> Diagnostic {
    let mut error = Diagnostic::user(message).with_trace(format!("in {}", target.label));
    error.location = location.cloned();
    error
}

impl Lookup for Analysis {
    fn files(&self, label: &str) -> Result<Vec<NeutralPath>, String> {
        self.results
            .get(label)
            .map(|result| result.files.clone())
            .ok_or_else(|| format!("there is no target {label}"))
    }

    fn output(&self, label: &str, name: &str) -> Result<NeutralPath, String> {
        let result = self
            .results
            .get(label)
            .ok_or_else(|| format!("there is no target {label}"))?;
        result
            .outputs
            .get(name)
            .cloned()
            .ok_or_else(|| format!("{label} has no output \"{name}\""))
    }
}

fn task_result(target: &Target, analysis: &Analysis) -> Result<Analyzed, String> {
    let attrs = TaskAttrs::parse(&target.attrs)?;
    let outputs = attrs.output_paths(&target.label.package)?;
    let lowered = lower_task(target, &attrs, analysis)?;
    let file = |output: &zako_action::OutputSpec| {
        File::json(&output.path, output.kind == OutputKind::Directory)
    };
    let named: Map<String, Json> = outputs
        .iter()
        .filter_map(|output| Some((output.name.clone()?, file(output))))
        .collect();
    Ok(Analyzed {
        files: outputs.iter().map(|output| output.path.clone()).collect(),
        outputs: outputs
            .iter()
            .filter_map(|output| Some((output.name.clone()?, output.path.clone())))
            .collect(),
        wire: json!({ "files": outputs.iter().map(file).collect::<Vec<_>>(), "providers": {}, "outputs": named }),
        actions: vec![lowered],
    })
}

/// Groups of targets of one rule module, in dependency order, whose dependencies are analysed or earlier in the group.
fn rule_groups(
    waiting: &BTreeMap<&str, &Declared>,
    analysis: &Analysis,
) -> Vec<(String, Vec<String>)> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let modules: HashSet<&str> = waiting
        .values()
        .filter(|(t, _)| !t.rule.is_task())
        .map(|(t, _)| t.rule.module.as_str())
        .collect();
    for module in modules {
        let mine: Vec<(&str, &Target)> = waiting
            .iter()
            .filter(|(_, (target, _))| target.rule.module == module)
            .map(|(label, (target, _))| (*label, &**target))
            .collect();
        let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut missing: Vec<usize> = Vec::with_capacity(mine.len());
        for (at, (_, target)) in mine.iter().enumerate() {
            let open: Vec<&str> = target
                .dependencies()
                .into_iter()
                .filter(|dep| !analysis.results.contains_key(*dep))
                .collect();
            missing.push(open.len());
            for dep in open {
                users.entry(dep).or_default().push(at);
            }
        }
        let mut ready: Vec<usize> = (0..mine.len())
            .rev()
            .filter(|at| missing[*at] == 0)
            .collect();
        let mut order = Vec::new();
        while let Some(at) = ready.pop() {
            let label = mine[at].0;
            order.push(label.to_owned());
            for user in users.get(label).into_iter().flatten() {
                missing[*user] -= 1;
                if missing[*user] == 0 {
                    ready.push(*user);
                }
            }
        }
        if !order.is_empty() {
            groups.insert(module, order);
        }
    }
    groups
        .into_iter()
        .map(|(module, group)| (module.to_owned(), group))
        .collect()
}

#[derive(Default)]
struct Done {
    results: HashMap<String, Analyzed>,
    logs: Vec<Diagnostic>,
    faults: Vec<Diagnostic>,
    /// The target whose `analyze` runs.
    current: Option<String>,
    /// The actions that it declared so far.
    actions: Vec<Lowered>,
}

async fn group_job(
    ctx: &zako_graph::Request,
    services: &Arc<Services>,
    module: &str,
    group: &[String],
    targets: &BTreeMap<String, Declared>,
    analysis: &Analysis,
) -> Result<Done, Faults> {
    let (specifier, modules, sources) = rule_modules(ctx, services, module).await?;
    let mut left: Vec<String> = group.to_vec();
    let mut whole = Done::default();
    // A target whose analysis fails ends its realm; the others go on in a fresh one.
    while !left.is_empty() {
        let requests: Vec<Json> = left
            .iter()
            .filter_map(|label| Some(request(&targets.get(label)?.0)))
            .collect();
        let mut dependencies = Map::new();
        for label in &left {
            for dep in targets
                .get(label)
                .into_iter()
                .flat_map(|(target, _)| target.dependencies())
            {
                let known = analysis.results.get(dep).or_else(|| whole.results.get(dep));
                if let Some(result) = known {
                    dependencies.insert(dep.to_owned(), result.wire.clone());
                }
            }
        }
        let done = Arc::new(Mutex::new(Done::default()));
        let host = AnalysisHost {
            analysis: Some(json!({ "requests": requests, "dependencies": dependencies })),
            targets: left
                .iter()
                .filter_map(|label| Some((label.clone(), targets.get(label)?.clone())))
                .collect(),
            sources: sources.clone(),
            done: done.clone(),
        };
        let evaluation = Evaluation {
            modules: modules.clone(),
            entry: Entry::Analysis(vec![specifier.clone()]),
            host: Box::new(host),
            limits: None,
        };
        let result = services.engine.evaluate(evaluation, &services.cancel).await;
        let Done {
            results,
            logs,
            faults,
            current,
            actions: _,
        } = std::mem::take(&mut *done.lock());
        let mut gone: HashSet<String> = results.keys().cloned().collect();
        whole.results.extend(results);
        whole.logs.extend(logs);
        whole.faults.extend(faults);
        if let Err(error) = result {
            let mut diagnostic = Diagnostic::from(error);
            let Some((label, (target, location))) =
                current.and_then(|label| Some((label.clone(), targets.get(&label)?)))
            else {
                return Err(fault(diagnostic));
            };
            let place = location
                .as_ref()
                .map(|l| format!(" (declared at {l})"))
                .unwrap_or_default();
            diagnostic.trace.push(format!(
                "in the analysis of {label} by {}{place}",
                target.rule.export
            ));
            if diagnostic.location.is_none() {
                diagnostic.location.clone_from(location);
            }
            let cancelled = diagnostic.fault == Fault::Interrupted;
            whole.faults.push(diagnostic);
            if cancelled {
                break;
            }
            gone.insert(label);
        } else {
            break;
        }
        // What depends on what failed cannot be analysed here either; the caller sees it missing.
        left.retain(|label| !gone.contains(label));
        let known =
            |label: &str| analysis.results.contains_key(label) || whole.results.contains_key(label);
        loop {
            let before = left.len();
            let open: HashSet<String> = left.iter().cloned().collect();
            left.retain(|label| {
                targets.get(label).is_some_and(|(t, _)| {
                    t.dependencies()
                        .iter()
                        .all(|d| known(d) || open.contains(*d))
                })
            });
            if left.len() == before {
                break;
            }
        }
    }
    Ok(whole)
}

fn request(target: &Target) -> Json {
    let label = target.label.to_string();
    json!({
        "label": label,
        "package": target.label.package.as_str(),
        "name": target.label.stem(),
        "outputRoot": output_folder(&target.label.package).as_str(),
        "rule": { "module": target.rule.module, "export": target.rule.export },
        "attrs": target.attrs.to_json(),
    })
}

type RuleModules = (Specifier, ModuleSet, Arc<BTreeMap<String, Arc<str>>>);

async fn rule_modules(
    ctx: &zako_graph::Request,
    services: &Services,
    module: &str,
) -> Result<RuleModules, Faults> {
    let Some(path) = module.strip_prefix("//") else {
        let mut set = ModuleSet::default();
        if let Some(builtin) = services.builtins.get(module) {
            set.insert(builtin.module.clone());
        }
        return Ok((Specifier::Builtin(module.to_owned()), set, Arc::default()));
    };
    let path = NeutralPath::new(path).map_err(|e| fault(Diagnostic::user(e.to_string())))?;
    let key = RuleModule(services.intern(&path).map_err(fault)?);
    let (set, sources) = &*ctx.get(&key).await.map_err(|e| fault(graph_fault(&e)))??;
    Ok((Specifier::File(path), set.clone(), sources.clone()))
}

/// A script action's module with all that it needs to run.
pub(crate) async fn script_modules(
    ctx: &zako_graph::Request,
    services: &Services,
    path: &NeutralPath,
) -> Result<(Specifier, ModuleSet), Faults> {
    let (specifier, modules, _) = rule_modules(ctx, services, &format!("//{path}")).await?;
    Ok((specifier, modules))
}

/// What a rule module needs to run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RuleModule(zako_path::InternedPath);

impl Key for RuleModule {
    type Value = Result<Arc<(ModuleSet, Arc<BTreeMap<String, Arc<str>>>)>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = crate::evaluate::services(ctx)
            .map_err(|e| fault(graph_fault(&e)))?
            .clone();
        let path = self
            .0
            .resolve(&services.interner)
            .map_err(|e| fault(Diagnostic::environment(e.to_string())))?;
        let closure = closure(ctx, &path).await?;
        let sources = closure.sources();
        Ok(Arc::new((
            module_set(&services, &closure),
            Arc::new(sources),
        )))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

struct AnalysisHost {
    analysis: Option<Json>,
    targets: HashMap<String, Declared>,
    sources: Arc<BTreeMap<String, Arc<str>>>,
    done: Arc<Mutex<Done>>,
}

impl Host for AnalysisHost {
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        match call.name {
            "analysis" => Ok(self.analysis.take().unwrap_or(Json::Null)),
            "analyzing" => {
                let mut done = self.done.lock();
                done.current = call.args["label"].as_str().map(str::to_owned);
                done.actions.clear();
                Ok(Json::Null)
            }
            // Lowered as it is declared, so that what is wrong with it is told at that line.
            "action" => {
                let mut done = self.done.lock();
                let current = done.current.clone().unwrap_or_default();
                let Some((target, _)) = self.targets.get(&current) else {
                    return Ok(Json::Null);
                };
                let lowered = lower(target, &call.args["action"]).map_err(misuse)?;
                done.actions.push(lowered);
                Ok(Json::Null)
            }
            "analyzed" => {
                let label = call.args["label"].as_str().unwrap_or_default().to_owned();
                if !self.targets.contains_key(&label) {
                    return Ok(Json::Null);
                }
                let mut done = self.done.lock();
                let actions = std::mem::take(&mut done.actions);
                let result = analyzed(actions, call.args).map_err(misuse)?;
                done.results.insert(label, result);
                Ok(Json::Null)
            }
            other => Err(refused(other)),
        }
    }

    fn log(&mut self, level: LogLevel, message: &str, place: Option<&Place>) {
        let location =
            place.map(|place| Location::new(place, self.sources.get(&place.file).cloned()));
        let logged = Diagnostic::logged(level, message, location);
        self.done.lock().logs.push(logged);
    }
}

fn misuse(message: String) -> HostFailure {
    HostFailure {
        message,
        misuse: true,
    }
}

fn analyzed(actions: Vec<Lowered>, mut args: Json) -> Result<Analyzed, String> {
    let path = |json: &Json, what: &str| {
        File::parse(json)
            .map(|file| file.path)
            .ok_or_else(|| format!("{what} takes files"))
    };
    let files = args["files"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| path(file, "the default output"))
        .collect::<Result<_, _>>()?;
    let outputs = args["outputs"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, file)| Ok((name.clone(), path(file, "a named output")?)))
        .collect::<Result<_, String>>()?;
    let wire = json!({ "files": args["files"].take(), "providers": args["providers"].take(), "outputs": args["outputs"].take() });
    Ok(Analyzed {
        files,
        outputs,
        actions,
        wire,
    })
}

/// A cycle among the targets that are not `known` to be on one, as labels with the first repeated at the end.
fn find_cycle(
    targets: &BTreeMap<String, Declared>,
    known: &HashSet<String>,
) -> Option<Vec<String>> {
    let mut done: HashSet<&str> = known.iter().map(String::as_str).collect();
    for start in targets.keys() {
        let mut path: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut on_path: HashSet<&str> = HashSet::new();
        let enter = |label: &'_ str| targets.get_key_value(label);
        let Some((label, (target, _))) = enter(start) else {
            continue;
        };
        if done.contains(label.as_str()) {
            continue;
        }
        path.push((label, target.dependencies()));
        on_path.insert(label);
        while let Some((label, deps)) = path.last_mut() {
            let Some(next) = deps.pop() else {
                on_path.remove(label);
                done.insert(label);
                path.pop();
                continue;
            };
            if on_path.contains(next) {
                let from = path
                    .iter()
                    .position(|(label, _)| *label == next)
                    .unwrap_or(0);
                let mut chain: Vec<String> = path[from..]
                    .iter()
                    .map(|(label, _)| (*label).to_owned())
                    .collect();
                chain.push(next.to_owned());
                return Some(chain);
            }
            if let Some((label, (target, _))) = enter(next)
                && !done.contains(label.as_str())
            {
                path.push((label, target.dependencies()));
                on_path.insert(label);
            }
        }
    }
    None
}
