//! The examples, run to their ends: each checks what it did.
// They run shells, and one talks over a Unix socket.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/aggregate_logs.rs"]
mod aggregate_logs;
#[path = "../examples/convert_folder.rs"]
mod convert_folder;
#[path = "../examples/health_monitor.rs"]
mod health_monitor;
#[path = "../examples/output_to_file.rs"]
mod output_to_file;
#[path = "../examples/talk.rs"]
mod talk;

#[test]
fn logs_are_aggregated() {
    aggregate_logs::main().unwrap();
}

#[test]
fn a_folder_is_converted() {
    convert_folder::main().unwrap();
}

#[test]
fn a_service_is_kept_up() {
    health_monitor::main().unwrap();
}

#[test]
fn a_large_output_goes_to_a_file() {
    output_to_file::main().unwrap();
}

#[test]
fn children_are_talked_with() {
    talk::main().unwrap();
}
