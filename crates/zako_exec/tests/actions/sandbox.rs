//! What actions see and leave at `enhanced` and `maximum`, with real namespaces.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::world::{World, path, shell};
use zako_action::{ActionBody, ActionSpec, ExecuteError, Exit, Isolation, Stdin};

const LEVELS: [Isolation; 2] = [Isolation::Enhanced, Isolation::Maximum];

/// A layer that is shown as it is can't be written to; all else is as with an overlay.
#[tokio::test]
async fn large_trees_come_whole_beside_outputs_and_other_inputs() {
    let names: Vec<String> = (0..1000)
        .map(|n| format!("lib/d{}/e/f{n}", n % 9))
        .collect();
    let Some(w) = World::new(&[("lib/d3/own", "own"), ("lib/d4/old", "old")]) else {
        return;
    };
    for name in &names {
        w.write(name, name);
    }
    let script = "find lib -type f | wc -l; cat lib/d3/own lib/d3/e/f3; echo new > lib/d4/old; : > lib/d5/e/new; : > x; \
                  (: > lib/d6/e/f6) 2>/dev/null || true; (: > lib/d6/e/more) 2>/dev/null || true; find lib -type f | wc -l";
    let mut spec = shell(script, &["lib/d3/own"], &["lib/d4/old", "lib/d5/e/new"]);
    spec.staged = names.iter().map(|name| path(name)).collect();
    let executed = w.run(spec).await.unwrap();
    let printed = w.printed(&executed);
    assert_eq!(executed.exit, Exit::Code(0), "{printed}");
    assert!(printed.starts_with("1001\nownlib/d3/e/f3100"), "{printed}");
    assert_eq!(w.output(&executed), "new\n");
    let untouched = fs::read_to_string(w.workspace.join("lib/d6/e/f6")).unwrap();
    assert_eq!(untouched, "lib/d6/e/f6");
    let layers = w.workspace.join(".zako/exec/shared/layers");
    for layer in fs::read_dir(layers).unwrap().flatten() {
        assert!(!layer.path().join("lib/d6/e/more").exists());
        if let Ok(text) = fs::read_to_string(layer.path().join("lib/d6/e/f6")) {
            assert_eq!(text, "lib/d6/e/f6");
        }
    }
}

#[tokio::test]
async fn a_sandbox_that_was_cleared_can_be_used_again() {
    let names: Vec<String> = (0..20).map(|n| format!("a/f{n}")).collect();
    let Some(w) = World::new(&[]) else { return };
    names.iter().for_each(|name| w.write(name, name));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let executed = w.run(shell("cat $in | wc -c", &names, &[])).await.unwrap();
        assert_eq!(w.printed(&executed), "90\n");
        w.sandbox.clear().unwrap();
        assert!(!w.workspace.join(".zako/exec/shared").exists());
    }
    assert_eq!(w.sandbox.counts().layers_built, 2);
}

#[tokio::test]
async fn only_declared_inputs_are_there() {
    for level in LEVELS {
        let Some(w) = World::new(&[("a/one", "1"), ("a/two", "2"), ("a/secret", "3")]) else {
            return;
        };
        let script = "cat $in > $out; find . -type f | sort; pwd; realpath a/one; ls /; cat a/secret || true";
        let spec = shell(script, &["a/one", "a/two"], &["zako-out/a/x"]);
        let executed = w.run_at(spec, level).await.unwrap();
        assert_eq!(executed.exit, Exit::Code(0), "{}", w.printed(&executed));
        assert_eq!(w.output(&executed), "12");
        let printed = w.printed(&executed);
        let expected = "./a/one\n./a/two\n./zako-out/a/x\n/workspace\n/workspace/a/one\n";
        assert!(printed.starts_with(expected), "{printed}");
        assert!(printed.contains("a/secret: No such file"), "{printed}");
        for folder in ["home", "root", "work"] {
            assert!(!printed.lines().any(|line| line == folder), "{printed}");
        }
        let produced_at = executed.outputs[0].produced_at.clone().unwrap();
        assert_eq!(fs::read_to_string(produced_at).unwrap(), "12");
        assert!(!w.workspace.join("zako-out").exists());
    }
}

#[tokio::test]
async fn it_is_the_same_user_host_and_home_on_every_machine() {
    let Some(w) = World::new(&[]) else { return };
    let script = "id -u; id -un; uname -n; echo $HOME $TMPDIR $PATH; ls -A /tmp; echo $$";
    let executed = w.run(shell(script, &[], &[])).await.unwrap();
    assert_eq!(
        w.printed(&executed),
        "1000\nzako\nzako\n/nonexistent /tmp /usr/local/bin:/usr/bin:/bin\n2\n"
    );
}

#[tokio::test]
async fn what_is_written_beside_outputs_is_thrown_away() {
    let Some(w) = World::new(&[("a/in", "in"), ("a/gone", "stays")]) else {
        return;
    };
    let before = w.files();
    let (time, inode) = {
        let found = fs::metadata(w.workspace.join("a/in")).unwrap();
        ((found.ctime(), found.ctime_nsec()), found.ino())
    };
    let script = "echo more >> a/in; rm a/gone; chmod 000 a; chmod 755 a; echo x > a/new; \
                  echo x > /tmp/t; ! echo x > /usr/t; ! echo x > /t; cat a/in > $out";
    let spec = shell(script, &["a/in", "a/gone"], &["zako-out/o"]);
    let executed = w.run(spec).await.unwrap();
    assert_eq!(executed.exit, Exit::Code(0), "{}", w.printed(&executed));
    assert_eq!(w.output(&executed), "inmore\n");
    assert_eq!(w.files(), before);
    let found = fs::metadata(w.workspace.join("a/in")).unwrap();
    assert_eq!(
        ((found.ctime(), found.ctime_nsec()), found.ino()),
        (time, inode)
    );
}

#[tokio::test]
async fn outputs_of_earlier_actions_are_linked_and_safe() {
    let Some(w) = World::new(&[("zako-out/lib", "built")]) else {
        return;
    };
    let script = "cat $in > $out; echo broken > zako-out/lib; chmod 777 zako-out/lib";
    let executed = w
        .run(shell(script, &["zako-out/lib"], &["zako-out/o"]))
        .await
        .unwrap();
    assert_eq!(w.output(&executed), "built");
    let place = w.workspace.join("zako-out/lib");
    assert_eq!(fs::read_to_string(&place).unwrap(), "built");
    assert_eq!(
        fs::metadata(&place).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let many: Vec<String> = (0..20).map(|n| format!("zako-out/o{n}")).collect();
    many.iter().for_each(|name| w.write(name, "built"));
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let script = "cat $in > $out; for f in $in; do echo broken > $f; chmod 777 $f; done";
    let executed = w.run(shell(script, &names, &["zako-out/o"])).await.unwrap();
    assert_eq!(w.output(&executed), "built".repeat(20));
    let place = w.workspace.join("zako-out/o7");
    assert_eq!(fs::read_to_string(&place).unwrap(), "built");
    assert_eq!(
        fs::metadata(&place).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let counts = w.sandbox.counts();
    assert_eq!((counts.linked, counts.copied), (20, 0));
}

#[tokio::test]
async fn directories_come_whole_and_outputs_may_lie_inside() {
    let Some(w) = World::new(&[("d/a", "a"), ("d/sub/b", "b"), ("d/old", "old")]) else {
        return;
    };
    symlink("a", w.workspace.join("d/link")).unwrap();
    let script = "test ! -e d/old; cat d/a d/sub/b d/link > d/old; mkdir -p o/x; cp -r d/sub o/x; find d | sort";
    let executed = w
        .run(shell(script, &["d"], &["d/old", "o/"]))
        .await
        .unwrap();
    assert_eq!(executed.exit, Exit::Code(0), "{}", w.printed(&executed));
    assert_eq!(w.output(&executed), "aba");
    assert_eq!(
        w.printed(&executed),
        "d\nd/a\nd/link\nd/old\nd/sub\nd/sub/b\n"
    );
    assert_eq!(
        fs::read_to_string(w.workspace.join("d/old")).unwrap(),
        "old"
    );
    let folder = executed.outputs[1].produced_at.clone().unwrap();
    assert_eq!(fs::read_to_string(folder.join("x/sub/b")).unwrap(), "b");
    let mut names = [0u8; 256];
    let names = rustix::fs::listxattr(&folder, &mut names[..]).unwrap();
    assert_eq!(names, 0, "no traces of the overlay");
}

#[tokio::test]
async fn links_as_outputs_stand_for_what_they_lead_to() {
    let Some(w) = World::new(&[("a/in", "in")]) else {
        return;
    };
    let script = "ln -s ../a/in zako-out/rel; ln -s /workspace/a/in zako-out/abs; echo own > zako-out/own; ln -s own zako-out/sibling";
    let outputs = [
        "zako-out/rel",
        "zako-out/abs",
        "zako-out/own",
        "zako-out/sibling",
    ];
    let executed = w.run(shell(script, &["a/in"], &outputs)).await.unwrap();
    let read = |at: usize| {
        let place = executed.outputs[at].produced_at.clone().unwrap();
        assert!(!place.is_symlink());
        fs::read_to_string(place).unwrap()
    };
    assert_eq!([read(0), read(1), read(3)], ["in", "in", "own\n"]);
}

#[tokio::test]
async fn a_tool_of_the_workspace_runs_with_its_interpreter() {
    let Some(w) = World::new(&[("tools/greet", "#!/bin/sh\necho hello from $0\n")]) else {
        return;
    };
    let tool = w.workspace.join("tools/greet");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let argv = vec!["tools/greet".to_owned()];
    let mut spec = ActionSpec::new("//a:t", "test", ActionBody::Command { argv });
    spec.inputs = vec![path("tools/greet")];
    let executed = w.run(spec.clone()).await.unwrap();
    assert_eq!(w.printed(&executed), "hello from /workspace/tools/greet\n");

    fs::write(&tool, "#!/no/such/interpreter\n").unwrap();
    let error = w.run(spec).await.unwrap_err().to_string();
    assert!(
        error.contains("the interpreter in its first line"),
        "{error}"
    );
}

#[tokio::test]
async fn a_toolchain_elsewhere_is_shown_and_its_neighbours_are_not() {
    let Some(w) = World::new(&[]) else { return };
    let home = w.dir.path().canonicalize().unwrap();
    let bin = home.join("tools/lang/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(home.join("tools/lang/data"), "data\n").unwrap();
    fs::write(home.join("tools/other"), "").unwrap();
    fs::write(
        bin.join("run"),
        "#!/bin/sh\nhere=$(dirname $0)\ncat $here/../data\nls $here/../..\n",
    )
    .unwrap();
    fs::set_permissions(bin.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let argv = vec![bin.join("run").display().to_string()];
    let spec = ActionSpec::new("//a:t", "test", ActionBody::Command { argv });
    let executed = w.run(spec).await.unwrap();
    assert_eq!(w.printed(&executed), "data\nlang\n");
}

#[tokio::test]
async fn large_sources_are_shown_in_their_place() {
    let Some(w) = World::new(&[]) else { return };
    let large = "x".repeat(5 << 20);
    w.write("a/large", &large);
    let script = "wc -c < a/large; realpath a/large; ! echo x >> a/large";
    let executed = w.run(shell(script, &["a/large"], &[])).await.unwrap();
    assert!(
        w.printed(&executed)
            .starts_with("5242880\n/workspace/a/large\n"),
        "{}",
        w.printed(&executed)
    );
    assert_eq!(w.sandbox.counts().copied, 0);
    assert_eq!(
        fs::metadata(w.workspace.join("a/large")).unwrap().len(),
        5 << 20
    );
}

/// Ten thousand shared inputs cost ten thousand links once, and none for the next action.
#[tokio::test]
async fn ten_thousand_inputs_are_laid_out_once() {
    const FILES: usize = 10_000;
    let names: Vec<String> = (0..FILES)
        .map(|n| format!("lib/d{}/f{n}.h", n % 100))
        .collect();
    let Some(w) = World::new(&[("src/a.c", "a"), ("src/b.c", "b")]) else {
        return;
    };
    for name in &names {
        w.write(name, "");
    }
    let action = |source: &str| {
        let mut spec = shell("find lib -type f | wc -l; cat $in", &[source], &[]);
        spec.staged = names.iter().map(|name| path(name)).collect();
        spec
    };
    let executed = w.run(action("src/a.c")).await.unwrap();
    assert_eq!(w.printed(&executed), "10000\na");
    let first = w.sandbox.counts();
    assert!(first.linked >= FILES as u64);
    assert_eq!(first.copied, 1, "all headers are the same empty file");
    let executed = w.run(action("src/b.c")).await.unwrap();
    assert_eq!(w.printed(&executed), "10000\nb");
    let second = w.sandbox.counts();
    assert_eq!(second.linked, first.linked);
    assert_eq!(second.layers_built, first.layers_built);
    assert!(second.layers_reused > first.layers_reused);
}

#[tokio::test]
async fn an_input_that_is_not_what_was_keyed_is_no_input() {
    let Some(w) = World::new(&[]) else { return };
    let names: Vec<String> = (0..20).map(|n| format!("a/f{n}")).collect();
    names.iter().for_each(|name| w.write(name, name));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let job = w.job(shell("true", &names, &[]), Isolation::Enhanced);
    w.write("a/f7", "b/f7");
    let cancel = tokio_util::sync::CancellationToken::new();
    let run = zako_action::Executor::execute(&w.executor, &job, &zako_action::NoSink, &cancel);
    assert!(matches!(run.await, Err(ExecuteError::InputChanged { .. })));
}

/// Outputs beside inputs, and apart from them: one is an overlay on disk, the other a real folder.
#[tokio::test]
async fn outputs_may_lie_beside_inputs_or_apart() {
    let Some(w) = World::new(&[("src/a", "a"), ("zako-out/p/in", "in")]) else {
        return;
    };
    for (inputs, output) in [
        (&["src/a"][..], "zako-out/p/out"),
        (&["zako-out/p/in"][..], "zako-out/p/out"),
        (&["src/a"][..], "src/out"),
        (&["src/a"][..], "out"),
    ] {
        let script = "cat $in > $out; echo junk > $out.junk; mkdir -p x/y; echo junk > x/y/z; find . -type f | sort";
        let executed = w.run(shell(script, inputs, &[output])).await.unwrap();
        let mut expected = [
            format!("./{}", inputs[0]),
            format!("./{output}"),
            format!("./{output}.junk"),
            "./x/y/z".to_owned(),
        ];
        expected.sort();
        assert_eq!(w.printed(&executed), expected.join("\n") + "\n", "{output}");
        let produced_at = executed.outputs[0].produced_at.clone().unwrap();
        let content = fs::read_to_string(&produced_at).unwrap();
        assert_eq!(content, if inputs[0] == "src/a" { "a" } else { "in" });
        fs::rename(produced_at, w.workspace.join("taken")).unwrap();
        zako_exec::recycle(&w.workspace.join(".zako/exec/1")).unwrap();
    }
    fs::remove_file(w.workspace.join("taken")).unwrap();
    assert_eq!(
        w.files(),
        [
            ("src/a".to_owned(), "a".to_owned()),
            ("zako-out/p/in".to_owned(), "in".to_owned())
        ]
    );
}

#[tokio::test]
async fn the_network_is_a_permission() {
    let Some(w) = World::new(&[]) else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached");
    let action = |network| {
        let argv = ["/bin/bash", "-c", &script].map(str::to_owned).to_vec();
        let mut spec = ActionSpec::new("//a:t", "test", ActionBody::Command { argv });
        spec.network = network;
        spec
    };
    for level in LEVELS {
        let executed = w.run_at(action(true), level).await.unwrap();
        assert_eq!(w.printed(&executed), "reached\n");
        let executed = w.run_at(action(false), level).await.unwrap();
        assert!(
            w.printed(&executed).contains("Connection refused"),
            "loopback is up, and nobody there"
        );
        let listed = w
            .run_at(shell("cat /proc/net/dev | grep -c :", &[], &[]), level)
            .await
            .unwrap();
        assert_eq!(w.printed(&listed), "1\n", "loopback alone");
    }
}

#[tokio::test]
async fn zako_itself_is_out_of_reach() {
    let Some(w) = World::new(&[]) else { return };
    let script = "for f in /proc/1/fd/*; do readlink $f && echo READ; done; for f in mem environ maps root/; do if ls /proc/1/$f/ 2>/dev/null || head -c1 /proc/1/$f 2>/dev/null; then echo READ $f; fi; done; \
                  kill -9 1; set -- /proc/[0-9]*; echo $#; echo alive";
    for level in LEVELS {
        let executed = w.run_at(shell(script, &[], &[]), level).await.unwrap();
        let printed = w.printed(&executed);
        assert_eq!(executed.exit, Exit::Code(0), "{printed}");
        // The first process of the sandbox and its shell, which counts by itself: nobody of outside.
        assert_eq!(printed, "2\nalive\n");
    }
}

#[tokio::test]
async fn maximum_refuses_calls_that_no_build_needs() {
    let Some(w) = World::new(&[]) else { return };
    let script = "unshare -Ur true 2>&1 && echo MADE; mount -t tmpfs x /tmp 2>&1 && echo MOUNTED; (echo ok) | cat";
    let executed = w
        .run_at(shell(script, &[], &[]), Isolation::Maximum)
        .await
        .unwrap();
    let printed = w.printed(&executed);
    assert!(
        !printed.contains("MADE") && !printed.contains("MOUNTED"),
        "{printed}"
    );
    assert!(
        printed.contains("Operation not permitted") && printed.ends_with("ok\n"),
        "{printed}"
    );
}

#[tokio::test]
async fn devices_stdin_and_long_lists_work() {
    let names: Vec<String> = (0..3000)
        .map(|n| format!("a/a-rather-long-name-for-a-file-{n:05}-{}", "x".repeat(40)))
        .collect();
    let Some(w) = World::new(&[("a/in", "from a file")]) else {
        return;
    };
    for name in &names {
        w.write(name, "");
    }
    let script = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo s > /dev/shm/x; cat /dev/stdin; echo err > /dev/stderr";
    let mut spec = shell(script, &["a/in"], &[]);
    spec.stdin = Some(Stdin::File(path("a/in")));
    let executed = w.run(spec).await.unwrap();
    assert_eq!(w.printed(&executed), "3\n3\nfrom a fileerr\n");

    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let executed = w
        .run(shell("tr -cd '\\0' < $in_file | wc -c", &names, &[]))
        .await
        .unwrap();
    assert_eq!(w.printed(&executed).trim(), "3000");
}

#[tokio::test]
async fn compilers_work_and_their_paths_do_not_vary() {
    let Some(w) = World::new(&[
        (
            "src/a.c",
            "#include \"a.h\"\nint main(void) { return N; }\n",
        ),
        ("src/a.h", "#define N 7\n"),
    ]) else {
        return;
    };
    if !std::path::Path::new("/usr/bin/cc").exists() {
        println!("skipped: no C compiler");
        return;
    }
    let mut spec = shell(
        "cc -g -MD -MF $out.d -o $out src/a.c && $out || echo $?; strings -a $out | grep -c /workspace",
        &["src/a.c"],
        &["zako-out/a"],
    );
    spec.staged = vec![path("src/a.h")];
    spec.depfile = Some(path("zako-out/a.d"));
    let executed = w.run(spec.clone()).await.unwrap();
    assert_eq!(
        w.printed(&executed).lines().next(),
        Some("7"),
        "{}",
        w.printed(&executed)
    );
    let depfile = String::from_utf8(executed.depfile.clone().unwrap().to_vec()).unwrap();
    assert!(depfile.contains("src/a.h"), "{depfile}");
    // The same in a workspace elsewhere.
    let other = World::new(&[
        (
            "src/a.c",
            "#include \"a.h\"\nint main(void) { return N; }\n",
        ),
        ("src/a.h", "#define N 7\n"),
    ])
    .unwrap();
    let again = other.run(spec.clone()).await.unwrap();
    assert_eq!(executed.outputs[0].file, again.outputs[0].file);

    spec.staged.clear();
    let executed = w.run(spec).await.unwrap();
    assert!(
        w.printed(&executed).contains("a.h: No such file"),
        "{}",
        w.printed(&executed)
    );
}

#[tokio::test]
async fn what_it_used_is_recorded() {
    let Some(w) = World::new(&[]) else { return };
    for level in LEVELS {
        let script = "dd if=/dev/zero of=/dev/null bs=400M count=1 2>/dev/null; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3";
        let executed = w.run_at(shell(script, &[], &[]), level).await.unwrap();
        assert_eq!(executed.exit, Exit::Code(3));
        let usage = executed.usage;
        assert!(
            usage.max_rss_bytes >= 400 << 20 && usage.max_rss_bytes < 500 << 20,
            "{usage:?}"
        );
        assert!(
            usage.user + usage.system > std::time::Duration::from_millis(1),
            "{usage:?}"
        );
        let killed = w
            .run_at(shell("kill -SEGV $$", &[], &[]), level)
            .await
            .unwrap();
        assert_eq!(killed.exit, Exit::Signal(11));
    }
}

#[tokio::test]
async fn missing_outputs_are_named_with_what_was_written_instead() {
    let Some(w) = World::new(&[]) else { return };
    let spec = shell("echo x > zako-out/tabel.txt", &[], &["zako-out/table.txt"]);
    let job = w.job(spec.clone(), Isolation::Enhanced);
    let error = w.run(spec).await.unwrap_err();
    assert!(
        matches!(&error, ExecuteError::MissingOutput { paths } if paths == &[path("zako-out/table.txt")])
    );
    let instead = w
        .executor
        .written_instead(&job, &path("zako-out/table.txt"));
    assert_eq!(instead, [path("zako-out/tabel.txt")]);
}
