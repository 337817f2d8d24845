//! Reads both output pipes at once through one buffer.

use std::io;
use std::ops::ControlFlow;
use std::time::Instant;

use zako_action::Stream;

use super::{Receive, until};
use crate::system::{PipeEnd, Receiver, receiver};

/// The most that is read at once, and all that is held: what a pipe holds on Linux (pipe(7)).
const CHUNK: usize = 64 * 1024;

/// How many chunks are read after a deadline: more than two full pipes.
const LATE_CHUNKS: u32 = 8;

/// Both output pipes of a process, each open until its end of file.
pub(super) struct Streams {
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
    chunk: Box<[u8]>,
}

impl Streams {
    pub(super) fn new(stdout: PipeEnd, stderr: PipeEnd) -> io::Result<Self> {
        Ok(Self {
            stdout: Some(receiver(stdout)?),
            stderr: Some(receiver(stderr)?),
            chunk: vec![0; CHUNK].into(),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// What comes next on either pipe; `None` when one was closed, or had nothing after all. Call it while
    /// [`is_open`](Self::is_open). Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<(Stream, &[u8])>> {
        let stream = tokio::select! {
            ready = readable(self.stdout.as_ref()) => ready.map(|()| Stream::Stdout),
            ready = readable(self.stderr.as_ref()) => ready.map(|()| Stream::Stderr),
        }?;
        let pipe = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(open) = pipe else {
            return Ok(None);
        };
        match open.try_read(&mut self.chunk) {
            Ok(0) => {
                *pipe = None;
                Ok(None)
            }
            Ok(read) => Ok(Some((stream, &self.chunk[..read]))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands on what comes until both pipes are closed or the deadline passes (`None`: there is
    /// none). A receiver that wants no more gets no more, and the pipes are closed.
    ///
    /// What lies in the pipes at the deadline is still read, but no more than that: whoever holds
    /// them open may go on writing for ever.
    pub(super) async fn drain(
        &mut self,
        receive: &mut Receive<'_>,
        deadline: Option<Instant>,
    ) -> io::Result<ControlFlow<()>> {
        let mut late = 0;
        let mut passed = std::pin::pin!(until(deadline));
        while self.is_open() && late < LATE_CHUNKS {
            let chunk = tokio::select! {
                biased;
                chunk = self.next() => chunk?,
                () = &mut passed => break,
            };
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                late += 1;
            }
            if let Some((stream, bytes)) = chunk
                && receive(stream, bytes).is_break()
            {
                (self.stdout, self.stderr) = (None, None);
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

async fn readable(pipe: Option<&Receiver>) -> io::Result<()> {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => std::future::pending().await,
    }
}
