//! From the clone to the program: what a new process does to itself.
//!
//! **Invariant:** it shares memory with its parent, so it calls `raw` and atomics only, allocates nothing and can't panic.

use nix::libc;

use super::Start;
use super::order::{Order, Stage};
use super::raw::{self, Errno, Never};
use crate::sandbox::Walls;

/// A command without walls: the child of this process itself.
pub(super) fn run(start: &Start) -> Never {
    let order = &*start.order;
    let begun = raw::on_parents_death(libc::SIGKILL)
        .map_err(|errno| (Stage::Privileges, errno))
        .and_then(|_| take_streams(start).map_err(|errno| (Stage::Streams, errno)));
    // It may have ended before the signal was asked for.
    if raw::parent() != start.parent {
        return raw::exit(1);
    }
    let (stage, errno) = match begun {
        Ok(()) => become_program(order, false),
        Err(error) => error,
    };
    order.report.fail(stage, errno);
    raw::exit(127)
}

/// The descriptor of a control group's folder in PID 1 behind walls, until its command was started.
pub(super) const CONTROL: i32 = 3;

/// Standard input, output and error, and no other descriptor but [`CONTROL`], if there is one.
pub(super) fn take_streams(start: &Start) -> Result<(), Errno> {
    let [stdin, stdout, stderr] = start.stdio;
    raw::duplicate(stdin, 0)?;
    raw::duplicate(stdout, 1)?;
    raw::duplicate(stderr, 2)?;
    match start.inner_control {
        None => raw::close_from(3).map(drop),
        Some(folder) => {
            // It is closed on exec as it is.
            if folder != CONTROL {
                raw::duplicate_until_exec(folder, CONTROL)?;
            }
            raw::close_from(4).map(drop)
        }
    }
}

/// How much sooner than others a command is killed when memory runs out, in thousandths of all that there is (proc(5),
/// `oom_score_adj`): an action can run again, and zako, which holds more than most, sees to that.
const SOONER: &[u8] = b"500";

/// All that is left; returns only when it fails.
pub(super) fn become_program(order: &Order, is_walled: bool) -> (Stage, Errno) {
    match prepare(order, is_walled) {
        Err(error) => error,
        Ok(()) => {
            raw::reset_signals();
            raw::set_mask(0);
            let errno = raw::exec(&order.program, &order.argv, &order.envp);
            (Stage::Exec, errno)
        }
    }
}

fn prepare(order: &Order, is_walled: bool) -> Result<(), (Stage, Errno)> {
    let at = |stage| move |errno| (stage, errno);
    raw::set_group().map_err(at(Stage::Group))?;
    if let Some(mask) = order.umask {
        raw::set_umask(mask);
    }
    if let Some(nice) = order.nice {
        raw::set_nice(nice).map_err(at(Stage::Limits))?;
    }
    if !order.affinity.is_empty() {
        raw::set_affinity(&order.affinity).map_err(at(Stage::Limits))?;
    }
    // Without this it is as likely as others. It says nothing of who shares our memory: this child borrows it (CLONE_VFORK).
    let _it_is_a_wish = raw::write_file(c"/proc/self/oom_score_adj", SOONER);
    for (resource, limit) in &order.limits {
        raw::set_limit(*resource, *limit).map_err(at(Stage::Limits))?;
    }
    raw::change_dir(&order.dir).map_err(at(Stage::Folder))?;
    if is_walled {
        raw::no_new_privileges().map_err(at(Stage::Privileges))?;
        for filter in order.walls().into_iter().flat_map(Walls::filters) {
            raw::filter_calls(filter).map_err(at(Stage::Filter))?;
        }
    }
    Ok(())
}
