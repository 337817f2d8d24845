//! Named pipes, by which a case and an action of its build wait for each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::running::DEADLINE;

/// A named pipe. Both ends block until the other one is there.
pub struct Fifo {
    path: PathBuf,
}

impl Fifo {
    pub(crate) fn new(path: PathBuf) -> Fifo {
        mkfifo(&path, Mode::S_IRWXU).expect("a temporary folder takes named pipes");
        Fifo { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text that the next writer writes until it closes the pipe.
    pub fn receive(&self) -> String {
        let path = self.path.clone();
        self.within_deadline("nobody wrote to", move || {
            fs::read_to_string(path).expect("the other end writes text")
        })
    }

    /// Writes a line to the next reader.
    pub fn send(&self, text: &str) {
        let (path, line) = (self.path.clone(), format!("{text}\n"));
        self.within_deadline("nobody read from", move || {
            fs::write(path, line).expect("the other end reads")
        });
    }

    fn within_deadline<T: Send + 'static>(
        &self,
        failure: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (send, done) = channel();
        thread::spawn(move || {
            // Nobody listens any more when the case has failed.
            let _ = send.send(work());
        });
        done.recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("{failure} {} for {DEADLINE:?}", self.path.display()))
    }
}
