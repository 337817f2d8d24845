//! Ctrl-C in the middle of a build.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use zako_tests::{Workspace, runs_with};

/// How long a process may take to begin.
const DEADLINE: Duration = Duration::from_secs(60);

fn interrupted_by(signal: Signal) {
    let workspace = Workspace::empty();
    let started = workspace.fifo("started");
    // A length that no other process sleeps for.
    let length = format!("600.{}{}", std::process::id(), signal as i32);
    workspace.write(
        "BUILD.ts",
        &format!(
            "import {{ task }} from \"zako:build\";\n\
             export const before = task({{ outputs: [\"before.txt\"], shell: 'echo done > \"$out\"' }});\n\
             export const during = task({{\n  inputs: [before],\n  outputs: [\"during.txt\"],\n  isolation: \"basic\",\n  \
             shell: `sleep {length} & echo \"$!\" > {}; wait`,\n}});\n\
             export const after = task({{ inputs: [during], outputs: [\"after.txt\"], shell: 'cp \"$in\" \"$out\"' }});\n",
            started.path().display(),
        ),
    );
    let build = workspace.start(&["build"]);
    started.receive();
    // The shell says so before its child has become `sleep`.
    let begun = Instant::now();
    while !runs_with(&length) {
        assert!(begun.elapsed() < DEADLINE, "sleep {length} never ran");
        std::thread::yield_now();
    }
    build.0.signal(signal);
    let outcome = workspace.finish(build).exits(130);
    assert_eq!(outcome.actions("ran").len(), 1, "{outcome}");
    assert_eq!(outcome.actions("cancelled").len(), 2, "{outcome}");
    assert!(!runs_with(&length), "sleep {length} still runs\n{outcome}");
    workspace.zako("build //:before").exits(0).ran_nothing();
    assert_eq!(workspace.read("zako-out/before.txt"), "done\n");
    assert!(!workspace.has("zako-out/during.txt"));
}

#[test]
fn an_interrupt_ends_the_children_and_keeps_what_is_done() {
    interrupted_by(Signal::SIGINT);
}

#[test]
fn so_does_a_request_to_terminate() {
    interrupted_by(Signal::SIGTERM);
}
