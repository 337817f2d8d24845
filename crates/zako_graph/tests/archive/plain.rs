//! The reference: an archive as maps in memory; and reading a real one into the same shape.

use std::collections::{BTreeMap, BTreeSet};

use zako_graph::archive::{Archive, Id, Kind, Record};

pub(crate) const FILE: Kind = Kind::leaf(1);
pub(crate) const VARIABLE: Kind = Kind::leaf(7);
pub(crate) const ACTION: Kind = Kind::inner(1);
pub(crate) const REQUEST: Kind = Kind::inner(127);
pub(crate) const KINDS: [Kind; 4] = [FILE, VARIABLE, ACTION, REQUEST];

pub(crate) type Name = (Kind, Vec<u8>);

/// A record whose dependencies are names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) fingerprint: [u8; 16],
    pub(crate) changed_at: u32,
    pub(crate) verified_at: u32,
    pub(crate) witness: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) dependencies: Vec<Vec<Name>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) revision: u32,
    pub(crate) nodes: BTreeMap<Name, Plain>,
}

impl Model {
    /// All that an archive says, in every way that it can be asked.
    #[track_caller]
    pub(crate) fn of(archive: &Archive) -> Self {
        let name = |id: Id| (archive.kind(id), archive.key(id).to_vec());
        let mut nodes = BTreeMap::new();
        for id in archive.ids() {
            let groups = archive.dependencies(id);
            let dependencies: Vec<Vec<Name>> =
                groups.map(|group| group.map(name).collect()).collect();
            assert_eq!(
                dependencies.concat(),
                groups.flat().map(name).collect::<Vec<_>>()
            );
            let plain = Plain {
                fingerprint: archive.fingerprint(id),
                changed_at: archive.changed_at(id),
                verified_at: archive.verified_at(id),
                witness: archive.witness(id).to_vec(),
                value: archive.value(id).to_vec(),
                dependencies,
            };
            let (kind, key) = name(id);
            assert_eq!(archive.find(kind, &key), Some(id));
            assert!(archive.has(id));
            assert_eq!(nodes.insert((kind, key), plain), None);
        }
        for kind in KINDS {
            let of_kind: BTreeSet<_> = archive.ids_of(kind).collect();
            let expected = archive
                .ids()
                .filter(|&id| archive.kind(id) == kind)
                .collect();
            assert_eq!(of_kind, expected);
        }
        Self {
            revision: archive.revision(),
            nodes,
        }
    }

    /// What is to be left of it after a compaction.
    pub(crate) fn keep(&mut self, roots: &[Name]) {
        let mut whole: BTreeSet<Name> = self.nodes.keys().cloned().collect();
        loop {
            let lacks = |name: &Name| {
                let mut needs = self.nodes[name].dependencies.iter().flatten();
                needs.any(|dependency| !whole.contains(dependency))
            };
            let gone: Vec<Name> = whole.iter().filter(|name| lacks(name)).cloned().collect();
            if gone.is_empty() {
                break;
            }
            whole.retain(|name| !gone.contains(name));
        }
        // A root that is left out keeps what it reached: the caller asks for it again.
        let mut reached = BTreeSet::new();
        let mut stack = roots.to_vec();
        while let Some(name) = stack.pop() {
            if let Some(node) = self.nodes.get(&name)
                && reached.insert(name)
            {
                stack.extend(node.dependencies.iter().flatten().cloned());
            }
        }
        self.nodes
            .retain(|name, _| whole.contains(name) && reached.contains(name));
    }
}

/// Puts a record by names, as the model has it.
pub(crate) fn put(archive: &mut Archive, name: &Name, plain: &Plain) {
    let dependencies = plain
        .dependencies
        .iter()
        .map(|group| {
            group
                .iter()
                .map(|(kind, key)| archive.intern(*kind, key))
                .collect()
        })
        .collect();
    let id = archive.intern(name.0, &name.1);
    if name.0.is_leaf() {
        archive.put_leaf(
            id,
            plain.fingerprint,
            plain.changed_at,
            plain.verified_at,
            &plain.witness,
            &plain.value,
        );
    } else {
        let record = Record {
            fingerprint: plain.fingerprint,
            changed_at: plain.changed_at,
            verified_at: plain.verified_at,
            witness: Box::default(),
            value: plain.value.clone().into(),
            dependencies,
        };
        archive.put(id, record);
    }
}

/// Opens without a notice, and verified.
#[track_caller]
pub(crate) fn open(folder: &std::path::Path) -> Archive {
    let (archive, notice) = Archive::open(folder, "test 1").unwrap();
    assert_eq!(notice, None);
    archive.verify_leaves().unwrap();
    archive.verify_all().unwrap();
    archive
}
