//! From a target as it was declared to the same in one configuration: selects are decided, and each target that it
//! names is named in the configuration that it is meant in.
//!
//! **Invariant:** nothing after this sees a select, or a reference that says how configurations differ.

use std::sync::Arc;

use indexmap::IndexMap;
use zako_script::value::{Select, TargetHandle};
use zako_script::{ArgsPart, ArtifactRef, TargetRef, Value, nearest};

use super::Target;
use crate::configuration::{Configuration, Scheme, Unknown};
use crate::label;

/// Why a target is none in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unconfigured {
    /// An option has to be known first.
    Unknown(Unknown),
    /// It is wrong, and this is why.
    Wrong(String),
}

impl From<Unknown> for Unconfigured {
    fn from(unknown: Unknown) -> Self {
        Unconfigured::Unknown(unknown)
    }
}

/// The target in `configuration`.
pub(crate) fn configure(
    target: &Arc<Target>,
    configuration: &Configuration,
    scheme: &mut Scheme,
) -> Result<Arc<Target>, Unconfigured> {
    // Most targets of most builds.
    if configuration.name().is_none() && !depends(&target.attrs) {
        return Ok(target.clone());
    }
    let mut resolver = Resolver {
        configuration,
        scheme,
        tools: Vec::new(),
    };
    let attrs = match target.attrs.as_object() {
        Some(attrs) if target.rule.is_task() => Value::Object(resolver.task(attrs)?),
        _ => resolver.value(&target.attrs)?,
    };
    let mut target = Target::clone(target);
    target.attrs = attrs;
    target.label.configuration = configuration.name().cloned();
    Ok(Arc::new(target))
}

/// The target that `reference` means to a user in `configuration`.
pub(crate) fn refer(
    reference: &TargetRef,
    configuration: &Configuration,
    scheme: &mut Scheme,
) -> Result<TargetRef, Unknown> {
    let (place, name) = match reference {
        TargetRef::Configured { of, transition } => {
            let made = scheme.transition(configuration, transition)?;
            (&**of, made.name().cloned())
        }
        place => (place, configuration.name().cloned()),
    };
    Ok(match place {
        // A task's own outputs have the empty label.
        TargetRef::Label(text) if !text.is_empty() => {
            TargetRef::Label(label::configured(text, name.as_ref()))
        }
        other => other.clone(),
    })
}

/// Whether something in the value depends on the configuration even in the base.
fn depends(value: &Value) -> bool {
    let is_configured = |target: &TargetRef| matches!(target, TargetRef::Configured { .. });
    match value {
        Value::Select(_) => true,
        Value::Target(handle) => is_configured(&handle.target),
        Value::Artifact(ArtifactRef::Output { target, .. }) => is_configured(target),
        Value::Array(items) | Value::Joined(items) => items.iter().any(depends),
        Value::Object(fields) | Value::Args(ArgsPart { fields, .. }) => {
            fields.values().any(depends)
        }
        _ => false,
    }
}

struct Resolver<'a> {
    configuration: &'a Configuration,
    scheme: &'a mut Scheme,
    /// Targets that mean what runs during the build, without saying so.
    tools: Vec<TargetRef>,
}

impl Resolver<'_> {
    /// The attributes of a task: in its command, a target that is one of its tools is that tool.
    fn task(
        &mut self,
        attrs: &IndexMap<String, Value>,
    ) -> Result<IndexMap<String, Value>, Unconfigured> {
        let mut tools = Vec::new();
        if let Some(given) = attrs.get("tools") {
            collect_tools(given, &mut tools);
        }
        let mut resolved = IndexMap::with_capacity(attrs.len());
        for (name, value) in attrs {
            let in_command = name == "command";
            self.tools = if in_command {
                tools.clone()
            } else {
                Vec::new()
            };
            resolved.insert(name.clone(), self.value(value)?);
        }
        Ok(resolved)
    }

    fn value(&mut self, value: &Value) -> Result<Value, Unconfigured> {
        Ok(match value {
            Value::Select(select) => {
                let case = self.case(select)?;
                self.value(case)?
            }
            Value::Target(handle) => Value::Target(TargetHandle {
                target: self.refer(&handle.target)?,
                ..handle.clone()
            }),
            Value::Artifact(ArtifactRef::Output { target, name }) => {
                Value::Artifact(ArtifactRef::Output {
                    target: self.refer(target)?,
                    name: name.clone(),
                })
            }
            Value::Array(items) => {
                let mut all = Vec::with_capacity(items.len());
                for item in items {
                    self.item(item, &mut all)?;
                }
                Value::Array(all)
            }
            Value::Joined(items) => Value::Joined(
                items
                    .iter()
                    .map(|item| self.value(item))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(fields) => Value::Object(self.fields(fields)?),
            Value::Args(ArgsPart { form, fields }) => Value::Args(ArgsPart {
                form: form.clone(),
                fields: self.fields(fields)?,
            }),
            other => other.clone(),
        })
    }

    fn fields(
        &mut self,
        fields: &IndexMap<String, Value>,
    ) -> Result<IndexMap<String, Value>, Unconfigured> {
        let fields = fields.iter();
        fields
            .map(|(name, field)| Ok((name.clone(), self.value(field)?)))
            .collect()
    }

    /// An item of a list: a select among the items stands for as many as its case has.
    fn item(&mut self, item: &Value, all: &mut Vec<Value>) -> Result<(), Unconfigured> {
        let Value::Select(select) = item else {
            all.push(self.value(item)?);
            return Ok(());
        };
        match self.case(select)? {
            Value::Undefined | Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    self.item(item, all)?;
                }
            }
            one => self.item(one, all)?,
        }
        Ok(())
    }

    fn refer(&mut self, reference: &TargetRef) -> Result<TargetRef, Unconfigured> {
        if self.tools.contains(reference) {
            let exec = self.scheme.exec();
            return Ok(refer(reference, &exec, self.scheme)?);
        }
        Ok(refer(reference, self.configuration, self.scheme)?)
    }

    fn case<'v>(&self, select: &'v Select) -> Result<&'v Value, Unconfigured> {
        let Select { option, cases } = select;
        let value = self.scheme.value(self.configuration, option)?;
        cases.get(&value).ok_or_else(|| {
            let known = cases.keys().map(String::as_str);
            let shown = self.scheme.known(option).map_or(&**option, |o| o.shown());
            let near = nearest(&value, known.clone())
                .map_or_else(String::new, |near| format!("; the nearest is \"{near}\""));
            Unconfigured::Wrong(format!(
                "a select over the option {shown} has no case for \"{value}\", only for {}{near}",
                known.collect::<Vec<_>>().join(", ")
            ))
        })
    }
}

/// The targets that are tools with nothing set for them.
fn collect_tools(value: &Value, tools: &mut Vec<TargetRef>) {
    let mut add = |reference: &TargetRef| match reference {
        TargetRef::Configured { of, transition }
            if transition.exec && transition.settings.is_empty() =>
        {
            tools.push((**of).clone());
        }
        _ => {}
    };
    match value {
        Value::Target(handle) => add(&handle.target),
        Value::Artifact(ArtifactRef::Output { target, .. }) => add(target),
        Value::Array(items) => items.iter().for_each(|item| collect_tools(item, tools)),
        Value::Select(select) => {
            let cases = select.cases.values();
            cases.for_each(|case| collect_tools(case, tools));
        }
        _ => {}
    }
}

/// The attributes as configurations may make them: each case of each select is in one of these.
pub(crate) fn cases(attrs: &Value) -> Vec<Value> {
    if !holds_select(attrs) {
        return vec![attrs.clone()];
    }
    let mut all = Vec::new();
    let mut at = 0;
    loop {
        let mut case = 0;
        loop {
            let mut picker = Picker {
                at,
                case,
                met: 0,
                cases: 0,
            };
            let picked = picker.value(attrs);
            // The first case of the first select stands for the first ones of all.
            if case > 0 || at == 0 {
                all.push(picked);
            }
            case += 1;
            if case >= picker.cases {
                if at >= picker.met {
                    return all;
                }
                break;
            }
        }
        at += 1;
    }
}

fn holds_select(value: &Value) -> bool {
    match value {
        Value::Select(_) => true,
        Value::Array(items) => items.iter().any(holds_select),
        Value::Object(fields) | Value::Args(ArgsPart { fields, .. }) => {
            fields.values().any(holds_select)
        }
        _ => false,
    }
}

/// Takes the case number `case` of select number `at`, and of all others the first.
struct Picker {
    at: usize,
    case: usize,
    met: usize,
    cases: usize,
}

impl Picker {
    fn pick<'v>(&mut self, select: &'v Select) -> Option<&'v Value> {
        let number = self.met;
        self.met += 1;
        if number != self.at {
            return select.cases.values().next();
        }
        self.cases = select.cases.len();
        select.cases.values().nth(self.case)
    }

    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::Select(select) => match self.pick(select) {
                Some(case) => self.value(case),
                None => Value::Undefined,
            },
            Value::Array(items) => {
                let mut all = Vec::with_capacity(items.len());
                for item in items {
                    self.item(item, &mut all);
                }
                Value::Array(all)
            }
            Value::Object(fields) => Value::Object(self.fields(fields)),
            Value::Args(ArgsPart { form, fields }) => Value::Args(ArgsPart {
                form: form.clone(),
                fields: self.fields(fields),
            }),
            other => other.clone(),
        }
    }

    fn fields(&mut self, fields: &IndexMap<String, Value>) -> IndexMap<String, Value> {
        let fields = fields.iter();
        fields
            .map(|(name, field)| (name.clone(), self.value(field)))
            .collect()
    }

    fn item(&mut self, item: &Value, all: &mut Vec<Value>) {
        let Value::Select(select) = item else {
            all.push(self.value(item));
            return;
        };
        match self.pick(select) {
            None | Some(Value::Undefined | Value::Null) => {}
            Some(Value::Array(items)) => items.iter().for_each(|item| self.item(item, all)),
            Some(one) => self.item(one, all),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::from_json(serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn each_case_is_in_one_of_what_is_checked() {
        let plain = value(r#"{ "a": [1] }"#);
        assert_eq!(cases(&plain), [plain]);
        let select =
            |id: &str, cases: &str| format!(r#"{{ "$zako": ["select", "{id}", [{cases}]] }}"#);
        let one = select("m#o", r#"["x", ["x1", "x2"]], ["y", []], ["z", ["z"]]"#);
        let two = select("m#p", r#"["x", 1], ["y", 2]"#);
        let given = value(&format!(r#"{{ "a": ["0", {one}], "b": {two} }}"#));
        let shown: Vec<String> = cases(&given).iter().map(Value::to_wire).collect();
        assert_eq!(
            shown,
            [
                r#"{"a":["0","x1","x2"],"b":1}"#,
                r#"{"a":["0"],"b":1}"#,
                r#"{"a":["0","z"],"b":1}"#,
                r#"{"a":["0","x1","x2"],"b":2}"#,
            ]
        );
    }
}
