#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use super::*;
use crate::ledger::Ledger;

struct Workspace {
    dir: tempfile::TempDir,
    root: Arc<Path>,
}

fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

impl Workspace {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root: PathBuf = dir.path().canonicalize().unwrap().join("ws");
        fs::create_dir(&root).unwrap();
        let workspace = Workspace {
            dir,
            root: root.into(),
        };
        for (name, text) in files {
            workspace.write(name, text);
        }
        workspace
    }

    fn place(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file that is a minute old.
    fn write(&self, name: &str, text: &str) {
        let place = self.place(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, text).unwrap();
        self.age(name, 60);
    }

    fn age(&self, name: &str, seconds: u64) {
        let file = fs::File::options()
            .write(true)
            .open(self.place(name))
            .unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    }

    /// What a new build knows.
    fn ledger(&self) -> SharedLedger {
        let (ledger, notice) =
            Ledger::open(&self.place(".zako/state"), DigestFunction::Blake3, "tests").unwrap();
        assert_eq!(notice, None);
        SharedLedger::new(ledger)
    }

    /// A new build's view. Everything is an output in it, so that ctime, which can't be set back, does not count.
    fn files(&self) -> Files {
        let outputs = HashSet::from([NeutralPath::root()]);
        Files::open(self.root.clone(), self.ledger(), outputs)
    }

    fn sources(&self) -> Files {
        Files::open(self.root.clone(), self.ledger(), HashSet::new())
    }
}

fn save(files: &Files) {
    files.ledger.lock().flush().unwrap();
}

fn file(text: &str) -> ArtifactValue {
    ArtifactValue::File {
        digest: DigestFunction::Blake3.hash(text.as_bytes()),
        executable: false,
    }
}

fn value(files: &Files, name: &str) -> Option<ArtifactValue> {
    files.value(&path(name)).unwrap().map(|found| found.value)
}

#[test]
fn values_follow_content_and_executable_bit() {
    let workspace = Workspace::new(&[("a/x.c", "one")]);
    assert_eq!(value(&workspace.sources(), "a/x.c"), Some(file("one")));
    assert_eq!(value(&workspace.sources(), "a/none.c"), None);
    assert_eq!(value(&workspace.sources(), "a/x.c/below"), None);
    workspace.write("a/x.c", "two");
    assert_eq!(value(&workspace.sources(), "a/x.c"), Some(file("two")));
    fs::set_permissions(workspace.place("a/x.c"), fs::Permissions::from_mode(0o755)).unwrap();
    let executable = ArtifactValue::File {
        digest: DigestFunction::Blake3.hash(b"two"),
        executable: true,
    };
    assert_eq!(value(&workspace.sources(), "a/x.c"), Some(executable));
}

#[test]
fn settled_files_are_not_read_again() {
    let workspace = Workspace::new(&[("x", "one")]);
    let files = workspace.files();
    assert_eq!(value(&files, "x"), Some(file("one")));
    save(&files);
    // What is remembered is told by its being wrong: same size, same time, same inode, other content.
    let modified = fs::metadata(workspace.place("x"))
        .unwrap()
        .modified()
        .unwrap();
    fs::write(workspace.place("x"), "two").unwrap();
    fs::File::options()
        .write(true)
        .open(workspace.place("x"))
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(value(&workspace.files(), "x"), Some(file("one")));
    assert_eq!(
        value(&workspace.sources(), "x"),
        Some(file("two")),
        "a source's ctime tells"
    );
}

#[test]
fn racily_clean_files_are_read_again() {
    let workspace = Workspace::new(&[]);
    fs::write(workspace.place("x"), "one").unwrap();
    let ahead = SystemTime::now() + Duration::from_secs(60);
    let set = || {
        fs::File::options()
            .write(true)
            .open(workspace.place("x"))
            .unwrap()
            .set_modified(ahead)
            .unwrap()
    };
    set();
    // As on a file system that does not tell times finely.
    let coarse = |mut files: Files| {
        files.clock = Clock::default();
        files
    };
    let files = coarse(workspace.files());
    assert_eq!(value(&files, "x"), Some(file("one")));
    save(&files);
    fs::write(workspace.place("x"), "two").unwrap();
    set();
    let files = coarse(workspace.files());
    assert_eq!(value(&files, "x"), Some(file("two")));
}

#[test]
fn folders_are_trees_as_the_store_makes_them() {
    let workspace = Workspace::new(&[("d/b/x", "1"), ("d/a", "2"), ("d/b-c", "3")]);
    fs::create_dir(workspace.place("d/empty")).unwrap();
    symlink("a", workspace.place("d/link")).unwrap();
    symlink("nowhere", workspace.place("d/dangling")).unwrap();
    let store = zako_cas::Store::open(zako_cas::StoreOptions::new(
        workspace.dir.path().join("store"),
    ))
    .unwrap();
    let tree = store.put_directory(&workspace.place("d")).unwrap();
    assert_eq!(
        value(&workspace.sources(), "d"),
        Some(ArtifactValue::Directory { tree })
    );
    let files = workspace.sources();
    let before = files.value(&path("d")).unwrap().unwrap();
    assert_eq!(files.stamp(&path("d")).unwrap(), Some(before.stamp));
    workspace.write("d/b/new", "");
    assert_ne!(files.stamp(&path("d")).unwrap(), Some(before.stamp));
}

#[test]
fn links_stay_inside() {
    let workspace = Workspace::new(&[("real/x", "1")]);
    let outside = workspace.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("y"), "2").unwrap();
    symlink("real/x", workspace.place("link")).unwrap();
    symlink("real", workspace.place("folder")).unwrap();
    symlink(outside.join("y"), workspace.place("out")).unwrap();
    symlink(&outside, workspace.place("out-folder")).unwrap();
    symlink("../../outside/y", workspace.place("real/out")).unwrap();
    let files = workspace.sources();
    assert_eq!(value(&files, "link"), Some(file("1")));
    assert_eq!(value(&files, "folder/x"), Some(file("1")));
    for escaping in ["out", "out-folder", "out-folder/y", "real"] {
        let error = files.value(&path(escaping)).unwrap_err();
        assert!(
            matches!(error, FileError::Escapes { .. }),
            "{escaping}: {error}"
        );
    }
}

#[test]
fn one_build_sees_one_content_until_told() {
    let workspace = Workspace::new(&[("x", "one")]);
    let files = workspace.sources();
    let first = files.value(&path("x")).unwrap().unwrap();
    workspace.write("x", "two!");
    assert_eq!(value(&files, "x"), Some(file("one")));
    assert_ne!(files.stamp(&path("x")).unwrap(), Some(first.stamp));
    files.forget(&path("x"));
    assert_eq!(value(&files, "x"), Some(file("two!")));
}

#[test]
fn what_a_build_has_seen_is_not_looked_at_again() {
    let workspace = Workspace::new(&[("a/x", "one"), ("a/y", "one"), ("a/z", "one")]);
    let files = workspace.sources();
    let stamps: Vec<(NeutralPath, Stamp)> = ["a/x", "a/y", "a/z"]
        .map(|name| (path(name), files.value(&path(name)).unwrap().unwrap().stamp))
        .into();
    save(&files);

    let ledger = workspace.ledger();
    let files = Files::open(workspace.root.clone(), ledger.clone(), HashSet::new());
    let leaves = ["a/x", "a/y", "a/z"].map(|name| files.leaf(&path(name)));
    ledger.lock().see_only(&leaves, &leaves[2..]);
    // That nobody looks is told by what is missed.
    for name in ["a/x", "a/y", "a/z"] {
        workspace.write(name, "another");
    }
    assert_eq!(value(&files, "a/x"), Some(file("one")));
    assert_eq!(
        value(&files, "a/z"),
        Some(file("another")),
        "it was doubtful"
    );
    let pairs = || stamps.iter().map(|(path, stamp)| (path, stamp));
    let changed = files.changed(pairs());
    assert_eq!(changed, [&path("a/x"), &path("a/y"), &path("a/z")]);

    for path in changed {
        files.forget(path);
    }
    assert_eq!(value(&files, "a/x"), Some(file("another")));
    assert_eq!(value(&files, "a/y"), Some(file("another")));
    let now = files.value(&path("a/x")).unwrap().unwrap().stamp;
    let only = path("a/x");
    assert!(files.changed(std::iter::once((&only, &now))).is_empty());
}

#[test]
fn folders_and_links_have_changed_when_their_stamps_have() {
    let workspace = Workspace::new(&[("d/x", "1"), ("real", "2")]);
    symlink("real", workspace.place("link")).unwrap();
    let files = workspace.sources();
    let names = ["d", "link", "real"].map(path);
    let stamps = names
        .each_ref()
        .map(|path| files.value(path).unwrap().unwrap().stamp);
    let changed = || files.changed(names.iter().zip(&stamps));
    assert!(changed().is_empty());
    workspace.write("d/y", "");
    workspace.write("real", "3");
    assert_eq!(changed(), [&names[0], &names[1], &names[2]]);
    fs::remove_file(workspace.place("real")).unwrap();
    assert_eq!(changed(), [&names[0], &names[1], &names[2]]);
}

#[test]
fn the_nearest_name_is_found_at_every_level() {
    let workspace = Workspace::new(&[("source/main.c", ""), ("source/other.c", "")]);
    let files = workspace.sources();
    assert_eq!(
        files.nearest(&path("sourec/mian.c")),
        Some(path("source/main.c"))
    );
    assert_eq!(files.nearest(&path("source/zebra.txt")), None);
}
