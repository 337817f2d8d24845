//! Analysis: what rules make of targets, dependencies first.
//!
//! Tasks are lowered here. A target of a rule is looked up in the memo as soon as all that it depends on is known; those
//! that are not in it are analysed by their rules, all that are ready of one rule module together. No V8 job waits for
//! another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Map, Value as Json, json};
use zako_action::OutputKind;
use zako_graph::Request;
use zako_path::NeutralPath;

use super::depset::{SetId, SetNode, Sets};
use super::draft::Draft;
use super::group::{Done, analyze_group};
use super::lower::{File, lower_task};
use super::memo::{AnalysisKey, AnalysisMemo};
use super::met::Met;
use super::order::Order;
use super::task::Lookup;
use super::usage::{check_labels, check_uses, has_labels};
use super::{Target, TaskAttrs, located};
use crate::codec::{Fingerprint, fingerprint};
use crate::diagnostic::{Diagnostic, Fault, Location};
use crate::evaluate::Services;
use crate::select::Selection;

/// What analysis made of targets.
#[derive(Debug, Default)]
pub(crate) struct Analysis {
    /// By label.
    pub(crate) results: HashMap<String, Arc<Analyzed>>,
    /// What rules logged; those that were asked, not those that were remembered.
    pub(crate) logs: Vec<Diagnostic>,
    /// Errors; targets that they concern, or that depend on those, have no result.
    pub(crate) faults: Vec<Diagnostic>,
    /// What the targets of rules are in themselves: the own parts of their keys.
    pub(crate) own: HashMap<String, Fingerprint>,
    /// The targets whose rules were asked, in the order of asking.
    pub(crate) asked: Vec<String>,
    /// The sets that the targets' data and actions name.
    pub(crate) sets: Arc<Sets>,
    /// The dynamic steps that were run or remembered, by what they are kept under, with what they read.
    pub(crate) steps: BTreeMap<String, Vec<NeutralPath>>,
}

/// What analysis made of one target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Analyzed {
    /// What it builds by default.
    pub(crate) files: Vec<NeutralPath>,
    /// Its named outputs.
    pub(crate) outputs: BTreeMap<String, NeutralPath>,
    /// Its actions.
    pub(crate) actions: Vec<Draft>,
    /// The sets that its analysis made, each after those that it names.
    pub(crate) sets: Vec<Arc<SetNode>>,
    /// What it needs when it runs.
    pub(crate) runfiles: Option<SetId>,
    /// What those who depend on it see.
    pub(crate) wire: Wire,
}

/// Files, outputs and providers of a target as a realm knows them: JSON text, parsed only for a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    text: Arc<str>,
    fingerprint: Fingerprint,
}

impl Wire {
    /// What `text` says.
    pub(crate) fn new(text: Arc<str>) -> Wire {
        Wire {
            fingerprint: fingerprint(text.as_bytes()),
            text,
        }
    }

    pub(super) fn of(json: &Json) -> Wire {
        Wire::new(json.to_string().into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The JSON, of which the text was made.
    pub(super) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// A target to analyse, with the place of its declaration.
pub(crate) type Declared = (Arc<Target>, Option<Location>);

/// Analyses the targets of `selection`, which contain all that they depend on.
pub(crate) async fn analyze(
    ctx: &Request,
    services: &Arc<Services>,
    selection: &Selection,
    memo: &dyn AnalysisMemo,
) -> Analysis {
    let mut analysis = Analysis::default();
    let (uses, warnings) = check_uses(services, &selection.targets).await;
    let forbidden: HashSet<&str> = uses.iter().map(|(user, _)| *user).collect();
    analysis
        .faults
        .extend(uses.into_iter().map(|(_, fault)| fault));
    analysis.logs = warnings;
    let mut order = Order::new(&selection.targets);
    // Targets on a cycle fail; those beside it do not.
    for chain in order.cycles() {
        let labels: Vec<&str> = chain.iter().map(|at| order.label(*at)).collect();
        let mut error = Diagnostic::user(format!(
            "targets depend on one another in a cycle: {}",
            labels.join(" \u{2192} ")
        ));
        error.location.clone_from(&order.declared(chain[0]).1);
        analysis.faults.push(error);
        for at in chain {
            order.end(at, false);
        }
    }
    let mut rules = Met::new(&selection.configurations);
    loop {
        let mut waiting: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        while let Some(at) = order.next() {
            let (target, location) = order.declared(at);
            let label = order.label(at);
            if order.is_doomed(at) || forbidden.contains(label) {
                // What depends on something that failed has failed too, silently.
                order.end(at, false);
                continue;
            }
            let wrong = check_labels(services, target, &analysis).await;
            if !wrong.is_empty() {
                analysis.faults.extend(wrong);
                order.end(at, false);
            } else if target.rule.is_task() {
                let result = task_result(target, &analysis);
                order.end(at, result.is_ok());
                match result {
                    Ok(result) => {
                        analysis.results.insert(label.to_owned(), Arc::new(result));
                    }
                    Err(message) => {
                        let error = Diagnostic::user(message);
                        let error = located(error, target, location.as_ref());
                        analysis.faults.push(error);
                    }
                }
            } else {
                let module = target.rule.module.as_str();
                let Some(own) = rules.own(ctx, services, &order, at, &mut analysis).await else {
                    order.end(at, false);
                    continue;
                };
                analysis.own.insert(label.to_owned(), own);
                let key = key(own, &order, at, &analysis);
                match memo.get(label, &key) {
                    Some(known) => {
                        analysis.sets.restore(&known.sets);
                        analysis.results.insert(label.to_owned(), known);
                        order.end(at, true);
                    }
                    None => waiting.entry(module).or_default().push(at),
                }
            }
        }
        if waiting.is_empty() {
            break;
        }
        let mut groups: Vec<(&str, Vec<usize>)> = Vec::with_capacity(waiting.len());
        for (module, ready) in waiting {
            let mut group = order.group(ready);
            while let Some(at) = group.next(&order) {
                let target = &order.declared(at).0;
                // One that may be remembered waits for what it depends on: that may come out as it was.
                let joins = target.rule.module == module
                    && !target.rule.is_task()
                    && !forbidden.contains(order.label(at))
                    && !has_labels(target)
                    && rules
                        .own(ctx, services, &order, at, &mut analysis)
                        .await
                        .is_some_and(|own| !memo.expects(order.label(at), &own));
                if joins {
                    group.take(at);
                }
            }
            groups.push((module, group.finish()));
        }
        let members: Vec<Vec<(&str, &Declared)>> = groups
            .iter()
            .map(|(_, group)| {
                let members = group.iter();
                members
                    .map(|at| (order.label(*at), order.declared(*at)))
                    .collect()
            })
            .collect();
        let jobs = groups.iter().zip(&members).map(|((module, _), members)| {
            analyze_group(ctx, services, module, members, &rules, &analysis)
        });
        let results = join_all(jobs).await;
        for ((_, group), done) in groups.iter().zip(results) {
            // A rule module that is wrong fails its own targets.
            let mut done = done.unwrap_or_else(|faults| Done::failed(&faults));
            analysis.logs.append(&mut done.logs);
            analysis.faults.append(&mut done.faults);
            for &at in group {
                let label = order.label(at);
                analysis.asked.push(label.to_owned());
                let result = done.results.remove(label);
                order.end(at, result.is_some());
                if let Some(result) = result {
                    if let Some(own) = rules.known(at) {
                        analysis.own.insert(label.to_owned(), own);
                        memo.put(label, &key(own, &order, at, &analysis), &result);
                    }
                    analysis.results.insert(label.to_owned(), result);
                }
            }
        }
    }
    for at in order.left() {
        // No cycle and never ready: a dependency is not among the targets, which the caller rules out.
        analysis.faults.push(Diagnostic::error(
            Fault::Bug,
            format!("{} cannot be analysed", order.label(at)),
        ));
    }
    analysis
}

/// The key of a target whose dependencies are all analysed.
fn key(own: Fingerprint, order: &Order<'_>, at: usize, analysis: &Analysis) -> AnalysisKey {
    let dependencies = order.dependencies(at).iter().filter_map(|dep| {
        let label = order.label(*dep);
        Some((label, &**analysis.results.get(label)?))
    });
    AnalysisKey::new(own, dependencies)
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
    let outputs = attrs.output_paths(&target.label)?;
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
        wire: Wire::of(
            &json!({ "files": outputs.iter().map(file).collect::<Vec<_>>(), "providers": {}, "outputs": named }),
        ),
        actions: vec![lowered],
        sets: Vec::new(),
        runfiles: None,
    })
}
