//! Dynamic steps: actions that are known only when something is built. What the step reads is there; its `run` declares the
//! rest, which takes the step's place among its target's actions.
//!
//! What a step came to is remembered by its code, its target, what it was given and the content of what it reads, as analyses are.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use zako_action::{ArtifactValue, OutputKind};
use zako_graph::Request;
use zako_path::NeutralPath;
use zako_script::Evaluation;
use zako_script::engine::Entry;

use super::analysis::{Analysis, Analyzed, Declared};
use super::depset::Sets;
use super::draft::{Draft, Step};
use super::group::{AnalysisHost, Done};
use super::lower::File;
use super::memo::{AnalysisMemo, step_key};
use super::rules::{rule_identity, rule_modules};
use super::task::output_folder;
use super::{Target, located};
use crate::codec::{Fingerprint, encoded};
use crate::diagnostic::Diagnostic;
use crate::evaluate::Services;
use crate::files::Files;

/// The largest file that a step reads, in bytes.
const MAX_READ_BYTES: u64 = 64 << 20;

/// A step that is needed, and the target that uses it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pending {
    pub(crate) label: String,
    pub(crate) draft: Draft,
}

impl Pending {
    /// The same for the same step as long as it has not run.
    pub(crate) fn key(&self) -> (String, Vec<u8>) {
        (self.label.clone(), encoded(&self.draft))
    }
}

/// What a step may read: files and directories as they are in the workspace, all of which are in its key.
pub(super) struct StepReads {
    root: Arc<Path>,
    paths: Vec<NeutralPath>,
}

impl StepReads {
    fn place(&self, path: &str) -> Result<PathBuf, String> {
        let known = || {
            let paths: Vec<&str> = self.paths.iter().map(NeutralPath::as_str).collect();
            paths.join(", ")
        };
        let path = NeutralPath::new(path)
            .map_err(|e| format!("\"{path}\" is not a path in what the step reads: {e}"))?;
        match self.paths.iter().any(|read| path.starts_with(read)) {
            true => Ok(path.to_os_path(&self.root)),
            false => Err(format!(
                "the step may not read {path}: it reads {}; add it to reads of ctx.dynamic",
                known()
            )),
        }
    }

    pub(super) fn text(&self, path: &str) -> Result<String, String> {
        let place = self.place(path)?;
        let failed = |e: std::io::Error| format!("cannot read {path}: {e}");
        let found = std::fs::metadata(&place).map_err(failed)?;
        if found.len() > MAX_READ_BYTES {
            return Err(format!(
                "{path} has {} MiB; a dynamic step reads {} MiB at most",
                found.len() >> 20,
                MAX_READ_BYTES >> 20
            ));
        }
        let bytes = std::fs::read(&place).map_err(failed)?;
        String::from_utf8(bytes).map_err(|_| format!("{path} is not text (UTF-8)"))
    }

    /// The files in a directory and below, as sorted paths below it.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, String> {
        let top = self.place(path)?;
        let failed = |e: std::io::Error| format!("cannot list {path}: {e}");
        let mut found = Vec::new();
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if entry.file_type().map_err(failed)?.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let entry = entry.path();
                let below = entry.strip_prefix(&top).unwrap_or(&entry);
                let below = NeutralPath::from_os_path(below).map_err(|e| e.to_string())?;
                found.push(below.to_string());
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Puts in the place of `step` the actions that came of it.
pub(crate) fn settle(analysis: &mut Analysis, step: &Pending, came: Came) {
    let Came { result, logs, own } = came;
    analysis.logs.extend(logs);
    analysis.sets.restore(&result.sets);
    let Some(known) = analysis.results.get_mut(&step.label) else {
        return;
    };
    let Some(at) = known.actions.iter().position(|draft| *draft == step.draft) else {
        return;
    };
    let known = Arc::make_mut(known);
    known
        .actions
        .splice(at..=at, result.actions.iter().cloned());
    let name = step_name(&step.label, &step.draft);
    let reads = step.draft.step().map(|step| step.reads.clone());
    analysis.own.insert(name.clone(), own);
    analysis.steps.insert(name, reads.unwrap_or_default());
}

/// Takes away the results of `broken` and of all that depends on those.
pub(crate) fn lose(
    targets: &std::collections::BTreeMap<String, Declared>,
    analysis: &mut Analysis,
    broken: HashSet<String>,
) {
    let mut broken: Vec<String> = broken.into_iter().collect();
    if broken.is_empty() {
        return;
    }
    let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
    for (label, (target, _)) in targets {
        for used in target.dependencies() {
            users.entry(used).or_default().push(label);
        }
    }
    while let Some(label) = broken.pop() {
        if analysis.results.remove(&label).is_some() {
            let more = users.get(label.as_str()).into_iter().flatten();
            broken.extend(more.map(|user| (*user).to_owned()));
        }
    }
}

/// What a step is remembered by, beside its key.
fn step_name(label: &str, draft: &Draft) -> String {
    let first = draft.outputs().first();
    let first = first.map(|output| output.path.as_str()).unwrap_or_default();
    // One step may hand its outputs on to another.
    let step = draft.step();
    let (module, export) = step.map_or(("", ""), |step| (&step.module, &step.export));
    format!("{label} dynamic {module}#{export} {first}")
}

/// What a step came to.
pub(crate) struct Came {
    result: Arc<Analyzed>,
    /// What it logged.
    pub(crate) logs: Vec<Diagnostic>,
    /// What it is in itself.
    own: Fingerprint,
}

/// Runs `step`, of the target that is `declared` so; what it reads is built, and what analysis made of `sets` is there.
pub(crate) async fn come(
    ctx: &Request,
    services: &Arc<Services>,
    sets: Arc<Sets>,
    declared: &Declared,
    step: &Pending,
    memo: &dyn AnalysisMemo,
    files: &Files,
) -> Result<Came, Vec<Diagnostic>> {
    let draft = &step.draft;
    let name = step_name(&step.label, draft);
    let (target, location) = declared;
    let blame = |error: Diagnostic| vec![located(error, target, location.as_ref())];
    let Some(step) = draft.step() else {
        return Err(blame(Diagnostic::error(
            crate::diagnostic::Fault::Bug,
            "this is no dynamic step",
        )));
    };
    let mut values = Vec::with_capacity(step.reads.len());
    for path in &step.reads {
        match files.value(path) {
            Ok(Some(found)) if !matches!(found.value, ArtifactValue::Symlink { .. }) => {
                values.push(found.value);
            }
            Ok(Some(_)) => {
                let error = format!("the dynamic step {} reads `{path}`, a link", step.export);
                let error = Diagnostic::user(error).with_help("let it read what the link leads to");
                return Err(blame(error));
            }
            Ok(None) => {
                let error = format!(
                    "the dynamic step {} reads `{path}`, which does not exist",
                    step.export
                );
                return Err(blame(Diagnostic::user(error)));
            }
            Err(error) => return Err(blame(Diagnostic::environment(error.to_string()))),
        }
    }
    let module = step.module.as_str();
    let faults = |faults: crate::evaluate::Faults| faults.to_vec();
    let code = rule_identity(ctx, services, module).await.map_err(faults)?;
    let key = step_key(&code, target, &encoded(draft), &values);
    if let Some(result) = memo.get(&name, &key) {
        return Ok(Came {
            result,
            logs: Vec::new(),
            own: key.own,
        });
    }
    let (specifier, modules) = rule_modules(ctx, services, module).await.map_err(faults)?;
    let label = target.label.to_string();
    let done = Arc::new(Mutex::new(Done::default()));
    let host = AnalysisHost {
        analysis: Some(
            json!({ "requests": [request(target, step, draft)], "dependencies": {}, "configurations": [] }),
        ),
        targets: HashMap::from([(label.clone(), declared.clone())]),
        sets,
        reads: Some(StepReads {
            root: services.workspace.root().clone(),
            paths: step.reads.clone(),
        }),
        done: done.clone(),
    };
    let evaluation = Evaluation {
        modules,
        entry: Entry::Analysis(vec![specifier]),
        host: Box::new(host),
        limits: None,
    };
    let evaluated = services.engine.evaluate(evaluation, &services.cancel).await;
    let Done {
        mut results,
        logs,
        faults,
        ..
    } = std::mem::take(&mut *done.lock());
    let told = format!("in the dynamic step {} of {label}", step.export);
    if let Err(error) = evaluated {
        let mut error = Diagnostic::from(error).with_trace(told);
        if error.location.is_none() {
            error.location.clone_from(location);
        }
        if let Some(location) = location {
            error
                .trace
                .push(format!("{label} is declared at {location}"));
        }
        return Err(vec![error]);
    }
    let Some(result) = results.remove(&label) else {
        return Err(faults);
    };
    let written: HashSet<&NeutralPath> = result
        .actions
        .iter()
        .flat_map(Draft::outputs)
        .map(|output| &output.path)
        .collect();
    if let Some(missing) = draft.outputs().iter().find(|o| !written.contains(&o.path)) {
        let error = Diagnostic::user(format!(
            "the dynamic step {} of {label} declares no action that writes `{}`",
            step.export, missing.path
        ));
        let help = "each of ctx.outputs must be the output of an action that run declares";
        return Err(blame(error.with_help(help)));
    }
    memo.put(&name, &key, &result);
    Ok(Came {
        result,
        logs,
        own: key.own,
    })
}

fn request(target: &Target, step: &Step, draft: &Draft) -> Json {
    let outputs = draft.outputs().iter();
    let outputs: Vec<Json> = outputs
        .map(|output| File::json(&output.path, output.kind == OutputKind::Directory))
        .collect();
    json!({
        "label": target.label.to_string(),
        "package": target.label.package.as_str(),
        "name": target.label.stem(),
        "outputRoot": output_folder(&target.label).as_str(),
        "rule": { "module": step.module, "export": step.export },
        "outputs": outputs,
        "params": serde_json::from_str::<Json>(&step.params).unwrap_or_default(),
    })
}
