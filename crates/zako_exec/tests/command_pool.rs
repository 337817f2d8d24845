//! The command pool with real processes and real threads.
// The programs that it runs are shells; see `windows.rs`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use zako_action::{Exit, Stream};
use zako_exec::{
    Capacity, Command, CommandError, CommandId, CommandObserver, CommandPool, CommandPoolOptions,
    CommandResult, InProcess, NoObserver, Priority, Processes, Request, RetryCauses, RetryPolicy,
    Sources, SubmitError,
};

fn options(concurrency: usize) -> CommandPoolOptions {
    CommandPoolOptions {
        concurrency,
        capacity: Capacity {
            cpu_millis: 8000,
            memory_bytes: 1000,
            network_slots: 1,
            named: [("gpu".to_owned(), 1)].into(),
        },
        watch: None,
        seed: 7,
    }
}

fn sh(script: &str) -> Command {
    Command::new("sh", "/").args(["-eu", "-c", script])
}

/// Tells what it is told as text.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl CommandObserver for Told {
    fn started(&self, id: CommandId, _: &Command, attempt: u32) {
        self.0
            .lock()
            .unwrap()
            .push(format!("{} started {attempt}", id.0));
    }
    fn line(&self, id: CommandId, _: &Command, stream: Stream, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        self.0
            .lock()
            .unwrap()
            .push(format!("{} {stream:?} {line}", id.0));
    }
    fn ended(&self, _: &Command, result: &CommandResult) {
        let succeeded = result.succeeded();
        self.0
            .lock()
            .unwrap()
            .push(format!("{} ended {succeeded}", result.id.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_order_and_once() {
    let told = Arc::new(Told::default());
    let pool = CommandPool::new(options(1), Arc::new(Processes), told.clone());
    let result = pool
        .submit(sh("echo one; echo two; printf three"))
        .unwrap()
        .ended()
        .await;
    assert!(result.succeeded());
    assert_eq!(result.attempts, 1);
    pool.submit(sh("exit 3")).unwrap().ended().await;
    pool.drain().await;
    let expected = [
        "1 started 0",
        "1 Stdout one",
        "1 Stdout two",
        "1 Stdout three",
        "1 ended true",
        "2 started 0",
        "2 ended false",
    ];
    assert_eq!(*told.0.lock().unwrap(), expected);
    assert_eq!(pool.submit(sh("true")).unwrap_err(), SubmitError::ShutDown);
}

/// Closures that wait for a word each, in a pool with one place: the order in which they begin is the pool's.
#[tokio::test(flavor = "multi_thread")]
async fn priority_then_age() {
    let (order, began) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let closure = InProcess::new(move |command, _, _| {
        order
            .send(command.program.clone().into_string().unwrap())
            .unwrap();
        if command.program == "first" {
            gate.lock().unwrap().recv().unwrap();
        }
        Exit::Code(0)
    });
    let pool = CommandPool::new(options(1), Arc::new(closure), Arc::new(NoObserver));
    let first = pool.submit(Command::new("first", "/")).unwrap();
    assert_eq!(began.recv().unwrap(), "first");
    for (name, priority) in [("low", -1), ("old", 0), ("young", 0), ("high", 5)] {
        pool.submit(Command::new(name, "/").priority(Priority(priority)))
            .unwrap();
    }
    assert_eq!(pool.state().queued, 4);
    go.send(()).unwrap();
    assert!(first.ended().await.succeeded());
    pool.drain().await;
    assert_eq!(
        began.try_iter().collect::<Vec<_>>(),
        ["high", "old", "young", "low"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_slots_and_resources_allow() {
    let counts: Arc<Mutex<BTreeMap<String, (usize, usize)>>> = Arc::default();
    let its = Arc::clone(&counts);
    let closure = InProcess::new(move |command, _, _| {
        let name = command.program.clone().into_string().unwrap();
        let change = |by: isize| {
            let mut counts = its.lock().unwrap();
            for name in [name.as_str(), "all"] {
                let (now, most) = counts.entry(name.to_owned()).or_default();
                *now = now.checked_add_signed(by).unwrap();
                *most = (*most).max(*now);
            }
        };
        change(1);
        std::thread::yield_now();
        change(-1);
        Exit::Code(0)
    });
    let pool = CommandPool::new(options(3), Arc::new(closure), Arc::new(NoObserver));
    for _ in 0..100 {
        let gpu = Request {
            named: [("gpu".to_owned(), 1)].into(),
            ..Request::default()
        };
        pool.submit(Command::new("gpu", "/").resources(gpu))
            .unwrap();
        pool.submit(Command::new("cpu", "/")).unwrap();
    }
    pool.drain().await;
    let counts = counts.lock().unwrap();
    assert_eq!(counts["gpu"], (0, 1));
    assert!((1..=3).contains(&counts["all"].1), "{counts:?}");
    assert_eq!(pool.state().ended, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_run_is_refused() {
    let pool = CommandPool::of_processes(options(1));
    let none = Request {
        named: [("gpus".to_owned(), 1)].into(),
        ..Request::default()
    };
    let error = pool.submit(sh("true").resources(none)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no resource named `gpus`, did you mean `gpu`?"
    );
    let result = pool
        .submit(Command::new("no-such-program", "/"))
        .unwrap()
        .ended()
        .await;
    assert!(
        matches!(result.outcome, Err(CommandError::Process(_))),
        "{result:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_for_named_causes_only() {
    let dir = tempfile::tempdir().unwrap();
    let policy = RetryPolicy {
        causes: RetryCauses {
            codes: vec![75],
            ..RetryCauses::default()
        },
        first_pause: Duration::from_millis(1),
        ..RetryPolicy::default().with_retries(5)
    };
    let pool = CommandPool::of_processes(options(1));
    let script = "echo x >> tries; test $(wc -l < tries) -ge 3 || exit 75";
    let flaky = Command {
        dir: dir.path().to_owned(),
        ..sh(script)
    }
    .retry(policy.clone());
    let result = pool.submit(flaky).unwrap().ended().await;
    assert!(result.succeeded());
    assert_eq!(result.attempts, 3);
    let result = pool
        .submit(sh("exit 1").retry(policy.clone()))
        .unwrap()
        .ended()
        .await;
    assert_eq!(
        (result.attempts, result.outcome.unwrap()),
        (1, Exit::Code(1))
    );
    let result = pool
        .submit(sh("exit 75").retry(policy))
        .unwrap()
        .ended()
        .await;
    assert_eq!(
        (result.attempts, result.outcome.unwrap()),
        (6, Exit::Code(75))
    );
}

/// A machine that has run out of memory, as it says in files: what wants some waits, what wants none does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_wants_memory_waits_until_the_machine_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let say = |available: u64| {
        let text = format!("MemTotal: 1000000 kB\nMemAvailable: {available} kB\n");
        fs::write(dir.path().join("next"), text).unwrap();
        fs::rename(dir.path().join("next"), dir.path().join("meminfo")).unwrap();
    };
    say(1);
    let sources = Sources::at(dir.path(), dir.path(), std::process::id());
    let mut options = options(4);
    options.capacity.memory_bytes = 1 << 30;
    options.watch = Some(sources);
    let pool = CommandPool::of_processes(options);
    assert_eq!(pool.state().weather, None);
    let wants = |script: &str| Command {
        dir: dir.path().to_owned(),
        ..sh(script).resources(Request {
            memory_bytes: 1 << 20,
            ..Request::default()
        })
    };
    // Something may run whatever the machine says.
    let first = wants("mkfifo gate; echo > begun; read -r line < gate");
    let first = pool.submit(first).unwrap();
    while !dir.path().join("begun").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(
        pool.state().weather.map(|weather| weather.headroom),
        Some(0)
    );
    let second = pool.submit(wants(":").priority(Priority(1))).unwrap();
    // The second one is looked at before this one is.
    assert!(pool.submit(sh(":")).unwrap().ended().await.succeeded());
    assert_eq!(pool.state().queued, 1);
    say(900_000);
    // It ends while the first one still runs.
    assert!(second.ended().await.succeeded());
    fs::write(
        dir.path().join("gate"),
        "go
",
    )
    .unwrap();
    assert!(first.ended().await.succeeded());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_or_all_are_cancelled_in_the_queue_and_running() {
    let dir = tempfile::tempdir().unwrap();
    let pool = CommandPool::of_processes(options(1));
    let at = |script: &str| Command {
        dir: dir.path().to_owned(),
        ..sh(script)
    };
    let running = pool
        .submit(at("echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 1000"))
        .unwrap();
    let queued = pool.submit(at("touch ran")).unwrap();
    let last = pool.submit(at("touch ran")).unwrap();
    while !dir.path().join("pid").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    queued.cancel();
    let queued = queued.ended().await;
    assert!(matches!(queued.outcome, Err(CommandError::Cancelled)));
    assert_eq!(queued.attempts, 0);
    assert_eq!((pool.state().running, pool.state().queued), (1, 1));
    pool.cancel_all();
    assert!(matches!(
        running.ended().await.outcome,
        Err(CommandError::Cancelled)
    ));
    assert!(matches!(
        last.ended().await.outcome,
        Err(CommandError::Cancelled)
    ));
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
    assert!(!dir.path().join("ran").exists());
    // Others may follow.
    assert!(pool.submit(sh("true")).unwrap().ended().await.succeeded());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_pool_cancels_all() {
    let pool = CommandPool::of_processes(options(1));
    let handles: Vec<_> = (0..5)
        .map(|_| pool.submit(sh("exec sleep 1000")).unwrap())
        .collect();
    drop(pool);
    for handle in handles {
        assert!(matches!(
            handle.ended().await.outcome,
            Err(CommandError::Cancelled)
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closures_print_time_out_and_may_panic() {
    let told = Arc::new(Told::default());
    let closure = InProcess::new(|command, say, stop| {
        let name = command.program.to_str().unwrap();
        say(Stream::Stdout, name);
        match name {
            "late" => futures::executor::block_on(stop.cancelled()),
            "bad" => panic!("as a test"),
            _ => {}
        }
        Exit::Code(0)
    });
    let pool = CommandPool::new(options(2), Arc::new(closure), told.clone());
    let limit = Duration::from_millis(5);
    let late = pool
        .submit(Command::new("late", "/").timeout(limit))
        .unwrap()
        .ended()
        .await;
    assert_eq!(late.outcome.unwrap(), Exit::TimedOut { after: limit });
    let bad = pool.submit(Command::new("bad", "/")).unwrap().ended().await;
    assert_eq!(
        bad.outcome.unwrap_err().to_string(),
        "it panicked: as a test"
    );
    let good = pool
        .submit(Command::new("good", "/"))
        .unwrap()
        .ended()
        .await;
    assert!(good.succeeded());
    let told = told.0.lock().unwrap();
    assert!(
        told.contains(&"1 Stdout late".to_owned()) && told.contains(&"3 Stdout good".to_owned()),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_producers_lose_nothing() {
    let ran = Arc::new(AtomicUsize::new(0));
    let its = Arc::clone(&ran);
    let closure = InProcess::new(move |_, _, _| {
        its.fetch_add(1, Ordering::Relaxed);
        Exit::Code(0)
    });
    let pool = CommandPool::new(options(4), Arc::new(closure), Arc::new(NoObserver));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..250).for_each(|_| drop(pool.submit(Command::new("x", "/")).unwrap()))
            });
        }
    });
    pool.drain().await;
    assert_eq!(
        (ran.load(Ordering::Relaxed), pool.state().ended),
        (1000, 1000)
    );
    assert_eq!((pool.state().running, pool.state().queued), (0, 0));
}
