//! What of a configuration crosses between a realm and the engine: options, settings, and choices by them.
//!
//! An option is known by where it is exported, as `//build/options.config.ts#mode`; its values are text, also those of a
//! flag.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::{MalformedValue, TargetRef, Value, target, target_json};

/// An option as its `*.config.ts` file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionDeclaration {
    /// Where it is exported.
    pub id: String,
    /// What the command line calls it, when that is not its export's name.
    pub name: Option<String>,
    /// What its values are to scripts.
    pub kind: OptionKind,
    /// All its values, in the order of the declaration.
    pub values: Vec<String>,
    /// The one that it has when nothing says otherwise.
    pub default: String,
    /// What to do instead of setting it, when it is deprecated.
    pub deprecated: Option<String>,
}

/// What an option's values are to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Strings.
    Choice,
    /// `true` and `false`.
    Flag,
}

/// A value for an option.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Setting {
    /// Where the option is exported.
    pub option: String,
    /// The value.
    pub value: String,
}

/// A value for each value of an option.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// Where the option is exported.
    pub option: String,
    /// A case for each of its values.
    pub cases: IndexMap<String, Value>,
}

/// How the configuration of a target differs from that of its user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Transition {
    /// Whether it runs during the build: it starts from the configuration of the machine that it runs on.
    pub exec: bool,
    /// What is set; the last counts.
    pub settings: Vec<Setting>,
}

impl OptionDeclaration {
    /// What the command line calls it.
    pub fn shown(&self) -> &str {
        let export = || self.id.rsplit_once('#').map_or(&*self.id, |(_, name)| name);
        self.name.as_deref().unwrap_or_else(export)
    }

    pub(super) fn from_json(json: &Json) -> Option<OptionDeclaration> {
        Some(OptionDeclaration {
            id: json.get("id")?.as_str()?.to_owned(),
            name: json.get("name")?.as_str().map(str::to_owned),
            kind: match json.get("kind")?.as_str()? {
                "choice" => OptionKind::Choice,
                "flag" => OptionKind::Flag,
                _ => return None,
            },
            values: json
                .get("values")?
                .as_array()?
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            default: json.get("default")?.as_str()?.to_owned(),
            deprecated: json.get("deprecated")?.as_str().map(str::to_owned),
        })
    }

    pub(super) fn to_json(&self) -> Json {
        let kind = match self.kind {
            OptionKind::Choice => "choice",
            OptionKind::Flag => "flag",
        };
        json!({ "id": self.id, "name": self.name, "kind": kind, "values": self.values, "default": self.default, "deprecated": self.deprecated })
    }
}

/// Settings as pairs.
pub(super) fn settings(json: Option<&Json>) -> Option<Vec<Setting>> {
    let pair = |pair: &Json| {
        Some(Setting {
            option: pair.get(0)?.as_str()?.to_owned(),
            value: pair.get(1)?.as_str()?.to_owned(),
        })
    };
    json?.as_array()?.iter().map(pair).collect()
}

pub(super) fn settings_json(settings: &[Setting]) -> Json {
    settings
        .iter()
        .map(|setting| json!([setting.option, setting.value]))
        .collect()
}

impl Select {
    /// From the parts of `["select", option, [[name, case], …]]`.
    pub(super) fn from_parts(parts: &[Json]) -> Result<Select, MalformedValue> {
        let bad = || MalformedValue(Json::Array(parts.to_vec()).to_string());
        let option = parts.get(1).and_then(Json::as_str).ok_or_else(bad)?;
        let cases = parts.get(2).and_then(Json::as_array).ok_or_else(bad)?;
        let case = |pair: &Json| {
            let name = pair.get(0).and_then(Json::as_str).ok_or_else(bad)?;
            let value = Value::from_json(pair.get(1).ok_or_else(bad)?.clone())?;
            Ok((name.to_owned(), value))
        };
        Ok(Select {
            option: option.to_owned(),
            cases: cases.iter().map(case).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn parts(&self) -> Vec<Json> {
        let cases = self.cases.iter();
        let cases = cases.map(|(name, value)| json!([name, value.to_json()]));
        vec![
            "select".into(),
            self.option.clone().into(),
            cases.collect::<Json>(),
        ]
    }
}

/// A reference to a target in another configuration, `{ of, exec, set }`.
pub(super) fn configured(json: &Json) -> Option<TargetRef> {
    Some(TargetRef::Configured {
        of: Box::new(target(Some(json.get("of")?))?),
        transition: Transition {
            exec: json.get("exec")?.as_bool()?,
            settings: settings(json.get("set"))?,
        },
    })
}

pub(super) fn configured_json(of: &TargetRef, transition: &Transition) -> Json {
    let Transition { exec, settings } = transition;
    json!({ "of": target_json(of), "exec": exec, "set": settings_json(settings) })
}
