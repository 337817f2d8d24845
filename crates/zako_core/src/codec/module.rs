//! Transpiled modules: what is needed to run one, and to import it, without transpiling it again. What its imports mean
//! follows from them and is found anew.

use std::sync::Arc;

use zako_script::{Export, Import, Place, Transpiled};

use super::Coded;
use crate::files::{Decoder, Encoder};

/// Without the source.
impl Coded for Transpiled {
    fn encode(&self, out: &mut Encoder) {
        let Transpiled {
            js,
            map,
            source: _,
            imports,
            exports,
            exports_star,
        } = self;
        js.encode(out);
        map.encode(out);
        imports.encode(out);
        exports.encode(out);
        exports_star.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Transpiled {
            js: Arc::decode(body)?,
            map: Arc::decode(body)?,
            source: "".into(),
            imports: Vec::decode(body)?,
            exports: Vec::decode(body)?,
            exports_star: bool::decode(body)?,
        })
    }
}

impl Coded for Import {
    fn encode(&self, out: &mut Encoder) {
        let Import {
            specifier,
            place,
            names,
        } = self;
        out.text(specifier);
        place.encode(out);
        names.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Import {
            specifier: String::decode(body)?,
            place: Place::decode(body)?,
            names: Vec::decode(body)?,
        })
    }
}

impl Coded for Export {
    fn encode(&self, out: &mut Encoder) {
        let Export { name, place } = self;
        out.text(name);
        place.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Export {
            name: String::decode(body)?,
            place: Place::decode(body)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::tests::places;
    use super::super::encoded;
    use super::super::tests::{is_total, survives};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn modules() -> impl Strategy<Value = Transpiled> {
        let text = any::<String>;
        let import = (text(), places(), vec((text(), places()), 0..3)).prop_map(
            |(specifier, place, names)| Import {
                specifier,
                place,
                names,
            },
        );
        let export = (text(), places()).prop_map(|(name, place)| Export { name, place });
        (
            text(),
            text(),
            vec(import, 0..3),
            vec(export, 0..3),
            any::<bool>(),
        )
            .prop_map(|(js, map, imports, exports, exports_star)| Transpiled {
                js: js.into(),
                map: map.into(),
                source: "".into(),
                imports,
                exports,
                exports_star,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn modules_survive(module in modules()) {
            survives(&module);
        }

        #[test]
        fn any_bytes_are_a_module_or_none(bytes in vec(0_u8..4, 0..128)) {
            is_total::<Transpiled>(&bytes);
        }
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let place = Place {
            file: "f".into(),
            line: 1,
            column: 2,
            length: 3,
        };
        let module = Transpiled {
            js: "j".into(),
            map: "m".into(),
            source: "a text that is not kept".into(),
            imports: vec![Import {
                specifier: "./i".into(),
                place: place.clone(),
                names: vec![("n".into(), place.clone())],
            }],
            exports: vec![Export {
                name: "e".into(),
                place,
            }],
            exports_star: true,
        };
        let place = "0100000066010000000200000003000000";
        let golden = [
            "010000006a",
            "010000006d",
            "01000000",
            "030000002e2f69",
            place,
            "01000000010000006e",
            place,
            "010000000100000065",
            place,
            "01",
        ];
        assert_eq!(
            hex::encode(encoded(&module)),
            golden.concat(),
            "raise CODEC_VERSION with any change"
        );
    }
}
