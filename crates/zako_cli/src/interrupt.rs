//! The signals that ask zako to stop.
//!
//! On Windows `windows/interrupt.rs` stands for this file.
//!
//! Once they are listened to, they no longer end the process by themselves: whoever listens must act.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// Listens to SIGINT, SIGTERM and SIGHUP.
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: Listener,
    terminate: Listener,
    hang_up: Listener,
}

impl Interrupts {
    /// Starts to listen; must be called in a tokio runtime.
    pub(crate) fn listen() -> io::Result<Interrupts> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Several of a kind that come before they are looked at count once. May be dropped and asked again.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::SIGINT,
            Some(()) = self.terminate.recv() => Signal::SIGTERM,
            Some(()) = self.hang_up.recv() => Signal::SIGHUP,
            // A listener ends with its runtime only.
            else => std::future::pending().await,
        }
    }
}

/// Hands `signal` on to a child that has not been reaped. What a terminal sends has reached it without our help.
pub(crate) fn pass_on(signal: Signal, child: u32) {
    let pid = i32::try_from(child).ok();
    if let Some(pid) = pid.filter(|_| signal != Signal::SIGINT) {
        // If it has just ended there is nothing to tell.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// The signal that a process ended by.
pub(crate) fn signal_of(status: ExitStatus) -> Option<i32> {
    status.signal()
}
