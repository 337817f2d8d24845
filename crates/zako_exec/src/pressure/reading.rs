//! What the system says of its memory at one moment.
//!
//! It must never decide anything: it reads files and gives numbers, `None` for what a system does not tell.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::system;

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
    /// Resident bytes of all processes below this one, but for those that share its memory.
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
            page: system::page_bytes(),
        }
    }

    /// Reads all of it. Takes a millisecond or so for each hundred processes of the machine.
    #[must_use]
    pub fn read(&self) -> Reading {
        Reading {
            ours: Family::of(self).resident(),
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
        let (total, available) = system::memory();
        Reading {
            at: Instant::now(),
            total: kibibytes(&info, "MemTotal:").or(total),
            available: kibibytes(&info, "MemAvailable:").or(available),
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

    /// What the processes of each of `crews` use now, in that order; of a crew that has none, nothing.
    pub(crate) fn pulses(&self, crews: &[Crew]) -> Vec<Option<Pulse>> {
        let family = Family::of(self);
        let mut pulses: Vec<Option<Pulse>> = vec![None; crews.len()];
        for (pid, member) in &family.processes {
            let Some(crew) = family.crew_of(*pid, crews) else {
                continue;
            };
            let pulse = pulses[crew].get_or_insert_default();
            pulse.cpu_ticks += member.cpu_ticks;
            pulse.resident_bytes += member.resident;
            if member.resident > 0 {
                pulse.peak_bytes = pulse.peak_bytes.max(self.peak_bytes(*pid));
            }
        }
        for pulse in pulses.iter_mut().flatten() {
            pulse.peak_bytes = pulse.peak_bytes.max(pulse.resident_bytes);
        }
        pulses
    }

    /// The most memory that a process has held since it runs its program.
    fn peak_bytes(&self, pid: u32) -> u64 {
        let status = self.text(&format!("{pid}/status"));
        status
            .and_then(|status| kibibytes(&status, "VmHWM:"))
            .unwrap_or(0)
    }
}

/// The processes of one action, as far as they can be told apart: a leader with all that came of it, its process group, and
/// what is in a control group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crew {
    pub(crate) leader: u32,
    pub(crate) listed: Vec<u32>,
}

/// What the processes of one action use at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// CPU time of those that live, in the kernel's ticks: to be compared with an earlier one.
    pub cpu_ticks: u64,
    /// Their resident memory, in bytes. What they share counts for each.
    pub resident_bytes: u64,
    /// The most that is known of: that, or what the largest of them alone has held before.
    pub peak_bytes: u64,
}

/// A process.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    parent: u32,
    group: u32,
    cpu_ticks: u64,
    /// In bytes; none for what shares the memory of this process, as PID 1 of a sandbox does.
    resident: u64,
}

/// All processes with their parents.
struct Family {
    own: u32,
    processes: HashMap<u32, Member>,
}

impl Family {
    fn of(sources: &Sources) -> Self {
        let own = sources.pid;
        let stat = |pid: u32| sources.text(&format!("{pid}/stat")).unwrap_or_default();
        let own_stack = stack_in(&stat(own));
        let mut processes = HashMap::new();
        for entry in fs::read_dir(&sources.proc).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let stat = stat(pid);
            if let Some((mut member, pages)) = member_in(&stat) {
                let is_shared = pid != own && own_stack.is_some() && stack_in(&stat) == own_stack;
                member.resident = if is_shared { 0 } else { pages * sources.page };
                processes.insert(pid, member);
            }
        }
        Self { own, processes }
    }

    /// `pid`, its parent, that one's parent and so on. No longer than there are processes, even when it was read while it
    /// changed.
    fn line(&self, pid: u32) -> impl Iterator<Item = u32> + '_ {
        let parent = |pid: &u32| Some(self.processes.get(pid)?.parent);
        std::iter::successors(Some(pid), parent).take(self.processes.len())
    }

    /// Which of `crews` a process belongs to.
    fn crew_of(&self, pid: u32, crews: &[Crew]) -> Option<usize> {
        let leads = |pid: u32| crews.iter().position(|crew| crew.leader == pid);
        let of_group = || leads(self.processes.get(&pid)?.group);
        let of_list = || crews.iter().position(|crew| crew.listed.contains(&pid));
        self.line(pid)
            .find_map(leads)
            .or_else(of_group)
            .or_else(of_list)
    }

    /// Resident memory of all that this process has started.
    fn resident(&self) -> u64 {
        let is_ours = |pid: u32| self.line(pid).skip(1).any(|above| above == self.own);
        let ours = self.processes.iter().filter(|(pid, _)| is_ours(**pid));
        ours.map(|(_, member)| member.resident).sum()
    }
}

/// A process without its memory, and its resident pages, from `/proc/PID/stat`.
fn member_in(stat: &str) -> Option<(Member, u64)> {
    let mut fields = fields_in(stat)?;
    let member = Member {
        parent: fields.nth(1)?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        cpu_ticks: {
            let user: u64 = fields.nth(8)?.parse().ok()?;
            let system: u64 = fields.next()?.parse().ok()?;
            user + system
        },
        resident: 0,
    };
    Some((member, fields.nth(8)?.parse().ok()?))
}

/// Where code and stack of a process begin, if that is told: two processes that have both in common share their memory.
fn stack_in(stat: &str) -> Option<(u64, u64)> {
    let mut fields = fields_in(stat)?;
    let code = fields.nth(23)?.parse().ok()?;
    let stack = fields.nth(1)?.parse().ok()?;
    (stack != 0).then_some((code, stack))
}

/// The fields from the third on: the name in parentheses may hold anything, so they are counted behind its end (proc(5)).
fn fields_in(stat: &str) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    Some(stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace())
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

    /// Of a process whose group is 77, and whose code and stack begin at `memory`.
    fn stat(parent: u32, pages: u64, memory: u64) -> String {
        let (before, after) = ("0 ".repeat(8), "0 ".repeat(8));
        format!("7 (a ) b) S {parent} 77 {before}3 4 {after}{pages} 0 {memory} 9 {memory} 0\n")
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
    fn only_descendants_with_memory_of_their_own_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, pages, memory) in [
            (10, 1, 1, 500),
            (11, 10, 10, 501),
            (12, 11, 100, 502),
            // PID 1 of a sandbox, and the command in it.
            (13, 10, 1000, 500),
            (14, 13, 10_000, 503),
            (15, 1, 100_000, 504),
        ] {
            let text = stat(parent, pages, memory);
            write(dir.path(), &format!("{pid}/stat"), &text);
        }
        let sources = Sources::at(dir.path(), dir.path(), 10);
        assert_eq!(sources.read().ours, 10_110 * sources.page);
    }

    #[test]
    fn a_crew_is_what_came_of_its_leader_its_group_and_what_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, pages) in [(10, 1, 1), (77, 10, 10), (12, 77, 100), (13, 10, 1000)] {
            write(dir.path(), &format!("{pid}/stat"), &stat(parent, pages, 0));
        }
        write(dir.path(), "13/status", "VmHWM:\t 999999 kB\n");
        let sources = Sources::at(dir.path(), dir.path(), 10);
        let pulses = |leader: u32, listed: &[u32]| {
            let listed = listed.to_vec();
            sources.pulses(&[Crew { leader, listed }])[0]
        };
        let pulse = |ticks: u64, pages: u64, peak_bytes: u64| Pulse {
            cpu_ticks: ticks,
            resident_bytes: pages * sources.page,
            peak_bytes,
        };
        // Nobody leads the group 13, and what is in the group of nobody is nobody's.
        assert_eq!(pulses(12, &[]), Some(pulse(7, 100, 100 * sources.page)));
        assert_eq!(pulses(13, &[]), Some(pulse(7, 1000, 999_999 << 10)));
        assert_eq!(pulses(12, &[13]), Some(pulse(14, 1100, 999_999 << 10)));
        // All of them are in the group of 77.
        assert_eq!(pulses(77, &[]), Some(pulse(28, 1111, 999_999 << 10)));
        assert_eq!(pulses(5, &[]), None);
    }

    #[test]
    fn an_empty_system_tells_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let reading = Sources::at(dir.path(), dir.path(), 1).read();
        assert_eq!((reading.total, reading.available), (None, None));
        assert_eq!((reading.group_limit, reading.stalled_us), (None, None));
    }

    #[cfg(linux)]
    #[test]
    fn this_system_tells() {
        let reading = Sources::default().read();
        assert!(reading.total.unwrap() >= reading.available.unwrap());
        assert!(reading.available.unwrap() > 0);
    }
}
