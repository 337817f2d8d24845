//! Gives targets their names: those under which a package exports them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use indexmap::IndexMap;
use zako_path::NeutralPath;
use zako_script::value::Select;
use zako_script::{ArgsPart, ArtifactRef, TargetRef, Value};

use super::Target;
use crate::diagnostic::{Diagnostic, Location, Severity};
use crate::evaluate::TargetDeclaration;
use crate::label::{IN, Label};

/// What parts of labels, patterns and the names of unexported targets are told apart by.
const RESERVED: fn(char) -> bool = |c| matches!(c, '/' | ':' | '#') || c.is_control();

/// A package's targets, named.
pub(crate) struct Naming {
    /// The exports, with every target by its label.
    pub(crate) exports: Vec<(String, Value)>,
    /// The targets, by name.
    pub(crate) targets: BTreeMap<String, Arc<Target>>,
    /// Exported names that stand for targets of other packages, or for targets in another configuration.
    pub(crate) aliases: BTreeMap<String, TargetRef>,
    /// Targets that nothing can reach.
    pub(crate) warnings: Vec<Diagnostic>,
}

struct Namer<'a> {
    package: &'a NeutralPath,
    declarations: &'a [TargetDeclaration],
    names: HashMap<u32, String>,
    /// The same the other way round, for names of exports.
    taken: HashMap<String, u32>,
    aliases: BTreeMap<String, TargetRef>,
    /// Exported names that stand for targets of this package.
    own_aliases: Vec<(String, u32)>,
}

/// Names the targets that `declarations` declared by the `exports` that hold them; one that is used by another target
/// but not exported is named from its user and the attribute's path.
pub(crate) fn name_targets(
    package: &NeutralPath,
    exports: Vec<(String, Value)>,
    declarations: Vec<TargetDeclaration>,
) -> Result<Naming, Arc<Vec<Diagnostic>>> {
    let mut namer = Namer {
        package,
        declarations: &declarations,
        names: HashMap::new(),
        taken: HashMap::new(),
        aliases: BTreeMap::new(),
        own_aliases: Vec::new(),
    };
    let fault = |diagnostic| Arc::new(vec![diagnostic]);
    for (name, value) in &exports {
        let name = if name == "default" { "" } else { name };
        namer.export(name, value, true).map_err(fault)?;
    }
    // A target that is exported in another configuration only.
    for (name, reference) in namer.aliases.clone() {
        if let TargetRef::Configured { of, .. } = reference {
            namer.used_at(&format!("{name}/target"), &of);
        }
    }
    // One that is exported as an alias alone is called that.
    for (name, local) in std::mem::take(&mut namer.own_aliases) {
        match namer.names.contains_key(&local) {
            true => namer.own_aliases.push((name, local)),
            false => namer.name(&name, local).map_err(fault)?,
        }
    }
    for (name, local) in &namer.own_aliases {
        if namer.taken.contains_key(name) || namer.aliases.contains_key(name) {
            return Err(fault(namer.at(namer.twice(name), *local)));
        }
    }
    // Users come after what they use, so going backwards names a user before its unexported parts.
    for index in (0..declarations.len()).rev() {
        let Some(name) = u32::try_from(index)
            .ok()
            .and_then(|local| namer.names.get(&local))
            .cloned()
        else {
            continue;
        };
        if let Value::Object(attrs) = &declarations[index].attrs {
            for (attr, value) in attrs {
                namer.used(&format!("{name}/{attr}"), value);
            }
        }
    }

    let Namer {
        names,
        mut aliases,
        own_aliases,
        ..
    } = namer;
    let label = |local: u32| {
        names
            .get(&local)
            .map(|name| Label::new(package.clone(), name.clone()).to_string())
    };
    let mut warnings = Vec::new();
    let mut targets = BTreeMap::new();
    for (index, declaration) in declarations.iter().enumerate() {
        let local = u32::try_from(index).unwrap_or(u32::MAX);
        let Some(name) = names.get(&local) else {
            let mut warning =
                Diagnostic::user("this target is neither exported nor used, so it is never built")
                    .with_help("export it: export const name = …");
            warning.severity = Severity::Warning;
            warning.location = declaration
                .place
                .as_ref()
                .map(|place| Location::new(place, None));
            warnings.push(warning);
            continue;
        };
        let tags = match declaration
            .attrs
            .as_object()
            .and_then(|attrs| attrs.get("tags"))
        {
            Some(Value::Array(tags)) => tags
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        targets.insert(
            name.clone(),
            Arc::new(Target {
                label: Label::new(package.clone(), name.clone()),
                rule: declaration.rule.clone(),
                attrs: relabel(&declaration.attrs, &label),
                place: declaration.place.clone(),
                outputs: declaration.outputs.clone(),
                tags,
                toolchains: declaration.toolchains.clone(),
            }),
        );
    }
    aliases.extend(
        own_aliases
            .into_iter()
            .filter_map(|(name, local)| Some((name, TargetRef::Label(label(local)?)))),
    );
    let exports = exports
        .iter()
        .map(|(name, value)| (name.clone(), relabel(value, &label)))
        .collect();
    let aliases = aliases
        .into_iter()
        .map(|(name, reference)| (name, reference.map(&|place| relabelled(place, &label))))
        .collect();
    Ok(Naming {
        exports,
        targets,
        aliases,
        warnings,
    })
}

fn holds_targets(value: &Value) -> bool {
    match value {
        Value::Target(_) => true,
        Value::Array(items) => items.iter().any(holds_targets),
        Value::Object(fields) => fields.values().any(holds_targets),
        _ => false,
    }
}

impl Namer<'_> {
    fn export(&mut self, name: &str, value: &Value, top: bool) -> Result<(), Diagnostic> {
        match value {
            Value::Target(handle) => match &handle.target {
                TargetRef::Local(local) if handle.alias => {
                    self.own_aliases.push((name.to_owned(), *local));
                }
                TargetRef::Local(local) => self.name(name, *local)?,
                other => {
                    if let Some(local) = self.taken.get(name) {
                        return Err(self.at(self.twice(name), *local));
                    }
                    self.aliases.insert(name.to_owned(), other.clone());
                }
            },
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.export(&format!("{name}[{index}]"), item, false)?;
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    let is_name = !key.is_empty() && !key.contains(RESERVED) && !key.contains(IN);
                    if holds_targets(field) && !is_name {
                        return Err(Diagnostic::user(format!(
                            "a target cannot be called \"{key}\" (exported from //{})",
                            self.package
                        ))
                        .with_help("names of targets have no \"/\", \":\", \"#\", \" @\" or control character, and are not empty"));
                    }
                    let name = if top && name.is_empty() {
                        key.clone()
                    } else {
                        format!("{name}.{key}")
                    };
                    self.export(&name, field, false)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The target is exported under this name.
    fn name(&mut self, name: &str, local: u32) -> Result<(), Diagnostic> {
        if let Some(other) = self.names.insert(local, name.to_owned())
            && other != name
        {
            let error = Diagnostic::user(format!(
                "one target is exported under two names, {} and {}",
                self.shown(&other),
                self.shown(name)
            ))
            .with_help(format!(
                "export it once, and the other as an alias: export const {} = alias(…)",
                if name.is_empty() { "name" } else { name }
            ));
            return Err(self.at(error, local));
        }
        let taken = self.taken.insert(name.to_owned(), local);
        if taken.is_some_and(|other| other != local) || self.aliases.contains_key(name) {
            return Err(self.at(self.twice(name), local));
        }
        Ok(())
    }

    fn used(&mut self, name: &str, value: &Value) {
        let reference = match value {
            Value::Target(handle) => Some(&handle.target),
            Value::Artifact(ArtifactRef::Output { target, .. }) => Some(target),
            _ => None,
        };
        if let Some(reference) = reference {
            self.used_at(name, reference);
        }
        match value {
            Value::Array(items) | Value::Joined(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.used(&format!("{name}[{index}]"), item);
                }
            }
            Value::Object(fields) | Value::Args(ArgsPart { fields, .. }) => {
                for (key, field) in fields {
                    self.used(&format!("{name}.{key}"), field);
                }
            }
            Value::Select(select) => {
                for (case, value) in &select.cases {
                    self.used(&format!("{name}.{case}"), value);
                }
            }
            _ => {}
        }
    }

    /// Names a target that is used as `name`, unless it has a name.
    fn used_at(&mut self, name: &str, reference: &TargetRef) {
        match reference {
            TargetRef::Local(local) => {
                self.names.entry(*local).or_insert_with(|| name.to_owned());
            }
            TargetRef::Configured { of, .. } => self.used_at(name, of),
            TargetRef::Label(_) => {}
        }
    }

    fn at(&self, mut error: Diagnostic, local: u32) -> Diagnostic {
        let declaration = self.declarations.get(local as usize);
        error.location = declaration
            .and_then(|declaration| declaration.place.as_ref())
            .map(|place| Location::new(place, None));
        error
    }

    fn twice(&self, name: &str) -> Diagnostic {
        Diagnostic::user(format!("two targets are called {}", self.shown(name))).with_help(
            "the keys of a default export are names beside those of the other exports; rename one",
        )
    }

    fn shown(&self, name: &str) -> String {
        Label::new(self.package.clone(), name).to_string()
    }
}

/// The value with this package's targets by their labels.
fn relabel(value: &Value, label: &impl Fn(u32) -> Option<String>) -> Value {
    rename(value, &|target| {
        target.map(&|place| relabelled(place, label))
    })
}

fn relabelled(place: &TargetRef, label: &impl Fn(u32) -> Option<String>) -> TargetRef {
    match place {
        TargetRef::Local(local) => label(*local).map_or_else(|| place.clone(), TargetRef::Label),
        other => other.clone(),
    }
}

/// The value with every reference to a target by what `reference` makes of it.
pub(super) fn rename(value: &Value, reference: &impl Fn(&TargetRef) -> TargetRef) -> Value {
    let all = |items: &[Value]| items.iter().map(|item| rename(item, reference)).collect();
    let each = |fields: &IndexMap<String, Value>| {
        let fields = fields.iter();
        fields
            .map(|(key, field)| (key.clone(), rename(field, reference)))
            .collect()
    };
    match value {
        Value::Target(handle) => {
            let mut handle = handle.clone();
            handle.target = reference(&handle.target);
            handle.alias = false;
            Value::Target(handle)
        }
        Value::Artifact(ArtifactRef::Output { target, name }) => {
            Value::Artifact(ArtifactRef::Output {
                target: reference(target),
                name: name.clone(),
            })
        }
        Value::Array(items) => Value::Array(all(items)),
        Value::Joined(items) => Value::Joined(all(items)),
        Value::Object(fields) => Value::Object(each(fields)),
        Value::Args(ArgsPart { form, fields }) => Value::Args(ArgsPart {
            form: form.clone(),
            fields: each(fields),
        }),
        Value::Select(select) => Value::Select(Box::new(Select {
            option: select.option.clone(),
            cases: each(&select.cases),
        })),
        other => other.clone(),
    }
}
