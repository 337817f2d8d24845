//! Starting the program: stdin, the pipes, and the call itself.
//!
//! **Invariant:** nothing here sets what would make std fork; see `process`.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Pid;
use tokio_util::sync::CancellationToken;

use super::group::Group;
use super::program::{FIXED_PATH, find_program, is_program};
use super::{Process, ProcessError, ProcessStdin};

/// How often a busy executable is tried before it is an error.
const BUSY_TRIES: u32 = 12;

/// The longest pause between two tries; the first is one millisecond, and each is twice the one before.
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(100);

/// A process that has just been started.
pub(super) struct Spawned {
    pub(super) group: Group,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
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
    if !process.dir.is_dir() {
        let missing = format!(
            "its working directory {} does not exist",
            process.dir.display()
        );
        return Err(fail(io::Error::new(io::ErrorKind::NotFound, missing)));
    }
    let mut command = Command::new(&program);
    command
        .arg0(
            process
                .arg0
                .as_deref()
                .unwrap_or(process.program.as_os_str()),
        )
        .args(&process.args)
        .env_clear()
        .envs(&process.env)
        .current_dir(&process.dir)
        .process_group(0)
        .stdin(stdin(&process.stdin, &process.dir)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut pause = Duration::from_millis(1);
    let mut tries = 0;
    let mut child = loop {
        tries += 1;
        match command.spawn() {
            Ok(child) => break child,
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
    };
    let group = Group::new(Pid::from_child(&child));
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok(Spawned {
            group,
            stdout: stdout.into(),
            stderr: stderr.into(),
        }),
        _ => Err(fail(io::Error::other("its output is no pipe"))),
    }
}

/// The full path of the program, or where it was looked for.
fn locate(process: &Process) -> Result<PathBuf, ProcessError> {
    let program = &process.program;
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

fn stdin(stdin: &ProcessStdin, dir: &Path) -> Result<Stdio, ProcessError> {
    match stdin {
        ProcessStdin::Nothing => Ok(Stdio::null()),
        ProcessStdin::File(path) => {
            let path = dir.join(path);
            let file = File::open(&path);
            file.map(Stdio::from).map_err(|source| ProcessError::Stdin {
                path: Some(path),
                source,
            })
        }
        ProcessStdin::Bytes(bytes) => unnamed(bytes)
            .map(Stdio::from)
            .map_err(|source| ProcessError::Stdin { path: None, source }),
    }
}

fn unnamed(bytes: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
