//! What runs again, and what does not.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_second_build_runs_nothing() {
    let world = World::new(&[("a", "1\n")]);
    let actions = [
        cat(&["a"], "zako-out/b"),
        cat(&["zako-out/b"], "zako-out/c"),
    ];
    let built = world.check(&actions, &[Ran, Ran]).await;
    assert_eq!(world.read("zako-out/c"), "1\n");
    let started = |event: &&BuildEvent| matches!(event, BuildEvent::ActionStarted(_));
    assert_eq!(built.events.iter().filter(started).count(), 2);
    let built = world.check(&actions, &[UpToDate, UpToDate]).await;
    assert_eq!(built.events.iter().filter(started).count(), 0);
    assert_eq!(
        built.summary.counts,
        ActionCounts {
            up_to_date: 2,
            ..ActionCounts::default()
        }
    );
    assert_eq!(
        fs::read_dir(world.place(".zako/exec")).unwrap().count(),
        0,
        "no scratch folder stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_edited_outputs_come_back() {
    let world = World::new(&[("a", "1\n")]);
    let actions = [
        cat(&["a"], "zako-out/b"),
        cat(&["zako-out/b"], "zako-out/c"),
    ];
    world.check(&actions, &[Ran, Ran]).await;
    fs::remove_file(world.place("zako-out/b")).unwrap();
    world.check(&actions, &[FromCache, UpToDate]).await;
    world.write("zako-out/c", "edited");
    world.check(&actions, &[UpToDate, FromCache]).await;
    assert_eq!(world.read("zako-out/c"), "1\n");
    fs::remove_dir_all(world.place("zako-out")).unwrap();
    world.write("zako-out", "a file in place of the folder");
    world.check(&actions, &[FromCache, FromCache]).await;
    assert_eq!(world.read("zako-out/b"), "1\n");
    fs::remove_file(world.place("zako-out/b")).unwrap();
    fs::create_dir_all(world.place("zako-out/b/c")).unwrap();
    world.check(&actions, &[FromCache, UpToDate]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_runs_its_dependents_until_something_comes_out_equal() {
    let world = World::new(&[("a", "1\n"), ("other", "x\n")]);
    let actions = [
        sh("head -n 1 $in > $out", &["a"], &["zako-out/head"]),
        cat(&["zako-out/head"], "zako-out/copy"),
        cat(&["other"], "zako-out/other"),
    ];
    world.check(&actions, &[Ran, Ran, Ran]).await;
    world.write("a", "1\nmore\n");
    world.check(&actions, &[Ran, UpToDate, UpToDate]).await;
    world.write("a", "2\nmore\n");
    world.check(&actions, &[Ran, Ran, UpToDate]).await;
    assert_eq!(world.read("zako-out/copy"), "2\n");
    world.write("a", "1\n");
    world
        .check(&actions, &[FromCache, FromCache, UpToDate])
        .await;
    assert_eq!(world.read("zako-out/copy"), "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_is_no_change_and_the_executable_bit_is_one() {
    let world = World::new(&[("a", "1\n")]);
    let actions = [sh("cp $in $out", &["a"], &["zako-out/b"])];
    world.check(&actions, &[Ran]).await;
    let file = fs::File::options()
        .write(true)
        .open(world.place("a"))
        .unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(1000))
        .unwrap();
    world.check(&actions, &[UpToDate]).await;
    fs::set_permissions(world.place("a"), fs::Permissions::from_mode(0o755)).unwrap();
    world.check(&actions, &[Ran]).await;
    let mode = || {
        fs::metadata(world.place("zako-out/b"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(), 0o755);
    fs::set_permissions(world.place("zako-out/b"), fs::Permissions::from_mode(0o644)).unwrap();
    world.check(&actions, &[FromCache]).await;
    assert_eq!(mode(), 0o755);
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_are_outputs_and_inputs() {
    let world = World::new(&[("tree/x", "1"), ("tree/sub/y", "2")]);
    let actions = [
        sh(
            "cp -R tree/. zako-out/d; ln -s x zako-out/d/link; mkdir -p zako-out/d/empty",
            &["tree"],
            &["zako-out/d/"],
        ),
        sh(
            "cat zako-out/d/sub/y > $out",
            &["zako-out/d/sub/y"],
            &["zako-out/y"],
        ),
        sh("ls zako-out/d > $out", &["zako-out/d"], &["zako-out/list"]),
    ];
    world.check(&actions, &[Ran, Ran, Ran]).await;
    assert_eq!(
        (world.read("zako-out/d/link"), world.read("zako-out/y")),
        ("1".into(), "2".into())
    );
    world.check(&actions, &[UpToDate, UpToDate, UpToDate]).await;
    world.write("zako-out/d/stray", "not of the action");
    world
        .check(&actions, &[FromCache, UpToDate, UpToDate])
        .await;
    assert!(!world.place("zako-out/d/stray").exists());
    world.write("tree/new", "3");
    world.check(&actions, &[Ran, UpToDate, Ran]).await;
    fs::remove_file(world.place("tree/new")).unwrap();
    world
        .check(&actions, &[FromCache, UpToDate, FromCache])
        .await;
    assert!(!world.place("zako-out/d/new").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_without_outputs_is_kept_and_what_may_not_be_cached_always_runs() {
    let world = World::new(&[("a", "1\n")]);
    let mut uncached = cat(&["a"], "zako-out/b");
    uncached.cache = false;
    let actions = [sh("test -s $in; echo fine", &["a"], &[]), uncached];
    let built = world.check(&actions, &[Ran, Ran]).await;
    assert_eq!(built.output(0), Some("fine\n"));
    let built = world.check(&actions, &[UpToDate, Ran]).await;
    assert_eq!(built.output(0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_printed_comes_back_with_what_was_restored() {
    let world = World::new(&[("a", "1\n")]);
    let actions = [sh("echo careful >&2; cp $in $out", &["a"], &["zako-out/b"])];
    assert_eq!(
        world.check(&actions, &[Ran]).await.output(0),
        Some("careful\n")
    );
    assert_eq!(world.check(&actions, &[UpToDate]).await.output(0), None);
    fs::remove_file(world.place("zako-out/b")).unwrap();
    assert_eq!(
        world.check(&actions, &[FromCache]).await.output(0),
        Some("careful\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn built_tools_run_and_are_part_of_the_key() {
    let world = World::new(&[("tool", "#!/bin/sh\necho one\n")]);
    let mut run = sh("", &[], &["zako-out/said"]);
    run.body = ActionBody::Shell {
        script: "zako-out/tool > $out".to_owned(),
    };
    run.tools = vec![zako_action::ToolRef::Artifact(path("zako-out/tool"))];
    let mut direct = run.clone();
    direct.outputs = vec![];
    direct.body = ActionBody::Command {
        argv: vec!["zako-out/tool".to_owned()],
    };
    let actions = [
        sh("cp $in $out; chmod +x $out", &["tool"], &["zako-out/tool"]),
        run,
        direct,
    ];
    let built = world.check(&actions, &[Ran, Ran, Ran]).await;
    assert_eq!(
        (world.read("zako-out/said").as_str(), built.output(2)),
        ("one\n", Some("one\n"))
    );
    world.write("tool", "#!/bin/sh\necho two\n");
    world.check(&actions, &[Ran, Ran, Ran]).await;
    assert_eq!(world.read("zako-out/said"), "two\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_run_in_the_workspace_at_isolation_none() {
    let mut world = World::new(&[("a", "1\n")]);
    world.isolation = Some(Isolation::None);
    let folder = sh(
        "mkdir -p $out && cp $in $out",
        &["zako-out/b"],
        &["zako-out/d/"],
    );
    let actions = [cat(&["a"], "zako-out/b"), folder];
    world.check(&actions, &[Ran, Ran]).await;
    assert_eq!(world.read("zako-out/d/b"), "1\n");
    world.check(&actions, &[UpToDate, UpToDate]).await;
}
