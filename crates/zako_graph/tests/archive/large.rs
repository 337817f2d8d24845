//! 100,000 leaves and as many inner nodes.

use zako_graph::archive::{Archive, Id, Record};

use crate::golden::PRODUCER;
use crate::plain::{ACTION, FILE, open};

const MANY: u32 = 100_000;

fn leaf_key(n: u32) -> String {
    format!("src/{:03}/file{n}.c", n % 997)
}

#[test]
fn many_nodes_are_found_iterated_and_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::empty(folder.path(), PRODUCER);
    archive.set_revision(1);
    let leaves: Vec<Id> = (0..MANY)
        .map(|n| {
            let id = archive.intern(FILE, leaf_key(n).as_bytes());
            archive.put_leaf(id, [1; 16], 1, 1, &n.to_le_bytes(), b"");
            id
        })
        .collect();
    // A chain as deep as it is long, on top of a fan of all leaves.
    let mut last = archive.intern(ACTION, b"fan");
    let fan = Record {
        dependencies: vec![leaves],
        ..Record::default()
    };
    archive.put(last, fan);
    for n in 1..MANY {
        let id = archive.intern(ACTION, &n.to_le_bytes());
        let link = Record {
            changed_at: n,
            dependencies: vec![vec![last]],
            ..Record::default()
        };
        archive.put(id, link);
        last = id;
    }
    archive.flush().unwrap();
    assert!(archive.should_compact());
    archive.compact(&[last]).unwrap();
    let archive = open(folder.path());
    assert!(!archive.should_compact());
    assert_eq!(archive.len(), 2 * MANY as usize);
    let mut sum = 0;
    for id in archive.ids_of(FILE) {
        let witness: [u8; 4] = archive.witness(id).try_into().unwrap();
        let n = u32::from_le_bytes(witness);
        assert_eq!(archive.key(id), leaf_key(n).as_bytes());
        sum += u64::from(n);
    }
    assert_eq!(sum, u64::from(MANY) * u64::from(MANY - 1) / 2);
    let fan = archive.find(ACTION, b"fan").unwrap();
    assert_eq!(archive.dependencies(fan).count(), 1);
    assert_eq!(archive.dependencies(fan).flat().len(), MANY as usize);
    let mut at = archive.find(ACTION, &(MANY - 1).to_le_bytes()).unwrap();
    let mut depth = 1;
    while at != fan {
        assert_eq!(archive.changed_at(at), MANY - depth);
        at = archive.dependencies(at).flat().next().unwrap();
        depth += 1;
    }
    assert_eq!(depth, MANY);
}
