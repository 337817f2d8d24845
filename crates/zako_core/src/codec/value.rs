//! Script values: what packages export and targets have as attributes.
//!
//! ```text
//! value:  0 undefined  1 null  2 false  3 true  4 number (8 bytes)  5 bigint (text)  6 string
//!         7 array  8 object  9 target  10 output (target reference, name)  11 file (path, directory)
//!         12 script (text)  13 joined (list)  14 args (form, fields)  15 depset (id, order)  16 tool (path)
//!         17 option  18 setting (list)  19 select: option (text), cases (map)
//! target: reference, rule, provides, outputs;  reference: 0 local (u32), 1 label (text), 2 configured: a reference of the
//!         other two kinds, for tools (bool), settings (list of option and value)
//! option: where it is exported (text), its name (option of text), 0 choice or 1 flag, values (list), default (text)
//! ```

use indexmap::IndexMap;
use zako_script::value::{
    OptionDeclaration, OptionKind, Select, Setting, TargetHandle, Transition,
};
use zako_script::{ArgsPart, ArtifactRef, DepsetRef, TargetRef, Value};

use super::{Coded, decode_with, length};
use crate::files::{Decoder, Encoder};

/// The deepest nesting that is read: beyond what any script can export (`zako_script::value::MAX_DEPTH`).
const MAX_NESTING: usize = 128;

impl Coded for Value {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Value::Undefined => out.u8(0),
            Value::Null => out.u8(1),
            Value::Bool(false) => out.u8(2),
            Value::Bool(true) => out.u8(3),
            Value::Number(number) => {
                out.u8(4);
                out.u64(number.to_bits());
            }
            Value::BigInt(digits) => {
                out.u8(5);
                out.text(digits);
            }
            Value::String(text) => {
                out.u8(6);
                out.text(text);
            }
            Value::Array(items) => {
                out.u8(7);
                items.encode(out);
            }
            Value::Object(fields) => {
                out.u8(8);
                encode_fields(fields, out);
            }
            Value::Target(handle) => {
                out.u8(9);
                handle.encode(out);
            }
            Value::Artifact(ArtifactRef::Output { target, name }) => {
                out.u8(10);
                target.encode(out);
                out.text(name);
            }
            Value::Artifact(ArtifactRef::File { path, directory }) => {
                out.u8(11);
                out.text(path);
                directory.encode(out);
            }
            Value::Script(specifier) => {
                out.u8(12);
                out.text(specifier);
            }
            Value::Joined(items) => {
                out.u8(13);
                items.encode(out);
            }
            Value::Args(ArgsPart { form, fields }) => {
                out.u8(14);
                out.text(form);
                encode_fields(fields, out);
            }
            Value::Depset(DepsetRef { id, order }) => {
                out.u8(15);
                out.text(id);
                out.text(order);
            }
            Value::Artifact(ArtifactRef::Tool { path, version }) => {
                out.u8(if version.is_some() { 20 } else { 16 });
                out.text(path);
                if let Some(version) = version {
                    out.text(version);
                }
            }
            Value::Option(declaration) => {
                out.u8(17);
                declaration.encode(out);
            }
            Value::Setting(settings) => {
                out.u8(18);
                settings.encode(out);
            }
            Value::Select(select) => {
                let Select { option, cases } = &**select;
                out.u8(19);
                out.text(option);
                encode_fields(cases, out);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        value(body, 0)
    }
}

fn encode_fields(fields: &IndexMap<String, Value>, out: &mut Encoder) {
    length(fields.len(), out);
    for (key, field) in fields {
        out.text(key);
        field.encode(out);
    }
}

fn decode_fields(body: &mut Decoder<'_>, depth: usize) -> Option<IndexMap<String, Value>> {
    let pairs = decode_with(body, |body| {
        Some((String::decode(body)?, value(body, depth)?))
    })?;
    let count = pairs.len();
    let fields: IndexMap<String, Value> = pairs.into_iter().collect();
    (fields.len() == count).then_some(fields)
}

fn value(body: &mut Decoder<'_>, depth: usize) -> Option<Value> {
    if depth > MAX_NESTING {
        return None;
    }
    let text = |body: &mut Decoder<'_>| body.text().map(str::to_owned);
    let items = |body: &mut Decoder<'_>| decode_with(body, |body| value(body, depth + 1));
    Some(match body.u8()? {
        0 => Value::Undefined,
        1 => Value::Null,
        2 => Value::Bool(false),
        3 => Value::Bool(true),
        4 => Value::Number(f64::from_bits(body.u64()?)),
        5 => Value::BigInt(text(body)?),
        6 => Value::String(text(body)?),
        7 => Value::Array(items(body)?),
        8 => Value::Object(decode_fields(body, depth + 1)?),
        9 => Value::Target(TargetHandle::decode(body)?),
        10 => Value::Artifact(ArtifactRef::Output {
            target: TargetRef::decode(body)?,
            name: text(body)?,
        }),
        11 => Value::Artifact(ArtifactRef::File {
            path: text(body)?,
            directory: bool::decode(body)?,
        }),
        12 => Value::Script(text(body)?),
        13 => Value::Joined(items(body)?),
        14 => Value::Args(ArgsPart {
            form: text(body)?,
            fields: decode_fields(body, depth + 1)?,
        }),
        15 => Value::Depset(DepsetRef {
            id: text(body)?,
            order: text(body)?,
        }),
        16 => Value::Artifact(ArtifactRef::Tool {
            path: text(body)?,
            version: None,
        }),
        20 => Value::Artifact(ArtifactRef::Tool {
            path: text(body)?,
            version: Some(text(body)?),
        }),
        17 => Value::Option(Box::new(OptionDeclaration::decode(body)?)),
        18 => Value::Setting(Vec::decode(body)?),
        19 => Value::Select(Box::new(Select {
            option: text(body)?,
            cases: decode_fields(body, depth + 1)?,
        })),
        _ => return None,
    })
}

impl Coded for OptionDeclaration {
    fn encode(&self, out: &mut Encoder) {
        let OptionDeclaration {
            id,
            name,
            kind,
            values,
            default,
            deprecated,
        } = self;
        out.text(id);
        name.encode(out);
        (*kind == OptionKind::Flag).encode(out);
        values.encode(out);
        out.text(default);
        deprecated.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(OptionDeclaration {
            id: String::decode(body)?,
            name: Option::decode(body)?,
            kind: match bool::decode(body)? {
                false => OptionKind::Choice,
                true => OptionKind::Flag,
            },
            values: Vec::decode(body)?,
            default: String::decode(body)?,
            deprecated: Option::decode(body)?,
        })
    }
}

impl Coded for Setting {
    fn encode(&self, out: &mut Encoder) {
        let Setting { option, value } = self;
        out.text(option);
        out.text(value);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Setting {
            option: String::decode(body)?,
            value: String::decode(body)?,
        })
    }
}

impl Coded for TargetHandle {
    fn encode(&self, out: &mut Encoder) {
        let TargetHandle {
            target,
            rule,
            provides,
            outputs,
            alias: _,
        } = self;
        target.encode(out);
        out.text(rule);
        provides.encode(out);
        outputs.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(TargetHandle {
            target: TargetRef::decode(body)?,
            rule: String::decode(body)?,
            provides: Vec::decode(body)?,
            outputs: Vec::decode(body)?,
            alias: false,
        })
    }
}

impl Coded for TargetRef {
    fn encode(&self, out: &mut Encoder) {
        match self {
            TargetRef::Local(local) => {
                out.u8(0);
                out.u32(*local);
            }
            TargetRef::Label(label) => {
                out.u8(1);
                out.text(label);
            }
            TargetRef::Configured { of, transition } => {
                let Transition { exec, settings } = transition;
                out.u8(2);
                of.encode(out);
                exec.encode(out);
                settings.encode(out);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let kind = body.u8()?;
        if kind != 2 {
            return place(kind, body);
        }
        let of = body.u8()?;
        Some(TargetRef::Configured {
            of: Box::new(place(of, body)?),
            transition: Transition {
                exec: bool::decode(body)?,
                settings: Vec::decode(body)?,
            },
        })
    }
}

/// A reference that says where a target is, of the given kind.
fn place(kind: u8, body: &mut Decoder<'_>) -> Option<TargetRef> {
    match kind {
        0 => Some(TargetRef::Local(body.u32()?)),
        1 => Some(TargetRef::Label(String::decode(body)?)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{is_total, survives};
    use super::super::{decoded, encoded};
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn values() -> impl Strategy<Value = Value> {
        let text = "[a-z/:$]{0,5}";
        let place = prop_oneof![
            any::<u32>().prop_map(TargetRef::Local),
            text.prop_map(TargetRef::Label)
        ];
        let settings = prop::collection::vec((text, text), 0..3).prop_map(|set| {
            let setting = |(option, value)| Setting { option, value };
            set.into_iter().map(setting).collect::<Vec<_>>()
        });
        let transition = (any::<bool>(), settings.clone())
            .prop_map(|(exec, settings)| Transition { exec, settings });
        let target = prop_oneof![
            place.clone(),
            (place, transition).prop_map(|(of, transition)| TargetRef::Configured {
                of: Box::new(of),
                transition,
            })
        ];
        let option = (text, prop::option::of(text), any::<bool>(), text).prop_map(
            |(id, name, is_flag, default)| OptionDeclaration {
                id,
                name,
                kind: match is_flag {
                    true => OptionKind::Flag,
                    false => OptionKind::Choice,
                },
                values: vec![default.clone()],
                deprecated: is_flag.then(|| default.clone()),
                default,
            },
        );
        let leaf = prop_oneof![
            Just(Value::Undefined),
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<f64>()
                .prop_filter("NaN is not equal to itself", |n| !n.is_nan())
                .prop_map(Value::Number),
            text.prop_map(Value::BigInt),
            any::<String>().prop_map(Value::String),
            text.prop_map(Value::Script),
            option.prop_map(|option| Value::Option(Box::new(option))),
            settings.prop_map(Value::Setting),
            (
                target.clone(),
                text,
                prop::collection::vec(text, 0..3),
                prop::collection::vec(text, 0..3)
            )
                .prop_map(|(target, rule, provides, outputs)| Value::Target(
                    TargetHandle {
                        target,
                        rule,
                        provides,
                        outputs,
                        alias: false,
                    }
                )),
            (target, text)
                .prop_map(|(target, name)| Value::Artifact(ArtifactRef::Output { target, name })),
            (text, any::<bool>()).prop_map(|(path, directory)| Value::Artifact(
                ArtifactRef::File { path, directory }
            )),
            (text, text).prop_map(|(id, order)| Value::Depset(DepsetRef { id, order })),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Joined),
                (
                    text,
                    prop::collection::vec(("[a-z]{0,2}", inner.clone()), 0..3)
                )
                    .prop_map(|(form, fields)| Value::Args(ArgsPart {
                        form,
                        fields: fields.into_iter().collect()
                    })),
                (
                    text,
                    prop::collection::vec(("[a-z]{0,2}", inner.clone()), 0..3)
                )
                    .prop_map(|(option, cases)| Value::Select(Box::new(Select {
                        option,
                        cases: cases.into_iter().collect(),
                    }))),
                prop::collection::vec(("[a-z]{0,2}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_survive(value in values()) {
            survives(&value);
        }

        #[test]
        fn any_bytes_are_a_value_or_none(bytes in prop::collection::vec(0_u8..18, 0..64)) {
            is_total::<Value>(&bytes);
        }
    }

    #[test]
    fn numbers_keep_their_bits() {
        for bits in [
            0_u64,
            1 << 63,
            0x7ff8_0000_0000_0001,
            0xfff0_0000_0000_0000,
            1,
        ] {
            let bytes = encoded(&Value::Number(f64::from_bits(bits)));
            match decoded(&bytes) {
                Some(Value::Number(number)) => assert_eq!(number.to_bits(), bits),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| {
            let mut bytes = [7, 1, 0, 0, 0].repeat(depth);
            bytes.push(0);
            decoded::<Value>(&bytes).is_some()
        };
        assert!(nested(zako_script::value::MAX_DEPTH + 2));
        assert!(!nested(MAX_NESTING + 1));
        assert!(!nested(1_000_000));
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let handle = TargetHandle {
            target: TargetRef::Local(7),
            rule: "r#x".into(),
            provides: vec!["P".into()],
            outputs: vec![],
            alias: false,
        };
        let value = Value::Object(IndexMap::from([
            ("b".to_owned(), Value::Number(1.5)),
            (
                "a".to_owned(),
                Value::Array(vec![
                    Value::Undefined,
                    Value::Null,
                    Value::Bool(true),
                    Value::String("ä".into()),
                ]),
            ),
            ("t".to_owned(), Value::Target(handle)),
            (
                "o".to_owned(),
                Value::Joined(vec![
                    Value::Artifact(ArtifactRef::Output {
                        target: TargetRef::Label("//p".into()),
                        name: "n".into(),
                    }),
                    Value::Artifact(ArtifactRef::File {
                        path: "f".into(),
                        directory: true,
                    }),
                    Value::Script("//s".into()),
                    Value::BigInt("9".into()),
                    Value::Args(ArgsPart {
                        form: "each".into(),
                        fields: IndexMap::from([("f".to_owned(), Value::Null)]),
                    }),
                    Value::Depset(DepsetRef {
                        id: "1a".into(),
                        order: "pre".into(),
                    }),
                ]),
            ),
        ]));
        let golden = concat!(
            "0804000000",
            "010000006204000000000000f83f",
            "0100000061070400000000010306",
            "02000000c3a4",
            "01000000740900070000000300000072237801000000010000005000000000",
            "010000006f0d06000000",
            "0a01030000002f2f70010000006e",
            "0b010000006601",
            "0c030000002f2f73",
            "050100000039",
            "0e0400000065616368010000000100000066",
            "01",
            "0f02000000316103000000707265",
        );
        assert_eq!(
            hex::encode(encoded(&value)),
            golden,
            "raise CODEC_VERSION with any change"
        );
        survives(&value);
    }

    #[test]
    fn what_depends_on_the_configuration_has_an_encoding_too() {
        let setting = Setting {
            option: "o#m".into(),
            value: "v".into(),
        };
        let value = Value::Array(vec![
            Value::Option(Box::new(OptionDeclaration {
                id: "o#m".into(),
                name: Some("n".into()),
                kind: OptionKind::Flag,
                values: vec!["v".into()],
                default: "v".into(),
                deprecated: Some("d".into()),
            })),
            Value::Setting(vec![setting.clone()]),
            Value::Select(Box::new(Select {
                option: "o#m".into(),
                cases: IndexMap::from([("v".to_owned(), Value::Null)]),
            })),
            Value::Artifact(ArtifactRef::Output {
                target: TargetRef::Configured {
                    of: Box::new(TargetRef::Local(7)),
                    transition: Transition {
                        exec: true,
                        settings: vec![setting],
                    },
                },
                name: "n".into(),
            }),
        ]);
        let golden = concat!(
            "0704000000",
            "11030000006f236d01010000006e01010000000100000076",
            "0100000076",
            "010100000064",
            "1201000000030000006f236d0100000076",
            "13030000006f236d01000000010000007601",
            "0a0200070000000101000000030000006f236d0100000076010000006e",
        );
        assert_eq!(
            hex::encode(encoded(&value)),
            golden,
            "raise CODEC_VERSION with any change"
        );
        survives(&value);
        // A configured reference is not configured again.
        let nested = [10, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(decoded::<Value>(&nested).is_none());
    }
}
