//! What analysis made of a target.

use std::collections::BTreeMap;

use super::Coded;
use crate::files::{Decoder, Encoder};
use crate::target::{Analyzed, Wire};

impl Coded for Analyzed {
    fn encode(&self, out: &mut Encoder) {
        let Analyzed {
            files,
            outputs,
            actions,
            sets,
            runfiles,
            wire,
        } = self;
        files.encode(out);
        outputs.encode(out);
        actions.encode(out);
        sets.encode(out);
        runfiles.encode(out);
        out.text(wire.text());
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Analyzed {
            files: Vec::decode(body)?,
            outputs: BTreeMap::decode(body)?,
            actions: Vec::decode(body)?,
            sets: Vec::decode(body)?,
            runfiles: Option::decode(body)?,
            wire: Wire::new(body.text()?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::draft::tests::{drafts, sets};
    use super::super::encoded;
    use super::super::tests::{is_total, survives};
    use super::*;
    use std::sync::Arc;

    use proptest::prelude::*;
    use zako_path::NeutralPath;

    proptest! {
        #[test]
        fn analyses_survive(
            actions in prop::collection::vec(drafts(), 0..3),
            made in prop::collection::vec(sets(), 0..2),
            wire in any::<String>(),
        ) {
            survives(&Analyzed {
                files: actions.iter().flat_map(|draft| draft.action.spec.inputs.clone()).collect(),
                outputs: BTreeMap::from([("o".to_owned(), NeutralPath::root())]),
                actions,
                runfiles: made.first().map(crate::target::SetNode::id),
                sets: made.into_iter().map(Arc::new).collect(),
                wire: Wire::new(wire.into()),
            });
        }

        #[test]
        fn any_bytes_are_an_analysis_or_none(bytes in prop::collection::vec(0_u8..4, 0..128)) {
            is_total::<Analyzed>(&bytes);
        }
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let path = NeutralPath::new("o").expect("a path");
        let analyzed = Analyzed {
            files: vec![path.clone()],
            outputs: BTreeMap::from([("n".to_owned(), path)]),
            actions: vec![],
            sets: vec![],
            runfiles: None,
            wire: Wire::new("{}".into()),
        };
        let golden = concat!(
            "01000000010000006f",
            "01000000010000006e010000006f",
            "00000000",
            "00000000",
            "00",
            "020000007b7d"
        );
        assert_eq!(
            hex::encode(encoded(&analyzed)),
            golden,
            "raise CODEC_VERSION with any change"
        );
    }
}
