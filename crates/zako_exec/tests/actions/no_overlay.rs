//! A workspace on a file system that no overlay can write to: one that is an overlay itself, as in a container.

use std::process::Command;

use crate::world::{World, all_of, shell};
use zako_action::Exit;
use zako_exec::Layering;

#[test]
fn what_is_promised_with_overlays_holds_without() {
    for (module, layering) in [
        ("sandbox", "memory"),
        ("sandbox", "copies"),
        ("hostile", "copies"),
    ] {
        all_of(module, layering);
    }
}

/// Tells a process of this binary that it is in the namespace, and where its folders are.
const INSIDE: &str = "ZAKO_TEST_ON_OVERLAY";

const NAME: &str = "no_overlay::on_an_overlay_actions_are_shut_off_all_the_same";

#[tokio::test(flavor = "multi_thread")]
async fn on_an_overlay_actions_are_shut_off_all_the_same() {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return inside(dir.as_ref()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    for folder in ["lower", "up", "work", "disk"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let mount = "cd \"$0\" && mount -t overlay -o userxattr,lowerdir=lower,upperdir=up,workdir=work overlay disk";
    let inside = |script: &str, args: &[&str]| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(dir.path())
            .args(args)
            .env(INSIDE, dir.path())
            .status()
    };
    match inside(mount, &[]) {
        Ok(status) if status.success() => {}
        other => {
            println!("skipped: no overlay can be mounted in a namespace here ({other:?})");
            return;
        }
    }
    let this = std::env::current_exe().unwrap();
    let args = [this.to_str().unwrap(), "--exact", NAME, "--nocapture"];
    let status = inside(&format!("{mount} && exec \"$@\""), &args).unwrap();
    assert!(status.success(), "{status}");
}

async fn inside(dir: &std::path::Path) {
    let own = tempfile::tempdir().unwrap();
    let Some(w) = World::at(own, dir.join("disk/ws"), dir.join("store")) else {
        return;
    };
    let layering = w.sandbox.layering().unwrap();
    println!("inputs come in by {layering:?}");
    assert_ne!(layering, Layering::Overlay);
    w.write("a/in", "in");
    w.write("a/secret", "secret");
    for output in ["zako-out/x", "a/x"] {
        let script = "cat $in > $out; echo more >> $in; cat a/secret 2>&1 || true";
        let executed = w.run(shell(script, &["a/in"], &[output])).await.unwrap();
        let printed = w.printed(&executed);
        assert_eq!(executed.exit, Exit::Code(0), "{printed}");
        assert!(printed.contains("a/secret: No such file"), "{printed}");
        assert_eq!(w.output(&executed), "in");
    }
    let there = [("a/in", "in"), ("a/secret", "secret")];
    assert_eq!(
        w.files(),
        there.map(|(path, text)| (path.to_owned(), text.to_owned()))
    );
}
