//! `zako run`: build a target, then be out of the way of its program.
//!
//! **Invariant:** while the program runs zako prints nothing, and does not end before it.

use std::ffi::OsString;
use std::process::ExitStatus;

use tokio::process::Command;
use zako_core::{BuildOptions, Diagnostic, Runnable, Urgency};

use crate::arguments::Options;
use crate::command::{Done, build, runtime};
use crate::failure::{Exit, io_failure};
use crate::interrupt::{Interrupts, pass_on, signal_of};
use crate::open::Opened;
use crate::terminal::Terminal;

pub(crate) fn run(target: &str, args: &[OsString], options: &Options, terminal: &Terminal) -> Done {
    let runtime = runtime()?;
    let opened = Opened::of(options)?;
    let done = runtime.block_on(async {
        let mut interrupts = build::listen()?;
        let how = BuildOptions {
            urgency: Urgency::Interactive,
            ..opened.build_options(options)
        };
        let build = opened.session.build(&[target.to_owned()], how);
        let report =
            build::watched(&opened, build, "built", options, terminal, &mut interrupts).await?;
        let Some(report) = report else {
            return Ok(Exit::INTERRUPTED);
        };
        match Exit::of_report(&report) {
            Exit::SUCCESS => {}
            failed => return Ok(failed),
        }
        let runnable = opened.session.runnable(&report)?;
        // The program may run for days; what zako holds is given back first.
        drop(opened);
        Ok(started(&runnable, args, &mut interrupts).await?)
    });
    runtime.shutdown_background();
    done
}

/// Runs the program in this process's group, streams and folder until it ends.
///
/// A terminal's Ctrl-C reaches it without zako's help, and it alone decides what that means; what was sent to zako's
/// process only is passed on.
async fn started(
    runnable: &Runnable,
    args: &[OsString],
    interrupts: &mut Interrupts,
) -> Result<Exit, Diagnostic> {
    let mut child = Command::new(&runnable.program)
        .args(args)
        .spawn()
        .map_err(|error| {
            io_failure(
                format_args!(
                    "start `{}`, which {} builds",
                    runnable.program.display(),
                    runnable.label
                ),
                &error,
            )
            .with_help("is it a program for this machine?")
        })?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| io_failure("wait for the program", &error))?;
                return Ok(Exit(code_of(status)));
            }
            signal = interrupts.next() => {
                // A child that is reaped has no id any more, so nobody else's process is meant.
                if let Some(pid) = child.id() {
                    pass_on(signal, pid);
                }
            }
        }
    }
}

/// The code that a shell would give: the program's own, or 128 and the signal's number.
fn code_of(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| signal_of(status).map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

// Its programs are shells, which Windows has none of.
#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn a_signal_is_a_code_as_in_a_shell() {
        assert_eq!(code_of(ExitStatus::from_raw(0)), 0);
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(Signal::SIGTERM as i32)), 143);
    }

    fn shell(script: &str) -> (Runnable, Vec<OsString>) {
        let runnable = Runnable {
            program: "/bin/sh".into(),
            label: "//a:sh".to_owned(),
        };
        (runnable, vec!["-c".into(), script.into()])
    }

    // One test for all of it: a signal reaches every listener of the process.
    #[tokio::test]
    async fn the_program_decides_how_it_ends_and_gets_what_was_sent_to_zako() {
        let mut interrupts = Interrupts::listen().unwrap();
        let (program, args) = shell("exit 9");
        assert_eq!(
            started(&program, &args, &mut interrupts).await.unwrap(),
            Exit(9)
        );
        let (program, args) = shell("kill -KILL $$");
        assert_eq!(
            started(&program, &args, &mut interrupts).await.unwrap(),
            Exit(137)
        );
        // `$PPID` is this process: it stands the signal, and hands it to the program, which waits for it.
        for (name, code) in [("TERM", 31), ("HUP", 32)] {
            let script =
                format!("trap 'exit {code}' {name}; kill -{name} $PPID; while :; do :; done");
            let (program, args) = shell(&script);
            assert_eq!(
                started(&program, &args, &mut interrupts).await.unwrap(),
                Exit(code),
                "{name}"
            );
        }
        let (program, args) = shell("kill -INT $PPID; exit 5");
        assert_eq!(
            started(&program, &args, &mut interrupts).await.unwrap(),
            Exit(5)
        );
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_said_with_its_label() {
        let mut interrupts = Interrupts::listen().unwrap();
        let runnable = Runnable {
            program: "/no/such/program".into(),
            label: "//a:x".to_owned(),
        };
        let error = started(&runnable, &[], &mut interrupts).await.unwrap_err();
        assert!(
            error
                .message
                .starts_with("cannot start `/no/such/program`, which //a:x builds: "),
            "{}",
            error.message
        );
        assert_eq!(error.fault.exit_code(), 3);
    }
}
