//! `zako watch`, told by what it builds.

use std::fs;

use zako_tests::Workspace;

#[test]
fn what_changes_is_built() {
    let workspace = Workspace::package(
        "import { glob, task } from \"zako:build\";\n\
         export const all = task({ inputs: glob(\"src/**/*.txt\"), outputs: [\"all\"], shell: 'cat $in > \"$out\"' });\n",
    )
    .file("src/a.txt", "a\n");
    let out = "zako-out/all";
    let (watching, _) = workspace.start(&["watch"]);
    workspace.await_text(out, "a\n");
    workspace.write("src/a.txt", "b\n");
    workspace.await_text(out, "b\n");
    // A file in a folder that was not there before.
    workspace.write("src/deep/er/c.txt", "c\n");
    workspace.await_text(out, "b\nc\n");
    workspace.write("src/deep/er/c.txt", "d\n");
    workspace.await_text(out, "b\nd\n");
    fs::remove_file(workspace.path("src/a.txt")).unwrap();
    workspace.await_text(out, "d\n");
    // A folder that changes places with another: no list of names does.
    workspace.write("aside/er/c.txt", "e\n");
    let place = |name: &str| workspace.path(name);
    fs::rename(place("src/deep"), place("away")).unwrap();
    fs::rename(place("aside"), place("src/deep")).unwrap();
    workspace.await_text(out, "e\n");
    // An output that somebody spoils.
    workspace.write(out, "spoilt\n");
    workspace.await_text(out, "e\n");
    // A script that is wrong, then right.
    let script = workspace.read("BUILD.ts");
    workspace.write("BUILD.ts", &format!("{script}export const = 1;\n"));
    workspace.write("src/deep/er/c.txt", "f\n");
    workspace.write("BUILD.ts", &script.replace("cat $in", "tr f-g F-G < $in"));
    workspace.await_text(out, "F\n");
    // The manifest opens the workspace anew.
    workspace.write("zako.toml", "zako = \"0.1\"\n# Remark.\n");
    workspace.write("src/deep/er/c.txt", "g\n");
    workspace.await_text(out, "G\n");
    watching.kill();
    workspace.write("BUILD.ts", &script);
    workspace.zako("build").exits(0);
    assert_eq!(workspace.read(out), "g\n");
}
