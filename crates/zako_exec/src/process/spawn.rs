//! Starting the program: stdin, the pipes, and the call itself.
//!
//! **Invariant:** nothing here sets what would make std fork; see `process`.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::group::Group;
use super::program::find_program;
use super::{Process, ProcessError, ProcessStdin, by_std};
use crate::system::{FIXED_PATH, NULL_DEVICE, PipeEnd, is_program};

#[cfg(not(walls))]
use by_std::start;

/// How often a busy executable is tried before it is an error.
const BUSY_TRIES: u32 = 12;

/// The longest pause between two tries; the first is one millisecond, and each is twice the one before.
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(100);

/// A process that has just been started.
pub(super) struct Spawned {
    pub(super) group: Group,
    /// Of the leader, where the system gave one with it.
    pub(super) pidfd: Option<by_std::Pidfd>,
    pub(super) stdout: PipeEnd,
    pub(super) stderr: PipeEnd,
}

/// Starts the process, in a group of its own.
pub(super) async fn spawn(
    process: &Process,
    cancel: &CancellationToken,
) -> Result<Spawned, ProcessError> {
    let program = locate(process)?;
    let fail = |source| ProcessError::Spawn {
        program: program.display().to_string(),
        source,
    };
    if process.walls.is_none() && !process.dir.is_dir() {
        let missing = format!(
            "its working directory {} does not exist",
            process.dir.display()
        );
        return Err(fail(io::Error::new(io::ErrorKind::NotFound, missing)));
    }
    let stdin = stdin(&process.stdin, &process.dir)?;
    let mut pause = Duration::from_millis(1);
    let mut tries = 0;
    loop {
        tries += 1;
        match start(process, &program, &stdin).await {
            Ok(spawned) => return Ok(spawned),
            // Somebody still has it open for writing: a linker that is just ending, or a process forked meanwhile.
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
            {
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(BUSY_PAUSE_MAX),
                    () = cancel.cancelled() => return Err(ProcessError::Cancelled),
                }
            }
            // The program exists: its interpreter does not.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why =
                    "the interpreter in its first line, or its dynamic loader, does not exist";
                return Err(fail(io::Error::new(io::ErrorKind::NotFound, why)));
            }
            Err(error) => return Err(fail(error)),
        }
    }
}

/// One try, by our own launcher where there is one.
#[cfg(walls)]
async fn start(process: &Process, program: &Path, stdin: &File) -> io::Result<Spawned> {
    use std::sync::Arc;

    use super::launch::{Launched, Order, launch};

    let groups = process.groups.as_ref();
    let control = groups.and_then(|(groups, limits)| groups.take(limits.as_ref()));
    let order = Arc::new(Order::new(process, program, control.map(Arc::new))?);
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let ends = [
        stdin.try_clone()?.into(),
        above(stdout_end)?,
        above(stderr_end)?,
    ];
    match launch(order.clone(), ends).await {
        Ok(Launched { group, pidfd }) => Ok(Spawned {
            group,
            pidfd: Some(pidfd),
            stdout,
            stderr,
        }),
        // A kernel, or a container's filter, that knows no clone3.
        Err(failure)
            if failure.errno == nix::libc::ENOSYS
                && process.walls.is_none()
                && process.attributes == super::Attributes::default() =>
        {
            by_std::start_by_std(process, program, stdin, None)
        }
        Err(failure) => Err(failure.explain(order.walls())),
    }
}

/// A pipe, for reading and for writing, which no other child gets.
#[cfg(walls)]
fn pipe() -> io::Result<(PipeEnd, PipeEnd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// The same above the three that every process has, of which this one may have none.
#[cfg(walls)]
fn above(fd: PipeEnd) -> io::Result<PipeEnd> {
    use std::os::fd::AsRawFd;

    match fd.as_raw_fd() {
        0..=2 => Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?),
        _ => Ok(fd),
    }
}

/// The full path of the program, or where it was looked for.
fn locate(process: &Process) -> Result<PathBuf, ProcessError> {
    let program = &process.program;
    if process.walls.is_some() {
        // Whether it is there can be seen from inside only.
        return Ok(program.clone());
    }
    let not_found = |looked_in: String| ProcessError::NotFound {
        program: program.display().to_string(),
        looked_in,
    };
    let bare = program.components().count() == 1
        && !program.as_os_str().as_encoded_bytes().contains(&b'/');
    if bare {
        let path = process.env.get("PATH").map_or(FIXED_PATH, String::as_str);
        return program
            .to_str()
            .and_then(|name| find_program(name, path))
            .ok_or_else(|| not_found(path.to_owned()));
    }
    // std resolves a relative program before or after the change of directory, depending on the platform: never ask.
    let full = process.dir.join(program);
    if is_program(&full) {
        return Ok(full);
    }
    if full.exists() {
        let source = io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is not an executable file",
        );
        return Err(ProcessError::Spawn {
            program: full.display().to_string(),
            source,
        });
    }
    Err(not_found(full.display().to_string()))
}

fn stdin(stdin: &ProcessStdin, dir: &Path) -> Result<File, ProcessError> {
    let (path, opened) = match stdin {
        ProcessStdin::Nothing => (None, File::open(NULL_DEVICE)),
        ProcessStdin::File(path) => {
            let path = dir.join(path);
            let file = File::open(&path);
            (Some(path), file)
        }
        ProcessStdin::Bytes(bytes) => (None, unnamed(bytes)),
    };
    opened.map_err(|source| ProcessError::Stdin { path, source })
}

fn unnamed(bytes: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
