//! What every process behind walls sees of the machine: a fixed, read-only base, and the empty places for the rest.
//!
//! It is a folder with links, a few copied files of `/etc` and places to mount at (a *skeleton*), made once a build for
//! each set of toolchains, and never changed after.
//!
//! **Invariant:** nothing in the base is the user's own: no home, no setting, no name.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use zako_action::ExecuteError;

use super::toolchain::Extras;
use super::walls::{INSIDE_USER, below_root};
use crate::input_root::{io_error, remove_all};

/// The system's own folders; those that are links on this machine are links inside.
const SYSTEM: [&str; 10] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/run/current-system/sw",
];

/// Folders of `/etc` that are shown: how programs are found and started, not how anybody likes them. (Copies would be
/// some hundreds of links.)
const SETTINGS: [&str; 6] = [
    "alternatives",
    "ca-certificates",
    "ld.so.conf.d",
    "pki/tls/certs",
    "pki/ca-trust",
    "ssl/certs",
];

/// What of `/etc` starts like this is shown too: Java's runtimes have links there.
const SETTINGS_LIKE: [&str; 1] = ["java-"];

/// Files of `/etc` that are copied.
const SETTING_FILES: [&str; 9] = [
    "ld.so.cache",
    "ld.so.conf",
    "ld-musl-x86_64.path",
    "localtime",
    "mime.types",
    "os-release",
    "protocols",
    "services",
    "ssl/openssl.cnf",
];

/// Files of `/etc` for those that have the network.
const NETWORK_SETTINGS: [&str; 3] = ["hosts", "resolv.conf", "gai.conf"];

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Places for what is mounted, relative to the root.
const PLACES: [&str; 5] = ["proc", "dev/shm", "tmp", "var/tmp", "workspace"];

/// The largest file of `/etc` that is copied.
const MAX_SETTING_BYTES: u64 = 16 << 20;

/// Whether a path of the machine is in the base.
pub(crate) fn has(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

/// A root for walls, with what is to be bound into it.
#[derive(Debug)]
pub(crate) struct Skeleton {
    /// The folder.
    pub(crate) root: PathBuf,
    /// What of the machine is shown where, below the folder.
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
}

/// Whose view it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key(String);

/// All skeletons of one build.
#[derive(Debug)]
pub(crate) struct Skeletons {
    folder: PathBuf,
    made: Mutex<HashMap<Key, Arc<Skeleton>>>,
}

impl Skeletons {
    pub(crate) fn new(home: &Path) -> Self {
        Self {
            folder: home.join("base"),
            made: Mutex::default(),
        }
    }

    /// Forgets all, when no action runs: what was made is about to be removed.
    pub(crate) fn forget(&self) {
        self.made.lock().clear();
    }

    /// The skeleton with these extras, with or without the network's settings.
    pub(crate) fn get(
        &self,
        extras: &Extras,
        network: bool,
    ) -> Result<Arc<Skeleton>, ExecuteError> {
        let key = Key(format!("{network} {extras:?}"));
        // Held while one is made: it is a few milliseconds, once or twice a build.
        let mut made = self.made.lock();
        if let Some(skeleton) = made.get(&key) {
            return Ok(skeleton.clone());
        }
        let root = self.folder.join(made.len().to_string());
        remove_all(&root)?;
        let skeleton = make(&root, extras, network).map_err(io_error("create", &root))?;
        let skeleton = Arc::new(skeleton);
        made.insert(key, skeleton.clone());
        Ok(skeleton)
    }
}

fn make(root: &Path, extras: &Extras, network: bool) -> io::Result<Skeleton> {
    fs::create_dir_all(root)?;
    let mut binds = Vec::new();
    for system in SYSTEM.map(Path::new) {
        let place = root.join(below_root(system));
        match fs::symlink_metadata(system) {
            Ok(found) if found.is_symlink() => symlink(fs::read_link(system)?, place)?,
            Ok(found) if found.is_dir() => {
                fs::create_dir_all(&place)?;
                binds.push((system.to_owned(), place));
            }
            _ => {}
        }
    }
    for place in PLACES {
        fs::create_dir_all(root.join(place))?;
    }
    for device in DEVICES {
        let (there, here) = (
            Path::new("/dev").join(device),
            root.join("dev").join(device),
        );
        if there.exists() {
            fs::write(&here, "")?;
            binds.push((there, here));
        }
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, root.join("dev").join(name))?;
    }
    if extras.has_jobs {
        fs::write(
            root.join(below_root(Path::new(crate::isolation::INSIDE_JOBS))),
            "",
        )?;
    }
    settings(&root.join("etc"), network, &mut binds)?;
    for shown in &extras.shown {
        let place = root.join(below_root(shown));
        super::make_place(shown, &place)?;
        binds.push((shown.clone(), place));
    }
    for (link, target) in &extras.links {
        let place = root.join(below_root(link));
        fs::create_dir_all(place.parent().unwrap_or(root))?;
        if fs::symlink_metadata(&place).is_err() {
            symlink(target, &place)?;
        }
    }
    Ok(Skeleton {
        root: root.to_owned(),
        binds,
    })
}

fn settings(etc: &Path, network: bool, binds: &mut Vec<(PathBuf, PathBuf)>) -> io::Result<()> {
    fs::create_dir_all(etc)?;
    let user = INSIDE_USER;
    fs::write(
        etc.join("passwd"),
        format!(
            "zako:x:{user}:{user}:zako:/nonexistent:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
        ),
    )?;
    fs::write(
        etc.join("group"),
        format!("zako:x:{user}:\nnogroup:x:65534:\n"),
    )?;
    fs::write(
        etc.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n",
    )?;
    fs::write(
        etc.join("hosts"),
        "127.0.0.1 localhost zako\n::1 localhost zako\n",
    )?;
    let host = Path::new("/etc");
    let like = |name: &str| SETTINGS_LIKE.iter().any(|like| name.starts_with(like));
    let entries = fs::read_dir(host).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let found: Vec<String> = found.filter(|name| like(name)).collect();
    let shown = SETTINGS.iter().map(|name| (*name).to_owned());
    for name in shown.chain(found) {
        let there = host.join(&name);
        if there.is_dir() {
            fs::create_dir_all(etc.join(&name))?;
            binds.push((there, etc.join(&name)));
        }
    }
    let network = NETWORK_SETTINGS.iter().filter(|_| network);
    for name in SETTING_FILES.iter().chain(network) {
        copy(&host.join(name), &etc.join(name));
    }
    Ok(())
}

/// Copies what can be read; the rest, a setting that is not there for everybody, is left out.
fn copy(there: &Path, here: &Path) {
    let is_small = |found: fs::Metadata| found.is_file() && found.len() <= MAX_SETTING_BYTES;
    if !fs::metadata(there).is_ok_and(is_small) {
        return;
    }
    let parent = here.parent().map_or(Ok(()), fs::create_dir_all);
    let copied = parent.and_then(|()| fs::write(here, fs::read(there)?));
    if let Err(error) = copied {
        tracing::debug!(path = %there.display(), %error, "a setting of the machine is not in the sandbox");
    }
}
