//! The bytes on disk, which are a contract: a change here needs a new format version.

use std::fs;
use std::path::Path;

use zako_graph::archive::{Archive, Record};

use crate::plain::{ACTION, FILE, Model, REQUEST, open};

pub(crate) const PRODUCER: &str = "test 1";

/// Two files, an action that asked for one and then for the other, and a request.
pub(crate) fn small(folder: &Path) -> Archive {
    let mut archive = Archive::empty(folder, PRODUCER);
    archive.set_revision(3);
    let b = archive.intern(FILE, b"b.c");
    let a = archive.intern(FILE, b"a.h");
    archive.put_leaf(b, [0xbb; 16], 1, 3, b"sig-b", b"B");
    archive.put_leaf(a, [0xaa; 16], 2, 3, b"sig-a", b"");
    let action = archive.intern(ACTION, b"cc");
    let record = Record {
        fingerprint: [0xcc; 16],
        changed_at: 2,
        verified_at: 3,
        value: Box::from(&b"out"[..]),
        dependencies: vec![vec![b], vec![a]],
        ..Record::default()
    };
    archive.put(action, record);
    let request = archive.intern(REQUEST, b"//...");
    let record = Record {
        dependencies: vec![vec![action, b, a]],
        ..Record::default()
    };
    archive.put(request, record);
    archive
}

/// The small archive compacted, with a journal of two flushes.
pub(crate) fn with_journal(folder: &Path) -> Archive {
    let mut archive = small(folder);
    let roots: Vec<_> = archive.ids_of(REQUEST).collect();
    archive.compact(&roots).unwrap();
    archive.set_revision(4);
    let a = archive.find(FILE, b"a.h").unwrap();
    let new = archive.intern(FILE, b"new");
    archive.put_leaf(new, [0xdd; 16], 4, 4, b"sig-n", b"N");
    archive.set_verified(a, 4);
    archive.flush().unwrap();
    archive.set_revision(5);
    let action = archive.find(ACTION, b"cc").unwrap();
    let record = Record {
        changed_at: 5,
        verified_at: 5,
        dependencies: vec![vec![a, new]],
        ..Record::default()
    };
    archive.put(action, record);
    let b = archive.find(FILE, b"b.c").unwrap();
    archive.remove(b);
    archive.flush().unwrap();
    archive
}

fn dump(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    bytes
        .chunks(32)
        .map(|line| hex::encode(line) + "\n")
        .collect()
}

#[test]
fn a_graph_file_has_these_bytes() {
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    insta::assert_snapshot!(dump(&folder.path().join("graph")), @"
    7a616b6f67726166010000007501000093369945a1787ea28f3dd2d32c310954
    4002000000000000030000000200000002000000050000000300000006000000
    810200000001010000007f010000000c0000000000000027437d13502ac18506
    000000000000008de93d7c881c6e970000000000000000c294d3380580062d0a
    0000000000000042cce59f6adbd3352000000000000000339ddd32b76a4d8a08
    00000000000000e8b148d17e230b2b0800000000000000387ce7d04450074a0c
    000000000000005fea72d9bf5c97900100000000000000f32324a06c76d3740c
    000000000000006b23ef3e9018d9730700000000000000f5394fde2423b0e90c
    00000000000000a5b6dfbb3e225d801400000000000000b610a4c76b1e41d820
    00000000000000ea27ea9709651fbc080000000000000043e2ee915cc6862008
    000000000000007d2ef4c12920924d0c000000000000000f8df00d127cc51a03
    00000000000000c9f3992a1091b38b7465737420310000000003000000060000
    00612e68622e637369672d617369672d62aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    aabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb020000000100000003000000030000
    000000000000000000010000004200000000020000000700000063632f2f2e2e
    2e00000000020000000500000001000080000000800200008001000000000000
    00cccccccccccccccccccccccccccccccc000000000000000000000000000000
    00020000000000000003000000000000000000000003000000030000006f7574
    ");
}

#[test]
fn a_journal_has_these_bytes() {
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    insta::assert_snapshot!(dump(&folder.path().join("journal")), @"
    7a616b6f6a726e6c0100000093369945a1787ea28f3dd2d32c310954280bfd0e
    d6e97b6245000000a6383f9f736cddcf040000000181030000006e6577020400
    0000dddddddddddddddddddddddddddddddd0400000004000000050000007369
    672d6e010000004e000000000300000000040000003a0000004c9747b90819de
    4605000000020200000000000000000000000000000000000000050000000500
    000000000000000000000800000000000080040000000401000000
    ");
}

#[test]
fn it_reads_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let written = with_journal(folder.path());
    assert_eq!(Model::of(&open(folder.path())), Model::of(&written));
    assert_eq!(written.revision(), 5);
    assert_eq!(written.ids().count(), 4);
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (mut archive, notice) = Archive::open(&state, PRODUCER).unwrap();
    assert_eq!(notice, None);
    archive.flush().unwrap();
    assert!(archive.is_empty() && !state.exists());
    drop(with_journal(&state));
    let before = fs::read(state.join("journal")).unwrap();
    let mut archive = open(&state);
    let a = archive.find(FILE, b"a.h").unwrap();
    let at = archive.verified_at(a);
    archive.set_verified(a, at);
    archive.set_revision(archive.revision());
    archive.flush().unwrap();
    assert_eq!(fs::read(state.join("journal")).unwrap(), before);
}

#[test]
fn an_opened_archive_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = with_journal(folder.path());
    let reader = open(folder.path());
    let before = Model::of(&reader);
    writer.set_revision(9);
    for id in writer.ids().collect::<Vec<_>>() {
        writer.remove(id);
    }
    writer.flush().unwrap();
    writer.compact(&[]).unwrap();
    assert_eq!(Model::of(&reader), before);
    reader.verify_all().unwrap();
    assert!(Model::of(&open(folder.path())).nodes.is_empty());
}

#[test]
fn compacting_says_where_nodes_went() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = small(folder.path());
    let names: Vec<_> = archive
        .ids()
        .map(|id| (id, archive.kind(id), archive.key(id).to_vec()))
        .collect();
    let action = archive.find(ACTION, b"cc").unwrap();
    let moves = archive.compact(&[action]).unwrap();
    for (old, kind, key) in names {
        assert_eq!(moves.get(old), archive.find(kind, &key));
    }
    assert_eq!(archive.find(REQUEST, b"//..."), None);
    assert_eq!(archive.len(), 3);
}
