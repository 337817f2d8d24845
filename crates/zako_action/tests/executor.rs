//! Executors compose: a user's own, wrapped by recorders, behind `dyn`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionResult, ActionSpec, ArtifactValue, ExecuteError, Executed, Executor, Exit,
    Isolation, Job, NoSink, Outcome, OutputFile, OutputSink, Prepared, Produced, RecordingExecutor,
    Stream, Usage,
};
use zako_cas::{DigestFunction, Store, StoreOptions};
use zako_path::NeutralPath;

const F: DigestFunction = DigestFunction::Blake3;

/// "Runs" `echo` and `false` without any process, over a real store.
struct Builtins {
    store: Store,
}

impl Executor for Builtins {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        async move {
            if cancel.is_cancelled() {
                return Err(ExecuteError::Cancelled);
            }
            let argv = job.action.spec.argv().unwrap_or_default();
            let (code, text) = match argv.first().map(String::as_str) {
                Some("echo") => (0, argv[1..].join(" ")),
                Some("false") => (1, String::new()),
                other => {
                    let program = other.unwrap_or_default().to_owned();
                    return Err(ExecuteError::MissingTool {
                        program,
                        looked_in: "the builtins".into(),
                    });
                }
            };
            sink.write(Stream::Stdout, text.as_bytes());
            let stdout = self.store.put_bytes(text.as_bytes())?;
            let file = OutputFile {
                path: NeutralPath::new("zako-out/text").expect("a neutral path"),
                value: ArtifactValue::File {
                    digest: stdout,
                    executable: false,
                },
            };
            Ok(Executed {
                exit: Exit::Code(code),
                stdout,
                stderr: self.store.put_bytes(b"")?,
                outputs: vec![Produced {
                    file,
                    produced_at: None,
                }],
                usage: Usage::default(),
                depfile: None,
            })
        }
        .boxed()
    }
}

#[derive(Default)]
struct Collect(Mutex<Vec<u8>>);

impl OutputSink for Collect {
    fn write(&self, stream: Stream, chunk: &[u8]) {
        assert_eq!(stream, Stream::Stdout);
        self.0.lock().unwrap().extend_from_slice(chunk);
    }
}

fn job(argv: &[&str], attempt: u32) -> Job {
    let argv = argv.iter().map(|s| (*s).to_owned()).collect();
    let action = Prepared {
        spec: Arc::new(ActionSpec::new(
            "//:t",
            "test",
            ActionBody::Command { argv },
        )),
        inputs: BTreeMap::new(),
        staged: BTreeMap::new(),
        tools: Vec::new(),
        salt: String::new(),
        isolation: Isolation::None,
    };
    Job {
        action: Arc::new(action),
        workspace: Arc::from(Path::new("/ws")),
        scratch: "/ws/.zako/x".into(),
        attempt,
    }
}

#[test]
fn recorders_wrap_anything_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(dir.path())).unwrap();
    let inner = Arc::new(RecordingExecutor::around(Arc::new(Builtins {
        store: store.clone(),
    })));
    let outer: Arc<dyn Executor> = Arc::new(RecordingExecutor::around(inner.clone()));
    let (sink, cancel) = (Collect::default(), CancellationToken::new());

    let executed =
        block_on(outer.execute(&job(&["echo", "hello", "you"], 0), &sink, &cancel)).unwrap();
    assert!(executed.succeeded());
    assert_eq!(*sink.0.lock().unwrap(), b"hello you");
    assert_eq!(
        store.get(&executed.stdout).unwrap().unwrap(),
        &b"hello you"[..]
    );
    let result = ActionResult::from_executed(&executed, None).unwrap();
    assert!(result.is_complete(&store));

    let failed = block_on(outer.execute(&job(&["false"], 1), &sink, &cancel)).unwrap();
    assert_eq!(failed.exit, Exit::Code(1));
    let missing = block_on(outer.execute(&job(&["rustc"], 0), &sink, &cancel)).unwrap_err();
    assert!(matches!(missing, ExecuteError::MissingTool { .. }));
    cancel.cancel();
    assert!(matches!(
        block_on(outer.execute(&job(&["echo"], 0), &sink, &cancel)),
        Err(ExecuteError::Cancelled)
    ));

    let seen: Vec<_> = inner
        .recordings()
        .into_iter()
        .map(|r| (r.spec.argv().unwrap()[0].clone(), r.attempt, r.outcome))
        .collect();
    let words = "program `rustc` not found (looked in the builtins); install it, or build it and name it in `tools`";
    let expected = [
        ("echo", 0, Outcome::Ended(Exit::Code(0))),
        ("false", 1, Outcome::Ended(Exit::Code(1))),
        ("rustc", 0, Outcome::Failed(words.into())),
        ("echo", 0, Outcome::Failed("cancelled".into())),
    ]
    .map(|(program, attempt, outcome)| (program.to_owned(), attempt, outcome));
    assert_eq!(seen, expected);
}

#[test]
fn a_dry_run_runs_nothing_and_says_what_it_would() {
    let dry = RecordingExecutor::dry_run(F);
    let cancel = CancellationToken::new();
    let executed = block_on(dry.execute(&job(&["rm", "-rf", "/"], 0), &NoSink, &cancel)).unwrap();
    assert_eq!(
        (executed.exit, executed.stdout, executed.outputs),
        (Exit::Code(0), F.empty(), Vec::new())
    );
    assert_eq!(dry.recordings()[0].spec.argv().unwrap(), ["rm", "-rf", "/"]);
    cancel.cancel();
    assert!(block_on(dry.execute(&job(&["x"], 0), &NoSink, &cancel)).is_err());
    assert_eq!(dry.recordings().len(), 2);
}

#[test]
fn only_what_ended_by_itself_is_a_result() {
    let dry = RecordingExecutor::dry_run(F);
    let mut executed =
        block_on(dry.execute(&job(&["x"], 0), &NoSink, &CancellationToken::new())).unwrap();
    assert!(ActionResult::from_executed(&executed, None).is_some());
    for exit in [
        Exit::Signal(9),
        Exit::TimedOut {
            after: std::time::Duration::from_secs(1),
        },
    ] {
        executed.exit = exit;
        assert!(ActionResult::from_executed(&executed, None).is_none());
        assert!(!executed.succeeded());
    }
}
