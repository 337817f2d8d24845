//! The bytes of a segment. All numbers are little endian.
//!
//! ```text
//! file header, 32 bytes          record header, 80 bytes, at a multiple of 8
//!  0  "zako-seg"                  0  "zrec"
//!  8  format, u32                 4  kind, u8; then 3 bytes 0
//! 12  purpose, u32                8  length of the body, u32; then 4 bytes 0
//! 16  check of the above, 16     16  stamp, u64
//!                                24  key, 32
//!                                56  check of the body, 16
//!                                72  check of the above, of the segment and of the place, 8
//!                                80  body, then 0s up to a multiple of 8
//! ```
//!
//! Checks are the first bytes of a BLAKE3 hash. That a header's check covers its segment's name and its place keeps a
//! copy of a segment within a body from being taken for records. Kinds from 128 on are tombstones of the kind less 128. A *stamp* is nanoseconds since 1970, and grows within
//! a segment; of two records of one key the one with the larger stamp counts.

/// Number of the segments' format.
pub const SEGMENT_FORMAT: u32 = 1;

/// The largest body of a record, in bytes.
pub const MAX_BODY: usize = 256 << 20;

pub(super) const FILE_HEADER: usize = 32;
pub(super) const RECORD_HEADER: usize = 80;
const ALIGN: u64 = 8;
const SEGMENT_MAGIC: &[u8; 8] = b"zako-seg";
const RECORD_MAGIC: &[u8; 4] = b"zrec";

/// Added to a kind, it makes a tombstone: a record without a body that hides those of its key up to its own stamp.
pub(super) const TOMBSTONE: u8 = 128;

/// What a record is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// What kind of record; below 128.
    pub kind: u8,
    /// A hash, so that its first bytes spread evenly.
    pub hash: [u8; 32],
}

/// A segment's name, hashed: part of its records' checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentId([u8; 16]);

impl SegmentId {
    pub(super) fn of(file_name: &str) -> Self {
        Self(check(file_name.as_bytes()))
    }
}

/// What stands before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key: RecordKey,
    pub(super) length: u32,
    pub(super) stamp: u64,
    pub(super) body_check: [u8; 16],
}

impl Header {
    /// What this record hides, when it is a tombstone.
    pub(super) fn hides(&self) -> Option<RecordKey> {
        let kind = self.key.kind.checked_sub(TOMBSTONE)?;
        Some(RecordKey { kind, ..self.key })
    }

    /// Bytes of header, body and padding.
    pub(super) fn total(&self) -> u64 {
        total(u64::from(self.length))
    }

    pub(super) fn encode(&self, id: SegmentId, at: u64) -> [u8; RECORD_HEADER] {
        let mut bytes = [0; RECORD_HEADER];
        bytes[..4].copy_from_slice(RECORD_MAGIC);
        bytes[4] = self.key.kind;
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.stamp.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.key.hash);
        bytes[56..72].copy_from_slice(&self.body_check);
        let check = header_check(id, at, &bytes[..72]);
        bytes[72..].copy_from_slice(&check);
        bytes
    }

    /// The header that stands at `at` of the segment; `None` when these are no header's bytes.
    pub(super) fn decode(id: SegmentId, at: u64, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER)?;
        if bytes[..4] != RECORD_MAGIC[..] || bytes[72..] != header_check(id, at, &bytes[..72]) {
            return None;
        }
        Some(Self {
            key: RecordKey {
                kind: bytes[4],
                hash: bytes[24..56].try_into().ok()?,
            },
            length: u32::from_le_bytes(bytes[8..12].try_into().ok()?),
            stamp: u64::from_le_bytes(bytes[16..24].try_into().ok()?),
            body_check: bytes[56..72].try_into().ok()?,
        })
    }
}

/// Bytes that a record with a body of `length` bytes takes.
pub(super) fn total(length: u64) -> u64 {
    (RECORD_HEADER as u64 + length).next_multiple_of(ALIGN)
}

/// The first 16 bytes of the BLAKE3 hash.
pub(super) fn check(bytes: &[u8]) -> [u8; 16] {
    first(blake3::hash(bytes).as_bytes())
}

pub(super) fn first<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash[..N]);
    bytes
}

fn header_check(id: SegmentId, at: u64, fields: &[u8]) -> [u8; 8] {
    // One block of the hash function's input is 64 bytes; all of this is two.
    let mut input = [0; 16 + 8 + 72];
    input[..16].copy_from_slice(&id.0);
    input[16..24].copy_from_slice(&at.to_le_bytes());
    input[24..].copy_from_slice(fields);
    first(blake3::hash(&input).as_bytes())
}

/// The first bytes of a segment.
pub(super) fn file_header(purpose: u32) -> [u8; FILE_HEADER] {
    let mut bytes = [0; FILE_HEADER];
    bytes[..8].copy_from_slice(SEGMENT_MAGIC);
    bytes[8..12].copy_from_slice(&SEGMENT_FORMAT.to_le_bytes());
    bytes[12..16].copy_from_slice(&purpose.to_le_bytes());
    let check = check(&bytes[..16]);
    bytes[16..].copy_from_slice(&check);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_a_contract() {
        let hex = hex::encode(file_header(1));
        assert_eq!(
            hex,
            "7a616b6f2d7365670100000001000000".to_owned() + FILE_CHECK
        );
        let header = Header {
            key: RecordKey {
                kind: 2,
                hash: [0xab; 32],
            },
            length: 5,
            stamp: 0x0102_0304_0506_0708,
            body_check: check(b"hello"),
        };
        let bytes = header.encode(SegmentId::of("a.seg"), 32);
        let expected = [
            "7a726563",
            "02000000",
            "0500000000000000",
            "0807060504030201",
            &"ab".repeat(32),
            "ea8f163db38682925e4491c5e58d4bb3",
            RECORD_CHECK,
        ];
        assert_eq!(hex::encode(bytes), expected.concat());
        assert_eq!(header.total(), 88);
        assert_eq!(
            Header::decode(SegmentId::of("a.seg"), 32, &bytes),
            Some(header)
        );
        // Elsewhere the same bytes are no record.
        assert_eq!(Header::decode(SegmentId::of("a.seg"), 40, &bytes), None);
        assert_eq!(Header::decode(SegmentId::of("b.seg"), 32, &bytes), None);
    }

    const FILE_CHECK: &str = "af5d41546ebcdff4fb506fd240dff695";
    const RECORD_CHECK: &str = "ad4a631588d6a6b6";
}
