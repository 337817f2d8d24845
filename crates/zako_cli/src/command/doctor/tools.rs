//! Programs that actions commonly run, looked for where actions look: not in the user's own PATH.

use std::process::{Command, Stdio};

use zako_core::{FIXED_PATH, find_program};

use super::Check;

/// What a missing one means.
const NEEDED: [(&str, &str); 3] = [
    (
        "cc",
        "C targets can't be built: install a C compiler (Debian: apt install gcc libc6-dev)",
    ),
    (
        "c++",
        "C++ targets can't be built: install a C++ compiler (Debian: apt install g++)",
    ),
    (
        "ar",
        "C and C++ libraries can't be built: install binutils (Debian: apt install binutils)",
    ),
];

/// Tools that only some workspaces use.
const OPTIONAL: [&str; 2] = ["node", "npm"];

pub(super) fn all() -> Vec<Check> {
    let needed = NEEDED.iter().map(|(name, advice)| match found(name) {
        Some(found) => Check::good(name, found),
        None => Check::doubtful(
            name,
            format!("not in {FIXED_PATH}, where actions look"),
            *advice,
        ),
    });
    let optional = OPTIONAL.iter().map(|name| {
        Check::good(
            name,
            found(name).unwrap_or_else(|| format!("not in {FIXED_PATH}; only some tasks want it")),
        )
    });
    needed.chain(optional).collect()
}

/// Where it is, and the first line of what `--version` prints.
fn found(name: &str) -> Option<String> {
    let path = find_program(name, FIXED_PATH)?;
    let output = Command::new(&path)
        .arg("--version")
        .env("PATH", FIXED_PATH)
        .stdin(Stdio::null())
        .output();
    let version = output.ok().filter(|output| output.status.success());
    let version = version
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    match version.lines().next().map(str::trim) {
        Some(version) if !version.is_empty() => Some(format!("{} ({version})", path.display())),
        _ => Some(path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::State;

    #[test]
    fn every_tool_is_told_and_none_is_a_must() {
        let checks = all();
        assert_eq!(checks.len(), NEEDED.len() + OPTIONAL.len());
        assert!(checks.iter().all(|check| check.state != State::Bad));
    }

    #[test]
    fn a_program_is_told_with_its_path() {
        assert!(found("sh").is_some_and(|found| found.contains("/sh")));
        assert_eq!(found("no-such-program-at-all"), None);
    }
}
