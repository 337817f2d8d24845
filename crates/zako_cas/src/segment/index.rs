//! Where the records of a segment are: eight bytes a record in memory, and the same on disk.
//!
//! ```text
//!  0  "zako-idx"                32  for each record, sorted: first 4 bytes of its key (big endian as a number, so that
//!  8  format, u32                   both sort alike), its place divided by 8, u32
//! 12  records, u32               …  for each tombstone: key 32, hidden kind u8, 7 bytes 0, stamp u64
//! 16  bytes covered, u64         …  check of all the above, 32
//! 24  tombstones, u32; 4 bytes 0
//! ```
//!
//! **Invariant:** an index never says what a record is: its header in the segment does.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::format::{FILE_HEADER, RecordKey, SEGMENT_FORMAT};

const MAGIC: &[u8; 8] = b"zako-idx";
const HEADER: usize = 32;
const TOMB: usize = 48;
const CHECK: usize = 32;

/// The records of a segment's first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// Bytes of the segment that it knows; records behind are found by a scan.
    pub(super) covers: u64,
    /// First bytes of the key, place / 8; sorted.
    entries: Vec<(u32, u32)>,
    /// What tombstones hide, up to which stamp.
    pub(super) tombs: Vec<(RecordKey, u64)>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            covers: FILE_HEADER as u64,
            entries: Vec::new(),
            tombs: Vec::new(),
        }
    }
}

impl Index {
    /// Takes in more records, so that it covers `covers` bytes.
    pub(super) fn extend(
        &mut self,
        records: impl Iterator<Item = (RecordKey, u64)>,
        tombs: impl Iterator<Item = (RecordKey, u64)>,
        covers: u64,
    ) {
        let entry = |(key, at): (RecordKey, u64)| Some((prefix(&key), u32::try_from(at / 8).ok()?));
        self.entries.extend(records.filter_map(entry));
        self.entries.sort_unstable();
        self.tombs.extend(tombs);
        self.covers = covers;
    }

    /// Places of all records whose key may be `key`, the latest first.
    pub(super) fn candidates(&self, key: &RecordKey) -> impl Iterator<Item = u64> + '_ {
        let wanted = prefix(key);
        let start = self.entries.partition_point(|(prefix, _)| *prefix < wanted);
        let len = self.entries[start..].partition_point(|(prefix, _)| *prefix == wanted);
        self.entries[start..start + len]
            .iter()
            .rev()
            .map(|(_, at)| u64::from(*at) * 8)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(HEADER + self.entries.len() * 8 + self.tombs.len() * TOMB + CHECK);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&SEGMENT_FORMAT.to_le_bytes());
        bytes.extend_from_slice(&count(self.entries.len()).to_le_bytes());
        bytes.extend_from_slice(&self.covers.to_le_bytes());
        bytes.extend_from_slice(&count(self.tombs.len()).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for (prefix, at) in &self.entries {
            bytes.extend_from_slice(&prefix.to_le_bytes());
            bytes.extend_from_slice(&at.to_le_bytes());
        }
        for (key, stamp) in &self.tombs {
            bytes.extend_from_slice(&key.hash);
            bytes.extend_from_slice(&[key.kind, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend_from_slice(&stamp.to_le_bytes());
        }
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        bytes
    }

    /// The inverse of [`encode`](Self::encode); `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
        let header = body.get(..HEADER)?;
        let number = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?))
        };
        if header[..8] != MAGIC[..]
            || number(8)? != SEGMENT_FORMAT
            || check != blake3::hash(body).as_bytes()
        {
            return None;
        }
        let records = usize::try_from(number(12)?).ok()?;
        let tombs = usize::try_from(number(24)?).ok()?;
        let (entries, rest) = body[HEADER..].split_at_checked(records.checked_mul(8)?)?;
        if rest.len() != tombs.checked_mul(TOMB)? {
            return None;
        }
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let tomb = |bytes: &[u8]| {
            let key = RecordKey {
                kind: bytes[32],
                hash: bytes[..32].try_into().ok()?,
            };
            Some((key, u64::from_le_bytes(bytes[40..48].try_into().ok()?)))
        };
        Some(Self {
            covers: u64::from_le_bytes(header[16..24].try_into().ok()?),
            entries: entries
                .chunks_exact(8)
                .map(|e| (word(&e[..4]), word(&e[4..])))
                .collect(),
            tombs: rest.chunks_exact(TOMB).map(tomb).collect::<Option<_>>()?,
        })
    }

    /// The index in the file, `None` when there is none that can be used.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let index = Self::decode(&fs::read(path).ok()?);
        if index.is_none() {
            tracing::debug!(path = %path.display(), "an index is damaged or another version's: it is made again");
        }
        index
    }

    /// Replaces the file.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        let mut file = tempfile::Builder::new()
            .prefix(".zako-")
            .tempfile_in(folder)?;
        file.write_all(&self.encode())?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn prefix(key: &RecordKey) -> u32 {
    u32::from_be_bytes([key.hash[0], key.hash[1], key.hash[2], key.hash[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> RecordKey {
        RecordKey {
            kind: 1,
            hash: [byte; 32],
        }
    }

    #[test]
    fn the_bytes_are_a_contract() {
        let mut index = Index::default();
        index.extend(
            [(key(9), 120), (key(7), 32)].into_iter(),
            [(key(9), 5)].into_iter(),
            208,
        );
        let bytes = index.encode();
        let expected = [
            "7a616b6f2d696478",
            "0100000002000000",
            "d000000000000000",
            "0100000000000000",
            "0707070704000000",
            "090909090f000000",
            &"09".repeat(32),
            "0100000000000000",
            "0500000000000000",
        ];
        assert_eq!(
            hex::encode(&bytes[..bytes.len() - CHECK]),
            expected.concat()
        );
        assert_eq!(Index::decode(&bytes), Some(index));
    }

    #[test]
    fn a_damaged_index_is_none() {
        let mut index = Index::default();
        index.extend(
            [(key(1), 32), (key(2), 120)].into_iter(),
            [(key(3), 7)].into_iter(),
            208,
        );
        let whole = index.encode();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(Index::decode(&damaged), None, "flipped at {at}");
            assert_eq!(Index::decode(&whole[..at]), None, "torn at {at}");
        }
    }
}
