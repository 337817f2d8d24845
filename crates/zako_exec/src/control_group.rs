//! Control groups (version 2) of actions: a group an action, by which all of its processes are found and ended, whatever
//! they did to get away; and which limits them together, where the controllers for that can be had.
//!
//! Groups without limits cost nearly nothing and are used again; one with limits is made for its action and removed after it.
//!
//! It must never know actions, or what a process is for.
//!
//! **Invariants:**
//! - Nothing is written but in the group of this process and below it, and no process is moved but those that are started here.
//!   ([`step_aside`] moves this one, for whoever calls it.)
//! - All that is made lies in one folder, locked as long as its process lives. What a zako that was killed has left is ended
//!   and removed by the next one in the same group.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, getpid, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::isolation::{Groups, Lack};

/// What the folders of zakos begin with.
const OURS: &str = "zako-";

/// Where a zako goes that steps aside.
const ASIDE: &str = "aside";

/// Groups without limits, and with.
const PLAIN: &str = "plain";
const LIMITED: &str = "limited";

/// The controllers that limits need, and those that they can do without.
const NEEDED: [&str; 2] = ["memory", "pids"];
const WELCOME: [&str; 1] = ["cpu"];

/// How often a folder for all groups is tried to be made: another zako may take one for left behind before it is locked.
const TRIES: usize = 4;

/// How often everybody in a group is killed one by one, on kernels that can't do it at once (before Linux 5.14): as often as
/// there are generations of processes that are faster.
const ROUNDS: usize = 64;

/// How long is waited between two looks whether a killed group is empty, as many times as that.
const PAUSE: Duration = Duration::from_millis(1);

/// The weight of a group with one processor, as the kernel has it for any group; and what it takes.
const WEIGHT: u64 = 100;
const WEIGHTS: (u64, u64) = (1, 10_000);

/// What the processes of an action may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupLimits {
    /// Bytes, without swap.
    pub(crate) memory: Option<u64>,
    /// Processes and threads.
    pub(crate) tasks: u64,
    /// Processors in thousandths: how much it gets of them while there are not enough.
    pub(crate) cpu_millis: u32,
}

/// The files of control groups.
trait Hierarchy: std::fmt::Debug + Send + Sync {
    fn make(&self, group: &Path) -> io::Result<()>;
    fn remove(&self, group: &Path) -> io::Result<()>;
    fn read(&self, group: &Path, file: &str) -> io::Result<String>;
    fn write(&self, group: &Path, file: &str, text: &str) -> io::Result<()>;
    /// Names of the groups in a group.
    fn children(&self, group: &Path) -> io::Result<Vec<String>>;
    /// Locks a group against other processes for as long as what is given lives; `None` when one of them has it.
    fn lock(&self, group: &Path) -> io::Result<Option<File>>;
}

/// The kernel's.
#[derive(Debug)]
struct Kernel;

impl Hierarchy for Kernel {
    fn make(&self, group: &Path) -> io::Result<()> {
        fs::create_dir(group)
    }

    fn remove(&self, group: &Path) -> io::Result<()> {
        fs::remove_dir(group)
    }

    fn read(&self, group: &Path, file: &str) -> io::Result<String> {
        fs::read_to_string(group.join(file))
    }

    fn write(&self, group: &Path, file: &str, text: &str) -> io::Result<()> {
        // Nothing is to be created, and the kernel wants it in one piece.
        let mut file = File::options().write(true).open(group.join(file))?;
        io::Write::write_all(&mut file, text.as_bytes())
    }

    fn children(&self, group: &Path) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(group)?.flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Ok(folders
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect())
    }

    fn lock(&self, group: &Path) -> io::Result<Option<File>> {
        let folder = File::open(group)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(folder)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// The control groups of the actions of one process, made when the first is asked for. Clones share them; they are removed with
/// the last.
#[derive(Clone, Debug, Default)]
pub struct ControlGroups(Arc<OnceLock<Result<Arc<Shared>, Lack>>>);

#[derive(Debug)]
struct Shared {
    files: Box<dyn Hierarchy>,
    /// All that is ours.
    base: PathBuf,
    _lock: File,
    /// Which controllers there are for limits.
    limits: Result<Vec<String>, Lack>,
    /// Groups without limits and without processes.
    free: Mutex<Vec<PathBuf>>,
    /// Groups whose processes were killed and are still there.
    dying: Mutex<Vec<PathBuf>>,
    made: AtomicU64,
}

impl ControlGroups {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn shared(&self) -> &Result<Arc<Shared>, Lack> {
        let find = || Shared::below(&own()?, Box::new(Kernel)).map(Arc::new);
        self.0.get_or_init(find)
    }

    /// What can be had. Makes folders of control groups the first time.
    #[must_use]
    pub fn capabilities(&self) -> Groups {
        match self.shared() {
            Ok(shared) => Groups {
                place: Ok(shared.base.clone()),
                limits: shared.limits.as_ref().map(drop).map_err(Lack::clone),
            },
            Err(lack) => Groups {
                place: Err(lack.clone()),
                limits: Err(lack.clone()),
            },
        }
    }

    /// A group for one action, with these limits as far as they can be had; `None` when there can be none.
    pub(crate) fn take(&self, limits: Option<&GroupLimits>) -> Option<ControlGroup> {
        let shared = self.shared().as_ref().ok()?;
        let taken = Shared::take(shared, limits);
        taken
            .inspect_err(|error| tracing::debug!(%error, "an action has no control group"))
            .ok()
    }
}

impl Shared {
    fn below(place: &Path, files: Box<dyn Hierarchy>) -> Result<Self, Lack> {
        for name in files.children(place).unwrap_or_default() {
            if name.starts_with(OURS) && *name != *aside() {
                clear_away(&*files, &place.join(name));
            }
        }
        let mut tries = 0;
        let (base, lock) = loop {
            tries += 1;
            match Self::make_base(place, &*files) {
                Ok(made) => break made,
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
                Err(error) => return Err(not_ours(place, &error)),
            }
        };
        let limits = divide(&*files, place, &base);
        Ok(Self {
            files,
            base,
            _lock: lock,
            limits,
            free: Mutex::default(),
            dying: Mutex::default(),
            made: AtomicU64::new(0),
        })
    }

    fn make_base(place: &Path, files: &dyn Hierarchy) -> io::Result<(PathBuf, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let own = getpid().as_raw_nonzero();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = place.join(format!("{OURS}{own}-{number}"));
        files.make(&base)?;
        match files.lock(&base)? {
            Some(lock) => {
                // A folder can be locked that somebody has just removed: this tells.
                files.make(&base.join(PLAIN))?;
                Ok((base, lock))
            }
            // Whoever has it is about to remove it.
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn take(shared: &Arc<Self>, limits: Option<&GroupLimits>) -> io::Result<ControlGroup> {
        shared.bury();
        let (folder, limits) = match (limits, &shared.limits) {
            (Some(limits), Ok(controllers)) => (LIMITED, Some((limits, controllers))),
            _ => (PLAIN, None),
        };
        let free = match limits {
            Some(_) => None,
            None => shared.free.lock().pop(),
        };
        let place = match free {
            Some(place) => place,
            None => {
                let number = shared.made.fetch_add(1, Ordering::Relaxed);
                let place = shared.base.join(folder).join(number.to_string());
                shared.files.make(&place)?;
                place
            }
        };
        let group = ControlGroup {
            folder: File::open(&place).ok(),
            place,
            is_limited: limits.is_some(),
            was_killed: AtomicBool::new(false),
            shared: shared.clone(),
        };
        if let Some((limits, controllers)) = limits {
            // Given back by its drop if it can't be limited.
            group.limit(limits, controllers)?;
        }
        Ok(group)
    }

    /// Removes groups whose processes have gone by now.
    fn bury(&self) {
        let mut dying = self.dying.lock();
        dying.retain(|place| self.files.remove(place).is_err() && self.is_there(place));
    }

    fn is_there(&self, place: &Path) -> bool {
        self.files.read(place, "cgroup.events").is_ok()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        clear_away_locked(&*self.files, &self.base);
    }
}

/// Ends and removes what a zako has left, unless it lives.
fn clear_away(files: &dyn Hierarchy, base: &Path) {
    if let Ok(Some(_lock)) = files.lock(base) {
        clear_away_locked(files, base);
    }
}

fn clear_away_locked(files: &dyn Hierarchy, base: &Path) {
    let mut groups = vec![base.to_owned()];
    let mut at = 0;
    while let Some(group) = groups.get(at) {
        let children = files.children(group).unwrap_or_default();
        let children: Vec<PathBuf> = children.iter().map(|name| group.join(name)).collect();
        groups.extend(children);
        at += 1;
    }
    for group in groups.iter().rev() {
        if is_populated(files, group) {
            kill(files, group);
        }
        // Whoever was killed takes a moment to go, and this is at the end of a process or for what should not be there.
        let mut rounds = 0..ROUNDS;
        while is_populated(files, group) && rounds.next().is_some() {
            std::thread::sleep(PAUSE);
        }
        if let Err(error) = files.remove(group) {
            tracing::debug!(group = %group.display(), %error, "a control group is still there");
        }
    }
}

/// Makes that groups in `base`/limited can have limits; which controllers they have.
fn divide(files: &dyn Hierarchy, place: &Path, base: &Path) -> Result<Vec<String>, Lack> {
    let available = files.read(place, "cgroup.controllers").unwrap_or_default();
    let is_there = |name: &&str| available.split_whitespace().any(|found| found == *name);
    if let Some(missing) = NEEDED.iter().find(|name| !is_there(name)) {
        return Err(Lack {
            what: format!(
                "the control group {} has no controller `{missing}`",
                place.display()
            ),
            cure: match available.trim().is_empty() {
                true => DELEGATE.to_owned(),
                false => format!("{DELEGATE}; groups of version 1 must not have the controllers"),
            },
        });
    }
    let wanted = NEEDED
        .iter()
        .chain(WELCOME.iter().filter(|name| is_there(name)));
    let wanted: Vec<String> = wanted.map(|name| (*name).to_owned()).collect();
    let limited = base.join(LIMITED);
    let pass_on = |group: &Path| {
        let has = files.read(group, "cgroup.subtree_control")?;
        let missing = wanted
            .iter()
            .filter(|name| !has.split_whitespace().any(|found| found == **name));
        let words: Vec<String> = missing.map(|name| format!("+{name}")).collect();
        match words.is_empty() {
            true => Ok(()),
            false => files.write(group, "cgroup.subtree_control", &words.join(" ")),
        }
    };
    pass_on(place).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => Lack {
            what: format!(
                "the control group {} can't be divided, because other processes are in it",
                place.display()
            ),
            cure: DELEGATE.to_owned(),
        },
        _ => not_ours(place, &error),
    })?;
    pass_on(base)
        .and_then(|()| files.make(&limited))
        .and_then(|()| pass_on(&limited))
        .map_err(|error| not_ours(base, &error))?;
    Ok(wanted)
}

/// What gives a process a group that it may divide.
const DELEGATE: &str = "run zako alone in a delegated group, as by `systemd-run --user --scope -p Delegate=yes zako …`";

fn not_ours(place: &Path, error: &io::Error) -> Lack {
    Lack {
        what: format!(
            "the control group {} is not zako's to divide: {error}",
            place.display()
        ),
        cure: DELEGATE.to_owned(),
    }
}

/// The group that this process is in, or was before it stepped aside.
fn own() -> Result<PathBuf, Lack> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let own = locate(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))?;
    let is_aside = own.file_name().is_some_and(|name| name == aside());
    Ok(match own.parent() {
        Some(place) if is_aside => place.to_owned(),
        _ => own,
    })
}

fn aside() -> std::ffi::OsString {
    format!("{OURS}{ASIDE}").into()
}

/// Where the group of a process with these `/proc/PID/cgroup` and `/proc/PID/mountinfo` is.
fn locate(groups: &str, mounts: &str) -> Result<PathBuf, Lack> {
    let lack = |what: &str| Lack {
        what: what.to_owned(),
        cure:
            "have the control groups of version 2 mounted: `mount -t cgroup2 none /sys/fs/cgroup`"
                .to_owned(),
    };
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.ok_or_else(|| lack("there are no control groups of version 2"))?;
    let mut is_mounted = false;
    for line in mounts.lines() {
        // id parent device root place options [field]… - kind source options (proc_pid_mountinfo(5))
        let Some((mount, kind)) = line.split_once(" - ") else {
            continue;
        };
        let mut fields = mount.split(' ').skip(3);
        let (Some(root), Some(place)) = (fields.next(), fields.next()) else {
            continue;
        };
        if !kind.starts_with("cgroup2 ") {
            continue;
        }
        is_mounted = true;
        let (root, place) = (unescape(root), unescape(place));
        let is_inside = !own.split('/').any(|name| name == "..");
        if let (true, Ok(below)) = (is_inside, Path::new(own).strip_prefix(&root)) {
            return Ok(Path::new(&place).join(below));
        }
    }
    Err(lack(match is_mounted {
        true => "the control group that zako is in is not to be seen from here",
        false => "control groups of version 2 are not mounted",
    }))
}

/// Mounts have spaces and the like as `\040`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// Moves this process into a child of its control group if it is alone in there and could else not divide it: a group with
/// processes can have no limits for its children. Not for an embedder: it changes where the whole process is.
pub fn step_aside() {
    if let Ok(place) = own()
        && let Some(own) = step_out_of(&Kernel, &place, getpid().as_raw_nonzero().get())
    {
        tracing::debug!(group = %own.display(), "moved into a control group below the one that it was in");
    }
}

fn step_out_of(files: &dyn Hierarchy, place: &Path, own: i32) -> Option<PathBuf> {
    // The root can be divided as it is, and has no such file.
    let is_root = files.read(place, "cgroup.type").is_err();
    let controllers = files.read(place, "cgroup.controllers").ok()?;
    let has = |name: &&str| controllers.split_whitespace().any(|found| found == *name);
    if is_root || !NEEDED.iter().all(has) {
        return None;
    }
    let alone = files.read(place, "cgroup.procs").ok()?;
    if alone.trim() != own.to_string() {
        return None;
    }
    let aside = place.join(aside());
    if let Err(error) = files.make(&aside)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return None;
    }
    let moved = files.write(&aside, "cgroup.procs", &own.to_string());
    moved.ok().map(|()| aside)
}

/// One action's group. Its processes are killed when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    place: PathBuf,
    /// For starting processes in it.
    folder: Option<File>,
    is_limited: bool,
    /// Linux (seen in 6.18) kills what is started into a group that was killed before, so such a group is not used again.
    was_killed: AtomicBool,
    shared: Arc<Shared>,
}

impl ControlGroup {
    pub(crate) fn folder(&self) -> Option<BorrowedFd<'_>> {
        self.folder.as_ref().map(AsFd::as_fd)
    }

    fn limit(&self, limits: &GroupLimits, controllers: &[String]) -> io::Result<()> {
        let files = &self.shared.files;
        if let Some(memory) = limits.memory {
            files.write(&self.place, "memory.max", &memory.to_string())?;
            // All of it goes, or none: half an action is of no use.
            files.write(&self.place, "memory.oom.group", "1")?;
            match files.write(&self.place, "memory.swap.max", "0") {
                // A kernel without swap.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                written => written?,
            }
        }
        files.write(&self.place, "pids.max", &limits.tasks.to_string())?;
        if controllers.iter().any(|name| name == "cpu") {
            let weight = u64::from(limits.cpu_millis) * WEIGHT / 1000;
            let weight = weight.clamp(WEIGHTS.0, WEIGHTS.1);
            files.write(&self.place, "cpu.weight", &weight.to_string())?;
        }
        Ok(())
    }

    /// The processes in it, as this process sees them.
    pub(crate) fn members(&self) -> Vec<u32> {
        members(&*self.shared.files, &self.place)
    }

    /// Sends to everybody in it who is not in the process group of `leader`.
    pub(crate) fn signal_others(&self, leader: Pid, signal: Signal) {
        let is_other =
            |pid: &u32| process(*pid).is_some_and(|pid| getpgid(Some(pid)) != Ok(leader));
        for pid in self.members().into_iter().filter(is_other) {
            signal_member(&*self.shared.files, &self.place, pid, signal);
        }
    }

    /// Kills everybody in it.
    pub(crate) fn kill(&self) {
        if is_populated(&*self.shared.files, &self.place) {
            self.was_killed.store(true, Ordering::Relaxed);
            kill(&*self.shared.files, &self.place);
        }
    }

    /// Returns when nobody is in it, or at `deadline`.
    pub(crate) async fn emptied(&self, deadline: Instant) {
        let changed = async {
            let events = File::open(self.place.join("cgroup.events"))?;
            #[expect(
                unsafe_code,
                reason = "tokio has no safe way to watch an owned descriptor"
            )]
            // SAFETY: a `File` keeps its descriptor open, and the same, until it is dropped with the `AsyncFd` around it.
            let events = unsafe { AsyncFd::register_with_interest(events, Interest::PRIORITY) }?;
            loop {
                // Read by what is watched: the kernel tells of changes since then.
                let mut text = [0; 256];
                let read = rustix::io::pread(events.get_ref(), &mut text, 0)?;
                if !says_populated(&String::from_utf8_lossy(&text[..read])) {
                    return Ok::<_, io::Error>(());
                }
                events.ready(Interest::PRIORITY).await?.clear_ready();
            }
        };
        if !is_populated(&*self.shared.files, &self.place) {
            return;
        }
        match tokio::time::timeout_at(deadline.into(), changed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a control group can't be watched"),
            Err(_) => tracing::debug!("a killed process is not gone yet"),
        }
    }

    /// The most memory that all of it has held at once, with its files in the page cache; where it has limits, and the kernel
    /// says so (Linux 5.19).
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        if !self.is_limited {
            return None;
        }
        let peak = self.shared.files.read(&self.place, "memory.peak").ok()?;
        peak.trim().parse().ok()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        self.kill();
        let is_fresh = !self.is_limited && !self.was_killed.load(Ordering::Relaxed);
        let (files, place) = (&*self.shared.files, std::mem::take(&mut self.place));
        self.folder = None;
        if is_fresh {
            self.shared.free.lock().push(place);
        } else if files.remove(&place).is_err() {
            self.shared.dying.lock().push(place);
        }
    }
}

fn members(files: &dyn Hierarchy, group: &Path) -> Vec<u32> {
    let listed = files.read(group, "cgroup.procs").unwrap_or_default();
    listed.lines().filter_map(|pid| pid.parse().ok()).collect()
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Sends to the process that has `pid` as long as it is in the group.
fn signal_member(files: &dyn Hierarchy, group: &Path, pid: u32, signal: Signal) {
    let opened = process(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    // Whoever is listed now had the pid when it was opened, or is a member by now who has it since.
    if let Some(Ok(pidfd)) = opened
        && members(files, group).contains(&pid)
    {
        let _gone_meanwhile = pidfd_send_signal(pidfd, signal);
    }
}

fn is_populated(files: &dyn Hierarchy, group: &Path) -> bool {
    says_populated(&files.read(group, "cgroup.events").unwrap_or_default())
}

fn says_populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

fn kill(files: &dyn Hierarchy, group: &Path) {
    match files.write(group, "cgroup.kill", "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::debug!(group = %group.display(), %error, "a control group can't be killed")
        }
        Ok(()) => return,
    }
    // Linux before 5.14.
    for _ in 0..ROUNDS {
        let members = members(files, group);
        if members.is_empty() {
            return;
        }
        for pid in members {
            signal_member(files, group, pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
#[path = "control_group/fake.rs"]
mod fake;
