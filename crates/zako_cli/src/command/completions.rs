//! `zako completions`: a script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::command::Done;
use crate::failure::Exit;
use crate::terminal::Terminal;

pub(crate) fn run(shell: Shell, terminal: &Terminal) -> Done {
    terminal.product(&script(shell))?;
    Ok(Exit::SUCCESS)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "zako", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in ["build", "doctor", "completions"] {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }
}
