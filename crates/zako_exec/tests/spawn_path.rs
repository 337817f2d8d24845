//! That spawning never forks: glibc runs `pthread_atfork` handlers in `fork`, and not in `posix_spawn`.
//!
//! Alone in its process, since it counts the forks of all of it.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc;
use tokio_util::sync::CancellationToken;
use zako_action::Exit;
use zako_exec::{Process, ProcessStdin};

static FORKS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::SeqCst);
}

#[tokio::test]
async fn a_process_with_everything_set_is_not_forked() {
    #[expect(unsafe_code, reason = "the only way to see a fork from inside")]
    // SAFETY: the handler touches an atomic only, and is never unloaded.
    let registered = unsafe { libc::pthread_atfork(Some(count), None, None) };
    assert_eq!(registered, 0);

    let mut process = Process::new("sh", std::env::temp_dir());
    process.arg0 = Some("shell".into());
    process.args = vec!["-c".into(), "cat; exit 5".into()];
    process
        .env
        .insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    process.stdin = ProcessStdin::Bytes("in".into());
    let finished = process
        .run(
            &mut |_, _| ControlFlow::Continue(()),
            &CancellationToken::new(),
        )
        .await
        .unwrap();
    assert_eq!(
        (finished.exit, FORKS.load(Ordering::SeqCst)),
        (Exit::Code(5), 0)
    );

    // The counter does count.
    let mut forked = std::process::Command::new("/bin/true");
    #[expect(
        unsafe_code,
        clippy::disallowed_methods,
        reason = "the contrary, to compare with"
    )]
    // SAFETY: the closure does nothing.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut forked, || Ok(()));
    }
    assert!(forked.status().unwrap().success());
    assert_eq!(FORKS.load(Ordering::SeqCst), 1);
}
