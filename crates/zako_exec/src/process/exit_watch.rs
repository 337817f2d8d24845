//! Learns that a child has ended without collecting it, so that its pid stays taken.

use std::io;

use rustix::process::Pid;

#[cfg(linux)]
pub(super) use pidfd::ExitWatch;

#[cfg(not(linux))]
pub(super) use thread::ExitWatch;

#[cfg(linux)]
mod pidfd {
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, pidfd_open};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Pid, io, thread};

    /// A pidfd is readable once its process has ended. Kernels before 5.3 have none: a thread waits there.
    pub(in super::super) enum ExitWatch {
        Pidfd(AsyncFd<OwnedFd>),
        Thread(thread::ExitWatch),
    }

    impl ExitWatch {
        /// `child` must be an uncollected child of this process, and `pidfd` be one of it.
        pub(in super::super) fn new(child: Pid, pidfd: Option<OwnedFd>) -> io::Result<Self> {
            match pidfd.map_or_else(|| pidfd_open(child, PidfdFlags::empty()), Ok) {
                Ok(fd) => {
                    #[expect(
                        unsafe_code,
                        reason = "tokio has no safe way to watch an owned descriptor"
                    )]
                    // SAFETY: an `OwnedFd` stays open, and the same, until it is dropped with the `AsyncFd` around it.
                    let watched =
                        unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
                    Ok(Self::Pidfd(watched?))
                }
                Err(Errno::NOSYS) => Ok(Self::Thread(thread::ExitWatch::new(child, None)?)),
                Err(errno) => Err(errno.into()),
            }
        }

        /// Returns when it has ended. May be dropped and called again.
        pub(in super::super) async fn ended(&mut self) -> io::Result<()> {
            match self {
                Self::Pidfd(fd) => fd.readable().await.map(drop),
                Self::Thread(thread) => thread.ended().await,
            }
        }
    }
}

mod thread {
    use std::os::fd::OwnedFd;

    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use tokio::sync::oneshot;

    use super::{Pid, io};

    /// A thread that sleeps in `waitid` and leaves the child to be collected.
    pub(in super::super) struct ExitWatch(oneshot::Receiver<io::Result<()>>);

    impl ExitWatch {
        /// `child` must be an uncollected child of this process.
        pub(in super::super) fn new(child: Pid, _no_pidfd: Option<OwnedFd>) -> io::Result<Self> {
            let (sender, receiver) = oneshot::channel();
            let wait = move || {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                let ended = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(child), options));
                let _nobody_waits = sender.send(ended.map(drop).map_err(io::Error::from));
            };
            std::thread::Builder::new()
                .name("zako-wait".into())
                .stack_size(64 * 1024)
                .spawn(wait)?;
            Ok(Self(receiver))
        }

        /// Returns when it has ended. May be dropped and called again until then.
        pub(in super::super) async fn ended(&mut self) -> io::Result<()> {
            (&mut self.0)
                .await
                .unwrap_or_else(|_| Err(io::Error::other("the waiting thread is gone")))
        }
    }
}
