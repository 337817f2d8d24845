//! Collects what many processes print into one log, each line with its source, as it comes.
//!
//! `cargo run -p zako_exec --example aggregate_logs`
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::sync::{Arc, Mutex};

use zako_action::Stream;
use zako_exec::{Command, CommandId, CommandObserver, CommandPool, CommandPoolOptions, Processes};

/// Gathers lines; a real one would write them to a file, or send them on.
#[derive(Default)]
struct Log(Mutex<Vec<(String, Stream, String)>>);

impl CommandObserver for Log {
    fn line(&self, id: CommandId, command: &Command, stream: Stream, line: &[u8]) {
        let source = command.env.get("SERVICE").cloned();
        let source = source.unwrap_or_else(|| format!("command {}", id.0));
        let text = String::from_utf8_lossy(line).into_owned();
        if let Ok(mut lines) = self.0.lock() {
            lines.push((source, stream, text));
        }
    }
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let log = Arc::new(Log::default());
    let pool = CommandPool::new(
        CommandPoolOptions {
            concurrency: 8,
            ..CommandPoolOptions::default()
        },
        Arc::new(Processes),
        log.clone(),
    );
    let script = "for n in 1 2 3; do echo \"request $n\"; done; echo 'going down' >&2";
    for service in ["web", "mail", "search", "billing"] {
        pool.submit(
            Command::new("sh", "/")
                .args(["-c", script])
                .env("SERVICE", service),
        )?;
    }
    pool.drain().await;

    let lines = log.0.lock().map_err(|_| "a thread panicked")?;
    for (source, stream, line) in lines.iter() {
        println!("{source:>8} {stream:?}: {line}");
    }
    let of_mail: Vec<&str> = lines
        .iter()
        .filter(|(source, stream, _)| source == "mail" && *stream == Stream::Stdout)
        .map(|(_, _, line)| line.as_str())
        .collect();
    assert_eq!(of_mail, ["request 1", "request 2", "request 3"]);
    assert_eq!(
        lines
            .iter()
            .filter(|(_, stream, _)| *stream == Stream::Stderr)
            .count(),
        4
    );
    Ok(())
}
