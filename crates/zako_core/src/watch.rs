//! Being told what changes in a workspace, so that the next build looks at nothing else.
//!
//! Folders are watched one by one, without those that are ignored, so that what lies in `node_modules` costs nothing.
//!
//! **Invariant:** when the system lost track, everything counts as changed.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{CreateKind, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zako_path::NeutralPath;

use crate::diagnostic::Diagnostic;
use crate::manifest::MANIFEST;
use crate::workspace::{OUTPUT_DIR, STATE_DIR, Workspace, is_in_output};

/// How long it has to be quiet after a change: editors and version control write many files at once.
const QUIET: Duration = Duration::from_millis(20);

/// How long it may go on without being quiet.
const LONGEST: Duration = Duration::from_millis(500);

/// How many events are collected into one set of changes at most.
const MAX_EVENTS: usize = 1 << 16;

/// What changed in a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The paths, relative to the workspace's root.
    pub(crate) paths: BTreeSet<NeutralPath>,
    /// Nobody knows what.
    pub(crate) all: bool,
}

impl Changes {
    /// These paths and nothing else. Whoever says so must be right: what is not told is not looked at.
    pub fn of(paths: impl IntoIterator<Item = NeutralPath>) -> Changes {
        Changes {
            paths: paths.into_iter().collect(),
            all: false,
        }
    }

    /// Anything may have changed.
    pub fn all() -> Changes {
        Changes {
            paths: BTreeSet::new(),
            all: true,
        }
    }

    /// Whether the workspace has to be opened anew, because its manifest may have changed.
    pub fn reopens(&self) -> bool {
        self.all || self.paths.iter().any(|path| path.as_str() == MANIFEST)
    }

    /// What the changes reach, as far as they are told.
    pub(crate) fn reach(&self) -> Reach {
        let text = |path: NeutralPath| path.as_str().to_owned();
        let around = self.paths.iter().flat_map(NeutralPath::ancestors);
        Reach {
            changed: self.paths.iter().cloned().map(text).collect(),
            around: around.chain([NeutralPath::root()]).map(text).collect(),
        }
    }

    /// Adds `others`.
    pub fn extend(&mut self, others: Changes) {
        self.paths.extend(others.paths);
        self.all |= others.all;
    }
}

/// Which paths some changes reach.
#[derive(Debug)]
pub(crate) struct Reach {
    changed: HashSet<String>,
    /// Those and the folders that they are in.
    around: HashSet<String>,
}

impl Reach {
    /// Whether what stands at `path`, or what is in the folder there, may be another: it or something in it changed,
    /// or a folder that it is in was put there whole.
    pub(crate) fn touches(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        self.around.contains(path) || folders.into_iter().any(|at| self.changed.contains(at))
    }
}

/// Tells what changes in a workspace; see [`Session::watch`](crate::Session::watch).
pub struct Watch {
    workspace: Arc<Workspace>,
    watcher: RecommendedWatcher,
    events: mpsc::UnboundedReceiver<notify::Result<Event>>,
}

impl Watch {
    pub(crate) fn new(workspace: Arc<Workspace>) -> Result<Watch, Diagnostic> {
        let (send, events) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| {
            // Nobody listens any more: the watch is gone.
            let _ = send.send(event);
        });
        let mut watch = Watch {
            workspace,
            watcher: watcher.map_err(|e| unwatchable(&e))?,
            events,
        };
        watch.add(&NeutralPath::root())?;
        Ok(watch)
    }

    /// Watches a folder and those in it.
    fn add(&mut self, folder: &NeutralPath) -> Result<(), Diagnostic> {
        let mut pending = vec![folder.clone()];
        while let Some(folder) = pending.pop() {
            let place = folder.to_os_path(self.workspace.root());
            match self.watcher.watch(&place, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // Gone again already: its own parent tells of that.
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => continue,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(unwatchable(&error)),
            }
            let Ok(entries) = self.workspace.list(&folder) else {
                continue;
            };
            pending.extend(self.workspace.folders(&folder, &entries));
            // Ignored as a source, but what stands there is looked after.
            let out = NeutralPath::new(OUTPUT_DIR).ok();
            pending.extend(
                out.filter(|out| {
                    folder.is_root() && out.to_os_path(self.workspace.root()).is_dir()
                }),
            );
        }
        Ok(())
    }

    /// Waits until something has changed and it is quiet again. May be dropped and asked again: nothing is lost but what was
    /// collected until then.
    pub async fn changes(&mut self) -> Result<Changes, Diagnostic> {
        let mut changes = Changes::default();
        while changes.paths.is_empty() && !changes.all {
            match self.events.recv().await {
                Some(event) if is_read(&event) => {}
                Some(event) => self.take(event, &mut changes)?,
                None => std::future::pending().await,
            }
        }
        let begun = Instant::now();
        let mut quiet = begun + QUIET;
        for _ in 0..MAX_EVENTS {
            match tokio::time::timeout_at(quiet.min(begun + LONGEST), self.events.recv()).await {
                Ok(Some(event)) if is_read(&event) => {}
                Ok(Some(event)) => {
                    self.take(event, &mut changes)?;
                    quiet = Instant::now() + QUIET;
                }
                Ok(None) | Err(_) => break,
            }
        }
        Ok(changes)
    }

    fn take(
        &mut self,
        event: notify::Result<Event>,
        changes: &mut Changes,
    ) -> Result<(), Diagnostic> {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => {
                changes.all = true;
                return self.add(&NeutralPath::root());
            }
        };
        let appears = matches!(
            event.kind,
            EventKind::Create(CreateKind::Folder | CreateKind::Any)
                | EventKind::Modify(ModifyKind::Name(_))
        );
        for place in event.paths {
            let Some(path) = self.neutral(&place) else {
                continue;
            };
            let is_state = path.components().next() == Some(STATE_DIR);
            if is_state {
                continue;
            }
            if appears && place.is_dir() && !place.is_symlink() && self.is_watched(&path) {
                self.add(&path)?;
                // What came with it was there before anybody watched.
                self.all_in(&path, changes);
            }
            changes.paths.insert(path);
        }
        Ok(())
    }

    /// Every path in a folder has changed.
    fn all_in(&self, folder: &NeutralPath, changes: &mut Changes) {
        let mut pending = vec![folder.clone()];
        while let Some(folder) = pending.pop() {
            let Ok(entries) = self.workspace.list(&folder) else {
                continue;
            };
            pending.extend(self.workspace.folders(&folder, &entries));
            let paths = entries
                .iter()
                .filter_map(|entry| folder.join(&entry.name).ok());
            changes.paths.extend(paths);
        }
    }

    fn is_watched(&self, folder: &NeutralPath) -> bool {
        is_in_output(folder)
            || !folder
                .ancestors()
                .any(|above| self.workspace.is_ignored(&above))
    }

    fn neutral(&self, place: &Path) -> Option<NeutralPath> {
        let below: PathBuf = place.strip_prefix(self.workspace.root()).ok()?.to_owned();
        NeutralPath::from_os_path(&below).ok()
    }
}

/// Whether somebody only read something.
fn is_read(event: &notify::Result<Event>) -> bool {
    event
        .as_ref()
        .is_ok_and(|event| matches!(event.kind, EventKind::Access(_)) && !event.need_rescan())
}

fn is_missing(error: &notify::Error) -> bool {
    matches!(&error.kind, notify::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::NotFound)
}

fn unwatchable(error: &notify::Error) -> Diagnostic {
    let diagnostic = Diagnostic::environment(format!("the workspace cannot be watched: {error}"));
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => diagnostic.with_help(
            "the system's limit is reached: raise it (`sysctl fs.inotify.max_user_watches`), or ignore folders in zako.toml",
        ),
        _ => diagnostic,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn changes_reach_up_and_down_and_nothing_beside() {
        // Names that sort between a folder and what is in it.
        let paths = ["src-gen/a", "src.txt", "src/b/c"].map(|path| NeutralPath::new(path).unwrap());
        let reach = Changes::of(paths).reach();
        for touched in [
            "",
            "src",
            "src/b",
            "src/b/c",
            "src/b/c/d",
            "src-gen",
            "src.txt",
        ] {
            assert!(reach.touches(touched), "{touched}");
        }
        for other in ["sr", "src/b/cc", "src/a", "src-gen/b", "src.txtx", "b"] {
            assert!(!reach.touches(other), "{other}");
        }
    }
}
