//! What analysis leaves open of an action, and sets.
//!
//! ```text
//! draft:    the action, late (option)
//! late:     argv (words), inputs, staged (ids of sets), step (option)
//! step:     module, export, params (wire text), reads (paths)
//! word:     0 text   1 set (id)   2 part (form, words)
//! form:     0 each (flag)   1 prefix   2 join (separator, prefix)   3 concat   4 response (prefix, format, always)
//! set:      order, direct (items), transitive (ids);   id: 16 bytes
//! item:     0 file (path, whether it is a directory)   1 text   2 data (wire text)
//! ```

use super::{Coded, decode_with};
use crate::files::{Decoder, Encoder};
use crate::target::{
    Draft, Form, Late, Response, ResponseFormat, SetId, SetItem, SetNode, SetOrder, Step, Word,
};

/// The deepest nesting of words that is read: beyond what any script can write.
const MAX_NESTING: usize = 128;

impl Coded for Draft {
    fn encode(&self, out: &mut Encoder) {
        let Draft { action, late } = self;
        action.encode(out);
        late.is_some().encode(out);
        if let Some(late) = late {
            late.encode(out);
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Draft {
            action: Coded::decode(body)?,
            late: Option::<Late>::decode(body)?.map(Box::new),
        })
    }
}

impl Coded for Late {
    fn encode(&self, out: &mut Encoder) {
        let Late {
            argv,
            inputs,
            staged,
            step,
        } = self;
        argv.encode(out);
        inputs.encode(out);
        staged.encode(out);
        step.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Late {
            argv: Coded::decode(body)?,
            inputs: Coded::decode(body)?,
            staged: Coded::decode(body)?,
            step: Coded::decode(body)?,
        })
    }
}

impl Coded for Step {
    fn encode(&self, out: &mut Encoder) {
        let Step {
            module,
            export,
            params,
            reads,
        } = self;
        out.text(module);
        out.text(export);
        out.text(params);
        reads.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Step {
            module: String::decode(body)?,
            export: String::decode(body)?,
            params: String::decode(body)?,
            reads: Coded::decode(body)?,
        })
    }
}

impl Coded for Word {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Word::Text(text) => {
                out.u8(0);
                out.text(text);
            }
            Word::Set(set) => {
                out.u8(1);
                set.encode(out);
            }
            Word::Part(form, words) => {
                out.u8(2);
                form.encode(out);
                words.encode(out);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        word(body, 0)
    }
}

fn word(body: &mut Decoder<'_>, depth: usize) -> Option<Word> {
    if depth > MAX_NESTING {
        return None;
    }
    Some(match body.u8()? {
        0 => Word::Text(String::decode(body)?),
        1 => Word::Set(SetId::decode(body)?),
        2 => {
            let form = Form::decode(body)?;
            Word::Part(form, decode_with(body, |body| word(body, depth + 1))?)
        }
        _ => return None,
    })
}

impl Coded for Form {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Form::Each(flag) => {
                out.u8(0);
                out.text(flag);
            }
            Form::Prefix(prefix) => {
                out.u8(1);
                out.text(prefix);
            }
            Form::Join { separator, prefix } => {
                out.u8(2);
                out.text(separator);
                out.text(prefix);
            }
            Form::Concat => out.u8(3),
            Form::Response(Response {
                prefix,
                format,
                always,
            }) => {
                out.u8(4);
                out.text(prefix);
                out.u8(match format {
                    ResponseFormat::Gnu => 0,
                    ResponseFormat::Lines => 1,
                });
                always.encode(out);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => Form::Each(String::decode(body)?),
            1 => Form::Prefix(String::decode(body)?),
            2 => Form::Join {
                separator: String::decode(body)?,
                prefix: String::decode(body)?,
            },
            3 => Form::Concat,
            4 => Form::Response(Response {
                prefix: String::decode(body)?,
                format: match body.u8()? {
                    0 => ResponseFormat::Gnu,
                    1 => ResponseFormat::Lines,
                    _ => return None,
                },
                always: bool::decode(body)?,
            }),
            _ => return None,
        })
    }
}

impl Coded for SetId {
    fn encode(&self, out: &mut Encoder) {
        out.raw(&self.0);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        body.array().map(SetId)
    }
}

impl Coded for SetItem {
    fn encode(&self, out: &mut Encoder) {
        match self {
            SetItem::File(path, directory) => {
                out.u8(0);
                path.encode(out);
                directory.encode(out);
            }
            SetItem::Text(text) => {
                out.u8(1);
                out.text(text);
            }
            SetItem::Data(text) => {
                out.u8(2);
                out.text(text);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => SetItem::File(Coded::decode(body)?, bool::decode(body)?),
            1 => SetItem::Text(String::decode(body)?),
            2 => SetItem::Data(String::decode(body)?),
            _ => return None,
        })
    }
}

impl Coded for SetNode {
    fn encode(&self, out: &mut Encoder) {
        let SetNode {
            order,
            direct,
            transitive,
        } = self;
        out.u8(match order {
            SetOrder::Default => 0,
            SetOrder::Postorder => 1,
            SetOrder::Preorder => 2,
            SetOrder::Topological => 3,
        });
        direct.encode(out);
        transitive.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(SetNode {
            order: match body.u8()? {
                0 => SetOrder::Default,
                1 => SetOrder::Postorder,
                2 => SetOrder::Preorder,
                3 => SetOrder::Topological,
                _ => return None,
            },
            direct: Coded::decode(body)?,
            transitive: Coded::decode(body)?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::action::tests::actions;
    use super::super::encoded;
    use super::super::tests::{is_total, survives};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use zako_path::NeutralPath;

    fn ids() -> impl Strategy<Value = SetId> {
        any::<[u8; 16]>().prop_map(SetId)
    }

    fn words() -> impl Strategy<Value = Word> {
        let text = "[a-z]{0,3}";
        let form = prop_oneof![
            text.prop_map(Form::Each),
            text.prop_map(Form::Prefix),
            (text, text).prop_map(|(separator, prefix)| Form::Join { separator, prefix }),
            Just(Form::Concat),
            (text, any::<bool>(), any::<bool>()).prop_map(|(prefix, lines, always)| {
                let format = match lines {
                    true => ResponseFormat::Lines,
                    false => ResponseFormat::Gnu,
                };
                Form::Response(Response {
                    prefix,
                    format,
                    always,
                })
            }),
        ];
        let leaf = prop_oneof![text.prop_map(Word::Text), ids().prop_map(Word::Set)];
        leaf.prop_recursive(3, 8, 3, move |inner| {
            (form.clone(), vec(inner, 0..3)).prop_map(|(form, words)| Word::Part(form, words))
        })
    }

    pub(crate) fn drafts() -> impl Strategy<Value = Draft> {
        let text = "[a-z]{0,3}";
        let step = (text, text, text).prop_map(|(module, export, params)| Step {
            module,
            export,
            params,
            reads: vec![NeutralPath::root()],
        });
        let step = proptest::option::of(step);
        let late = (vec(words(), 0..3), vec(ids(), 0..2), vec(ids(), 0..2), step);
        (actions(), proptest::option::of(late)).prop_map(|(action, late)| Draft {
            action,
            late: late.map(|(argv, inputs, staged, step)| {
                Box::new(Late {
                    argv,
                    inputs,
                    staged,
                    step,
                })
            }),
        })
    }

    pub(crate) fn sets() -> impl Strategy<Value = SetNode> {
        let item = prop_oneof![
            "[a-z]{1,3}".prop_map(SetItem::Text),
            "[a-z]{1,3}".prop_map(SetItem::Data),
            ("[a-z]{1,3}", any::<bool>()).prop_map(|(path, directory)| {
                SetItem::File(NeutralPath::new(path).expect("a path"), directory)
            }),
        ];
        let order = prop::sample::select(vec![
            SetOrder::Default,
            SetOrder::Postorder,
            SetOrder::Preorder,
            SetOrder::Topological,
        ]);
        (order, vec(item, 0..3), vec(ids(), 0..3)).prop_map(|(order, direct, transitive)| SetNode {
            order,
            direct,
            transitive,
        })
    }

    proptest! {
        #[test]
        fn drafts_and_sets_survive(draft in drafts(), set in sets()) {
            survives(&draft);
            survives(&set);
        }

        #[test]
        fn any_bytes_are_a_draft_or_none(bytes in vec(0_u8..5, 0..128)) {
            is_total::<Late>(&bytes);
            is_total::<SetNode>(&bytes);
        }
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let id = SetId([0xab; 16]);
        let late = Late {
            argv: vec![
                Word::Set(id),
                Word::Part(
                    Form::Response(Response {
                        prefix: "@".into(),
                        format: ResponseFormat::Lines,
                        always: true,
                    }),
                    vec![Word::Text("x".into())],
                ),
                Word::Part(
                    Form::Join {
                        separator: ",".into(),
                        prefix: "p".into(),
                    },
                    vec![],
                ),
            ],
            inputs: vec![id],
            staged: vec![],
            step: Some(Step {
                module: "m".into(),
                export: "e".into(),
                params: "1".into(),
                reads: vec![],
            }),
        };
        let hash = "ab".repeat(16);
        let golden = format!(
            "0300000001{hash}02040100000040010101000000000100000078\
             0202010000002c010000007000000000\
             01000000{hash}00000000\
             01010000006d0100000065010000003100000000"
        );
        assert_eq!(
            hex::encode(encoded(&late)),
            golden,
            "raise CODEC_VERSION with any change"
        );
        let set = SetNode {
            order: SetOrder::Topological,
            direct: vec![SetItem::Text("t".into())],
            transitive: vec![id],
        };
        assert_eq!(
            hex::encode(encoded(&set)),
            format!("030100000001010000007401000000{hash}"),
            "raise CODEC_VERSION with any change: a set's id is the digest of this"
        );
    }
}
