//! All processes that came of one that this crate has started: a job object, from which nobody gets out.
//!
//! **Invariant:** the job is ended when this is dropped, and by the system when this process ends in whatever way.

use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zako_action::{Exit, Usage};

use super::job::{self, Job};
use crate::control_group::ControlGroup;

/// How often it is looked whether a job that was ended is empty.
const LOOK: Duration = Duration::from_millis(2);

/// How processes are told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal(bool);

impl Signal {
    /// Ctrl-Break, where it can be sent.
    pub(super) const TERM: Self = Self(false);
    /// At once.
    pub(super) const KILL: Self = Self(true);
}

/// Holds the right to end the job.
#[derive(Debug)]
pub(super) struct Group {
    job: Job,
    child: Child,
}

/// How the first process of a group ended.
pub(super) struct Reaped {
    pub(super) exit: Exit,
    pub(super) usage: Usage,
    /// Nothing: whether a program starts is known at once.
    pub(super) failure: Option<io::Error>,
    /// The most memory that all together had committed.
    pub(super) group_peak: Option<u64>,
}

impl Group {
    pub(super) fn new(job: Job, child: Child) -> Self {
        Self { job, child }
    }

    /// There are none.
    pub(super) fn control(&self) -> Option<&Arc<ControlGroup>> {
        None
    }

    pub(super) fn leader(&self) -> BorrowedHandle<'_> {
        self.child.as_handle()
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells all to end. Whoever can't be told (it has no console, or not ours) is ended at once.
    pub(super) fn signal(&self, signal: Signal) {
        if signal == Signal::KILL {
            self.job.kill();
        } else if let Err(error) = job::interrupt(self.pid()) {
            tracing::debug!(pid = self.pid(), %error, "no Ctrl-Break sent");
            self.job.kill();
        }
    }

    /// Waits until nobody is left, after it was ended: files that an ending process still has open can't be removed.
    pub(super) async fn emptied(&self, deadline: Instant) {
        while self.job.totals().is_ok_and(|totals| totals.active > 0) && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How the first process ended, which it has (or will soon: this waits for it), and what all of them used.
    pub(super) fn reap(mut self) -> io::Result<Reaped> {
        let status = self.child.wait()?;
        let usage = self.job.totals().map(|totals| totals.usage);
        Ok(Reaped {
            exit: Exit::Code(status.code().unwrap_or(-1)),
            // That it can't be told is no reason to lose what was done.
            usage: usage.unwrap_or_default(),
            failure: None,
            group_peak: self.job.peak_bytes(),
        })
    }
}
