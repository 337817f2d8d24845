//! Writing a graph file: what is reachable, in its order, section by section.

use std::io;

use super::Archive;
use super::base::Base;
use super::id::Id;
use super::layout::{Layout, MAX_PRODUCER, Run, Section, VARYING, checksum, header_length};

/// Stands for a node that is left out.
const GONE: u32 = u32::MAX;

/// Where the nodes went in a [`compact`](Archive::compact).
#[derive(Debug, Clone, Default)]
pub struct Moves {
    to: Vec<u32>,
}

impl Moves {
    /// The new id of the node that was `old`; `None` if it is there no more.
    pub fn get(&self, old: Id) -> Option<Id> {
        let to = *self.to.get(old.index())?;
        (to != GONE).then_some(Id(to))
    }
}

/// The nodes to keep, by their old ids in their new order.
pub(super) struct Plan {
    nodes: Vec<Id>,
    leaves: usize,
    pub(super) moves: Moves,
}

impl Plan {
    /// All that `roots` depend on, themselves included, except what itself depends, directly or not, on a
    /// node without a record: nobody could tell whether it still holds.
    pub(super) fn new(archive: &Archive, roots: &[Id]) -> Self {
        let mut reached = vec![false; archive.len()];
        let mut stack = Vec::new();
        let mut nodes = Vec::new();
        let mut lacking = Vec::new();
        let mut reach = |id: Id, stack: &mut Vec<Id>| {
            if !std::mem::replace(&mut reached[id.index()], true) {
                match archive.has(id) {
                    true => nodes.push(id),
                    false => lacking.push(id),
                }
                stack.push(id);
            }
        };
        for &root in roots {
            reach(root, &mut stack);
            while let Some(id) = stack.pop() {
                for dependency in archive.dependencies(id).flat() {
                    reach(dependency, &mut stack);
                }
            }
        }
        if !lacking.is_empty() {
            let mut gone = vec![false; archive.len()];
            for id in above(archive, &nodes, lacking) {
                gone[id.index()] = true;
            }
            nodes.retain(|id| !gone[id.index()]);
        }
        // Those of the file are in order already, which this sort makes use of.
        nodes.sort_unstable();
        nodes.sort_by(|&a, &b| {
            let order = |id| Base::order(archive.kind(id), archive.key(id));
            order(a).cmp(&order(b))
        });
        let leaves = nodes.partition_point(|&id| archive.kind(id).is_leaf());
        let mut to = vec![GONE; archive.len()];
        for (new, old) in nodes.iter().enumerate() {
            to[old.index()] = Id::from_index(new).0;
        }
        Self {
            nodes,
            leaves,
            moves: Moves { to },
        }
    }

    /// The bytes of the new graph file.
    pub(super) fn write(&self, archive: &Archive, producer: &str) -> io::Result<Vec<u8>> {
        if producer.len() > MAX_PRODUCER {
            return Err(io::Error::other("the producer's name is too long"));
        }
        let mut layout = Layout {
            revision: archive.revision(),
            leaves: self.leaves,
            inner: self.nodes.len() - self.leaves,
            ..Layout::default()
        };
        for &id in &self.nodes {
            let kind = archive.kind(id);
            match layout.runs.last_mut() {
                Some(run) if run.kind == kind => run.nodes += 1,
                _ => layout.runs.push(Run { kind, nodes: 1 }),
            }
        }
        let (leaves, inner) = self.nodes.split_at(self.leaves);
        let mut widths = leaves.iter().map(|&id| archive.witness(id).len());
        let width = widths.next().unwrap_or(0);
        let one_width = widths.all(|other| other == width);
        layout.witness_width = match u32::try_from(width) {
            Ok(width) if one_width => width,
            _ => VARYING,
        };
        let mut file = vec![0; header_length(layout.runs.len(), producer)];
        for section in Section::ALL {
            let start = file.len();
            self.write_section(archive, section, leaves, inner, &layout, &mut file)?;
            layout.sections[section.number()] = start..file.len();
            layout.checksums[section.number()] = checksum(&file[start..]);
        }
        layout.write(producer, &mut file);
        Ok(file)
    }

    fn write_section(
        &self,
        archive: &Archive,
        section: Section,
        leaves: &[Id],
        inner: &[Id],
        layout: &Layout,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let fixed = layout.witness_width != VARYING;
        match section {
            Section::LeafKeyOffsets => offsets(leaves, |id| archive.key(id).len(), out)?,
            Section::LeafKeys => bytes(leaves, |id| archive.key(id), out),
            Section::WitnessOffsets if fixed => {}
            Section::WitnessOffsets => offsets(leaves, |id| archive.witness(id).len(), out)?,
            Section::Witnesses => bytes(leaves, |id| archive.witness(id), out),
            Section::LeafFingerprints => fingerprints(archive, leaves, out),
            Section::LeafChanged => numbers(leaves, |id| archive.changed_at(id), out),
            Section::LeafVerified => numbers(leaves, |id| archive.verified_at(id), out),
            Section::LeafValueOffsets => offsets(leaves, |id| archive.value(id).len(), out)?,
            Section::LeafValues => bytes(leaves, |id| archive.value(id), out),
            Section::InnerKeyOffsets => offsets(inner, |id| archive.key(id).len(), out)?,
            Section::InnerKeys => bytes(inner, |id| archive.key(id), out),
            Section::RowOffsets => {
                offsets(inner, |id| archive.dependencies(id).flat().len(), out)?;
            }
            Section::Edges => {
                for &id in inner {
                    let moved = |old: Id| Id(self.moves.to[old.index()]);
                    let groups = archive.dependencies(id);
                    super::groups::encode(groups.map(|group| group.map(moved)), out);
                }
            }
            Section::InnerFingerprints => fingerprints(archive, inner, out),
            Section::InnerChanged => numbers(inner, |id| archive.changed_at(id), out),
            Section::InnerVerified => numbers(inner, |id| archive.verified_at(id), out),
            Section::InnerValueOffsets => offsets(inner, |id| archive.value(id).len(), out)?,
            Section::InnerValues => bytes(inner, |id| archive.value(id), out),
        }
        Ok(())
    }
}

/// All of `nodes` that depend, directly or not, on one of `ids`.
pub(crate) fn above(archive: &Archive, nodes: &[Id], ids: Vec<Id>) -> Vec<Id> {
    let mut edges: Vec<(Id, Id)> = nodes
        .iter()
        .flat_map(|&asker| {
            archive
                .dependencies(asker)
                .flat()
                .map(move |id| (id, asker))
        })
        .collect();
    edges.sort_unstable();
    let mut seen = vec![false; archive.len()];
    let mut stack = ids;
    let mut found = Vec::new();
    while let Some(id) = stack.pop() {
        let first = edges.partition_point(|(to, _)| *to < id);
        for &(_, asker) in edges[first..].iter().take_while(|(to, _)| *to == id) {
            if !std::mem::replace(&mut seen[asker.index()], true) {
                found.push(asker);
                stack.push(asker);
            }
        }
    }
    found
}

fn offsets(nodes: &[Id], length: impl Fn(Id) -> usize, out: &mut Vec<u8>) -> io::Result<()> {
    let mut end = 0_u32;
    out.extend_from_slice(&end.to_le_bytes());
    for &id in nodes {
        end = u32::try_from(length(id))
            .ok()
            .and_then(|length| end.checked_add(length))
            .ok_or_else(|| io::Error::other("more than 4 GiB in one section of the graph"))?;
        out.extend_from_slice(&end.to_le_bytes());
    }
    Ok(())
}

fn bytes<'a>(nodes: &[Id], of: impl Fn(Id) -> &'a [u8], out: &mut Vec<u8>) {
    for &id in nodes {
        out.extend_from_slice(of(id));
    }
}

fn numbers(nodes: &[Id], of: impl Fn(Id) -> u32, out: &mut Vec<u8>) {
    for &id in nodes {
        out.extend_from_slice(&of(id).to_le_bytes());
    }
}

fn fingerprints(archive: &Archive, nodes: &[Id], out: &mut Vec<u8>) {
    for &id in nodes {
        out.extend_from_slice(&archive.fingerprint(id));
    }
}
