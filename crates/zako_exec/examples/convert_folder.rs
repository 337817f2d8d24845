//! Converts every file of a folder, as many at once as there are processors, and tells which failed.
//!
//! `cargo run -p zako_exec --example convert_folder`
#![expect(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::fs;

use zako_exec::{Command, CommandOutput, CommandPool, CommandPoolOptions, ProcessStdin};

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from)?;
    fs::create_dir(&to)?;
    for n in 0..20 {
        fs::write(from.join(format!("{n}.txt")), format!("this is file {n}\n"))?;
    }

    let pool = CommandPool::of_processes(CommandPoolOptions::default());
    let mut conversions = Vec::new();
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        let command = Command::new("tr", folder.path())
            .args(["a-z", "A-Z"])
            .stdin(ProcessStdin::File(entry.path()))
            .output(CommandOutput::File(to.join(entry.file_name())));
        conversions.push((entry.file_name(), pool.submit(command)?));
    }
    for (name, conversion) in conversions {
        let result = conversion.ended().await;
        if !result.succeeded() {
            return Err(
                format!("{} was not converted: {:?}", name.display(), result.outcome).into(),
            );
        }
    }
    pool.drain().await;

    let converted = fs::read_to_string(to.join("7.txt"))?;
    println!(
        "{} files, one of which says: {converted}",
        fs::read_dir(&to)?.count()
    );
    assert_eq!(converted, "THIS IS FILE 7\n");
    assert_eq!(fs::read_dir(&to)?.count(), 20);
    Ok(())
}
