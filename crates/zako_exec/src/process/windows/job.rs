//! A job object: all processes that came of one program, whatever they call themselves.
//!
//! **Invariant:** whoever is in a job ends with it, at the latest when this process does: its handle closes then, and is inherited by
//! nobody.

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Console::GetConsoleCP;
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
    JOB_OBJECT_LIMIT_AFFINITY, JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION,
    JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOB_OBJECT_LIMIT_PRIORITY_CLASS,
    JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOB_OBJECT_LIMIT_PROCESS_TIME,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECTINFOCLASS, JobObjectBasicAccountingInformation,
    JobObjectBasicAndIoAccountingInformation, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{
    ABOVE_NORMAL_PRIORITY_CLASS, BELOW_NORMAL_PRIORITY_CLASS, CREATE_NEW_PROCESS_GROUP,
    CREATE_NO_WINDOW, CREATE_SUSPENDED, HIGH_PRIORITY_CLASS, IDLE_PRIORITY_CLASS,
    NORMAL_PRIORITY_CLASS, OpenThread, ResumeThread, THREAD_SUSPEND_RESUME,
};
use zako_action::Usage;

use crate::process::Attributes;

/// The exit code of what was killed: what `taskkill /F` leaves.
const KILLED: u32 = 1;

/// What the system counts time in: 100 nanoseconds.
const TICK_NANOS: u64 = 100;

/// What blocks are counted in elsewhere, in bytes (getrusage(2)).
const BLOCK: u64 = 512;

/// All processes of one program, and the right to end them. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Job(OwnedHandle);

/// What a job has used.
pub(crate) struct Totals {
    /// CPU and I/O of all processes that were ever in it. `wall` and `max_rss_bytes` are left zero.
    pub(crate) usage: Usage,
    /// How many live.
    pub(crate) active: u32,
}

impl Job {
    /// Starts `command` in a job of its own. Not one of its instructions runs before it is in there.
    pub(crate) fn start(
        command: &mut Command,
        attributes: &Attributes,
    ) -> io::Result<(Self, Child)> {
        let job = Self::new(attributes)?;
        let mut flags = CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP;
        if !has_console() {
            // Else it would open a window.
            flags |= CREATE_NO_WINDOW;
        }
        let mut child = command.creation_flags(flags).spawn()?;
        let begun = job.adopt(&child).and_then(|()| resume(child.id()));
        if let Err(error) = begun {
            let _gone_already = child.kill();
            return Err(error);
        }
        Ok((job, child))
    }

    fn new(attributes: &Attributes) -> io::Result<Self> {
        refuse(attributes)?;
        #[expect(unsafe_code, reason = "no safe library of ours makes jobs")]
        // SAFETY: both pointers may be null: default security (not inheritable), and no name. What comes back is null or a handle that
        // nobody else has.
        let job = unsafe {
            let handle = CreateJobObjectW(std::ptr::null(), std::ptr::null());
            if handle.is_null() {
                return Err(io::Error::last_os_error());
            }
            Self(OwnedHandle::from_raw_handle(handle))
        };
        let information = limits(attributes);
        #[expect(unsafe_code, reason = "no safe library of ours limits jobs")]
        // SAFETY: the handle is open, and the pointer is to a live local of the type and size that this class has.
        let is_set = unsafe {
            SetInformationJobObject(
                job.raw(),
                JobObjectExtendedLimitInformation,
                (&raw const information).cast(),
                size_of_val(&information) as u32,
            )
        };
        said(is_set).map(|()| job)
    }

    fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    fn adopt(&self, child: &Child) -> io::Result<()> {
        #[expect(unsafe_code, reason = "no safe library of ours fills jobs")]
        // SAFETY: both handles are open.
        said(unsafe { AssignProcessToJobObject(self.raw(), child.as_raw_handle()) })
    }

    /// Ends all that is in it.
    pub(crate) fn kill(&self) {
        #[expect(unsafe_code, reason = "no safe library of ours ends jobs")]
        // SAFETY: the handle is open.
        if let Err(error) = said(unsafe { TerminateJobObject(self.raw(), KILLED) }) {
            tracing::debug!(%error, "job not ended");
        }
    }

    /// What it has used so far. I/O is zero where that is not told.
    pub(crate) fn totals(&self) -> io::Result<Totals> {
        let told: JOBOBJECT_BASIC_ACCOUNTING_INFORMATION =
            self.ask(JobObjectBasicAccountingInformation)?;
        let whole: JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION = self
            .ask(JobObjectBasicAndIoAccountingInformation)
            .unwrap_or_default();
        let time = |ticks: i64| {
            let ticks = u64::try_from(ticks).unwrap_or(0);
            Duration::from_nanos(ticks.saturating_mul(TICK_NANOS))
        };
        Ok(Totals {
            usage: Usage {
                user: time(told.TotalUserTime),
                system: time(told.TotalKernelTime),
                blocks_in: whole.IoInfo.ReadTransferCount / BLOCK,
                blocks_out: whole.IoInfo.WriteTransferCount / BLOCK,
                ..Usage::default()
            },
            active: told.ActiveProcesses,
        })
    }

    /// The most memory that all in it had committed together, in bytes; `None` where that is not told.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        let told: JOBOBJECT_EXTENDED_LIMIT_INFORMATION =
            self.ask(JobObjectExtendedLimitInformation).ok()?;
        u64::try_from(told.PeakJobMemoryUsed)
            .ok()
            .filter(|bytes| *bytes > 0)
    }

    /// `T` must be what `class` tells.
    fn ask<T: Default + Copy>(&self, class: JOBOBJECTINFOCLASS) -> io::Result<T> {
        let mut told = T::default();
        #[expect(unsafe_code, reason = "no safe library of ours asks jobs")]
        // SAFETY: the handle is open, the pointer is to a live local of that size, and all types that this is called with consist of
        // integers, for which all bytes are valid.
        let is_told = unsafe {
            QueryInformationJobObject(
                self.raw(),
                class,
                (&raw mut told).cast(),
                size_of::<T>() as u32,
                std::ptr::null_mut(),
            )
        };
        said(is_told).map(|()| told)
    }
}

/// What jobs can't do.
fn refuse(attributes: &Attributes) -> io::Result<()> {
    let limits = &attributes.limits;
    let asked = [
        ("umask", attributes.umask.is_some()),
        ("limit on the size of files", limits.file_size.is_some()),
        ("limit on open files", limits.open_files.is_some()),
        ("limit on core dumps", limits.core.is_some()),
        (
            "affinity to processors above 63",
            attributes
                .affinity
                .iter()
                .any(|processor| *processor >= usize::BITS as usize),
        ),
    ];
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        Some((what, _)) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("there is no {what} on Windows"),
        )),
        None => Ok(()),
    }
}

fn limits(attributes: &Attributes) -> JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
    let mut all = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    let basic = &mut all.BasicLimitInformation;
    // Nobody sits there to close the box of a crash.
    basic.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION;
    if let Some(seconds) = attributes.limits.cpu_seconds {
        let ticks = seconds.saturating_mul(1_000_000_000 / TICK_NANOS);
        basic.PerProcessUserTimeLimit = i64::try_from(ticks).unwrap_or(i64::MAX);
        basic.LimitFlags |= JOB_OBJECT_LIMIT_PROCESS_TIME;
    }
    if let Some(processes) = attributes.limits.processes {
        basic.ActiveProcessLimit = u32::try_from(processes).unwrap_or(u32::MAX);
        basic.LimitFlags |= JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
    }
    if let Some(nice) = attributes.nice {
        basic.PriorityClass = priority_class(nice);
        basic.LimitFlags |= JOB_OBJECT_LIMIT_PRIORITY_CLASS;
    }
    if !attributes.affinity.is_empty() {
        let bits = attributes.affinity.iter();
        basic.Affinity = bits.fold(0, |mask, processor| mask | 1usize << processor);
        basic.LimitFlags |= JOB_OBJECT_LIMIT_AFFINITY;
    }
    if let Some(bytes) = attributes.limits.address_space {
        all.ProcessMemoryLimit = usize::try_from(bytes).unwrap_or(usize::MAX);
        all.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_PROCESS_MEMORY;
    }
    all
}

/// What comes closest to a step back by `nice`.
fn priority_class(nice: i32) -> u32 {
    match nice {
        10.. => IDLE_PRIORITY_CLASS,
        1..10 => BELOW_NORMAL_PRIORITY_CLASS,
        0 => NORMAL_PRIORITY_CLASS,
        -9..0 => ABOVE_NORMAL_PRIORITY_CLASS,
        _ => HIGH_PRIORITY_CLASS,
    }
}

fn has_console() -> bool {
    #[expect(unsafe_code, reason = "std does not tell")]
    // SAFETY: it takes nothing and gives a number, zero without a console.
    unsafe {
        GetConsoleCP() != 0
    }
}

/// Lets a process go that was started suspended. std keeps the handle of its thread to itself, so that thread is looked for.
fn resume(pid: u32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe library of ours lists threads")]
    // SAFETY: what comes back is the invalid handle or one that nobody else has.
    let all = unsafe {
        let handle = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        OwnedHandle::from_raw_handle(handle)
    };
    let mut entry = THREADENTRY32 {
        dwSize: size_of::<THREADENTRY32>() as u32,
        ..THREADENTRY32::default()
    };
    #[expect(unsafe_code, reason = "no safe library of ours lists threads")]
    // SAFETY: the handle is open, and the pointer is to a live local of the type that is written, whose size field is set.
    let mut is_there = unsafe { Thread32First(all.as_raw_handle(), &raw mut entry) };
    while is_there != 0 {
        if entry.th32OwnerProcessID == pid {
            return resume_thread(entry.th32ThreadID);
        }
        #[expect(unsafe_code, reason = "no safe library of ours lists threads")]
        // SAFETY: as above.
        let next = unsafe { Thread32Next(all.as_raw_handle(), &raw mut entry) };
        is_there = next;
    }
    Err(io::Error::other("its first thread is not to be found"))
}

fn resume_thread(id: u32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe library of ours resumes threads")]
    // SAFETY: what comes back is null or a handle that nobody else has, which is open while it is used.
    let resumed = unsafe {
        let handle = OpenThread(THREAD_SUSPEND_RESUME, 0, id);
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        let thread = OwnedHandle::from_raw_handle(handle);
        ResumeThread(thread.as_raw_handle())
    };
    match resumed {
        u32::MAX => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Asks the process group of `leader`, if it shares our console, to end: Ctrl-Break, which ends whoever does not handle it.
pub(crate) fn interrupt(leader: u32) -> io::Result<()> {
    use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
    #[expect(unsafe_code, reason = "no safe library of ours sends it")]
    // SAFETY: it takes two numbers.
    said(unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, leader) })
}

/// Returns when the process has ended.
pub(crate) fn wait(process: BorrowedHandle<'_>) -> io::Result<()> {
    use windows_sys::Win32::Foundation::WAIT_OBJECT_0;
    use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};
    #[expect(unsafe_code, reason = "std waits by `Child` only, which is elsewhere")]
    // SAFETY: the handle is open as long as it is borrowed.
    match unsafe { WaitForSingleObject(process.as_raw_handle(), INFINITE) } {
        WAIT_OBJECT_0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn said(is_done: i32) -> io::Result<()> {
    match is_done {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
