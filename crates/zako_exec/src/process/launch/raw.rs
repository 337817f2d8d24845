//! System calls for a child that still shares the memory of its parent, as the kernel has them.
//!
//! It must never call the C library: its functions write `errno` and other state of the thread, which is the running
//! parent's as long as memory is shared. Nothing here allocates, locks or panics.
//!
//! **Invariant:** what is handed to the kernel lives until the call returns; for [`clone_with`] until the child has run
//! its program or is gone.

#![expect(
    unsafe_code,
    reason = "system calls without the C library, and a clone that shares memory"
)]

use std::arch::asm;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};

use nix::libc;

/// An error number of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

type Answer<T = usize> = Result<T, Errno>;

/// The size of the kernel's signal sets in bytes.
const SIGSET_BYTES: usize = 8;

/// The child begins in the control group that is given (Linux 5.7); libc's constant does not fit its own type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Highest signal number and one.
const SIGNALS: i32 = 65;

/// Bytes of the stack of a child: a few shallow frames, and plenty of room below them.
const STACK_BYTES: usize = 64 << 10;

/// # Safety
/// As the system call `number` demands of its arguments.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> Answer {
    let [a, b, c, d, e, f] = args;
    let result: isize;
    // SAFETY: the caller's promise; the clobbers are those of the kernel's calling convention.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer(result)
}

/// # Safety
/// As the system call `number` demands of its arguments.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: libc::c_long, args: [usize; 6]) -> Answer {
    let [a, b, c, d, e, f] = args;
    let result: isize;
    // SAFETY: the caller's promise; the kernel changes no register but x0.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    answer(result)
}

fn answer(result: isize) -> Answer {
    if (-4095..0).contains(&result) {
        Err(Errno(result.unsigned_abs() as i32))
    } else {
        Ok(result as usize)
    }
}

macro_rules! call {
    ($number:ident $(, $arg:expr)* $(,)?) => {{
        let mut args = [0usize; 6];
        let given = [$(($arg) as usize),*];
        let mut at = 0;
        while at < given.len() {
            args[at] = given[at];
            at += 1;
        }
        // SAFETY: each wrapper below hands over pointers to live values of the type that its call reads or writes, or
        // none; the compiler has checked their lifetimes as references.
        unsafe { syscall(libc::$number, args) }
    }};
}

/// Words for a program: pointers into strings that it owns, with a null at the end.
#[derive(Debug)]
pub(crate) struct Words {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers are to what the value itself owns on the heap, and nobody writes there.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    pub(crate) fn new(words: Vec<CString>) -> Self {
        let pointers = words.iter().map(|word| word.as_ptr());
        let pointers = pointers.chain([ptr::null()]).collect();
        Self {
            _owned: words,
            pointers,
        }
    }
}

/// Memory that a child has its stack in; this process never reads it.
#[derive(Debug)]
pub(crate) struct Stack {
    base: NonNull<u8>,
    /// Owns the memory, and has no element.
    _memory: Vec<Page>,
}

// SAFETY: it is an address; what uses the memory behind is one `clone_with` at a time, by its contract.
unsafe impl Send for Stack {}
// SAFETY: as above.
unsafe impl Sync for Stack {}

/// Aligned as every architecture wants its stack.
#[derive(Debug)]
#[repr(align(16))]
struct Page(#[expect(dead_code, reason = "it is room, not a value")] [u8; PAGE]);

const PAGE: usize = 4096;

impl Stack {
    pub(crate) fn new() -> Self {
        let mut memory = Vec::<Page>::with_capacity(STACK_BYTES / PAGE);
        let base = NonNull::from(memory.spare_capacity_mut()).cast();
        Self {
            base,
            _memory: memory,
        }
    }
}

/// `struct clone_args` of the kernel, as of its third size (Linux 5.7); older ones take it as long as the last field is zero.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What a new process begins with. It must not return.
pub(crate) type Entry<T> = fn(&T) -> Never;

/// The type of what does not return.
pub(crate) enum Never {}

struct Begin<T> {
    entry: Entry<T>,
    with: *const T,
}

/// Makes a process that shares this one's memory and runs `entry(with)` on `stack`; gives its pid (as this process
/// sees it), and its pidfd when `flags` ask for one. It is born into the control group whose folder the descriptor `cgroup` is.
///
/// # Safety
/// `with` and `stack` must live, and `stack` be used for nothing else, until the child has run a program or is gone.
/// With `CLONE_VFORK` that is when this returns. `entry` must call nothing but what is safe while another process runs in
/// the same memory with the same thread-local storage: this module.
pub(crate) unsafe fn clone_with<T: Sync>(
    flags: u64,
    cgroup: Option<i32>,
    stack: &Stack,
    entry: Entry<T>,
    with: *const T,
) -> Answer<(i32, i32)> {
    unsafe extern "C" fn begin<T>(begin: *const c_void) -> ! {
        // SAFETY: it is the `Begin` that was put at the top of the stack below, which lives as long as this runs.
        let Begin { entry, with } = unsafe { ptr::read(begin.cast::<Begin<T>>()) };
        // SAFETY: the caller of `clone_with` keeps it alive.
        match entry(unsafe { &*with }) {}
    }
    let base = stack.base.as_ptr();
    // The top page holds what it begins with; its frames lie below.
    let used = STACK_BYTES - PAGE;
    // SAFETY: inside of the allocation, aligned to 16, and large enough.
    let top = unsafe { base.add(used) }.cast::<Begin<T>>();
    // SAFETY: as above; `Begin` is plain data.
    unsafe { ptr::write(top, Begin { entry, with }) };
    let mut pidfd: i32 = -1;
    let cgroup = cgroup.map(|cgroup| u64::from(cgroup.unsigned_abs()));
    let args = CloneArgs {
        flags: flags | cgroup.map_or(0, |_| CLONE_INTO_CGROUP),
        cgroup: cgroup.unwrap_or(0),
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: base as u64,
        stack_size: used as u64,
        ..CloneArgs::default()
    };
    let begin: unsafe extern "C" fn(*const c_void) -> ! = begin::<T>;
    let result: isize;
    // SAFETY: the kernel gives the child the registers of its parent but for the stack and the result, so it goes to
    // `begin` on its own stack and never comes back; in the parent this is an ordinary system call.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") &raw const args, in("rsi") size_of::<CloneArgs>(),
            in("r12") top, in("r13") begin,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") &raw const args as isize => result,
            in("x1") size_of::<CloneArgs>(),
            in("x20") top, in("x21") begin,
        );
    }
    let pid = answer(result)?;
    // The kernel wrote it behind the compiler's back.
    // SAFETY: a live local.
    let pidfd = unsafe { ptr::read_volatile(&raw const pidfd) };
    Ok((pid as i32, pidfd))
}

/// Ends this process at once.
pub(crate) fn exit(code: i32) -> Never {
    loop {
        let _never = call!(SYS_exit_group, code);
    }
}

/// Replaces this process by a program; returns only why it could not.
pub(crate) fn exec(program: &CStr, argv: &Words, envp: &Words) -> Errno {
    match call!(
        SYS_execve,
        program.as_ptr(),
        argv.pointers.as_ptr(),
        envp.pointers.as_ptr()
    ) {
        Err(errno) => errno,
        Ok(_) => Errno(0),
    }
}

/// No handler, nothing ignored. What has a handler was reset by `CLONE_CLEAR_SIGHAND`; this is for what is ignored.
pub(crate) fn reset_signals() {
    // `struct sigaction` of the kernel: handler, flags, restorer, mask; all zero is the default.
    let default = [0u64; 4];
    for signal in 1..SIGNALS {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            let _of_no_use = call!(SYS_rt_sigaction, signal, default.as_ptr(), 0, SIGSET_BYTES);
        }
    }
}

/// Sets which signals wait: bit n-1 stands for signal n.
pub(crate) fn set_mask(mask: u64) {
    let _never = call!(
        SYS_rt_sigprocmask,
        libc::SIG_SETMASK,
        &raw const mask,
        0,
        SIGSET_BYTES
    );
}

/// Waits for one of the signals in `mask`, which must be blocked, and gives its number.
pub(crate) fn wait_for_signal(mask: u64) -> Answer<i32> {
    let signal = call!(SYS_rt_sigtimedwait, &raw const mask, 0, 0, SIGSET_BYTES)?;
    Ok(signal as i32)
}

pub(crate) fn kill(pid: i32, signal: i32) -> Answer {
    call!(SYS_kill, pid as isize, signal)
}

/// Collects a child that has ended: its pid, its status and its peak resident set in KiB; pid 0 when none has ended yet.
pub(crate) fn wait_any(no_hang: bool) -> Answer<(i32, i32, u64)> {
    let mut status: i32 = 0;
    // `struct rusage` is sixteen machine words, of which the fifth is `ru_maxrss`.
    let mut used = [0u64; 18];
    let options = if no_hang { libc::WNOHANG } else { 0 };
    let pid = call!(
        SYS_wait4,
        -1isize,
        &raw mut status,
        options,
        used.as_mut_ptr()
    )?;
    // SAFETY: live locals that the kernel wrote.
    let (status, peak) = unsafe {
        (
            ptr::read_volatile(&raw const status),
            ptr::read_volatile(&raw const used[4]),
        )
    };
    Ok((pid as i32, status, peak))
}

pub(crate) fn set_group() -> Answer {
    call!(SYS_setpgid, 0, 0)
}

pub(crate) fn parent() -> i32 {
    call!(SYS_getppid).map_or(0, |pid| pid as i32)
}

/// This process is sent `signal` when the thread that made it ends.
pub(crate) fn on_parents_death(signal: i32) -> Answer {
    call!(SYS_prctl, libc::PR_SET_PDEATHSIG, signal)
}

pub(crate) fn no_new_privileges() -> Answer {
    call!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1)
}

pub(crate) fn set_name(name: &CStr) {
    let _of_no_importance = call!(SYS_prctl, libc::PR_SET_NAME, name.as_ptr());
}

/// Whether the descriptor can be read at once, or never again.
pub(crate) fn is_readable(fd: i32) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = [0u64; 2];
    matches!(
        call!(SYS_ppoll, &raw mut poll, 1, timeout.as_ptr(), 0, 0),
        Ok(ready) if ready > 0
    )
}

/// Makes `to` the same as `from`, kept over `exec`. They must differ.
pub(crate) fn duplicate(from: i32, to: i32) -> Answer {
    call!(SYS_dup3, from, to, 0)
}

/// The same, and what runs a program does not have it then. Another descriptor than `to`, or it is an error.
pub(crate) fn duplicate_until_exec(from: i32, to: i32) -> Answer {
    call!(SYS_dup3, from, to, libc::O_CLOEXEC)
}

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) -> Answer {
    call!(SYS_close_range, first, u32::MAX, 0)
}

pub(crate) fn change_dir(dir: &CStr) -> Answer {
    call!(SYS_chdir, dir.as_ptr())
}

pub(crate) fn set_umask(mask: u32) {
    let _cannot_fail = call!(SYS_umask, mask);
}

pub(crate) fn set_nice(nice: i32) -> Answer {
    call!(SYS_setpriority, libc::PRIO_PROCESS, 0, nice as isize)
}

/// `mask` has a bit for each processor.
pub(crate) fn set_affinity(mask: &[u64]) -> Answer {
    call!(SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr())
}

pub(crate) fn set_limit(resource: u32, limit: u64) -> Answer {
    let both = [limit; 2];
    call!(SYS_prlimit64, 0, resource, both.as_ptr(), 0)
}

/// Writes all of `bytes` into a file that exists, in one call as the kernel's own files want it.
pub(crate) fn write_file(path: &CStr, bytes: &[u8]) -> Answer {
    let at = libc::AT_FDCWD as isize;
    let fd = call!(
        SYS_openat,
        at,
        path.as_ptr(),
        libc::O_WRONLY | libc::O_CLOEXEC
    )?;
    let written = call!(SYS_write, fd, bytes.as_ptr(), bytes.len());
    let _closed = call!(SYS_close, fd);
    written
}

/// Makes a folder; that it is there already is fine.
pub(crate) fn make_dir(path: &CStr) -> Answer {
    match call!(SYS_mkdirat, libc::AT_FDCWD as isize, path.as_ptr(), 0o755) {
        Err(Errno(libc::EEXIST)) => Ok(0),
        made => made,
    }
}

pub(crate) fn make_link(target: &CStr, path: &CStr) -> Answer {
    let at = libc::AT_FDCWD as isize;
    call!(SYS_symlinkat, target.as_ptr(), at, path.as_ptr())
}

/// Copies `bytes` of a file to a new one, or as many as it has.
pub(crate) fn copy_file(from: &CStr, to: &CStr, bytes: u64, mode: u32) -> Answer {
    let at = libc::AT_FDCWD as isize;
    let create = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let source = call!(
        SYS_openat,
        at,
        from.as_ptr(),
        libc::O_RDONLY | libc::O_CLOEXEC
    )?;
    let target = call!(SYS_openat, at, to.as_ptr(), create, mode);
    let copied = target.and_then(|target| {
        let mut left = bytes;
        let copied = loop {
            if left == 0 {
                break Ok(0);
            }
            match call!(SYS_sendfile, target, source, 0, left) {
                Ok(0) => break Ok(0),
                Ok(sent) => left = left.saturating_sub(sent as u64),
                Err(errno) => break Err(errno),
            }
        };
        let _closed = call!(SYS_close, target);
        copied
    });
    let _closed = call!(SYS_close, source);
    copied
}

/// Mounts; an argument that is `None` is a null pointer.
pub(crate) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: u64,
    data: Option<&CStr>,
) -> Answer {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    call!(
        SYS_mount,
        pointer(source),
        target.as_ptr(),
        pointer(kind),
        flags,
        pointer(data)
    )
}

/// Makes the mount at `path`, and those below it, read-only.
pub(crate) fn make_read_only(path: &CStr) -> Answer {
    // `struct mount_attr`: set, clear, propagation, user namespace.
    let attributes = [libc::MOUNT_ATTR_RDONLY, 0, 0, 0];
    call!(
        SYS_mount_setattr,
        libc::AT_FDCWD as isize,
        path.as_ptr(),
        libc::AT_RECURSIVE,
        attributes.as_ptr(),
        size_of_val(&attributes)
    )
}

/// Makes the working directory the root of the mount namespace and detaches all that was there before.
pub(crate) fn pivot_here() -> Answer {
    call!(SYS_pivot_root, c".".as_ptr(), c".".as_ptr())?;
    // The old root lies over the new one.
    call!(SYS_umount2, c".".as_ptr(), libc::MNT_DETACH)?;
    change_dir(c"/")
}

pub(crate) fn set_host_name(name: &[u8]) -> Answer {
    call!(SYS_sethostname, name.as_ptr(), name.len())
}

/// Switches the loopback interface of this network namespace on.
pub(crate) fn loopback_up() -> Answer {
    /// `struct ifreq`: a name of 16 bytes, then a union of 24 of which the flags are the first two.
    #[repr(C, align(8))]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut request = Request {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: (libc::IFF_UP | libc::IFF_RUNNING) as u16,
        rest: [0; 22],
    };
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    let socket = call!(SYS_socket, libc::AF_INET, kind, 0)?;
    let set = call!(SYS_ioctl, socket, libc::SIOCSIFFLAGS, &raw mut request);
    let _closed = call!(SYS_close, socket);
    set
}

/// Filters the system calls of this process and all that it starts by `program`, instructions of eight bytes each.
pub(crate) fn filter_calls(program: &[u64]) -> Answer {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const u64,
    }
    let program = Program {
        length: program.len() as u16,
        filter: program.as_ptr(),
    };
    call!(
        SYS_seccomp,
        libc::SECCOMP_SET_MODE_FILTER,
        0,
        &raw const program
    )
}

/// Sleeps that long (less than a second).
pub(crate) fn sleep(nanoseconds: u32) {
    let time = [0u64, u64::from(nanoseconds)];
    let _interrupted = call!(SYS_nanosleep, time.as_ptr(), 0);
}
