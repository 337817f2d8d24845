//! The store through its public face: round trips, repair, materialise, foreign folders.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use zako_cas::{
    ABANDONED_AFTER, BlobHandle, Digest, DigestFunction, Durability, MAX_PACKED_BLOB,
    MaterialiseMode, STALE_AFTER, Store, StoreError, StoreOptions, hash_file,
};

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

/// A store without a memory cache, so that every read goes to disk.
fn fixture() -> Fixture {
    fixture_with(|_| {})
}

fn fixture_with(change: impl FnOnce(&mut StoreOptions)) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions {
        memory_cache_bytes: 0,
        ..StoreOptions::new(dir.path().join("cas"))
    };
    change(&mut options);
    Fixture {
        store: Store::open(options).unwrap(),
        dir,
    }
}

/// A blob that begins with `text` and is too large for a segment.
fn large(text: &[u8]) -> Vec<u8> {
    let mut blob = text.to_vec();
    blob.resize(text.len() + MAX_PACKED_BLOB as usize, b'.');
    blob
}

impl Fixture {
    fn file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.store
            .root()
            .join(digest.function.name())
            .join(&hex[..2])
            .join(format!("{hex}-{}", digest.size))
    }

    fn overwrite(&self, digest: &Digest, bytes: &[u8]) {
        let path = self.file(digest);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, bytes).unwrap();
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.store.root().join("tmp")).unwrap().count()
    }
}

#[test]
fn every_way_in_gives_the_same_blob() {
    for function in [DigestFunction::Blake3, DigestFunction::Sha256] {
        for len in [0, 1, 1000, (1 << 20) - 1, 1 << 20, (3 << 20) + 7] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let expected = function.hash(&bytes);
            let input = tempfile::NamedTempFile::new().unwrap();
            fs::write(input.path(), &bytes).unwrap();
            assert_eq!(hash_file(function, input.path()).unwrap(), expected);

            for way in 0..4 {
                let f = fixture_with(|o| o.function = function);
                let digest = match way {
                    0 => f.store.put_bytes(&bytes).unwrap(),
                    1 => f.store.put_reader(&bytes[..]).unwrap(),
                    2 => f.store.put_file(input.path()).unwrap(),
                    _ => {
                        let mut writer = f.store.writer().unwrap();
                        for piece in bytes.chunks(70_001) {
                            writer.write_all(piece).unwrap();
                        }
                        writer.commit().unwrap()
                    }
                };
                assert_eq!(digest, expected, "way {way}, {len} bytes of {function}");
                assert_eq!(f.store.get(&digest).unwrap().unwrap(), bytes);
                assert_eq!(f.leftovers(), 0);
            }
        }
    }
}

#[test]
fn what_is_not_there_is_missing() {
    let f = fixture();
    let there = f.store.put_bytes(b"there").unwrap();
    let absent = DigestFunction::Blake3.hash(b"absent");
    let wrong_size = Digest { size: 4, ..there };
    assert!(f.store.get(&absent).unwrap().is_none());
    assert!(f.store.open_blob(&absent).unwrap().is_none());
    assert!(f.store.read_range(&absent, 0..1).unwrap().is_none());
    assert!(f.store.get(&wrong_size).unwrap().is_none());
    assert_eq!(
        f.store.find_missing(&[absent, there, wrong_size]),
        [absent, wrong_size]
    );
    assert!(f.store.contains(&there));
    assert!(matches!(f.store.blob(&absent).bytes(), Err(StoreError::Missing(d)) if d == absent));
    let foreign = DigestFunction::Sha256.hash(b"there");
    assert!(matches!(
        f.store.get(&foreign),
        Err(StoreError::OtherFunction { .. })
    ));
    assert!(!f.store.contains(&foreign));
}

#[test]
fn an_identical_blob_is_not_written_again() {
    let f = fixture();
    let same = large(b"same");
    let digest = f.store.put_bytes(&same).unwrap();
    let inode = fs::metadata(f.file(&digest)).unwrap().ino();
    for blob in [&same[..], b"small", b"small"] {
        f.store.put_bytes(blob).unwrap();
        f.store.put_reader(blob).unwrap();
    }
    assert_eq!(fs::metadata(f.file(&digest)).unwrap().ino(), inode);
    let stats = f.store.stats();
    assert_eq!(
        (stats.written, stats.bytes_written, stats.already_there),
        (2, same.len() as u64 + 5, 5)
    );
}

#[test]
fn every_flipped_bit_is_found_and_repaired() {
    let f = fixture();
    let blob = &large(b"twenty bytes of blob")[..];
    let digest = f.store.put_bytes(blob).unwrap();
    let places: Vec<usize> = (0..20).chain([blob.len() / 2, blob.len() - 1]).collect();
    for &at in &places {
        let mut damaged = blob.to_vec();
        damaged[at] ^= 1 << (at % 8);
        f.overwrite(&digest, &damaged);
        match at % 3 {
            0 => assert!(f.store.get(&digest).unwrap().is_none()),
            1 => assert!(f.store.open_blob(&digest).unwrap().is_none()),
            _ => assert!(f.store.read_range(&digest, 0..0).unwrap().is_none()),
        }
        assert!(!f.store.contains(&digest), "set aside, byte {at}");
        f.store.put_bytes(blob).unwrap();
        assert_eq!(f.store.get(&digest).unwrap().unwrap(), blob);
    }
    assert_eq!(f.store.stats().corrupt, places.len() as u64);
    assert_eq!(f.leftovers(), 0);
}

#[test]
fn a_put_repairs_what_nobody_has_read_yet() {
    let f = fixture();
    let digest = f.store.put_bytes(&large(b"original")).unwrap();
    for put in [
        |s: &Store| s.put_bytes(&large(b"original")),
        |s: &Store| s.put_reader(&large(b"original")[..]),
    ] {
        f.overwrite(&digest, &large(b"0riginal"));
        assert_eq!(put(&f.store).unwrap(), digest);
        assert_eq!(fs::read(f.file(&digest)).unwrap(), large(b"original"));
    }
}

#[test]
fn truncated_and_grown_blobs_are_missing() {
    let f = fixture();
    let blob = vec![7; 50_000];
    let digest = f.store.put_bytes(&blob).unwrap();
    for len in [0, 1, 4096, 49_999, 50_001] {
        f.overwrite(&digest, &vec![7; len]);
        assert!(f.store.get(&digest).unwrap().is_none(), "{len} bytes");
        f.store.put_bytes(&blob).unwrap();
    }
}

#[test]
fn a_verified_blob_is_hashed_once_until_it_changes() {
    let f = fixture();
    let digest = f.store.put_bytes(&large(b"hot")).unwrap();
    // Old enough for its time to tell a change.
    let file = File::open(f.file(&digest)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    for _ in 0..3 {
        assert!(f.store.get(&digest).unwrap().is_some());
    }
    assert_eq!(f.store.stats().verified, 1);
    f.overwrite(&digest, b"cold");
    assert!(f.store.get(&digest).unwrap().is_none());
    assert_eq!(f.store.stats().verified, 2);
}

#[test]
fn the_memory_cache_answers_without_the_disk() {
    let f = fixture_with(|o| o.memory_cache_bytes = 1 << 20);
    let digest = f.store.put_bytes(b"hot").unwrap();
    assert_eq!(f.store.get(&digest).unwrap().unwrap(), &b"hot"[..]);
    assert_eq!(f.store.stats().memory_hits, 1);
    assert_eq!(f.store.stats().verified, 0);
    assert!(f.store.blob(&digest).is_inline());
}

#[test]
fn handles_carry_small_blobs_and_fetch_large_ones() {
    let f = fixture_with(|o| o.inline_limit = 10);
    let small = f
        .store
        .hold(bytes::Bytes::from_static(b"0123456789"))
        .unwrap();
    let large = f
        .store
        .hold(bytes::Bytes::from_static(b"0123456789a"))
        .unwrap();
    assert!(small.is_inline() && !f.store.contains(&small.digest()));
    assert!(!large.is_inline() && f.store.contains(&large.digest()));
    for handle in [
        small,
        large,
        BlobHandle::inline(
            DigestFunction::Sha256,
            bytes::Bytes::from_static(b"0123456789"),
        ),
    ] {
        assert_eq!(&handle.range(2..5).unwrap()[..], b"234");
        assert!(matches!(
            handle.range(3..99),
            Err(StoreError::OutOfRange { .. })
        ));
        let mut reader = handle.reader().unwrap();
        reader.seek(SeekFrom::End(-2)).unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, &handle.bytes().unwrap()[handle.size() as usize - 2..]);
    }
}

#[test]
fn a_dropped_writer_and_a_failing_reader_leave_nothing() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("unplugged"))
        }
    }
    let f = fixture();
    let mut writer = f.store.writer().unwrap();
    writer.write_all(b"half").unwrap();
    assert_eq!(f.leftovers(), 0, "a small one is kept in memory");
    writer.write_all(&large(b"")).unwrap();
    assert_eq!(f.leftovers(), 1);
    drop(writer);
    let error = f
        .store
        .put_reader(large(b"half").chain(Failing))
        .unwrap_err();
    assert!(matches!(&error, StoreError::Source(e) if e.to_string() == "unplugged"));
    assert_eq!(f.leftovers(), 0);
    assert_eq!(f.store.stats().written, 0);
}

/// A file of the process file system has size 0 and gives more: as if it grew while it was read.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_not_as_long_as_it_was_is_refused() {
    let f = fixture();
    let growing = Path::new("/proc/self/status");
    for result in [
        f.store.put_file(growing),
        hash_file(DigestFunction::Blake3, growing),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, StoreError::Changed { path } if path == growing),
            "{error}"
        );
        assert!(!error.is_environment());
    }
    assert_eq!((f.leftovers(), f.store.stats().written), (0, 0));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn materialised_files_have_content_and_mode() {
    use MaterialiseMode::{Copy, Hardlink, Reflink};
    let f = fixture();
    let digest = f.store.put_bytes(b"#!/bin/sh\n").unwrap();
    for (how, executable, expected) in [
        (Copy, false, 0o644),
        (Copy, true, 0o755),
        (Reflink, false, 0o644),
        (Reflink, true, 0o755),
        (Hardlink, false, 0o444),
        (Hardlink, true, 0o555),
    ] {
        let dest = f.dir.path().join(format!("deep/er/{how:?}{executable}"));
        for _ in 0..2 {
            f.store
                .materialise(&digest, &dest, how, executable)
                .unwrap();
            assert_eq!(fs::read(&dest).unwrap(), b"#!/bin/sh\n");
            assert_eq!(mode(&dest), expected, "{how:?} {executable}");
        }
    }
    let folder = f.dir.path().join("deep/er");
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        6,
        "no temporary file is left"
    );
    let inode = |name: &str| fs::metadata(folder.join(name)).unwrap().ino();
    assert_eq!(
        inode("Hardlinkfalse"),
        fs::metadata(f.file(&digest)).unwrap().ino()
    );
    assert_ne!(
        inode("Hardlinktrue"),
        inode("Hardlinkfalse"),
        "modes stay apart"
    );
    // The copies are free to be written, and the store does not notice.
    fs::write(folder.join("Copyfalse"), "x").unwrap();
    fs::write(folder.join("Reflinkfalse"), "x").unwrap();
    assert!(f.store.get(&digest).unwrap().is_some());
}

#[test]
fn materialise_replaces_files_and_refuses_what_is_damaged() {
    let f = fixture();
    let digest = f.store.put_bytes(&large(b"new")).unwrap();
    let dest = f.dir.path().join("out");
    fs::write(&dest, "old").unwrap();
    f.overwrite(&digest, b"bad");
    let error = f
        .store
        .materialise(&digest, &dest, MaterialiseMode::Hardlink, false)
        .unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)));
    assert_eq!(fs::read(&dest).unwrap(), b"old");
    f.store.put_bytes(&large(b"new")).unwrap();
    f.store
        .materialise(&digest, &dest, MaterialiseMode::Copy, false)
        .unwrap();
    assert_eq!(fs::read(&dest).unwrap(), large(b"new"));
    // Where a folder stands, the error names the place, and nothing is left behind.
    let folder = f.dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let error = f
        .store
        .materialise(&digest, &folder, MaterialiseMode::Copy, false)
        .unwrap_err();
    assert!(
        error.is_environment() && error.to_string().contains(folder.to_str().unwrap()),
        "{error}"
    );
    assert_eq!(fs::read_dir(f.dir.path()).unwrap().count(), 3);
}

#[test]
fn verify_finds_every_damaged_blob_and_nothing_else() {
    let f = fixture();
    let digests: Vec<Digest> = (0..40_u32)
        .map(|i| f.store.put_bytes(&large(&i.to_le_bytes())).unwrap())
        .collect();
    f.store
        .materialise(
            &digests[0],
            &f.dir.path().join("x"),
            MaterialiseMode::Hardlink,
            true,
        )
        .unwrap();
    let mut damaged = vec![digests[3], digests[17], digests[39]];
    for digest in &damaged {
        assert!(f.store.get(digest).unwrap().is_some());
        f.overwrite(digest, b"\xff\xff\xff\xff");
    }
    let stranger = f.store.root().join("blake3/README");
    fs::write(&stranger, "hello").unwrap();
    let mut last = 0;
    let report = f
        .store
        .verify(&mut |p| {
            assert!(p.blobs > last);
            last = p.blobs;
        })
        .unwrap();
    damaged.sort();
    let bytes = 41 * (4 + MAX_PACKED_BLOB) - 3 * MAX_PACKED_BLOB;
    assert_eq!((report.blobs, report.bytes, last), (41, bytes, 41));
    assert_eq!(report.corrupt, damaged);
    assert_eq!(report.unknown, [stranger]);
    assert_eq!(f.store.find_missing(&digests).len(), 3);
    assert!(f.store.verify(&mut |_| {}).unwrap().corrupt.is_empty());
}

#[test]
fn foreign_and_newer_folders_are_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "chapter one").unwrap();
    let error = Store::open(StoreOptions::new(dir.path())).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }));
    assert!(
        error.to_string().contains("thesis.txt")
            && error.to_string().contains("choose another folder"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing was added to it"
    );

    for (version, expected) in [("zako-cas 2\n", "layout 2"), ("not ours", "not zako's")] {
        let f = fixture();
        fs::write(f.store.root().join("VERSION"), version).unwrap();
        let error = Store::open(StoreOptions::new(f.store.root())).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(StoreOptions::new(file.path())).unwrap_err();
    assert!(
        error.is_environment() && error.to_string().contains(file.path().to_str().unwrap()),
        "{error}"
    );
}

#[test]
fn the_marker_is_a_contract() {
    let f = fixture();
    assert_eq!(
        fs::read_to_string(f.store.root().join("VERSION")).unwrap(),
        "zako-cas 1\n"
    );
    let blob = vec![b'h'; 100_000];
    let digest = f.store.put_bytes(&blob).unwrap();
    let hex = "996ec1bf74011154c87a6f8a2a0f93fd0a005e824884029a378ae8f04072bea3";
    assert_eq!(digest.to_string(), format!("blake3:{hex}/100000"));
    let file = f
        .store
        .root()
        .join(format!("blake3/{}/{hex}-100000", &hex[..2]));
    assert_eq!(fs::read(&file).unwrap(), blob);
    assert_eq!(mode(&file), 0o444);
}

#[test]
fn a_write_error_names_the_path() {
    let f = fixture();
    let digest = DigestFunction::Blake3.hash(&large(b"blocked"));
    let folder = f.file(&digest).parent().unwrap().to_path_buf();
    fs::write(&folder, "in the way").unwrap();
    let error = f.store.put_bytes(&large(b"blocked")).unwrap_err();
    assert!(
        error.is_environment() && error.to_string().contains(folder.to_str().unwrap()),
        "{error}"
    );
    let segments = f.store.root().join("segments");
    fs::write(&segments, "in the way").unwrap();
    let error = f.store.put_bytes(b"small").unwrap_err();
    assert!(
        error.is_environment() && error.to_string().contains(segments.to_str().unwrap()),
        "{error}"
    );
    let absent = f.dir.path().join("absent");
    let error = f.store.put_file(&absent).unwrap_err();
    assert!(
        error.to_string().contains(absent.to_str().unwrap()),
        "{error}"
    );
    assert!(
        f.store.put_file(f.dir.path()).is_err(),
        "a folder is no file"
    );
}

#[test]
fn temporary_files_of_dead_processes_are_cleared() {
    let f = fixture();
    let tmp = f.store.root().join("tmp");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let alive = std::process::id();
    let second = Duration::from_secs(1);
    let age = |name: String, age: Duration| {
        let file = File::create(tmp.join(&name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        name
    };
    let kept = [
        age(format!("{alive}-old"), STALE_AFTER + second),
        age(format!("{dead}-young"), STALE_AFTER - 60 * second),
    ];
    age(format!("{dead}-old"), STALE_AFTER + second);
    age(format!("{alive}-abandoned"), ABANDONED_AFTER + second);
    age("unnamed".into(), STALE_AFTER + second);
    Store::open(StoreOptions::new(f.store.root())).unwrap();
    let mut left: Vec<String> = fs::read_dir(&tmp)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut kept = kept.to_vec();
    kept.sort();
    assert_eq!(left, kept);
}

#[test]
fn many_threads_put_and_get_one_blob() {
    let f = fixture_with(|o| o.durability = Durability::Synced);
    let blob: Vec<u8> = (0..100_000).map(|i| (i % 253) as u8).collect();
    let digest = DigestFunction::Blake3.hash(&blob);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (store, blob) = (f.store.clone(), &blob);
            scope.spawn(move || {
                for _ in 0..10 {
                    let put = if i % 2 == 0 {
                        store.put_bytes(blob)
                    } else {
                        store.put_reader(&blob[..])
                    };
                    assert_eq!(put.unwrap(), digest);
                    assert_eq!(store.get(&digest).unwrap().unwrap(), *blob);
                }
            });
        }
    });
    assert_eq!(f.store.stats().corrupt, 0);
    assert_eq!(f.leftovers(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_slices(blob in prop::collection::vec(any::<u8>(), 0..3000), a in 0..3500_u64, b in 0..3500_u64) {
        let f = fixture();
        let digest = f.store.put_bytes(&blob).unwrap();
        prop_assert_eq!(f.store.get(&digest).unwrap().unwrap(), blob.clone());
        let got = f.store.read_range(&digest, a..b);
        match blob.get(a as usize..b as usize) {
            Some(expected) => prop_assert_eq!(&got.unwrap().unwrap()[..], expected),
            None => {
                let is_refused = matches!(got, Err(StoreError::OutOfRange { .. }));
                prop_assert!(is_refused);
            }
        }
    }

    #[test]
    fn digests_survive_their_text(hash in any::<[u8; 32]>(), size in 0..=i64::MAX as u64, sha in any::<bool>()) {
        let function = if sha { DigestFunction::Sha256 } else { DigestFunction::Blake3 };
        let digest = Digest { function, hash, size };
        prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn no_text_makes_the_digest_parser_panic(text in "(blake3:|sha256:)?[0-9a-fA-F]{0,66}/?[-+0-9]{0,20}") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text, "one spelling a digest");
        }
    }
}
