//! Starting programs without forking and without the C library, behind walls or not.
//!
//! Everything is prepared before (`order`); a thread that outlives its children clones with shared memory; the child
//! (`child`, `init`) makes system calls only (`raw`). Its failures come back as (stage, error) in the shared memory.
//!
//! It must never know paths' meaning, actions or waiting.
//!
//! **Invariants:**
//! - Only launcher threads clone, and they end with the process only: the kernel sends the signal for a parent's death
//!   when the *thread* ends that cloned.
//! - Launcher threads have every signal blocked, so no handler of this process ever runs in a child.
//! - What shares this process's memory is in no control group with limits but until it runs its program. (The kernel leaves those
//!   alone who borrow memory by `CLONE_VFORK` when it looks for whom to kill.)
//! - An order, with the stacks in it, lives until the child has run its program, or (behind walls) was collected.

mod child;
mod init;
mod order;
pub(crate) mod raw;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::libc;
use nix::sys::signal::SigSet;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use tokio::sync::oneshot;

pub(super) use order::{Failure, Order};

use super::group::Group;
use crate::control_group::ControlGroup;

/// Reset every handler in the child (Linux 5.5); libc's constant does not fit its own type.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// How many threads start programs. One waits while its child loads a program; the second goes on meanwhile.
const LAUNCHERS: usize = 2;

/// How many orders wait for a launcher at most; each action that may run has one.
const MAX_WAITING: usize = 4096;

/// A program that was started.
pub(super) struct Launched {
    pub(super) group: Group,
    /// Readable once the leader has ended.
    pub(super) pidfd: OwnedFd,
}

struct Request {
    order: Arc<Order>,
    /// What becomes the child's standard input, output and error; closed here once it has them.
    stdio: [OwnedFd; 3],
    answer: oneshot::Sender<Result<Launched, Failure>>,
}

/// Starts the program of `order` with these three descriptors, each above 2.
pub(super) async fn launch(order: Arc<Order>, stdio: [OwnedFd; 3]) -> Result<Launched, Failure> {
    let (answer, launched) = oneshot::channel();
    let request = Request {
        order,
        stdio,
        answer,
    };
    let launchers = launchers().map_err(Failure::of_errno)?;
    launchers.try_send(request).map_err(|error| match error {
        TrySendError::Full(_) => Failure::of_errno(libc::EAGAIN),
        TrySendError::Disconnected(_) => Failure::of_errno(libc::ENOSYS),
    })?;
    launched
        .await
        .unwrap_or_else(|_| Err(Failure::of_errno(libc::ENOSYS)))
}

/// The threads that start programs, of all of this process: made for the first, and never ended.
fn launchers() -> Result<&'static SyncSender<Request>, i32> {
    static SENDER: OnceLock<Result<SyncSender<Request>, i32>> = OnceLock::new();
    let sender = SENDER.get_or_init(|| {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EAGAIN);
        // Children tell by it that this process is gone. Without pidfds there is no clone3 either.
        let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|e| errno(e.into()))?;
        let own = Arc::new(own);
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        begin(receiver, own, LAUNCHERS).map_err(errno)?;
        Ok(sender)
    });
    sender.as_ref().map_err(|errno| *errno)
}

/// Makes the thread that starts programs, which the first start does otherwise.
pub(crate) fn begin_launcher() {
    // Whoever starts a program is told.
    let _told_later = launchers();
}

/// Begins one launcher, which begins the others of `count` once it has something to wait for.
fn begin(
    receiver: Arc<Mutex<Receiver<Request>>>,
    own: Arc<OwnedFd>,
    count: usize,
) -> io::Result<()> {
    let launcher = std::thread::Builder::new()
        .name("zako-launch".into())
        .stack_size(256 * 1024);
    launcher.spawn(move || serve(&receiver, &own, count - 1))?;
    Ok(())
}

fn serve(requests: &Arc<Mutex<Receiver<Request>>>, own: &Arc<OwnedFd>, mut others: usize) {
    if SigSet::all().thread_block().is_err() {
        return;
    }
    let stack = raw::Stack::new();
    loop {
        let next = requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(request) = next else {
            return;
        };
        let Request {
            order,
            stdio,
            answer,
        } = request;
        let launched = start(&order, &stdio, own, &stack);
        // Whoever gets the answer has all that is left of it.
        drop((order, stdio));
        // A group that nobody waits for any more is killed by its drop.
        let _nobody_waits = answer.send(launched);
        if others > 0 {
            if let Err(error) = begin(requests.clone(), own.clone(), others) {
                tracing::warn!(%error, "one thread alone starts programs");
            }
            others = 0;
        }
    }
}

/// What the child is told beside its order.
struct Start {
    order: Arc<Order>,
    stdio: [i32; 3],
    /// The pid of this process, and a descriptor that is readable when it is gone.
    parent: i32,
    parent_pidfd: i32,
    /// The folder of the control group that a command behind walls is started in.
    inner_control: Option<i32>,
}

fn start(
    order: &Arc<Order>,
    stdio: &[OwnedFd; 3],
    own: &OwnedFd,
    stack: &raw::Stack,
) -> Result<Launched, Failure> {
    let begin = Box::new(Start {
        order: order.clone(),
        stdio: [0, 1, 2].map(|at: usize| stdio[at].as_raw_fd()),
        parent: getpid().as_raw_nonzero().get(),
        parent_pidfd: own.as_raw_fd(),
        inner_control: match order.walls() {
            Some(_) => folder_of(order.control()),
            None => None,
        },
    });
    // PID 1 of a sandbox shares this process's memory, and the kernel kills everybody who shares the memory of whom it kills
    // for want of it: so PID 1 stays outside, and starts its command in the group.
    let mut control = order.control().filter(|_| order.walls().is_none());
    let cloned = loop {
        match clone(order, &begin, folder_of(control), stack) {
            // The system may have groups, and not let us use them.
            Err(errno) if control.take().is_some() => {
                tracing::debug!(
                    errno = errno.0,
                    "an action starts outside of its control group"
                );
            }
            cloned => break cloned,
        }
    };
    let kept = order.walls().map(|_| Kept { _begin: begin });
    let (pid, pidfd) = cloned.map_err(|errno| Failure::of_errno(errno.0))?;
    #[expect(unsafe_code, reason = "the kernel gives a number")]
    // SAFETY: the kernel has just made this descriptor, for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let leader = Pid::from_raw(pid).ok_or(Failure::of_errno(libc::ECHILD))?;
    if kept.is_some() {
        control = order.control();
    }
    let kept = kept.map(|kept| (kept, order.clone()));
    let group = Group::new(leader, kept, control.cloned());
    match order.report().failure() {
        // It has ended by itself, and is collected by the drop of its group. Behind walls it is still about to begin.
        Some(failure) if order.walls().is_none() => {
            drop(group.reap());
            Err(failure)
        }
        _ => Ok(Launched { group, pidfd }),
    }
}

fn folder_of(control: Option<&Arc<ControlGroup>>) -> Option<i32> {
    Some(control?.folder()?.as_raw_fd())
}

/// The clone itself: pid and pidfd of the child. What is behind walls goes on reading `begin` after this.
fn clone(
    order: &Order,
    begin: &Start,
    control: Option<i32>,
    stack: &raw::Stack,
) -> Result<(i32, i32), raw::Errno> {
    let shared = libc::CLONE_VM as u64 | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
    match order.walls() {
        None => {
            let flags = shared | libc::CLONE_VFORK as u64;
            #[expect(unsafe_code, reason = "see `raw`")]
            // SAFETY: with CLONE_VFORK this thread sleeps until the child is done with what it borrows here; `child`
            // calls nothing but `raw` and atomics.
            unsafe {
                raw::clone_with(flags, control, stack, child::run, begin)
            }
        }
        Some(walls) => {
            let (flags, stack) = (shared | walls.namespaces(), order.stack());
            #[expect(unsafe_code, reason = "see `raw`")]
            // SAFETY: `begin` and the order, which has the stack, are kept until the child was collected (`Kept`); `init`
            // calls nothing but `raw` and atomics.
            unsafe {
                raw::clone_with(flags, control, stack, init::run, begin)
            }
        }
    }
}

/// What a child behind walls reads until it ends.
pub(super) struct Kept {
    _begin: Box<Start>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}
