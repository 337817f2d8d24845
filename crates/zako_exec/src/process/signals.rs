//! Signals by the names that people know them by: their numbers are the system's own.

use nix::sys::signal::Signal;

/// Signals that a process may end by of itself or because somebody else wished it, in the order of their numbers on Linux.
pub const SIGNALS: [&str; 18] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL",
    "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGXCPU", "SIGXFSZ",
    "SIGSYS",
];

/// The number, on this system, of one of [`SIGNALS`].
///
/// ```
/// assert_eq!(zako_exec::signal_number("SIGKILL"), Some(9));
/// assert_eq!(zako_exec::signal_number("SIGWINCH"), None);
/// ```
#[must_use]
pub fn signal_number(name: &str) -> Option<i32> {
    let known = SIGNALS.contains(&name).then(|| name.parse::<Signal>());
    known?.ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_number() {
        for name in SIGNALS {
            assert!(signal_number(name).is_some(), "{name}");
        }
    }
}
