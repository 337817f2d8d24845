//! What a process may use at most, and how it stands among others.
//!
//! It must never know why: it is numbers for the kernel.

/// Limits of each single process (setrlimit(2)); `None` leaves what zako itself has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space. What asks for more is refused, which most programs report as being out of memory.
    pub address_space: Option<u64>,
    /// Seconds of CPU time; past them comes SIGXCPU, and a second later SIGKILL.
    pub cpu_seconds: Option<u64>,
    /// Bytes of the largest file that it may write; past them comes SIGXFSZ.
    pub file_size: Option<u64>,
    /// File descriptors.
    pub open_files: Option<u64>,
    /// Processes of its user; in a user namespace, of its user in there.
    pub processes: Option<u64>,
    /// Bytes of a core dump.
    pub core: Option<u64>,
}

/// How a process is started besides its words and streams; by default as zako itself stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// What it may use at most.
    pub limits: Limits,
    /// Which permissions its new files do not get (umask(2)).
    pub umask: Option<u32>,
    /// How much it steps back for others, from -20 to 19 (setpriority(2)).
    pub nice: Option<i32>,
    /// The processors that it may run on, by number; all if empty.
    pub affinity: Vec<usize>,
}

impl Limits {
    /// Resources by the kernel's names, with what is set for them.
    #[cfg(walls)]
    pub(super) fn list(&self) -> Vec<(u32, u64)> {
        use nix::libc;
        let all = [
            (libc::RLIMIT_AS, self.address_space),
            (libc::RLIMIT_CPU, self.cpu_seconds),
            (libc::RLIMIT_FSIZE, self.file_size),
            (libc::RLIMIT_NOFILE, self.open_files),
            (libc::RLIMIT_NPROC, self.processes),
            (libc::RLIMIT_CORE, self.core),
        ];
        let set = all.into_iter();
        set.filter_map(|(resource, limit)| Some((resource as u32, limit?)))
            .collect()
    }
}
