//! How the graph file begins, and where its sections lie.
//!
//! ```text
//! magic            8 bytes
//! format version   u32
//! header's length  u32
//! id               16 bytes: XXH3-128 of the header with zeros in this place
//! file's length    u64
//! revision         u32
//! leaves           u32
//! inner nodes      u32
//! witness width    u32: bytes of each witness, or u32::MAX where they differ
//! runs             u32: how many kinds there are
//! producer         u32: length
//! for each run:     kind u8, nodes u32          leaves first, then ascending
//! for each section: length u64, XXH3-64 u64     in the order of `Section`, without gaps
//! producer         UTF-8
//! sections
//! ```
//!
//! Numbers are little-endian. Since the header has the checksum of each section, its id is the
//! identity of the whole file, and the same graph gives the same file.

use std::ops::Range;

use twox_hash::{XxHash3_64, XxHash3_128};

use super::id::{Kind, MAX_NODES};

pub(super) const MAGIC: [u8; 8] = *b"zakograf";
/// Changes with every change of what the bytes mean.
pub(super) const FORMAT: u32 = 1;
/// The width that says that witnesses are of different lengths.
pub(super) const VARYING: u32 = u32::MAX;
const FIXED: usize = 64;
const ID: Range<usize> = 16..32;
const RUN: usize = 5;
const ENTRY: usize = 16;
/// Longer ones are not written, and not believed.
pub(super) const MAX_PRODUCER: usize = 4096;

/// The parts of the file. Offsets are `u32`, one more than there are nodes, the first 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    LeafKeyOffsets,
    LeafKeys,
    /// Empty where all witnesses have one width.
    WitnessOffsets,
    Witnesses,
    /// 16 bytes for each leaf.
    LeafFingerprints,
    /// `u32` for each leaf.
    LeafChanged,
    /// `u32` for each leaf.
    LeafVerified,
    LeafValueOffsets,
    LeafValues,
    InnerKeyOffsets,
    InnerKeys,
    /// In numbers of edges, not bytes.
    RowOffsets,
    /// As in `groups.rs`.
    Edges,
    InnerFingerprints,
    InnerChanged,
    InnerVerified,
    InnerValueOffsets,
    InnerValues,
}

impl Section {
    pub(super) const COUNT: usize = 18;
    pub(super) const ALL: [Self; Self::COUNT] = [
        Self::LeafKeyOffsets,
        Self::LeafKeys,
        Self::WitnessOffsets,
        Self::Witnesses,
        Self::LeafFingerprints,
        Self::LeafChanged,
        Self::LeafVerified,
        Self::LeafValueOffsets,
        Self::LeafValues,
        Self::InnerKeyOffsets,
        Self::InnerKeys,
        Self::RowOffsets,
        Self::Edges,
        Self::InnerFingerprints,
        Self::InnerChanged,
        Self::InnerVerified,
        Self::InnerValueOffsets,
        Self::InnerValues,
    ];
    /// What a build in which nothing changed reads: all but the values of inner nodes.
    pub(super) const OF_LEAVES: usize = 17;

    pub(super) fn number(self) -> usize {
        self as usize
    }
}

/// Nodes of one kind, which follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) kind: Kind,
    pub(super) nodes: u32,
}

/// Why a file is not this program's to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Damaged,
    Newer,
    OtherProducer,
}

/// The header, read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Layout {
    pub(super) id: [u8; 16],
    pub(super) revision: u32,
    pub(super) leaves: usize,
    pub(super) inner: usize,
    pub(super) witness_width: u32,
    /// Leaves first, each part in ascending order.
    pub(super) runs: Vec<Run>,
    pub(super) sections: [Range<usize>; Section::COUNT],
    pub(super) checksums: [u64; Section::COUNT],
}

/// The checksum of what is kept: against torn writes and failing disks, not against people.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// As [`checksum`], different in each place.
pub(super) fn checksum_at(place: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(place, bytes)
}

pub(super) fn header_length(runs: usize, producer: &str) -> usize {
    FIXED + runs * RUN + Section::COUNT * ENTRY + producer.len()
}

/// Reads numbers one after the other; an end that comes too soon is `None`.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn size(&mut self) -> Option<usize> {
        self.u32().map(|number| number as usize)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

impl Layout {
    /// Reads the header of `file`, and checks it and the size of every section.
    pub(super) fn read(file: &[u8], producer: &str) -> Result<Self, Refused> {
        let mut reader = Reader(file);
        let known = reader.array() == Some(MAGIC);
        let format = reader.u32();
        match (known, format) {
            (true, Some(FORMAT)) => {}
            (true, Some(newer)) if newer > FORMAT => return Err(Refused::Newer),
            _ => return Err(Refused::Damaged),
        }
        let (layout, theirs) = Self::parse(file, reader).ok_or(Refused::Damaged)?;
        if theirs != producer.as_bytes() {
            return Err(Refused::OtherProducer);
        }
        Ok(layout)
    }

    fn parse<'a>(file: &'a [u8], mut reader: Reader<'a>) -> Option<(Self, &'a [u8])> {
        let length = reader.size()?;
        let id = reader.array()?;
        let mut header = file.get(..length)?.to_vec();
        header.get_mut(ID)?.fill(0);
        if XxHash3_128::oneshot(&header).to_le_bytes() != id {
            return None;
        }
        let file_length = reader.u64()?;
        let revision = reader.u32()?;
        let [leaves, inner] = [reader.size()?, reader.size()?];
        let witness_width = reader.u32()?;
        let [run_count, producer] = [reader.size()?, reader.size()?];
        if file_length != file.len() as u64
            || leaves.checked_add(inner)? > MAX_NODES
            || run_count > 256
            || producer > MAX_PRODUCER
        {
            return None;
        }
        let mut runs = Vec::with_capacity(run_count);
        for _ in 0..run_count {
            let [kind] = reader.array()?;
            let (kind, nodes) = (Kind::from_byte(kind), reader.u32()?);
            runs.push(Run { kind, nodes });
        }
        let mut sections = [const { 0..0 }; Section::COUNT];
        let mut checksums = [0; Section::COUNT];
        let mut at = length;
        for (section, checksum) in sections.iter_mut().zip(&mut checksums) {
            let end = at.checked_add(usize::try_from(reader.u64()?).ok()?)?;
            *section = at..end;
            *checksum = reader.u64()?;
            at = end;
        }
        let producer = reader.bytes(producer)?;
        let layout = Self {
            id,
            revision,
            leaves,
            inner,
            witness_width,
            runs,
            sections,
            checksums,
        };
        let whole = at == file.len() && file.len() - reader.0.len() == length;
        (whole && layout.adds_up()).then_some((layout, producer))
    }

    /// Whether the runs are those of the nodes, and each section has the size that they call for.
    fn adds_up(&self) -> bool {
        let count = |leaf: bool| {
            let of = self.runs.iter().filter(|run| run.kind.is_leaf() == leaf);
            of.map(|run| u64::from(run.nodes)).sum::<u64>()
        };
        let ordered = self
            .runs
            .is_sorted_by(|a, b| place_of_kind(a.kind) < place_of_kind(b.kind));
        ordered
            && self.runs.iter().all(|run| run.nodes > 0)
            && count(true) == self.leaves as u64
            && count(false) == self.inner as u64
            && Section::ALL.iter().all(|&section| {
                let length = self.sections[section.number()].len();
                self.size_of(section).is_none_or(|size| size == length)
            })
    }

    /// The size of a section as far as the number of nodes says it.
    fn size_of(&self, section: Section) -> Option<usize> {
        let fixed = self.witness_width != VARYING;
        match section {
            Section::LeafKeyOffsets | Section::LeafValueOffsets => Some((self.leaves + 1) * 4),
            Section::WitnessOffsets if fixed => Some(0),
            Section::WitnessOffsets => Some((self.leaves + 1) * 4),
            Section::Witnesses if fixed => {
                Some(self.leaves.saturating_mul(self.witness_width as usize))
            }
            Section::LeafFingerprints => Some(self.leaves * 16),
            Section::LeafChanged | Section::LeafVerified => Some(self.leaves * 4),
            Section::InnerKeyOffsets | Section::RowOffsets | Section::InnerValueOffsets => {
                Some((self.inner + 1) * 4)
            }
            Section::InnerFingerprints => Some(self.inner * 16),
            Section::InnerChanged | Section::InnerVerified => Some(self.inner * 4),
            Section::LeafKeys
            | Section::Witnesses
            | Section::LeafValues
            | Section::InnerKeys
            | Section::Edges
            | Section::InnerValues => None,
        }
    }

    /// Writes the header over the first bytes of `file`, whose sections are in place, and learns its id.
    pub(super) fn write(&mut self, producer: &str, file: &mut [u8]) {
        let length = header_length(self.runs.len(), producer);
        let mut header = Vec::with_capacity(length);
        let number =
            |size: usize| u32::try_from(size).expect("checked when the sections were made");
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&FORMAT.to_le_bytes());
        header.extend_from_slice(&number(length).to_le_bytes());
        header.extend_from_slice(&[0; 16]);
        header.extend_from_slice(&(file.len() as u64).to_le_bytes());
        header.extend_from_slice(&self.revision.to_le_bytes());
        for size in [self.leaves, self.inner] {
            header.extend_from_slice(&number(size).to_le_bytes());
        }
        header.extend_from_slice(&self.witness_width.to_le_bytes());
        for size in [self.runs.len(), producer.len()] {
            header.extend_from_slice(&number(size).to_le_bytes());
        }
        for run in &self.runs {
            header.push(run.kind.byte());
            header.extend_from_slice(&run.nodes.to_le_bytes());
        }
        for (section, checksum) in self.sections.iter().zip(self.checksums) {
            header.extend_from_slice(&(section.len() as u64).to_le_bytes());
            header.extend_from_slice(&checksum.to_le_bytes());
        }
        header.extend_from_slice(producer.as_bytes());
        self.id = XxHash3_128::oneshot(&header).to_le_bytes();
        header[ID].copy_from_slice(&self.id);
        file[..length].copy_from_slice(&header);
    }
}

/// Where a kind comes among others: leaves first.
pub(super) fn place_of_kind(kind: Kind) -> (bool, u8) {
    (!kind.is_leaf(), kind.number())
}
