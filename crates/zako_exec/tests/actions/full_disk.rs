//! A file system that is really full: this binary starts itself in a mount namespace of its own, with small file systems in memory.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, shell};
use zako_action::{ActionSpec, Exit, Isolation};

const LEVELS: [Isolation; 3] = [Isolation::None, Isolation::Basic, Isolation::Enhanced];

/// Tells a process of this binary that it is in the namespace, and where the small file systems are.
const INSIDE: &str = "ZAKO_TEST_SMALL_DISKS";

/// Runs the test `name` again where `disk` and `store` below a new folder are file systems of 8 MB; the folder, in there.
fn small_disks(name: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return Some(dir.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=8m disk \"$0/disk\" && mount -t tmpfs -o size=8m store \"$0/store\"";
    for disk in ["disk", "store"] {
        fs::create_dir(dir.path().join(disk)).unwrap();
    }
    let inside = |script: &str, args: &[&str]| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(dir.path())
            .args(args)
            .env(INSIDE, dir.path())
            .env("TMPDIR", dir.path())
            .status()
    };
    match inside(mount, &[]) {
        Ok(status) if status.success() => {}
        other => {
            println!("skipped: no file system can be mounted in a namespace here ({other:?})");
            return None;
        }
    }
    let this = std::env::current_exe().unwrap();
    let name = &format!("full_disk::{name}");
    let run = format!("{mount} && exec \"$@\"");
    let args = [this.to_str().unwrap(), "--exact", name, "--nocapture"];
    let status = inside(&run, &args).unwrap();
    assert!(status.success(), "{status}");
    None
}

/// A world whose workspace, and so its scratch folders, and whose store are on file systems of their own.
fn world(dir: &Path) -> Option<World> {
    let own = tempfile::tempdir().unwrap();
    World::at(own, dir.join("disk/ws"), dir.join("store/store"))
}

/// Bytes that are taken on the file system of `dir`.
fn taken(dir: &Path) -> u64 {
    let system = rustix::fs::statvfs(dir).unwrap();
    (system.f_blocks - system.f_bfree) * system.f_frsize
}

/// Takes all that is left on the file system of `dir`, in a file.
fn fill(dir: &Path) -> PathBuf {
    let filler = dir.join("filler");
    let mut file = File::create(&filler).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        loop {
            match file.write_all(&vec![0; size]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    filler
}

/// Whether a person can tell from it what could not be written, and why.
fn is_clear(error: &str, place: &str) -> bool {
    let is_why = error.contains("No space left on device");
    is_why && error.starts_with("cannot ") && error.contains(place)
}

/// Runs it, and clears away after it.
async fn run(w: &World, spec: ActionSpec, level: Isolation) -> Result<(Exit, String), String> {
    let job = w.job(spec, level);
    let result = w.run_at(job.action.spec.as_ref().clone(), level).await;
    let told = match &result {
        Ok(executed) => Ok((executed.exit, w.printed(executed))),
        Err(error) => Err(error.to_string()),
    };
    w.executor.clean(&job).unwrap();
    told
}

/// All is well again: what it writes is right.
async fn check_next(w: &World, level: Isolation) {
    let spec = shell("cat $in > $out; cat $out", &["in"], &["zako-out/next"]);
    let told = run(w, spec, level).await;
    assert_eq!(told, Ok((Exit::Code(0), "in".to_owned())), "{level:?}");
    if level == Isolation::None {
        fs::remove_file(w.workspace.join("zako-out/next")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_fills_the_disk_fails_and_leaves_nothing() {
    let name = "an_action_that_fills_the_disk_fails_and_leaves_nothing";
    let Some(dir) = small_disks(name) else { return };
    let Some(w) = world(&dir) else { return };
    w.write("in", "in");
    for level in LEVELS {
        // What a build shares, and folders that stay, are there from here on.
        check_next(&w, level).await;
        let before = (w.files(), taken(&w.workspace), taken(w.store.root()));
        let script = "head -c 64M /dev/zero > $out";
        let (exit, printed) = run(&w, shell(script, &["in"], &["zako-out/all"]), level)
            .await
            .unwrap();
        assert!(matches!(exit, Exit::Code(1..)), "{level:?}: {exit:?}");
        assert!(printed.contains("No space left on device"), "{printed}");
        let after = (w.files(), taken(&w.workspace), taken(w.store.root()));
        // The store has what it printed.
        let printed = after.2 - before.2;
        assert!(printed <= 1 << 16, "{level:?}: {printed}");
        assert_eq!((after.0, after.1), (before.0, before.1), "{level:?}");
        check_next(&w, level).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_scratch_folders_is_told_and_the_next_run_is_right() {
    let name = "a_full_disk_of_scratch_folders_is_told_and_the_next_run_is_right";
    let Some(dir) = small_disks(name) else { return };
    let Some(w) = world(&dir) else { return };
    w.write("in", "in");
    // An action whose list of inputs is a file, which no disk takes when it is full. At `none` as well.
    let names: Vec<String> = (0..1000)
        .map(|n| format!("many/{}{n}", "long".repeat(50)))
        .collect();
    names.iter().for_each(|name| w.write(name, ""));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = shell("tr -cd '\\0' < $in_file | wc -c", &names, &[]);
    assert!(spec.in_list().is_some(), "or this test tests nothing");
    for level in LEVELS {
        let before = taken(&w.workspace);
        let filler = fill(&w.workspace);
        let error = run(&w, spec.clone(), level).await.unwrap_err();
        assert!(is_clear(&error, "/disk/ws/"), "{level:?}: {error}");
        fs::remove_file(filler).unwrap();
        assert_eq!(taken(&w.workspace), before, "{level:?}: {error}");
        let told = run(&w, spec.clone(), level).await;
        assert_eq!(told, Ok((Exit::Code(0), "1000\n".to_owned())), "{level:?}");
        check_next(&w, level).await;
    }
    // The same where the base of sandboxes is made, here one with the settings of the network.
    let mut spec = shell("cat in", &["in"], &[]);
    spec.network = true;
    let filler = fill(&w.workspace);
    let level = Isolation::Enhanced;
    let error = run(&w, spec.clone(), level).await.unwrap_err();
    assert!(is_clear(&error, "/disk/ws/.zako/exec/"), "{error}");
    fs::remove_file(filler).unwrap();
    let told = run(&w, spec, level).await;
    assert_eq!(told, Ok((Exit::Code(0), "in".to_owned())));
    check_next(&w, level).await;
    w.sandbox.clear().unwrap();
    let left = fs::read_dir(w.workspace.join(".zako/exec")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_store_is_told_and_the_next_run_is_right() {
    let name = "a_full_disk_of_the_store_is_told_and_the_next_run_is_right";
    let Some(dir) = small_disks(name) else { return };
    let Some(w) = world(&dir) else { return };
    w.write("in", "in");
    for level in LEVELS {
        check_next(&w, level).await;
        let before = (w.files(), taken(w.store.root()));
        // By what it prints, and by an output that fits where it is written.
        let prints = shell("head -c 64M /dev/zero", &["in"], &[]);
        let filler = fill(w.store.root());
        let small = "head -c 1M /dev/zero > $out";
        let writes = shell(small, &["in"], &["zako-out/small"]);
        let error = run(&w, writes, level).await.unwrap_err();
        fs::remove_file(filler).unwrap();
        let other = run(&w, prints, level).await.unwrap_err();
        for error in [error, other] {
            assert!(is_clear(&error, "store"), "{level:?}: {error}");
        }
        assert_eq!((w.files(), taken(w.store.root())), before, "{level:?}");
        check_next(&w, level).await;
    }
}
