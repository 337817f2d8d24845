//! One build a workspace at a time: an exclusive lock on `.zako/lock`, with the holder's process id inside.
//!
//! Who waits marks that by a shared lock of a file for its urgency, `.zako/lock.normal` or `.zako/lock.interactive`: the less
//! urgent do not try while a more urgent one waits, whichever process it is in.
//!
//! The system frees locks when their holders die, so nothing here judges who is alive.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zako_exec::Urgency;

use crate::diagnostic::{Diagnostic, Fault};
use crate::event::BuildEvent;

/// How often a waiter looks, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(200);

/// How often a mark is tried that somebody just looks at, and how long it takes until it is tried again.
const MARK_TRIES: u32 = 100;
const MARK_PAUSE: Duration = Duration::from_millis(1);

/// The file that those lock who wait with this urgency; nobody gives way to the least.
fn mark_of(urgency: Urgency) -> Option<&'static str> {
    match urgency {
        Urgency::Background => None,
        Urgency::Normal => Some(".zako/lock.normal"),
        Urgency::Interactive => Some(".zako/lock.interactive"),
    }
}

/// Says, while it lives, that somebody waits.
#[derive(Debug)]
struct Mark(File);

impl Mark {
    /// For one that waits with this urgency. Waiting goes on without a mark where there can be none.
    async fn of(root: &Path, urgency: Urgency) -> Option<Mark> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join(mark_of(urgency)?))
            .ok()?;
        for _ in 0..MARK_TRIES {
            match file.try_lock_shared() {
                Ok(()) => return Some(Mark(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(MARK_PAUSE).await,
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    /// Whether somebody waits who is more urgent.
    fn is_above(root: &Path, urgency: Urgency) -> bool {
        let above = [Urgency::Normal, Urgency::Interactive].into_iter();
        let marks = above.filter(|other| *other > urgency).filter_map(mark_of);
        marks.into_iter().any(|mark| {
            let Ok(file) = File::options().read(true).write(true).open(root.join(mark)) else {
                return false;
            };
            match file.try_lock() {
                Ok(()) => {
                    let _closing_does_it_too = file.unlock();
                    false
                }
                Err(error) => matches!(error, TryLockError::WouldBlock),
            }
        })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // A process that is being spawned may hold a copy of the descriptor.
        let _closing_does_it_too = self.0.unlock();
    }
}

/// The right to write into a workspace; given back when dropped.
#[derive(Debug)]
pub(crate) struct WorkspaceLock {
    file: File,
    /// Whether the holder is named in it.
    is_announced: bool,
}

impl Drop for WorkspaceLock {
    fn drop(&mut self) {
        if self.is_announced
            && let Err(error) = self.file.set_len(0)
        {
            tracing::warn!(%error, "cannot take the process's id out of the lock");
        }
        // Closing alone is not enough: a process that is being spawned holds a copy of the descriptor until it
        // executes, and the lock with it.
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "cannot unlock the workspace");
        }
    }
}

impl WorkspaceLock {
    /// Takes the lock of the workspace at `root` if nobody holds it; one that is held is an error that names the holder.
    /// `None` when the workspace has no lock yet, so nobody can hold it.
    pub(crate) fn try_acquire(root: &Path) -> Result<Option<WorkspaceLock>, Diagnostic> {
        let path = root.join(".zako/lock");
        let failed = |error: std::io::Error| {
            Diagnostic::environment(format!("cannot lock {}: {error}", path.display()))
        };
        let mut file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(WorkspaceLock {
                file,
                is_announced: false,
            })),
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut file)
                    .map(|pid| format!(" (process {pid})"))
                    .unwrap_or_default();
                Err(Diagnostic::environment(format!(
                    "another zako builds in this workspace now{pid}"
                ))
                .with_help("try again when it is done"))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Takes the lock of the workspace at `root`; of those who wait, one of the greatest urgency has it next. A waiter says so once,
    /// with [`BuildEvent::Waiting`].
    pub(crate) async fn acquire(
        root: &Path,
        urgency: Urgency,
        events: &mpsc::Sender<BuildEvent>,
        cancel: &CancellationToken,
    ) -> Result<WorkspaceLock, Diagnostic> {
        let path = root.join(".zako/lock");
        let failed = |verb: &str, error: std::io::Error| {
            Diagnostic::environment(format!("cannot {verb} {}: {error}", path.display()))
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| failed("create the folder of", e))?;
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| failed("open", e))?;
        let mut pause = None;
        let mut mark = None;
        loop {
            if !Mark::is_above(root, urgency) {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
                }
            }
            if pause.is_none() {
                mark = Mark::of(root, urgency).await;
                let pid = holder(&mut file);
                let _nobody_listens = events.send(BuildEvent::Waiting { pid }).await;
            }
            let next = pause.map_or(FIRST_LOOK, |last: Duration| (last * 2).min(LAST_LOOK));
            pause = Some(next);
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = cancel.cancelled() => {
                    return Err(Diagnostic::error(
                        Fault::Interrupted,
                        "interrupted while waiting for another zako that builds in this workspace",
                    ));
                }
            }
        }
        drop(mark);
        let mut lock = WorkspaceLock {
            file,
            is_announced: false,
        };
        lock.announce(root)?;
        Ok(lock)
    }

    /// Says in it who holds it, for those who wait.
    pub(crate) fn announce(&mut self, root: &Path) -> Result<(), Diagnostic> {
        if self.is_announced {
            return Ok(());
        }
        let pid = format!("{}\n", std::process::id());
        self.is_announced = true;
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(pid.as_bytes()))
            .map_err(|error| {
                let path = root.join(".zako/lock");
                Diagnostic::environment(format!("cannot write {}: {error}", path.display()))
            })
    }
}

/// The process that says it holds the lock.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_builder_waits_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let (events, mut heard) = mpsc::channel(8);
        let cancel = CancellationToken::new();
        let first = WorkspaceLock::acquire(&root, Urgency::Normal, &events, &cancel)
            .await
            .unwrap();
        assert!(heard.try_recv().is_err(), "the first does not wait");
        let second = tokio::spawn({
            let (root, events, cancel) = (root.clone(), events.clone(), cancel.clone());
            async move { WorkspaceLock::acquire(&root, Urgency::Normal, &events, &cancel).await }
        });
        assert_eq!(
            heard.recv().await,
            Some(BuildEvent::Waiting {
                pid: Some(std::process::id())
            })
        );
        drop(first);
        let second = second.await.unwrap().unwrap();

        let third = tokio::spawn({
            let cancel = cancel.clone();
            async move { WorkspaceLock::acquire(&root, Urgency::Normal, &events, &cancel).await }
        });
        assert!(matches!(
            heard.recv().await,
            Some(BuildEvent::Waiting { .. })
        ));
        cancel.cancel();
        assert_eq!(third.await.unwrap().unwrap_err().fault, Fault::Interrupted);
        assert_eq!(heard.recv().await, None, "said once");
        drop(second);
    }

    #[tokio::test]
    async fn the_most_urgent_of_those_who_wait_is_next() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let cancel = CancellationToken::new();
        let (events, mut heard) = mpsc::channel(8);
        let acquire = |urgency: Urgency, events: mpsc::Sender<BuildEvent>| {
            let (root, cancel) = (root.clone(), cancel.clone());
            async move { WorkspaceLock::acquire(&root, urgency, &events, &cancel).await }
        };
        let first = acquire(Urgency::Background, events.clone()).await.unwrap();
        let (order, mut ended) = mpsc::channel(8);
        let mut waiting = Vec::new();
        for urgency in [Urgency::Background, Urgency::Normal, Urgency::Interactive] {
            let (acquired, order) = (acquire(urgency, events.clone()), order.clone());
            waiting.push(tokio::spawn(async move {
                let _lock = acquired.await.unwrap();
                order.send(urgency).await.unwrap();
            }));
            assert!(matches!(
                heard.recv().await,
                Some(BuildEvent::Waiting { .. })
            ));
        }
        drop((first, order));
        for waiting in waiting {
            waiting.await.unwrap();
        }
        for urgency in [Urgency::Interactive, Urgency::Normal, Urgency::Background] {
            assert_eq!(ended.recv().await, Some(urgency));
        }
    }
}
