//! What `fetch` in `zako:build` declares: content from elsewhere, named by its digest.
//!
//! It knows addresses, digests, `zako.lock` and archives. It must never know actions, the store or how a build is run:
//! `execute::fetch_executor` puts these together.
//!
//! **Invariant:** nothing that was downloaded is handed on before its digest was compared, and nothing of an archive is
//! written outside of the folder that it is extracted to.

mod download;
mod extract;
mod integrity;
mod pins;

use std::path::PathBuf;

use thiserror::Error;

pub(crate) use download::{Download, download};
pub(crate) use extract::{ArchiveError, extract};
pub(crate) use integrity::{Algorithm, Hashing, Integrity, IntegrityError};
pub(crate) use pins::{LOCK_FILE, PinsError, add as add_pin, pin_of};

/// What is fetched, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fetch {
    /// Where it is: `https`, `http` or `file`.
    pub(crate) url: String,
    /// What it must be, as [`Integrity`] is written; `None` when nobody said so far.
    pub(crate) integrity: Option<String>,
    /// Extract it, without this many of the first folders of each path.
    pub(crate) strip: Option<u32>,
    /// Whether the file is a program.
    pub(crate) executable: bool,
}

impl Fetch {
    /// The same without its address: what decides about the output once the content is known.
    pub(crate) fn content(&self) -> Fetch {
        let url = match self.integrity {
            Some(_) => String::new(),
            None => self.url.clone(),
        };
        Fetch {
            url,
            ..self.clone()
        }
    }
}

/// Why `url` is no address that can be fetched; `None` when it is one.
pub(crate) fn unfit(url: &str) -> Option<String> {
    let rest = ["https://", "http://", "file:///"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !url.chars().any(|c| c.is_whitespace()) => None,
        _ => Some(format!(
            "\"{url}\" is no address that fetch knows: it takes https://…, http://… and file:///…"
        )),
    }
}

/// How a build fetches. Nothing of it decides what a result is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FetchRules {
    /// `zako.lock` is not written: what is not pinned is an error.
    pub(crate) locked: bool,
    /// The network is not used.
    pub(crate) offline: bool,
}

/// Why something could not be fetched.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// It is something else than was expected.
    #[error("{url} is not what it should be: expected {expected}, found {found}")]
    Mismatch {
        /// Where it came from.
        url: String,
        /// What was declared or pinned.
        expected: Integrity,
        /// What came.
        found: Integrity,
    },
    /// What was declared is no digest.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
    /// It has no digest and the lock file may not be written.
    #[error("{url} has no integrity, and is not in {LOCK_FILE}, which --locked keeps as it is")]
    Unlocked {
        /// Where it would come from.
        url: String,
    },
    /// The network may not be used.
    #[error("{url} was not fetched before, and --offline does not use the network")]
    Offline {
        /// Where it would come from.
        url: String,
    },
    /// The server said no.
    #[error("cannot fetch {url}: the server answered {status}")]
    Status {
        /// Where it would come from.
        url: String,
        /// The HTTP status, as `404 Not Found`.
        status: String,
    },
    /// The server could not be reached, or stopped.
    #[error("cannot fetch {url}: {why}")]
    Network {
        /// Where it would come from.
        url: String,
        /// What failed, in the words of the HTTP client.
        why: String,
    },
    /// A file of this machine.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The lock file.
    #[error(transparent)]
    Pins(#[from] PinsError),
    /// What was fetched is no archive that can be used.
    #[error("cannot extract {url}: {source}")]
    Archive {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// The build was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl FetchError {
    /// What a person can do about it.
    pub(crate) fn help(&self) -> Option<String> {
        let help = match self {
            FetchError::Mismatch { found, .. } => format!(
                "find out why it changed before anything else; if the new content is what you want, set integrity to \"{found}\", or remove its line from {LOCK_FILE}"
            ),
            FetchError::Unlocked { .. } => format!(
                "build once without --locked and commit {LOCK_FILE}, or give fetch an integrity"
            ),
            FetchError::Offline { .. } => "build once with the network: what was fetched is kept".to_owned(),
            FetchError::Status { .. } => "is the address right?".to_owned(),
            FetchError::Network { .. } => "is the network there, and the address right?".to_owned(),
            FetchError::Archive { .. } => {
                "it is a .tar, .tar.gz, .tar.xz, .tar.zst or .zip that is extracted; leave extract out to have the file as it is".to_owned()
            }
            FetchError::Integrity(_)
            | FetchError::Io { .. }
            | FetchError::Pins(_)
            | FetchError::Cancelled => return None,
        };
        Some(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["https://x.org/a.tgz", "http://127.0.0.1:80/", "file:///a/b"] {
            assert_eq!(unfit(good), None, "{good}");
        }
        for bad in [
            "",
            "ftp://x",
            "https://",
            "x.tgz",
            "file://a",
            "https://x/a b",
        ] {
            assert!(unfit(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn the_address_counts_only_while_the_content_is_unknown() {
        let known = Fetch {
            url: "https://a/x".to_owned(),
            integrity: Some("blake3-00".to_owned()),
            strip: None,
            executable: false,
        };
        let other = Fetch {
            url: "https://b/x".to_owned(),
            ..known.clone()
        };
        assert_eq!(known.content(), other.content());
        let unknown = Fetch {
            integrity: None,
            ..known
        };
        assert_eq!(unknown.content(), unknown);
    }
}
