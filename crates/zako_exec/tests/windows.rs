//! Real processes on Windows: what `process.rs` shows of systems with shells, as far as `cmd` can say it.
#![cfg(windows)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use zako_action::{Exit, Stream};
use zako_exec::{
    Capacity, Companion, Finished, Limits, Process, ProcessError, ProcessStdin, Sources,
    base_environment, find_program, signal_number,
};

/// Far longer than any test: what should not happen is not waited for.
const NEVER: Duration = Duration::from_secs(3600);

/// `cmd` waits this long for nothing.
const SLEEP: &str = "ping -n 3600 127.0.0.1 >NUL";

/// `cmd` says what the first line is that it reads.
const READ: &str = "set line=none& set /p line=& echo got:!line!";

fn cmd(words: &[&str]) -> Process {
    let mut process = Process::new("cmd", std::env::temp_dir());
    process.args = ["/d", "/v:on", "/c"]
        .iter()
        .chain(words)
        .map(Into::into)
        .collect();
    process.env = base_environment();
    process
}

struct Ran {
    result: Result<Finished, ProcessError>,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Ran {
    fn out(&self) -> String {
        String::from_utf8_lossy(&self.out).trim().to_owned()
    }
}

/// Cancels once something was written to standard output.
async fn run_until_spoken(process: Process, cancels: bool) -> Ran {
    let cancel = CancellationToken::new();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut receive = |stream, bytes: &[u8]| {
        match stream {
            Stream::Stdout => out.extend_from_slice(bytes),
            Stream::Stderr => err.extend_from_slice(bytes),
        }
        if cancels && !out.is_empty() {
            cancel.cancel();
        }
        ControlFlow::Continue(())
    };
    let result = process.run(&mut receive, &cancel).await;
    Ran { result, out, err }
}

async fn run(process: Process) -> Ran {
    run_until_spoken(process, false).await
}

#[tokio::test]
async fn both_streams_come_and_the_code_is_the_programs() {
    let ran = run(cmd(&["echo out& echo err>&2& exit 7"])).await;
    assert_eq!(ran.result.as_ref().unwrap().exit, Exit::Code(7));
    assert_eq!(ran.out(), "out");
    assert_eq!(String::from_utf8_lossy(&ran.err).trim(), "err");
}

#[tokio::test]
async fn it_sees_its_environment_and_no_other() {
    let mut process = cmd(&["set"]);
    process.env.insert("ZAKO_TEST".into(), "a b".into());
    let ran = run(process).await;
    assert!(ran.out().contains("ZAKO_TEST=a b"), "{}", ran.out());
    assert!(!ran.out().contains("CARGO"), "{}", ran.out());
}

#[tokio::test]
async fn it_reads_bytes_a_file_and_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in"), "from a file\r\n").unwrap();
    let cases = [
        (
            ProcessStdin::Bytes("from bytes\r\n".into()),
            "got:from bytes",
        ),
        (ProcessStdin::File(dir.path().join("in")), "got:from a file"),
        (ProcessStdin::Nothing, "got:none"),
    ];
    for (stdin, wanted) in cases {
        let mut process = cmd(&[READ]);
        process.stdin = stdin;
        let ran = run(process).await;
        assert_eq!(ran.out(), wanted);
    }
}

#[tokio::test]
async fn a_time_out_ends_all_that_came_of_it() {
    let started = Instant::now();
    let mut process = cmd(&[&format!("cmd /c {SLEEP}")]);
    process.timeout = Some(Duration::from_millis(300));
    process.grace = Duration::from_millis(300);
    let ran = run(process).await;
    let after = Duration::from_millis(300);
    assert_eq!(ran.result.unwrap().exit, Exit::TimedOut { after });
    assert!(started.elapsed() < NEVER / 60);
}

#[tokio::test]
async fn a_cancel_ends_all_that_came_of_it() {
    let mut process = cmd(&[&format!("echo begun& cmd /c {SLEEP}")]);
    process.grace = Duration::from_millis(300);
    let ran = run_until_spoken(process, true).await;
    assert!(matches!(ran.result, Err(ProcessError::Cancelled)));
}

#[tokio::test]
async fn what_it_leaves_behind_is_ended() {
    let started = Instant::now();
    let ran = run(cmd(&[&format!("start /b cmd /c {SLEEP}& exit 0")])).await;
    assert_eq!(ran.result.unwrap().exit, Exit::Code(0));
    assert!(started.elapsed() < NEVER / 60);
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let mut process = cmd(&[]);
    process.program = "no-such-program".into();
    let ran = run(process).await;
    assert!(matches!(ran.result, Err(ProcessError::NotFound { .. })));
}

#[tokio::test]
async fn what_windows_cannot_do_is_refused() {
    let mut process = cmd(&["exit 0"]);
    process.attributes.umask = Some(0o22);
    let error = run(process).await.result.unwrap_err().to_string();
    assert!(error.ends_with("there is no umask on Windows"), "{error}");
    let mut process = cmd(&["exit 0"]);
    process.attributes.nice = Some(5);
    process.attributes.limits = Limits {
        cpu_seconds: Some(1000),
        ..Limits::default()
    };
    assert_eq!(run(process).await.result.unwrap().exit, Exit::Code(0));
}

#[tokio::test]
async fn a_companion_is_talked_with() {
    let mut companion = Companion::start(&cmd(&[READ])).unwrap();
    assert!(companion.handle.is_alive());
    companion.stdin.line("hello").await.unwrap();
    drop(companion.stdin);
    let line = companion.stdout.line().await.unwrap().unwrap();
    assert_eq!(line.trim_ascii(), b"got:hello");
    assert_eq!(companion.stdout.line().await.unwrap(), None);
    let exit = companion.handle.end(Duration::from_secs(60)).await;
    assert_eq!(exit.unwrap(), Exit::Code(0));
}

#[tokio::test]
async fn a_dropped_companion_is_gone() {
    let Companion {
        mut stdout, handle, ..
    } = Companion::start(&cmd(&[&format!("echo begun& {SLEEP}")])).unwrap();
    assert!(stdout.line().await.unwrap().is_some());
    drop(handle);
    assert_eq!(stdout.line().await.unwrap(), None);
}

#[test]
fn the_machine_tells_of_itself() {
    assert!(Capacity::of_this_machine().memory_bytes > 64 << 20);
    let reading = Sources::default().read();
    assert!(reading.available.unwrap() <= reading.total.unwrap());
    assert_eq!(signal_number("SIGKILL"), None);
    let path = &base_environment()["PATH"];
    assert!(find_program("cmd", path).is_some());
    assert!(find_program("cmd.exe", path).is_some());
}
