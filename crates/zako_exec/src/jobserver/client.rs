//! Takes part in the jobserver of whoever started this process.
//!
//! **Invariant:** each token that was taken is written back once, when it is dropped. The mode of descriptors that other processes
//! share is not changed: the pipe is opened anew.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Auth;

/// Why the jobserver that MAKEFLAGS names can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JobClientError {
    /// make closed its pipe for this process.
    #[error(
        "make did not pass its jobserver on (descriptor {fd} is not a pipe); begin the line that runs zako with `+`"
    )]
    NotPassed {
        /// The descriptor that MAKEFLAGS names.
        fd: i32,
    },
    /// The pipe can't be opened.
    #[error("cannot open the jobserver at {}: {source}", path.display())]
    Open {
        /// The pipe.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
}

/// A place among the jobs of whoever started this process. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct JobClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The job that this process may always run.
    own: Arc<Semaphore>,
    /// One reader at a time, so that a token is not waited for twice.
    tokens: Mutex<pipe::Receiver>,
    back: File,
}

/// Leave to run one job. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping a token gives it back"]
pub struct JobToken(#[expect(dead_code, reason = "held for its drop")] Held);

#[derive(Debug)]
enum Held {
    Own(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
    Taken(#[expect(dead_code, reason = "held for its drop")] Taken),
}

#[derive(Debug)]
struct Taken(Arc<Shared>, u8);

impl Drop for Taken {
    fn drop(&mut self) {
        if let Err(error) = (&self.0.back).write_all(&[self.1]) {
            tracing::warn!(%error, "cannot give a token back to the jobserver");
        }
    }
}

impl JobClient {
    /// The jobserver that `makeflags` (the value of MAKEFLAGS) names; `None` when it names none.
    ///
    /// # Errors
    /// When it names one that can't be used: a warning is in order, and to go on without.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn of(makeflags: &str) -> Result<Option<Self>, JobClientError> {
        let (read, write) = match Auth::of(makeflags) {
            None => return Ok(None),
            Some(Auth::Fifo(path)) => (PathBuf::from(&path), PathBuf::from(path)),
            Some(Auth::Pipe(read, write)) => (descriptor(read)?, descriptor(write)?),
        };
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| JobClientError::Open { path, source }
        };
        // Read and written, so that opening waits for nobody and the end of all others is no end of file.
        let tokens = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&read)
            .and_then(pipe::Receiver::from_file)
            .map_err(fail(&read))?;
        let back = File::options()
            .read(true)
            .write(true)
            .open(&write)
            .map_err(fail(&write))?;
        let shared = Shared {
            own: Arc::new(Semaphore::new(1)),
            tokens: Mutex::new(tokens),
            back,
        };
        Ok(Some(Self {
            shared: Arc::new(shared),
        }))
    }

    /// Waits for leave to run one more job; `None` after `cancel`.
    pub async fn acquire(&self, cancel: &CancellationToken) -> Option<JobToken> {
        let own = Arc::clone(&self.shared.own).acquire_owned();
        tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            permit = own => permit.ok().map(|permit| JobToken(Held::Own(permit))),
            byte = self.take() => Some(JobToken(Held::Taken(Taken(Arc::clone(&self.shared), byte)))),
        }
    }

    /// Takes a byte. Nothing is taken when this is dropped before it returns.
    async fn take(&self) -> u8 {
        let tokens = self.shared.tokens.lock().await;
        loop {
            let mut byte = [0];
            let is_readable = tokens.readable().await.is_ok();
            match tokens.try_read(&mut byte) {
                Ok(1) => return byte[0],
                Err(error) if is_readable && error.kind() == io::ErrorKind::WouldBlock => {}
                // The pipe is broken: the own job is what is left.
                _ => std::future::pending::<()>().await,
            }
        }
    }
}

/// The path by which an inherited pipe is opened anew.
fn descriptor(fd: i32) -> Result<PathBuf, JobClientError> {
    let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
    let is_pipe = std::fs::metadata(&path).is_ok_and(|found| found.file_type().is_fifo());
    is_pipe
        .then_some(path)
        .ok_or(JobClientError::NotPassed { fd })
}
