//! The jobserver with real make and cargo.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use zako_action::Exit;
use zako_exec::{
    Capacity, FIXED_PATH, Grant, JobClient, JobServer, JobSession, JobStyle, Priority, Process,
    Request, ResourcePool, find_program,
};

/// Long enough for a loaded machine: only a deadlock takes that long.
const TIMEOUT: Duration = Duration::from_secs(120);

fn pool(cores: u64) -> ResourcePool {
    ResourcePool::new(Capacity {
        cpu_millis: cores * 1000,
        memory_bytes: 1 << 40,
        network_slots: 0,
        named: [].into(),
    })
}

async fn one_core(pool: &ResourcePool) -> Grant {
    let request = Request {
        cpu_millis: 1000,
        ..Request::default()
    };
    let cancel = CancellationToken::new();
    pool.acquire(&request, Priority(0), &cancel).await.unwrap()
}

/// Runs `argv` in `dir` as a child of `session`; its end and all that it printed.
async fn run(
    session: &JobSession,
    dir: &Path,
    argv: &[&str],
    cancel: &CancellationToken,
) -> Option<(Exit, String)> {
    let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
    let argv = session.wrap(&argv);
    let mut process = Process::new(&argv[0], dir);
    process.args = argv[1..].iter().map(Into::into).collect();
    let path = std::env::var("PATH").unwrap_or_else(|_| FIXED_PATH.to_owned());
    process.env = [
        ("PATH".to_owned(), path),
        ("HOME".to_owned(), std::env::var("HOME").unwrap_or_default()),
        ("MAKEFLAGS".to_owned(), session.makeflags(JobStyle::Pipe)),
    ]
    .into();
    process.timeout = Some(TIMEOUT);
    let mut printed = Vec::new();
    let mut receive = |_, chunk: &[u8]| {
        printed.extend_from_slice(chunk);
        ControlFlow::Continue(())
    };
    let ended = process.run(&mut receive, cancel).await.ok()?;
    Some((ended.exit, String::from_utf8_lossy(&printed).into_owned()))
}

/// Three levels of make, `width` recipes at the lowest of each branch. Each recipe notes its beginning and end in one file.
fn three_levels(dir: &Path, log: &Path, width: usize) {
    let log = log.display();
    let leaves: Vec<String> = (0..width).map(|n| format!("leaf{n}")).collect();
    let leaves = leaves.join(" ");
    let text =
        "all: a b\na b:\n\t+@$(MAKE) --no-print-directory -f low.mk mid NAME=$@\n.PHONY: all a b\n";
    fs::write(dir.join("Makefile"), text).unwrap();
    let text = format!(
        "mid: x y\nx y:\n\t+@$(MAKE) --no-print-directory -f low.mk leaves\nleaves: {leaves}\n\
         {leaves}:\n\t@echo + >> {log}; i=0; while [ $$i -lt 300 ]; do i=$$((i+1)); done; echo - >> {log}\n\
         .PHONY: mid x y leaves {leaves}\n"
    );
    fs::write(dir.join("low.mk"), text).unwrap();
}

/// The most that were running at once, and how many there were.
fn most_at_once(log: &Path) -> (usize, usize) {
    let (mut now, mut most, mut all) = (0usize, 0, 0);
    for line in fs::read_to_string(log).unwrap().lines() {
        match line {
            "+" => (now, all) = (now + 1, all + 1),
            _ => now -= 1,
        }
        most = most.max(now);
    }
    (most, all)
}

fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_else(|_| FIXED_PATH.to_owned());
    let found = find_program(program, &path).is_some();
    if !found {
        println!("skipped: there is no {program} here");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn three_levels_of_make_in_two_actions_never_run_more_than_the_pool_has() {
    if !has("make") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (pool, log) = (pool(3), dir.path().join("log"));
    let server = JobServer::new(pool.clone(), dir.path()).unwrap();
    let runs = ["one", "two"].map(|name| {
        let (pool, server, log) = (pool.clone(), server.clone(), log.clone());
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        three_levels(&dir, &log, 12);
        tokio::spawn(async move {
            let _grant = one_core(&pool).await;
            let session = server.session().unwrap();
            run(&session, &dir, &["make"], &CancellationToken::new())
                .await
                .unwrap()
        })
    });
    for done in runs {
        let (exit, printed) = done.await.unwrap();
        assert_eq!(exit, Exit::Code(0), "{printed}");
        // make says so when it can't use the jobserver and runs one job at a time.
        assert!(!printed.contains("jobserver"), "{printed}");
    }
    let (most, all) = most_at_once(&log);
    assert_eq!(all, 2 * 2 * 2 * 12);
    assert!((1..=3).contains(&most), "{most} recipes ran at once");
    assert_eq!(pool.state().grants, 0);
    assert_eq!(server.lent(), 0);
}

/// Recipes that wait for each other end only when they run at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn nested_jobs_run_at_once_when_the_pool_has_processors_for_them() {
    if !has("make") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = "all: a b c\na:\n\t@echo 1 > ab; cat ca\nb:\n\t@cat ab; echo 2 > bc\nc:\n\t@cat bc; echo 3 > ca\n";
    fs::write(dir.path().join("Makefile"), text).unwrap();
    for fifo in ["ab", "bc", "ca"] {
        nix::unistd::mkfifo(&dir.path().join(fifo), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let pool = pool(3);
    let server = JobServer::new(pool.clone(), dir.path()).unwrap();
    let _grant = one_core(&pool).await;
    let session = server.session().unwrap();
    let (exit, printed) = run(&session, dir.path(), &["make"], &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(exit, Exit::Code(0), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_took_goes_to_whoever_waits_for_the_pool() {
    let dir = tempfile::tempdir().unwrap();
    let pool = pool(3);
    let server = JobServer::new(pool.clone(), dir.path()).unwrap();
    let own = one_core(&pool).await;
    let session = server.session().unwrap();
    assert_eq!(server.lent(), 2);
    // Both are lent, neither is taken: a request is not kept waiting.
    let second = tokio::time::timeout(TIMEOUT, one_core(&pool))
        .await
        .unwrap();
    let third = tokio::time::timeout(TIMEOUT, one_core(&pool))
        .await
        .unwrap();
    assert_eq!(server.lent(), 0);
    drop((second, third, own, session));
    assert_eq!(pool.state().grants, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_killed_child_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let pool = pool(3);
    let server = JobServer::new(pool.clone(), dir.path()).unwrap();
    let own = one_core(&pool).await;
    let session = server.session().unwrap();
    let cancel = CancellationToken::new();
    // Takes both tokens, says so by a file, and keeps them.
    let script = "head -c 2 <&3 > taken.tmp; mv taken.tmp taken; exec sleep 1000";
    let taken = dir.path().join("taken");
    let argv = ["sh", "-c", script];
    let child = run(&session, dir.path(), &argv, &cancel);
    let watch = async {
        while fs::read(&taken).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Nothing is left, and nothing that is taken is taken away.
        assert!(
            pool.try_acquire(&Request {
                cpu_millis: 1,
                ..Request::default()
            })
            .unwrap()
            .is_none()
        );
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(child, watch);
    assert!(ended.is_none(), "it was cancelled");
    assert_eq!(fs::read(&taken).unwrap(), b"++");
    drop((session, own));
    assert_eq!(pool.state().in_use.cpu_millis, 0);
    let all: Vec<Grant> = futures::future::join_all((0..3).map(|_| one_core(&pool))).await;
    assert_eq!(all.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_share_evenly() {
    let dir = tempfile::tempdir().unwrap();
    let pool = pool(8);
    let server = JobServer::new(pool.clone(), dir.path()).unwrap();
    let first = server.session().unwrap();
    assert_eq!(server.lent(), 8);
    let second = server.session().unwrap();
    let client = |session: &JobSession| {
        JobClient::of(&session.makeflags(JobStyle::Fifo))
            .unwrap()
            .unwrap()
    };
    let (one, two) = (client(&first), client(&second));
    let cancel = CancellationToken::new();
    // Each has its own job and half of the tokens.
    let mut held = Vec::new();
    for _ in 0..5 {
        for client in [&one, &two] {
            let token = tokio::time::timeout(TIMEOUT, client.acquire(&cancel)).await;
            held.push(token.unwrap().unwrap());
        }
    }
    assert_eq!((held.len(), server.lent()), (10, 8));
    drop(held);
    drop((first, second));
    assert_eq!(pool.state().grants, 0);
}

/// This process as a client of a make that is a client of this process: make passes its pipe on by descriptors.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_under_real_make_gets_what_make_has() {
    const INSIDE: &str = "ZAKO_TEST_UNDER_MAKE";
    if std::env::var_os(INSIDE).is_some() {
        let flags = std::env::var("MAKEFLAGS").unwrap();
        let client = JobClient::of(&flags).unwrap().unwrap();
        let cancel = CancellationToken::new();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(client.acquire(&cancel).await.unwrap());
        }
        // make -j3 has no more: one that this process came with, two in the pipe.
        assert!(client.acquire(&cancel).now_or_never().is_none());
        let one = held.pop();
        drop(one);
        held.push(client.acquire(&cancel).await.unwrap());
        return;
    }
    if !has("make") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let name = "jobserver::a_client_under_real_make_gets_what_make_has";
    let text = format!(
        "all:\n\t+{INSIDE}=1 {} --exact {name}\nnone:\n\t@echo $$MAKEFLAGS\n",
        this.display()
    );
    fs::write(dir.path().join("Makefile"), text).unwrap();
    let make = |target: &str| {
        let mut command = std::process::Command::new("make");
        command
            .args(["-j3", target])
            .current_dir(dir.path())
            .env_remove("MAKEFLAGS");
        command.output().unwrap()
    };
    let output = make("all");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
    // A recipe without `+` gets no descriptors, and the client says what to do.
    let flags = String::from_utf8(make("none").stdout).unwrap();
    let without = fs::read_link("/proc/self/fd/3")
        .is_ok_and(|path| path.to_string_lossy().starts_with("pipe:"));
    if !without && flags.contains("-auth=3,") {
        let error = JobClient::of(&flags).unwrap_err().to_string();
        assert!(
            error.contains("begin the line that runs zako with `+`"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_passes_the_pipe_on_to_what_it_builds() {
    if !has("cargo") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    let manifest =
        "[package]\nname = \"nested\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    // The build script reads a token from the pipe that cargo was given, and puts it back.
    let script = "use std::io::{Read, Write};\nfn main() {\n\
        let flags = std::env::var(\"CARGO_MAKEFLAGS\").unwrap();\nassert!(flags.contains(\"3,4\"), \"{flags}\");\n\
        let mut token = [0];\nlet mut read = std::fs::File::open(\"/proc/self/fd/3\").unwrap();\nread.read_exact(&mut token).unwrap();\n\
        let mut write = std::fs::OpenOptions::new().write(true).open(\"/proc/self/fd/4\").unwrap();\nwrite.write_all(&token).unwrap();\n\
        assert_eq!(token, *b\"+\");\n}\n";
    fs::write(dir.path().join("build.rs"), script).unwrap();
    let pool = pool(4);
    let server = JobServer::new(pool.clone(), dir.path()).unwrap();
    let _grant = one_core(&pool).await;
    let session = server.session().unwrap();
    let cancel = CancellationToken::new();
    let (exit, printed) = run(
        &session,
        dir.path(),
        &["cargo", "build", "--offline"],
        &cancel,
    )
    .await
    .unwrap();
    assert_eq!(exit, Exit::Code(0), "{printed}");
}

mod levels {
    use std::fs;

    use tokio_util::sync::CancellationToken;
    use zako_action::{Executor, Exit, Isolation, NoSink};
    use zako_exec::{JobServer, NestedExecutor};

    use super::{has, most_at_once, one_core, pool, three_levels};
    use crate::world::{World, path, shell};

    const LEVELS: [Isolation; 4] = [
        Isolation::None,
        Isolation::Basic,
        Isolation::Enhanced,
        Isolation::Maximum,
    ];

    /// Recipes that wait for each other end only when three run at once, and those that note their beginning and end say that
    /// never more ran at once than the pool has.
    #[tokio::test(flavor = "multi_thread")]
    async fn nested_make_gets_what_the_pool_has_at_every_level() {
        if !has("make") {
            return;
        }
        for level in LEVELS {
            let Some(w) = World::new(&[]) else { return };
            three_levels(&w.workspace, std::path::Path::new("$(LOG)"), 12);
            let ring = "ring: a b c\na:\n\t@echo 1 > $(D)/ab; cat $(D)/ca\nb:\n\t@cat $(D)/ab; echo 2 > $(D)/bc\n\
                c:\n\t@cat $(D)/bc; echo 3 > $(D)/ca\n.PHONY: ring a b c\n";
            fs::write(w.workspace.join("ring.mk"), ring).unwrap();
            // A variable of the environment, so that it is known at each level of make.
            let script = "export LOG=$PWD/$out D=$TMPDIR; mkfifo $D/ab $D/bc $D/ca; \
                make --no-print-directory -f ring.mk && make --no-print-directory; ls /dev";
            let inputs = ["Makefile", "low.mk", "ring.mk"];
            let spec = shell(script, &inputs, &["zako-out/log"]);
            let pool = pool(3);
            let server = JobServer::new(pool.clone(), w.dir.path()).unwrap();
            let executor = NestedExecutor::new(w.executor.clone(), server.clone());
            let grant = one_core(&pool).await;
            let job = w.job(spec, level);
            let executed = executor
                .execute(&job, &NoSink, &CancellationToken::new())
                .await
                .unwrap();
            let printed = w.printed(&executed);
            assert_eq!(executed.exit, Exit::Code(0), "{level:?}: {printed}");
            // make says so when it can't use the jobserver and runs one job at a time.
            let said = printed.lines().filter(|line| line.contains("jobserver"));
            let shown = usize::from(level >= Isolation::Enhanced);
            assert_eq!(said.collect::<Vec<_>>(), vec!["jobserver"; shown]);
            let log = w.dir.path().join("log");
            fs::write(&log, w.output(&executed)).unwrap();
            let (most, all) = most_at_once(&log);
            assert_eq!(all, 2 * 2 * 12);
            assert!(
                (1..=3).contains(&most),
                "{level:?}: {most} recipes ran at once"
            );
            drop(grant);
            assert_eq!(pool.state().grants, 0);
            assert_eq!(server.lent(), 0);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_who_shares_sees_the_pipe_and_nobody_may_replace_it() {
        let Some(w) = World::new(&[]) else { return };
        let server = JobServer::new(pool(2), w.dir.path()).unwrap();
        let executor = NestedExecutor::new(w.executor.clone(), server);
        let run = async |script: &str| {
            let job = w.job(shell(script, &[], &[]), Isolation::Enhanced);
            let executed = executor
                .execute(&job, &NoSink, &CancellationToken::new())
                .await
                .unwrap();
            w.printed(&executed)
        };
        let plain = "ls /dev | grep jobs || echo none ${MAKEFLAGS-}";
        assert_eq!(run(plain).await, "none\n");
        let tampers = "make --version > /dev/null; rm -f /dev/jobserver 2> /dev/null || echo kept; \
            chmod 0 /dev/jobserver 2> /dev/null || echo kept; echo $MAKEFLAGS; ls -A /dev/jobserver";
        assert_eq!(
            run(tampers).await,
            "kept\nkept\n-j --jobserver-auth=3,4\n/dev/jobserver\n"
        );
        assert_eq!(run(plain).await, "none\n");
    }

    /// The list of inputs of an action with many of them is a file, also for those that share.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_long_list_of_inputs_is_a_file_for_who_shares_too() {
        let name = |n: usize| format!("in/{}{n}", "long".repeat(50));
        let names: Vec<String> = (0..1000).map(name).collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let Some(w) = World::new(&files) else { return };
        let mut spec = shell(
            "make --version > /dev/null; tr -cd '\\0' < $in_file | wc -c; echo $MAKEFLAGS",
            &[],
            &[],
        );
        spec.inputs = names.iter().map(|name| path(name)).collect();
        assert!(spec.in_list().is_some(), "or this test tests nothing");
        let server = JobServer::new(pool(2), w.dir.path()).unwrap();
        let executor = NestedExecutor::new(w.executor.clone(), server);
        for level in [Isolation::Basic, Isolation::Enhanced] {
            let job = w.job(spec.clone(), level);
            let executed = executor
                .execute(&job, &NoSink, &CancellationToken::new())
                .await
                .unwrap();
            assert_eq!(w.printed(&executed), "1000\n-j --jobserver-auth=3,4\n");
        }
    }
}
