//! What control groups do for actions, with real ones as far as this machine has them.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::world::{World, processes_with, shell};
use tokio_util::sync::CancellationToken;
use zako_action::{ExecuteError, Executor, Exit, Isolation, NoSink, OutputSink, Stream};
use zako_exec::{Census, ControlGroups, Sources, capabilities};

/// Long enough for a loaded machine: only what never ends takes that long.
const LIMIT: Duration = Duration::from_secs(60);

/// Those at which nothing but a control group knows of a process that has left its process group.
const LEVELS: [Isolation; 2] = [Isolation::None, Isolation::Basic];

/// A world whose actions have control groups, and where these are; `None`, with the reason printed, where that can't be.
fn world() -> Option<(World, ControlGroups, PathBuf)> {
    let mut w = World::new(&[])?;
    if let Err(lack) = capabilities(&w.workspace.join(".zako/probe")).groups.place {
        println!("skipped: no control groups: {lack} ({})", lack.cure);
        return None;
    }
    let groups = ControlGroups::new();
    let base = groups.capabilities().place.unwrap();
    w.executor = w.executor.clone().with_groups(groups.clone());
    Some((w, groups, base))
}

/// Groups of actions that are there.
fn count(base: &std::path::Path) -> usize {
    std::fs::read_dir(base.join("plain"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir())
        .count()
}

#[tokio::test]
async fn daemons_end_with_the_action_without_walls() {
    let Some((w, groups, base)) = world() else {
        return;
    };
    for level in LEVELS {
        let mark = format!("zako-group-{level:?}-{}", std::process::id());
        let script = "mkfifo $TMPDIR/up; (setsid sh -c 'trap \"\" TERM HUP INT; (setsid sleep 3600 &); echo up > $TMPDIR/up; sleep 3600' >/dev/null 2>&1 &); \
                      read up < $TMPDIR/up; cat /proc/self/cgroup";
        let mut spec = shell(script, &[], &[]);
        spec.env.insert("MARK".to_owned(), mark.clone());
        let executed = w.run_at(spec, level).await.unwrap();
        assert_eq!(executed.exit, Exit::Code(0));
        let name = base.file_name().unwrap().to_str().unwrap();
        let printed = w.printed(&executed);
        assert!(printed.contains(name), "{printed}");
        assert_eq!(processes_with(&mark), [""; 0], "nobody is left");
        // One that was killed is not used again, else the next action has the group of the one before.
        for _ in 0..3 {
            let executed = w.run_at(shell("true", &[], &[]), level).await;
            assert!(executed.unwrap().succeeded());
        }
        assert!(count(&base) <= 2, "{}", count(&base));
    }
    drop((w, groups));
    assert!(
        !base.exists(),
        "the groups are gone with the last who has them"
    );
}

/// Says everything, and tells when it has seen two words.
struct Until(tokio::sync::Notify, Mutex<String>);

impl OutputSink for Until {
    fn write(&self, _stream: Stream, chunk: &[u8]) {
        let mut all = self.1.lock().unwrap();
        all.push_str(&String::from_utf8_lossy(chunk));
        if all.matches("up\n").count() == 2 {
            self.0.notify_one();
        }
    }
}

#[tokio::test]
async fn daemons_are_counted_and_have_the_grace_too() {
    let Some((w, _groups, _base)) = world() else {
        return;
    };
    for level in LEVELS {
        let census = Census::default();
        let executor = w.executor.clone().with_census(census.clone());
        let executor = executor.with_grace(Duration::from_secs(3600));
        let hold = "x=$(head -c 12582912 /dev/zero | tr '\\0' x)";
        let wait = "trap \"echo bye; exit\" TERM; echo up; while :; do sleep 0.01; done";
        // Its parent is gone, and it is in a session of its own: nothing but the group is left.
        let script = format!(
            "(setsid sh -c '{}; {wait}' &); {wait}",
            hold.replace('\'', "'\\''")
        );
        let job = w.job(shell(&script, &[], &[]), level);
        let cancel = CancellationToken::new();
        let sink = Until(tokio::sync::Notify::new(), Mutex::default());
        let look = async {
            sink.0.notified().await;
            let pulses = census.pulses(&Sources::default());
            cancel.cancel();
            pulses
        };
        let (ended, pulses) = tokio::join!(executor.execute(&job, &sink, &cancel), look);
        assert!(matches!(ended, Err(ExecuteError::Cancelled)));
        assert!(pulses[0].1.resident_bytes >= 12 << 20, "{pulses:?}");
        let printed = sink.1.into_inner().unwrap();
        assert_eq!(printed.matches("bye").count(), 2, "{printed}");
    }
}

#[tokio::test]
async fn a_dropped_action_takes_its_daemons_along() {
    let Some((w, groups, base)) = world() else {
        return;
    };
    let mark = format!("zako-group-dropped-{}", std::process::id());
    let script = "(setsid sh -c 'echo up; sleep 3600' &); echo up; sleep 3600";
    let mut spec = shell(script, &[], &[]);
    spec.env.insert("MARK".to_owned(), mark.clone());
    let job = w.job(spec, Isolation::Basic);
    let sink = Until(tokio::sync::Notify::new(), Mutex::default());
    let cancel = CancellationToken::new();
    tokio::select! {
        ended = w.executor.execute(&job, &sink, &cancel) => panic!("it does not end: {ended:?}"),
        () = sink.0.notified() => {}
    }
    let began = Instant::now();
    while !processes_with(&mark).is_empty() {
        // Whoever was killed takes a moment to go.
        assert!(began.elapsed() < LIMIT, "{:?}", processes_with(&mark));
        tokio::task::yield_now().await;
    }
    drop((w, groups));
    while base.exists() {
        // The thread that collects the leader has the group as well.
        assert!(began.elapsed() < LIMIT, "{} is there", base.display());
        tokio::task::yield_now().await;
    }
}

/// Not to be had where control groups of version 1 have the controllers.
#[tokio::test]
async fn memory_and_processes_of_a_whole_action_are_limited() {
    let Some((w, groups, _base)) = world() else {
        return;
    };
    if let Err(lack) = groups.capabilities().limits {
        println!(
            "skipped: no limits by control groups: {lack} ({})",
            lack.cure
        );
        return;
    }
    let mut spec = shell("head -c 90000000 /dev/zero | tail -n 1 | wc -c", &[], &[]);
    spec.resources.memory = Some(32 << 20);
    let executed = w.run_at(spec.clone(), Isolation::Maximum).await.unwrap();
    assert_eq!(executed.exit, Exit::Signal(9));
    spec.resources.memory = Some(512 << 20);
    let executed = w.run_at(spec, Isolation::Maximum).await.unwrap();
    assert_eq!(executed.exit, Exit::Code(0));
    let peak = executed.usage.max_rss_bytes;
    assert!((90_000_000..512 << 20).contains(&peak), "{peak}");
    let script = "i=0; while [ $i -lt 200 ]; do sleep 3600 & i=$((i+1)); done";
    let executor = w.executor.clone().with_max_tasks(100);
    let job = w.job(shell(script, &[], &[]), Isolation::Maximum);
    let cancel = CancellationToken::new();
    let executed = executor.execute(&job, &NoSink, &cancel).await.unwrap();
    let printed = w.printed(&executed);
    assert!(printed.contains("fork"), "{:?}: {printed}", executed.exit);
}
