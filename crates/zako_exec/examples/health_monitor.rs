//! Keeps a service up: starts it again after it crashed or stopped answering, each time a little later.
//!
//! `cargo run -p zako_exec --example health_monitor`
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use zako_exec::{Command, CommandHandle, CommandPool, CommandPoolOptions, RetryPolicy};

/// The service of this example: crashes when it is started for the first time, hangs the second time, is good from then on.
const SERVICE: &str = r#"
echo start >> starts
case $(wc -l < starts) in
  1) exit 1 ;;
  2) exec sleep 1000 ;;
  *) touch healthy; exec sleep 1000 ;;
esac
"#;

/// How often it is asked how it is.
const PROBE: Duration = Duration::from_millis(10);
/// How long it may take until it is well.
const PATIENCE: u32 = 50;

/// What became of the service.
enum Health {
    Well(CommandHandle),
    Failed(&'static str),
}

/// Watches one start of the service until it is known how it is.
async fn watch(service: CommandHandle, folder: &Path) -> Health {
    let mut service = service;
    for _ in 0..PATIENCE {
        if folder.join("healthy").exists() {
            return Health::Well(service);
        }
        service = match service.ended_within(PROBE).await {
            Ok(_result) => return Health::Failed("crashed"),
            Err(service) => service,
        };
    }
    service.cancel();
    service.ended().await;
    Health::Failed("hung")
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let pool = CommandPool::of_processes(CommandPoolOptions::default());
    let back_off = RetryPolicy {
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_secs(1),
        ..RetryPolicy::default()
    };
    let mut failures = Vec::new();
    let service = loop {
        let command = Command::new("sh", folder.path()).args(["-eu", "-c", SERVICE]);
        match watch(pool.submit(command)?, folder.path()).await {
            Health::Well(service) => break service,
            Health::Failed(how) => {
                let pause = back_off.pause(u32::try_from(failures.len())?, 42);
                println!("the service {how}; again in {pause:?}");
                failures.push(how);
                tokio::time::sleep(pause).await;
            }
        }
    };
    println!("the service is well after {} failures", failures.len());
    // Where starting takes longer than patience lasts, a start counts as hung before it crashes: then there are more.
    assert!(failures.len() >= 2 && failures.contains(&"hung"));
    service.cancel();
    pool.drain().await;
    assert_eq!(usize::try_from(pool.state().ended)?, failures.len() + 1);
    Ok(())
}
