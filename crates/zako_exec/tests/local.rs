//! Actions at `none` and `basic`, with real processes, files and a real store.
// The programs that it runs are shells; see `windows.rs`.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionSpec, ArtifactValue, ExecuteError, Executed, Executor, Exit, Isolation, Job,
    NoSink, OutputSink, Stdin, Stream, ToolRef,
};
use zako_cas::{Digest, DigestFunction, Store, StoreOptions};
use zako_exec::{BlockingPool, LocalExecutor};

mod support;

use support::{file_value, host_tool, path, shell};

struct Fixture {
    _dir: tempfile::TempDir,
    workspace: PathBuf,
    scratch: PathBuf,
    store: Store,
    executor: LocalExecutor,
}

impl Fixture {
    /// A workspace with these files.
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let workspace = base.join("workspace");
        fs::create_dir(&workspace).unwrap();
        for (name, text) in files {
            let place = workspace.join(name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }
        let store = Store::open(StoreOptions::new(base.join("store"))).unwrap();
        let executor = LocalExecutor::new(store.clone(), BlockingPool::new(&Handle::current()))
            .with_grace(Duration::from_millis(50));
        Self {
            scratch: workspace.join(".zako/tmp/1"),
            workspace,
            store,
            executor,
            _dir: dir,
        }
    }

    fn job(&self, spec: ActionSpec, isolation: Isolation) -> Job {
        let folders = (&*self.workspace, self.scratch.clone());
        support::job(spec, isolation, folders, vec![host_tool("sh")], |path| {
            file_value(&path.to_os_path(&self.workspace))
        })
    }

    async fn run(&self, spec: ActionSpec, isolation: Isolation) -> Result<Executed, ExecuteError> {
        self.executor
            .execute(
                &self.job(spec, isolation),
                &NoSink,
                &CancellationToken::new(),
            )
            .await
    }

    async fn basic(&self, spec: ActionSpec) -> Result<Executed, ExecuteError> {
        self.run(spec, Isolation::Basic).await
    }

    fn text(&self, digest: &Digest) -> String {
        String::from_utf8(
            self.store
                .get(digest)
                .unwrap()
                .expect("in the store")
                .to_vec(),
        )
        .unwrap()
    }

    fn value(&self, executed: &Executed) -> (String, bool) {
        match &executed.outputs[0].file.value {
            ArtifactValue::File { digest, executable } => (self.text(digest), *executable),
            other => panic!("{other:?} is no file"),
        }
    }
}

const BOTH: [Isolation; 2] = [Isolation::None, Isolation::Basic];

#[tokio::test]
async fn a_shell_action_reads_inputs_and_writes_outputs() {
    for isolation in BOTH {
        let f = Fixture::new(&[("a/one", "1"), ("a/two", "2")]);
        let mut spec = shell(
            "cat $in > $out; echo $in $out_h; echo oops >&2",
            &["a/one", "a/two"],
            &["zako-out/a/x"],
        );
        spec.outputs[0].name = Some("h".to_owned());
        let executed = f.run(spec, isolation).await.unwrap();
        assert_eq!(executed.exit, Exit::Code(0));
        assert_eq!(f.value(&executed), ("12".to_owned(), false));
        assert_eq!(f.text(&executed.stdout), "a/one a/two zako-out/a/x\n");
        assert_eq!(f.text(&executed.stderr), "oops\n");
        let produced_at = executed.outputs[0].produced_at.clone().unwrap();
        assert_eq!(fs::read_to_string(&produced_at).unwrap(), "12");
        assert_eq!(
            produced_at == f.workspace.join("zako-out/a/x"),
            isolation == Isolation::None
        );
    }
}

#[tokio::test]
async fn at_basic_the_rest_of_the_workspace_is_not_there() {
    let f = Fixture::new(&[("a/declared", "yes"), ("a/hidden", "no")]);
    let executed = f
        .basic(shell("ls a; touch a/stray; pwd", &["a/declared"], &[]))
        .await
        .unwrap();
    let root = f.scratch.join("root");
    assert_eq!(
        f.text(&executed.stdout),
        format!("declared\n{}\n", root.display())
    );
    assert!(!f.workspace.join("a/stray").exists());
    f.executor
        .clean(&f.job(shell("", &[], &[]), Isolation::Basic))
        .unwrap();
    assert!(!f.scratch.exists());
}

#[tokio::test]
async fn the_environment_is_constants_and_what_is_declared() {
    for isolation in BOTH {
        let f = Fixture::new(&[]);
        let mut spec = ActionSpec::new(
            "//a:t",
            "test",
            ActionBody::Command {
                argv: vec!["env".to_owned()],
            },
        );
        spec.env = [
            ("LANG".to_owned(), "de_DE".to_owned()),
            ("X".to_owned(), "y z".to_owned()),
        ]
        .into();
        let executed = f.run(spec, isolation).await.unwrap();
        let text = f.text(&executed.stdout);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let tmp = format!("TMPDIR={}", f.scratch.join("tmp").display());
        assert_eq!(
            lines,
            [
                "HOME=/nonexistent",
                "LANG=de_DE",
                "PATH=/usr/local/bin:/usr/bin:/bin",
                &tmp,
                "TZ=UTC",
                "X=y z"
            ]
        );
        assert!(f.scratch.join("tmp").is_dir());
    }
}

#[tokio::test]
async fn a_folder_as_input_is_one_link_and_may_hold_an_output() {
    let f = Fixture::new(&[
        ("p/src/x", "x"),
        ("p/package.json", "{}"),
        ("p/dist/old", "old"),
    ]);
    let script = "test -L p/src; cat p/src/x p/package.json > p/dist; test ! -L p";
    let executed = f.basic(shell(script, &["p"], &["p/dist"])).await.unwrap();
    assert_eq!(f.value(&executed).0, "x{}");
    assert_eq!(
        fs::read_to_string(f.workspace.join("p/dist/old")).unwrap(),
        "old",
        "the workspace is as before"
    );
    let executed = f
        .basic(shell("test -L p; cat p/src/x > out", &["p"], &["out"]))
        .await
        .unwrap();
    assert_eq!(executed.exit, Exit::Code(0));
}

#[tokio::test]
async fn an_input_that_is_an_output_is_refused() {
    let f = Fixture::new(&[("a/x", "")]);
    for (input, output) in [("a/x", "a/x"), ("a/x/y", "a/x")] {
        let error = f
            .basic(shell("true", &[input], &[output]))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("is an input and an output"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn directories_become_trees() {
    for isolation in BOTH {
        let f = Fixture::new(&[]);
        let script = "mkdir -p $out/sub/empty; echo x > $out/sub/x; chmod +x $out/sub/x; ln -s sub/x $out/link";
        let executed = f
            .run(shell(script, &[], &["zako-out/a/d/"]), isolation)
            .await
            .unwrap();
        let ArtifactValue::Directory { tree } = executed.outputs[0].file.value else {
            panic!("no directory")
        };
        let entries = f.store.read_tree(&tree).unwrap().walk().unwrap();
        let mut names: Vec<&str> = entries.iter().map(|(path, _)| path.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["link", "sub", "sub/empty", "sub/x"]);
    }
}

#[tokio::test]
async fn links_may_not_leave_their_directory() {
    let f = Fixture::new(&[("a/x", "")]);
    for target in ["/etc/passwd", "../x", "../../d/../../x"] {
        let script = format!("mkdir -p $out/s; ln -s {target} $out/s/l");
        let result = f.basic(shell(&script, &[], &["o/d/"])).await;
        let inside = target == "../x";
        assert_eq!(result.is_ok(), inside, "{target}");
        if let Err(error) = result {
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("`o/d/s/l` links to `{target}`, which is outside"))
            );
        }
    }
}

#[tokio::test]
async fn a_file_output_that_is_a_link_counts_as_its_content() {
    let f = Fixture::new(&[("a/x", "content")]);
    let executed = f
        .basic(shell("ln -s ../a/x o/l", &["a/x"], &["o/l"]))
        .await
        .unwrap();
    assert_eq!(f.value(&executed).0, "content");
    let place = executed.outputs[0].produced_at.clone().unwrap();
    assert!(
        !fs::symlink_metadata(place).unwrap().is_symlink(),
        "it can be moved"
    );
}

#[tokio::test]
async fn executable_is_kept() {
    let f = Fixture::new(&[]);
    let executed = f
        .basic(shell("echo x > $out; chmod 755 $out", &[], &["o"]))
        .await
        .unwrap();
    assert_eq!(f.value(&executed), ("x\n".to_owned(), true));
}

#[tokio::test]
async fn all_missing_outputs_are_named() {
    let f = Fixture::new(&[]);
    let spec = shell(
        "echo > there; echo > report.html",
        &[],
        &["o/report.htm", "there", "o/other"],
    );
    let job = f.job(spec, Isolation::Basic);
    let error = f
        .executor
        .execute(&job, &NoSink, &CancellationToken::new())
        .await
        .unwrap_err();
    let ExecuteError::MissingOutput { paths } = error else {
        panic!("{error}")
    };
    assert_eq!(paths, [path("o/report.htm"), path("o/other")]);
    assert_eq!(
        f.executor.written_instead(&job, &paths[0]),
        [path("report.html")]
    );
    assert_eq!(f.executor.written_instead(&job, &paths[1]), []);
}

#[tokio::test]
async fn kinds_are_checked() {
    let f = Fixture::new(&[]);
    let error = f.basic(shell("mkdir o", &[], &["o"])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`o` is declared as a file, but the action wrote a directory"
    );
    let error = f.basic(shell("touch o", &[], &["o/"])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`o` is declared as a directory, but the action wrote a file"
    );
}

#[tokio::test]
async fn at_none_old_outputs_do_not_count_and_failures_leave_none() {
    let f = Fixture::new(&[("zako-out/x", "old")]);
    let error = f
        .run(shell("true", &[], &["zako-out/x"]), Isolation::None)
        .await
        .unwrap_err();
    assert!(matches!(error, ExecuteError::MissingOutput { .. }));
    let executed = f
        .run(
            shell("echo half > $out; exit 3", &[], &["zako-out/x"]),
            Isolation::None,
        )
        .await
        .unwrap();
    assert_eq!((executed.exit, executed.outputs.len()), (Exit::Code(3), 0));
    assert!(!f.workspace.join("zako-out/x").exists());
}

#[tokio::test]
async fn stronger_levels_and_scripts_are_refused() {
    let f = Fixture::new(&[]);
    let error = f
        .run(shell("true", &[], &[]), Isolation::Maximum)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "local cannot run this action: it needs a sandbox, and this executor was made without one"
    );
    let body = ActionBody::Script {
        module: path("a.script.ts"),
        args: serde_json::Value::Null,
    };
    let error = f
        .basic(ActionSpec::new("//a:t", "test", body))
        .await
        .unwrap_err();
    assert!(matches!(error, ExecuteError::Unsupported { .. }));
}

#[tokio::test]
async fn a_missing_tool_is_named() {
    let f = Fixture::new(&[]);
    let argv = vec!["no-such-compiler".to_owned()];
    let error = f
        .basic(ActionSpec::new(
            "//a:t",
            "test",
            ActionBody::Command { argv },
        ))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("program `no-such-compiler` not found (looked in /usr/local/bin:")
    );
}

#[tokio::test]
async fn a_tool_of_the_workspace_runs_from_the_input_root() {
    let f = Fixture::new(&[("tools/gen", "#!/bin/sh\necho from $0\n")]);
    fs::set_permissions(
        f.workspace.join("tools/gen"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let body = ActionBody::Command {
        argv: vec!["tools/gen".to_owned()],
    };
    let mut spec = ActionSpec::new("//a:t", "test", body);
    spec.tools = vec![ToolRef::Artifact(path("tools/gen"))];
    let executed = f.basic(spec).await.unwrap();
    let expected = format!("from {}\n", f.scratch.join("root/tools/gen").display());
    assert_eq!(f.text(&executed.stdout), expected);
}

#[tokio::test]
async fn stdin_is_text_or_a_file() {
    let f = Fixture::new(&[("a/in", "of a file")]);
    let mut spec = shell("cat", &[], &[]);
    spec.stdin = Some(Stdin::Text("of text".to_owned()));
    assert_eq!(
        f.text(&f.basic(spec.clone()).await.unwrap().stdout),
        "of text"
    );
    spec.stdin = Some(Stdin::File(path("a/in")));
    spec.staged = vec![path("a/in")];
    assert_eq!(f.text(&f.basic(spec).await.unwrap().stdout), "of a file");
}

#[tokio::test]
async fn many_inputs_come_in_a_file() {
    let names: Vec<String> = (0..700)
        .map(|n| format!("src/{}-{n}", "x".repeat(100)))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let f = Fixture::new(&files);
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let script = "test -z \"${in-}\"; tr '\\0' '\\n' < $in_file | tail -n 1";
    let executed = f.basic(shell(script, &inputs, &[])).await.unwrap();
    assert_eq!(f.text(&executed.stdout), format!("{}\n", names[699]));
}

#[tokio::test]
async fn the_depfile_comes_back() {
    let f = Fixture::new(&[]);
    let mut spec = shell("echo 'o: a.h' > o.d; touch o", &[], &["o"]);
    spec.depfile = Some(path("o.d"));
    assert_eq!(
        f.basic(spec.clone()).await.unwrap().depfile.unwrap(),
        "o: a.h\n"
    );
    spec.body = ActionBody::Shell {
        script: "touch o".to_owned(),
    };
    assert_eq!(f.basic(spec).await.unwrap().depfile, None);
}

#[derive(Default)]
struct Seen(Mutex<Vec<u8>>);

impl OutputSink for Seen {
    fn write(&self, _: Stream, chunk: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(chunk);
    }
}

#[tokio::test]
async fn output_is_streamed_and_a_large_one_is_stored() {
    let f = Fixture::new(&[]);
    let sink = Seen::default();
    let job = f.job(
        shell("head -c 5000000 /dev/zero; echo end >&2", &[], &[]),
        Isolation::Basic,
    );
    let executed = f
        .executor
        .execute(&job, &sink, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(
        executed.stdout,
        DigestFunction::Blake3.hash(&vec![0; 5_000_000])
    );
    assert!(f.store.contains(&executed.stdout));
    assert_eq!(f.text(&executed.stderr), "end\n");
    assert_eq!(sink.0.lock().unwrap().len(), 5_000_004);
}

#[tokio::test]
async fn time_out_and_cancel_end_the_action() {
    let f = Fixture::new(&[]);
    let mut spec = shell("sleep 3600", &[], &[]);
    spec.timeout = Some(Duration::from_millis(50));
    let exit = f.basic(spec).await.unwrap().exit;
    assert_eq!(
        exit,
        Exit::TimedOut {
            after: Duration::from_millis(50)
        }
    );

    struct CancelAtOutput(CancellationToken);
    impl OutputSink for CancelAtOutput {
        fn write(&self, _: Stream, _: &[u8]) {
            self.0.cancel();
        }
    }
    let sink = CancelAtOutput(CancellationToken::new());
    let job = f.job(shell("echo up; sleep 3600", &[], &[]), Isolation::Basic);
    let error = f.executor.execute(&job, &sink, &sink.0).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Cancelled));
}

#[tokio::test]
async fn scratch_of_an_earlier_attempt_is_gone() {
    let f = Fixture::new(&[("a/x", "")]);
    fs::create_dir_all(f.scratch.join("root/locked")).unwrap();
    fs::write(f.scratch.join("root/o"), "stale").unwrap();
    symlink(&f.workspace, f.scratch.join("root/link")).unwrap();
    fs::set_permissions(
        f.scratch.join("root/locked"),
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    let error = f.basic(shell("ls >&2", &[], &["o"])).await.unwrap_err();
    assert!(matches!(error, ExecuteError::MissingOutput { .. }));
    assert!(f.workspace.join("a/x").exists(), "links are not followed");
}

/// Whatever the action before did to its links, the next one finds what it would find in a new folder.
#[tokio::test]
async fn links_of_the_action_before_are_used_and_never_trusted() {
    let files: Vec<String> = (0..6).map(|n| format!("d{}/e/f{n}", n % 2)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|name| (&**name, "")).collect();
    let f = Fixture::new(&files);
    fs::create_dir(f.workspace.join("whole")).unwrap();
    fs::write(f.workspace.join("whole/x"), "").unwrap();
    let look = "find . \\( -type l -printf '%p -> %l\\n' \\) -o \\( -type d -printf '%p %m %U %G\\n' \\) -o -print | sort";
    let inputs = ["d0/e/f0", "d0/e/f2", "d1/e/f1", "whole"];
    let look = format!("{look}; mkdir -p d1/out; : > whole/out; : > d1/out/o");
    let next = || shell(&look, &inputs, &["whole/out", "d1/out/o"]);
    let found = f.basic(next()).await.unwrap();
    let fresh = f.text(&found.stdout);
    assert_eq!(fresh.matches(" -> ").count(), 4, "{fresh}");
    zako_exec::recycle(&f.scratch).unwrap();
    for damage in [
        "true",
        "rm d0/e/f2; ln -s /etc/passwd d0/e/f2",
        "rm d0/e/f2; echo x > d0/e/f2; rm whole; echo x > whole; echo x > d1/more; mkfifo d1/fifo",
        "rm -r d0; ln -s $PWD/d1 d0; rm -r d1/e; mkdir d1/out; echo x > d1/out/o",
        "chmod 777 d0; chmod 1755 d1",
        "chmod 000 d0/e; chmod 000 d1",
        "rm -r d0 d1 whole; mkdir -p d0/e/f0/deep; chmod 000 .",
        "rm whole; mkdir whole; ln -s /etc/passwd whole/out; ln -s x whole/more",
    ] {
        // It has other inputs, too.
        let before = [
            "d0/e/f0", "d0/e/f2", "d0/e/f4", "d1/e/f1", "d1/e/f5", "whole",
        ];
        f.basic(shell(damage, &before, &[])).await.unwrap();
        zako_exec::recycle(&f.scratch).unwrap();
        let found = f.basic(next()).await.unwrap();
        zako_exec::recycle(&f.scratch).unwrap();
        let found = f.text(&found.stdout);
        assert_eq!(found, fresh, "{damage}");
    }
    assert!(f.workspace.join("whole/x").exists());
    assert!(!f.workspace.join("whole/out").exists());
}

#[tokio::test]
async fn a_scratch_folder_that_another_action_had_is_as_good_as_new() {
    let f = Fixture::new(&[]);
    let tmp = f.scratch.join("tmp");
    let leavings: [&dyn Fn(); 5] = [
        &|| assert!(!f.scratch.exists()),
        &|| assert!(tmp.is_dir()),
        &|| fs::write(tmp.join("x"), "").unwrap(),
        &|| fs::write(f.scratch.join("x"), "").unwrap(),
        &|| fs::set_permissions(&tmp, fs::Permissions::from_mode(0o500)).unwrap(),
    ];
    for leave in leavings {
        leave();
        let look = shell("find .zako/tmp", &[], &[]);
        let executed = f.run(look, Isolation::None).await.unwrap();
        let found = f.text(&executed.stdout);
        assert_eq!(found, ".zako/tmp\n.zako/tmp/1\n.zako/tmp/1/tmp\n");
        let mode = tmp.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o700, 0o700);
    }
}
