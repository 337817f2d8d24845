//! Real processes: streams, ends, and that nothing is left behind.
// The programs that it runs are shells; see `windows.rs`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use zako_action::{Exit, Stream};
use zako_exec::{FIXED_PATH, Finished, Process, ProcessError, ProcessStdin};

/// Far longer than any test: what should not happen is not waited for.
const NEVER: Duration = Duration::from_secs(3600);

fn process(program: &str, args: &[&str]) -> Process {
    let mut process = Process::new(program, "/");
    process.args = args.iter().map(Into::into).collect();
    process.env = BTreeMap::from([("PATH".to_owned(), FIXED_PATH.to_owned())]);
    process
}

fn sh(script: &str) -> Process {
    process("sh", &["-eu", "-c", script])
}

struct Ran {
    result: Result<Finished, ProcessError>,
    out: String,
    err: String,
}

impl Ran {
    fn exit(&self) -> Exit {
        self.result.as_ref().unwrap().exit
    }

    fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }

    /// The number in the first line of the output.
    fn pid(&self) -> i32 {
        self.out.lines().next().unwrap().parse().unwrap()
    }
}

async fn run(process: Process) -> Ran {
    run_until(process, "never printed").await
}

/// Cancels once `word` has come on either stream.
async fn run_until(process: Process, word: &str) -> Ran {
    let cancel = CancellationToken::new();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut receive = |stream, bytes: &[u8]| {
        let all = match stream {
            Stream::Stdout => &mut out,
            Stream::Stderr => &mut err,
        };
        all.extend_from_slice(bytes);
        if String::from_utf8_lossy(all).contains(word) {
            cancel.cancel();
        }
        ControlFlow::Continue(())
    };
    let result = process.run(&mut receive, &cancel).await;
    Ran {
        result,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// The processes of a group that still run; a zombie that nobody has collected does not.
#[cfg(target_os = "linux")]
fn alive(group: i32) -> Vec<i32> {
    let mut alive = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // pid (name, which may hold anything) state parent group … — proc_pid_stat(5)
        let after = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after.split_whitespace().collect();
        if fields[2] == group.to_string() && !matches!(fields[0], "Z" | "X") {
            alive.push(stat.split(' ').next().unwrap().parse().unwrap());
        }
    }
    alive
}

#[cfg(not(target_os = "linux"))]
fn alive(_group: i32) -> Vec<i32> {
    Vec::new()
}

/// A killed process takes a moment to go; this waits for it, with a bound.
fn assert_gone(group: i32) {
    let start = Instant::now();
    while !alive(group).is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "left behind: {:?}",
            alive(group)
        );
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn both_streams_and_the_code_come_back() {
    let ran = run(sh("echo one; echo two >&2; echo three; exit 7")).await;
    assert_eq!(
        (ran.exit(), ran.out.as_str(), ran.err.as_str()),
        (Exit::Code(7), "one\nthree\n", "two\n")
    );
}

#[tokio::test]
async fn a_signal_is_not_a_code() {
    assert_eq!(run(sh("kill -9 $$")).await.exit(), Exit::Signal(9));
}

#[tokio::test]
async fn the_environment_is_what_was_declared() {
    let mut process = process("/usr/bin/env", &[]);
    process.env = BTreeMap::from([("ONLY".to_owned(), "this".to_owned())]);
    assert_eq!(run(process).await.out, "ONLY=this\n");
}

#[tokio::test]
async fn the_program_sees_the_name_and_folder_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let mut process = sh("echo $0; pwd -P");
    process.arg0 = Some("another".into());
    process.dir = dir.clone();
    assert_eq!(
        run(process).await.out,
        format!("another\n{}\n", dir.display())
    );
}

#[tokio::test]
async fn every_form_of_stdin_is_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in"), "from a file").unwrap();
    let large = vec![b'x'; 3_000_000];
    for (stdin, expected) in [
        (ProcessStdin::Nothing, String::new()),
        (ProcessStdin::File("in".into()), "from a file".to_owned()),
        (
            ProcessStdin::Bytes(large.clone().into()),
            String::from_utf8(large).unwrap(),
        ),
    ] {
        let mut process = process("cat", &[]);
        process.dir = dir.path().to_owned();
        process.stdin = stdin;
        let ran = run(process).await;
        assert_eq!((ran.exit(), ran.out), (Exit::Code(0), expected));
    }
    let mut process = process("cat", &[]);
    process.stdin = ProcessStdin::File("/no/such/file".into());
    assert!(
        run(process)
            .await
            .error()
            .starts_with("cannot open standard input from /no/such/file: No such file")
    );
}

#[tokio::test]
async fn a_hundred_megabytes_pass_in_small_pieces() {
    const SIZE: usize = 100 << 20;
    let (mut total, mut largest) = (0, 0);
    let mut receive = |_, bytes: &[u8]| {
        total += bytes.len();
        largest = largest.max(bytes.len());
        ControlFlow::Continue(())
    };
    let process = process("head", &["-c", &SIZE.to_string(), "/dev/zero"]);
    let finished = process
        .run(&mut receive, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((finished.exit, total), (Exit::Code(0), SIZE));
    assert!(largest <= 64 * 1024);
}

#[tokio::test]
async fn two_full_pipes_do_not_block_each_other() {
    let ran = run(sh(
        "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2",
    ))
    .await;
    assert_eq!(
        (ran.exit(), ran.out.len(), ran.err.len()),
        (Exit::Code(0), 1_000_000, 2_000_000)
    );
}

#[tokio::test]
async fn a_process_may_close_its_outputs_and_go_on() {
    let ran = run(sh(
        "echo $$; exec >&- 2>&-; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; exit 3",
    ))
    .await;
    assert_eq!(ran.exit(), Exit::Code(3));
    assert_gone(ran.pid());
}

#[tokio::test]
async fn a_missing_program_says_where_it_was_looked_for() {
    let ran = run(process("no-such-program", &[])).await;
    assert_eq!(
        ran.error(),
        "program `no-such-program` not found (looked in /usr/local/bin:/usr/bin:/bin)"
    );
    let mut declared = process("sh", &[]);
    declared
        .env
        .insert("PATH".to_owned(), "/no/bin:relative".to_owned());
    assert_eq!(
        run(declared).await.error(),
        "program `sh` not found (looked in /no/bin:relative)"
    );
    let ran = run(process("/no/such/program", &[])).await;
    assert_eq!(
        ran.error(),
        "program `/no/such/program` not found (looked in /no/such/program)"
    );
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tool");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    let start = || {
        let mut process = process("./tool", &[]);
        process.dir = dir.path().to_owned();
        process
    };
    assert!(
        run(start())
            .await
            .error()
            .ends_with("tool`: it is not an executable file")
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        run(start())
            .await
            .error()
            .contains("the interpreter in its first line")
    );
    let mut nowhere = sh("true");
    nowhere.dir = dir.path().join("gone");
    assert!(run(nowhere).await.error().contains("its working directory"));
}

#[tokio::test]
async fn a_time_out_ends_a_process() {
    let mut process = sh("echo $$; sleep 3600");
    process.timeout = Some(Duration::from_millis(100));
    process.grace = NEVER;
    let ran = run(process).await;
    assert_eq!(
        ran.exit(),
        Exit::TimedOut {
            after: Duration::from_millis(100)
        }
    );
    // The shell may have been too slow to print.
    if !ran.out.is_empty() {
        assert_gone(ran.pid());
    }
}

#[tokio::test]
async fn ignoring_sigterm_does_not_help() {
    let mut process = sh("trap '' TERM; echo $$; while :; do sleep 3600; done");
    process.grace = Duration::from_millis(50);
    let ran = run_until(process, "\n").await;
    assert_eq!(ran.error(), "cancelled");
    assert_gone(ran.pid());
}

#[tokio::test]
async fn sigterm_leaves_time_to_clean_up() {
    let mut process = sh("trap 'echo bye; exit 0' TERM; echo $$; while :; do sleep 0.01; done");
    process.grace = NEVER;
    let ran = run_until(process, "\n").await;
    assert_eq!(ran.error(), "cancelled");
    assert!(ran.out.ends_with("bye\n"), "{}", ran.out);
    assert_gone(ran.pid());
}

/// The leader goes at once; a member still has something to say.
#[tokio::test]
async fn members_have_the_grace_too() {
    let script = "sh -c 'trap \"echo member; exit\" TERM; echo up; while :; do sleep 0.01; done' & echo $$; wait";
    let mut process = sh(script);
    process.grace = NEVER;
    let ran = run_until(process, "up\n").await;
    assert_eq!(ran.error(), "cancelled");
    assert!(ran.out.contains("member"), "{}", ran.out);
}

#[tokio::test]
async fn cancelled_before_the_start_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = sh("touch here");
    process.dir = dir.path().to_owned();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let result = process
        .run(&mut |_, _| ControlFlow::Continue(()), &cancel)
        .await;
    assert!(matches!(result, Err(ProcessError::Cancelled)));
    assert!(!dir.path().join("here").exists());
}

#[tokio::test]
async fn what_the_leader_leaves_in_its_group_is_killed() {
    let ran = run(sh(
        "echo $$; sleep 3600 & sh -c 'trap \"\" TERM; sleep 3600; sleep 3600' & exit 0",
    ))
    .await;
    assert_eq!(ran.exit(), Exit::Code(0));
    assert_gone(ran.pid());
}

/// It holds both pipes open from outside of the group; it is not waited for.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_process_that_left_the_group_does_not_hang_us() {
    use rustix::process::{Pid, Signal, kill_process};
    let dir = tempfile::tempdir().unwrap();
    let mut process =
        sh("mkfifo up; setsid sh -c 'echo > up; while :; do echo x; done' & echo $!; read x < up");
    process.dir = dir.path().to_owned();
    let ran = run(process).await;
    kill_process(Pid::from_raw(ran.pid()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(ran.exit(), Exit::Code(0));
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_stops_it() {
    let process = process("yes", &[]);
    let result = process
        .run(
            &mut |_, _| ControlFlow::Break(()),
            &CancellationToken::new(),
        )
        .await;
    assert!(matches!(result, Err(ProcessError::Stopped)));
}

#[tokio::test]
async fn dropping_the_future_kills_the_group() {
    let (up, mut is_up) = tokio::sync::mpsc::unbounded_channel();
    let process = sh("trap '' TERM; sleep 3600 & echo $$; sleep 3600");
    let mut receive = |_, bytes: &[u8]| {
        up.send(
            String::from_utf8_lossy(bytes)
                .trim()
                .parse::<i32>()
                .unwrap(),
        )
        .unwrap();
        ControlFlow::Continue(())
    };
    let cancel = CancellationToken::new();
    let pid = tokio::select! {
        _ = process.run(&mut receive, &cancel) => panic!("it does not end by itself"),
        pid = is_up.recv() => pid.unwrap(),
    };
    assert_gone(pid);
}

fn copy_of_true() -> (tempfile::TempDir, Process, std::fs::File) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tool");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&std::fs::read("/bin/true").unwrap())
        .unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o755))
        .unwrap();
    (dir, Process::new(path, "/"), file)
}

#[tokio::test]
async fn a_busy_executable_is_tried_again() {
    let (_dir, process, open_for_writing) = copy_of_true();
    let cancel = CancellationToken::new();
    let mut receive = |_, _: &[u8]| ControlFlow::Continue(());
    // The first try happens in the first poll, so before the file is closed.
    let (result, ()) =
        tokio::join!(biased; process.run(&mut receive, &cancel), async { drop(open_for_writing) });
    assert_eq!(result.unwrap().exit, Exit::Code(0));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_busy_executable_is_not_tried_for_ever() {
    let (_dir, process, _open_for_writing) = copy_of_true();
    let error = run(process).await.error();
    assert!(error.contains("Text file busy"), "{error}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn what_it_used_is_recorded() {
    // More than this test's own peak, else it could not be told.
    let ran = run(process(
        "dd",
        &["if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"],
    ))
    .await;
    let usage = ran.result.unwrap().usage;
    assert!(usage.max_rss_bytes >= 300 << 20, "{usage:?}");
    assert!(usage.max_rss_bytes < 400 << 20, "{usage:?}");
    assert!(usage.system + usage.user > Duration::ZERO);
    assert!(usage.wall > Duration::ZERO);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn our_own_memory_is_not_taken_for_the_childs() {
    let ran = run(process("true", &[])).await;
    let peak = ran.result.unwrap().usage.max_rss_bytes;
    assert_eq!(
        peak, 0,
        "true is smaller than this test, so its own peak can't be told"
    );
}

/// An action can run again; who started it holds more than that.
#[cfg(walls)]
#[tokio::test]
async fn a_child_is_killed_for_memory_before_others() {
    let ran = run(sh("cat /proc/self/oom_score_adj")).await;
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let number = |text: &str| text.trim().parse::<i32>().unwrap();
    assert!(number(&ran.out) >= number(&own).max(500), "{}", ran.out);
    let unchanged = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(unchanged, own, "although it shared this process's memory");
}
