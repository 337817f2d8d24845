//! Starting a program by the standard library, which goes through `posix_spawn`.
//!
//! **Invariant:** nothing here sets what would make std fork; see `process`.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::Pid;

use super::group::Group;
use super::{Process, spawn::Spawned};
use crate::control_group::ControlGroup;

/// What a system may give with a child.
pub(super) type Pidfd = std::os::fd::OwnedFd;

/// One try.
#[cfg(not(walls))]
pub(super) async fn start(process: &Process, program: &Path, stdin: &File) -> io::Result<Spawned> {
    if process.attributes != super::Attributes::default() {
        let why = "limits, umask, nice and affinity of processes are not to be had on this system";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let groups = process.groups.as_ref();
    let control = groups.and_then(|(groups, limits)| groups.take(limits.as_ref()));
    start_by_std(process, program, stdin, control.map(Arc::new))
}

/// Started by the standard library; `control` is whose it is to be.
pub(super) fn start_by_std(
    process: &Process,
    program: &Path,
    stdin: &File,
    control: Option<Arc<ControlGroup>>,
) -> io::Result<Spawned> {
    let name = process.arg0.as_deref();
    let mut command = Command::new(program);
    command
        .arg0(name.unwrap_or(process.program.as_os_str()))
        .args(&process.args)
        .env_clear()
        .envs(&process.env)
        .current_dir(&process.dir)
        .process_group(0)
        .stdin(stdin.try_clone()?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let group = Group::new(Pid::from_child(&child), None, control);
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok(Spawned {
            group,
            pidfd: None,
            stdout: stdout.into(),
            stderr: stderr.into(),
        }),
        _ => Err(io::Error::other("its output is no pipe")),
    }
}
