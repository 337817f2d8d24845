//! Real work that needs more memory together than its control group has: admission by what is left lets all of it end.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_util::sync::CancellationToken;
use zako_action::Exit;
use zako_exec::{
    Capacity, ControlGroups, FIXED_PATH, Priority, Process, Request, ResourcePool, Sources,
};

const INSIDE: &str = "ZAKO_TEST_SMALL_GROUP";
const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;
const HOGS: usize = 8;

/// Holds 90 MiB: `tail` keeps a line until it is whole.
const HOG: &str = "head -c 94371840 /dev/zero | tail -n 1 | wc -c";

#[test]
fn all_ends_well_in_a_group_that_is_too_small_for_all_at_once() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let Some(group) = SmallGroup::make() else {
        return;
    };
    let this = std::env::current_exe().unwrap();
    let status = Command::new("sh")
        .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
        .args([group.folder.as_os_str(), this.as_os_str()])
        .args([
            "--exact",
            "all_ends_well_in_a_group_that_is_too_small_for_all_at_once",
        ])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    let killed = group.killed();
    std::fs::remove_dir(&group.folder).unwrap();
    assert!(status.success(), "{status}");
    assert!(
        killed.lines().any(|line| line == "oom_kill 0"),
        "somebody was killed: {killed}"
    );
}

/// A control group of either version with little memory.
struct SmallGroup {
    folder: PathBuf,
    /// The file in it that counts who was killed.
    kills: &'static str,
}

impl SmallGroup {
    /// `None`, with the reasons printed, where there can be none.
    fn make() -> Option<Self> {
        Self::of_version_1()
            .inspect_err(|error| {
                eprintln!("no memory control group of version 1 can be made here: {error}")
            })
            .or_else(|_| Self::of_version_2())
            .inspect_err(|error| {
                eprintln!("skipped: no memory control group of version 2 either: {error}")
            })
            .ok()
    }

    fn of_version_1() -> std::io::Result<Self> {
        let folder =
            Path::new("/sys/fs/cgroup/memory").join(format!("test-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("memory.limit_in_bytes"), LIMIT.to_string())?;
        Ok(Self {
            folder,
            kills: "memory.oom_control",
        })
    }

    /// Beside the groups of actions, so where zako itself could limit those.
    fn of_version_2() -> std::io::Result<Self> {
        let groups = ControlGroups::new();
        let found = groups.capabilities();
        let base = found.limits.and(found.place);
        let base = base.map_err(std::io::Error::other)?;
        let place = base.parent().unwrap();
        let folder = place.join(format!("test-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("memory.max"), LIMIT.to_string())?;
        if let Err(error) = std::fs::write(folder.join("memory.swap.max"), "0") {
            eprintln!("it may swap: {error}");
        }
        Ok(Self {
            folder,
            kills: "memory.events",
        })
    }

    fn killed(&self) -> String {
        std::fs::read_to_string(self.folder.join(self.kills)).unwrap()
    }
}

/// In the group. The pool believes in a machine with plenty of everything; only the watch knows better.
fn inside() {
    let pool = ResourcePool::new(Capacity {
        cpu_millis: 1000 * HOGS as u64,
        memory_bytes: 1 << 40,
        network_slots: 0,
        named: [].into(),
    });
    let sources = Sources::default();
    assert_eq!(sources.read().group_limit, Some(LIMIT));
    let _watch = pool.watch(sources).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let hogs: Vec<_> = (0..HOGS)
        .map(|_| {
            let pool = pool.clone();
            runtime.spawn(async move {
                let cancel = CancellationToken::new();
                let request = Request {
                    cpu_millis: 1000,
                    memory_bytes: 96 * MIB,
                    ..Request::default()
                };
                let _grant = pool.acquire(&request, Priority(0), &cancel).await.unwrap();
                let mut process = Process::new("sh", "/");
                process.args = vec!["-c".into(), HOG.into()];
                process.env = [("PATH".to_owned(), FIXED_PATH.to_owned())].into();
                let mut printed = Vec::new();
                let mut receive = |_, chunk: &[u8]| {
                    printed.extend_from_slice(chunk);
                    ControlFlow::Continue(())
                };
                let ended = process.run(&mut receive, &cancel).await.unwrap();
                (ended.exit, printed)
            })
        })
        .collect();
    for hog in hogs {
        let (exit, printed) = runtime.block_on(hog).unwrap();
        assert_eq!(exit, Exit::Code(0));
        assert_eq!(String::from_utf8(printed).unwrap().trim(), "94371840");
    }
}
