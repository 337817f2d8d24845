//! What a process costs: `zako_exec::Process` against plain `std::process::Command` on the same program, in a small
//! process and in one with 500 MB resident, and against a real fork in both.
#![expect(clippy::unwrap_used, reason = "benches")]

use std::ops::ControlFlow;
use std::process::{Command, Stdio};

use divan::{Bencher, black_box};
use tokio_util::sync::CancellationToken;
use zako_exec::Process;

const TRUE: &str = "/bin/true";

/// Megabytes that are resident while processes are started.
const RESIDENT: [usize; 2] = [0, 500];

fn main() {
    divan::main();
}

/// Memory with every page touched.
fn resident(megabytes: usize) -> Vec<u8> {
    let mut memory = vec![0u8; megabytes << 20];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    memory
}

fn plain() -> Command {
    let mut command = Command::new(TRUE);
    command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[divan::bench(args = RESIDENT)]
fn zako_process(bencher: Bencher<'_, '_>, megabytes: usize) {
    let memory = resident(megabytes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (process, cancel) = (Process::new(TRUE, "/"), CancellationToken::new());
    bencher.bench_local(|| {
        runtime
            .block_on(process.run(&mut |_, _| ControlFlow::Continue(()), &cancel))
            .unwrap()
    });
    drop(black_box(memory));
}

#[divan::bench(args = RESIDENT)]
fn std_command(bencher: Bencher<'_, '_>, megabytes: usize) {
    let memory = resident(megabytes);
    bencher.bench_local(|| plain().status().unwrap());
    drop(black_box(memory));
}

/// What std does once `pre_exec` is set, and why it is banned.
#[divan::bench(args = RESIDENT)]
fn forked(bencher: Bencher<'_, '_>, megabytes: usize) {
    let memory = resident(megabytes);
    bencher.bench_local(|| {
        let mut command = plain();
        #[expect(
            unsafe_code,
            clippy::disallowed_methods,
            reason = "the contrary, to compare with"
        )]
        // SAFETY: the closure does nothing.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(&mut command, || Ok(()));
        }
        command.status().unwrap()
    });
    drop(black_box(memory));
}
