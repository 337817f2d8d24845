//! What a machine that forbids user namespaces is told, and gets.

use std::process::Command;

use zako_tests::{Workspace, run, zako};

/// Runs `zako` with these arguments where no user namespace can be made, and gives all that it said and its exit code. `None`, and a
/// word, where such a place can't be made.
fn without_namespaces(workspace: &Workspace, arguments: &str) -> Option<String> {
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces";
    let is_possible = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", forbid])
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_possible {
        println!("skipped: user namespaces can't be made here, and so not be forbidden");
        return None;
    }
    let mut command = workspace.program("unshare".as_ref());
    let script = format!(
        "{forbid}; {} --color never --cache-dir {} {arguments} 2>&1; echo \"exit code $?\"",
        zako().display(),
        workspace.cache().display()
    );
    command.args(["--user", "--map-root-user", "sh", "-c", &script]);
    Some(run(command))
}

#[test]
fn the_default_falls_back_with_a_word_and_a_demand_is_an_error() {
    let workspace = Workspace::package(
        "import { task } from \"zako:build\";\n\
         export const a = task({ outputs: [\"a\"], shell: ': > \"$out\"' });\n\
         export const b = task({ outputs: [\"b\"], shell: ': > \"$out\"' });\n",
    );
    let Some(said) = without_namespaces(&workspace, "build") else {
        return;
    };
    let notice = "warning: actions run at isolation `basic`";
    assert_eq!(said.matches(notice).count(), 1, "once a build\n{said}");
    assert!(
        said.contains("sysctl -w user.max_user_namespaces"),
        "{said}"
    );
    assert!(said.contains("2 actions run"), "{said}");
    assert!(said.ends_with("exit code 0\n"), "{said}");
    // Nothing runs, so there is nothing to say.
    let Some(said) = without_namespaces(&workspace, "build") else {
        return;
    };
    assert!(!said.contains("warning"), "{said}");

    workspace.zako("clean").exits(0);
    let Some(said) = without_namespaces(&workspace, "build --isolation enhanced") else {
        return;
    };
    assert!(
        said.contains("is to run at isolation `enhanced`, which cannot be had"),
        "{said}"
    );
    assert!(said.ends_with("exit code 3\n"), "{said}");

    let Some(said) = without_namespaces(&workspace, "doctor") else {
        return;
    };
    assert!(
        said.contains("isolation: none, basic (the default here); no enhanced, no maximum"),
        "{said}"
    );
}
