//! One command, and what it used.
//!
//! The command is the only child of a small process of its own, this program again, so that the peak memory and the
//! times that the system adds up over a process's children are the command's alone.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// How much of a failed command's output is shown, in bytes.
const MAX_SHOWN: usize = 4000;

/// What one run of a command used.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// From its start to its end, in nanoseconds.
    pub(crate) wall_ns: u64,
    /// Processor time of it and of its children, in microseconds.
    pub(crate) cpu_us: u64,
    /// The most memory that any of these processes had, in KiB.
    pub(crate) peak_kib: u64,
    /// How it ended.
    code: Option<i32>,
}

impl Measured {
    pub(crate) fn wall(&self) -> Duration {
        Duration::from_nanos(self.wall_ns)
    }
}

/// A command line, to be run in a folder.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine(pub(crate) Vec<OsString>);

impl CommandLine {
    pub(crate) fn new<S: Into<OsString>>(words: impl IntoIterator<Item = S>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    /// Runs it once.
    pub(crate) fn measure(&self, folder: &Path) -> Result<Measured, Failure> {
        let this = std::env::current_exe().map_err(Failure::io("find", "this program"))?;
        let mut output = tempfile::tempfile().map_err(Failure::io("create", "a temporary file"))?;
        let to_file = |file: &File| file.try_clone().map(Stdio::from);
        let shown = self.shown();
        let result = Command::new(this)
            .arg("measure")
            .arg("--")
            .args(&self.0)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(to_file(&output).map_err(Failure::io("share", "a temporary file"))?)
            .output()
            .map_err(Failure::io("run", &shown))?;
        let printed = String::from_utf8_lossy(&result.stdout);
        let measured: Option<Measured> = serde_json::from_str(&printed).ok();
        if let Some(measured) = measured
            && measured.code == Some(0)
        {
            return Ok(measured);
        }
        let mut text = Vec::new();
        let _ = output
            .rewind()
            .and_then(|()| output.read_to_end(&mut text).map(drop));
        let tail = &text[text.len().saturating_sub(MAX_SHOWN)..];
        match measured {
            None if text.is_empty() => Err(Failure::Measurement(printed.into_owned())),
            _ => Err(Failure::Command {
                command: shown,
                status: measured
                    .and_then(|m| m.code)
                    .map_or("a signal".to_owned(), |code| format!("code {code}")),
                output: String::from_utf8_lossy(tail).into_owned(),
            }),
        }
    }

    fn shown(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }
}

/// The other side of [`CommandLine::measure`].
pub(crate) fn measure_and_print(command: &[OsString]) -> Result<(), Failure> {
    let program = command[0].to_string_lossy().into_owned();
    let started = Instant::now();
    // Standard output is for the figures; what the command prints goes where errors go.
    let errors = std::os::fd::AsFd::as_fd(&io::stderr())
        .try_clone_to_owned()
        .map_err(Failure::io("share", "standard error"))?;
    let status = Command::new(&command[0])
        .args(&command[1..])
        .stdout(Stdio::from(errors))
        .status()
        .map_err(Failure::io("run", &program))?;
    let wall = started.elapsed();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(|errno| Failure::io("measure", &program)(errno.into()))?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let cpu = micros(used.user_time()) + micros(used.system_time());
    let measured = Measured {
        wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
        cpu_us: u64::try_from(cpu).unwrap_or(0),
        // KiB on Linux (getrusage(2)).
        peak_kib: u64::try_from(used.max_rss()).unwrap_or(0),
        code: status.code(),
    };
    let line = serde_json::to_string(&measured).unwrap_or_default();
    writeln!(io::stdout(), "{line}").map_err(Failure::io("write", "standard output"))
}
