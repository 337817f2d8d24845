//! The action cache: round trips, damage, many at once.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zako_action::{
    ActionBody, ActionCache, ActionResult, ActionSpec, ArtifactValue, CacheError, Discovered,
    DiscoveredPath, Isolation, MAX_NARROW_RECORDS, NarrowKey, OutputFile, Prepared, StrongKey,
    Usage,
};
use zako_cas::segment::{RecordKey, SegmentLog, SegmentPurpose};
use zako_cas::{Digest, DigestFunction, Store, StoreOptions};
use zako_path::NeutralPath;

const F: DigestFunction = DigestFunction::Blake3;

fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

fn key(word: &str) -> StrongKey {
    let spec = ActionSpec::new(
        "//:t",
        "test",
        ActionBody::Command {
            argv: vec![word.into()],
        },
    );
    let action = Prepared {
        spec: Arc::new(spec),
        inputs: BTreeMap::new(),
        staged: BTreeMap::new(),
        tools: Vec::new(),
        salt: String::new(),
        isolation: Isolation::Basic,
    };
    action.strong_key(F, None).unwrap()
}

fn result() -> ActionResult {
    let output = |name: &str, value| OutputFile {
        path: path(name),
        value,
    };
    ActionResult {
        exit_code: 0,
        outputs: vec![
            output("z", ArtifactValue::Symlink { target: "a".into() }),
            output("dir", ArtifactValue::Directory { tree: F.empty() }),
            output(
                "a",
                ArtifactValue::File {
                    digest: F.hash(b"a"),
                    executable: true,
                },
            ),
        ],
        stdout: F.hash(b"out"),
        stderr: F.empty(),
        usage: Usage {
            wall: Duration::from_millis(1500),
            user: Duration::from_nanos(7),
            system: Duration::from_secs(2),
            max_rss_bytes: 1 << 30,
            blocks_in: 3,
            blocks_out: 4,
        },
        narrow: None,
    }
}

fn staged(name: &str, content: &str) -> Discovered {
    Discovered {
        path: DiscoveredPath::Workspace(path(name)),
        digest: F.hash(content.as_bytes()),
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path())
            } else {
                found.push(entry.path())
            }
        }
    }
    found
}

#[test]
fn results_are_found_under_their_key_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let cache = ActionCache::open(dir.path(), F).unwrap();
    assert_eq!(cache.lookup(&key("a")).unwrap(), None);
    cache.record(&key("a"), &result()).unwrap();
    assert_eq!(cache.lookup(&key("a")).unwrap(), Some(result()));
    cache.flush().unwrap();
    let again = ActionCache::open(dir.path(), F).unwrap();
    assert_eq!(
        again.lookup(&key("a")).unwrap(),
        Some(result()),
        "order of outputs and all"
    );
    assert_eq!(again.lookup(&key("b")).unwrap(), None);
    // The last one counts, also for those who read the one before.
    let newer = ActionResult {
        stdout: F.hash(b"newer"),
        ..result()
    };
    again.record(&key("a"), &newer).unwrap();
    assert_eq!(again.lookup(&key("a")).unwrap(), Some(newer.clone()));
    drop(again);
    let third = ActionCache::open(dir.path(), F).unwrap();
    assert_eq!(third.lookup(&key("a")).unwrap(), Some(newer));
}

/// Writes what a zako from before there were segments would have.
fn write_file(dir: &Path, kind: &str, key: &Digest, body: &[u8]) -> PathBuf {
    let hex = key.hex();
    let folder = dir.join("blake3").join(kind).join(&hex[..2]);
    fs::create_dir_all(&folder).unwrap();
    let mut bytes = b"zako-ac\n\x01\0\0\0".to_vec();
    bytes.extend_from_slice(&F.hash(&[&key.hash, body].concat()).hash);
    bytes.extend_from_slice(body);
    let path = folder.join(hex);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn files_of_older_caches_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_file(dir.path(), "strong", &key("a").0, &result().encode());
    let narrow = NarrowKey(F.hash(b"weak"));
    let mut listed = result();
    listed.narrow = Some(vec![staged("a.h", "a")]);
    // A list of one message, as field 1.
    let message = listed.encode();
    let mut list = vec![
        0x0a,
        (message.len() % 128 + 128) as u8,
        (message.len() / 128) as u8,
    ];
    list.extend_from_slice(&message);
    write_file(dir.path(), "narrow", &narrow.0, &list);
    let cache = ActionCache::open(dir.path(), F).unwrap();
    assert_eq!(cache.lookup(&key("a")).unwrap(), Some(result()));
    let look = || {
        cache
            .lookup_narrow(&narrow, |_| Some(F.hash(b"a")))
            .unwrap()
    };
    assert_eq!(look(), Some(listed));
    // Another key's file is no record of this one's, and a damaged one is none of its own.
    let copy = write_file(dir.path(), "strong", &key("b").0, b"");
    fs::copy(&file, copy).unwrap();
    assert_eq!(cache.lookup(&key("b")).unwrap(), None);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(&file, damaged).unwrap();
        assert_eq!(cache.lookup(&key("a")).unwrap(), None, "flipped at {at}");
        fs::write(&file, &whole[..at]).unwrap();
        assert_eq!(cache.lookup(&key("a")).unwrap(), None, "torn at {at}");
    }
    cache.record(&key("a"), &result()).unwrap();
    assert_eq!(cache.lookup(&key("a")).unwrap(), Some(result()));
}

#[test]
fn a_result_is_never_seen_before_its_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let store = Store::open(StoreOptions::new(dir.path().join("cas"))).unwrap();
        let cache = ActionCache::open(&dir.path().join("actions"), F).unwrap();
        (cache.with_store(store.clone()), store)
    };
    let (cache, store) = open();
    let (other_cache, other_store) = open();
    for round in 0_u32..50 {
        let word = round.to_string();
        let result = ActionResult {
            stdout: store.put_bytes(word.as_bytes()).unwrap(),
            outputs: Vec::new(),
            ..result()
        };
        cache.record(&key(&word), &result).unwrap();
        if round % 7 == 0 {
            cache.flush().unwrap();
        }
        for n in 0..=round {
            if let Some(seen) = other_cache.lookup(&key(&n.to_string())).unwrap() {
                other_store.refresh().unwrap();
                assert!(other_store.contains(&seen.stdout), "{n} in round {round}");
            }
        }
    }
    // Also when both end, whichever goes first.
    drop(store);
    drop(cache);
    let (cache, store) = open();
    let seen = cache.lookup(&key("49")).unwrap().unwrap();
    assert!(store.contains(&seen.stdout));
}

#[test]
fn failures_and_foreign_digests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cache = ActionCache::open(dir.path(), F).unwrap();
    let failed = ActionResult {
        exit_code: 2,
        ..result()
    };
    assert!(matches!(
        cache.record(&key("a"), &failed),
        Err(CacheError::Failed(2))
    ));
    let narrow = NarrowKey(F.hash(b"n"));
    assert!(matches!(
        cache.record_narrow(&narrow, Vec::new(), &failed),
        Err(CacheError::Failed(2))
    ));
    let foreign = ActionResult {
        stdout: DigestFunction::Sha256.hash(b"x"),
        ..result()
    };
    assert!(matches!(
        cache.record(&key("a"), &foreign),
        Err(CacheError::OtherFunction { .. })
    ));
    drop(cache);
    assert!(files_below(dir.path()).is_empty());
}

#[test]
fn result_bytes_are_a_contract() {
    let mut sample = result();
    sample.narrow = Some(vec![staged("b.h", "b")]);
    let bytes = sample.encode();
    assert_eq!(ActionResult::decode(&bytes, F), Some(sample));
    let expected = "blake3:012b5d3b5a3aa903a61a8fce389e8708993f664fb6563346c141eccaa20d22bd/421";
    assert_eq!(F.hash(&bytes).to_string(), expected);
    assert_eq!(ActionResult::decode(b"\xff", F), None);
    assert_eq!(ActionResult::decode(b"", F), None);
}

#[test]
fn record_bytes_are_a_contract() {
    let dir = tempfile::tempdir().unwrap();
    let narrow = NarrowKey(F.hash(b"weak"));
    let cache = ActionCache::open(dir.path(), F).unwrap();
    cache.record(&key("a"), &result()).unwrap();
    cache
        .record_narrow(&narrow, vec![staged("a.h", "a")], &result())
        .unwrap();
    drop(cache);
    let log = SegmentLog::open(
        &dir.path().join("blake3/segments"),
        SegmentPurpose::ActionResults,
        false,
    );
    let record = |kind, hash| {
        let found = log.get(&RecordKey { kind, hash }).unwrap().unwrap();
        let (format, body) = found.bytes.split_at(4);
        assert_eq!(format, [2, 0, 0, 0]);
        body.to_vec()
    };
    assert_eq!(record(1, key("a").0.hash), result().encode());
    let list = record(2, narrow.0.hash);
    let expected = "8fd87ae54661af994f8f2c7a415eae82de74666f4e9d77a69065d6d6ea8e7058";
    let hex: String = list.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
    let mut listed = result();
    listed.narrow = Some(vec![staged("a.h", "a")]);
    assert_eq!(record(3, list.try_into().unwrap()), listed.encode());
}

#[test]
fn the_core_of_a_result_is_the_one_of_the_api() {
    use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
    use prost::Message;
    #[derive(Clone, PartialEq, Message)]
    struct Core {
        #[prost(bytes = "vec", tag = "1")]
        result: Vec<u8>,
    }
    let core = Core::decode(&result().encode()[..]).unwrap();
    let message = api::ActionResult::decode(&core.result[..]).unwrap();
    assert_eq!(
        message.encode_to_vec(),
        core.result,
        "nothing that the API does not know"
    );
    assert_eq!(
        (
            &message.output_files[0].path[..],
            message.output_files[0].is_executable
        ),
        ("a", true)
    );
    assert_eq!(
        message.output_directories[0]
            .root_directory_digest
            .as_ref()
            .unwrap()
            .hash,
        F.empty().hex()
    );
    assert_eq!(message.output_symlinks[0].target, "a");
    assert_eq!(message.stdout_digest.unwrap().size_bytes, 3);
}

#[test]
fn damaged_records_are_misses_and_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let open = || ActionCache::open(dir.path(), F).unwrap();
    open().record(&key("a"), &result()).unwrap();
    let file = files_below(dir.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        for (what, bytes) in [("flipped", &damaged[..]), ("torn", &whole[..at])] {
            for file in files_below(dir.path()) {
                fs::remove_file(file).unwrap();
            }
            fs::write(&file, bytes).unwrap();
            let found = open().lookup(&key("a")).unwrap();
            // What fills a record up to a multiple of 8 bytes means nothing.
            let is_padding = what == "flipped" && at >= whole.len() - 7;
            assert!(
                found.is_none() || is_padding && found == Some(result()),
                "{what} at {at}"
            );
            open().record(&key("a"), &result()).unwrap();
            assert_eq!(open().lookup(&key("a")).unwrap(), Some(result()));
        }
    }
}

#[test]
fn a_narrow_record_hits_when_every_listed_file_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let cache = ActionCache::open(dir.path(), F).unwrap();
    let key = NarrowKey(F.hash(b"weak"));
    let external = Discovered {
        path: DiscoveredPath::External("/usr/local/x.h".into()),
        digest: F.hash(b"x"),
    };
    let list = vec![
        staged("b.h", "b"),
        external,
        staged("a.h", "a"),
        staged("a.h", "a"),
    ];
    cache.record_narrow(&key, list, &result()).unwrap();

    let look = |files: &[(&str, &str)]| {
        let now: HashMap<&str, Digest> = files
            .iter()
            .map(|(n, c)| (*n, F.hash(c.as_bytes())))
            .collect();
        let found = cache.lookup_narrow(&key, |path| match path {
            DiscoveredPath::Workspace(path) => now.get(path.as_str()).copied(),
            DiscoveredPath::External(path) => now.get(path.as_str()).copied(),
        });
        found.unwrap()
    };
    let hit = look(&[
        ("a.h", "a"),
        ("b.h", "b"),
        ("unread.h", "anything"),
        ("/usr/local/x.h", "x"),
    ])
    .unwrap();
    assert_eq!(hit.outputs, result().outputs);
    assert_eq!(hit.narrow.as_ref().unwrap().len(), 3, "sorted, each once");
    assert!(hit.is_local() && !result().is_local());
    assert_eq!(
        look(&[("a.h", "edited"), ("b.h", "b"), ("/usr/local/x.h", "x")]),
        None
    );
    assert_eq!(
        look(&[("b.h", "b"), ("/usr/local/x.h", "x")]),
        None,
        "no longer staged"
    );
    assert_eq!(
        look(&[("a.h", "a"), ("b.h", "b")]),
        None,
        "gone from the machine"
    );
    assert_eq!(
        cache
            .lookup_narrow(&NarrowKey(F.hash(b"other")), |_| None)
            .unwrap(),
        None
    );
}

#[test]
fn the_newest_narrow_records_are_kept_each_list_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = ActionCache::open(dir.path(), F).unwrap();
    let key = NarrowKey(F.hash(b"weak"));
    let outcome = |n: usize| ActionResult {
        stdout: F.hash(&n.to_le_bytes()),
        ..result()
    };
    let look = |content: &str| {
        let digest = F.hash(content.as_bytes());
        cache
            .lookup_narrow(&key, |_| Some(digest))
            .unwrap()
            .map(|r| r.stdout)
    };
    let count = MAX_NARROW_RECORDS + 3;
    for n in 0..count {
        cache
            .record_narrow(&key, vec![staged("a.h", &n.to_string())], &outcome(n))
            .unwrap();
    }
    for n in 0..count {
        let expected = (n >= 3).then(|| outcome(n).stdout);
        assert_eq!(look(&n.to_string()), expected, "record {n}");
    }
    // The same list again replaces its record and pushes nothing out.
    cache
        .record_narrow(&key, vec![staged("a.h", "3")], &outcome(99))
        .unwrap();
    assert_eq!(look("3"), Some(outcome(99).stdout));
    assert_eq!(look("4"), Some(outcome(4).stdout));
}

#[test]
fn threads_record_at_once_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = ActionCache::open(dir.path(), F).unwrap();
    let weak = NarrowKey(F.hash(b"weak"));
    std::thread::scope(|scope| {
        for n in 0..MAX_NARROW_RECORDS {
            let cache = cache.clone();
            scope.spawn(move || {
                cache.record(&key("same"), &result()).unwrap();
                cache
                    .record_narrow(&weak, vec![staged("a.h", &n.to_string())], &result())
                    .unwrap();
                assert_eq!(cache.lookup(&key("same")).unwrap(), Some(result()));
            });
        }
    });
    for n in 0..MAX_NARROW_RECORDS {
        let digest = F.hash(n.to_string().as_bytes());
        assert!(
            cache
                .lookup_narrow(&weak, |_| Some(digest))
                .unwrap()
                .is_some(),
            "record {n}"
        );
    }
}

#[test]
fn completeness_looks_into_directories() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path().join("cas"))).unwrap();
    let folder = dir.path().join("folder/sub");
    fs::create_dir_all(&folder).unwrap();
    let content = vec![b'c'; zako_cas::MAX_PACKED_BLOB as usize + 1];
    fs::write(folder.join("f"), &content).unwrap();
    let tree = store.put_directory(&dir.path().join("folder")).unwrap();
    let mut result = result();
    result.outputs[1].value = ArtifactValue::Directory { tree };
    store.put_bytes(b"a").unwrap();
    assert!(!result.is_complete(&store), "standard output is missing");
    store.put_bytes(b"out").unwrap();
    assert!(result.is_complete(&store));
    let hex = F.hash(&content).hex();
    let file = format!("blake3/{}/{hex}-{}", &hex[..2], content.len());
    fs::remove_file(store.root().join(file)).unwrap();
    assert!(
        !result.is_complete(&store),
        "a file in the directory is missing"
    );
}

#[test]
fn an_unwritable_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("blake3"), "in the way").unwrap();
    let error = ActionCache::open(dir.path(), F).unwrap_err().to_string();
    assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
}
