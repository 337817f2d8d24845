//! Persistent workers with real processes: a small one in JavaScript that misbehaves when asked to, and javac.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionSpec, ArtifactValue, ExecuteError, Executed, Executor, Exit, Isolation, Job,
    NoSink, OutputFile, OutputSpec, ResolvedTool, ToolRef, WorkerProtocol, WorkerSpec,
};
use zako_cas::{Store, StoreOptions};
use zako_exec::{
    BlockingPool, BreakerOptions, Census, FIXED_PATH, LocalExecutor, Process, Sources, WorkRequest,
    WorkResponse, WorkerError, WorkerExecutor, WorkerIdentity, WorkerPool, WorkerPoolOptions,
    find_program,
};

/// Does what its first argument says.
const TOY: &str = r#"
const readline = require("node:readline");
if (!process.argv.includes("--persistent_worker")) throw new Error("not asked to stay");
let held = [];
let served = 0;
const answer = (response) => process.stdout.write(JSON.stringify(response) + "\n");
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { arguments: [what, ...rest], requestId = 0, cancel } = JSON.parse(line);
  if (cancel) {
    if (held.some((one) => one.requestId === requestId && one.isDeaf)) return;
    held = held.filter((one) => one.requestId !== requestId);
    return answer({ requestId, wasCancelled: true });
  }
  served += 1;
  switch (what) {
    case "say": return answer({ requestId, output: rest.join(" "), exitCode: 0 });
    case "count": return answer({ requestId, output: `${process.pid} ${served}` });
    case "fail": return answer({ requestId, output: "no", exitCode: 3 });
    case "crash": console.error("out of ideas"); return process.exit(7);
    case "babble": return process.stdout.write("Hello, I am a tool!\n");
    case "grow": globalThis.kept = Buffer.alloc(400 << 20, 1); return answer({ requestId });
    case "hold": return held.push({ requestId });
    case "deaf": return held.push({ requestId, isDeaf: true });
    case "release":
      for (const one of held) answer({ requestId: one.requestId, output: "held" });
      held = [];
      return answer({ requestId, output: "released" });
  }
});
"#;

mod support;

use support::{file_value, host_tool, path, shell};

struct Toy {
    dir: tempfile::TempDir,
    pool: WorkerPool,
}

/// `None`, and a reason, without node.
fn toy(options: WorkerPoolOptions) -> Option<Toy> {
    if find_program("node", FIXED_PATH).is_none() {
        eprintln!("skipped: there is no node here");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("toy.js"), TOY).unwrap();
    let pool = WorkerPool::new(dir.path().join("workers"), options);
    Some(Toy { dir, pool })
}

fn options(per_identity: usize) -> WorkerPoolOptions {
    WorkerPoolOptions {
        per_identity,
        total: 4,
        ..WorkerPoolOptions::default()
    }
}

impl Toy {
    fn identity(&self, multiplex: usize) -> WorkerIdentity {
        let mut process = Process::new("node", "/");
        process.args = vec![self.dir.path().join("toy.js").into()];
        process.env = [("PATH".to_owned(), FIXED_PATH.to_owned())].into();
        WorkerIdentity {
            name: "toy".to_owned(),
            process,
            salt: Vec::new(),
            multiplex,
        }
    }

    async fn ask(&self, multiplex: usize, what: &str) -> Result<WorkResponse, WorkerError> {
        self.ask_until(multiplex, what, &CancellationToken::new())
            .await
    }

    async fn ask_until(
        &self,
        multiplex: usize,
        what: &str,
        cancel: &CancellationToken,
    ) -> Result<WorkResponse, WorkerError> {
        let request = WorkRequest {
            arguments: what.split(' ').map(str::to_owned).collect(),
            ..WorkRequest::default()
        };
        self.pool
            .work(&self.identity(multiplex), request, cancel)
            .await
    }

    /// The one worker's process.
    fn pid(&self) -> u32 {
        self.pool.state().workers[0].pid.unwrap()
    }

    /// Waits until the first worker works on that many requests.
    async fn works_on(&self, requests: usize) {
        let is_there = || {
            let state = self.pool.state();
            let worker = state.workers.first();
            worker.is_some_and(|worker| worker.in_flight >= requests)
        };
        while !is_there() {
            tokio::task::yield_now().await;
        }
    }

    /// Asks, and gives up when the worker is at that many requests, which this one is the last of.
    async fn ask_and_cancel(
        &self,
        multiplex: usize,
        what: &str,
        requests: usize,
    ) -> Result<WorkResponse, WorkerError> {
        let cancel = CancellationToken::new();
        let (answer, ()) = tokio::join!(self.ask_until(multiplex, what, &cancel), async {
            self.works_on(requests).await;
            cancel.cancel();
        });
        answer
    }
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    // A zombie waits for its reaper only, once its other threads are gone.
    !stat.is_empty() && (threads > 1 || !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

/// Waits until no process of that id runs. Only a bug makes this wait for long; the test's runner ends it then.
async fn gone(pid: u32) {
    while is_running(pid) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_serves_request_after_request() {
    let Some(toy) = toy(options(1)) else { return };
    let first = toy.ask(1, "count").await.unwrap().output;
    let second = toy.ask(1, "count").await.unwrap().output;
    let (pid, _) = first.split_once(' ').unwrap();
    assert_eq!(
        (first.as_str(), second.as_str()),
        (&*format!("{pid} 1"), &*format!("{pid} 2"))
    );
    assert_eq!(toy.ask(1, "fail").await.unwrap().exit_code, 3);
    let state = toy.pool.state();
    assert_eq!((state.started, state.broken), (1, 0));
    assert_eq!(
        (state.workers[0].served, state.workers[0].in_flight),
        (3, 0)
    );
    assert!(state.workers[0].resident_bytes > 0);
    let pid = toy.pid();
    toy.pool.shut_down();
    gone(pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashes_or_babbles_is_an_error_with_its_last_words_and_is_replaced() {
    let Some(toy) = toy(options(1)) else { return };
    let error = toy.ask(1, "crash").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the worker toy ended before it answered; the last that it wrote:\nout of ideas"
    );
    let error = toy.ask(1, "babble").await.unwrap_err().to_string();
    assert!(
        error.contains("what is no answer (`Hello, I am a tool!`)"),
        "{error}"
    );
    assert_eq!(toy.ask(1, "say hi").await.unwrap().output, "hi");
    let state = toy.pool.state();
    assert_eq!(
        (state.started, state.broken, state.workers.len()),
        (3, 2, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ended_while_it_was_idle_is_not_used() {
    let Some(toy) = toy(options(1)) else { return };
    toy.ask(1, "say hi").await.unwrap();
    let pid = toy.pid();
    let killed = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    gone(pid).await;
    assert_eq!(toy.ask(1, "say again").await.unwrap().output, "again");
    assert_eq!(toy.pool.state().started, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_grew_too_big_is_ended_after_its_request() {
    let Some(toy) = toy(WorkerPoolOptions {
        memory_bytes: 300 << 20,
        ..options(1)
    }) else {
        return;
    };
    toy.ask(1, "say hi").await.unwrap();
    let pid = toy.pid();
    toy.ask(1, "grow").await.unwrap();
    assert!(toy.pool.state().workers.is_empty());
    gone(pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_end() {
    let Some(toy) = toy(WorkerPoolOptions {
        idle: Duration::from_millis(20),
        ..options(1)
    }) else {
        return;
    };
    toy.ask(1, "say hi").await.unwrap();
    let workers = toy.dir.path().join("workers");
    while !toy.pool.state().workers.is_empty() || fs::read_dir(&workers).unwrap().next().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(toy.ask(1, "say more").await.unwrap().output, "more");
    assert_eq!(toy.pool.state().started, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_request_is_given_up_and_its_worker_kept_or_killed() {
    let Some(toy) = toy(WorkerPoolOptions {
        cancel_grace: Duration::from_secs(60),
        ..options(1)
    }) else {
        return;
    };
    toy.ask(1, "say hi").await.unwrap();
    let held = toy.ask_and_cancel(1, "hold", 1).await;
    assert!(matches!(held, Err(WorkerError::Cancelled)));
    assert_eq!(toy.ask(1, "say on").await.unwrap().output, "on");
    assert_eq!(toy.pool.state().started, 1, "it said that it stopped");

    let Some(toy) = self::toy(WorkerPoolOptions {
        cancel_grace: Duration::from_millis(20),
        ..options(1)
    }) else {
        return;
    };
    toy.ask(1, "say hi").await.unwrap();
    let pid = toy.pid();
    let deaf = toy.ask_and_cancel(1, "deaf", 1).await;
    assert!(matches!(deaf, Err(WorkerError::Cancelled)));
    gone(pid).await;
    assert!(toy.pool.state().workers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_future_is_dropped_kills_its_worker() {
    let Some(toy) = toy(options(1)) else { return };
    toy.ask(1, "say hi").await.unwrap();
    let pid = toy.pid();
    tokio::select! {
        _ = toy.ask(1, "hold") => panic!("it holds"),
        () = toy.works_on(1) => {}
    }
    gone(pid).await;
    assert!(toy.pool.state().workers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn multiplex_requests_share_a_process_and_are_answered_in_any_order() {
    let Some(toy) = toy(options(1)) else { return };
    let toy = Arc::new(toy);
    let holds: Vec<_> = (0..3)
        .map(|_| {
            let toy = Arc::clone(&toy);
            tokio::spawn(async move { toy.ask(4, "hold").await })
        })
        .collect();
    toy.works_on(3).await;
    // A fourth is answered while three are held, by the same process; one sent again and again lets the three go.
    assert_eq!(toy.ask(4, "say four").await.unwrap().output, "four");
    while !holds.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(toy.ask(4, "release").await.unwrap().output, "released");
    }
    for hold in holds {
        assert_eq!(hold.await.unwrap().unwrap().output, "held");
    }
    assert_eq!(toy.pool.state().started, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_a_process_with_a_request_that_cannot_be_given_up_is_told_so() {
    let Some(toy) = toy(WorkerPoolOptions {
        cancel_grace: Duration::from_millis(20),
        ..options(1)
    }) else {
        return;
    };
    let (held, deaf) = tokio::join!(toy.ask(4, "hold"), async {
        toy.works_on(1).await;
        toy.ask_and_cancel(4, "deaf", 2).await
    });
    assert!(matches!(held, Err(WorkerError::Lost { .. })), "{held:?}");
    assert!(matches!(deaf, Err(WorkerError::Cancelled)));
    assert_eq!(toy.ask(4, "say on").await.unwrap().output, "on");
    let state = toy.pool.state();
    assert_eq!((state.started, state.broken), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_workers_than_allowed_and_the_pool_grows_as_needed() {
    let Some(toy) = toy(options(2)) else { return };
    let toy = Arc::new(toy);
    let asks: Vec<_> = (0..12)
        .map(|n| {
            let toy = Arc::clone(&toy);
            tokio::spawn(async move { toy.ask(1, &format!("say {n}")).await })
        })
        .collect();
    for (n, ask) in asks.into_iter().enumerate() {
        assert_eq!(ask.await.unwrap().unwrap().output, n.to_string());
    }
    let state = toy.pool.state();
    assert!((1..=2).contains(&state.started), "{state:?}");
    assert_eq!(
        state
            .workers
            .iter()
            .map(|worker| worker.served)
            .sum::<u64>(),
        12
    );
}

/// A compiler that runs both ways.
const JAVAC: &str = r#"
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.CyclicBarrier;
import java.util.regex.*;
import javax.tools.*;

public class Javac {
  static int compile(List<String> args, OutputStream out) throws IOException {
    int at = args.indexOf("-d");
    if (at >= 0) Files.createDirectories(Path.of(args.get(at + 1)));
    return ToolProvider.getSystemJavaCompiler().run(null, out, out, args.toArray(new String[0]));
  }

  /** The strings of the list "arguments" of a request. */
  static List<String> arguments(String json) {
    List<String> found = new ArrayList<>();
    int at = json.indexOf("[", json.indexOf("\"arguments\"")) + 1;
    while (json.charAt(at) != ']') {
      if (json.charAt(at) != '"') { at++; continue; }
      StringBuilder text = new StringBuilder();
      for (at++; json.charAt(at) != '"'; at++) {
        if (json.charAt(at) == '\\') at++;
        text.append(json.charAt(at));
      }
      at++;
      found.add(text.toString());
    }
    return found;
  }

  static String quoted(String text) {
    StringBuilder json = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') json.append('\\').append(c);
      else if (c < ' ') json.append(String.format("\\u%04x", (int) c));
      else json.append(c);
    }
    return json.append('"').toString();
  }

  public static void main(String[] args) throws IOException {
    if (!Arrays.asList(args).contains("--persistent_worker")) {
      List<String> words = new ArrayList<>();
      for (String arg : args) {
        if (arg.startsWith("@")) words.addAll(Files.readAllLines(Path.of(arg.substring(1))));
        else if (!arg.startsWith("--together=")) words.add(arg);
      }
      System.exit(compile(words, System.err));
    }
    int together = 1;
    for (String arg : args) {
      if (arg.startsWith("--together=")) together = Integer.parseInt(arg.substring(11));
    }
    // Requests begin when so many are there.
    CyclicBarrier all = new CyclicBarrier(together);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String request = line;
      Thread thread = new Thread(() -> {
        try {
          all.await();
          serve(request);
        } catch (Exception error) {
          error.printStackTrace();
          System.exit(9);
        }
      });
      thread.setDaemon(true);
      thread.start();
    }
  }

  static void serve(String request) throws IOException {
    List<String> words = new ArrayList<>();
    String dir = field(request, "\"sandboxDir\":\"([^\"]*)\"");
    for (String word : arguments(request)) {
      words.add(dir.isEmpty() || word.startsWith("-") ? word : dir + "/" + word);
    }
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    int code = compile(words, printed);
    String answer = "{\"exitCode\":" + code + ",\"requestId\":" + field(request, "\"requestId\":(\\d+)")
        + ",\"output\":" + quoted(printed.toString(StandardCharsets.UTF_8)) + "}";
    synchronized (System.out) {
      System.out.println(answer);
      System.out.flush();
    }
  }

  static String field(String json, String pattern) {
    Matcher found = Pattern.compile(pattern).matcher(json);
    return found.find() ? found.group(1) : "";
  }
}
"#;

struct Java {
    _dir: tempfile::TempDir,
    workspace: PathBuf,
    store: Store,
    pool: WorkerPool,
    /// How many requests a worker begins together.
    together: usize,
}

/// One request after the other.
const ALONE: Option<WorkerSpec> = Some(WorkerSpec {
    protocol: WorkerProtocol::Json,
    multiplex: false,
    sandbox_dir: false,
});

/// Several at once, each in its folder.
const TOGETHER: Option<WorkerSpec> = Some(WorkerSpec {
    protocol: WorkerProtocol::Json,
    multiplex: true,
    sandbox_dir: true,
});

impl Java {
    /// `None`, and a reason, without a JDK.
    fn new(breaker: BreakerOptions) -> Option<Self> {
        if find_program("javac", FIXED_PATH).is_none() {
            eprintln!("skipped: there is no javac here");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let workspace = base.join("workspace");
        fs::create_dir_all(workspace.join("tool")).unwrap();
        let pool = WorkerPool::new(
            workspace.join(".zako/workers"),
            WorkerPoolOptions {
                breaker,
                ..options(1)
            },
        );
        let java = Self {
            store: Store::open(StoreOptions::new(base.join("store"))).unwrap(),
            workspace,
            pool,
            together: 1,
            _dir: dir,
        };
        java.make_tool(JAVAC);
        Some(java)
    }

    /// Compiles the compiler.
    fn make_tool(&self, text: &str) {
        fs::write(self.workspace.join("Javac.java"), text).unwrap();
        let built = Command::new("javac")
            .args(["-d", "tool", "Javac.java"])
            .current_dir(&self.workspace)
            .status();
        assert!(built.unwrap().success());
    }

    fn executor(&self) -> WorkerExecutor<LocalExecutor> {
        let blocking = BlockingPool::new(&Handle::current());
        let local = LocalExecutor::new(self.store.clone(), blocking.clone());
        WorkerExecutor::new(self.pool.clone(), self.store.clone(), blocking, local)
    }

    /// Compiles a class of that name and text.
    fn job(&self, name: &str, text: &str, worker: Option<WorkerSpec>, isolation: Isolation) -> Job {
        let (source, args) = (format!("src/{name}.java"), format!("zako-out/{name}.args"));
        let out = format!("zako-out/{name}");
        for (file, text) in [
            (&source, text.to_owned()),
            (&args, format!("-d\n{out}\n{source}\n")),
        ] {
            let place = self.workspace.join(file);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }
        let together = format!("--together={}", self.together);
        let words = [
            "java",
            "-cp",
            "tool",
            "Javac",
            &together,
            &format!("@{args}"),
        ];
        let body = ActionBody::Command {
            argv: words.map(str::to_owned).to_vec(),
        };
        let mut spec = ActionSpec::new("//:java", "javac", body);
        spec.inputs = vec![path(&source), path(&args)];
        spec.tools = vec![
            ToolRef::Host("java".to_owned()),
            ToolRef::Artifact(path("tool/Javac.class")),
        ];
        spec.outputs = vec![OutputSpec::directory(path(&out))];
        spec.worker = worker;
        let class = "tool/Javac.class";
        let ArtifactValue::File { digest, .. } = file_value(&self.workspace.join(class)) else {
            panic!("a file is a file");
        };
        let class = ResolvedTool {
            name: class.to_owned(),
            digest,
            path: class.into(),
        };
        let folders = (
            &*self.workspace,
            self.workspace.join(".zako/exec").join(name),
        );
        let tools = vec![host_tool("java"), class];
        support::job(spec, isolation, folders, tools, |path| {
            file_value(&path.to_os_path(&self.workspace))
        })
    }

    async fn run(&self, job: &Job) -> Result<Executed, ExecuteError> {
        self.executor()
            .execute(job, &NoSink, &CancellationToken::new())
            .await
    }
}

fn source(name: &str) -> String {
    format!(
        "public class {name} {{ interface Inner {{}} public static void main(String[] a) {{ System.out.println(\"{name}\"); }} }}\n"
    )
}

fn files(executed: &Executed) -> Vec<OutputFile> {
    executed.outputs.iter().map(|o| o.file.clone()).collect()
}

/// All the processor time that a process has used until now.
fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat[stat.rfind(')').unwrap() + 1..].split_ascii_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(4)
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_javac_makes_what_javac_makes() {
    let Some(java) = Java::new(BreakerOptions::default()) else {
        return;
    };
    let mut measured = Duration::ZERO;
    for isolation in [Isolation::Basic, Isolation::None] {
        for name in ["A", "B", "C"] {
            let alone = java.job(name, &source(name), None, isolation);
            let alone = java.run(&alone).await.unwrap();
            let job = java.job(name, &source(name), ALONE, isolation);
            let by_worker = java.run(&job).await.unwrap();
            assert_eq!(by_worker.exit, Exit::Code(0));
            assert_eq!(files(&by_worker), files(&alone));
            let at = by_worker.outputs[0].produced_at.clone().unwrap();
            assert!(
                at.join(format!("{name}$Inner.class")).exists(),
                "{}",
                at.display()
            );
            let usage = by_worker.usage;
            assert!(usage.max_rss_bytes > 1 << 20, "{usage:?}");
            measured += usage.user + usage.system;
            eprintln!(
                "{name} {isolation:?}: {:?} alone, {usage:?} by a worker",
                alone.usage
            );
        }
    }
    let state = java.pool.state();
    assert_eq!(
        (state.started, state.broken),
        (2, 0),
        "one of each isolation"
    );
    assert!(state.workers.iter().all(|worker| worker.served == 3));
    // What each request used is a part of what the processes did.
    let used = state
        .workers
        .iter()
        .map(|worker| cpu_of(worker.pid.unwrap()));
    let used: Duration = used.sum();
    assert!(
        measured > Duration::ZERO && measured <= used,
        "{measured:?} of {used:?}"
    );

    // What the compiler finds wrong is its exit code and its output, and the worker stays.
    let job = |worker| java.job("D", "class D {", worker, Isolation::Basic);
    let alone = java.run(&job(None)).await.unwrap();
    let wrong = java.run(&job(ALONE)).await.unwrap();
    assert_eq!((wrong.exit, wrong.stderr), (Exit::Code(1), alone.stderr));
    let printed = java
        .store
        .read_range(&wrong.stderr, 0..wrong.stderr.size)
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&printed).contains("reached end of file while parsing"));
    assert_eq!(java.pool.state().started, 2);

    // Another compiler is another worker.
    java.make_tool(&JAVAC.replace(
        "static int compile",
        "static int unused; static int compile",
    ));
    java.run(&java.job("A", &source("A"), ALONE, Isolation::Basic))
        .await
        .unwrap();
    assert_eq!(java.pool.state().started, 3);
}

/// Each of two compilations begins only when the other one is in the same process, too.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_share_a_process_do_not_share_a_folder() {
    for isolation in [Isolation::Basic, Isolation::None] {
        let Some(mut java) = Java::new(BreakerOptions::default()) else {
            return;
        };
        let mut alone = Vec::new();
        for name in ["A", "B"] {
            let job = java.job(name, &source(name), None, isolation);
            alone.push(files(&java.run(&job).await.unwrap()));
        }
        java.together = 2;
        let [a, b] = ["A", "B"].map(|name| java.job(name, &source(name), TOGETHER, isolation));
        for _ in 0..2 {
            let (a, b) = tokio::join!(java.run(&a), java.run(&b));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_eq!((a.exit, b.exit), (Exit::Code(0), Exit::Code(0)));
            assert_eq!([files(&a), files(&b)], alone[..]);
            // Whose time it was is not known.
            let used = [a.usage, b.usage].map(|usage| usage.user + usage.system);
            assert_eq!(used, [Duration::ZERO; 2]);
        }
        let state = java.pool.state();
        assert_eq!(
            (state.started, state.broken, state.workers[0].served),
            (1, 0, 4)
        );
        let below = fs::read_dir(java.workspace.join(".zako/workers/0/root")).unwrap();
        let left = below.map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name != "tool").collect();
        assert_eq!(left, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_no_folders_does_one_at_a_time_where_folders_are_needed() {
    let Some(java) = Java::new(BreakerOptions::default()) else {
        return;
    };
    let worker = Some(WorkerSpec {
        sandbox_dir: false,
        ..TOGETHER.unwrap()
    });
    let [a, b] = ["A", "B"].map(|name| java.job(name, &source(name), worker, Isolation::Basic));
    let (a, b) = tokio::join!(java.run(&a), java.run(&b));
    assert_eq!(
        (a.unwrap().exit, b.unwrap().exit),
        (Exit::Code(0), Exit::Code(0))
    );
    let state = java.pool.state();
    assert_eq!((state.started, state.broken), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_keep_failing_are_left_alone_and_the_command_is_run() {
    let breaker = BreakerOptions {
        failures: 2,
        pause: Duration::from_secs(3600),
        longest_pause: Duration::from_secs(3600),
    };
    let Some(java) = Java::new(breaker) else {
        return;
    };
    // It can't stay, but is a good compiler otherwise.
    java.make_tool(&JAVAC.replace("BufferedReader in =", "System.exit(9); BufferedReader in ="));
    for name in ["A", "B"] {
        let job = java.job(name, &source(name), ALONE, Isolation::Basic);
        let executed = java.run(&job).await.unwrap();
        assert_eq!(executed.exit, Exit::Code(0));
        assert_eq!(executed.outputs.len(), 1);
    }
    let state = java.pool.state();
    assert_eq!(
        (state.started, state.broken, state.avoided),
        (2, 2, 1),
        "the second action tried none"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stronger_isolation_than_a_worker_has_is_left_to_the_other_executor() {
    let Some(java) = Java::new(BreakerOptions::default()) else {
        return;
    };
    let _whatever_this_machine_offers = java
        .run(&java.job("A", &source("A"), ALONE, Isolation::Enhanced))
        .await;
    assert_eq!(java.pool.state().started, 0);
}

/// A worker that is a shell: it says that it is at work, and answers when it is told to.
const PATIENT: &str =
    "while read -r request; do echo up > up; read -r word < go; echo '{\"exitCode\":0}'; done";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_listed_for_the_action_that_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().canonicalize().unwrap();
    let store = Store::open(StoreOptions::new(workspace.join("store"))).unwrap();
    for fifo in ["up", "go"] {
        let made = Command::new("mkfifo").arg(workspace.join(fifo)).status();
        assert!(made.unwrap().success());
    }
    fs::write(workspace.join("patient.sh"), PATIENT).unwrap();
    fs::write(workspace.join("args"), "x\n").unwrap();
    let mut spec = shell("", &["args", "patient.sh"], &[]);
    spec.body = ActionBody::Command {
        argv: ["sh", "patient.sh", "@args"].map(str::to_owned).to_vec(),
    };
    spec.worker = ALONE;
    let scratch = workspace.join(".zako/exec/1");
    let job = support::job(
        spec,
        Isolation::None,
        (&workspace, scratch.clone()),
        vec![host_tool("sh")],
        |path| file_value(&path.to_os_path(&workspace)),
    );
    let census = Census::default();
    let blocking = BlockingPool::new(&Handle::current());
    let local = LocalExecutor::new(store.clone(), blocking.clone());
    let pool = WorkerPool::new(workspace.join("workers"), options(1));
    let executor = WorkerExecutor::new(pool.clone(), store, blocking, local);
    let executor = executor.with_census(census.clone());
    let cancel = CancellationToken::new();
    let look = async {
        let seen = census.clone();
        let looked = tokio::task::spawn_blocking(move || {
            assert_eq!(fs::read(workspace.join("up")).unwrap(), b"up\n");
            let pulses = seen.pulses(&Sources::default());
            fs::write(workspace.join("go"), "on\n").unwrap();
            pulses
        });
        looked.await.unwrap()
    };
    let (executed, pulses) = tokio::join!(executor.execute(&job, &NoSink, &cancel), look);
    assert_eq!(executed.unwrap().exit, Exit::Code(0));
    let [(listed, pulse)] = &pulses[..] else {
        panic!("{pulses:?}");
    };
    assert_eq!(*listed, scratch);
    assert!(pulse.resident_bytes > 0, "{pulse:?}");
    assert_eq!(pulse.peak_bytes, 0, "that is not one action's");
    assert_eq!(pool.state().started, 1, "a worker did it");
    assert_eq!(census.pulses(&Sources::default()), [], "it is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reads_nothing_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let pool = WorkerPool::new(dir.path().join("workers"), options(1));
    let mut process = Process::new("sh", "/");
    process.args = vec!["-c".into(), "sleep 3600".into()];
    process.env = [("PATH".to_owned(), FIXED_PATH.to_owned())].into();
    let identity = WorkerIdentity {
        name: "deaf".to_owned(),
        process,
        salt: Vec::new(),
        multiplex: 1,
    };
    let request = WorkRequest {
        // More than a pipe holds.
        arguments: vec!["x".repeat(1 << 20)],
        ..WorkRequest::default()
    };
    let cancel = CancellationToken::new();
    let stop = async {
        while pool.state().started == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let both = async { tokio::join!(pool.work(&identity, request, &cancel), stop).0 };
    let ended = tokio::time::timeout(Duration::from_secs(60), both).await;
    assert!(
        matches!(ended, Ok(Err(WorkerError::Cancelled))),
        "{ended:?}"
    );
    assert_eq!(pool.state().workers, []);
}
