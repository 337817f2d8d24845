//! Puts a large output into a file without a byte of it passing through this process.
//!
//! `cargo run -p zako_exec --example output_to_file`
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zako_action::Stream;
use zako_exec::{
    Command, CommandId, CommandObserver, CommandOutput, CommandPool, CommandPoolOptions, Processes,
};

const SIZE: usize = 256 << 20;

/// Counts the bytes that pass through here.
#[derive(Default)]
struct Passing(AtomicUsize);

impl CommandObserver for Passing {
    fn line(&self, _: CommandId, _: &Command, _: Stream, line: &[u8]) {
        self.0.fetch_add(line.len(), Ordering::Relaxed);
    }
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("large");
    let passing = Arc::new(Passing::default());
    let options = CommandPoolOptions::default();
    let pool = CommandPool::new(options, Arc::new(Processes), passing.clone());
    let script = format!("head -c {SIZE} /dev/zero; echo done >&2");
    let command = Command::new("sh", folder.path())
        .args(["-c", &script])
        .output(CommandOutput::File(file.clone()));
    let result = pool.submit(command)?.ended().await;
    assert!(result.succeeded());
    let (written, passed) = (
        std::fs::metadata(&file)?.len(),
        passing.0.load(Ordering::Relaxed),
    );
    println!("{written} bytes are in the file, {passed} came by here");
    assert_eq!((written, passed), (SIZE as u64, "done".len()));
    Ok(())
}
