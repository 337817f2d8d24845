//! Control groups in memory, which refuse more than the kernel does: for what most machines that run tests do not give.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;

/// Where the process is in each of these tests.
const PLACE: &str = "/g/own";

#[derive(Debug, Default)]
struct Node {
    members: BTreeSet<u32>,
    passed_on: BTreeSet<String>,
    values: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<PathBuf, Node>,
    /// What the parent of all passes on.
    controllers: BTreeSet<String>,
    is_root: bool,
    /// Groups that another process has locked.
    locked: HashSet<PathBuf>,
    /// What was killed goes when it is told to.
    is_slow: bool,
    /// How many groups another process removes just before they are locked.
    vanishing: usize,
}

/// A clone is the same.
#[derive(Clone, Debug)]
struct Fake(Arc<Mutex<State>>);

fn error(errno: rustix::io::Errno) -> io::Error {
    errno.into()
}

use rustix::io::Errno;

impl State {
    fn node(&mut self, group: &Path) -> io::Result<&mut Node> {
        self.nodes.get_mut(group).ok_or(error(Errno::NOENT))
    }

    fn is_top(group: &Path) -> bool {
        group == Path::new(PLACE)
    }

    fn controllers(&self, group: &Path) -> BTreeSet<String> {
        let parent = group.parent().and_then(|parent| self.nodes.get(parent));
        match parent {
            Some(parent) if !Self::is_top(group) => parent.passed_on.clone(),
            _ => self.controllers.clone(),
        }
    }

    fn below(&self, group: &Path) -> Vec<PathBuf> {
        let all = self.nodes.keys();
        all.filter(|path| path.starts_with(group))
            .cloned()
            .collect()
    }

    fn is_populated(&self, group: &Path) -> bool {
        let mut below = self.below(group).into_iter();
        below.any(|path| !self.nodes[&path].members.is_empty())
    }
}

impl Fake {
    fn new(controllers: &[&str], members: &[u32]) -> Self {
        let mut state = State {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            ..State::default()
        };
        let top = Node {
            members: members.iter().copied().collect(),
            ..Node::default()
        };
        state.nodes.insert(PLACE.into(), top);
        Self(Arc::new(Mutex::new(state)))
    }

    fn groups(&self) -> Result<Arc<Shared>, Lack> {
        Shared::below(Path::new(PLACE), Box::new(self.clone())).map(Arc::new)
    }

    /// Paths of all groups below the place.
    fn listed(&self) -> Vec<String> {
        let state = self.0.lock();
        let all = state.nodes.keys().skip(1);
        all.map(|path| path.display().to_string()).collect()
    }

    fn enter(&self, group: &Path, pid: u32) {
        let mut state = self.0.lock();
        assert!(state.node(group).unwrap().passed_on.is_empty());
        state.node(group).unwrap().members.insert(pid);
    }
}

impl Hierarchy for Fake {
    fn make(&self, group: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.node(group.parent().unwrap())?;
        if state.nodes.contains_key(group) {
            return Err(error(Errno::EXIST));
        }
        state.nodes.insert(group.to_owned(), Node::default());
        Ok(())
    }

    fn remove(&self, group: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.node(group)?;
        if state.below(group).len() > 1 || state.is_populated(group) {
            return Err(error(Errno::BUSY));
        }
        assert!(!State::is_top(group), "not ours to remove");
        state.nodes.remove(group);
        Ok(())
    }

    fn read(&self, group: &Path, file: &str) -> io::Result<String> {
        let mut state = self.0.lock();
        let is_root = state.is_root && State::is_top(group);
        let controllers = state.controllers(group);
        let is_populated = state.is_populated(group);
        let node = state.node(group)?;
        let words = |set: &BTreeSet<String>| set.iter().map(|word| format!("{word} ")).collect();
        match file {
            "cgroup.controllers" => Ok(words(&controllers)),
            "cgroup.subtree_control" => Ok(words(&node.passed_on)),
            "cgroup.procs" => Ok(node.members.iter().map(|pid| format!("{pid}\n")).collect()),
            "cgroup.type" if !is_root => Ok("domain\n".to_owned()),
            "cgroup.events" if !is_root => {
                Ok(format!("populated {}\nfrozen 0\n", u8::from(is_populated)))
            }
            "memory.peak" if controllers.contains("memory") => Ok("4242\n".to_owned()),
            _ => node.values.get(file).cloned().ok_or(error(Errno::NOENT)),
        }
    }

    fn write(&self, group: &Path, file: &str, text: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        let is_root = state.is_root && State::is_top(group);
        let controllers = state.controllers(group);
        let number = text.parse::<u64>();
        state.node(group)?;
        match file {
            "cgroup.subtree_control" => {
                let names = text.split(' ').map(|word| word.strip_prefix('+').unwrap());
                let names: BTreeSet<String> = names.map(str::to_owned).collect();
                if !names.is_subset(&controllers) {
                    return Err(error(Errno::NOENT));
                }
                let node = state.node(group)?;
                if !is_root && !node.members.is_empty() {
                    return Err(error(Errno::BUSY));
                }
                node.passed_on.extend(names);
            }
            "cgroup.procs" => {
                let pid = u32::try_from(number.unwrap()).unwrap();
                if !state.node(group)?.passed_on.is_empty() {
                    return Err(error(Errno::BUSY));
                }
                for node in state.nodes.values_mut() {
                    node.members.remove(&pid);
                }
                state.node(group)?.members.insert(pid);
            }
            "cgroup.kill" => {
                assert_eq!(number, Ok(1));
                assert!(!State::is_top(group), "that would be everybody");
                let is_slow = state.is_slow;
                for path in state.below(group).into_iter().filter(|_| !is_slow) {
                    state.node(&path)?.members.clear();
                }
            }
            _ => {
                let controller = file.split('.').next().unwrap();
                if !controllers.contains(controller) {
                    return Err(error(Errno::NOENT));
                }
                let range = match file {
                    "memory.max" | "memory.swap.max" => 0..=u64::MAX,
                    "memory.oom.group" => 0..=1,
                    "pids.max" => 1..=4_194_304,
                    "cpu.weight" => 1..=10_000,
                    _ => return Err(error(Errno::NOENT)),
                };
                if !range.contains(&number.unwrap()) {
                    return Err(error(Errno::RANGE));
                }
                let node = state.node(group)?;
                node.values.insert(file.to_owned(), text.to_owned());
            }
        }
        Ok(())
    }

    fn children(&self, group: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let below = state
            .nodes
            .keys()
            .filter(|path| path.parent() == Some(group));
        Ok(below
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    fn lock(&self, group: &Path) -> io::Result<Option<File>> {
        let mut state = self.0.lock();
        let is_locked = state.locked.contains(group);
        if state.vanishing > 0 {
            state.vanishing -= 1;
            state.nodes.remove(group);
        }
        Ok((!is_locked).then(|| File::open("/dev/null").unwrap()))
    }
}

const ALL: [&str; 4] = ["cpu", "io", "memory", "pids"];

const LIMITS: GroupLimits = GroupLimits {
    memory: Some(1 << 20),
    tasks: 77,
    cpu_millis: 2500,
};

#[test]
fn limits_are_written_and_nothing_is_left() {
    let fake = Fake::new(&ALL, &[]);
    let groups = fake.groups().unwrap();
    let group = Shared::take(&groups, Some(&LIMITS)).unwrap();
    assert!(group.place.starts_with(groups.base.join("limited")));
    let read = |file: &str| fake.read(&group.place, file).unwrap();
    let files = [
        "memory.max",
        "memory.swap.max",
        "memory.oom.group",
        "pids.max",
        "cpu.weight",
    ];
    assert_eq!(files.map(read), ["1048576", "0", "1", "77", "250"]);
    assert_eq!(group.peak_bytes(), Some(4242));
    // What declares no memory has what there is.
    let more = GroupLimits {
        memory: None,
        ..LIMITS
    };
    let other = Shared::take(&groups, Some(&more)).unwrap();
    assert!(fake.read(&other.place, "memory.max").is_err());
    // One without limits has no controllers, which would cost it.
    let plain = Shared::take(&groups, None).unwrap();
    assert_eq!(fake.read(&plain.place, "cgroup.controllers").unwrap(), "");
    assert_eq!(plain.peak_bytes(), None);
    for pid in 5..9 {
        fake.enter(&group.place, pid);
    }
    drop((group, other, plain, groups));
    assert_eq!(fake.listed(), [""; 0]);
}

#[test]
fn a_limit_that_is_refused_leaves_no_group() {
    let fake = Fake::new(&ALL, &[]);
    let groups = fake.groups().unwrap();
    let before = fake.listed();
    let none = GroupLimits { tasks: 0, ..LIMITS };
    assert!(Shared::take(&groups, Some(&none)).is_err());
    assert_eq!(fake.listed(), before);
}

#[test]
fn groups_without_limits_are_used_again_when_they_are_empty() {
    let fake = Fake::new(&[], &[3]);
    let groups = fake.groups().unwrap();
    let take = || Shared::take(&groups, None).unwrap();
    let (first, second) = (take(), take());
    let place = first.place.clone();
    assert_ne!(place, second.place);
    drop(first);
    let again = take();
    assert_eq!(again.place, place);
    // Somebody is in there who does not go at once.
    fake.enter(&place, 9);
    fake.0.lock().is_slow = true;
    drop(again);
    let other = take();
    assert_ne!(other.place, place);
    assert!(fake.listed().contains(&place.display().to_string()));
    fake.0.lock().nodes.get_mut(&place).unwrap().members.clear();
    drop(take());
    assert!(!fake.listed().contains(&place.display().to_string()));
}

#[test]
fn what_cannot_be_limited_is_told_and_has_groups_all_the_same() {
    for (controllers, members, told) in [
        (&[][..], &[][..], "has no controller `memory`"),
        (&["memory"], &[], "has no controller `pids`"),
        (&ALL, &[1, 2], "other processes are in it"),
    ] {
        let fake = Fake::new(controllers, members);
        let groups = fake.groups().unwrap();
        let lack = groups.limits.clone().unwrap_err();
        assert!(lack.what.contains(told), "{lack}");
        let group = Shared::take(&groups, Some(&LIMITS)).unwrap();
        assert!(!group.is_limited);
    }
    // The root has processes, and can be divided.
    let fake = Fake::new(&ALL, &[1, 2]);
    fake.0.lock().is_root = true;
    assert!(fake.groups().unwrap().limits.is_ok());
}

#[test]
fn who_is_alone_steps_aside() {
    let step = |fake: &Fake| step_out_of(fake, Path::new(PLACE), 8);
    let fake = Fake::new(&ALL, &[8]);
    assert!(fake.groups().unwrap().limits.is_err());
    let aside = Path::new(PLACE).join("zako-aside");
    assert_eq!(step(&fake), Some(aside.clone()));
    let groups = fake.groups().unwrap();
    assert!(groups.limits.is_ok(), "{groups:?}");
    assert_eq!(
        members(&fake, &aside),
        [8],
        "it is not taken for left behind"
    );
    drop(groups);
    assert_eq!(members(&fake, &aside), [8]);

    assert_eq!(step(&Fake::new(&ALL, &[7, 8])), None);
    assert_eq!(step(&Fake::new(&["memory"], &[8])), None);
    let root = Fake::new(&ALL, &[8]);
    root.0.lock().is_root = true;
    assert_eq!(step(&root), None);
}

#[test]
fn what_a_dead_zako_has_left_is_removed() {
    let fake = Fake::new(&[], &[]);
    let place = Path::new(PLACE);
    let left = |name: &str, pid: u32| {
        let base = place.join(name);
        for group in [base.clone(), base.join("plain"), base.join("plain/0")] {
            fake.make(&group).unwrap();
        }
        fake.enter(&base.join("plain/0"), pid);
        base
    };
    let (dead, living, other) = (left("zako-1-0", 11), left("zako-2-0", 12), left("x", 13));
    fake.0.lock().locked.insert(living.clone());
    let groups = fake.groups().unwrap();
    let listed = fake.listed();
    let is_there = |base: &Path| listed.contains(&base.display().to_string());
    assert!(!is_there(&dead) && is_there(&living) && is_there(&other));
    assert_eq!(members(&fake, &living.join("plain/0")), [12]);
    drop(groups);
}

#[test]
fn a_folder_that_another_zako_takes_for_left_behind_is_made_again() {
    let fake = Fake::new(&[], &[]);
    fake.0.lock().vanishing = 2;
    let groups = fake.groups().unwrap();
    assert!(Shared::take(&groups, None).is_ok());
    drop(groups);
    // Not for ever.
    fake.0.lock().vanishing = TRIES;
    let lack = fake.groups().unwrap_err();
    assert!(lack.what.contains("not zako's to divide"), "{lack}");
    assert_eq!(fake.listed(), [""; 0]);
}

#[test]
fn the_own_group_is_found_in_what_is_mounted() {
    let unified =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let hybrid = "1 2 0:5 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  3 2 0:6 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n";
    let part = "29 23 0:26 /docker/a /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    for (groups, mounts, found) in [
        ("0::/\n", unified, "/sys/fs/cgroup/"),
        (
            "0::/user.slice/x.scope\n",
            unified,
            "/sys/fs/cgroup/user.slice/x.scope",
        ),
        (
            "4:memory:/m\n0::/a b\n",
            hybrid,
            "/sys/fs/cgroup/uni fied/a b",
        ),
        ("0::/docker/a/b\n", part, "/sys/fs/cgroup/b"),
    ] {
        assert_eq!(locate(groups, mounts), Ok(PathBuf::from(found)), "{groups}");
    }
    for (groups, mounts, told) in [
        ("4:memory:/m\n", hybrid, "no control groups of version 2"),
        ("0::/\n", "", "not mounted"),
        ("0::/elsewhere\n", part, "not to be seen"),
        ("0::/../x\n", unified, "not to be seen"),
    ] {
        let lack = locate(groups, mounts).unwrap_err();
        assert!(lack.what.contains(told), "{lack}");
    }
}
