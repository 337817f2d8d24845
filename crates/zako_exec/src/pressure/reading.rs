//! What the system says of its memory at one moment.
//!
//! It must never decide anything: it reads files and gives numbers, `None` for what a system does not tell.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Limits that are no limits: version 1 of control groups says "none" by a number near 2⁶³.
const NO_LIMIT: u64 = 1 << 60;

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// Memory of the machine, in bytes (`MemTotal`).
    pub total: Option<u64>,
    /// What of it can be had without swapping (`MemAvailable`).
    pub available: Option<u64>,
    /// The narrowest limit of the control groups that this process is in.
    pub group_limit: Option<u64>,
    /// The least that is left below such a limit; file pages that can be dropped count as left.
    pub group_headroom: Option<u64>,
    /// Microseconds in which some process stood still for want of memory, since the system (or the group) began.
    pub stalled_us: Option<u64>,
    /// Resident bytes of all processes below this one.
    pub ours: u64,
}

/// Where readings come from: `/proc` and the mount of control groups, or folders that look like them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    proc: PathBuf,
    groups: PathBuf,
    pid: u32,
    page: u64,
}

impl Default for Sources {
    /// This system's own.
    fn default() -> Self {
        Self::at("/proc", "/sys/fs/cgroup", std::process::id())
    }
}

impl Sources {
    /// `proc` in place of `/proc`, `groups` in place of `/sys/fs/cgroup`, and the process whose descendants count as ours.
    #[must_use]
    pub fn at(proc: impl Into<PathBuf>, groups: impl Into<PathBuf>, pid: u32) -> Self {
        Self {
            proc: proc.into(),
            groups: groups.into(),
            pid,
            page: page_bytes(),
        }
    }

    /// Reads all of it. Takes a millisecond or so for each hundred processes of the machine.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            ours: self.descendants_bytes(),
            ..self.glance()
        }
    }

    /// What the machine has, as if this process had no children: a few files.
    pub(super) fn glance(&self) -> Reading {
        let info = self.text("meminfo").unwrap_or_default();
        let groups = self.memory_groups();
        let psi = groups
            .iter()
            .find_map(|group| fs::read_to_string(group.join("memory.pressure")).ok())
            .or_else(|| self.text("pressure/memory"));
        let bounds: Vec<(u64, u64)> = groups.iter().filter_map(|g| bounds(g)).collect();
        Reading {
            at: Instant::now(),
            total: kibibytes(&info, "MemTotal:"),
            available: kibibytes(&info, "MemAvailable:"),
            group_limit: bounds.iter().map(|(limit, _)| *limit).min(),
            group_headroom: bounds.iter().map(|(_, left)| *left).min(),
            stalled_us: psi.as_deref().and_then(stalled),
            ours: 0,
        }
    }

    /// How often the system has killed a process for want of memory since it began, in whatever group.
    #[must_use]
    pub fn out_of_memory_kills(&self) -> Option<u64> {
        number_after(&self.text("vmstat")?, "oom_kill")
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.proc.join(file)).ok()
    }

    /// The folders of the memory groups that this process is in, innermost first, of either version.
    fn memory_groups(&self) -> Vec<PathBuf> {
        let own = self.text("self/cgroup").unwrap_or_default();
        let mut folders = Vec::new();
        for line in own.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(kinds), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let mount = match kinds {
                "" => self.groups.clone(),
                kinds if kinds.split(',').any(|kind| kind == "memory") => {
                    self.groups.join("memory")
                }
                _ => continue,
            };
            let relative = Path::new(path.trim_start_matches('/'));
            folders.extend(relative.ancestors().map(|group| mount.join(group)));
        }
        folders
    }

    /// Resident memory of all processes whose ancestor this one is.
    fn descendants_bytes(&self) -> u64 {
        Family::of(self)
            .sums()
            .values()
            .map(|sum| sum.resident)
            .sum()
    }

    /// What each child of this process, with all that it started, uses now.
    #[must_use]
    pub fn pulses(&self) -> Vec<Pulse> {
        let sums = Family::of(self).sums();
        let pulse = |(child, sum): (u32, Sum)| {
            let file = |name: &str| self.proc.join(child.to_string()).join(name);
            let environment = fs::read(file("environ")).unwrap_or_default();
            let tmp = environment
                .split(|byte| *byte == 0)
                .find_map(|pair| pair.strip_prefix(b"TMPDIR="));
            Pulse {
                pid: child,
                dir: fs::read_link(file("cwd")).ok(),
                tmp: tmp.map(|tmp| PathBuf::from(OsStr::from_bytes(tmp))),
                cpu_ticks: sum.cpu_ticks,
                resident_bytes: sum.resident,
            }
        };
        sums.into_iter().map(pulse).collect()
    }
}

/// What a child and all that it started use at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The child.
    pub pid: u32,
    /// The folder that it is in, where that can be told.
    pub dir: Option<PathBuf>,
    /// The TMPDIR that it was started with.
    pub tmp: Option<PathBuf>,
    /// CPU time of those that live, in the kernel's ticks: to be compared with an earlier one.
    pub cpu_ticks: u64,
    /// Their resident memory, in bytes. What they share counts for each.
    pub resident_bytes: u64,
}

/// What some processes use together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    cpu_ticks: u64,
    resident: u64,
}

/// All processes with their parents.
struct Family {
    own: u32,
    /// (parent, what it uses) by process
    processes: HashMap<u32, (u32, Sum)>,
}

impl Family {
    fn of(sources: &Sources) -> Self {
        let mut processes = HashMap::new();
        for entry in fs::read_dir(&sources.proc).into_iter().flatten().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if let Some((parent, cpu_ticks, pages)) = usage_in(&stat) {
                let resident = pages * sources.page;
                processes.insert(
                    pid,
                    (
                        parent,
                        Sum {
                            cpu_ticks,
                            resident,
                        },
                    ),
                );
            }
        }
        let own = sources.pid;
        Self { own, processes }
    }

    /// The child of this process that `pid` descends from, or is.
    fn child_above(&self, mut pid: u32) -> Option<u32> {
        // A chain of parents is no longer than there are processes, even when it was read while it changed.
        for _ in 0..self.processes.len() {
            let (parent, _) = self.processes.get(&pid)?;
            if *parent == self.own {
                return Some(pid);
            }
            pid = *parent;
        }
        None
    }

    /// By child of this process.
    fn sums(&self) -> HashMap<u32, Sum> {
        let mut sums: HashMap<u32, Sum> = HashMap::new();
        for (pid, (_, used)) in &self.processes {
            if let Some(child) = self.child_above(*pid) {
                let sum = sums.entry(child).or_default();
                sum.cpu_ticks += used.cpu_ticks;
                sum.resident += used.resident;
            }
        }
        sums
    }
}

/// What the kernel counts resident memory in.
fn page_bytes() -> u64 {
    use nix::unistd::{SysconfVar, sysconf};
    let bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(4096)
}

/// Parent, CPU ticks and resident pages from `/proc/PID/stat`: the name in parentheses may hold anything, so fields are counted
/// behind its end (proc(5)).
fn usage_in(stat: &str) -> Option<(u32, u64, u64)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user: u64 = fields.nth(9)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let pages = fields.nth(8)?.parse().ok()?;
    Some((parent, user + system, pages))
}

/// A group's limit and what is left below it; `None` when it has no limit.
fn bounds(group: &Path) -> Option<(u64, u64)> {
    let number = |file: &str| -> Option<u64> {
        fs::read_to_string(group.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let (limit, used, droppable) = match number("memory.limit_in_bytes") {
        Some(limit) => (
            limit,
            number("memory.usage_in_bytes")?,
            "total_inactive_file",
        ),
        None => (
            number("memory.max")?,
            number("memory.current")?,
            "inactive_file",
        ),
    };
    if limit >= NO_LIMIT {
        return None;
    }
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let droppable = number_after(&stat, droppable).unwrap_or(0);
    Some((limit, limit.saturating_sub(used.saturating_sub(droppable))))
}

/// The number in the line that begins with `name` and a space.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    rest.trim().parse().ok()
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

/// The total of the line `some` of a pressure file.
fn stalled(text: &str) -> Option<u64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split("total=").nth(1)?.trim().parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn write(dir: &Path, file: &str, text: &str) {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn stat(parent: u32, pages: u64) -> String {
        let (before, after) = ("0 ".repeat(9), "0 ".repeat(8));
        format!("7 (a ) b) S {parent} {before}3 4 {after}{pages} 0\n")
    }

    fn proc_with(dir: &Path, cgroup: &str) {
        write(
            dir,
            "meminfo",
            "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:  1024 kB\n",
        );
        write(
            dir,
            "pressure/memory",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 total=5\n",
        );
        write(dir, "vmstat", "oom_kill_other 9\noom_kill 3\n");
        write(dir, "self/cgroup", cgroup);
    }

    #[test]
    fn version_2_of_groups_and_their_ancestors() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, groups) = (dir.path().join("proc"), dir.path().join("cg"));
        proc_with(&proc, "0::/a/b\n");
        write(&groups, "a/b/memory.max", "max\n");
        write(&groups, "a/memory.max", "1000000\n");
        write(&groups, "a/memory.current", "900000\n");
        write(&groups, "a/memory.stat", "file 9\ninactive_file 200000\n");
        let sources = Sources::at(&proc, &groups, 1);
        let reading = sources.read();
        assert_eq!(reading.total, Some(2 << 20));
        assert_eq!(reading.available, Some(1 << 20));
        assert_eq!(reading.group_limit, Some(1_000_000));
        assert_eq!(reading.group_headroom, Some(300_000));
        assert_eq!(reading.stalled_us, Some(77));
        assert_eq!(sources.out_of_memory_kills(), Some(3));
        write(&groups, "a/b/memory.pressure", "some avg10=0.00 total=11\n");
        assert_eq!(sources.read().stalled_us, Some(11));
    }

    #[test]
    fn version_1_of_groups() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, groups) = (dir.path().join("proc"), dir.path().join("cg"));
        proc_with(&proc, "4:cpu,memory:/x\n2:freezer:/y\n0::/\n");
        write(
            &groups,
            "memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        write(&groups, "memory/memory.usage_in_bytes", "5\n");
        write(&groups, "memory/x/memory.limit_in_bytes", "5000\n");
        write(&groups, "memory/x/memory.usage_in_bytes", "4000\n");
        write(&groups, "memory/x/memory.stat", "total_inactive_file 500\n");
        let reading = Sources::at(&proc, &groups, 1).read();
        assert_eq!(reading.group_limit, Some(5000));
        assert_eq!(reading.group_headroom, Some(1500));
    }

    #[test]
    fn only_descendants_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, pages) in [(10, 1, 1), (11, 10, 10), (12, 11, 100), (13, 1, 1000)] {
            write(dir.path(), &format!("{pid}/stat"), &stat(parent, pages));
        }
        let sources = Sources::at(dir.path(), dir.path(), 10);
        assert_eq!(sources.read().ours, 110 * sources.page);
        write(dir.path(), "11/environ", "A=b\0TMPDIR=/x/tmp\0");
        let [pulse] = &sources.pulses()[..] else {
            panic!("one child")
        };
        assert_eq!((pulse.pid, pulse.cpu_ticks), (11, 14));
        assert_eq!(pulse.tmp.as_deref(), Some(Path::new("/x/tmp")));
        assert_eq!(pulse.resident_bytes, 110 * sources.page);
    }

    #[test]
    fn an_empty_system_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let reading = Sources::at(dir.path(), dir.path(), 1).read();
        assert_eq!((reading.total, reading.available), (None, None));
        assert_eq!((reading.group_limit, reading.stalled_us), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_system_tells() {
        let reading = Sources::default().read();
        assert!(reading.total.unwrap() >= reading.available.unwrap());
        assert!(reading.available.unwrap() > 0);
    }
}
