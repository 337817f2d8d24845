//! Targets: what a package declared, named; what their rules make of them; the actions that follow.

mod analysis;
mod command;
mod configure;
mod depset;
mod determinism;
mod draft;
mod dynamic;
mod fields;
mod file_work;
mod group;
mod kept;
mod lower;
mod memo;
mod met;
mod naming;
mod order;
mod quantity;
mod retries;
mod rules;
mod task;
mod usage;

use std::fmt;

use zako_script::{ArgsPart, Place, TargetRef, Value};

use crate::diagnostic::{Diagnostic, Location};
use crate::label::Label;

pub(crate) use analysis::{Analysis, Analyzed, Wire, analyze};
pub(crate) use command::{Form, Response, ResponseFormat, Word};
pub(crate) use configure::{Unconfigured, cases, configure, refer};
pub(crate) use depset::{SetId, SetItem, SetNode, SetOrder, Sets};
pub(crate) use determinism::analyze_twice;
pub(crate) use draft::{Draft, Finished, Late, Step};
pub(crate) use dynamic::{Came, Pending, come, lose, settle};
pub(crate) use file_work::{FileWork, link_text};
pub(crate) use kept::KeptAnalyses;
pub(crate) use lower::Lowered;
pub(crate) use naming::{Naming, name_targets};
pub(crate) use rules::{RuleCode, RuleModule, code_fingerprint, module_parts, script_modules};
pub(crate) use task::{TaskAttrs, WRONG_OUTPUT, elsewhere};
pub(crate) use usage::{Visibility, place_of_use};

/// A rule's identity: the module that exports it, and the export's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RuleId {
    pub(crate) module: String,
    pub(crate) export: String,
}

impl RuleId {
    /// Whether it is `task`, which has no rule in a script.
    pub(crate) fn is_task(&self) -> bool {
        self.module == "zako:build" && self.export == "task"
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.module, self.export)
    }
}

/// A target: named, with the targets in its attributes by label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) label: Label,
    pub(crate) rule: RuleId,
    /// The attributes, an object.
    pub(crate) attrs: Value,
    pub(crate) place: Option<Place>,
    /// Names of its named outputs.
    pub(crate) outputs: Vec<String>,
    /// Words to select it by.
    pub(crate) tags: Vec<String>,
    /// The toolchains that its rule uses: the name that the rule has each by, and the type's id.
    pub(crate) toolchains: Vec<(String, String)>,
}

impl Target {
    /// Whether patterns leave it out.
    pub(crate) fn is_manual(&self) -> bool {
        self.tags.iter().any(|tag| tag == "manual")
    }

    /// Labels of the targets in its attributes, in their order, each once.
    pub(crate) fn dependencies(&self) -> Vec<&str> {
        let mut found = Vec::new();
        collect(&self.attrs, &mut found);
        if found.len() > 1 {
            let mut seen = std::collections::HashSet::new();
            found.retain(|label| seen.insert(*label));
        }
        found
    }

    /// The same target, with the labels in its attributes by what `label` makes of them.
    pub(crate) fn with_labels(&self, label: &impl Fn(&str) -> String) -> Target {
        let reference = |target: &TargetRef| match target {
            TargetRef::Label(text) if !text.is_empty() => TargetRef::Label(label(text)),
            other => other.clone(),
        };
        Target {
            attrs: naming::rename(&self.attrs, &reference),
            ..self.clone()
        }
    }
}

/// The error as one of the target's, which is declared there.
fn located(mut error: Diagnostic, target: &Target, location: Option<&Location>) -> Diagnostic {
    if error.location.is_none() {
        error.location = location.cloned();
    }
    error.with_trace(format!("in {}", target.label))
}

fn collect<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    let reference = match value {
        Value::Target(handle) => Some(&handle.target),
        Value::Artifact(zako_script::ArtifactRef::Output { target, .. }) => Some(target),
        _ => None,
    };
    if let Some(TargetRef::Label(label)) = reference
        && !label.is_empty()
    {
        found.push(label);
    }
    match value {
        Value::Array(items) | Value::Joined(items) => {
            items.iter().for_each(|item| collect(item, found))
        }
        Value::Object(fields) | Value::Args(ArgsPart { fields, .. }) => {
            fields.values().for_each(|field| collect(field, found));
        }
        _ => {}
    }
}
