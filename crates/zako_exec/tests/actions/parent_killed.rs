//! What becomes of actions whose zako is killed by SIGKILL: this binary starts itself as a zako, waits until its action runs, and
//! kills it.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::world::{World, mounts, processes_with, shell, this_binary};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zako_action::Isolation;
use zako_exec::{ControlGroups, capabilities};

/// Long enough for a loaded machine: only what never ends takes that long.
const LIMIT: Duration = Duration::from_secs(60);

/// Tells a process of this binary that it is the zako, and at which level.
const LEVEL: &str = "ZAKO_TEST_KILLED";

/// A word that is in the environment of every process of the action of the zako with this pid, and in no other.
fn mark(zako: u32) -> String {
    format!("zako-killed-{zako}-")
}

/// The zako: runs an action that does not end.
async fn run_until_killed(level: &str) {
    let level = match level {
        "none" => Isolation::None,
        "basic" => Isolation::Basic,
        _ => Isolation::Enhanced,
    };
    // Its other end is gone with the test that started this.
    let alone =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let mut w = World::new(&[]).unwrap();
    w.executor = w.executor.clone().with_groups(ControlGroups::new());
    // One that left the group and whose parent is gone, one in the group, and the leader; SIGTERM is ignored by all.
    let script = "trap '' TERM; (setsid sleep 7001 &); sleep 7002 & exec sleep 7003";
    let mut spec = shell(script, &[], &[]);
    spec.env.insert("MARK".to_owned(), mark(std::process::id()));
    tokio::select! {
        ended = w.run_at(spec, level) => panic!("it should have been killed, not {ended:?}"),
        _ = alone => panic!("nobody is left to kill it"),
    }
}

/// The zako. Nothing of it outlives the test, also when that fails.
struct Zako(Child);

impl Drop for Zako {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _collected_already = self.0.wait();
        let left = pids(processes_with(&mark(self.0.id())));
        for watched in left.into_iter().filter_map(Watched::of) {
            let _gone_already = pidfd_send_signal(watched.pidfd.get_ref(), Signal::KILL);
        }
    }
}

/// A process that is not necessarily a child of this one.
struct Watched {
    name: String,
    pidfd: AsyncFd<OwnedFd>,
}

impl Watched {
    /// `None` when it is gone already, or has no pidfd that can be waited for.
    fn of(pid: i32) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let name = format!("{} ({})", name.trim(), command.replace('\0', " "));
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor changes; an owned one does not"
        )]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE).ok()?;
        Some(Self { name, pidfd })
    }

    async fn ends_within(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.pidfd.readable())
            .await
            .is_ok_and(|ended| ended.is_ok())
    }
}

fn pids(listed: Vec<String>) -> BTreeSet<i32> {
    let pid = |line: String| line.split_once(':').unwrap().0.parse().unwrap();
    listed.into_iter().map(pid).collect()
}

/// Processes whose parent is `zako`: the leaders of its actions, and PID 1 of a sandbox.
fn children(zako: u32) -> BTreeSet<i32> {
    let parent = format!("PPid:\t{zako}\n");
    let is_child = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| status.contains(&parent))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let all = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    all.filter(is_child).collect()
}

/// Waits until all three of an action are there, and gives its leader's process (and PID 1), and all others.
fn wait_for_three(zako: &mut Child) -> (Vec<Watched>, Vec<Watched>) {
    let began = Instant::now();
    // Not the shell, whose command line has all of these words.
    let sleeps = ["7001", "7002", "7003"].map(|time| format!(": sleep {time} "));
    loop {
        let listed = processes_with(&mark(zako.id()));
        if sleeps
            .iter()
            .all(|sleep| listed.iter().any(|line| line.contains(sleep)))
        {
            let (first, all) = (children(zako.id()), pids(listed));
            let rest = all.difference(&first).copied();
            let rest = rest.filter_map(Watched::of).collect();
            return (first.into_iter().filter_map(Watched::of).collect(), rest);
        }
        if let Some(status) = zako.try_wait().unwrap() {
            panic!("it ended by itself: {status}");
        }
        assert!(began.elapsed() < LIMIT, "not started: {listed:?}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zako_that_is_killed_takes_its_actions_along() {
    if let Ok(level) = std::env::var(LEVEL) {
        run_until_killed(&level).await;
    }
    if World::new(&[]).is_none() {
        return;
    }
    for level in ["none", "basic", "enhanced"] {
        // What it can't clear away any more is here.
        let dir = tempfile::tempdir().unwrap();
        let mounted = mounts(dir.path());
        let zako = this_binary()
            .args([
                "--exact",
                "parent_killed::a_zako_that_is_killed_takes_its_actions_along",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env(LEVEL, level)
            .env("TMPDIR", dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut zako = Zako(zako);
        let (leaders, others) = wait_for_three(&mut zako.0);
        assert_eq!((leaders.len(), others.len() >= 2), (1, true), "{level}");
        zako.0.kill().unwrap();
        assert!(!zako.0.wait().unwrap().success());
        for leader in &leaders {
            assert!(leader.ends_within(LIMIT).await, "{level}: {}", leader.name);
        }
        // The next zako in this control group ends what is left in groups of one that is gone, where there are groups.
        let next = capabilities(&dir.path().join("probe"));
        for other in &others {
            if level != "enhanced" && next.groups.place.is_err() {
                // Without a PID namespace nobody is left who knows of them: not promised, so they are this test's to end.
                let _gone_already = pidfd_send_signal(other.pidfd.get_ref(), Signal::KILL);
            }
            assert!(other.ends_within(LIMIT).await, "{level}: {}", other.name);
        }
        // A sandbox's mounts go with its last process.
        assert_eq!(mounts(dir.path()), mounted);
    }
}
