//! Many processes at one store at once, some of them vandals.
//!
//! The test runs its own binary again; the child is the ignored test below, told by its
//! environment which store to use.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;

use zako_cas::{DigestFunction, MaterialiseMode, Store, StoreOptions};

const STORE: &str = "ZAKO_TEST_STORE";
const ROLE: &str = "ZAKO_TEST_ROLE";
const BLOBS: u32 = 12;
const ROUNDS: u32 = 25;

/// Some that go to segments, some that get a file, and one that is hashed in parallel.
fn blob(i: u32) -> Vec<u8> {
    let len = if i == 0 { (1 << 20) + 11 } else { i * 5997 };
    (0..len)
        .map(|at| (at.wrapping_mul(i + 3) % 251) as u8)
        .collect()
}

fn open(root: &std::path::Path) -> Store {
    Store::open(StoreOptions {
        memory_cache_bytes: 0,
        ..StoreOptions::new(root)
    })
    .unwrap()
}

#[test]
fn processes_share_a_store_that_is_being_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("cas");
    let spawn = |role: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--test-threads=1"])
            .env(STORE, &root)
            .env(ROLE, role)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = ["worker", "worker", "vandal", "worker"].map(spawn).into();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("1 passed"),
            "the child really ran"
        );
    }
    // With the vandal gone, one check and one put make everything whole.
    let store = open(&root);
    store.verify(&mut |_| {}).unwrap();
    for i in 0..BLOBS {
        let digest = store.put_bytes(&blob(i)).unwrap();
        assert_eq!(store.get(&digest).unwrap().unwrap(), blob(i));
    }
    assert!(store.verify(&mut |_| {}).unwrap().corrupt.is_empty());
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}

/// Flips a bit of each segment, anywhere behind its first bytes, which say that it is one.
fn flip_in_segments(folder: &std::path::Path, round: u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(entry.path());
        let (Ok(file), Ok(len)) = (file, entry.metadata().map(|m| m.len())) else {
            continue;
        };
        if len > 32 {
            let at = 32 + u64::from(round) * 7919 % (len - 32);
            let mut byte = [0];
            if file.read_exact_at(&mut byte, at).is_ok() {
                byte[0] ^= 4;
                file.write_all_at(&byte, at).unwrap();
            }
        }
    }
}

#[test]
#[ignore = "the child of the test above"]
fn child() {
    let root = std::path::PathBuf::from(std::env::var_os(STORE).unwrap());
    let store = open(&root);
    let function = DigestFunction::Blake3;
    match std::env::var(ROLE).unwrap().as_str() {
        "vandal" => {
            for round in 0..ROUNDS * 4 {
                let digest = function.hash(&blob(round % BLOBS));
                let hex = digest.hex();
                flip_in_segments(&root.join("segments/blake3"), round);
                let path = root
                    .join("blake3")
                    .join(&hex[..2])
                    .join(format!("{hex}-{}", digest.size));
                if let Ok(mut bytes) = fs::read(&path)
                    && !bytes.is_empty()
                {
                    let at = round as usize % bytes.len();
                    bytes[at] ^= 0x10;
                    let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o644));
                    let _ = fs::OpenOptions::new()
                        .write(true)
                        .open(&path)
                        .and_then(|mut f| std::io::Write::write_all(&mut f, &bytes));
                }
            }
        }
        "worker" => {
            let out = tempfile::tempdir().unwrap();
            for round in 0..ROUNDS {
                for i in 0..BLOBS {
                    let bytes = blob(i);
                    let digest = if round % 2 == 0 {
                        store.put_bytes(&bytes)
                    } else {
                        store.put_reader(&bytes[..])
                    }
                    .unwrap();
                    assert_eq!(digest, function.hash(&bytes));
                    // The vandal may have been faster: then the blob is missing, never wrong.
                    if let Some(found) = store.get(&digest).unwrap() {
                        assert_eq!(found, bytes);
                    }
                    let dest = out.path().join("file");
                    match store.materialise(&digest, &dest, MaterialiseMode::Copy, false) {
                        Ok(()) => assert_eq!(fs::metadata(&dest).unwrap().len(), digest.size),
                        Err(zako_cas::StoreError::Missing(_)) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            }
        }
        role => panic!("no such role: {role}"),
    }
}
