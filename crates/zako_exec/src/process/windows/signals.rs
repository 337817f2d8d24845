//! Signals, of which there are none: names that build files may use, and no number for any.

/// Signals that a process may end by on other systems.
pub const SIGNALS: [&str; 18] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL",
    "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGXCPU", "SIGXFSZ",
    "SIGSYS",
];

/// `None`: processes end by exit codes only.
#[must_use]
pub fn signal_number(_name: &str) -> Option<i32> {
    None
}
