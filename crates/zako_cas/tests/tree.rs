//! Trees: canonical bytes, conflicts, round trips, and the same bytes as the API's own crate.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
use proptest::prelude::*;
use prost::Message;
use zako_cas::{
    Digest, DigestFunction, MaterialiseMode, Store, StoreOptions, SubtreeCache, Tree, TreeBuilder,
    TreeEntry, TreeError,
};
use zako_path::NeutralPath;

const F: DigestFunction = DigestFunction::Blake3;

fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

fn file(content: &str) -> TreeEntry {
    TreeEntry::File {
        digest: F.hash(content.as_bytes()),
        executable: false,
    }
}

fn build(entries: &[(&str, TreeEntry)]) -> Result<Tree, TreeError> {
    let mut builder = TreeBuilder::new(F);
    for (place, entry) in entries {
        builder.entry(&path(place), entry.clone());
    }
    builder.build()
}

fn api_digest(d: Digest) -> Option<api::Digest> {
    Some(api::Digest {
        hash: d.hex(),
        size_bytes: d.size as i64,
    })
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path().join("cas"))).unwrap();
    (dir, store)
}

#[test]
fn bytes_are_those_of_the_api() {
    let content = F.hash(b"x");
    let inner = F.hash(b"inner");
    let mut builder = TreeBuilder::new(F);
    // Added out of order on purpose.
    builder
        .file(&path("z"), content, false)
        .symlink(&path("link"), "../a")
        .directory(&path("lib"), inner)
        .file(&path("a-b"), content, true)
        .file(&path("a/c"), content, false)
        .directory(&path("a0"), F.empty());
    let tree = builder.build().unwrap();

    let child = api::Directory {
        files: vec![api::FileNode {
            name: "c".into(),
            digest: api_digest(content),
            ..Default::default()
        }],
        ..Default::default()
    };
    let child_bytes = child.encode_to_vec();
    let directory = |name: &str, d| api::DirectoryNode {
        name: name.into(),
        digest: api_digest(d),
    };
    let root = api::Directory {
        files: vec![
            api::FileNode {
                name: "a-b".into(),
                digest: api_digest(content),
                is_executable: true,
                ..Default::default()
            },
            api::FileNode {
                name: "z".into(),
                digest: api_digest(content),
                ..Default::default()
            },
        ],
        directories: vec![
            directory("a", F.hash(&child_bytes)),
            directory("a0", F.empty()),
            directory("lib", inner),
        ],
        symlinks: vec![api::SymlinkNode {
            name: "link".into(),
            target: "../a".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let root_bytes = root.encode_to_vec();
    let messages: Vec<&[u8]> = tree.directories.iter().map(|(_, m)| &m[..]).collect();
    assert_eq!(messages, [&child_bytes[..], &root_bytes[..]]);
    assert_eq!(tree.root, F.hash(&root_bytes));
}

#[test]
fn bytes_are_a_contract() {
    let tree = build(&[(
        "d/f",
        TreeEntry::File {
            digest: F.hash(b"hello"),
            executable: true,
        },
    )])
    .unwrap();
    let (_, message) = &tree.directories[0];
    let hex = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";
    // files(1) { name(1) "f", digest(2) { hash(1) hex, size_bytes(2) 5 }, is_executable(4) true }
    let expected = [
        "0a4b",
        "0a0166",
        "1244",
        "0a40",
        &hex::encode(hex),
        "1005",
        "2001",
    ]
    .concat();
    assert_eq!(hex::encode(message), expected);
    assert_eq!(
        build(&[]).unwrap().root,
        F.empty(),
        "an empty directory is the empty blob"
    );
}

#[test]
fn conflicts_name_the_path() {
    let link = TreeEntry::Symlink { target: "t".into() };
    let tree = TreeEntry::Directory {
        digest: F.hash(b"t"),
    };
    for (entries, expected) in [
        (
            vec![("a/b", file("1")), ("a", file("2"))],
            "`a` is both a file and a directory",
        ),
        (
            vec![
                ("x/a", file("1")),
                ("x/a-b", file("1")),
                ("x/a/b", file("2")),
            ],
            "`x/a` is both a file and a directory",
        ),
        (
            vec![("a", tree.clone()), ("a/b", file("2"))],
            "`a` is both a directory and another with other content",
        ),
        (
            vec![("a", file("1")), ("a", file("2"))],
            "`a` is both a file and another with other content",
        ),
        (
            vec![("a", file("1")), ("a", link)],
            "`a` is both a file and a symbolic link",
        ),
        (
            vec![("", file("1"))],
            "the root of a tree must be a directory",
        ),
    ] {
        assert_eq!(build(&entries).unwrap_err().to_string(), expected);
    }
    let once = build(&[("a", file("1"))]).unwrap();
    assert_eq!(
        build(&[("a", file("1")), ("a", file("1"))]).unwrap(),
        once,
        "the same twice is once"
    );
    let sha = TreeEntry::File {
        digest: DigestFunction::Sha256.hash(b"1"),
        executable: false,
    };
    assert!(
        build(&[("a", sha)])
            .unwrap_err()
            .to_string()
            .contains("cannot be in a blake3 store")
    );
    let deep = vec!["d"; zako_cas::MAX_TREE_DEPTH + 1].join("/");
    assert!(matches!(
        build(&[(&deep, file("1"))]),
        Err(TreeError::TooDeep(_))
    ));
    assert_eq!(
        build(&[("", tree)]).unwrap().root,
        F.hash(b"t"),
        "a whole tree as the root"
    );
}

#[test]
fn shared_subtrees_are_built_and_kept_once() {
    let cache = SubtreeCache::new(F, 1 << 20);
    let make = |own: &str| {
        let mut builder = TreeBuilder::new(F);
        for copy in ["one", "two"] {
            for i in 0..5 {
                builder.file(&path(&format!("{copy}/include/{i}.h")), F.hash(&[i]), false);
            }
        }
        builder.file(&path("main.c"), F.hash(own.as_bytes()), false);
        builder
    };
    let first = make("1").build_with(&cache).unwrap();
    assert_eq!(first.directories.len(), 3, "include, its parent, the root");
    assert_eq!(cache.len(), 3);
    let second = make("2").build_with(&cache).unwrap();
    assert_eq!(cache.len(), 4);
    assert_eq!(
        second,
        make("2").build().unwrap(),
        "the cache changes no bytes"
    );
    assert_eq!(
        first.directories[0].1.as_ptr(),
        second.directories[0].1.as_ptr(),
        "one allocation"
    );
    let foreign = TreeBuilder::new(DigestFunction::Sha256)
        .build_with(&cache)
        .unwrap();
    assert_eq!(foreign.root, DigestFunction::Sha256.empty());
}

#[test]
fn trees_are_read_back_and_refused_when_not_whole() {
    let (_dir, store) = store();
    let tree = build(&[
        ("a/b/c", file("1")),
        ("a/d", file("2")),
        ("e", TreeEntry::Directory { digest: F.empty() }),
    ])
    .unwrap();
    assert!(matches!(store.read_tree(&tree.root), Err(TreeError::Missing(d)) if d == tree.root));
    store.put_tree(&tree).unwrap();
    let read = store.read_tree(&tree.root).unwrap();
    let names = |t: &Tree| {
        let mut names: Vec<String> = t
            .walk()
            .unwrap()
            .into_iter()
            .map(|(p, _)| p.to_string())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&read), ["a", "a/b", "a/b/c", "a/d", "e"]);
    assert_eq!(
        names(&tree),
        names(&read),
        "the empty directory needs no message"
    );

    let node = |name: &str| api::FileNode {
        name: name.into(),
        digest: api_digest(F.hash(b"x")),
        ..Default::default()
    };
    for (files, reason) in [
        (vec![node("b"), node("a")], "not sorted"),
        (vec![node("a"), node("a")], "not sorted"),
        (vec![node("..")], "`..` is not a name"),
        (vec![node("a/b")], "`a/b` is not a name"),
        (vec![node("")], "`` is not a name"),
        (
            vec![api::FileNode {
                name: "a".into(),
                ..Default::default()
            }],
            "is not a hash",
        ),
    ] {
        let digest = store
            .put_bytes(
                &api::Directory {
                    files,
                    ..Default::default()
                }
                .encode_to_vec(),
            )
            .unwrap();
        let error = store.read_tree(&digest).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let both = api::Directory {
        files: vec![node("a")],
        symlinks: vec![api::SymlinkNode {
            name: "a".into(),
            target: "t".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let digest = store.put_bytes(&both.encode_to_vec()).unwrap();
    assert!(
        store
            .read_tree(&digest)
            .unwrap_err()
            .to_string()
            .contains("`a` is there twice")
    );
}

#[test]
fn a_tree_that_unfolds_without_end_is_refused() {
    let mut tree = Tree {
        root: F.empty(),
        directories: Vec::new(),
    };
    for _ in 0..64 {
        let mut builder = TreeBuilder::new(F);
        builder
            .directory(&path("a"), tree.root)
            .directory(&path("b"), tree.root);
        let level = builder.build().unwrap();
        tree.root = level.root;
        tree.directories.extend(level.directories);
    }
    let error = tree.walk_at_most(10_000).unwrap_err();
    assert!(
        matches!(error, TreeError::TooLarge { limit: 10_000, .. }),
        "{error}"
    );
}

#[test]
fn folders_are_captured_and_made_again() {
    let (dir, store) = store();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("bin")).unwrap();
    fs::create_dir_all(source.join("empty/er")).unwrap();
    fs::write(source.join("bin/tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(source.join("bin/tool"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(source.join("read me"), "text").unwrap();
    std::os::unix::fs::symlink("../nowhere", source.join("bin/link")).unwrap();
    let root = store.put_directory(&source).unwrap();

    for mode in [MaterialiseMode::Copy, MaterialiseMode::Hardlink] {
        let dest = dir.path().join("out/copy");
        fs::create_dir_all(dest.join("stale")).unwrap();
        store.materialise_tree(&root, &dest, mode).unwrap();
        assert_eq!(store.put_directory(&dest).unwrap(), root);
        assert!(!dest.join("stale").exists() && dest.join("empty/er").is_dir());
        assert_eq!(
            fs::read_link(dest.join("bin/link")).unwrap().to_str(),
            Some("../nowhere")
        );
        assert_eq!(
            fs::read_dir(dir.path().join("out")).unwrap().count(),
            1,
            "nothing else is left"
        );
    }
    // A missing file leaves the old tree alone.
    let broken = build(&[("f", file("never stored"))]).unwrap();
    store.put_tree(&broken).unwrap();
    let dest = dir.path().join("out/copy");
    assert!(
        store
            .materialise_tree(&broken.root, &dest, MaterialiseMode::Copy)
            .is_err()
    );
    assert_eq!(store.put_directory(&dest).unwrap(), root);
}

#[test]
fn what_no_tree_can_hold_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let (dir, store) = store();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    let error = store.put_directory(&source).unwrap_err().to_string();
    assert!(
        error.contains("caf") && error.contains("not UTF-8"),
        "{error}"
    );
    let source = dir.path().join("sockets");
    fs::create_dir(&source).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("s")).unwrap();
    let error = store.put_directory(&source).unwrap_err().to_string();
    assert!(error.contains("no file, folder or link"), "{error}");
}

fn entries() -> impl Strategy<Value = BTreeMap<String, TreeEntry>> {
    let place = prop::collection::vec("[a-c.-]{0,2}[a-z]", 1..5).prop_map(|names| names.join("/"));
    let entry = prop_oneof![
        4 => (any::<u8>(), any::<bool>())
            .prop_map(|(b, executable)| TreeEntry::File { digest: F.hash(&[b]), executable }),
        1 => "[a-z/.]{1,8}".prop_map(|target| TreeEntry::Symlink { target }),
        1 => Just(TreeEntry::Directory { digest: F.empty() }),
    ];
    prop::collection::btree_map(place, entry, 0..24)
}

/// Paths with no entry both at and below them: what must build.
fn without_conflicts(entries: BTreeMap<String, TreeEntry>) -> BTreeMap<String, TreeEntry> {
    let names: Vec<String> = entries.keys().cloned().collect();
    let is_above = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'));
    entries
        .into_iter()
        .filter(|(name, _)| !names.iter().any(|other| is_above(name, other)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_round_trip(entries in entries(), seed in any::<u64>()) {
        let (_dir, store) = store();
        let entries = without_conflicts(entries);
        let mut order: Vec<_> = entries.iter().collect();
        order.sort_by_key(|(name, _)| F.hash(format!("{seed}{name}").as_bytes()));
        let mut builder = TreeBuilder::new(F);
        for (name, entry) in order {
            builder.entry(&path(name), entry.clone());
        }
        let tree = builder.build().unwrap();
        store.put_tree(&tree).unwrap();
        let mut found: BTreeMap<String, TreeEntry> = BTreeMap::new();
        for (place, entry) in store.read_tree(&tree.root).unwrap().walk().unwrap() {
            // Folders that exist only because of what is in them are not entries that we added.
            if entries.contains_key(place.as_str()) {
                found.insert(place.to_string(), entry);
            } else {
                let is_directory = matches!(entry, TreeEntry::Directory { .. });
                prop_assert!(is_directory);
            }
        }
        prop_assert_eq!(found, entries);
        for (digest, message) in &tree.directories {
            let decoded = api::Directory::decode(&message[..]).unwrap();
            prop_assert_eq!(decoded.encode_to_vec(), message.to_vec());
            prop_assert_eq!(F.hash(message), *digest);
        }
    }

    #[test]
    fn any_change_changes_the_root(entries in entries(), victim in any::<prop::sample::Index>()) {
        let entries = without_conflicts(entries);
        prop_assume!(!entries.is_empty());
        let root = |entries: &BTreeMap<String, TreeEntry>| {
            let list: Vec<_> = entries.iter().map(|(p, e)| (p.as_str(), e.clone())).collect();
            build(&list).unwrap().root
        };
        let before = root(&entries);
        let name = entries.keys().nth(victim.index(entries.len())).unwrap().clone();
        let mut other = entries.clone();
        other.insert(name.clone(), file("surely not there"));
        prop_assert_ne!(root(&other), before);
        other.remove(&name);
        prop_assert_ne!(root(&other), before);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let digest = F.hash(&bytes);
        let tree = Tree { root: digest, directories: vec![(digest, bytes.into())] };
        if let Ok(entries) = tree.walk() {
            prop_assert!(entries.len() < 200);
        }
    }
}
