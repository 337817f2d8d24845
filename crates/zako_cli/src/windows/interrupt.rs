//! What asks zako to stop on Windows: Ctrl-C, Ctrl-Break, the end of the console, of the session and of the system.
//!
//! Once they are listened to, Ctrl-C and Ctrl-Break no longer end the process by themselves: whoever listens must act. The others leave
//! it a few seconds; what it has started ends with it whatever happens.

use std::io;
use std::process::ExitStatus;

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close,
    ctrl_logoff, ctrl_shutdown,
};

/// That zako was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal;

/// Listens to all of them.
#[derive(Debug)]
pub(crate) struct Interrupts {
    c: CtrlC,
    break_: CtrlBreak,
    close: CtrlClose,
    log_off: CtrlLogoff,
    shut_down: CtrlShutdown,
}

impl Interrupts {
    /// Starts to listen; must be called in a tokio runtime.
    pub(crate) fn listen() -> io::Result<Interrupts> {
        Ok(Interrupts {
            c: ctrl_c()?,
            break_: ctrl_break()?,
            close: ctrl_close()?,
            log_off: ctrl_logoff()?,
            shut_down: ctrl_shutdown()?,
        })
    }

    /// The next one. Several of a kind that come before they are looked at count once. May be dropped and asked again.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.c.recv() => Signal,
            Some(()) = self.break_.recv() => Signal,
            Some(()) = self.close.recv() => Signal,
            Some(()) = self.log_off.recv() => Signal,
            Some(()) = self.shut_down.recv() => Signal,
            // A listener ends with its runtime only.
            else => std::future::pending().await,
        }
    }
}

/// Nothing: who shares our console was asked as we were.
pub(crate) fn pass_on(_signal: Signal, _child: u32) {}

/// None: processes end by exit codes only.
pub(crate) fn signal_of(_status: ExitStatus) -> Option<i32> {
    None
}
