//! `examples/embed`: zako as a library in a program of its own.

use zako_tests::{Workspace, embed, run};

#[test]
fn a_program_embeds_the_engine() {
    let workspace = Workspace::bare();
    let mut command = workspace.program(embed());
    command.arg(workspace.root());
    let said = run(command);
    assert!(!said.is_empty(), "it prints the events");
}
