//! What is kept of an action: what it left when it last succeeded, and all that is needed to run it again without
//! asking a script.
//!
//! ```text
//! reads (16 bytes)  ran in revision (u32)  wall time in microseconds (u64)  peak memory in bytes (u64)  flags (u8)  owner (text)
//! outputs: count (u32), each as a value   printed: standard output and error, each as a value (nothing when it is empty)   causes: count (u32), each   place: file (text)  line  column  length (u32 each)
//! the declaration, to the end
//! ```
//!
//! The key is the action's stable name (16 bytes) and the identity of its declaration (16 bytes): an action that is
//! declared otherwise is another node. Dependencies are, in groups: what it reads, what only has to be there, what it writes.

use std::time::Duration;

use zako_action::ArtifactValue;
use zako_cas::{Digest, DigestFunction};
use zako_graph::archive::Fingerprint;

use super::cause::Cause;
use super::leaf;
use crate::diagnostic::Location;
use crate::files::{Decoder, Encoder};

/// It runs each time.
const UNCACHED: u8 = 1;

/// What is kept of an action.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ActionRecord {
    /// A fingerprint over the values of all that it read, in the order of the first group.
    pub(crate) reads: Fingerprint,
    /// The revision in which it last ran, or was restored.
    pub(crate) ran_at: u32,
    /// How long it took when it ran.
    pub(crate) wall: Duration,
    /// Its peak memory, in bytes; 0 when that is not known.
    pub(crate) memory: u64,
    /// It runs each time.
    pub(crate) uncached: bool,
    /// The label of its target.
    pub(crate) owner: String,
    /// What it wrote, in the order of its declaration and of the third group.
    pub(crate) outputs: Vec<ArtifactValue>,
    /// What it printed to standard output and to standard error.
    pub(crate) printed: [Option<Digest>; 2],
    /// Why it ran.
    pub(crate) causes: Vec<Cause>,
    /// Where its target is declared.
    pub(crate) declared_at: Option<Location>,
    /// How it is declared, as `codec::action` writes it.
    pub(crate) declaration: Vec<u8>,
}

impl ActionRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = |list: usize| u32::try_from(list).unwrap_or(u32::MAX);
        let mut out = Encoder::default();
        out.raw(&self.reads);
        out.u32(self.ran_at);
        out.u64(u64::try_from(self.wall.as_micros()).unwrap_or(u64::MAX));
        out.u64(self.memory);
        out.u8(if self.uncached { UNCACHED } else { 0 });
        out.text(&self.owner);
        out.u32(count(self.outputs.len()));
        for output in &self.outputs {
            out.raw(&leaf::encode_value(Some(output)));
        }
        for printed in self.printed {
            let file = printed.map(|digest| ArtifactValue::File {
                digest,
                executable: false,
            });
            out.raw(&leaf::encode_value(file.as_ref()));
        }
        out.u32(count(self.causes.len()));
        for cause in &self.causes {
            cause.encode(&mut out);
        }
        let place = self.declared_at.as_ref();
        out.text(place.map_or("", |place| &place.file));
        for number in place.map_or([0; 3], |place| [place.line, place.column, place.length]) {
            out.u32(number);
        }
        out.raw(&self.declaration);
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8], function: DigestFunction) -> Option<ActionRecord> {
        let mut body = Decoder::new(bytes);
        let head = Head::read(&mut body)?;
        let owner = body.text()?.to_owned();
        let mut outputs = Vec::new();
        for _ in 0..body.u32()? {
            outputs.push(leaf::read_value(&mut body, function)??);
        }
        let mut printed = || {
            let value = leaf::read_value(&mut body, function)?;
            Some(value.and_then(|value| value.digest()))
        };
        let printed = [printed()?, printed()?];
        let mut causes = Vec::new();
        for _ in 0..body.u32()? {
            causes.push(Cause::decode(&mut body)?);
        }
        let file = body.text()?.to_owned();
        let (line, column, length) = (body.u32()?, body.u32()?, body.u32()?);
        let declared_at = (!file.is_empty()).then_some(Location {
            file,
            line,
            column,
            length,
            source: None,
        });
        Some(ActionRecord {
            reads: head.reads,
            ran_at: head.ran_at,
            wall: head.wall,
            memory: head.memory,
            uncached: head.uncached,
            owner,
            outputs,
            printed,
            causes,
            declared_at,
            declaration: body.rest().to_vec(),
        })
    }
}

/// The beginning of a record: what is looked at for every action.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) reads: Fingerprint,
    pub(crate) ran_at: u32,
    pub(crate) wall: Duration,
    pub(crate) memory: u64,
    pub(crate) uncached: bool,
}

impl Head {
    pub(crate) fn decode(bytes: &[u8]) -> Option<Head> {
        Head::read(&mut Decoder::new(bytes))
    }

    /// The label of the target of the action that `bytes` are kept of.
    pub(crate) fn owner(bytes: &[u8]) -> Option<&str> {
        let mut body = Decoder::new(bytes);
        Head::read(&mut body)?;
        body.text()
    }

    fn read(body: &mut Decoder<'_>) -> Option<Head> {
        Some(Head {
            reads: body.array()?,
            ran_at: body.u32()?,
            wall: Duration::from_micros(body.u64()?),
            memory: body.u64()?,
            uncached: body.u8()? & UNCACHED != 0,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn records_are_a_contract() {
        let record = ActionRecord {
            reads: [0xab; 16],
            ran_at: 2,
            wall: Duration::from_micros(258),
            memory: 7,
            uncached: true,
            owner: "//a".to_owned(),
            outputs: vec![ArtifactValue::Symlink {
                target: "t".to_owned(),
            }],
            printed: [None, None],
            causes: vec![Cause::First],
            declared_at: Some(Location {
                file: "b".to_owned(),
                line: 1,
                column: 2,
                length: 3,
                source: None,
            }),
            declaration: vec![0xcd],
        };
        let bytes = record.encode();
        let golden = [
            &"ab".repeat(16),
            "02000000",
            "0201000000000000",
            "0700000000000000",
            "01",
            "030000002f2f61",
            "01000000040100000074",
            "0000",
            "0100000000",
            "0100000062",
            "010000000200000003000000",
            "cd",
        ];
        assert_eq!(
            hex::encode(&bytes),
            golden.concat(),
            "raise the ledger's format with any change"
        );
        let function = DigestFunction::Blake3;
        assert_eq!(ActionRecord::decode(&bytes, function), Some(record.clone()));
        let head = Head::decode(&bytes).unwrap();
        assert_eq!((head.reads, head.uncached), (record.reads, true));
        for cut in 0..bytes.len() - 1 {
            assert_eq!(ActionRecord::decode(&bytes[..cut], function), None, "{cut}");
        }
    }
}
