//! Starting a program by the standard library, in a job of its own.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::group::Group;
use super::job::Job;
use super::{Process, spawn::Spawned};
use crate::system::plain;

/// What there is instead of a pidfd.
pub(super) type Pidfd = Infallible;

/// One try.
pub(super) async fn start(process: &Process, program: &Path, stdin: &File) -> io::Result<Spawned> {
    if let Some((groups, limits)) = &process.groups {
        let _none = groups.take(limits.as_ref());
    }
    let mut command = Command::new(plain(program));
    command
        .args(&process.args)
        .env_clear()
        .envs(&process.env)
        .current_dir(plain(&process.dir))
        .stdin(stdin.try_clone()?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (job, mut child) = Job::start(&mut command, &process.attributes)?;
    let ends = (child.stdout.take(), child.stderr.take());
    let group = Group::new(job, child);
    match ends {
        (Some(stdout), Some(stderr)) => Ok(Spawned {
            group,
            pidfd: None,
            stdout: stdout.into(),
            stderr: stderr.into(),
        }),
        _ => Err(io::Error::other("its output is no pipe")),
    }
}
