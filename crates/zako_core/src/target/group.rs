//! The targets of one rule module, analysed together in one realm.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};
use zako_graph::Request;
use zako_script::engine::{Entry, refused};
use zako_script::{Evaluation, Host, HostCall, HostFailure, LogLevel, Place};

use super::Target;
use super::analysis::{Analysis, Analyzed, Declared, Wire};
use super::depset::{SetId, SetNode, Sets};
use super::draft::Draft;
use super::dynamic::StepReads;
use super::lower::{File, lower};
use super::met::Met;
use super::rules::rule_modules;
use super::task::{output_folder, output_root};
use crate::configuration::Configuration;
use crate::diagnostic::{Diagnostic, Fault, Location};
use crate::evaluate::{Faults, Services, fault, label};

/// What came of a group.
#[derive(Default)]
pub(super) struct Done {
    pub(super) results: HashMap<String, Arc<Analyzed>>,
    pub(super) logs: Vec<Diagnostic>,
    pub(super) faults: Vec<Diagnostic>,
    /// The target whose `analyze` runs.
    current: Option<String>,
    /// The actions that it declared so far.
    actions: Vec<Draft>,
    /// The sets that it made so far.
    sets: Vec<Arc<SetNode>>,
}

impl Done {
    /// Nothing but these errors.
    pub(super) fn failed(faults: &[Diagnostic]) -> Done {
        Done {
            faults: faults.to_vec(),
            ..Done::default()
        }
    }
}

/// Analyses the targets in `group`, all of rules in `module` and in dependency order; what else they depend on is in
/// `analysis`. The error is the module's.
pub(super) async fn analyze_group(
    ctx: &Request,
    services: &Arc<Services>,
    module: &str,
    group: &[(&str, &Declared)],
    met: &Met<'_>,
    analysis: &Analysis,
) -> Result<Done, Faults> {
    let configurations = met.configurations;
    let places: HashMap<Option<&str>, usize> = configurations
        .iter()
        .map(|one| one.name().map(|name| &**name))
        .zip(0..)
        .collect();
    let shown = configurations.iter().map(|one| configuration(one, met));
    let shown: Vec<Json> = shown.collect();
    let (specifier, modules) = rule_modules(ctx, services, module).await?;
    let targets: HashMap<&str, &Declared> = group.iter().copied().collect();
    let mut left: Vec<&str> = group.iter().map(|(label, _)| *label).collect();
    let mut whole = Done::default();
    // A target whose analysis fails ends its realm; the others go on in a fresh one.
    while !left.is_empty() {
        let mut requests = Vec::with_capacity(left.len());
        let mut dependencies = Map::new();
        let mut mine = HashMap::with_capacity(left.len());
        for label in &left {
            let Some(declared) = targets.get(label) else {
                continue;
            };
            let place = places.get(&declared.0.label.configuration.as_deref());
            requests.push(request(&declared.0, place.copied().unwrap_or_default()));
            mine.insert((*label).to_owned(), (*declared).clone());
            for dep in declared.0.dependencies() {
                let known = analysis.results.get(dep).or_else(|| whole.results.get(dep));
                if let Some(result) = known
                    && !dependencies.contains_key(dep)
                {
                    dependencies.insert(dep.to_owned(), result.wire.json());
                }
            }
        }
        let done = Arc::new(Mutex::new(Done::default()));
        let host = AnalysisHost {
            analysis: Some(json!({
                "requests": requests,
                "dependencies": dependencies,
                "configurations": shown,
            })),
            targets: mine,
            sets: analysis.sets.clone(),
            reads: None,
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
            sets: _,
        } = std::mem::take(&mut *done.lock());
        let mut gone: HashSet<String> = results.keys().cloned().collect();
        whole.results.extend(results);
        whole.logs.extend(logs);
        whole.faults.extend(faults);
        let Err(error) = result else {
            break;
        };
        let mut diagnostic = Diagnostic::from(error);
        let Some((label, (target, location))) =
            current.and_then(|label| Some((label.clone(), *targets.get(label.as_str())?)))
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
        // What depends on what failed cannot be analysed here either; the caller sees it missing. In dependency order,
        // one pass finds all of that.
        let mut open: HashSet<&str> = HashSet::new();
        left.retain(|label| {
            let known = |dep: &&str| {
                analysis.results.contains_key(*dep)
                    || whole.results.contains_key(*dep)
                    || open.contains(*dep)
            };
            let stays = !gone.contains(*label)
                && targets
                    .get(label)
                    .is_some_and(|(target, _)| target.dependencies().iter().all(known));
            if stays {
                open.insert(*label);
            }
            stays
        });
    }
    Ok(whole)
}

/// A configuration as realms know it.
fn configuration(configuration: &Configuration, met: &Met<'_>) -> Json {
    let name = configuration.name().map(|name| &**name);
    json!({
        "outputRoot": output_root(name),
        "values": configuration.values(),
        "toolchains": met.toolchains(name),
    })
}

fn request(target: &Target, configuration: usize) -> Json {
    let label = target.label.to_string();
    json!({
        "label": label,
        "package": target.label.package.as_str(),
        "name": target.label.stem(),
        "outputRoot": output_folder(&target.label).as_str(),
        "configuration": configuration,
        "rule": { "module": target.rule.module, "export": target.rule.export },
        "attrs": target.attrs.to_json(),
    })
}

pub(super) struct AnalysisHost {
    pub(super) analysis: Option<Json>,
    pub(super) targets: HashMap<String, Declared>,
    pub(super) sets: Arc<Sets>,
    /// What a dynamic step may read.
    pub(super) reads: Option<StepReads>,
    pub(super) done: Arc<Mutex<Done>>,
}

impl Host for AnalysisHost {
    fn call(&mut self, mut call: HostCall<'_>) -> Result<Json, HostFailure> {
        match call.name {
            "analysis" => Ok(self.analysis.take().unwrap_or(Json::Null)),
            "analyzing" => {
                let mut done = self.done.lock();
                done.current = call.args["label"].as_str().map(str::to_owned);
                done.actions.clear();
                done.sets.clear();
                Ok(Json::Null)
            }
            "label" => label(&call, None),
            "stepText" | "stepList" => {
                let reads = self.reads.as_ref().ok_or_else(|| refused(&call))?;
                let path = call.args["path"].as_str().unwrap_or_default();
                let answer = match call.name {
                    "stepText" => reads.text(path).map(Json::String),
                    _ => reads.list(path).map(|paths| json!(paths)),
                };
                answer.map_err(misuse)
            }
            "depset" => {
                let node = SetNode::of(&call.args).map(Arc::new);
                let node = node.ok_or_else(|| misuse("this is no depset".to_owned()))?;
                let lost = |id: SetId| misuse(format!("there is no depset {id}"));
                let id = self.sets.add(&node).map_err(lost)?;
                self.done.lock().sets.push(node);
                Ok(Json::String(id.to_string()))
            }
            "depsetList" => {
                let id = call.args["id"].as_str().and_then(SetId::parse);
                let id = id.ok_or_else(|| misuse("this is no depset".to_owned()))?;
                Ok(self.sets.list_json(id))
            }
            // Lowered as it is declared, so that what is wrong with it is told at that line.
            "action" => {
                let mut done = self.done.lock();
                let current = done.current.clone().unwrap_or_default();
                let Some((target, _)) = self.targets.get(&current) else {
                    return Ok(Json::Null);
                };
                let lowered = lower(target, call.args["action"].take()).map_err(misuse)?;
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
                let sets = std::mem::take(&mut done.sets);
                let result = analyzed(actions, sets, call.args).map_err(misuse)?;
                done.results.insert(label, Arc::new(result));
                Ok(Json::Null)
            }
            _ => Err(refused(&call)),
        }
    }

    fn log(&mut self, level: LogLevel, message: &str, place: Option<&Place>) {
        let location = place.map(|place| Location::new(place, None));
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

fn analyzed(
    actions: Vec<Draft>,
    sets: Vec<Arc<SetNode>>,
    mut args: Json,
) -> Result<Analyzed, String> {
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
        .collect::<Result<BTreeMap<_, _>, String>>()?;
    let runfiles = &args["runfiles"]["$zako"][1];
    let runfiles = runfiles.as_str().and_then(SetId::parse);
    let wire = json!({
        "files": args["files"].take(),
        "providers": args["providers"].take(),
        "outputs": args["outputs"].take(),
        "runfiles": args["runfiles"].take(),
    });
    Ok(Analyzed {
        files,
        outputs,
        actions,
        sets,
        runfiles,
        wire: Wire::of(&wire),
    })
}
