//! The walls around a process: the namespaces that it is in, and the steps that make its view of the file system.
//!
//! It must never know actions or inputs: it is paths and flags, written down before the process exists, because whoever
//! takes the steps shares zako's memory and may only make system calls.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::libc;
use rustix::process::{getegid, geteuid};

use crate::process::raw::{self, Errno};

/// The user and group of every process behind walls, on every machine.
pub(crate) const INSIDE_USER: u32 = 1000;

/// The name of the machine, as processes behind walls see it.
const INSIDE_HOST: &[u8] = b"zako";

/// Walls, ready to be built around a process. They may be built around any number of them, also at once.
#[derive(Debug)]
pub(crate) struct Walls {
    namespaces: u64,
    users: Vec<u8>,
    groups: Vec<u8>,
    steps: Vec<Step>,
    filters: Vec<Vec<u64>>,
}

/// One step on the way from zako's view of the machine to that of the process.
#[derive(Debug)]
pub(crate) enum Step {
    /// Goes to a folder, which later relative paths start from.
    Enter(CString),
    /// Mounts something.
    Mount(Mount),
    /// Makes a folder.
    Folder(CString),
    /// Makes a link that says something at a path.
    Link(CString, CString),
    /// Copies a small file.
    Copy(Copy),
    /// Makes what is mounted at a path, and below, read-only.
    ReadOnly(CString),
    /// Makes the working directory the root; nothing else is there any more.
    Pivot,
    HostName,
    Loopback,
}

#[derive(Debug)]
pub(crate) struct Copy {
    from: CString,
    to: CString,
    bytes: u64,
    mode: u32,
}

#[derive(Debug)]
pub(crate) struct Mount {
    source: Option<CString>,
    target: CString,
    kind: Option<CString>,
    flags: u64,
    data: Option<CString>,
}

impl Step {
    /// Takes the step. Called where nothing but system calls is allowed.
    pub(crate) fn take(&self) -> Result<(), Errno> {
        match self {
            Step::Enter(dir) => raw::change_dir(dir),
            Step::Mount(mount) => raw::mount(
                mount.source.as_deref(),
                &mount.target,
                mount.kind.as_deref(),
                mount.flags,
                mount.data.as_deref(),
            ),
            Step::Folder(path) => raw::make_dir(path),
            Step::Link(target, path) => raw::make_link(target, path),
            Step::Copy(copy) => raw::copy_file(&copy.from, &copy.to, copy.bytes, copy.mode),
            Step::ReadOnly(path) => raw::make_read_only(path),
            Step::Pivot => raw::pivot_here(),
            Step::HostName => raw::set_host_name(INSIDE_HOST),
            Step::Loopback => raw::loopback_up(),
        }
        .map(drop)
    }

    fn describe(&self) -> String {
        match self {
            Step::Enter(dir) => format!("enter {}", dir.to_string_lossy()),
            Step::Mount(mount) => {
                let target = mount.target.to_string_lossy();
                match (&mount.kind, &mount.source) {
                    (Some(kind), _) => format!("mount {} at {target}", kind.to_string_lossy()),
                    (None, Some(source)) => {
                        format!("show {} at {target}", source.to_string_lossy())
                    }
                    (None, None) => format!("make {target} private"),
                }
            }
            Step::Folder(path) => format!("make {}", path.to_string_lossy()),
            Step::Link(_, path) => format!("link {}", path.to_string_lossy()),
            Step::Copy(copy) => format!("copy {}", copy.from.to_string_lossy()),
            Step::ReadOnly(path) => format!("make {} read-only", path.to_string_lossy()),
            Step::Pivot => "change the root".to_owned(),
            Step::HostName => "name the machine".to_owned(),
            Step::Loopback => "switch the loopback interface on".to_owned(),
        }
    }
}

/// Which namespaces there are beside those of users, mounts, processes and the host's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    /// An empty network but for loopback.
    pub(crate) network: bool,
    /// System V and POSIX inter-process communication.
    pub(crate) ipc: bool,
}

/// Collects the steps, in order.
#[derive(Debug)]
pub(crate) struct WallsBuilder {
    steps: Vec<Step>,
}

impl WallsBuilder {
    pub(crate) fn new() -> Self {
        // Nothing of what follows is to be seen outside, whatever the host shares.
        let private = Mount {
            source: None,
            target: c"/".to_owned(),
            kind: None,
            flags: libc::MS_REC | libc::MS_PRIVATE,
            data: None,
        };
        Self {
            steps: vec![Step::Mount(private)],
        }
    }

    pub(crate) fn enter(&mut self, dir: &Path) -> io::Result<()> {
        self.steps.push(Step::Enter(word(dir.as_os_str())?));
        Ok(())
    }

    /// Shows what is at `source`, with all that is mounted below it, at `target` too.
    pub(crate) fn bind(&mut self, source: &Path, target: &Path) -> io::Result<()> {
        self.mount(
            Some(source),
            target,
            None,
            libc::MS_BIND | libc::MS_REC,
            None,
        )
    }

    pub(crate) fn file_system(
        &mut self,
        kind: &str,
        target: &Path,
        flags: u64,
        data: Option<&str>,
    ) -> io::Result<()> {
        self.mount(Some(Path::new(kind)), target, Some(kind), flags, data)
    }

    fn mount(
        &mut self,
        source: Option<&Path>,
        target: &Path,
        kind: Option<&str>,
        flags: u64,
        data: Option<&str>,
    ) -> io::Result<()> {
        let text = |text: Option<&str>| text.map(|text| word(text.as_ref())).transpose();
        self.steps.push(Step::Mount(Mount {
            source: source.map(|path| word(path.as_os_str())).transpose()?,
            target: word(target.as_os_str())?,
            kind: text(kind)?,
            flags,
            data: text(data)?,
        }));
        Ok(())
    }

    pub(crate) fn folder(&mut self, path: &Path) -> io::Result<()> {
        self.steps.push(Step::Folder(word(path.as_os_str())?));
        Ok(())
    }

    pub(crate) fn link(&mut self, target: &OsStr, path: &Path) -> io::Result<()> {
        let step = Step::Link(word(target)?, word(path.as_os_str())?);
        self.steps.push(step);
        Ok(())
    }

    /// Copies a file of so many bytes.
    pub(crate) fn copy(
        &mut self,
        from: &Path,
        to: &Path,
        bytes: u64,
        executable: bool,
    ) -> io::Result<()> {
        self.steps.push(Step::Copy(Copy {
            from: word(from.as_os_str())?,
            to: word(to.as_os_str())?,
            bytes,
            mode: if executable { 0o755 } else { 0o644 },
        }));
        Ok(())
    }

    pub(crate) fn read_only(&mut self, path: &Path) -> io::Result<()> {
        self.steps.push(Step::ReadOnly(word(path.as_os_str())?));
        Ok(())
    }

    pub(crate) fn pivot(&mut self) {
        self.steps.push(Step::Pivot);
    }

    /// The walls, with these filters of system calls.
    pub(crate) fn finish(mut self, apart: Apart, filters: Vec<Vec<u64>>) -> Walls {
        let mut namespaces =
            libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS;
        self.steps.push(Step::HostName);
        if apart.ipc {
            namespaces |= libc::CLONE_NEWIPC;
        }
        if apart.network {
            namespaces |= libc::CLONE_NEWNET;
            self.steps.push(Step::Loopback);
        }
        let map = |outside: u32| format!("{INSIDE_USER} {outside} 1").into_bytes();
        Walls {
            namespaces: namespaces as u64,
            users: map(geteuid().as_raw()),
            groups: map(getegid().as_raw()),
            steps: self.steps,
            filters,
        }
    }
}

impl Walls {
    /// The flags of clone(2).
    pub(crate) fn namespaces(&self) -> u64 {
        self.namespaces
    }

    /// The contents of `uid_map` and `gid_map`.
    pub(crate) fn maps(&self) -> (&[u8], &[u8]) {
        (&self.users, &self.groups)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Instructions for the kernel.
    pub(crate) fn filters(&self) -> &[Vec<u64>] {
        &self.filters
    }

    /// What step number `at` does.
    pub(crate) fn describe(&self, at: u32) -> String {
        let step = usize::try_from(at).ok().and_then(|at| self.steps.get(at));
        step.map_or_else(|| "one of its steps".to_owned(), Step::describe)
    }

    /// Whether step number `at` mounts a file system of this kind.
    pub(crate) fn is_mount_of(&self, at: u32, wanted: &str) -> bool {
        let step = usize::try_from(at).ok().and_then(|at| self.steps.get(at));
        matches!(step, Some(Step::Mount(Mount { kind: Some(kind), .. })) if kind.as_bytes() == wanted.as_bytes())
    }
}

fn word(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}

/// For paths that are written as a target below the root being built: relative to it.
pub(crate) fn below_root(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}
