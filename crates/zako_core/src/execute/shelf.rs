//! What toolchains fetch: archives and programs with a known digest, extracted once into the cache folder, where actions of all
//! workspaces run them by their absolute paths.
//!
//! A toolchain's script never waits: it is told that something is awaited, ends, and runs again when that is there.
//!
//! **Invariant:** a folder of the shelf comes into being whole, by rename, and only from content whose digest was compared.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use zako_action::ActionCache;
use zako_cas::{Digest, Store};

use super::fetch_executor::{kept, put, record};
use crate::fetch::{Download, Fetch, FetchError, FetchRules, Integrity, download, extract};

/// The shelf of a build.
pub(crate) struct Shelf {
    store: Store,
    cache: ActionCache,
    rules: FetchRules,
    folder: PathBuf,
    /// What was put there, or why it was not, in this build.
    answers: Mutex<HashMap<Fetch, Answer>>,
}

/// Where something is, or why it is nowhere.
pub(crate) type Answer = Result<Arc<str>, String>;

impl Shelf {
    /// The shelf at `folder`, for a build that fetches by these rules.
    pub(crate) fn new(
        store: Store,
        cache: ActionCache,
        rules: FetchRules,
        folder: PathBuf,
    ) -> Shelf {
        Shelf {
            store,
            cache,
            rules,
            folder,
            answers: Mutex::default(),
        }
    }

    /// What is known of `fetch`; nothing when it is to be [filled](Self::fill) first.
    pub(crate) fn answer(&self, fetch: &Fetch) -> Option<Answer> {
        if let Some(known) = self.answers.lock().get(fetch) {
            return Some(known.clone());
        }
        let place = self.place(fetch);
        place.is_dir().then(|| Ok(shown(&place)))
    }

    /// Puts it there; what fails is the answer. `false` when it was cancelled.
    pub(crate) async fn fill(self: &Arc<Self>, fetch: &Fetch, cancel: &CancellationToken) -> bool {
        let (shelf, wanted, token) = (self.clone(), fetch.clone(), cancel.clone());
        let (send, receive) = tokio::sync::oneshot::channel();
        let started = std::thread::Builder::new()
            .name("zako-fetch".to_owned())
            .spawn(move || {
                let _nobody_waits = send.send(shelf.get(&wanted, &token));
            });
        let answer = match started {
            Err(error) => Err(format!("cannot fetch {}: {error}", fetch.url)),
            Ok(_) => tokio::select! {
                answer = receive => answer.unwrap_or_else(|gone| Err(gone.to_string())),
                () = cancel.cancelled() => return false,
            },
        };
        self.answers.lock().insert(fetch.clone(), answer);
        true
    }

    fn place(&self, fetch: &Fetch) -> PathBuf {
        let integrity = fetch.integrity.as_deref().unwrap_or_default();
        let text = format!("{integrity}\0{:?}\0{}", fetch.strip, name(fetch));
        let name = blake3::hash(text.as_bytes()).to_hex();
        self.folder.join(&name[..32])
    }

    fn get(&self, fetch: &Fetch, cancel: &CancellationToken) -> Answer {
        let place = self.place(fetch);
        if place.is_dir() {
            return Ok(shown(&place));
        }
        let io = |error: std::io::Error| format!("{} cannot be made: {error}", place.display());
        fs::create_dir_all(&self.folder).map_err(io)?;
        let scratch = tempfile::tempdir_in(&self.folder).map_err(io)?;
        let content = self.content(fetch, scratch.path(), cancel)?;
        let made = scratch.path().join("made");
        let told = |error: &dyn std::fmt::Display| error.to_string();
        match fetch.strip {
            Some(strip) => {
                let archive = scratch.path().join("archive");
                put(&self.store, &content, &archive).map_err(|e| told(&e))?;
                extract(&archive, &made, strip).map_err(|source| {
                    let url = fetch.url.clone();
                    told(&FetchError::Archive { url, source })
                })?;
            }
            None => {
                let program = made.join(name(fetch));
                put(&self.store, &content, &program).map_err(|e| told(&e))?;
                crate::system::set_mode(&program, 0o755).map_err(io)?;
            }
        }
        match fs::rename(&made, &place) {
            Ok(()) => {}
            // Another process was there first, with the same.
            Err(_) if place.is_dir() => {}
            Err(error) => return Err(io(error)),
        }
        Ok(shown(&place))
    }

    fn content(
        &self,
        fetch: &Fetch,
        scratch: &Path,
        cancel: &CancellationToken,
    ) -> Result<Digest, String> {
        let url = fetch.url.clone();
        let integrity = fetch.integrity.as_deref().unwrap_or_default();
        let expected: Integrity = integrity.parse().map_err(|e| format!("{url}: {e}"))?;
        let kept = kept(&self.store, &self.cache, &expected).map_err(|e| e.to_string())?;
        if let Some(content) = kept {
            return Ok(content);
        }
        let failed = |error: FetchError| match error.help() {
            Some(help) => format!("{error}; {help}"),
            None => error.to_string(),
        };
        if self.rules.offline && !url.starts_with("file://") {
            return Err(failed(FetchError::Offline { url }));
        }
        let place = scratch.join("download");
        let downloaded = download(&Download {
            url: url.clone(),
            place: place.clone(),
            algorithm: expected.algorithm(),
            cancel: cancel.clone(),
        });
        let found = downloaded.map_err(failed)?.found;
        if found != expected {
            return Err(failed(FetchError::Mismatch {
                url,
                expected,
                found,
            }));
        }
        let content = self.store.put_file(&place).map_err(|e| e.to_string())?;
        record(&self.store, &self.cache, &found, content).map_err(|e| e.to_string())?;
        Ok(content)
    }
}

/// What a program that is fetched by itself is called.
fn name(fetch: &Fetch) -> &str {
    let path = fetch.url.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit('/').next() {
        Some(name) if !name.is_empty() && !matches!(name, "." | "..") => name,
        _ => "program",
    }
}

fn shown(place: &Path) -> Arc<str> {
    place.display().to_string().into()
}
