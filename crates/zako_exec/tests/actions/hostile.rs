//! Actions that do what they should not, behind walls: after each, nothing of it is left and the workspace is as it was.

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::world::{World, is_alone, mounts, processes_with, shell};
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionSpec, ExecuteError, Executed, Executor, Exit, Isolation, OutputSink, Stream,
};
use zako_exec::{Attributes, Limits, Process};

const LEVELS: [Isolation; 2] = [Isolation::Enhanced, Isolation::Maximum];

/// A word that no other test has, for finding what an action left.
fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("zako-hostile-{}-{next}", std::process::id())
}

/// Runs it with the mark in its environment, and checks that no process, mount or file is left.
async fn check(
    w: &World,
    mut spec: ActionSpec,
    level: Isolation,
) -> (Result<Executed, ExecuteError>, String) {
    let mark = mark();
    spec.env.insert("MARK".to_owned(), mark.clone());
    let (files, mounted) = (w.files(), mounts(&w.workspace));
    let result = w.run_at(spec, level).await;
    assert_eq!(processes_with(&mark), [""; 0], "nobody is left");
    assert_eq!(mounts(&w.workspace), mounted);
    assert_eq!(w.files(), files);
    let printed = result
        .as_ref()
        .map(|executed| w.printed(executed))
        .unwrap_or_default();
    w.executor
        .clean(&w.job(shell("true", &[], &[]), level))
        .unwrap();
    (result, printed)
}

fn exit(result: &Result<Executed, ExecuteError>) -> Exit {
    result.as_ref().unwrap().exit
}

#[tokio::test]
async fn daemons_end_with_the_action() {
    let Some(w) = World::new(&[]) else { return };
    for level in LEVELS {
        let script = "(setsid sh -c 'trap \"\" TERM HUP INT; (setsid sleep 3600 &) ; sleep 3600' >/dev/null 2>&1 &) ; echo done";
        let (result, printed) = check(&w, shell(script, &[], &[]), level).await;
        assert_eq!((exit(&result), printed.as_str()), (Exit::Code(0), "done\n"));
    }
}

/// A daemon that holds the pipes open does not hold the action up.
#[tokio::test]
async fn a_daemon_with_our_pipes_is_not_waited_for() {
    let Some(w) = World::new(&[]) else { return };
    let script = "(setsid sh -c 'sleep 3600' &) ; echo done";
    let (result, printed) = check(&w, shell(script, &[], &[]), Isolation::Enhanced).await;
    assert_eq!((exit(&result), printed.as_str()), (Exit::Code(0), "done\n"));
}

#[tokio::test]
async fn zombies_are_collected() {
    let Some(w) = World::new(&[]) else { return };
    // Orphans end while it runs, and PID 1 collects them: none is to be seen.
    let script = "for i in 1 2 3 4 5 6 7 8 9; do (sh -c 'exit 1' & ) ; done; \
                  i=0; while grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do i=$((i+1)); test $i -lt 10000; done; echo clean";
    let (result, printed) = check(&w, shell(script, &[], &[]), Isolation::Enhanced).await;
    assert_eq!(exit(&result), Exit::Code(0), "{printed}");
    assert!(printed.ends_with("clean\n"), "{printed}");
}

#[tokio::test]
async fn ignoring_everything_does_not_help_against_a_time_out() {
    let Some(w) = World::new(&[]) else { return };
    for script in [
        "trap '' TERM INT HUP; setsid sleep 3600 & while :; do sleep 1; done",
        "exec >&- 2>&-; trap '' TERM; while :; do sleep 1; done",
        "while :; do echo forever; done",
        "kill -STOP $$",
    ] {
        let mut spec = shell(script, &[], &[]);
        spec.timeout = Some(Duration::from_millis(300));
        let (result, _) = check(&w, spec, Isolation::Enhanced).await;
        assert!(
            matches!(exit(&result), Exit::TimedOut { .. }),
            "{script}: {result:?}"
        );
    }
}

#[tokio::test]
async fn sigterm_reaches_everybody_and_leaves_time() {
    let Some(w) = World::new(&[]) else { return };
    struct Until(CancellationToken, parking_lot::Mutex<Vec<u8>>);
    impl OutputSink for Until {
        fn write(&self, _stream: Stream, chunk: &[u8]) {
            let mut all = self.1.lock();
            all.extend_from_slice(chunk);
            if String::from_utf8_lossy(&all).matches("up\n").count() == 2 {
                self.0.cancel();
            }
        }
    }
    let each = "trap \"echo bye; exit\" TERM; echo up; while :; do sleep 0.01; done";
    let script = format!("setsid sh -c '{each}' & {each}");
    let job = w.job(shell(&script, &[], &[]), Isolation::Enhanced);
    let executor = w.executor.clone().with_grace(Duration::from_secs(3600));
    let cancel = CancellationToken::new();
    let sink = Until(cancel.clone(), parking_lot::Mutex::default());
    let result = executor.execute(&job, &sink, &cancel).await;
    assert!(matches!(result, Err(ExecuteError::Cancelled)));
    let printed = String::from_utf8(sink.1.into_inner()).unwrap();
    assert_eq!(
        printed.matches("bye").count(),
        2,
        "a daemon has the grace too: {printed}"
    );
}

#[tokio::test]
async fn a_fork_bomb_goes_with_its_action() {
    let Some(w) = World::new(&[]) else { return };
    let script = "ulimit -u 200; b() { b | b & b & sleep 3600; }; b 2>/dev/null; sleep 3600";
    let mut spec = shell(script, &[], &[]);
    spec.timeout = Some(Duration::from_millis(700));
    let (result, _) = check(&w, spec, Isolation::Enhanced).await;
    assert!(
        matches!(exit(&result), Exit::TimedOut { .. } | Exit::Code(_)),
        "{result:?}"
    );
}

#[tokio::test]
async fn inputs_and_the_machine_are_out_of_reach() {
    let Some(w) = World::new(&[
        ("a/in", "in"),
        ("a/other", "other"),
        ("zako-out/x", "built"),
    ]) else {
        return;
    };
    let inside = w.workspace.display().to_string();
    let script = format!(
        "rm -rf a zako-out; mkdir -p a; echo bad > a/in; chmod -R 777 . ; echo bad > a/other; ln -s /etc/passwd a/link; \
         mkdir -p {inside}/a; echo bad > {inside}/a/in; echo bad > /usr/bad; echo bad > /etc/passwd; mount -t tmpfs x /usr; umount /workspace; \
         mount -o remount,rw /usr; chmod 777 /usr/bin; cat a/in"
    );
    for level in LEVELS {
        let mut spec = shell(
            &script.replace("; ", " || true; "),
            &["a/in", "zako-out/x"],
            &[],
        );
        spec.inputs.sort();
        let (result, printed) = check(&w, spec, level).await;
        assert_eq!(exit(&result), Exit::Code(0), "{printed}");
        assert!(printed.starts_with("bad\n"), "{printed}");
        assert!(!std::path::Path::new("/usr/bad").exists());
    }
}

#[tokio::test]
async fn odd_files_are_thrown_away_or_refused() {
    let Some(w) = World::new(&[]) else { return };
    let deep = "d/".repeat(300);
    let script = format!(
        "mkfifo fifo; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")' 2>/dev/null || true; \
         touch \"$(printf 'new\\nline')\" \"$(printf 'bad\\377utf8')\"; mkdir -p {deep}; touch {deep}x; \
         mkdir locked; touch locked/x; chmod 000 locked; mkdir -p $TMPDIR/l/m; chmod 000 $TMPDIR/l; touch zako-out/o"
    );
    for level in LEVELS {
        let (result, printed) = check(&w, shell(&script, &[], &["zako-out/o"]), level).await;
        assert_eq!(exit(&result), Exit::Code(0), "{printed}");
        // As outputs they are errors that say what they are.
        let spec = shell("rm -f zako-out/o; mkfifo zako-out/o", &[], &["zako-out/o"]);
        let error = check(&w, spec, level).await.0.unwrap_err().to_string();
        assert!(error.contains("special file"), "{error}");
        let spec = shell(
            "mkdir o; touch \"o/$(printf 'bad\\377utf8')\"",
            &[],
            &["o/"],
        );
        let error = check(&w, spec, level).await.0.unwrap_err().to_string();
        assert!(error.contains("bad"), "{error}");
        let spec = shell("mkdir o; mkfifo o/fifo", &[], &["o/"]);
        assert!(check(&w, spec, level).await.0.is_err());
    }
}

async fn limited(script: &str, limits: Limits) -> (Exit, String) {
    let mut process = Process::new("/bin/sh", "/");
    process.args = vec!["-c".into(), script.into()];
    process
        .env
        .insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    process.attributes.limits = limits;
    let mut printed = Vec::new();
    let finished = process
        .run(
            &mut |_, bytes| {
                printed.extend_from_slice(bytes);
                ControlFlow::Continue(())
            },
            &CancellationToken::new(),
        )
        .await
        .unwrap();
    (
        finished.exit,
        String::from_utf8_lossy(&printed).into_owned(),
    )
}

#[tokio::test]
async fn limits_hold() {
    let address_space = Some(200 << 20);
    let limits = Limits {
        address_space,
        ..Limits::default()
    };
    let (ended, printed) = limited("dd if=/dev/zero of=/dev/null bs=400M count=1", limits).await;
    assert!(
        ended != Exit::Code(0) && printed.contains("memory exhausted"),
        "{ended:?} {printed}"
    );

    let limits = Limits {
        file_size: Some(1 << 20),
        ..Limits::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large");
    let (ended, _) = limited(
        &format!("head -c 10000000 /dev/zero > {}", large.display()),
        limits,
    )
    .await;
    assert_ne!(ended, Exit::Code(0));
    assert_eq!(fs::metadata(large).unwrap().len(), 1 << 20);

    let limits = Limits {
        cpu_seconds: Some(1),
        ..Limits::default()
    };
    let (ended, _) = limited("while :; do :; done", limits).await;
    assert!(
        matches!(ended, Exit::Signal(24 | 9)),
        "SIGXCPU, or SIGKILL: {ended:?}"
    );

    let limits = Limits {
        open_files: Some(17),
        core: Some(0),
        ..Limits::default()
    };
    assert_eq!(limited("ulimit -n; ulimit -c", limits).await.1, "17\n0\n");
}

#[tokio::test]
async fn umask_nice_and_affinity_are_set() {
    let mut process = Process::new("/bin/sh", "/");
    process.args = vec![
        "-c".into(),
        "umask; nice; grep Cpus_allowed_list /proc/self/status".into(),
    ];
    process
        .env
        .insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    let own = fs::read_to_string("/proc/self/stat").unwrap();
    let own: i32 = own
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(16)
        .unwrap()
        .parse()
        .unwrap();
    // Not every processor is for everybody.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.split_once("Cpus_allowed_list:").unwrap().1.trim();
    let first = allowed.split(|c: char| !c.is_ascii_digit()).next();
    let cpu: usize = first.unwrap().parse().unwrap();
    process.attributes = Attributes {
        umask: Some(0o027),
        nice: Some((own + 3).min(19)),
        affinity: vec![cpu],
        ..Attributes::default()
    };
    let mut printed = Vec::new();
    let mut receive = |_, bytes: &[u8]| {
        printed.extend_from_slice(bytes);
        ControlFlow::Continue(())
    };
    process
        .run(&mut receive, &CancellationToken::new())
        .await
        .unwrap();
    let expected = format!("0027\n{}\nCpus_allowed_list:\t{cpu}\n", (own + 3).min(19));
    assert_eq!(String::from_utf8(printed).unwrap(), expected);
}

/// Stored, and never held: the peak of this process grows by far less than what passes. That is 600 MB, or as many as
/// `ZAKO_TEST_OUTPUT_MB` says: 2048 takes some seconds, and the disk for it.
#[tokio::test]
async fn a_large_output_is_stored_and_not_held() {
    const USUAL: u64 = 600;
    if !is_alone("hostile::a_large_output_is_stored_and_not_held") {
        return;
    }
    let megabytes = std::env::var("ZAKO_TEST_OUTPUT_MB");
    let bytes = megabytes.map_or(USUAL, |said| said.parse().unwrap()) << 20;
    let Some(w) = World::new(&[]) else { return };
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            << 10
    };
    let before = peak();
    let script = format!("head -c {bytes} /dev/zero");
    let executed = w.run(shell(&script, &[], &[])).await.unwrap();
    let more = peak() - before;
    println!("{} MB more at the peak", more >> 20);
    assert_eq!(executed.stdout.size, bytes);
    assert!(more < 200 << 20, "{more} bytes more");
}

/// A small generator of numbers that are the same in each run.
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A thousand times cancelled at moments from before the start to past the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_cancels_leave_nothing() {
    if !is_alone("hostile::a_thousand_cancels_leave_nothing") {
        return;
    }
    let Some(w) = World::new(&[("a/in", "in")]) else {
        return;
    };
    let mark = mark();
    let (mut state, mut cancelled) = (42, 0);
    let mut first = None;
    for round in 0..1000 {
        let script = "sh -c 'sleep 3600 & wait' & (setsid sleep 3600 &); cat a/in > $out; test $((RANDOM_NUMBER % 3)) = 0 || sleep 3600";
        let level = if next(&mut state).is_multiple_of(4) {
            Isolation::Basic
        } else {
            Isolation::Enhanced
        };
        let script = match level {
            // Without walls a daemon that leaves its group can't be found.
            Isolation::Basic => script.replace("(setsid sleep 3600 &);", ""),
            _ => script.to_owned(),
        };
        let mut spec = shell(
            &script.replace("RANDOM_NUMBER", &next(&mut state).to_string()),
            &["a/in"],
            &["zako-out/o"],
        );
        spec.env.insert("MARK".to_owned(), mark.clone());
        let job = w.job(spec, level);
        let cancel = CancellationToken::new();
        let executor = w
            .executor
            .clone()
            .with_grace(Duration::from_millis(next(&mut state) % 3));
        let moment = Duration::from_micros(next(&mut state) % 6000);
        let stop = async {
            tokio::time::sleep(moment).await;
            cancel.cancel();
        };
        let (result, ()) =
            tokio::join!(executor.execute(&job, &zako_action::NoSink, &cancel), stop);
        cancelled += usize::from(matches!(result, Err(ExecuteError::Cancelled)));
        if round == 20 {
            first = Some(descriptors());
        }
    }
    assert!(cancelled > 100, "{cancelled}");
    let start = Instant::now();
    while descriptors() > first.unwrap() + 4 || !processes_with(&mark).is_empty() {
        // What was dropped is collected by threads of its own.
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{} descriptors, {:?}",
            descriptors(),
            processes_with(&mark)
        );
        tokio::task::yield_now().await;
    }
    w.executor
        .clean(&w.job(shell("true", &[], &[]), Isolation::Basic))
        .unwrap();
    let left: Vec<_> = fs::read_dir(w.workspace.join(".zako/exec"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(left, ["shared"]);
    assert_eq!(w.files(), [("a/in".to_owned(), "in".to_owned())]);
}
