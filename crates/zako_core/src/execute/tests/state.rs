//! What is left by earlier runs, whole or not, and what people left.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_killed_run_left_is_trusted() {
    let world = World::new(&[("a", "1\n")]);
    let actions = [
        cat(&["a"], "zako-out/b"),
        sh(
            "mkdir -p $out; cp $in $out",
            &["zako-out/b"],
            &["zako-out/d/"],
        ),
    ];
    world.check(&actions, &[Ran, Ran]).await;
    world.check(&actions, &[UpToDate, UpToDate]).await;
    let states: Vec<PathBuf> = fs::read_dir(world.place(".zako/state"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(states.len(), 3, "{states:?}");
    for state in &states {
        let whole = fs::read(state).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(state, &whole[..length]).unwrap();
            world.check(&actions, &[UpToDate, UpToDate]).await;
        }
    }
    world.write(".zako/exec/left/root/x", "by a killed run");
    world.write("zako-out/b", "");
    world.check(&actions, &[FromCache, UpToDate]).await;
    assert!(!world.place(".zako/exec/left").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_and_cache_only_cost_time() {
    let world = World::new(&[("a", "1\n")]);
    let actions = [cat(&["a"], "zako-out/b")];
    world.check(&actions, &[Ran]).await;
    for folder in ["cas/segments", "actions"] {
        let mut pending = vec![world.cache.join(folder)];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
                if entry.is_dir() {
                    pending.push(entry);
                } else {
                    // In place, since the store has its files open.
                    let length = fs::metadata(&entry).unwrap().len();
                    fs::write(&entry, vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
                }
            }
        }
        fs::remove_file(world.place("zako-out/b")).unwrap();
        world.check(&actions, &[Ran]).await;
        assert_eq!(world.read("zako-out/b"), "1\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_file_is_never_overwritten() {
    let world = World::new(&[("a", "1\n"), ("dist/b", "mine\n")]);
    let actions = [cat(&["a"], "dist/b")];
    let built = world.check(&actions, &[Failed]).await;
    assert!(
        built.error().message.starts_with("`dist/b` is in the way"),
        "{:?}",
        built.error()
    );
    assert_eq!(
        (built.error().fault, world.read("dist/b").as_str()),
        (Fault::User, "mine\n")
    );
    fs::remove_file(world.place("dist/b")).unwrap();
    world.check(&actions, &[Ran]).await;
    world.write("a", "2\n");
    world.check(&actions, &[Ran]).await;
    assert_eq!(
        world.read("dist/b"),
        "2\n",
        "zako's own file it may replace"
    );
    fs::remove_dir_all(world.place(".zako")).unwrap();
    world.check(&actions, &[UpToDate]).await;
    world.write("a", "3\n");
    world.check(&actions, &[Ran]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_out_of_the_workspace_are_no_inputs() {
    let world = World::new(&[]);
    fs::write(world.cache.join("x"), "outside").unwrap();
    std::os::unix::fs::symlink(world.cache.join("x"), world.place("link")).unwrap();
    let built = world
        .check(&[cat(&["link"], "zako-out/b")], &[Failed])
        .await;
    assert!(
        built.error().message.contains("outside of the workspace"),
        "{:?}",
        built.error()
    );
    assert_eq!(built.error().fault, Fault::User);
}
