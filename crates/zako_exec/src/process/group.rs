//! A process group that this crate has started, from spawn to reaping.
//!
//! **Invariant:** the leader is waited for exactly once, and signals go out before that only.

use std::io;

use rustix::process::{Pid, kill_process_group};
use zako_action::{Exit, Usage};

use super::reap;

pub(super) use rustix::process::Signal;

/// Holds the right to signal the group and the duty to reap its leader. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    reaped: bool,
}

impl Group {
    /// For a child that was started as the leader of a new group and that nobody else waits for.
    pub(super) fn new(leader: Pid) -> Self {
        Self {
            leader,
            reaped: false,
        }
    }

    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// Sends to every member. Members that are gone or changed their user are none of our business.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(errno) = kill_process_group(self.leader, signal) {
            tracing::debug!(leader = self.leader.as_raw_nonzero(), %errno, "signal to a process group not sent");
        }
    }

    /// Collects the leader, which has ended (or will soon: this waits for it).
    pub(super) fn reap(mut self) -> io::Result<(Exit, Usage)> {
        self.reaped = true;
        reap::wait(self.leader)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.signal(Signal::KILL);
        let leader = self.leader;
        let wait = move || drop(reap::wait(leader));
        // A killed process can take a moment to go (it may be in the kernel), and a future's drop must not wait for it.
        if std::thread::Builder::new()
            .name("zako-reap".into())
            .stack_size(64 * 1024)
            .spawn(wait)
            .is_err()
        {
            wait();
        }
    }
}
