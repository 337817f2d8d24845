//! What a worker used for one request: what its process and those below it had used before, taken from what they have used after.
//!
//! **Absences:** requests that share a process are not told apart here; whoever has such does not measure.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use zako_action::Usage;

use crate::system::ticks_a_second;

/// Processes of one worker that are looked at.
const MAX_PROCESSES: usize = 256;

/// What blocks are counted in, in bytes (getrusage(2)).
const BLOCK: u64 = 512;

/// The kernel's clock ticks in a second.
static TICKS: LazyLock<u64> = LazyLock::new(ticks_a_second);

/// The beginning of a request.
#[derive(Debug)]
pub(super) struct Measure {
    pid: u32,
    before: Totals,
    /// Whether peaks were forgotten then, so that later ones are of this request.
    is_reset: bool,
}

/// What processes have used since they began; those that ended count for who waited for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    user_ticks: u64,
    system_ticks: u64,
    read_bytes: u64,
    written_bytes: u64,
}

impl Measure {
    /// Begins for the worker `pid`.
    pub(super) fn begin(pid: u32) -> Self {
        let family = family(pid);
        // "5" forgets the peak of the resident set (proc(5), `clear_refs`).
        let reset = |pid: &u32| fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok();
        Self {
            pid,
            before: Totals::of(&family),
            is_reset: family.iter().filter(|pid| reset(pid)).count() == family.len(),
        }
    }

    /// What was used since then. `wall` is left zero.
    pub(super) fn end(&self) -> Usage {
        let family = family(self.pid);
        let (now, before) = (Totals::of(&family), &self.before);
        let time = |ticks: u64| Duration::from_micros(ticks * 1_000_000 / *TICKS);
        let resident = match self.is_reset {
            true => "VmHWM:",
            // Of another request, perhaps.
            false => "VmRSS:",
        };
        let peaks = family.iter().map(|pid| status_bytes(*pid, resident));
        Usage {
            user: time(now.user_ticks.saturating_sub(before.user_ticks)),
            system: time(now.system_ticks.saturating_sub(before.system_ticks)),
            max_rss_bytes: peaks.max().unwrap_or(0),
            blocks_in: now.read_bytes.saturating_sub(before.read_bytes) / BLOCK,
            blocks_out: now.written_bytes.saturating_sub(before.written_bytes) / BLOCK,
            ..Usage::default()
        }
    }
}

impl Totals {
    fn of(family: &[u32]) -> Self {
        let mut totals = Self::default();
        for pid in family {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if let Some([user, system, user_below, system_below]) = times_in(&stat) {
                totals.user_ticks += user + user_below;
                totals.system_ticks += system + system_below;
            }
            let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            totals.read_bytes += number_after(&io, "read_bytes:").unwrap_or(0);
            totals.written_bytes += number_after(&io, "write_bytes:").unwrap_or(0);
        }
        totals
    }
}

/// `pid`, and the processes that it started and that live.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        at += 1;
        let threads = fs::read_dir(format!("/proc/{parent}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace();
            family.extend(children.filter_map(|child| child.parse::<u32>().ok()));
        }
        family.truncate(MAX_PROCESSES);
    }
    family
}

/// User and system time of a process, and those of its children that it waited for, in ticks (proc(5), `stat`). The name in
/// parentheses may hold anything, so fields are counted behind its end.
fn times_in(stat: &str) -> Option<[u64; 4]> {
    let fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let mut times = fields.skip(11).map_while(|field| field.parse().ok());
    Some([times.next()?, times.next()?, times.next()?, times.next()?])
}

/// A size of `/proc/PID/status` in bytes; zero where the system does not tell.
pub(super) fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    number_after(&status, name).unwrap_or(0) * 1024
}

/// The number in the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15";
        assert_eq!(times_in(stat), Some([11, 12, 13, 14]));
        assert_eq!(times_in("7 (a"), None);
        assert_eq!(number_after("a: 1\nb: 2 kB\n", "b:"), Some(2));
    }

    /// A shell that counts as far as it is told, itself or in a child that it waits for.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_used_between_two_moments_is_measured() {
        use std::io::{BufRead, BufReader, Write};
        use std::process::{Command, Stdio};

        const COUNT: &str = "count() { i=0; while [ $i -lt $1 ]; do i=$((i+1)); done; }
            while read -r how far; do
              case $how in own) count $far ;; child) (count $far; :) ;; esac
              echo done
            done";
        let mut shell = Command::new("sh")
            .args(["-c", COUNT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let mut stdout = BufReader::new(shell.stdout.take().unwrap()).lines();
        let mut ask = |what: &str| {
            let measure = Measure::begin(shell.id());
            writeln!(stdin, "{what}").unwrap();
            assert_eq!(stdout.next().unwrap().unwrap(), "done");
            measure.end()
        };
        let cpu = |usage: Usage| usage.user + usage.system;
        let (own, child, nothing) = (ask("own 300000"), ask("child 300000"), ask("own 0"));
        assert!(cpu(own) > cpu(nothing) && cpu(child) > cpu(nothing));
        assert!(own.max_rss_bytes > 0);
        drop(stdin);
        assert!(shell.wait().unwrap().success());
        // There is no such process: nothing can be told of it.
        assert_eq!(Measure::begin(0).end(), Usage::default());
    }
}
