//! How commands are run: as processes, by closures on threads, or by whatever an embedder brings; and who is told.

use std::any::Any;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use zako_action::{Exit, Stream, Usage};

use super::{Command, CommandError, CommandId, CommandOutput, CommandResult};
use crate::process::{Process, ProcessError};

/// The longest line that is handed on as one; what is longer comes in pieces.
pub const MAX_SHOWN_LINE: usize = 64 << 10;

/// Runs commands that may start now.
pub trait CommandExecutor: Send + Sync {
    /// Runs one attempt at `command` to its end, and says what it prints. Nothing that it started may be left when this returns.
    ///
    /// # Errors
    /// When it could not be run, and [`CommandError::Cancelled`] after `cancel` fired. A bad end is no error.
    fn run<'a>(
        &'a self,
        command: &'a Command,
        say: &'a Say<'a>,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<(Exit, Usage), CommandError>>;
}

/// Told of commands as things happen, from any thread; must not block for long.
pub trait CommandObserver: Send + Sync {
    /// An attempt begins, counted from 0.
    fn started(&self, _id: CommandId, _command: &Command, _attempt: u32) {}
    /// A command printed a line (without its newline).
    fn line(&self, _id: CommandId, _command: &Command, _stream: Stream, _line: &[u8]) {}
    /// A command has ended for good.
    fn ended(&self, _command: &Command, _result: &CommandResult) {}
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl CommandObserver for NoObserver {}

/// Takes what one command prints, and hands it on in lines.
pub struct Say<'a> {
    observer: &'a dyn CommandObserver,
    id: CommandId,
    command: &'a Command,
    /// Of standard output and standard error, what has no newline yet.
    open: Mutex<[Vec<u8>; 2]>,
}

impl<'a> Say<'a> {
    pub(super) fn new(
        observer: &'a dyn CommandObserver,
        id: CommandId,
        command: &'a Command,
    ) -> Self {
        Self {
            observer,
            id,
            command,
            open: Mutex::default(),
        }
    }

    /// The next bytes of `stream`.
    pub fn bytes(&self, stream: Stream, mut bytes: &[u8]) {
        let mut open = self.open.lock();
        let held = match stream {
            Stream::Stdout => &mut open[0],
            Stream::Stderr => &mut open[1],
        };
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            held.extend_from_slice(&bytes[..at]);
            self.observer.line(self.id, self.command, stream, held);
            held.clear();
            bytes = &bytes[at + 1..];
        }
        held.extend_from_slice(bytes);
        if held.len() >= MAX_SHOWN_LINE {
            self.observer.line(self.id, self.command, stream, held);
            held.clear();
        }
    }

    /// One line of `stream`.
    pub fn line(&self, stream: Stream, line: &str) {
        self.bytes(stream, line.as_bytes());
        self.bytes(stream, b"\n");
    }

    /// Hands on what did not end with a newline.
    pub(super) fn finish(self) {
        let [stdout, stderr] = self.open.into_inner();
        for (stream, rest) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            if !rest.is_empty() {
                self.observer.line(self.id, self.command, stream, &rest);
            }
        }
    }
}

/// Runs commands as processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Processes;

impl Processes {
    fn process(command: &Command) -> Process {
        let mut process = Process::new(&command.program, &command.dir);
        process.args.clone_from(&command.args);
        if let CommandOutput::File(file) = &command.output {
            // A shell opens the file and becomes the program.
            let mut args: Vec<OsString> = vec!["-c".into(), "exec \"$@\" >\"$0\"".into()];
            args.extend([file.into(), command.program.clone()]);
            args.append(&mut process.args);
            (process.program, process.args) = ("/bin/sh".into(), args);
        }
        process.env.clone_from(&command.env);
        process.stdin = command.stdin.clone();
        process.timeout = command.timeout;
        process.grace = command.grace;
        process
    }
}

impl CommandExecutor for Processes {
    fn run<'a>(
        &'a self,
        command: &'a Command,
        say: &'a Say<'a>,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<(Exit, Usage), CommandError>> {
        async move {
            let process = Self::process(command);
            let mut receive = |stream, chunk: &[u8]| {
                say.bytes(stream, chunk);
                ControlFlow::Continue(())
            };
            match process.run(&mut receive, cancel).await {
                Ok(finished) => Ok((finished.exit, finished.usage)),
                Err(ProcessError::Cancelled) => Err(CommandError::Cancelled),
                Err(error) => Err(error.into()),
            }
        }
        .boxed()
    }
}

type Closure = dyn Fn(&Command, &Lines, &CancellationToken) -> Exit + Send + Sync;

/// What a closure prints; collected, and handed on when it ends a line.
pub type Lines = dyn Fn(Stream, &str) + Send + Sync;

/// Runs commands by a closure, each on a thread of its own of the runtime's.
///
/// A closure can't be killed: after a time-out or a cancellation its token is cancelled, and it is waited for.
#[derive(Clone)]
pub struct InProcess(Arc<Closure>);

impl InProcess {
    /// By `closure`, which is given the command, where lines go, and what tells it to stop.
    pub fn new(
        closure: impl Fn(&Command, &Lines, &CancellationToken) -> Exit + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(closure))
    }
}

impl CommandExecutor for InProcess {
    fn run<'a>(
        &'a self,
        command: &'a Command,
        say: &'a Say<'a>,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<(Exit, Usage), CommandError>> {
        async move {
            let started = Instant::now();
            let (its_command, closure) = (command.clone(), Arc::clone(&self.0));
            let stop = cancel.child_token();
            // However this future ends, the closure is told.
            let _stop = stop.clone().drop_guard();
            let its_stop = stop.clone();
            let (sender, mut lines) = tokio::sync::mpsc::channel::<(Stream, String)>(MAX_LINES);
            let mut thread = tokio::task::spawn_blocking(move || {
                let hand_on = move |stream, line: &str| {
                    let _nobody_listens = sender.blocking_send((stream, line.to_owned()));
                };
                catch_unwind(AssertUnwindSafe(|| {
                    closure(&its_command, &hand_on, &its_stop)
                }))
            });
            let mut is_late = false;
            let limit = async {
                match command.timeout {
                    Some(limit) => tokio::time::sleep(limit).await,
                    None => std::future::pending().await,
                }
            };
            let mut limit = std::pin::pin!(limit);
            let mut is_open = true;
            let ended = loop {
                tokio::select! {
                    biased;
                    line = lines.recv(), if is_open => match line {
                        Some((stream, line)) => say.line(stream, &line),
                        None => is_open = false,
                    },
                    ended = &mut thread => break ended,
                    () = &mut limit, if !is_late => {
                        is_late = true;
                        stop.cancel();
                    }
                }
            };
            while let Ok((stream, line)) = lines.try_recv() {
                say.line(stream, &line);
            }
            let exit = match ended {
                Ok(Ok(exit)) => exit,
                Ok(Err(panic)) => return Err(CommandError::Panicked(message(&*panic))),
                Err(error) => return Err(CommandError::Panicked(error.to_string())),
            };
            let usage = Usage {
                wall: started.elapsed(),
                ..Usage::default()
            };
            match command.timeout {
                _ if cancel.is_cancelled() => Err(CommandError::Cancelled),
                Some(after) if is_late => Ok((Exit::TimedOut { after }, usage)),
                _ => Ok((exit, usage)),
            }
        }
        .boxed()
    }
}

/// Lines of a closure that are held until they are handed on; it waits when there are more.
const MAX_LINES: usize = 256;

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
