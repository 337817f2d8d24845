//! Graph files that say something else under right checksums: refused, or read without a panic.

use std::fs;
use std::ops::Range;

use twox_hash::{XxHash3_64, XxHash3_128};
use zako_graph::archive::Archive;

use crate::damage::read;
use crate::golden::{PRODUCER, with_journal};

/// Where the header has the number of runs, and where those begin.
const RUNS: Range<usize> = 56..60;
const FIRST_RUN: usize = 64;
const RUN: usize = 5;
const SECTIONS: usize = 18;
const ENTRY: usize = 16;
const ID: Range<usize> = 16..32;

fn number(bytes: &[u8], range: Range<usize>) -> usize {
    u32::from_le_bytes(bytes[range].try_into().unwrap()) as usize
}

/// Makes all checksums fit what the file says now, as far as its header can be followed.
fn forge(bytes: &mut [u8]) {
    let header = number(bytes, 12..16);
    let entries = FIRST_RUN + number(bytes, RUNS) * RUN;
    let mut at = header;
    for section in 0..SECTIONS {
        let entry = entries + section * ENTRY;
        let Some(length) = bytes.get(entry..entry + 8) else {
            break;
        };
        let length = u64::from_le_bytes(length.try_into().unwrap());
        let Some(end) = usize::try_from(length)
            .ok()
            .and_then(|length| at.checked_add(length))
        else {
            break;
        };
        let Some(content) = bytes.get(at..end) else {
            break;
        };
        let sum = XxHash3_64::oneshot(content).to_le_bytes();
        if let Some(place) = bytes.get_mut(entry + 8..entry + ENTRY) {
            place.copy_from_slice(&sum);
        }
        at = end;
    }
    bytes[ID].fill(0);
    if let Some(header) = bytes.get(..header) {
        let id = XxHash3_128::oneshot(header).to_le_bytes();
        bytes[ID].copy_from_slice(&id);
    }
}

#[test]
fn every_byte_changed_under_right_checksums_is_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_journal(folder.path()));
    fs::remove_file(folder.path().join("journal")).unwrap();
    let path = folder.path().join("graph");
    let bytes = fs::read(&path).unwrap();
    let mut same = bytes.clone();
    forge(&mut same);
    assert_eq!(
        same, bytes,
        "what is forged here are checksums as they are written"
    );
    let (mut refused, mut taken) = (0, 0);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x02, 0x04, 0x80, 0xff] {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            forge(&mut forged);
            fs::write(&path, &forged).unwrap();
            let Some(_) = read(folder.path()) else {
                refused += 1;
                continue;
            };
            taken += 1;
            let (mut archive, _) = Archive::open(folder.path(), PRODUCER).unwrap();
            let ids: Vec<_> = archive.ids().collect();
            for &id in &ids {
                let nodes = archive.len();
                let known = archive.dependencies(id).flat().all(|id| id.index() < nodes);
                assert!(known, "{at}");
                assert_eq!(
                    archive.find(archive.kind(id), archive.key(id)),
                    Some(id),
                    "{at}"
                );
            }
            // Whatever it says, it can be written again, and reads as that.
            archive.compact(&ids).unwrap();
            archive.verify_all().unwrap();
        }
    }
    assert!(refused > 0 && taken > 0, "{refused} refused, {taken} taken");
}
