//! Learns that a child has ended: a thread waits for it, on a handle of its own.

use std::convert::Infallible;
use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle};

use tokio::sync::oneshot;

use super::job;

/// A thread that sleeps until the process has ended.
pub(super) struct ExitWatch(oneshot::Receiver<io::Result<()>>);

impl ExitWatch {
    pub(super) fn new(
        child: BorrowedHandle<'_>,
        _no_pidfd: Option<Infallible>,
    ) -> io::Result<Self> {
        let child = child.try_clone_to_owned()?;
        let (sender, receiver) = oneshot::channel();
        let wait = move || {
            let _nobody_waits = sender.send(job::wait(child.as_handle()));
        };
        std::thread::Builder::new()
            .name("zako-wait".into())
            .stack_size(256 << 10)
            .spawn(wait)?;
        Ok(Self(receiver))
    }

    /// Returns when it has ended. May be dropped and called again until then.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        (&mut self.0)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the waiting thread is gone")))
    }
}
