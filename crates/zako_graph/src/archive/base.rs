//! The nodes of the graph file, read where they lie.
//!
//! **Invariant:** no accessor panics, whatever the file says; what is out of range reads as empty. That
//! it reads as written is what [`Base::verify`] is for.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::groups::{self, Groups};
use super::id::{Id, Kind};
use super::layout::{Layout, Refused, Section, VARYING, checksum, place_of_kind};
use super::map::Map;
use super::record::Fingerprint;

/// A graph file, or none.
#[derive(Debug, Default)]
pub(crate) struct Base {
    map: Map,
    pub(super) layout: Layout,
    /// So many sections, from the first on, have been verified.
    verified: AtomicUsize,
}

impl Base {
    pub(super) fn new(map: Map, producer: &str) -> Result<Self, Refused> {
        let layout = Layout::read(&map, producer)?;
        Ok(Self {
            map,
            layout,
            verified: AtomicUsize::new(0),
        })
    }

    /// The size of the file in bytes; 0 where there is none.
    pub(super) fn size(&self) -> usize {
        self.map.len()
    }

    pub(super) fn len(&self) -> usize {
        self.layout.leaves + self.layout.inner
    }

    fn section(&self, section: Section) -> &[u8] {
        let range = self.layout.sections[section.number()].clone();
        self.map.get(range).unwrap_or_default()
    }

    fn number(&self, section: Section, at: usize) -> u32 {
        let (numbers, _) = self.section(section).as_chunks::<4>();
        numbers
            .get(at)
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The range between two neighbours in a section of offsets.
    fn span(&self, offsets: Section, at: usize) -> Range<usize> {
        self.number(offsets, at) as usize..self.number(offsets, at + 1) as usize
    }

    /// Whether the node is a leaf, and its place among those of its part.
    fn place(&self, id: Id) -> (bool, usize) {
        match id.index().checked_sub(self.layout.leaves) {
            None => (true, id.index()),
            Some(index) => (false, index),
        }
    }

    pub(super) fn kind(&self, id: Id) -> Kind {
        let mut end = 0;
        for run in &self.layout.runs {
            end += run.nodes as usize;
            if id.index() < end {
                return run.kind;
            }
        }
        Kind::inner(0)
    }

    pub(super) fn key(&self, id: Id) -> &[u8] {
        let (offsets, keys, at) = match self.place(id) {
            (true, at) => (Section::LeafKeyOffsets, Section::LeafKeys, at),
            (false, at) => (Section::InnerKeyOffsets, Section::InnerKeys, at),
        };
        let span = self.span(offsets, at);
        self.section(keys).get(span).unwrap_or_default()
    }

    pub(super) fn witness(&self, id: Id) -> &[u8] {
        if id.index() >= self.layout.leaves {
            return &[];
        }
        let span = match self.layout.witness_width {
            VARYING => self.span(Section::WitnessOffsets, id.index()),
            width => id.index() * width as usize..(id.index() + 1) * width as usize,
        };
        self.section(Section::Witnesses)
            .get(span)
            .unwrap_or_default()
    }

    pub(super) fn value(&self, id: Id) -> &[u8] {
        let (offsets, values, at) = match self.place(id) {
            (true, at) => (Section::LeafValueOffsets, Section::LeafValues, at),
            (false, at) => (Section::InnerValueOffsets, Section::InnerValues, at),
        };
        let span = self.span(offsets, at);
        self.section(values).get(span).unwrap_or_default()
    }

    pub(super) fn fingerprint(&self, id: Id) -> Fingerprint {
        let (section, at) = match self.place(id) {
            (true, at) => (Section::LeafFingerprints, at),
            (false, at) => (Section::InnerFingerprints, at),
        };
        let (fingerprints, _) = self.section(section).as_chunks();
        fingerprints.get(at).copied().unwrap_or_default()
    }

    pub(super) fn changed_at(&self, id: Id) -> u32 {
        match self.place(id) {
            (true, at) => self.number(Section::LeafChanged, at),
            (false, at) => self.number(Section::InnerChanged, at),
        }
    }

    pub(super) fn verified_at(&self, id: Id) -> u32 {
        match self.place(id) {
            (true, at) => self.number(Section::LeafVerified, at),
            (false, at) => self.number(Section::InnerVerified, at),
        }
    }

    /// The dependencies as they lie in the file.
    pub(super) fn row(&self, id: Id) -> &[u8] {
        let (false, at) = self.place(id) else {
            return &[];
        };
        let span = self.span(Section::RowOffsets, at);
        let (Some(start), Some(end)) = (span.start.checked_mul(4), span.end.checked_mul(4)) else {
            return &[];
        };
        self.section(Section::Edges)
            .get(start..end)
            .unwrap_or_default()
    }

    /// The ids of all nodes of a kind.
    pub(super) fn ids_of(&self, kind: Kind) -> Range<usize> {
        let mut start = 0;
        for run in &self.layout.runs {
            let end = start + run.nodes as usize;
            if run.kind == kind {
                return start..end;
            }
            start = end;
        }
        0..0
    }

    /// Keys of one kind are in ascending order, so there is no index: for the few keys that a build asks
    /// for by name, seventeen looks cost less than verifying a table for all.
    pub(super) fn find(&self, kind: Kind, key: &[u8]) -> Option<Id> {
        let Range { mut start, mut end } = self.ids_of(kind);
        while start < end {
            let middle = start + (end - start) / 2;
            match self.key(Id::from_index(middle)).cmp(key) {
                Less => start = middle + 1,
                Greater => end = middle,
                Equal => return Some(Id::from_index(middle)),
            }
        }
        None
    }

    /// Compares the first `sections` sections with their checksums, and looks whether they make sense. What
    /// was verified once is not verified again.
    pub(super) fn verify(&self, sections: usize) -> Result<(), Section> {
        if self.map.is_empty() {
            return Ok(());
        }
        let done = self.verified.load(Ordering::Acquire);
        let todo = self.layout.sections.get(done..sections).unwrap_or_default();
        if let (Some(first), Some(last)) = (todo.first(), todo.last()) {
            self.map.prepare(first.start..last.end);
        }
        for &section in Section::ALL.get(done..sections).unwrap_or_default() {
            let bytes = self.section(section);
            if checksum(bytes) != self.layout.checksums[section.number()] || !self.is_sound(section)
            {
                return Err(section);
            }
        }
        let all = sections == Section::COUNT && done < sections;
        if all && !self.is_sorted() {
            return Err(Section::InnerKeys);
        }
        self.verified.fetch_max(sections, Ordering::AcqRel);
        Ok(())
    }

    fn is_sound(&self, section: Section) -> bool {
        let length = |of: Section| self.layout.sections[of.number()].len();
        match section {
            Section::LeafKeyOffsets => self.ascends(section, length(Section::LeafKeys)),
            Section::WitnessOffsets => {
                self.layout.witness_width != VARYING
                    || self.ascends(section, length(Section::Witnesses))
            }
            Section::LeafValueOffsets => self.ascends(section, length(Section::LeafValues)),
            Section::InnerKeyOffsets => self.ascends(section, length(Section::InnerKeys)),
            Section::RowOffsets => {
                let edges = length(Section::Edges);
                edges.is_multiple_of(4) && self.ascends(section, edges / 4)
            }
            Section::Edges => self.rows_are_sound(),
            Section::InnerValueOffsets => self.ascends(section, length(Section::InnerValues)),
            Section::LeafKeys
            | Section::InnerKeys
            | Section::Witnesses
            | Section::LeafFingerprints
            | Section::LeafChanged
            | Section::LeafVerified
            | Section::LeafValues
            | Section::InnerFingerprints
            | Section::InnerChanged
            | Section::InnerVerified
            | Section::InnerValues => true,
        }
    }

    /// Whether offsets go from 0 to `end` and never down.
    fn ascends(&self, offsets: Section, end: usize) -> bool {
        let (numbers, _) = self.section(offsets).as_chunks::<4>();
        let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        numbers.first().map(number) == Some(0)
            && numbers
                .last()
                .map(number)
                .is_some_and(|last| last as usize == end)
            && numbers
                .windows(2)
                .all(|pair| number(&pair[0]) <= number(&pair[1]))
    }

    /// Whether the keys of each kind ascend, as [`find`](Self::find) needs them to.
    fn is_sorted(&self) -> bool {
        self.layout.runs.iter().all(|run| {
            let mut ids = self.ids_of(run.kind);
            let Some(first) = ids.next() else {
                return true;
            };
            let mut last = self.key(Id::from_index(first));
            ids.all(|id| {
                let key = self.key(Id::from_index(id));
                std::mem::replace(&mut last, key) < key
            })
        })
    }

    fn rows_are_sound(&self) -> bool {
        let (leaves, nodes) = (self.layout.leaves, self.len());
        (leaves..nodes).all(|id| groups::is_sound(self.row(Id::from_index(id)), nodes))
    }

    pub(super) fn dependencies(&self, id: Id) -> Groups<'_> {
        Groups::new(self.row(id))
    }

    /// Where a node of this kind and key comes in a file.
    pub(super) fn order(kind: Kind, key: &[u8]) -> ((bool, u8), &[u8]) {
        (place_of_kind(kind), key)
    }
}
