//! What this machine has, as a starting point for a [`Capacity`].
//!
//! It must never know a pool: it reads the system once and returns numbers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use crate::{Capacity, system};

/// Network slots of a machine, unless somebody says otherwise.
pub const DEFAULT_NETWORK_SLOTS: u32 = 16;

/// Memory that is assumed where the system does not tell, in bytes.
const UNKNOWN_MEMORY: u64 = 8 << 30;

/// The processors that this process may use: affinity and the CPU quotas of both versions of control groups count. The
/// system is asked once in a process: it takes a dozen calls.
#[must_use]
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS
        .get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

impl Capacity {
    /// All of this machine, within the limits of the control group that this process is in: CPUs (quota and affinity
    /// count), memory, [`DEFAULT_NETWORK_SLOTS`], no named resources.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let cpus = processors() as u64;
        let limit = memory_limit(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
        Self {
            cpu_millis: cpus * 1000,
            memory_bytes: system::total_memory()
                .unwrap_or(UNKNOWN_MEMORY)
                .min(limit.unwrap_or(u64::MAX)),
            network_slots: DEFAULT_NETWORK_SLOTS,
            named: BTreeMap::new(),
        }
    }
}

/// The smallest `memory.max` from this process's control group (version 2) up to the root; `None` without a limit.
fn memory_limit(own: &Path, mount: &Path) -> Option<u64> {
    let own = std::fs::read_to_string(own).ok()?;
    // The only line of version 2 is `0::/path`.
    let group = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limits = Path::new(group)
        .ancestors()
        .map(|group| mount.join(group).join("memory.max"));
    limits
        .filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something() {
        let capacity = Capacity::of_this_machine();
        assert!(capacity.cpu_millis >= 1000);
        assert!(capacity.memory_bytes >= 1 << 20);
    }

    #[test]
    fn the_narrowest_group_limits_memory() {
        let dir = tempfile::tempdir().unwrap();
        let (own, mount) = (dir.path().join("cgroup"), dir.path().join("mount"));
        let group = mount.join("a/b");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(&own, "0::/a/b\n").unwrap();
        assert_eq!(memory_limit(&own, &mount), None);
        std::fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(memory_limit(&own, &mount), None);
        std::fs::write(mount.join("a/memory.max"), "4096\n").unwrap();
        assert_eq!(memory_limit(&own, &mount), Some(4096));
        std::fs::write(group.join("memory.max"), "9000\n").unwrap();
        assert_eq!(memory_limit(&own, &mount), Some(4096));
        assert_eq!(memory_limit(&dir.path().join("none"), &mount), None);
    }
}
