//! The data that crosses between a realm and the engine, and between one realm and another.
//!
//! Shape on the wire: JSON, in which an object with the single key `$zako` is a [`Value`] that JSON
//! has no word for (and a plain object that happens to look so is wrapped as `["object", …]`). The realm's
//! side is `builtins/internal/encode.ts`.
//!
//! **Invariant:** equal values have equal wire text, so text can be compared and hashed; an object's
//! keys keep the order in which the script made them, since an importer can see it.

mod configuration;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

pub use configuration::{OptionDeclaration, OptionKind, Select, Setting, Transition};

/// The deepest nesting that crosses; deeper values are an error at their exporter.
pub const MAX_DEPTH: usize = 64;

/// The key that marks what JSON cannot say.
const MARK: &str = "$zako";

/// A value that left a realm.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `undefined`.
    Undefined,
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, any IEEE 754 double.
    Number(f64),
    /// A bigint, in decimal.
    BigInt(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// A plain object, keys in the script's order.
    Object(IndexMap<String, Value>),
    /// A target.
    Target(TargetHandle),
    /// An output of a target.
    Artifact(ArtifactRef),
    /// A script module's handle: its specifier.
    Script(String),
    /// Strings and files to be joined into one argument of a command.
    Joined(Vec<Value>),
    /// Arguments of a command made out of others, by one of the functions of `args`.
    Args(ArgsPart),
    /// A set that the engine holds.
    Depset(DepsetRef),
    /// An option of the configuration.
    Option(Box<OptionDeclaration>),
    /// Values for options.
    Setting(Vec<Setting>),
    /// A value that depends on the configuration.
    Select(Box<Select>),
}

/// Arguments made out of others: which function of `args` made them, and what it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct ArgsPart {
    /// The function's name, as `each`.
    pub form: String,
    /// What it was given, by name.
    pub fields: IndexMap<String, Value>,
}

/// A depset by the digest of its content, so that equal sets are the same and nothing of them is copied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DepsetRef {
    /// The digest, 32 hexadecimal digits.
    pub id: String,
    /// The order in which it is listed, as the script calls it.
    pub order: String,
}

/// A target as others see it: where it is and what it offers, without its attributes, so that an importer
/// is evaluated again only when this changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetHandle {
    /// Where it is.
    pub target: TargetRef,
    /// Its rule, as `module#export`; empty for a label that was not looked at yet.
    pub rule: String,
    /// Ids of the providers that it has.
    pub provides: Vec<String>,
    /// Names of its named outputs.
    pub outputs: Vec<String>,
    /// Whether it is one more name for its target. Seen where a package is named, and kept nowhere.
    pub alias: bool,
}

/// Which target a handle stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetRef {
    /// The nth target that the package being evaluated declared.
    Local(u32),
    /// A target of another package, by its label.
    Label(String),
    /// A target in another configuration than its user's.
    Configured {
        /// The target, which is no such reference itself.
        of: Box<TargetRef>,
        /// How the configuration differs.
        transition: Transition,
    },
}

impl TargetRef {
    /// The same, with the place of the target by what `place` makes of it.
    pub fn map(&self, place: &impl Fn(&TargetRef) -> TargetRef) -> TargetRef {
        match self {
            TargetRef::Configured { of, transition } => TargetRef::Configured {
                of: Box::new(of.map(place)),
                transition: transition.clone(),
            },
            other => place(other),
        }
    }
}

/// Which file an artifact stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ArtifactRef {
    /// A named output of a target whose path is not known in this realm.
    Output {
        /// The target.
        target: TargetRef,
        /// The output's name, `default` for the only one.
        name: String,
    },
    /// A file at a path of the input root, as analysis sees them.
    File {
        /// The path, relative to the input root.
        path: String,
        /// Whether it is a directory.
        directory: bool,
    },
    /// A program of the machine, at an absolute path.
    Tool {
        /// The path.
        path: String,
        /// Its version, when that is its identity and not its content.
        version: Option<String>,
    },
}

/// Text that is no value's wire form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a script value: {0}")]
pub struct MalformedValue(String);

impl Value {
    /// Reads the wire form.
    pub fn parse(text: &str) -> Result<Value, MalformedValue> {
        let json: Json = serde_json::from_str(text).map_err(|e| MalformedValue(e.to_string()))?;
        Value::from_json(json)
    }

    /// The wire form.
    pub fn to_wire(&self) -> String {
        self.to_json().to_string()
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&IndexMap<String, Value>> {
        match self {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The word for this kind of value in messages, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Undefined => "undefined",
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::BigInt(_) => "a bigint",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
            Value::Target(_) => "a target",
            Value::Artifact(_) => "a file",
            Value::Script(_) => "a script",
            Value::Joined(_) => "joined text",
            Value::Args(_) => "a part of a command",
            Value::Depset(_) => "a depset",
            Value::Option(_) => "an option",
            Value::Setting(_) => "a setting",
            Value::Select(_) => "a select",
        }
    }

    /// From the wire form as parsed JSON.
    pub fn from_json(json: Json) -> Result<Value, MalformedValue> {
        Ok(match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(b),
            Json::Number(n) => {
                Value::Number(n.as_f64().ok_or_else(|| MalformedValue(n.to_string()))?)
            }
            Json::String(s) => Value::String(s),
            Json::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(Value::from_json)
                    .collect::<Result<_, _>>()?,
            ),
            Json::Object(mut fields) => {
                if fields.len() == 1
                    && let Some(special) = fields.remove(MARK)
                {
                    return Value::from_special(special);
                }
                Value::Object(plain(fields)?)
            }
        })
    }

    fn from_special(special: Json) -> Result<Value, MalformedValue> {
        let bad = || MalformedValue(special.to_string());
        let parts = special.as_array().ok_or_else(bad)?;
        let text = |at: usize| {
            parts
                .get(at)
                .and_then(Json::as_str)
                .map(str::to_owned)
                .ok_or_else(bad)
        };
        Ok(match text(0)?.as_str() {
            "undefined" => Value::Undefined,
            "number" => Value::Number(match text(1)?.as_str() {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                "-0" => -0.0,
                _ => return Err(bad()),
            }),
            "bigint" => Value::BigInt(text(1)?),
            "script" => Value::Script(text(1)?),
            "joined" => match parts.get(1) {
                Some(Json::Array(items)) => Value::Joined(
                    items
                        .iter()
                        .cloned()
                        .map(Value::from_json)
                        .collect::<Result<_, _>>()?,
                ),
                _ => return Err(bad()),
            },
            "args" => match parts.get(2) {
                Some(Json::Object(fields)) => Value::Args(ArgsPart {
                    form: text(1)?,
                    fields: plain(fields.clone())?,
                }),
                _ => return Err(bad()),
            },
            "depset" => Value::Depset(DepsetRef {
                id: text(1)?,
                order: text(2)?,
            }),
            "target" => Value::Target(handle(parts).ok_or_else(bad)?),
            "output" => Value::Artifact(ArtifactRef::Output {
                target: target(parts.get(1)).ok_or_else(bad)?,
                name: text(2)?,
            }),
            "file" => Value::Artifact(ArtifactRef::File {
                path: text(1)?,
                directory: parts.get(2).and_then(Json::as_bool).ok_or_else(bad)?,
            }),
            "tool" => Value::Artifact(ArtifactRef::Tool {
                path: text(1)?,
                version: match parts.len() {
                    0..=2 => None,
                    _ => Some(text(2)?),
                },
            }),
            "option" => {
                let declaration = parts.get(1).and_then(OptionDeclaration::from_json);
                Value::Option(Box::new(declaration.ok_or_else(bad)?))
            }
            "setting" => Value::Setting(configuration::settings(parts.get(1)).ok_or_else(bad)?),
            "select" => Value::Select(Box::new(Select::from_parts(parts)?)),
            "object" => match parts.get(1) {
                Some(Json::Object(fields)) => Value::Object(plain(fields.clone())?),
                _ => return Err(bad()),
            },
            _ => return Err(bad()),
        })
    }

    /// The wire form as JSON.
    pub fn to_json(&self) -> Json {
        let special = |parts: Vec<Json>| {
            Json::Object(Map::from_iter([(MARK.to_owned(), Json::Array(parts))]))
        };
        match self {
            Value::Undefined => special(vec!["undefined".into()]),
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => {
                number(*n).unwrap_or_else(|name| special(vec!["number".into(), name.into()]))
            }
            Value::BigInt(digits) => special(vec!["bigint".into(), digits.clone().into()]),
            Value::String(text) => Json::String(text.clone()),
            Value::Array(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Object(fields) => {
                let map: Map<String, Json> = fields
                    .iter()
                    .map(|(k, v)| (k.clone(), v.to_json()))
                    .collect();
                if map.len() == 1 && map.contains_key(MARK) {
                    special(vec!["object".into(), Json::Object(map)])
                } else {
                    Json::Object(map)
                }
            }
            Value::Target(handle) => {
                let mut shape = serde_json::json!({
                    "rule": handle.rule, "provides": handle.provides, "outputs": handle.outputs,
                });
                if handle.alias {
                    shape["alias"] = true.into();
                }
                special(vec!["target".into(), target_json(&handle.target), shape])
            }
            Value::Joined(items) => special(vec![
                "joined".into(),
                Json::Array(items.iter().map(Value::to_json).collect()),
            ]),
            Value::Args(ArgsPart { form, fields }) => special(vec![
                "args".into(),
                form.clone().into(),
                Json::Object(
                    fields
                        .iter()
                        .map(|(key, field)| (key.clone(), field.to_json()))
                        .collect(),
                ),
            ]),
            Value::Depset(DepsetRef { id, order }) => special(vec![
                "depset".into(),
                id.clone().into(),
                order.clone().into(),
            ]),
            Value::Artifact(ArtifactRef::Output { target, name }) => special(vec![
                "output".into(),
                target_json(target),
                name.clone().into(),
            ]),
            Value::Artifact(ArtifactRef::File { path, directory }) => special(vec![
                "file".into(),
                path.clone().into(),
                (*directory).into(),
            ]),
            Value::Artifact(ArtifactRef::Tool { path, version }) => {
                let version = version.iter().map(|version| version.clone().into());
                special(
                    ["tool".into(), path.clone().into()]
                        .into_iter()
                        .chain(version)
                        .collect(),
                )
            }
            Value::Script(specifier) => special(vec!["script".into(), specifier.clone().into()]),
            Value::Option(declaration) => special(vec!["option".into(), declaration.to_json()]),
            Value::Setting(settings) => special(vec![
                "setting".into(),
                configuration::settings_json(settings),
            ]),
            Value::Select(select) => special(select.parts()),
        }
    }
}

fn plain(fields: Map<String, Json>) -> Result<IndexMap<String, Value>, MalformedValue> {
    fields
        .into_iter()
        .map(|(key, value)| Ok((key, Value::from_json(value)?)))
        .collect()
}

fn handle(parts: &[Json]) -> Option<TargetHandle> {
    let shape = parts.get(2)?;
    let words = |key: &str| {
        shape
            .get(key)?
            .as_array()?
            .iter()
            .map(|word| word.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
    };
    Some(TargetHandle {
        target: target(parts.get(1))?,
        rule: shape.get("rule")?.as_str()?.to_owned(),
        provides: words("provides")?,
        outputs: words("outputs")?,
        alias: shape.get("alias").is_some_and(|alias| alias == true),
    })
}

fn target(json: Option<&Json>) -> Option<TargetRef> {
    match json? {
        Json::Number(n) => Some(TargetRef::Local(u32::try_from(n.as_u64()?).ok()?)),
        Json::String(label) => Some(TargetRef::Label(label.clone())),
        Json::Object(_) => configuration::configured(json?),
        _ => None,
    }
}

/// What [`target`] reads.
fn target_json(target: &TargetRef) -> Json {
    match target {
        TargetRef::Local(index) => (*index).into(),
        TargetRef::Label(label) => label.clone().into(),
        TargetRef::Configured { of, transition } => configuration::configured_json(of, transition),
    }
}

/// The largest integer up to which every integer is a double.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

fn number(n: f64) -> Result<Json, &'static str> {
    if n.is_nan() {
        Err("NaN")
    } else if n.is_infinite() {
        Err(if n > 0.0 { "Infinity" } else { "-Infinity" })
    } else if n == 0.0 && n.is_sign_negative() {
        Err("-0")
    } else if n.fract() == 0.0 && n.abs() <= MAX_SAFE {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an integer within the safe range"
        )]
        let whole = n as i64;
        Ok(whole.into())
    } else {
        serde_json::Number::from_f64(n)
            .map(Json::Number)
            .ok_or("NaN")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ArgsPart, ArtifactRef, DepsetRef, OptionDeclaration, OptionKind, Select, Setting,
        TargetHandle, TargetRef, Transition, Value,
    };
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let place = prop_oneof![
            any::<u32>().prop_map(TargetRef::Local),
            "//[a-z]{1,4}:[a-z]".prop_map(TargetRef::Label)
        ];
        let settings = prop::collection::vec(("[a-z]{0,4}", "[a-z]{0,2}"), 0..3).prop_map(|set| {
            let setting = |(option, value)| Setting { option, value };
            set.into_iter().map(setting).collect::<Vec<_>>()
        });
        let target = prop_oneof![
            place.clone(),
            (place, any::<bool>(), settings.clone()).prop_map(|(of, exec, settings)| {
                TargetRef::Configured {
                    of: Box::new(of),
                    transition: Transition { exec, settings },
                }
            })
        ];
        let option = (
            "[a-z#]{0,5}",
            prop::option::of("[a-z]{1,2}"),
            any::<bool>(),
            prop::collection::vec("[a-z]{0,2}", 0..3),
        )
            .prop_map(|(id, name, is_flag, values)| OptionDeclaration {
                id: id.clone(),
                name,
                kind: match is_flag {
                    true => OptionKind::Flag,
                    false => OptionKind::Choice,
                },
                values,
                deprecated: (!id.is_empty()).then(|| id.clone()),
                default: id,
            });
        let leaf = prop_oneof![
            Just(Value::Undefined),
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<f64>()
                .prop_filter("NaN is not equal to itself", |n| !n.is_nan())
                .prop_map(Value::Number),
            "-?[1-9][0-9]{0,30}".prop_map(Value::BigInt),
            any::<String>().prop_map(Value::String),
            option.prop_map(|option| Value::Option(Box::new(option))),
            settings.prop_map(Value::Setting),
            (
                target.clone(),
                "[a-z#]{0,5}",
                prop::collection::vec("[A-Z][a-z]{1,4}", 0..3)
            )
                .prop_map(|(target, rule, provides)| {
                    Value::Target(TargetHandle {
                        target,
                        rule,
                        outputs: provides.clone(),
                        alias: provides.len() == 1,
                        provides,
                    })
                }),
            (target, "[a-z]{1,5}")
                .prop_map(|(target, name)| Value::Artifact(ArtifactRef::Output { target, name })),
            ("[a-z/]{1,9}", any::<bool>()).prop_map(|(path, directory)| Value::Artifact(
                ArtifactRef::File { path, directory }
            )),
            ("/[a-z/]{1,9}", proptest::option::of("[0-9.]{1,5}"))
                .prop_map(|(path, version)| Value::Artifact(ArtifactRef::Tool { path, version })),
            ("[0-9a-f]{4}", "[a-z]{1,5}")
                .prop_map(|(id, order)| Value::Depset(DepsetRef { id, order })),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let key = prop_oneof![Just("$zako".to_owned()), any::<String>()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Joined),
                (
                    "[a-z]{1,5}",
                    prop::collection::vec(("[a-z]{1,4}", inner.clone()), 0..3)
                )
                    .prop_map(|(form, fields)| {
                        let fields = fields.into_iter().collect();
                        Value::Args(ArgsPart { form, fields })
                    }),
                (
                    "[a-z#]{0,5}",
                    prop::collection::vec(("[a-z$]{0,5}", inner.clone()), 0..3)
                )
                    .prop_map(|(option, cases)| Value::Select(Box::new(Select {
                        option,
                        cases: cases.into_iter().collect(),
                    }))),
                prop::collection::vec((key, inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_survive_the_wire(value in values()) {
            let wire = value.to_wire();
            let back = Value::parse(&wire).expect("own text parses");
            prop_assert_eq!(back.to_wire(), wire);
            prop_assert_eq!(back, value);
        }
    }

    #[test]
    fn numbers_keep_their_kind() {
        for (value, wire) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (-0.0, r#"{"$zako":["number","-0"]}"#),
            (1e300, "1e+300"),
        ] {
            assert_eq!(Value::Number(value).to_wire(), wire);
        }
    }
}
