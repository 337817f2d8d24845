//! The programs under test, built once a process.
//!
//! Cargo tells a test where the binaries of its own package are (`CARGO_BIN_EXE_…`), not those of others. So cargo is
//! asked to build them, which does nothing when they are built; on a machine without cargo `ZAKO_TEST_BINARIES` names the folder that
//! they are in. **Invariant:** that is the same build as the one that
//! made this test: same profile and target folder, and all packages of the workspace are selected, because their features are
//! unified over the selection and another selection would compile V8's bindings again.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value as Json;

const ZAKO: &str = "zako";
const EMBED: &str = "embed";

struct Binaries {
    zako: PathBuf,
    embed: PathBuf,
}

/// The command line's binary.
pub fn zako() -> &'static Path {
    &binaries().zako
}

/// The binary of `examples/embed`.
pub fn embed() -> &'static Path {
    &binaries().embed
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a folder of the repository")
}

fn binaries() -> &'static Binaries {
    static BUILT: OnceLock<Binaries> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> Binaries {
    if let Some(folder) = env::var_os("ZAKO_TEST_BINARIES").map(PathBuf::from) {
        return Binaries {
            zako: folder.join(ZAKO),
            embed: folder.join(EMBED),
        };
    }
    // TARGET/PROFILE/deps/TEST. With `--target` a triple stands between, and the binaries are built beside it.
    let test = env::current_exe().expect("a running test has a path");
    let profile_folder = test
        .ancestors()
        .nth(2)
        .expect("cargo puts tests into PROFILE/deps");
    let target = profile_folder
        .parent()
        .expect("cargo puts profiles into the target folder");
    let profile = match profile_folder.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => "dev",
        Some(other) => other,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut child = Command::new(cargo)
        .args([
            "build",
            "--locked",
            "--workspace",
            "--bin",
            ZAKO,
            "--bin",
            EMBED,
        ])
        .args([
            "--message-format",
            "json-render-diagnostics",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target)
        .current_dir(repository())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo can be started");
    let messages = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut found = Vec::new();
    for line in messages.lines() {
        let line = line.expect("cargo writes text");
        let Ok(message) = serde_json::from_str::<Json>(&line) else {
            continue;
        };
        if let (Some(name), Some(path)) = (
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
        ) {
            found.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    let status = child.wait().expect("cargo ends");
    assert!(
        status.success(),
        "cargo could not build `{ZAKO}` and `{EMBED}`: {status}; its messages are above"
    );
    let path = |wanted: &str| {
        let found = found.iter().find(|(name, _)| name == wanted);
        found
            .unwrap_or_else(|| panic!("cargo built no `{wanted}`"))
            .1
            .clone()
    };
    Binaries {
        zako: path(ZAKO),
        embed: path(EMBED),
    }
}
