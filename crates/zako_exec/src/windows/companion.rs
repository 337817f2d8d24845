//! What stands for a companion's process group on Windows: a job object.

use std::io;
use std::os::windows::io::{AsHandle, OwnedHandle};
use std::process::{Child, Command};
use std::time::Duration;

use parking_lot::Mutex;
use zako_action::Exit;

use super::{PipeEnd, ends};
use crate::process::Process;
use crate::process::job::{self, Job};

/// A child as a process. Dropping it kills all that came of it.
#[derive(Debug)]
pub struct CompanionHandle {
    job: Job,
    pid: u32,
    child: Mutex<Child>,
}

impl CompanionHandle {
    /// Starts `command`, which is of `process`.
    pub(super) fn start(
        mut command: Command,
        process: &Process,
    ) -> io::Result<(Self, [PipeEnd; 3])> {
        let (job, mut child) = Job::start(&mut command, &process.attributes)?;
        let ends = ends(&mut child)?;
        let handle = Self {
            job,
            pid: child.id(),
            child: Mutex::new(child),
        };
        Ok((handle, ends))
    }

    /// The process id of the first one.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the first one has not ended yet.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.child.lock().try_wait(), Ok(None))
    }

    /// Ends all of them.
    pub fn kill(&self) {
        self.job.kill();
    }

    /// Waits `grace` for it to end, then sends Ctrl-Break, waits as long again and kills.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub async fn end(self, grace: Duration) -> io::Result<Exit> {
        let process: OwnedHandle = self.child.lock().as_handle().try_clone_to_owned()?;
        let mut gone = tokio::task::spawn_blocking(move || job::wait(process.as_handle()));
        if tokio::time::timeout(grace, &mut gone).await.is_err() {
            let is_told = job::interrupt(self.pid).is_ok();
            if !is_told || tokio::time::timeout(grace, &mut gone).await.is_err() {
                self.kill();
            }
        }
        if !gone.is_finished() {
            let _it_does_not_panic = gone.await;
        }
        self.kill();
        let status = self.child.lock().wait()?;
        Ok(Exit::Code(status.code().unwrap_or(-1)))
    }
}
