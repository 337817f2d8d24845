//! GNU make's jobserver: processors shared with nested `make`, `cargo` and whatever else speaks it.
//!
//! The protocol is one byte per processor in a pipe (make's manual, "POSIX Jobserver Interaction"): whoever wants to run one more job
//! beside the one that it may always run takes a byte, and writes it back afterwards. [`JobServer`] hands out what a
//! [`ResourcePool`](crate::ResourcePool) has left; [`JobClient`] takes from whoever started this process.
//!
//! Nothing here passes descriptors on: a named pipe is what children are told of, either by its path (`fifo:PATH`, make 4.4 and
//! cargo), or, for the older style with two numbers, opened by a shell that then becomes the program ([`JobSession::wrap`]).
//!
//! **Absences:** no actions, no environment of this process.

#[cfg_attr(windows, path = "jobserver/windows/client.rs")]
mod client;
mod nested;
#[cfg_attr(windows, path = "jobserver/windows/server.rs")]
mod server;

pub use client::{JobClient, JobClientError, JobToken};
pub use nested::{NESTED_TOOLS, NestedExecutor};
pub use server::{JobServer, JobSession, JobStyle};

/// What MAKEFLAGS says of a jobserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// `fifo:PATH`
    Fifo(String),
    /// `R,W`
    Pipe(i32, i32),
}

impl Auth {
    /// The last one in `flags`, as make takes it; `None` when there is none, or only one that means "none".
    pub(crate) fn of(flags: &str) -> Option<Self> {
        let words = flags.split_ascii_whitespace();
        let mut auths = words.filter_map(|word| {
            word.strip_prefix("--jobserver-auth=")
                .or_else(|| word.strip_prefix("--jobserver-fds="))
        });
        let auth = auths.next_back()?;
        if let Some(path) = auth.strip_prefix("fifo:") {
            return Some(Auth::Fifo(path.to_owned()));
        }
        let (read, write) = auth.split_once(',')?;
        let (read, write) = (read.parse().ok()?, write.parse().ok()?);
        // make says -2,-2 to children that may not use it.
        (read >= 0 && write >= 0).then_some(Auth::Pipe(read, write))
    }
}

#[cfg(test)]
mod tests {
    use super::Auth;

    #[test]
    fn both_styles_and_none() {
        let fifo = |path: &str| Some(Auth::Fifo(path.to_owned()));
        assert_eq!(
            Auth::of("-j4 --jobserver-auth=fifo:/tmp/x -k"),
            fifo("/tmp/x")
        );
        assert_eq!(Auth::of(" -j --jobserver-auth=3,4"), Some(Auth::Pipe(3, 4)));
        assert_eq!(Auth::of("--jobserver-fds=5,6 -j"), Some(Auth::Pipe(5, 6)));
        assert_eq!(
            Auth::of("--jobserver-auth=3,4 --jobserver-auth=fifo:/y"),
            fifo("/y")
        );
        for none in [
            "",
            "kw",
            "--jobserver-auth=-2,-2",
            "--jobserver-auth=x",
            "--jobserver-auth=1",
        ] {
            assert_eq!(Auth::of(none), None, "{none}");
        }
    }
}
