//! Everything that a child needs, made before it exists, and what it reports back through shared memory.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::raw::{Errno, Stack, Words};
use crate::control_group::ControlGroup;
use crate::process::Process;
use crate::sandbox::{Piece, WallError, Walls};

/// A program to start, in the kernel's words.
#[derive(Debug)]
pub(in crate::process) struct Order {
    pub(super) program: CString,
    pub(super) argv: Words,
    pub(super) envp: Words,
    pub(super) dir: CString,
    pub(super) umask: Option<u32>,
    pub(super) nice: Option<i32>,
    /// A bit for each processor; empty for no change.
    pub(super) affinity: Vec<u64>,
    pub(super) limits: Vec<(u32, u64)>,
    pub(super) report: Report,
    walls: Option<(Arc<Walls>, [Stack; 2])>,
    control: Option<Arc<ControlGroup>>,
}

impl Order {
    /// For `process`, whose program was found at `program`, in that control group. Words with a NUL inside are an error.
    pub(in crate::process) fn new(
        process: &Process,
        program: &Path,
        control: Option<Arc<ControlGroup>>,
    ) -> io::Result<Self> {
        let arg0 = process.arg0.as_deref();
        let arg0 = arg0.unwrap_or(process.program.as_os_str());
        let argv = [arg0].into_iter().chain(process.args.iter().map(|a| &**a));
        let argv = argv.map(word).collect::<io::Result<_>>()?;
        let pairs = process.env.iter();
        let envp = pairs.map(|(name, value)| word(format!("{name}={value}").as_ref()));
        let attributes = &process.attributes;
        let mut affinity = Vec::new();
        for &cpu in &attributes.affinity {
            affinity.resize(affinity.len().max(cpu / 64 + 1), 0);
            affinity[cpu / 64] |= 1u64 << (cpu % 64);
        }
        let stacks = || [Stack::new(), Stack::new()];
        Ok(Self {
            program: word(program.as_os_str())?,
            argv: Words::new(argv),
            envp: Words::new(envp.collect::<io::Result<_>>()?),
            dir: word(process.dir.as_os_str())?,
            umask: attributes.umask,
            nice: attributes.nice,
            affinity,
            limits: attributes.limits.list(),
            report: Report::default(),
            walls: process.walls.clone().map(|walls| (walls, stacks())),
            control,
        })
    }

    pub(in crate::process) fn walls(&self) -> Option<&Walls> {
        self.walls.as_ref().map(|(walls, _)| &**walls)
    }

    pub(super) fn control(&self) -> Option<&Arc<ControlGroup>> {
        self.control.as_ref()
    }

    pub(in crate::process) fn report(&self) -> &Report {
        &self.report
    }

    /// The stack of PID 1 behind walls. Without walls there is none, and nobody may ask.
    pub(super) fn stack(&self) -> &Stack {
        static NONE: std::sync::OnceLock<Stack> = std::sync::OnceLock::new();
        match &self.walls {
            Some((_, [init, _])) => init,
            None => NONE.get_or_init(Stack::new),
        }
    }

    /// The stack of the command behind walls, until it runs its program.
    pub(super) fn command_stack(&self) -> Option<&Stack> {
        self.walls.as_ref().map(|(_, [_, command])| command)
    }
}

fn word(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}

/// What a child tells its parent. Written before it runs a program or ends, read after.
#[derive(Debug, Default)]
pub(in crate::process) struct Report {
    /// 0 as long as nothing failed.
    stage: AtomicU32,
    errno: AtomicI32,
    has_ended: AtomicBool,
    /// Whether the command is not in its control group.
    is_outside: AtomicBool,
    /// The command's status, as `wait4` has it, when it has ended.
    status: AtomicI32,
    /// The largest peak of any process behind walls, in KiB.
    peak_kib: AtomicU64,
}

impl Report {
    pub(super) fn fail(&self, stage: Stage, errno: Errno) {
        self.errno.store(errno.0, Ordering::Relaxed);
        self.stage.store(stage.number(), Ordering::Release);
    }

    /// Before another try.
    pub(super) fn clear(&self) {
        self.stage.store(0, Ordering::Release);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.stage.load(Ordering::Acquire) != 0
            && self.errno.load(Ordering::Relaxed) == nix::libc::ETXTBSY
    }

    pub(super) fn has_failed(&self) -> bool {
        self.stage.load(Ordering::Acquire) != 0
    }

    /// The command can't be started in its control group.
    pub(super) fn go_outside(&self) {
        self.is_outside.store(true, Ordering::Release);
    }

    pub(in crate::process) fn is_outside(&self) -> bool {
        self.is_outside.load(Ordering::Acquire)
    }

    pub(super) fn end(&self, status: i32) {
        self.status.store(status, Ordering::Relaxed);
        self.has_ended.store(true, Ordering::Release);
    }

    pub(super) fn peak(&self, kib: u64) {
        self.peak_kib.fetch_max(kib, Ordering::Relaxed);
    }

    pub(in crate::process) fn failure(&self) -> Option<Failure> {
        let stage = Stage::of(self.stage.load(Ordering::Acquire))?;
        Some(Failure {
            stage,
            errno: self.errno.load(Ordering::Relaxed),
        })
    }

    /// The command's status, if PID 1 saw it end.
    pub(in crate::process) fn status(&self) -> Option<i32> {
        let ended = self.has_ended.load(Ordering::Acquire);
        ended.then(|| self.status.load(Ordering::Relaxed))
    }

    pub(in crate::process) fn peak_bytes(&self) -> u64 {
        self.peak_kib.load(Ordering::Relaxed).saturating_mul(1024)
    }
}

/// What a child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) enum Stage {
    Clone,
    Group,
    Streams,
    Limits,
    Folder,
    Exec,
    Privileges,
    Filter,
    User,
    /// That step of its walls.
    Wall(u32),
}

const STEPS_FROM: u32 = 100;

impl Stage {
    fn number(self) -> u32 {
        match self {
            Stage::Clone => 1,
            Stage::Group => 2,
            Stage::Streams => 3,
            Stage::Limits => 4,
            Stage::Folder => 5,
            Stage::Exec => 6,
            Stage::Privileges => 7,
            Stage::Filter => 8,
            Stage::User => 9,
            Stage::Wall(step) => STEPS_FROM.saturating_add(step),
        }
    }

    fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Stage::Clone,
            2 => Stage::Group,
            3 => Stage::Streams,
            4 => Stage::Limits,
            5 => Stage::Folder,
            6 => Stage::Exec,
            7 => Stage::Privileges,
            8 => Stage::Filter,
            9 => Stage::User,
            step => Stage::Wall(step.checked_sub(STEPS_FROM)?),
        })
    }
}

/// Why a program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::process) struct Failure {
    pub(in crate::process) stage: Stage,
    pub(in crate::process) errno: i32,
}

impl Failure {
    /// Of the clone itself, or what comes before it.
    pub(super) fn of_errno(errno: i32) -> Self {
        Self {
            stage: Stage::Clone,
            errno,
        }
    }

    /// As an error for people; `walls` are those that it was to be behind.
    pub(in crate::process) fn explain(self, walls: Option<&Walls>) -> io::Error {
        let source = io::Error::from_raw_os_error(self.errno);
        let (what, piece) = match self.stage {
            Stage::Exec if walls.is_some() && source.kind() == io::ErrorKind::NotFound => {
                let why = "it, the interpreter in its first line, or its dynamic loader is not in the sandbox";
                return io::Error::new(source.kind(), why);
            }
            Stage::Exec => return source,
            Stage::Clone if walls.is_none() => return source,
            Stage::Clone => (
                "its namespaces cannot be made".to_owned(),
                Piece::Namespaces,
            ),
            Stage::User => {
                let what = "its user namespace cannot be set up";
                (what.to_owned(), Piece::Namespaces)
            }
            Stage::Filter => (
                "its system calls cannot be filtered".to_owned(),
                Piece::Filter,
            ),
            Stage::Wall(step) => {
                let what = walls.map_or_else(String::new, |walls| walls.describe(step));
                let is = |kind| walls.is_some_and(|walls| walls.is_mount_of(step, kind));
                let piece = match () {
                    () if is("proc") => Piece::Proc,
                    () if is("overlay") => Piece::Overlay,
                    // The first step is the first that needs a capability in the new user namespace.
                    () if step == 0 => Piece::Namespaces,
                    () => Piece::Mounts,
                };
                (format!("its sandbox cannot be set up: {what}"), piece)
            }
            Stage::Group => return said("its process group cannot be made", source),
            Stage::Streams => return said("its streams cannot be connected", source),
            Stage::Limits => return said("its limits cannot be set", source),
            Stage::Folder => return said("its working directory cannot be entered", source),
            Stage::Privileges => return said("its privileges cannot be given up", source),
        };
        io::Error::new(
            source.kind(),
            WallError {
                what,
                piece,
                source,
            },
        )
    }
}

fn said(what: &str, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), format!("{what}: {source}"))
}
