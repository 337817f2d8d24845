//! A child that stays and is talked with: lines to its standard input, lines from its outputs.
//!
//! It must never know what the lines mean. Like [`Process`], it is started by `posix_spawn` in a process group of its own.
//!
//! **Invariants:** the group is killed when its [`CompanionHandle`] is dropped, and its leader reaped. A line is at most
//! [`MAX_LINE`] bytes long: a longer one is an error, not memory.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[cfg(unix)]
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpid,
};
use zako_action::Exit;

#[cfg(windows)]
pub use windows::CompanionHandle;

use crate::process::{Process, ProcessError, find_program};
use crate::system::{FIXED_PATH, PipeEnd, Receiver, Sender, plain, receiver, sender};

#[cfg(windows)]
#[path = "windows/companion.rs"]
mod windows;

/// The longest line that a child may write, in bytes.
pub const MAX_LINE: usize = 64 << 20;

/// The most that is read at once.
const CHUNK: usize = 16 << 10;

/// A running child with all its ends. Take it apart to read and write at once.
#[derive(Debug)]
pub struct Companion {
    /// What it reads.
    pub stdin: ChildWriter,
    /// What it says.
    pub stdout: ChildReader,
    /// What it complains of.
    pub stderr: ChildReader,
    /// The process itself.
    pub handle: CompanionHandle,
}

impl Companion {
    /// Starts the program of `process` in its folder, with its arguments and environment; standard input is the caller's, and
    /// there is no time-out.
    ///
    /// # Errors
    /// When there is no such program, or it can't be started.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O enabled.
    pub fn start(process: &Process) -> Result<Self, ProcessError> {
        let program = locate(process)?;
        let fail = |source| ProcessError::Spawn {
            program: program.display().to_string(),
            source,
        };
        let mut command = Command::new(plain(&program));
        command
            .args(&process.args)
            .env_clear()
            .envs(&process.env)
            .current_dir(plain(&process.dir))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // From here on the group is killed whatever fails.
        let (handle, [stdin, stdout, stderr]) =
            CompanionHandle::start(command, process).map_err(fail)?;
        Ok(Self {
            stdin: ChildWriter(sender(stdin).map_err(fail)?),
            stdout: ChildReader::new(stdout).map_err(fail)?,
            stderr: ChildReader::new(stderr).map_err(fail)?,
            handle,
        })
    }

    /// Closes its standard input, and ends it: what does not end by itself within `grace` gets SIGTERM, and after as much
    /// again SIGKILL.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub async fn end(self, grace: Duration) -> io::Result<Exit> {
        let Self {
            stdin,
            stdout,
            stderr,
            handle,
        } = self;
        drop(stdin);
        let ended = handle.end(grace).await;
        drop((stdout, stderr));
        ended
    }
}

fn locate(process: &Process) -> Result<PathBuf, ProcessError> {
    let program = &process.program;
    if program.components().count() > 1 || program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return Ok(process.dir.join(program));
    }
    let path = process.env.get("PATH").map_or(FIXED_PATH, String::as_str);
    let found = program.to_str().and_then(|name| find_program(name, path));
    found.ok_or_else(|| ProcessError::NotFound {
        program: program.display().to_string(),
        looked_in: path.to_owned(),
    })
}

/// A child's standard input.
#[derive(Debug)]
pub struct ChildWriter(Sender);

impl ChildWriter {
    /// Writes all of it.
    ///
    /// # Errors
    /// When the child has closed its end, or is gone.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes `line` and a newline.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn line(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.write(&bytes).await
    }
}

/// One of a child's outputs, line by line.
#[derive(Debug)]
pub struct ChildReader {
    pipe: Receiver,
    /// What was read and not handed out; a line may begin anywhere in it.
    held: Vec<u8>,
    /// How much of it has no newline.
    searched: usize,
    is_over: bool,
}

impl ChildReader {
    fn new(end: PipeEnd) -> io::Result<Self> {
        Ok(Self {
            pipe: receiver(end)?,
            held: Vec::new(),
            searched: 0,
            is_over: false,
        })
    }

    /// The next line without its newline; the last one needs none. `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the pipe can't be read, or a line is longer than [`MAX_LINE`].
    pub async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let fresh = &self.held[self.searched..];
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                self.searched = 0;
                line.pop();
                return Ok(Some(line));
            }
            self.searched = self.held.len();
            if self.is_over {
                self.searched = 0;
                let last = std::mem::take(&mut self.held);
                return Ok((!last.is_empty()).then_some(last));
            }
            if self.held.len() > MAX_LINE {
                let what = format!("it wrote a line of more than {MAX_LINE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.pipe.readable().await?;
            let mut chunk = [0; CHUNK];
            match self.pipe.try_read(&mut chunk) {
                Ok(0) => self.is_over = true,
                Ok(read) => self.held.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Our ends of a child's three streams.
fn ends(child: &mut Child) -> io::Result<[PipeEnd; 3]> {
    let missing = || io::Error::other("its standard streams are no pipes");
    Ok([
        child.stdin.take().ok_or_else(missing)?.into(),
        child.stdout.take().ok_or_else(missing)?.into(),
        child.stderr.take().ok_or_else(missing)?.into(),
    ])
}

/// A child as a process. Dropping it kills its group.
#[cfg(unix)]
#[derive(Debug)]
pub struct CompanionHandle {
    leader: Pid,
    is_reaped: bool,
}

#[cfg(unix)]
impl CompanionHandle {
    /// Starts `command`, which is of `process`.
    fn start(mut command: Command, process: &Process) -> io::Result<(Self, [PipeEnd; 3])> {
        use std::os::unix::process::CommandExt;

        let arg0 = process.arg0.as_deref();
        command
            .arg0(arg0.unwrap_or(process.program.as_os_str()))
            .process_group(0);
        let mut child = command.spawn()?;
        let handle = Self {
            leader: Pid::from_child(&child),
            is_reaped: false,
        };
        Ok((handle, ends(&mut child)?))
    }

    /// The leader's process id, which is its group's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.leader.as_raw_nonzero().get().cast_unsigned()
    }

    /// Whether the leader has not ended yet.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        matches!(waitid(WaitId::Pid(self.leader), options), Ok(None))
    }

    /// Kills the whole group.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Err(errno) = kill_process_group(self.leader, signal) {
            tracing::debug!(pid = self.pid(), %errno, "signal to a process group not sent");
        }
    }

    /// Waits `grace` for it to end, then sends SIGTERM, waits as long again and kills.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub async fn end(mut self, grace: Duration) -> io::Result<Exit> {
        let leader = self.leader;
        // Leaves it to be reaped, so that its id stays taken until the last signal was sent.
        let mut gone = tokio::task::spawn_blocking(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _no_child = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(leader), options));
        });
        for signal in [Signal::TERM, Signal::KILL] {
            if tokio::time::timeout(grace, &mut gone).await.is_ok() {
                break;
            }
            self.signal(signal);
        }
        if !gone.is_finished() {
            let _it_does_not_panic = gone.await;
        }
        self.signal(Signal::KILL);
        self.is_reaped = true;
        let status = rustix::io::retry_on_intr(|| waitpid(Some(leader), WaitOptions::empty()))?;
        let status = status.map(|(_, status)| status);
        let code = status.and_then(|status| status.exit_status());
        let signal = status.and_then(|status| status.terminating_signal());
        Ok(code.map_or(Exit::Signal(signal.unwrap_or(0)), Exit::Code))
    }
}

#[cfg(unix)]
impl Drop for CompanionHandle {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        self.kill();
        let leader = self.leader;
        let reap = move || {
            let _gone = rustix::io::retry_on_intr(|| waitpid(Some(leader), WaitOptions::empty()));
        };
        // A killed process can take a moment to go, and a drop must not wait for it.
        let thread = std::thread::Builder::new()
            .name("zako-reap".into())
            .stack_size(64 * 1024);
        if thread.spawn(reap).is_err() {
            reap();
        }
    }
}
