//! What an embedder brings and asks.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use zako_core::executor::{BreakerOptions, ExecuteError, Executed, Executor, Job, OutputSink};
use zako_core::{
    BuildOptions, BuiltinModule, ExecutorLayer, GlobalState, GlobalStateOptions, Session,
};

use crate::fixture::{Fixture, run, told};
use crate::process::global;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_answers_otherwise_evaluates_anew() {
    let answer = Arc::new(AtomicU32::new(1));
    let told_by = answer.clone();
    let module = BuiltinModule::new(
        "acme:env",
        "import { call } from \"zako:host\";\n/** The number of the day. */\nexport function number(): number { return call(\"number\", null); }\n",
    )
    .function("number", move |_| Ok(json!(told_by.load(Ordering::SeqCst))));
    let f = Fixture::with(
        &[
            (
                "a/BUILD.ts",
                "import { number } from \"acme:env\";\nimport { task } from \"zako:build\";\nexport const n = task({ outputs: [\"n\"], env: { N: `${number()}` }, shell: 'echo $N > \"$out\"' });\n",
            ),
            ("b/BUILD.ts", "export const other = 1;\n"),
        ],
        |options| options.builtins.push(module),
    );
    f.check(&["eval //a", "eval //b", "Ran //a:n"]).await;
    f.check(&[]).await;
    answer.store(2, Ordering::SeqCst);
    f.check(&["eval //a", "Ran //a:n"]).await;
    assert_eq!(f.read("zako-out/a/n"), "2\n");

    let files = f.session.write_types().unwrap();
    let types = f.root().join(".zako/types/acme/env.d.ts");
    assert!(files.contains(&types), "{files:?}");
    let text = std::fs::read_to_string(types).unwrap();
    assert!(
        text.contains("/** The number of the day. */")
            && text.contains("function number(): number"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_throws() {
    let module = BuiltinModule::new(
        "acme:env",
        "import { call } from \"zako:host\";\nexport const secret = (): string => call(\"secret\", { of: \"all\" });\n",
    )
    .function("secret", |args| Err(format!("no secret of {}", args["of"])));
    let f = Fixture::with(
        &[(
            "BUILD.ts",
            "import { secret } from \"acme:env\";\nexport const x = secret();\n",
        )],
        |options| options.builtins.push(module),
    );
    let text = told(f.build(&[]).await.error());
    assert!(
        text.starts_with("BUILD.ts:2:18: no secret of \"all\""),
        "{text}"
    );
}

#[test]
fn names_of_builtins_are_checked() {
    let temp = tempfile::tempdir().unwrap();
    for name in [
        "zako:x",
        "acme:../../x",
        "acme:",
        "env",
        "node:fs",
        "acme:a//b",
    ] {
        let mut options = GlobalStateOptions::new(temp.path());
        options
            .builtins
            .push(BuiltinModule::new(name, "export const x: number = 1;\n"));
        let error = GlobalState::new(options)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(
            error.contains("cannot be a builtin's name"),
            "{name}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_builtin_is_told_what_there_is() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        "import { x } from \"zako:gibberish\";\nexport { x };\n",
    )]);
    let text = told(f.build(&[]).await.error());
    assert!(
        text.contains("there is no builtin \"zako:gibberish\""),
        "{text}"
    );
    assert!(
        text.contains("zako:build") && !text.contains("zako:host") && !text.contains("zako:script"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_global_states_live_in_one_process() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        "import { task } from \"zako:build\";\nexport const x = task({ outputs: [\"x\"], shell: 'echo > \"$out\"' });\n",
    )]);
    let other = Fixture::new(&[("BUILD.ts", &f.read("BUILD.ts"))]);
    let (one, two) = tokio::join!(f.build(&[]), other.build(&[]));
    for built in [one, two] {
        assert_eq!(built.good().lines(), ["eval //", "Ran //:x"]);
    }
    // A later one with the same cache knows what the first made.
    f.session.clean().unwrap();
    let session = Session::open(global(&f.temp().join("cache")), &f.root()).unwrap();
    let built = run(&session, &[], BuildOptions::default()).await;
    assert_eq!(built.lines(), ["eval //", "FromCache //:x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_evaluated_without_a_file() {
    let f = Fixture::new(&[("lib.ts", "export const x = 1;\n")]);
    let eval = async |source: &str| {
        f.session
            .evaluate_text("snippet", source, &BuildOptions::default())
            .await
    };
    let done = eval("import { join } from \"zako:path\";\nconsole.warn(\"w\");\nexport const p: string = join(\"a\", \"b\");\nexport const l = [1, , 3n];\n")
        .await
        .unwrap();
    assert_eq!(done.exports, json!({ "l": [1, null, "3"], "p": "a/b" }));
    assert_eq!(done.logs.len(), 1);
    let place = done.logs[0].location.as_ref().unwrap();
    assert_eq!((place.file.as_str(), place.line), ("memory:snippet", 2));
    assert!(place.source.is_some());
    for (source, error) in [
        (
            "import { x } from \"./lib.ts\";\nexport { x };",
            "memory:snippet:1:19: memory:snippet may not import \"./lib.ts\"",
        ),
        (
            "import { x } from \"//lib.ts\";\nexport { x };",
            "memory:snippet:1:19: an in-memory module may not import \"//lib.ts\"",
        ),
        (
            "import { task } from \"zako:build\";\nexport { task };",
            "memory:snippet:1:22: an in-memory module may not import \"zako:build\"",
        ),
        ("export const x = ;", "memory:snippet:1:18: "),
        (
            "\nthrow new Error(\"no\");",
            "memory:snippet:2:7: no\n  in memory:snippet",
        ),
    ] {
        let text = told(&eval(source).await.unwrap_err());
        assert!(text.starts_with(error), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_evaluated_by_themselves() {
    let f = Fixture::new(&[
        (
            "BUILD.ts",
            "import { task } from \"zako:build\";\nexport const t = task({ outputs: { o: \"o\" }, shell: 'echo > \"$out\"' });\nexport const o = [t.out.o];\n",
        ),
        (
            "lib/x.ts",
            "export const f = () => 1;\nexport const y = { n: -0, inf: Infinity };\n",
        ),
        (
            "macro.ts",
            "import { task } from \"zako:build\";\nexport const t = task({ shell: \"x\" });\n",
        ),
    ]);
    let options = BuildOptions::default();
    let eval = async |path: &str| f.session.evaluate(&f.root().join(path), &options).await;
    assert_eq!(
        eval("BUILD.ts").await.unwrap().exports,
        json!({ "t": "//:t", "o": ["//:t#o"] })
    );
    let done = eval("lib/x.ts").await.unwrap();
    assert_eq!(done.exports["y"]["inf"], json!(null));
    assert!(
        done.logs[0].message.contains("f is a function")
            && done.logs[0].message.ends_with("it is left out"),
        "{:?}",
        done.logs
    );
    let text = told(&eval("macro.ts").await.unwrap_err());
    assert!(
        text.starts_with(
            "macro.ts:2:18: TypeError: task can be called only while a BUILD.ts file is evaluated"
        ),
        "{text}"
    );
    assert!(
        eval("zako.toml")
            .await
            .unwrap_err()
            .message
            .contains("scripts end in .ts")
    );
    assert!(
        eval("nothing.ts")
            .await
            .unwrap_err()
            .message
            .contains("cannot be read")
    );
    let outside = f
        .session
        .evaluate(Path::new("/dev/null"), &options)
        .await
        .unwrap_err();
    assert!(
        outside.message.contains("outside the workspace"),
        "{outside}"
    );
}

/// Two packages that each wait for the other can only end when both are evaluated at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn packages_are_evaluated_in_parallel() {
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let module = BuiltinModule::new(
        "acme:meet",
        "import { call } from \"zako:host\";\nexport const meet = (who: string): boolean => call(\"meet\", who);\n",
    )
    .function("meet", move |_| {
        // Each answer is asked for twice: by the script, and when it is recorded.
        barrier.wait();
        Ok(json!(true))
    });
    let package = |who: &str| {
        format!("import {{ meet }} from \"acme:meet\";\nexport const met = meet(\"{who}\");\n")
    };
    let f = Fixture::with(
        &[("a/BUILD.ts", &package("a")), ("b/BUILD.ts", &package("b"))],
        |options| {
            options.script_threads = Some(2);
            options.builtins.push(module);
        },
    );
    f.check(&["eval //a", "eval //b"]).await;
}

/// Fails by itself as long as it is told to, and counts how often it is asked.
struct Remote {
    own: Box<dyn Executor>,
    is_down: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
}

impl Executor for Remote {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<Executed, ExecuteError>> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.is_down.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(ExecuteError::Other("no server answers".into())) }),
            false => self.own.execute(job, sink, cancel),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_keeps_failing_is_left_alone_if_it_is_guarded() {
    const FAILURES: u32 = 3;
    let tasks: String = (0..8)
        .map(|at| format!("export const t{at} = task({{ outputs: [\"{at}\"], cpu: 1000, shell: 'echo > \"$out\"' }});\n"))
        .collect();
    let build = format!("import {{ task }} from \"zako:build\";\n{tasks}");
    let (is_down, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let layer = ExecutorLayer::new({
        let (is_down, asked) = (is_down.clone(), asked.clone());
        move |own, _store| {
            Box::new(Remote {
                own,
                is_down: is_down.clone(),
                asked: asked.clone(),
            })
        }
    });
    let with = |layer: ExecutorLayer| {
        Fixture::with(&[("BUILD.ts", &*build)], |options| {
            options.executor = Some(layer)
        })
    };
    // Alone, what fails fails the build.
    let f = with(layer.clone());
    let built = f.build(&["//:t0"]).await;
    assert!(told(built.error()).contains("no server answers"));

    // A pause that no test is as long as.
    let pause = Duration::from_secs(3600);
    let options = BreakerOptions {
        failures: FAILURES,
        pause,
        longest_pause: pause,
    };
    asked.store(0, Ordering::Relaxed);
    let f = with(layer.clone().guarded(options));
    // One after the other: each wants more processors than there are.
    f.build(&[]).await.good();
    assert_eq!(asked.load(Ordering::Relaxed), FAILURES);

    // With no pause at all each is a trial, and the first that goes well closes it.
    let options = BreakerOptions {
        pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        ..options
    };
    asked.store(0, Ordering::Relaxed);
    let f = with(layer.guarded(options));
    f.build(&["//:t0", "//:t1", "//:t2"]).await.good();
    is_down.store(false, Ordering::Relaxed);
    f.build(&[]).await.good();
    assert_eq!(asked.load(Ordering::Relaxed), 8);
}
