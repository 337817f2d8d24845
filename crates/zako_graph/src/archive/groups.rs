//! The dependencies of one node, as they lie on disk and in memory: one 32-bit number each, with the last
//! bit set where a group begins.

use std::slice;

use super::id::Id;

const BEGINS: u32 = 1 << 31;

/// The groups of a node's dependencies, in the order of asking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groups<'a> {
    row: &'a [u8],
}

impl<'a> Groups<'a> {
    pub(super) fn new(row: &'a [u8]) -> Self {
        Self { row }
    }

    /// All ids, without regard to groups.
    pub fn flat(self) -> impl ExactSizeIterator<Item = Id> + use<'a> {
        let (numbers, _) = self.row.as_chunks::<4>();
        numbers.iter().map(|number| id(*number))
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.row.len() < 4
    }
}

impl<'a> Iterator for Groups<'a> {
    type Item = Group<'a>;

    fn next(&mut self) -> Option<Group<'a>> {
        let (numbers, _) = self.row.as_chunks::<4>();
        let (_, rest) = numbers.split_first()?;
        let length = 1 + rest.iter().take_while(|number| !begins(**number)).count();
        self.row = self.row.get(length * 4..).unwrap_or_default();
        Some(Group {
            ids: numbers[..length].iter(),
        })
    }
}

/// What was asked for at one time: at least one id.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    ids: slice::Iter<'a, [u8; 4]>,
}

impl Iterator for Group<'_> {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        self.ids.next().map(|number| id(*number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl ExactSizeIterator for Group<'_> {}

fn id(number: [u8; 4]) -> Id {
    Id(u32::from_le_bytes(number) & !BEGINS)
}

fn begins(number: [u8; 4]) -> bool {
    u32::from_le_bytes(number) & BEGINS != 0
}

/// Appends the row of `groups`; empty groups leave no trace.
pub(super) fn encode<G>(groups: impl IntoIterator<Item = G>, out: &mut Vec<u8>)
where
    G: IntoIterator<Item = Id>,
{
    for group in groups {
        let mut mark = BEGINS;
        for id in group {
            out.extend_from_slice(&(id.0 | mark).to_le_bytes());
            mark = 0;
        }
    }
}

/// Whether `row` begins with a group and names nodes below `nodes` only.
pub(super) fn is_sound(row: &[u8], nodes: usize) -> bool {
    let (numbers, rest) = row.as_chunks::<4>();
    rest.is_empty()
        && numbers.first().is_none_or(|first| begins(*first))
        && numbers.iter().all(|number| id(*number).index() < nodes)
}
