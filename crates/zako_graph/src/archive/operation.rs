//! One change of an archive, and its bytes in the journal.
//!
//! ```text
//! 1 intern  kind u8, key                          the node gets the next id
//! 2 put     id u32, fingerprint 16 bytes, changed at u32, verified at u32, witness, value, row
//! 3 verify  id u32, revision u32
//! 4 remove  id u32
//! ```
//!
//! Each begins with its number as a byte. Byte strings have their length (`u32`) before them; a row is as
//! in `groups.rs`.

use super::id::{Id, Kind};
use super::record::Fingerprint;

const INTERN: u8 = 1;
const PUT: u8 = 2;
const VERIFY: u8 = 3;
const REMOVE: u8 = 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation<'a> {
    Intern { kind: Kind, key: &'a [u8] },
    Put { id: Id, put: Put<'a> },
    Verify { id: Id, revision: u32 },
    Remove { id: Id },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Put<'a> {
    pub(super) fingerprint: Fingerprint,
    pub(super) changed_at: u32,
    pub(super) verified_at: u32,
    pub(super) witness: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) row: &'a [u8],
}

impl<'a> Operation<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Intern { kind, key } => {
                out.extend_from_slice(&[INTERN, kind.byte()]);
                encode_bytes(key, out);
            }
            Self::Put { id, put } => {
                out.push(PUT);
                out.extend_from_slice(&id.0.to_le_bytes());
                out.extend_from_slice(&put.fingerprint);
                out.extend_from_slice(&put.changed_at.to_le_bytes());
                out.extend_from_slice(&put.verified_at.to_le_bytes());
                for bytes in [put.witness, put.value, put.row] {
                    encode_bytes(bytes, out);
                }
            }
            Self::Verify { id, revision } => {
                out.push(VERIFY);
                out.extend_from_slice(&id.0.to_le_bytes());
                out.extend_from_slice(&revision.to_le_bytes());
            }
            Self::Remove { id } => {
                out.push(REMOVE);
                out.extend_from_slice(&id.0.to_le_bytes());
            }
        }
    }

    /// Takes the next operation off `bytes`; `None` if there is none that makes sense.
    pub(super) fn decode(bytes: &mut &'a [u8]) -> Option<Self> {
        let [number] = array(bytes)?;
        Some(match number {
            INTERN => {
                let [kind] = array(bytes)?;
                Self::Intern {
                    kind: Kind::from_byte(kind),
                    key: decode_bytes(bytes)?,
                }
            }
            PUT => Self::Put {
                id: Id(number_of(bytes)?),
                put: Put {
                    fingerprint: array(bytes)?,
                    changed_at: number_of(bytes)?,
                    verified_at: number_of(bytes)?,
                    witness: decode_bytes(bytes)?,
                    value: decode_bytes(bytes)?,
                    row: decode_bytes(bytes)?,
                },
            },
            VERIFY => Self::Verify {
                id: Id(number_of(bytes)?),
                revision: number_of(bytes)?,
            },
            REMOVE => Self::Remove {
                id: Id(number_of(bytes)?),
            },
            _ => return None,
        })
    }
}

/// # Panics
/// From 4 GiB on: a key or a value of that size is a mistake above.
fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).expect("keys and values are far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn decode_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number_of(bytes)? as usize;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn number_of(bytes: &mut &[u8]) -> Option<u32> {
    array(bytes).map(u32::from_le_bytes)
}
