//! What is known of a path, as bytes: its value, and the witness by which a later run can tell that it still has it.
//!
//! ```text
//! value    0 nothing is there | 1 file | 2 executable file | 3 folder | 4 link
//!          1 to 3: size (u64)  hash (32 bytes)     4: what it leads to (text)
//! witness  0 nothing is there | 1 file: signature | 2 link: what it leads to (text) | 3 folder: stamp (32 bytes)
//!          none at all: nothing but looking at the content will tell
//! ```
//!
//! Digests are all of the function that the ledger's producer names.

use zako_action::ArtifactValue;
use zako_cas::{Digest, DigestFunction};

use crate::files::{Decoder, Encoder, Signature};

/// Which bytes a value begins with.
const ABSENT: u8 = 0;
const FILE: u8 = 1;
const EXECUTABLE: u8 = 2;
const FOLDER: u8 = 3;
const LINK: u8 = 4;

/// The bytes of a value; `None` is that nothing is there.
pub(crate) fn encode_value(value: Option<&ArtifactValue>) -> Vec<u8> {
    let mut out = Encoder::default();
    let mut digest = |tag: u8, digest: &Digest| {
        out.u8(tag);
        out.u64(digest.size);
        out.raw(&digest.hash);
    };
    match value {
        None => out.u8(ABSENT),
        Some(ArtifactValue::File {
            digest: of,
            executable: false,
        }) => digest(FILE, of),
        Some(ArtifactValue::File {
            digest: of,
            executable: true,
        }) => digest(EXECUTABLE, of),
        Some(ArtifactValue::Directory { tree }) => digest(FOLDER, tree),
        Some(ArtifactValue::Symlink { target }) => {
            out.u8(LINK);
            out.text(target);
        }
    }
    out.finish()
}

/// The value in `bytes`: outside `None` for bytes that are none, inside `None` when nothing is there.
pub(crate) fn decode_value(
    bytes: &[u8],
    function: DigestFunction,
) -> Option<Option<ArtifactValue>> {
    let mut body = Decoder::new(bytes);
    let value = read_value(&mut body, function)?;
    body.is_empty().then_some(value)
}

/// The same, from among other things.
pub(crate) fn read_value(
    body: &mut Decoder<'_>,
    function: DigestFunction,
) -> Option<Option<ArtifactValue>> {
    let tag = body.u8()?;
    let mut digest = || {
        let size = body.u64()?;
        Some(Digest {
            function,
            hash: body.array()?,
            size,
        })
    };
    Some(match tag {
        ABSENT => None,
        FILE | EXECUTABLE => Some(ArtifactValue::File {
            digest: digest()?,
            executable: tag == EXECUTABLE,
        }),
        FOLDER => Some(ArtifactValue::Directory { tree: digest()? }),
        LINK => Some(ArtifactValue::Symlink {
            target: body.text()?.to_owned(),
        }),
        _ => return None,
    })
}

/// Whether a value's bytes say that nothing is there.
pub(crate) fn is_absent(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|tag| *tag == ABSENT)
}

/// By what a later run can tell, without reading it, that a path is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Witness {
    /// By nothing.
    Unsettled,
    Absent,
    File(Signature),
    Link(String),
    Folder([u8; 32]),
}

impl Witness {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        match self {
            Witness::Unsettled => {}
            Witness::Absent => out.u8(0),
            Witness::File(signature) => {
                out.u8(1);
                signature.encode(&mut out);
            }
            Witness::Link(target) => {
                out.u8(2);
                out.text(target);
            }
            Witness::Folder(stamp) => {
                out.u8(3);
                out.raw(stamp);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Witness> {
        let mut body = Decoder::new(bytes);
        if body.is_empty() {
            return Some(Witness::Unsettled);
        }
        let witness = match body.u8()? {
            0 => Witness::Absent,
            1 => Witness::File(Signature::decode(&mut body)?),
            2 => Witness::Link(body.text()?.to_owned()),
            3 => Witness::Folder(body.array()?),
            _ => return None,
        };
        body.is_empty().then_some(witness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_witnesses_are_a_contract() {
        let digest = Digest {
            function: DigestFunction::Blake3,
            hash: [0xab; 32],
            size: 258,
        };
        let hash = "ab".repeat(32);
        let values = [
            (None, "00".to_owned()),
            (
                Some(ArtifactValue::File {
                    digest,
                    executable: false,
                }),
                format!("010201000000000000{hash}"),
            ),
            (
                Some(ArtifactValue::File {
                    digest,
                    executable: true,
                }),
                format!("020201000000000000{hash}"),
            ),
            (
                Some(ArtifactValue::Directory { tree: digest }),
                format!("030201000000000000{hash}"),
            ),
            (
                Some(ArtifactValue::Symlink {
                    target: "a".to_owned(),
                }),
                "040100000061".to_owned(),
            ),
        ];
        for (value, golden) in values {
            let bytes = encode_value(value.as_ref());
            assert_eq!(
                hex::encode(&bytes),
                golden,
                "raise the ledger's format with any change"
            );
            assert_eq!(
                decode_value(&bytes, DigestFunction::Blake3),
                Some(value.clone())
            );
            assert_eq!(is_absent(&bytes), value.is_none());
            for cut in 0..bytes.len() {
                assert_eq!(decode_value(&bytes[..cut], DigestFunction::Blake3), None);
            }
        }
        let witnesses = [
            (Witness::Unsettled, String::new()),
            (Witness::Absent, "00".to_owned()),
            (Witness::Link("a".to_owned()), "020100000061".to_owned()),
            (Witness::Folder([0xab; 32]), format!("03{hash}")),
        ];
        for (witness, golden) in witnesses {
            let bytes = witness.encode();
            assert_eq!(hex::encode(&bytes), golden);
            assert_eq!(Witness::decode(&bytes), Some(witness));
        }
        assert_eq!(Witness::decode(&[9]), None);
    }
}
