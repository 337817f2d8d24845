//! The programs that a shell script seems to run, by a glance at its text.
//!
//! This is no parser: what is quoted, computed or defined by the script itself is misread. It serves for what does no harm when it is
//! wrong, or is meant to be strict.

/// Words before which no command ends: what follows them is one, too.
const BEFORE_COMMANDS: [&str; 14] = [
    "if", "then", "elif", "else", "while", "until", "do", "!", "exec", "command", "env", "time",
    "nice", "sudo",
];

/// The first words of the commands in `script`, in order.
///
/// ```
/// let script = "set -eu; CC=gcc make -C \"$dir\" | tee log\nif test -f x; then cargo build; fi";
/// let commands: Vec<&str> = zako_exec::shell_commands(script).collect();
/// assert_eq!(commands, ["set", "make", "tee", "test", "cargo", "fi"]);
/// ```
pub fn shell_commands(script: &str) -> impl Iterator<Item = &str> {
    script
        .split(['\n', ';', '|', '&', '(', ')', '{', '}', '`'])
        .filter_map(|command| {
            let words = command.split_ascii_whitespace();
            let mut words = words.map(|word| word.trim_matches(['"', '\'', '$']));
            words.find(|word| {
                !word.is_empty() && !BEFORE_COMMANDS.contains(word) && !word.contains('=')
            })
        })
}
