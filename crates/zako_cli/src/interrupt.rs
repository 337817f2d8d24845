//! The signals that ask zako to stop.
//!
//! Once they are listened to, they no longer end the process by themselves: whoever listens must act.

use std::io;

use nix::sys::signal::Signal;
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
