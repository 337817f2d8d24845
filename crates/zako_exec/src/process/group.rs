//! A process group that this crate has started, from spawn to reaping.
//!
//! Behind walls the leader is their PID 1, which is zako's own code: SIGTERM to it is handed on to everybody inside, and its
//! end is everybody's. A control group, where there is one, has those as well who left the process group. How the command ended stands in its report.
//!
//! **Invariants:** the leader is waited for exactly once, and signals go out before that only. What a leader behind walls
//! reads in our memory is kept until it was collected.

use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, kill_process, kill_process_group};
use zako_action::{Exit, Usage};

use super::reap;
use crate::control_group::ControlGroup;

pub(super) use rustix::process::Signal;

/// Holds the right to signal the group and the duty to reap its leader. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    reaped: bool,
    inside: Option<Inside>,
    control: Option<Arc<ControlGroup>>,
}

/// How the leader of a group ended.
pub(super) struct Reaped {
    pub(super) exit: Exit,
    pub(super) usage: Usage,
    /// Why the command was never started, which behind walls is known no sooner.
    pub(super) failure: Option<io::Error>,
    /// The most memory that its control group has held, if that is told.
    pub(super) group_peak: Option<u64>,
}

#[cfg(walls)]
pub(super) type Inside = (super::launch::Kept, Arc<super::launch::Order>);

/// Nobody is behind walls.
#[cfg(not(walls))]
#[derive(Debug)]
pub(super) enum Inside {}

impl Group {
    /// For a child that was started as the leader of a new group, in that control group, and that nobody else waits for; with
    /// what it reads, when it is behind walls.
    pub(super) fn new(
        leader: Pid,
        inside: Option<Inside>,
        control: Option<Arc<ControlGroup>>,
    ) -> Self {
        Self {
            leader,
            reaped: false,
            inside,
            control,
        }
    }

    pub(super) fn control(&self) -> Option<&Arc<ControlGroup>> {
        self.control.as_ref()
    }

    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    pub(super) fn pid(&self) -> u32 {
        self.leader.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until its control group is empty, after it was killed.
    pub(super) async fn emptied(&self, deadline: Instant) {
        if let Some(control) = &self.control {
            control.emptied(deadline).await;
        }
    }

    /// Sends to every member. Members that are gone or changed their user are none of our business.
    pub(super) fn signal(&self, signal: Signal) {
        // PID 1 behind walls hands on what it gets, and may not have made its group yet.
        let sent = match self.inside {
            Some(_) => kill_process(self.leader, signal),
            None => kill_process_group(self.leader, signal),
        };
        if let Err(errno) = sent {
            tracing::debug!(leader = self.leader.as_raw_nonzero(), %errno, "signal to a process group not sent");
        }
        match &self.control {
            Some(control) if signal == Signal::KILL => control.kill(),
            // Behind walls PID 1 has told everybody.
            Some(control) if self.inside.is_none() => control.signal_others(self.leader, signal),
            _ => {}
        }
    }

    /// Collects the leader, which has ended (or will soon: this waits for it).
    pub(super) fn reap(mut self) -> io::Result<Reaped> {
        self.reaped = true;
        let waited = reap::wait(self.leader);
        if waited.is_err() {
            // It may still be there and read.
            let _for_ever = ManuallyDrop::new(self.inside.take());
        }
        let (exit, usage) = waited?;
        Ok(self.tell(exit, usage))
    }

    #[cfg(walls)]
    fn tell(&self, exit: Exit, mut usage: Usage) -> Reaped {
        let Some((_, order)) = &self.inside else {
            return Reaped {
                exit,
                usage,
                failure: None,
                group_peak: self.peak(),
            };
        };
        let report = order.report();
        let failure = report.failure();
        // The peak of PID 1 is zako's own.
        usage.max_rss_bytes = report.peak_bytes();
        Reaped {
            exit: report.status().map_or(exit, reap::exit_of),
            usage,
            failure: failure.map(|failure| failure.explain(order.walls())),
            group_peak: self.peak().filter(|_| !report.is_outside()),
        }
    }

    #[cfg(not(walls))]
    fn tell(&self, exit: Exit, usage: Usage) -> Reaped {
        Reaped {
            exit,
            usage,
            failure: None,
            group_peak: self.peak(),
        }
    }

    fn peak(&self) -> Option<u64> {
        self.control.as_ref()?.peak_bytes()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.signal(Signal::KILL);
        let leader = self.leader;
        // Not dropped by a thread that could not be started.
        let inside = Arc::new(parking_lot::Mutex::new(self.inside.take()));
        let kept = inside.clone();
        let wait = move || {
            let waited = reap::wait(leader);
            let inside = kept.lock().take();
            if waited.is_err() {
                let _for_ever = ManuallyDrop::new(inside);
            }
        };
        // A killed process can take a moment to go (it may be in the kernel), and a future's drop must not wait for it.
        if std::thread::Builder::new()
            .name("zako-reap".into())
            .stack_size(64 * 1024)
            .spawn(wait.clone())
            .is_err()
        {
            wait();
        }
    }
}
