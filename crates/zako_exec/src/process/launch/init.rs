//! PID 1 behind walls: builds them, starts the command, collects what ends, and ends with the command, upon which the
//! kernel kills everything else in its PID namespace.
//!
//! **Invariants:**
//! - It shares this process's memory as long as it lives, so it calls `raw` and atomics only, allocates nothing and can't
//!   panic.
//! - It stays outside of the action's control group, in which the command is: see `launch`.
//! - It keeps the capabilities that it has in its user namespace, and the command has none: so the command can neither
//!   trace it nor read through `/proc/1` the memory that it shares with zako.
//! - Signals from inside can't end it, every signal is blocked, and the kernel kills it with the thread that made it.

use nix::libc;

use super::order::{Order, Stage};
use super::raw::{self, Never};
use super::{CLONE_CLEAR_SIGHAND, Start, child};

/// How often a busy executable is tried before it is an error; a first pause of a millisecond, then twice as long each.
const BUSY_TRIES: u32 = 8;
const BUSY_PAUSE: u32 = 1_000_000;

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

pub(super) fn run(start: &Start) -> Never {
    let order = &*start.order;
    raw::set_name(c"zako-init");
    if let Err((stage, errno)) = begin(start) {
        order.report.fail(stage, errno);
        return raw::exit(1);
    }
    let control = start.inner_control.map(|_| child::CONTROL);
    let Some(command) = start_command(order, control) else {
        return raw::exit(1);
    };
    // The command alone holds its pipes from here on.
    let _cannot_fail = raw::close_from(0);
    watch(order, command)
}

fn begin(start: &Start) -> Result<(), (Stage, raw::Errno)> {
    let at = |stage| move |errno| (stage, errno);
    raw::on_parents_death(libc::SIGKILL).map_err(at(Stage::Privileges))?;
    // It may have ended before the signal was asked for.
    if raw::is_readable(start.parent_pidfd) {
        return Err((Stage::Clone, raw::Errno(libc::ESRCH)));
    }
    raw::set_group().map_err(at(Stage::Group))?;
    child::take_streams(start).map_err(at(Stage::Streams))?;
    let Some(walls) = start.order.walls() else {
        return Ok(());
    };
    let (users, groups) = walls.maps();
    raw::write_file(c"/proc/self/setgroups", b"deny").map_err(at(Stage::User))?;
    raw::write_file(c"/proc/self/uid_map", users).map_err(at(Stage::User))?;
    raw::write_file(c"/proc/self/gid_map", groups).map_err(at(Stage::User))?;
    raw::set_umask(0o022);
    let mut number = 0;
    for step in walls.steps() {
        step.take().map_err(at(Stage::Wall(number)))?;
        number = number.wrapping_add(1);
    }
    Ok(())
}

/// The pid of the command, or `None` when the report says why there is none.
fn start_command(order: &Order, control: Option<i32>) -> Option<i32> {
    let stack = order.command_stack()?;
    let flags = libc::CLONE_VM as u64 | libc::CLONE_VFORK as u64 | CLONE_CLEAR_SIGHAND;
    let mut pause = BUSY_PAUSE;
    for _ in 1..BUSY_TRIES {
        match try_command(order, stack, flags, control) {
            None if order.report.is_busy() => {}
            end => return end,
        }
        raw::sleep(pause);
        pause = pause.saturating_mul(2);
    }
    try_command(order, stack, flags, control)
}

fn try_command(order: &Order, stack: &raw::Stack, flags: u64, control: Option<i32>) -> Option<i32> {
    order.report.clear();
    let clone = |control: Option<i32>| {
        #[expect(unsafe_code, reason = "see `raw`")]
        // SAFETY: with CLONE_VFORK this process sleeps until the child runs its program or is gone; the stack is used for
        // nothing else, and `command` calls nothing but `raw` and atomics.
        unsafe {
            raw::clone_with(flags, control, stack, command, order)
        }
    };
    let cloned = match clone(control) {
        // The system may have groups, and not let us use them.
        Err(_) if control.is_some() => {
            order.report.go_outside();
            clone(None)
        }
        cloned => cloned,
    };
    match cloned {
        Err(errno) => {
            order.report.fail(Stage::Clone, errno);
            None
        }
        Ok((pid, _)) if order.report.has_failed() => {
            let _collected = raw::wait_any(false);
            let _gone = pid;
            None
        }
        Ok((pid, _)) => Some(pid),
    }
}

fn command(order: &Order) -> Never {
    let (stage, errno) = child::become_program(order, true);
    order.report.fail(stage, errno);
    raw::exit(127)
}

/// Collects until the command has ended, or after SIGTERM until everybody has.
fn watch(order: &Order, command: i32) -> Never {
    let (mut is_ending, mut has_ended) = (false, false);
    loop {
        loop {
            match raw::wait_any(true) {
                Ok((0, ..)) => break,
                Ok((pid, status, peak)) => {
                    order.report.peak(peak);
                    if pid == command {
                        order.report.end(status);
                        has_ended = true;
                    }
                }
                // Nobody is left.
                Err(_) => return raw::exit(0),
            }
        }
        if has_ended && !is_ending {
            return raw::exit(0);
        }
        let signal = raw::wait_for_signal(bit(libc::SIGCHLD) | bit(libc::SIGTERM));
        if signal == Ok(libc::SIGTERM) {
            is_ending = true;
            // Everybody in this namespace but this process.
            let _nobody_left = raw::kill(-1, libc::SIGTERM);
        }
    }
}
