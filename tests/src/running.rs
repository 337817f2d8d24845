//! Processes with deadlines.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take before a case fails instead of hanging. Far more than a slow machine needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// What a process printed and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process that runs, with both outputs being read.
pub struct Running {
    line: String,
    pid: Pid,
    ended: Receiver<Ended>,
    over: bool,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let line = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{line} cannot be started: {error}"));
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
        let (send, ended) = channel();
        thread::spawn(move || {
            // The reader may be gone: its case failed already.
            let _ = send.send(collect(&mut child));
        });
        Running {
            line,
            pid,
            ended,
            over: false,
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal)
            .unwrap_or_else(|error| panic!("{signal} does not reach {}: {error}", self.line));
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        is_gone(self.pid.as_raw())
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(self) {
        // It may have ended by itself.
        let _ = kill(self.pid, Signal::SIGKILL);
        self.finish();
    }

    pub(crate) fn finish(mut self) -> Ended {
        let ended = self.ended.recv_timeout(DEADLINE);
        self.over = ended.is_ok();
        ended.unwrap_or_else(|_| panic!("after {DEADLINE:?} this still ran: {}", self.line))
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            // It may have ended by itself.
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

fn collect(child: &mut Child) -> Ended {
    let mut stderr = child.stderr.take().expect("it is piped");
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    });
    let mut bytes = Vec::new();
    child
        .stdout
        .take()
        .expect("it is piped")
        .read_to_end(&mut bytes)
        .expect("a pipe can be read");
    let errors = errors.join().expect("reading does not panic");
    let status = child.wait().expect("a child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: status.code(),
        stdout: text(&bytes),
        stderr: text(&errors),
    }
}

/// Runs a program to its end and gives what it wrote to standard output; it must exit with 0.
pub fn run(command: Command) -> String {
    let running = Running::start(command);
    let line = running.line().to_owned();
    let ended = running.finish();
    assert_eq!(
        ended.code,
        Some(0),
        "{line}\n--- stdout\n{}\n--- stderr\n{}",
        ended.stdout,
        ended.stderr
    );
    ended.stdout
}

/// Whether a process runs with this word among its arguments: an action behind walls does not know its pid outside of them.
pub fn runs_with(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|arguments| {
            let mut words = arguments.split(|byte| *byte == 0);
            words.any(|found| found == word.as_bytes())
        })
}

/// Whether no process of that id runs any more.
fn is_gone(pid: i32) -> bool {
    match kill(Pid::from_raw(pid), None) {
        Err(Errno::ESRCH) => true,
        // Ended, but nobody took note of it yet.
        _ => std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z'))
        }),
    }
}
