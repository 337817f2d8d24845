//! Waiting for a child with what it used: the one system call that no safe library of ours gives whole.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::libc;
use rustix::process::Pid;
use zako_action::{Exit, Usage};

/// Bytes in a unit of `ru_maxrss`: KiB, on macOS bytes (getrusage(2) of each).
const MAXRSS_UNIT: u64 = if cfg!(target_os = "macos") { 1 } else { 1024 };

/// Waits for `child` to end and collects it. `wall` is left zero.
pub(super) fn wait(child: Pid) -> io::Result<(Exit, Usage)> {
    let mut status: libc::c_int = 0;
    let mut used = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        #[expect(unsafe_code, reason = "std and rustix have no wait that gives rusage")]
        // SAFETY: both pointers are to live locals of the types that wait4 writes; all-zero is a valid `rusage`, so it
        // is initialised whether or not the call writes it.
        let (pid, used) = unsafe {
            let pid = libc::wait4(
                child.as_raw_nonzero().get(),
                &raw mut status,
                0,
                used.as_mut_ptr(),
            );
            (pid, used.assume_init())
        };
        if pid >= 0 {
            return Ok((exit_of(status), usage_of(&used)));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What a status of `wait4` means.
pub(super) fn exit_of(status: libc::c_int) -> Exit {
    let status = ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

fn usage_of(used: &libc::rusage) -> Usage {
    let count = |n: libc::c_long| u64::try_from(n).unwrap_or(0);
    Usage {
        wall: Duration::ZERO,
        user: duration(used.ru_utime),
        system: duration(used.ru_stime),
        max_rss_bytes: count(used.ru_maxrss) * MAXRSS_UNIT,
        blocks_in: count(used.ru_inblock),
        blocks_out: count(used.ru_oublock),
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// The largest resident set that this process has had, in bytes.
pub(super) fn own_peak_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let peak = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |used| used.max_rss());
    u64::try_from(peak).unwrap_or(0) * MAXRSS_UNIT
}
