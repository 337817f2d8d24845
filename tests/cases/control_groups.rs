//! What control groups do for builds, where there are some to divide: in a virtual machine, `scripts/real-kernel` makes that so.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use zako_tests::{Workspace, run, zako};

/// A group of this test's own with a limit of memory, in a group that this process may divide. Removed when dropped.
struct Group(PathBuf);

impl Group {
    /// `None`, with the reason printed, where there can be none.
    fn make(memory: Option<u64>) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let place = Path::new("/sys/fs/cgroup").join(own.unwrap_or_default());
        // Where a zako that was alone in its group has gone, as `scripts/real-kernel` has it.
        let place = match place.file_name() {
            Some(name) if name == "zako-aside" => place.parent().unwrap(),
            _ => &place,
        };
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = place.join(format!("case-{}-{next}", std::process::id()));
        // Nothing is to be created: with groups of version 1 this is a folder like others.
        let made = File::options()
            .write(true)
            .open(place.join("cgroup.subtree_control"))
            .and_then(|mut file| file.write_all(b"+memory +pids"))
            .and_then(|()| fs::create_dir(&folder))
            .map(|()| Group(folder))
            .and_then(|group| match memory {
                Some(bytes) => {
                    fs::write(group.0.join("memory.max"), bytes.to_string()).map(|()| group)
                }
                None => Ok(group),
            });
        match made {
            Ok(group) => Some(group),
            Err(error) => {
                println!(
                    "skipped: {} can't be divided, see scripts/real-kernel: {error}",
                    place.display()
                );
                None
            }
        }
    }

    /// What a command in a workspace says whose process begins in this group, and its exit code.
    fn run(&self, workspace: &Workspace, command: &str) -> String {
        let mut shell = workspace.program("sh".as_ref());
        let script = format!(
            "(echo 0 > {}/cgroup.procs; exec {command}) 2>&1; echo \"exit code $?\"",
            self.0.display()
        );
        shell.args(["-c", &script]);
        run(shell)
    }

    fn zako(&self, workspace: &Workspace, arguments: &str) -> String {
        let cache = workspace.cache();
        let command = format!(
            "{} --color never --cache-dir {} {arguments}",
            zako().display(),
            cache.display()
        );
        self.run(workspace, &command)
    }

    /// How many processes were killed in it for want of memory.
    fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap();
        let count = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        count.unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group that zako steps into is below.
        let _it_may_not_be_there = fs::remove_dir(self.0.join("zako-aside"));
        let removed = fs::remove_dir(&self.0);
        if !std::thread::panicking() {
            removed.unwrap_or_else(|error| panic!("{} is not empty: {error}", self.0.display()));
        }
    }
}

/// Holds 90 MiB: `tail` keeps a line until it is whole. Fails when that is killed.
const HOG: &str = "test $(head -c 94371840 /dev/zero | tail -n 1 | wc -c) = 94371840";

#[test]
fn a_fork_bomb_at_maximum_meets_the_limit_and_leaves_nothing() {
    let Some(group) = Group::make(None) else {
        return;
    };
    // Each waits for a writer that never comes.
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const bomb = task({ isolation: \"maximum\", timeout: \"4m\",\n\
           shell: 'mkfifo $TMPDIR/never; i=0; while [ $i -lt 5000 ]; do (read -r x < $TMPDIR/never) & i=$((i+1)); done; echo \"all $i are there\"' });\n",
    );
    let said = group.zako(&workspace, "build");
    assert!(said.contains("fork"), "{said}");
    assert!(!said.contains("all 5000 are there"), "{said}");
    assert!(said.ends_with("exit code 1\n"), "{said}");
    // That nobody is left is what removing the group tells.
    drop(group);
}

#[test]
fn what_is_killed_for_memory_runs_again_alone_and_is_told() {
    let Some(group) = Group::make(None) else {
        return;
    };
    let task = |name: &str, memory: &str| {
        format!(
            "export const {name} = task({{ isolation: \"maximum\", memory: \"{memory}\", shell: '{HOG}' }});\n"
        )
    };
    let workspace = Workspace::package(&format!(
        "import {{ task }} from \"zako:build\";\n{}{}",
        task("small", "32MiB"),
        task("large", "400MiB")
    ));
    let said = group.zako(&workspace, "build -k");
    let told = "was killed for want of memory: again, alone";
    assert_eq!(said.matches(told).count(), 1, "{said}");
    assert!(said.contains("//:small"), "{said}");
    assert!(said.contains("signal 9"), "{said}");
    assert!(said.ends_with("exit code 1\n"), "{said}");
    let said = group.zako(&workspace, "build :large");
    assert!(said.ends_with("exit code 0\n"), "{said}");
}

/// How many hogs there are, and what they may have together with whoever starts them.
const HOGS: usize = 8;
const SMALL: u64 = 512 << 20;

#[test]
fn a_build_in_a_small_group_ends_well_where_that_of_ninja_is_killed() {
    let hogs: String = (0..HOGS)
        .map(|at| format!("export const hog{at} = task({{ cpu: 0.1, outputs: [\"{at}\"], shell: '{HOG} && echo whole > $out' }});\n"))
        .collect();
    let edges: String = (0..HOGS).map(|at| format!("build n{at}: hog\n")).collect();
    let workspace = Workspace::package(&format!("import {{ task }} from \"zako:build\";\n{hogs}"))
        .file(
            "build.ninja",
            &format!(
                "rule hog\n  command = {} && echo whole > $out\n{edges}",
                HOG.replace('$', "$$")
            ),
        );
    let Some(group) = Group::make(Some(SMALL)) else {
        return;
    };
    let has_ninja = workspace
        .program("ninja".as_ref())
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if has_ninja {
        let said = group.run(&workspace, &format!("ninja -j {HOGS}"));
        assert!(!said.ends_with("exit code 0\n"), "{said}");
        assert!(group.kills() > 0, "{said}");
    } else {
        println!("skipped for ninja, which is not here");
    }
    let said = group.zako(&workspace, "build");
    println!("{said}{} kills", group.kills());
    assert!(said.ends_with("exit code 0\n"), "{said}");
    for at in 0..HOGS {
        assert_eq!(workspace.read(&format!("zako-out/{at}")).trim(), "whole");
    }
}
