//! Whatever happens to the files: what is read is what was written, or it is said to be damaged.

use std::fs;
use std::path::Path;

use zako_graph::archive::Archive;

use crate::golden::{PRODUCER, small, with_journal};
use crate::plain::{FILE, Model, open};

/// Opens, verifies and reads everything; `None` if any of that finds damage.
pub(crate) fn read(folder: &Path) -> Option<Model> {
    let (archive, notice) = Archive::open(folder, PRODUCER).unwrap();
    // Reading what was not verified must not panic either.
    for id in (0..archive.len() + 2).map(zako_graph::archive::Id::from_index) {
        let _ = (archive.kind(id), archive.key(id), archive.value(id));
        let _ = (
            archive.witness(id),
            archive.fingerprint(id),
            archive.verified_at(id),
        );
        let _ = (
            archive.changed_at(id),
            archive.dependencies(id).flat().count(),
        );
        let _ = archive.find(archive.kind(id), archive.key(id));
    }
    if notice.is_some() {
        assert!(archive.is_empty());
        return None;
    }
    archive.verify_leaves().ok()?;
    archive.verify_all().ok()?;
    Some(Model::of(&archive))
}

/// The states after each flush of [`with_journal`].
fn states() -> Vec<Model> {
    let folder = tempfile::tempdir().unwrap();
    let whole = with_journal(folder.path());
    let journal = folder.path().join("journal");
    let bytes = fs::read(&journal).unwrap();
    let mut states: Vec<Model> = Vec::new();
    for length in 0..=bytes.len() {
        fs::write(&journal, &bytes[..length]).unwrap();
        let state = read(folder.path()).unwrap();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    assert_eq!(states.len(), 3);
    assert_eq!(states[2], Model::of(&whole));
    states
}

#[test]
fn a_journal_cut_at_any_byte_counts_up_to_its_last_whole_flush() {
    let states = states();
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    let journal = folder.path().join("journal");
    let bytes = fs::read(&journal).unwrap();
    for length in 0..=bytes.len() {
        fs::write(&journal, &bytes[..length]).unwrap();
        let mut archive = open(folder.path());
        let mut expected = Model::of(&archive);
        assert!(states.contains(&expected), "{length}");
        // What is appended after a crash is not lost behind what that left.
        let a = archive.find(FILE, b"a.h").unwrap();
        archive.set_verified(a, 77);
        archive.flush().unwrap();
        expected
            .nodes
            .get_mut(&(FILE, b"a.h".to_vec()))
            .unwrap()
            .verified_at = 77;
        assert_eq!(Model::of(&open(folder.path())), expected, "{length}");
    }
}

/// A flush behind a damaged one must not come back when what is written over that is of the same length.
#[test]
fn what_is_behind_damage_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = small(folder.path());
    archive.flush().unwrap();
    let journal = folder.path().join("journal");
    let first = fs::metadata(&journal).unwrap().len() as usize;
    let a = archive.find(FILE, b"a.h").unwrap();
    for revision in [7, 8] {
        archive.set_verified(a, revision);
        archive.flush().unwrap();
    }
    drop(archive);
    let mut bytes = fs::read(&journal).unwrap();
    bytes[first + 20] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let mut archive = open(folder.path());
    assert_eq!(archive.verified_at(a), 3);
    archive.set_verified(a, 9);
    archive.flush().unwrap();
    assert_eq!(open(folder.path()).verified_at(a), 9);
}

#[test]
fn every_byte_flipped_is_found_or_harmless() {
    let states = states();
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    for name in ["graph", "journal"] {
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut other = bytes.clone();
                other[at] ^= flip;
                fs::write(&path, &other).unwrap();
                match read(folder.path()) {
                    Some(state) => {
                        assert!(name == "journal" && states.contains(&state), "{name} {at}")
                    }
                    None => assert_eq!(name, "graph", "{at}"),
                }
            }
        }
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn a_graph_cut_or_grown_is_set_aside_with_one_notice() {
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    let path = folder.path().join("graph");
    let bytes = fs::read(&path).unwrap();
    let longer = [&bytes[..], &[0]].concat();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(read(folder.path()), None, "{length}");
    }
    fs::write(&path, longer).unwrap();
    let (mut archive, notice) = Archive::open(folder.path(), PRODUCER).unwrap();
    let notice = notice.unwrap();
    assert!(
        notice.contains("damaged") && notice.contains("graph.bad"),
        "{notice}"
    );
    assert!(!folder.path().join("graph.bad").exists());
    let id = archive.intern(FILE, b"x");
    archive.put_leaf(id, [0; 16], 1, 1, b"", b"");
    archive.flush().unwrap();
    assert!(folder.path().join("graph.bad").exists());
    assert!(folder.path().join("journal.bad").exists());
    assert_eq!(Model::of(&open(folder.path())), Model::of(&archive));
}

#[test]
fn another_producer_or_a_newer_format_counts_as_not_there() {
    let folder = tempfile::tempdir().unwrap();
    with_journal(folder.path());
    let (archive, notice) = Archive::open(folder.path(), "test 2").unwrap();
    assert!(archive.is_empty() && notice.unwrap().contains("another version"));
    let path = folder.path().join("graph");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] += 1;
    fs::write(&path, bytes).unwrap();
    let (archive, notice) = Archive::open(folder.path(), PRODUCER).unwrap();
    assert!(archive.is_empty() && notice.unwrap().contains("another version"));
}

#[test]
fn a_journal_of_another_graph_file_counts_as_not_there() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_journal(folder.path()));
    let journal = fs::read(folder.path().join("journal")).unwrap();
    let mut archive = open(folder.path());
    let roots: Vec<_> = archive.ids().collect();
    archive.compact(&roots).unwrap();
    let expected = Model::of(&archive);
    // As if the process had ended before it removed the journal.
    fs::write(folder.path().join("journal"), journal).unwrap();
    let mut archive = open(folder.path());
    assert_eq!(Model::of(&archive), expected);
    archive.set_revision(50);
    archive.flush().unwrap();
    let reopened = Model::of(&open(folder.path()));
    assert_eq!((reopened.revision, reopened.nodes), (50, expected.nodes));
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(Archive::open(&folder.path().join("file"), PRODUCER).is_err());
}

#[test]
fn giving_up_keeps_what_was_there_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = small(folder.path());
    archive.flush().unwrap();
    let archive = open(folder.path()).set_aside().unwrap();
    assert!(archive.is_empty() && open(folder.path()).is_empty());
    assert!(folder.path().join("graph.bad").exists());
    assert!(folder.path().join("journal.bad").exists());
}

#[test]
#[should_panic(expected = "an id of another archive")]
fn an_id_of_another_archive_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let id = zako_graph::archive::Id::from_index(9);
    Archive::empty(folder.path(), PRODUCER).put_leaf(id, [0; 16], 0, 0, b"", b"");
}
