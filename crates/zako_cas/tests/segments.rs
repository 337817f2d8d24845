//! Segments: what is found, by whom, and what damage and sudden death leave.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zako_cas::segment::{RecordKey, SegmentLog, SegmentPurpose};
use zako_cas::{DigestFunction, MaterialiseMode, Store, StoreOptions};

const SMALL_SEGMENT: u64 = 16 << 10;

fn log(folder: &Path) -> SegmentLog {
    SegmentLog::open(folder, SegmentPurpose::ActionResults, false).sealed_at(SMALL_SEGMENT)
}

fn key(n: u32) -> RecordKey {
    RecordKey {
        kind: 1,
        hash: DigestFunction::Blake3.hash(&n.to_le_bytes()).hash,
    }
}

fn body(n: u32) -> Vec<u8> {
    (0..n % 700).map(|i| (i * 7 + n) as u8).collect()
}

fn found(log: &SegmentLog, n: u32) -> Option<Vec<u8>> {
    log.get(&key(n)).unwrap().map(|f| f.bytes.to_vec())
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn others_see_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (log(dir.path()), log(dir.path()));
    a.append(key(1), b"one").unwrap();
    assert_eq!(found(&a, 1).unwrap(), b"one", "the writer at once");
    assert_eq!(a.length(&key(1)).unwrap(), Some(3));
    b.refresh().unwrap();
    assert_eq!(found(&b, 1), None);
    a.flush().unwrap();
    b.refresh().unwrap();
    assert_eq!(found(&b, 1).unwrap(), b"one");
    // Both write now, each to a segment of its own.
    b.append(key(2), b"two").unwrap();
    b.flush().unwrap();
    a.refresh().unwrap();
    assert_eq!(found(&a, 2).unwrap(), b"two");
    assert_eq!(files(dir.path(), "seg").len(), 2);
    let other_kind = RecordKey { kind: 2, ..key(1) };
    assert!(a.get(&other_kind).unwrap().is_none());
}

#[test]
fn the_newest_record_counts_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (log(dir.path()), log(dir.path()));
    for (writer, text) in [(&a, "1"), (&b, "2"), (&a, "3"), (&b, "4"), (&b, "5")] {
        writer.append(key(0), text.as_bytes()).unwrap();
        writer.flush().unwrap();
        for reader in [&a, &b, &log(dir.path())] {
            reader.refresh().unwrap();
            assert_eq!(found(reader, 0).unwrap(), text.as_bytes());
        }
    }
}

#[test]
fn short_lives_fill_one_segment() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..30 {
        log(dir.path()).append(key(n), &body(n)).unwrap();
    }
    assert_eq!(files(dir.path(), "seg").len(), 1);
    let log = log(dir.path());
    for n in 0..30 {
        assert_eq!(found(&log, n).unwrap(), body(n));
    }
}

/// Several sealed segments and one that is not.
fn filled(folder: &Path) -> u32 {
    let log = log(folder);
    for n in 0..400 {
        log.append(key(n), &body(n)).unwrap();
        if n % 10 == 0 {
            log.flush().unwrap();
        }
    }
    drop(log);
    assert!(files(folder, "seg").len() > 4);
    400
}

#[test]
fn full_segments_are_sealed_and_their_indexes_are_only_a_help() {
    let dir = tempfile::tempdir().unwrap();
    let count = filled(dir.path());
    let all_there = || {
        let log = log(dir.path());
        (0..count).for_each(|n| assert_eq!(found(&log, n).unwrap(), body(n), "record {n}"));
        assert_eq!(found(&log, count), None);
        assert_eq!(log.damaged(), 0);
    };
    all_there();
    let indexes = files(dir.path(), "idx");
    assert!(indexes.len() >= files(dir.path(), "seg").len() - 1);
    let whole: Vec<_> = indexes.iter().map(|i| fs::read(i).unwrap()).collect();
    for (at, index) in indexes.iter().enumerate() {
        match at % 3 {
            0 => fs::remove_file(index).unwrap(),
            1 => fs::write(index, b"").unwrap(),
            _ => {
                let mut bytes = whole[at].clone();
                bytes[40] ^= 1;
                fs::write(index, bytes).unwrap();
            }
        }
    }
    all_there();
    let again: Vec<_> = indexes.iter().map(|i| fs::read(i).unwrap()).collect();
    assert_eq!(again, whole, "made again as they were");
}

#[test]
fn a_torn_tail_is_nothing_and_the_next_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let full = dir.path().join("full");
    let log_of = |folder: &Path| log(folder);
    let writer = log_of(&full);
    let mut ends = Vec::new();
    for n in [3, 8, 0, 70] {
        writer.append(key(n), &body(n)).unwrap();
        writer.flush().unwrap();
        ends.push((n, fs::metadata(&files(&full, "seg")[0]).unwrap().len()));
    }
    drop(writer);
    let segment = files(&full, "seg").remove(0);
    let whole = fs::read(&segment).unwrap();
    let torn = dir.path().join("torn");
    fs::create_dir(&torn).unwrap();
    let at = torn.join(segment.file_name().unwrap());
    for len in 0..=whole.len() {
        fs::write(&at, &whole[..len]).unwrap();
        let log = log_of(&torn);
        let check = |log: &SegmentLog| {
            for (n, end) in &ends {
                let expected = (*end <= len as u64).then(|| body(*n));
                assert_eq!(found(log, *n), expected, "record {n} of {len} bytes");
            }
        };
        check(&log);
        log.append(key(9), b"next").unwrap();
        drop(log);
        let log = log_of(&torn);
        check(&log);
        assert_eq!(found(&log, 9).unwrap(), b"next");
        assert_eq!(files(&torn, "seg").len(), 1);
    }
}

fn store(root: &Path) -> Store {
    let options = StoreOptions {
        memory_cache_bytes: 0,
        ..StoreOptions::new(root)
    };
    Store::open(options).unwrap()
}

#[test]
fn every_flipped_byte_is_found_and_no_wrong_byte_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("cas");
    let blobs: Vec<Vec<u8>> = [3, 61, 0, 20].map(body).into();
    let digests: Vec<_> = {
        let store = store(&root);
        blobs.iter().map(|b| store.put_bytes(b).unwrap()).collect()
    };
    let folder = root.join("segments/blake3");
    let segment = files(&folder, "seg").remove(0);
    let whole = fs::read(&segment).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        let reset = || {
            for file in files(&folder, "seg") {
                fs::remove_file(file).unwrap();
            }
            fs::write(&segment, &damaged).unwrap();
            store(&root)
        };
        let store = reset();
        let report = store.verify(&mut |_| {}).unwrap();
        assert!(
            !report.corrupt.is_empty() || !report.damaged.is_empty(),
            "byte {at} of {}",
            whole.len()
        );
        assert!(store.verify(&mut |_| {}).unwrap().corrupt.is_empty());
        // Found by reading, too; and hidden for good.
        let store = reset();
        let mut missing = 0;
        for (digest, blob) in digests.iter().zip(&blobs) {
            match store.get(digest).unwrap() {
                Some(found) => assert_eq!(found, blob, "byte {at}"),
                None => {
                    missing += 1;
                    assert!(!store.contains(digest), "set aside, byte {at}");
                    let dest = dir.path().join("out");
                    let copy = store.materialise(digest, &dest, MaterialiseMode::Copy, false);
                    assert!(copy.is_err());
                }
            }
        }
        assert!(missing == 0 || missing == 1 || at < 32, "byte {at}");
        drop(store);
        let store = self::store(&root);
        let gone = digests.iter().filter(|d| !store.contains(d)).count();
        assert_eq!(gone, missing, "byte {at}");
        for (digest, blob) in digests.iter().zip(&blobs) {
            assert_eq!(store.put_bytes(blob).unwrap(), *digest);
            assert_eq!(store.get(digest).unwrap().unwrap(), blob);
        }
    }
}

#[test]
fn threads_never_lose_sight_of_what_they_appended() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, others) = (log(dir.path()), log(dir.path()));
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let log = if thread < 4 { &ours } else { &others };
            scope.spawn(move || {
                for n in 0..400 {
                    let n = thread * 10_000 + n;
                    log.append(key(n), &body(n)).unwrap();
                    if n % 11 == thread {
                        log.refresh().unwrap();
                    }
                    assert_eq!(found(log, n).unwrap(), body(n), "record {n}");
                    let earlier = thread * 10_000 + (n % 10_000) / 2;
                    assert_eq!(found(log, earlier).unwrap(), body(earlier));
                }
            });
        }
    });
    assert_eq!(ours.damaged() + others.damaged(), 0);
}

#[test]
fn a_copy_of_a_segment_within_a_blob_is_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    log(&inner).append(key(1), b"inner").unwrap();
    let copy = fs::read(&files(&inner, "seg")[0]).unwrap();
    let outer = dir.path().join("outer");
    log(&outer).append(key(2), &copy).unwrap();
    // The header of the one that has it is damaged, so a reader searches for what is behind.
    let segment = files(&outer, "seg").remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[33] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let log = log(&outer);
    assert_eq!((found(&log, 1), found(&log, 2)), (None, None));
}

#[test]
fn newer_and_foreign_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path()).append(key(1), b"one").unwrap();
    let segment = files(dir.path(), "seg").remove(0);
    let mut newer = fs::read(&segment).unwrap();
    newer[8] = 2;
    fs::write(&segment, &newer).unwrap();
    let log = log(dir.path());
    assert_eq!(found(&log, 1), None);
    log.append(key(1), b"again").unwrap();
    drop(log);
    assert_eq!(fs::read(&segment).unwrap(), newer);
    let blobs = SegmentLog::open(dir.path(), SegmentPurpose::Blobs, false);
    assert!(blobs.get(&key(1)).unwrap().is_none(), "another purpose");
}

#[test]
fn hardlinks_of_small_blobs_are_links_to_a_file_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("cas"));
    let digest = store.put_bytes(b"tool").unwrap();
    for (name, executable) in [("a", true), ("b", true), ("c", false), ("d", false)] {
        let dest = dir.path().join(name);
        store
            .materialise(&digest, &dest, MaterialiseMode::Hardlink, executable)
            .unwrap();
        assert_eq!(fs::read(&dest).unwrap(), b"tool");
    }
    let inode = |name: &str| {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(dir.path().join(name)).unwrap())
    };
    assert_eq!(inode("a"), inode("b"));
    assert_eq!(inode("c"), inode("d"));
    assert_ne!(inode("a"), inode("c"));
}

#[test]
fn blobs_in_files_of_older_stores_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("cas"));
    let digest = DigestFunction::Blake3.hash(b"old");
    let hex = digest.hex();
    let folder = store.root().join("blake3").join(&hex[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{hex}-3")), b"old").unwrap();
    assert!(store.contains(&digest));
    assert_eq!(store.get(&digest).unwrap().unwrap(), &b"old"[..]);
    assert_eq!(store.verify(&mut |_| {}).unwrap().blobs, 1);
}

const FOLDER: &str = "ZAKO_TEST_SEGMENTS";
const ROLE: &str = "ZAKO_TEST_ROLE";
const EACH: u32 = 600;

fn child(folder: &Path, role: u32) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child_process", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROLE, role.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn processes_write_and_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..4)
        .map(|role| child(dir.path(), role).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    }
    let log = log(dir.path());
    for role in 0..4 {
        for n in 0..EACH {
            let n = role * 10_000 + n;
            assert_eq!(found(&log, n).unwrap(), body(n), "record {n}");
        }
    }
    assert_eq!(log.damaged(), 0);
    let unsealed = files(dir.path(), "seg")
        .iter()
        .filter(|f| fs::metadata(f).unwrap().len() < SMALL_SEGMENT)
        .count();
    assert!(unsealed <= 4, "{unsealed} segments are not full");
}

#[test]
fn what_was_flushed_survives_sudden_death() {
    let dir = tempfile::tempdir().unwrap();
    let mut safe = Vec::new();
    for round in 10..22 {
        let mut child = child(dir.path(), round).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Each line is a record that was flushed; the child is killed somewhere behind it.
        let flushed = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("flushed ")?.parse::<u32>().ok());
        safe.extend(flushed.take(round as usize * 7 % 40 + 1));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let log = log(dir.path());
    for &n in &safe {
        assert_eq!(found(&log, n).unwrap(), body(n), "record {n}");
    }
    for round in 10..22 {
        for n in 0..EACH {
            let n = round * 10_000 + n;
            assert!(found(&log, n).is_none_or(|b| b == body(n)), "record {n}");
        }
    }
    assert_eq!(log.damaged(), 0);
}

#[test]
#[ignore = "the child of the tests above"]
fn child_process() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let role: u32 = std::env::var(ROLE).unwrap().parse().unwrap();
    let log = log(&folder);
    for n in 0..EACH {
        let own = role * 10_000 + n;
        log.append(key(own), &body(own)).unwrap();
        // The same by all, and different by all.
        log.append(key(n % 50), &body(n % 50)).unwrap();
        if n % 3 == 0 {
            log.flush().unwrap();
            let line = format!("flushed {own}\n");
            std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
        }
        if n % 20 == 0 {
            log.refresh().unwrap();
        }
        for other in 0..4 {
            let other = other * 10_000 + n / 2;
            assert!(found(&log, other).is_none_or(|b| b == body(other)));
        }
        assert_eq!(found(&log, own).unwrap(), body(own));
    }
}
