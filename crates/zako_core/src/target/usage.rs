//! Who may use a target and should: `visibility`, `deprecated`, and what a label is said to provide.

use std::collections::BTreeMap;

use zako_path::NeutralPath;
use zako_script::{ArgsPart, ArtifactRef, AttributeStep, TargetRef, Value};

use super::Target;
use super::analysis::{Analysis, Declared};
use crate::diagnostic::{Diagnostic, Location};
use crate::evaluate::{Services, point_at};

/// Who may use a target, beside its own package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visibility {
    Public,
    /// These packages, and with `true` all below.
    Packages(Vec<(NeutralPath, bool)>),
}

impl Visibility {
    /// What the attribute `visibility` says; the error is for its author.
    pub(crate) fn parse(value: Option<&Value>) -> Result<Visibility, String> {
        let list = match value {
            None | Some(Value::Undefined | Value::Null) => return Ok(Visibility::Public),
            Some(Value::String(word)) if word == "public" => return Ok(Visibility::Public),
            Some(Value::String(word)) if word == "private" => &[][..],
            Some(Value::Array(list)) => list,
            Some(other) => return Err(wrong(other)),
        };
        let one = |value: &Value| {
            let text = value.as_str().ok_or_else(|| wrong(value))?;
            let path = text.strip_prefix("//").ok_or_else(|| wrong(value))?;
            let (path, below) = match path.strip_suffix("...") {
                Some("") => ("", true),
                Some(above) => (above.strip_suffix('/').ok_or_else(|| wrong(value))?, true),
                None => (path.strip_suffix(":*").unwrap_or(path), false),
            };
            match NeutralPath::new(path) {
                Ok(path) if !path.as_str().contains(':') => Ok((path, below)),
                _ => Err(wrong(value)),
            }
        };
        list.iter()
            .map(one)
            .collect::<Result<_, _>>()
            .map(Visibility::Packages)
    }

    fn admits(&self, own: &NeutralPath, user: &NeutralPath) -> bool {
        match self {
            Visibility::Public => true,
            Visibility::Packages(packages) => {
                own == user
                    || packages
                        .iter()
                        .any(|(path, below)| path == user || (*below && user.starts_with(path)))
            }
        }
    }
}

fn wrong(value: &Value) -> String {
    let shown = match value {
        Value::String(text) => format!("\"{text}\""),
        other => other.kind().to_owned(),
    };
    format!(
        "\"visibility\" takes \"public\", \"private\" or a list of packages as \"//a\" and \"//a/...\", not {shown}"
    )
}

/// Uses that are not allowed, each with its user and at the attribute that has it, and a warning for each deprecated target.
pub(super) async fn check_uses<'a>(
    services: &Services,
    targets: &'a BTreeMap<String, Declared>,
) -> (Vec<(&'a str, Diagnostic)>, Vec<Diagnostic>) {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let mut limited: BTreeMap<&str, (Visibility, Option<&str>)> = BTreeMap::new();
    for (label, (target, _)) in targets {
        let attr = |key: &str| target.attrs.as_object()?.get(key);
        // It was checked where it was declared.
        let visibility = Visibility::parse(attr("visibility")).unwrap_or(Visibility::Public);
        let deprecated = attr("deprecated").and_then(Value::as_str);
        if visibility != Visibility::Public || deprecated.is_some() {
            limited.insert(label, (visibility, deprecated));
        }
    }
    if limited.is_empty() {
        return (faults, warnings);
    }
    for (label, (user, _)) in targets {
        for used in user.dependencies() {
            let (Some((visibility, deprecated)), Some((target, place))) =
                (limited.get_mut(used), targets.get(used))
            else {
                continue;
            };
            let declared = place
                .as_ref()
                .map(|place| format!("{used} is declared at {place}"));
            if !visibility.admits(&target.label.package, &user.label.package) {
                let message = format!("{label} may not use {used}, which is not visible to it");
                let help = format!(
                    "add \"//{}\" to the visibility of {used}, or use a target that is meant for others",
                    user.label.package
                );
                let mut fault = Diagnostic::user(message).with_help(help);
                fault.trace.extend(declared);
                fault.location = place_of_use(services, user, used).await;
                faults.push((label.as_str(), fault));
            } else if target.label.package != user.label.package
                && let Some(why) = deprecated.take()
            {
                let mut warning = Diagnostic::warning(format!("{used} is deprecated: {why}"));
                warning.trace.push(format!("used by {label}"));
                warning.trace.extend(declared);
                warning.location = place_of_use(services, user, used).await;
                warnings.push(warning);
            }
        }
    }
    (faults, warnings)
}

/// Labels in the target's attributes that are said to have providers which their targets lack.
pub(super) async fn check_labels(
    services: &Services,
    target: &Target,
    analysis: &Analysis,
) -> Vec<Diagnostic> {
    let mut late = Vec::new();
    each_reference(&target.attrs, &mut Vec::new(), &mut |value, path| {
        if let Value::Target(handle) = value
            && handle.rule.is_empty()
            && !handle.provides.is_empty()
            && let TargetRef::Label(label) = &handle.target
        {
            late.push((label.clone(), handle.provides.clone(), path.to_vec()));
        }
        false
    });
    let mut faults = Vec::new();
    for (label, required, path) in late {
        let Some(result) = analysis.results.get(&label) else {
            continue;
        };
        let wire = result.wire.json();
        let has = wire["providers"].as_object();
        let missing: Vec<&str> = required
            .iter()
            .map(String::as_str)
            .filter(|id| !has.is_some_and(|has| has.contains_key(*id)))
            .collect();
        if missing.is_empty() {
            continue;
        }
        let provides: Vec<&str> = has
            .into_iter()
            .flatten()
            .map(|(id, _)| id.as_str())
            .collect();
        let provides = match provides.is_empty() {
            true => "nothing".to_owned(),
            false => provides.join(" and "),
        };
        let message = format!(
            "{}: {} needs a target that provides {}, and {label} provides {provides}",
            target.label,
            shown(&path),
            missing.join(" and ")
        );
        let mut fault = Diagnostic::user(message).with_trace(format!("in {}", target.label));
        fault.location = place(services, target, path).await;
        faults.push(fault);
    }
    faults
}

/// Whether there are such labels in the target's attributes.
pub(super) fn has_labels(target: &Target) -> bool {
    each_reference(
        &target.attrs,
        &mut Vec::new(),
        &mut |value, _| matches!(value, Value::Target(handle) if handle.rule.is_empty() && !handle.provides.is_empty()),
    )
}

/// The attribute as messages call it.
fn shown(path: &[AttributeStep]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            AttributeStep::Key(key) | AttributeStep::Name(key) if text.is_empty() => {
                text.push_str(key);
            }
            AttributeStep::Key(key) | AttributeStep::Name(key) => {
                text.push('.');
                text.push_str(key);
            }
            AttributeStep::Index(index) => text.push_str(&format!("[{index}]")),
            AttributeStep::Text(_) => {}
        }
    }
    format!("attribute \"{text}\"")
}

/// Where `user` says that it uses the target `used`.
pub(crate) async fn place_of_use(
    services: &Services,
    user: &Target,
    used: &str,
) -> Option<Location> {
    let mut found = None;
    each_reference(&user.attrs, &mut Vec::new(), &mut |value, path| {
        let reference = match value {
            Value::Target(handle) => Some(&handle.target),
            Value::Artifact(ArtifactRef::Output { target, .. }) => Some(target),
            _ => None,
        };
        let is_it = matches!(reference, Some(TargetRef::Label(label)) if label == used);
        if is_it {
            found = Some(path.to_vec());
        }
        is_it
    });
    place(services, user, found.unwrap_or_default()).await
}

async fn place(services: &Services, target: &Target, path: Vec<AttributeStep>) -> Option<Location> {
    let declared = target.place.as_ref()?;
    Some(point_at(services, Location::new(declared, None), path).await)
}

/// Calls `visit` with every value in `value` and the way to it, until it says that it has what it wants.
fn each_reference(
    value: &Value,
    path: &mut Vec<AttributeStep>,
    visit: &mut dyn FnMut(&Value, &[AttributeStep]) -> bool,
) -> bool {
    if visit(value, path) {
        return true;
    }
    let mut inner = |step: AttributeStep, value: &Value| {
        path.push(step);
        let is_found = each_reference(value, path, visit);
        path.pop();
        is_found
    };
    match value {
        Value::Array(items) | Value::Joined(items) => items
            .iter()
            .enumerate()
            .any(|(at, item)| inner(AttributeStep::Index(at), item)),
        Value::Object(fields) | Value::Args(ArgsPart { fields, .. }) => fields
            .iter()
            .any(|(key, field)| inner(AttributeStep::Key(key.clone()), field)),
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn visibility_is_by_package() {
        let list = |items: &[&str]| {
            let items = items.iter().map(|text| Value::String((*text).to_owned()));
            Visibility::parse(Some(&Value::Array(items.collect())))
        };
        let path = |text: &str| NeutralPath::new(text).unwrap();
        let own = path("lib");
        let some = list(&["//app", "//tools/..."]).unwrap();
        for (user, is_visible) in [
            ("lib", true),
            ("app", true),
            ("app/sub", false),
            ("tools", true),
            ("tools/a/b", true),
            ("toolshed", false),
            ("", false),
        ] {
            assert_eq!(some.admits(&own, &path(user)), is_visible, "{user}");
        }
        let private = Visibility::parse(Some(&Value::String("private".into()))).unwrap();
        assert!(private.admits(&own, &own) && !private.admits(&own, &path("app")));
        assert!(list(&["//..."]).unwrap().admits(&own, &path("x/y")));
        assert!(Visibility::parse(None).unwrap().admits(&own, &path("x")));
        for bad in ["app", "//app:x", "//app...", "://"] {
            assert!(list(&[bad]).is_err(), "{bad}");
        }
    }
}
