//! How much of the process's memory came since a thread of V8's began: what allocators keep for a thread goes with it.
//!
//! Must never know V8. The system tells the memory of the whole process, so growth that is somebody else's counts too: a thread that is
//! replaced for that costs some milliseconds, and what came before is not held against the next one.

/// After how many evaluations the system is asked again: the answer costs tens of microseconds.
const LOOK_EVERY: u32 = 16;

/// What one thread remembers.
#[derive(Debug)]
pub(crate) struct Growth {
    /// How much is too much, in bytes.
    limit: usize,
    /// What the process had when the thread was first looked at, in bytes.
    before: Option<usize>,
    /// Evaluations since the last look.
    unseen: u32,
}

impl Growth {
    /// For a thread that begins.
    pub(crate) fn new(limit: usize) -> Growth {
        Growth {
            limit,
            before: None,
            unseen: 0,
        }
    }

    /// Whether the process has grown too much since the thread began; an evaluation has ended, and nothing of it is left.
    pub(crate) fn is_too_much(&mut self) -> bool {
        self.ended(resident)
    }

    fn ended(&mut self, resident: impl FnOnce() -> Option<usize>) -> bool {
        self.unseen += 1;
        // The first evaluation says what a thread needs in any case.
        if self.before.is_some() && self.unseen < LOOK_EVERY {
            return false;
        }
        self.unseen = 0;
        let Some(now) = resident() else { return false };
        let before = *self.before.get_or_insert(now);
        now.saturating_sub(before) >= self.limit
    }
}

/// The resident memory of this process, in bytes, where the system tells it.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    in_status(&status)
}

fn in_status(status: &str) -> Option<usize> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{Growth, LOOK_EVERY, in_status};

    #[test]
    fn growth_counts_from_the_first_evaluation() {
        const MIB: usize = 1 << 20;
        let mut growth = Growth::new(100 * MIB);
        assert!(!growth.ended(|| Some(500 * MIB)));
        // Nobody asks each time.
        for _ in 1..LOOK_EVERY {
            assert!(!growth.ended(|| unreachable!("not yet")));
        }
        assert!(!growth.ended(|| Some(599 * MIB)));
        for _ in 1..LOOK_EVERY {
            assert!(!growth.ended(|| unreachable!("not yet")));
        }
        assert!(growth.ended(|| Some(600 * MIB)));
        // What shrinks is fine, and so is what cannot be told.
        let mut growth = Growth::new(100 * MIB);
        assert!(!growth.ended(|| Some(500 * MIB)));
        growth.unseen = LOOK_EVERY;
        assert!(!growth.ended(|| Some(MIB)));
        growth.unseen = LOOK_EVERY;
        assert!(!growth.ended(|| None));
    }

    #[test]
    fn the_system_says_it_in_kib() {
        let status = "Name:\tzako\nVmPeak:\t 9 kB\nVmRSS:\t   2048 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(in_status(status), Some(2 << 20));
        assert_eq!(in_status("Name:\tzako\n"), None);
    }
}
