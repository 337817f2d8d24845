//! Packages: what evaluation and naming made of them, and what was read to get there.
//!
//! ```text
//! package:  path, exports, targets by name, aliases, logs
//! config:   options, platforms by name, toolchain files (list of text), logs
//! target:   name, rule's module, rule's export, attributes, place, outputs, tags, toolchains; its package is the one it is in
//! paths:    for each of a sorted list: how many bytes it shares with the one before (u32), the rest (text)
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use zako_path::NeutralPath;
use zako_script::{Place, Value};

use super::{Coded, PathList, decode_with, length};
use crate::evaluate::{ConfigFileValue, PackageValue};
use crate::files::{Decoder, Encoder};
use crate::label::Label;
use crate::target::{RuleId, Target};
use crate::workspace::{Entry, EntryKind, ReadFault};

impl Coded for PackageValue {
    fn encode(&self, out: &mut Encoder) {
        let PackageValue {
            path,
            exports,
            targets,
            aliases,
            logs,
        } = self;
        path.encode(out);
        exports.encode(out);
        length(targets.len(), out);
        for (name, target) in targets {
            out.text(name);
            encode_target(target, out);
        }
        aliases.encode(out);
        logs.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let path = NeutralPath::decode(body)?;
        let exports = Vec::decode(body)?;
        let named = decode_with(body, |body| {
            let name = String::decode(body)?;
            let target = decode_target(&path, &name, body)?;
            Some((name, Arc::new(target)))
        })?;
        if !named.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return None;
        }
        Some(PackageValue {
            exports,
            targets: named.into_iter().collect(),
            aliases: BTreeMap::decode(body)?,
            logs: Vec::decode(body)?,
            path,
        })
    }
}

impl Coded for ConfigFileValue {
    fn encode(&self, out: &mut Encoder) {
        let ConfigFileValue {
            options,
            platforms,
            toolchains,
            logs,
        } = self;
        options.encode(out);
        platforms.encode(out);
        toolchains.encode(out);
        logs.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(ConfigFileValue {
            options: Vec::decode(body)?,
            platforms: Vec::decode(body)?,
            toolchains: Vec::decode(body)?,
            logs: Vec::decode(body)?,
        })
    }
}

fn encode_target(target: &Target, out: &mut Encoder) {
    let Target {
        label: _,
        rule: RuleId { module, export },
        attrs,
        place,
        outputs,
        tags,
        toolchains,
    } = target;
    out.text(module);
    out.text(export);
    attrs.encode(out);
    place.encode(out);
    outputs.encode(out);
    tags.encode(out);
    toolchains.encode(out);
}

fn decode_target(package: &NeutralPath, name: &str, body: &mut Decoder<'_>) -> Option<Target> {
    Some(Target {
        label: Label::new(package.clone(), name),
        rule: RuleId {
            module: String::decode(body)?,
            export: String::decode(body)?,
        },
        attrs: Value::decode(body)?,
        place: Option::<Place>::decode(body)?,
        outputs: Vec::decode(body)?,
        tags: Vec::decode(body)?,
        toolchains: Vec::decode(body)?,
    })
}

impl Coded for Entry {
    fn encode(&self, out: &mut Encoder) {
        let Entry { name, kind } = self;
        out.text(name);
        out.u8(match kind {
            EntryKind::File => 0,
            EntryKind::Folder => 1,
            EntryKind::Other => 2,
        });
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Entry {
            name: String::decode(body)?,
            kind: match body.u8()? {
                0 => EntryKind::File,
                1 => EntryKind::Folder,
                2 => EntryKind::Other,
                _ => return None,
            },
        })
    }
}

impl Coded for ReadFault {
    fn encode(&self, out: &mut Encoder) {
        match self {
            ReadFault::Missing => out.u8(0),
            ReadFault::NotText => out.u8(1),
            ReadFault::Outside(place) => {
                out.u8(2);
                out.text(&place.to_string_lossy());
            }
            ReadFault::Failed(message) => {
                out.u8(3);
                out.text(message);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => ReadFault::Missing,
            1 => ReadFault::NotText,
            2 => ReadFault::Outside(PathBuf::from(body.text()?)),
            3 => ReadFault::Failed(String::decode(body)?),
            _ => return None,
        })
    }
}

impl Coded for PathList {
    fn encode(&self, out: &mut Encoder) {
        length(self.0.len(), out);
        let mut before = "";
        for path in &self.0 {
            let path = path.as_str();
            let shared = before
                .char_indices()
                .zip(path.chars())
                .find(|((_, a), b)| a != b)
                .map_or(before.len().min(path.len()), |((at, _), _)| at);
            length(shared, out);
            out.text(&path[shared..]);
            before = path;
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let mut before = String::new();
        let paths = decode_with(body, |body| {
            let shared = usize::try_from(body.u32()?).ok()?;
            let rest = body.text()?;
            // As much as can be shared is shared, so one list has one encoding.
            let ahead = before.get(shared..)?.chars().next();
            if ahead.is_some() && ahead == rest.chars().next() {
                return None;
            }
            before.truncate(shared);
            before.push_str(rest);
            NeutralPath::new(&before).ok()
        });
        paths.map(PathList)
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::tests::{diagnostics, places};
    use super::super::encoded;
    use super::super::tests::{is_total, survives};
    use super::super::value::tests::values;
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use zako_script::TargetRef;

    fn packages() -> impl Strategy<Value = PackageValue> {
        let word = "[a-z.]{0,4}";
        let target = (
            word,
            values(),
            prop::option::of(places()),
            vec(word, 0..3),
            vec(word, 0..3),
            vec((word, word), 0..3),
        );
        (
            "[a-z]{1,3}(/[a-z]{1,3})?",
            vec((word, values()), 0..3),
            btree_map(word, target, 0..3),
            btree_map(word, word.prop_map(TargetRef::Label), 0..3),
            vec(diagnostics(), 0..2),
        )
            .prop_map(|(path, exports, targets, aliases, logs)| {
                let path = NeutralPath::new(path).expect("a path");
                let target = |(name, (rule, attrs, place, outputs, tags, toolchains))| {
                    let target = Target {
                        label: Label::new(path.clone(), &name as &str),
                        rule: RuleId {
                            module: rule,
                            export: "e".into(),
                        },
                        attrs,
                        place,
                        outputs,
                        tags,
                        toolchains,
                    };
                    (name, Arc::new(target))
                };
                PackageValue {
                    targets: targets.into_iter().map(target).collect(),
                    path,
                    exports,
                    aliases,
                    logs,
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn packages_survive(package in packages()) {
            survives(&package);
        }

        #[test]
        fn any_bytes_are_a_package_or_none(bytes in vec(0_u8..8, 0..128)) {
            is_total::<PackageValue>(&bytes);
        }

        #[test]
        fn paths_survive(mut paths in vec("[aäb]{1,2}(/[aäb]{1,2}){0,2}", 0..9)) {
            paths.sort();
            let paths = paths.iter().map(|path| NeutralPath::new(path).expect("a path")).collect();
            survives(&PathList(paths));
        }

        #[test]
        fn any_bytes_are_paths_or_none(bytes in vec(prop_oneof![0_u8..3, Just(b'a'), Just(0xc3), Just(0xa4)], 0..64)) {
            is_total::<PathList>(&bytes);
        }
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let path = NeutralPath::new("p").expect("a path");
        let target = Target {
            label: Label::new(path.clone(), "t"),
            rule: RuleId {
                module: "//r".into(),
                export: "x".into(),
            },
            attrs: Value::Null,
            place: None,
            outputs: vec!["o".into()],
            tags: vec![],
            toolchains: vec![("c".into(), "cc".into())],
        };
        let package = PackageValue {
            path,
            exports: vec![("e".into(), Value::Bool(true))],
            targets: BTreeMap::from([("t".to_owned(), Arc::new(target))]),
            aliases: BTreeMap::from([("a".to_owned(), TargetRef::Label("//b".to_owned()))]),
            logs: vec![],
        };
        let golden = concat!(
            "0100000070",
            "01000000010000006503",
            "010000000100000074030000002f2f720100000078",
            "0100",
            "01000000010000006f",
            "00000000",
            "010000000100000063020000006363",
            "01000000010000006101030000002f2f62",
            "00000000",
        );
        assert_eq!(
            hex::encode(encoded(&package)),
            golden,
            "raise CODEC_VERSION with any change"
        );
        let entry = Entry {
            name: "n".into(),
            kind: EntryKind::Folder,
        };
        assert_eq!(hex::encode(encoded(&entry)), "010000006e01");
        survives(&ReadFault::Outside("/x".into()));
        survives(&ReadFault::Failed("no".into()));
        let paths = ["a/b", "a/c"].map(|path| NeutralPath::new(path).expect("a path"));
        assert_eq!(
            hex::encode(encoded(&PathList(paths.to_vec()))),
            "020000000000000003000000612f62020000000100000063"
        );
    }
}
