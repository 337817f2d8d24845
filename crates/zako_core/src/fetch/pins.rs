//! `zako.lock`: what each address held when it was fetched first. People commit it.
//!
//! **Invariant:** the bytes depend on the pins alone, and the file is replaced whole.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Integrity;

/// Its name, in the workspace's root.
pub(crate) const LOCK_FILE: &str = "zako.lock";

const VERSION: u32 = 1;

const HEAD: &str = "# What `fetch` got, by address. zako adds to it; commit it, and remove a line to fetch anew.\n";

/// The file as TOML.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pins {
    version: u32,
    #[serde(default)]
    fetch: BTreeMap<String, String>,
}

/// The lock file can't be used.
#[derive(Debug, Error)]
pub(crate) enum PinsError {
    /// It is not what zako writes.
    #[error("{LOCK_FILE} is not as zako writes it: {0}")]
    Wrong(String),
    /// It is of a later zako.
    #[error("{LOCK_FILE} has version {0}, and this zako knows {VERSION}")]
    Version(u32),
    /// It can't be read or written.
    #[error("cannot {0} {LOCK_FILE}: {1}")]
    Io(&'static str, std::io::Error),
}

/// What the file with that text says of `url`.
pub(crate) fn pin_of(text: &str, url: &str) -> Result<Option<Integrity>, PinsError> {
    let Some(pin) = parse(text)?.fetch.remove(url) else {
        return Ok(None);
    };
    let pin = pin
        .parse()
        .map_err(|error| PinsError::Wrong(format!("{url}: {error}")))?;
    Ok(Some(pin))
}

/// Adds a pin to the file of the workspace at `root`. One at a time: the caller sees to that.
pub(crate) fn add(root: &Path, url: &str, integrity: &Integrity) -> Result<(), PinsError> {
    let place = root.join(LOCK_FILE);
    let mut pins = match std::fs::read_to_string(&place) {
        Ok(text) => parse(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Pins {
            version: VERSION,
            fetch: BTreeMap::new(),
        },
        Err(error) => return Err(PinsError::Io("read", error)),
    };
    pins.fetch.insert(url.to_owned(), integrity.to_string());
    let text = toml::to_string(&pins).map_err(|error| PinsError::Wrong(error.to_string()))?;
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(".zako.lock.")
            .tempfile_in(root)?;
        crate::system::set_mode_of(file.as_file(), 0o644)?;
        file.write_all(HEAD.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.persist(&place)?;
        Ok(())
    };
    write().map_err(|error| PinsError::Io("write", error))
}

fn parse(text: &str) -> Result<Pins, PinsError> {
    let pins: Pins =
        toml::from_str(text).map_err(|error| PinsError::Wrong(error.message().to_owned()))?;
    match pins.version {
        VERSION => Ok(pins),
        other => Err(PinsError::Version(other)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::fetch::{Algorithm, Hashing};

    #[test]
    fn the_file_is_the_same_for_the_same_pins() {
        let pin = Hashing::new(Algorithm::Sha256).finish();
        let written = |urls: [&str; 2]| {
            let dir = tempfile::tempdir().unwrap();
            for url in urls {
                add(dir.path(), url, &pin).unwrap();
            }
            std::fs::read_to_string(dir.path().join(LOCK_FILE)).unwrap()
        };
        let text = written(["https://a/x", "https://b/\"y"]);
        assert_eq!(text, written(["https://b/\"y", "https://a/x"]));
        assert_eq!(
            text,
            format!(
                "{HEAD}version = 1\n\n[fetch]\n\"https://a/x\" = \"{pin}\"\n'https://b/\"y' = \"{pin}\"\n"
            )
        );
        assert_eq!(pin_of(&text, "https://b/\"y").unwrap(), Some(pin));
        assert_eq!(pin_of(&text, "https://c").unwrap(), None);
    }

    #[test]
    fn what_zako_did_not_write_is_told() {
        for (text, message) in [
            ("version = 2\n", "has version 2"),
            ("nonsense", "not as zako writes it"),
            (
                "version = 1\n[fetch]\n\"https://a\" = \"x\"\n",
                "https://a: \"x\" is no integrity",
            ),
        ] {
            let error = pin_of(text, "https://a").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
