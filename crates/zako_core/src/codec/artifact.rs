//! What stands at a path: digests, values of artifacts, and what actions wrote.

use zako_action::{ArtifactValue, OutputFile};
use zako_cas::{Digest, DigestFunction};
use zako_path::NeutralPath;

use super::Coded;
use crate::files::{Decoder, Encoder};

impl Coded for Digest {
    fn encode(&self, out: &mut Encoder) {
        let Digest {
            function,
            hash,
            size,
        } = self;
        out.u8(match function {
            DigestFunction::Blake3 => 0,
            DigestFunction::Sha256 => 1,
        });
        out.raw(hash);
        out.u64(*size);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let function = match body.u8()? {
            0 => DigestFunction::Blake3,
            1 => DigestFunction::Sha256,
            _ => return None,
        };
        Some(Digest {
            function,
            hash: body.array()?,
            size: body.u64()?,
        })
    }
}

impl Coded for ArtifactValue {
    fn encode(&self, out: &mut Encoder) {
        match self {
            ArtifactValue::File { digest, executable } => {
                out.u8(if *executable { 1 } else { 0 });
                digest.encode(out);
            }
            ArtifactValue::Directory { tree } => {
                out.u8(2);
                tree.encode(out);
            }
            ArtifactValue::Symlink { target } => {
                out.u8(3);
                out.text(target);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            tag @ (0 | 1) => ArtifactValue::File {
                digest: Digest::decode(body)?,
                executable: tag == 1,
            },
            2 => ArtifactValue::Directory {
                tree: Digest::decode(body)?,
            },
            3 => ArtifactValue::Symlink {
                target: String::decode(body)?,
            },
            _ => return None,
        })
    }
}

impl Coded for OutputFile {
    fn encode(&self, out: &mut Encoder) {
        let OutputFile { path, value } = self;
        path.encode(out);
        value.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(OutputFile {
            path: NeutralPath::decode(body)?,
            value: ArtifactValue::decode(body)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoded;
    use super::super::tests::{is_total, survives};
    use super::*;
    use proptest::prelude::*;

    fn digests() -> impl Strategy<Value = Digest> {
        (any::<bool>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(sha, hash, size)| Digest {
            function: if sha {
                DigestFunction::Sha256
            } else {
                DigestFunction::Blake3
            },
            hash,
            size,
        })
    }

    fn outputs() -> impl Strategy<Value = OutputFile> {
        let value = prop_oneof![
            (digests(), any::<bool>())
                .prop_map(|(digest, executable)| ArtifactValue::File { digest, executable }),
            digests().prop_map(|tree| ArtifactValue::Directory { tree }),
            any::<String>().prop_map(|target| ArtifactValue::Symlink { target }),
        ];
        ("[a-z]{1,3}(/[a-z]{1,3}){0,2}", value).prop_map(|(path, value)| OutputFile {
            path: NeutralPath::new(path).expect("a path"),
            value,
        })
    }

    proptest! {
        #[test]
        fn outputs_survive(output in outputs()) {
            survives(&output);
        }

        #[test]
        fn any_bytes_are_a_value_or_none(bytes in prop::collection::vec(0_u8..5, 0..64)) {
            is_total::<ArtifactValue>(&bytes);
        }
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let digest = Digest {
            function: DigestFunction::Sha256,
            hash: [0xab; 32],
            size: 258,
        };
        let output = OutputFile {
            path: NeutralPath::new("a/b").expect("a path"),
            value: ArtifactValue::File {
                digest,
                executable: true,
            },
        };
        let golden = format!(
            "03000000{}0101{}0201000000000000",
            hex::encode("a/b"),
            "ab".repeat(32)
        );
        assert_eq!(
            hex::encode(encoded(&output)),
            golden,
            "raise CODEC_VERSION with any change"
        );
        let link = ArtifactValue::Symlink { target: "x".into() };
        assert_eq!(hex::encode(encoded(&link)), "030100000078");
        let folder = ArtifactValue::Directory { tree: digest };
        assert!(hex::encode(encoded(&folder)).starts_with("0201abab"));
    }
}
