//! The workers that there are, by identity: started when needed, used again, ended when they are idle, too big or broken.
//!
//! **Invariants:** no more than [`WorkerPoolOptions::total`] processes, and none that answered badly or whose request was given up
//! without an answer is used again. When the pool is dropped all are killed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::measure::{Measure, status_bytes};
use super::process::WorkerProcess;
use super::{WorkRequest, WorkResponse, WorkerError, WorkerIdentity, WorkerKey};
use crate::breaker::{Breaker, BreakerOptions, BreakerState};

/// How many identities' breakers are remembered.
const MAX_BREAKERS: usize = 1024;

/// Bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPoolOptions {
    /// Processes of one identity.
    pub per_identity: usize,
    /// Processes altogether.
    pub total: usize,
    /// How long a worker may have nothing to do.
    pub idle: Duration,
    /// Resident memory beyond which a worker is ended after its request, in bytes.
    pub memory_bytes: u64,
    /// How long a worker has to answer a request that was cancelled, before it is killed.
    pub cancel_grace: Duration,
    /// When an identity whose workers keep failing is left alone.
    pub breaker: BreakerOptions,
}

impl Default for WorkerPoolOptions {
    /// One process of each kind for each processor, four times as many altogether; a minute, 2 GiB, one second.
    fn default() -> Self {
        let processors = crate::processors();
        Self {
            per_identity: processors,
            total: 4 * processors,
            idle: Duration::from_secs(60),
            memory_bytes: 2 << 30,
            cancel_grace: Duration::from_secs(1),
            breaker: BreakerOptions {
                failures: 3,
                ..BreakerOptions::default()
            },
        }
    }
}

/// A worker, as an observer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerState {
    /// Its name for people.
    pub name: String,
    /// Its process, once it runs.
    pub pid: Option<u32>,
    /// Requests that it works on.
    pub in_flight: usize,
    /// Requests that it has ended.
    pub served: u64,
    /// Its resident memory, in bytes; zero where the system does not tell.
    pub resident_bytes: u64,
}

/// A pool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerPoolState {
    /// Those that there are.
    pub workers: Vec<WorkerState>,
    /// How many were started since the pool was made.
    pub started: u64,
    /// How many of those broke or were killed because of what they did.
    pub broken: u64,
    /// Kinds of workers that are left alone for now.
    pub avoided: usize,
}

/// Keeps workers. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct WorkerPool {
    shared: Arc<Shared>,
}

struct Shared {
    options: WorkerPoolOptions,
    /// Each worker has a folder below it.
    folder: PathBuf,
    state: Mutex<State>,
    /// A worker became free, or one less is there.
    freed: Notify,
}

#[derive(Default)]
struct State {
    workers: Vec<Entry>,
    breakers: HashMap<WorkerKey, Arc<Breaker>>,
    next: u64,
    started: u64,
    broken: u64,
    has_reaper: bool,
}

struct Entry {
    number: u64,
    key: WorkerKey,
    name: String,
    dir: PathBuf,
    /// `None` until it was started.
    process: Option<Arc<WorkerProcess>>,
    in_flight: usize,
    /// Leases that there were of it.
    requests: u64,
    served: u64,
    /// Given no more work.
    is_retired: bool,
    idle_since: Instant,
}

impl Entry {
    fn resident(&self) -> u64 {
        let pid = self.process.as_ref().map(|process| process.pid());
        pid.map_or(0, resident_bytes)
    }

    fn is_usable(&self, options: &WorkerPoolOptions) -> bool {
        !self.is_retired
            && self
                .process
                .as_ref()
                .is_some_and(|process| process.is_healthy())
            && self.resident() <= options.memory_bytes
    }
}

/// Resident memory of a process, in bytes.
fn resident_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmRSS:")
}

impl WorkerPool {
    /// A pool whose workers have their folders below `folder`, which is made when it is needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, options: WorkerPoolOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                options,
                folder: folder.into(),
                state: Mutex::default(),
                freed: Notify::new(),
            }),
        }
    }

    /// Its bounds.
    #[must_use]
    pub fn options(&self) -> &WorkerPoolOptions {
        &self.shared.options
    }

    /// What there is.
    #[must_use]
    pub fn state(&self) -> WorkerPoolState {
        let state = self.shared.state.lock();
        let workers = state.workers.iter().map(|entry| WorkerState {
            name: entry.name.clone(),
            pid: entry.process.as_ref().map(|process| process.pid()),
            in_flight: entry.in_flight,
            served: entry.served,
            resident_bytes: entry.resident(),
        });
        let is_closed =
            |breaker: &&Arc<Breaker>| matches!(breaker.state(), BreakerState::Closed { .. });
        let closed = state.breakers.values().filter(is_closed).count();
        WorkerPoolState {
            workers: workers.collect(),
            started: state.started,
            broken: state.broken,
            avoided: state.breakers.len() - closed,
        }
    }

    /// The breaker of all workers of this identity.
    pub(super) fn breaker(&self, key: &WorkerKey) -> Arc<Breaker> {
        let mut state = self.shared.state.lock();
        if state.breakers.len() >= MAX_BREAKERS && !state.breakers.contains_key(key) {
            state.breakers.clear();
        }
        let options = self.shared.options.breaker;
        let breaker = state.breakers.entry(key.clone());
        Arc::clone(breaker.or_insert_with(|| Arc::new(Breaker::new(options))))
    }

    /// Waits for a worker of this identity that has room for a request. One that has to be started is not yet: see
    /// [`Lease::start`].
    ///
    /// # Errors
    /// [`WorkerError::Cancelled`], or that its folder can't be made.
    pub async fn lease(
        &self,
        identity: &WorkerIdentity,
        cancel: &CancellationToken,
    ) -> Result<Lease, WorkerError> {
        let key = identity.key();
        loop {
            let mut freed = std::pin::pin!(self.shared.freed.notified());
            freed.as_mut().enable();
            let (found, gone) = self.shared.find(&key, identity);
            drop(gone);
            if let Some(lease) = found.map_err(|error| WorkerError::Start {
                name: identity.name.clone(),
                reason: format!("its folder cannot be made: {error}"),
            })? {
                return Ok(lease);
            }
            tokio::select! {
                () = freed => {}
                () = cancel.cancelled() => return Err(WorkerError::Cancelled),
            }
        }
    }

    /// Leases a worker, starts it if need be, and has it do one request.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub async fn work(
        &self,
        identity: &WorkerIdentity,
        request: WorkRequest,
        cancel: &CancellationToken,
    ) -> Result<WorkResponse, WorkerError> {
        let mut lease = self.lease(identity, cancel).await?;
        lease.start(identity, None)?;
        lease.work(request, cancel).await
    }

    /// Kills all workers that have nothing to do, and the others after their request.
    pub fn shut_down(&self) {
        let mut state = self.shared.state.lock();
        state
            .workers
            .iter_mut()
            .for_each(|entry| entry.is_retired = true);
        let gone = take(&mut state, |entry| entry.in_flight == 0);
        drop(state);
        drop(gone);
    }
}

impl std::fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state().fmt(f)
    }
}

/// Workers that are to go: killed, and their folders removed, when this is dropped outside of the lock.
struct Gone(Vec<Entry>);

impl Drop for Gone {
    fn drop(&mut self) {
        for entry in self.0.drain(..) {
            drop(entry.process);
            if let Err(error) = std::fs::remove_dir_all(&entry.dir)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(dir = %entry.dir.display(), %error, "cannot remove a worker's folder");
            }
        }
    }
}

/// Takes those out for which `is_gone`.
fn take(state: &mut State, is_gone: impl Fn(&Entry) -> bool) -> Gone {
    let (gone, kept) = std::mem::take(&mut state.workers)
        .into_iter()
        .partition(is_gone);
    state.workers = kept;
    Gone(gone)
}

type Found = (io::Result<Option<Lease>>, Gone);

impl Shared {
    /// A worker with room, else a new one if there may be one more.
    fn find(self: &Arc<Self>, key: &WorkerKey, identity: &WorkerIdentity) -> Found {
        let options = &self.options;
        let mut state = self.state.lock();
        // Health check: who is gone or too big serves nobody.
        let mut broken = 0;
        for entry in &mut state.workers {
            if entry.process.is_some() && !entry.is_retired && !entry.is_usable(options) {
                entry.is_retired = true;
                broken += 1;
            }
        }
        state.broken += broken;
        let mut gone = take(&mut state, |entry| entry.is_retired && entry.in_flight == 0);
        let room = identity.multiplex.max(1);
        let mut own = state
            .workers
            .iter_mut()
            .filter(|entry| entry.key == *key && !entry.is_retired);
        let mut starts = false;
        if let Some(entry) = own.find(|entry| {
            let has_room = entry.in_flight < room;
            starts |= has_room && entry.process.is_none();
            has_room && entry.process.is_some()
        }) {
            entry.in_flight += 1;
            entry.requests += 1;
            return (Ok(Some(self.lease_of(entry))), gone);
        }
        // One that will have room as soon as it was started: whoever starts it tells, or that it came to nothing.
        if starts {
            return (Ok(None), gone);
        }
        let count = state
            .workers
            .iter()
            .filter(|entry| entry.key == *key)
            .count();
        if count >= options.per_identity.max(1) {
            return (Ok(None), gone);
        }
        if state.workers.len() >= options.total.max(1) {
            let idle = state.workers.iter().filter(|entry| entry.in_flight == 0);
            let Some(oldest) = idle
                .min_by_key(|entry| entry.idle_since)
                .map(|entry| entry.number)
            else {
                return (Ok(None), gone);
            };
            gone.0
                .append(&mut take(&mut state, |entry| entry.number == oldest).0);
        }
        let number = state.next;
        state.next += 1;
        let dir = self.folder.join(number.to_string());
        if let Err(error) = make(&dir) {
            return (Err(error), gone);
        }
        let entry = Entry {
            number,
            key: key.clone(),
            name: identity.name.clone(),
            dir,
            process: None,
            in_flight: 1,
            requests: 1,
            served: 0,
            is_retired: false,
            idle_since: Instant::now(),
        };
        let lease = self.lease_of(&entry);
        state.workers.push(entry);
        if !std::mem::replace(&mut state.has_reaper, true) {
            tokio::spawn(reap(Arc::downgrade(self), self.options.idle));
        }
        (Ok(Some(lease)), gone)
    }

    fn lease_of(self: &Arc<Self>, entry: &Entry) -> Lease {
        Lease {
            shared: Arc::clone(self),
            number: entry.number,
            request: entry.requests,
            folder: None,
            dir: entry.dir.clone(),
            process: entry.process.clone(),
            is_clean: true,
        }
    }
}

/// An empty folder, with one for temporary files and one to work in.
fn make(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(dir.join("tmp"))?;
    std::fs::create_dir(dir.join("root"))
}

/// Ends workers that were idle for too long, until there are none.
async fn reap(shared: Weak<Shared>, idle: Duration) {
    loop {
        let Some(strong) = shared.upgrade() else {
            return;
        };
        let next = {
            let mut state = strong.state.lock();
            let now = Instant::now();
            let is_over = |entry: &Entry| entry.in_flight == 0 && now >= entry.idle_since + idle;
            let gone = take(&mut state, is_over);
            if state.workers.is_empty() {
                state.has_reaper = false;
            }
            let next = state.workers.iter().map(|entry| match entry.in_flight {
                0 => entry.idle_since + idle,
                _ => now + idle,
            });
            let next = next.min();
            drop(state);
            drop(gone);
            next
        };
        drop(strong);
        match next {
            Some(next) => tokio::time::sleep_until(next.into()).await,
            None => return,
        }
    }
}

/// A worker for one request. Dropping it gives the worker back; it is killed if its answer is still to come.
#[must_use = "dropping a lease gives the worker back"]
pub struct Lease {
    shared: Arc<Shared>,
    number: u64,
    /// Which lease of this worker it is.
    request: u64,
    /// The folder of this request alone, if it has one.
    folder: Option<PathBuf>,
    dir: PathBuf,
    process: Option<Arc<WorkerProcess>>,
    is_clean: bool,
}

impl Lease {
    /// The folder that the worker works in, unless it was started in another one.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// A folder for the worker's temporary files.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Begins to measure what the worker uses, if it is this request's alone: what several use at once is nobody's.
    pub(super) fn measure(&self) -> Option<Measure> {
        let process = self.process.as_ref()?;
        (!process.is_multiplex()).then(|| Measure::begin(process.pid()))
    }

    /// Its process, once it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid())
    }

    /// Whether its process runs already.
    pub(super) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// A folder below [`root`](Self::root) for this request alone, by its name there; it is removed with the lease.
    pub(super) fn folder_of_request(&mut self) -> (PathBuf, String) {
        let name = format!("__request-{}", self.request);
        let folder = self.root().join(&name);
        self.folder = Some(folder.clone());
        (folder, name)
    }

    /// A folder beside the other two.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts the worker in `dir` (in [`root`](Self::root) if `None`) unless it runs.
    ///
    /// # Errors
    /// [`WorkerError::Start`].
    pub fn start(
        &mut self,
        identity: &WorkerIdentity,
        dir: Option<&Path>,
    ) -> Result<(), WorkerError> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut identity = identity.clone();
        let tmp = self.tmp().display().to_string();
        identity
            .process
            .env
            .entry("TMPDIR".to_owned())
            .or_insert(tmp);
        let root = self.root();
        let process = WorkerProcess::start(&identity, dir.unwrap_or(&root));
        let mut state = self.shared.state.lock();
        let entry = state
            .workers
            .iter_mut()
            .find(|entry| entry.number == self.number);
        match process {
            Ok(process) => {
                let process = Arc::new(process);
                if let Some(entry) = entry {
                    entry.process = Some(Arc::clone(&process));
                    state.started += 1;
                }
                self.process = Some(process);
                drop(state);
                // Others may send it requests of theirs, too.
                self.shared.freed.notify_waiters();
                Ok(())
            }
            Err(error) => {
                if let Some(entry) = entry {
                    entry.is_retired = true;
                }
                Err(error)
            }
        }
    }

    /// Has it do one request.
    ///
    /// After `cancel` the worker is asked to stop. One that says that it did is kept; one that does not, or not in time, is killed.
    ///
    /// # Errors
    /// [`WorkerError::Broken`] when it is gone, and [`WorkerError::Cancelled`].
    pub async fn work(
        &mut self,
        request: WorkRequest,
        cancel: &CancellationToken,
    ) -> Result<WorkResponse, WorkerError> {
        let Some(process) = self.process.clone() else {
            return Err(WorkerError::Cancelled);
        };
        self.is_clean = false;
        // One that does not read holds a long request up for ever.
        let mut asked = tokio::select! {
            asked = process.send(request) => asked?,
            () = cancel.cancelled() => return Err(WorkerError::Cancelled),
        };
        tokio::select! {
            answer = asked.answer() => {
                self.is_clean = answer.is_ok();
                return answer;
            }
            () = cancel.cancelled() => {}
        }
        let grace = self.shared.options.cancel_grace;
        let given_up = async {
            asked.cancel().await?;
            asked.answer().await
        };
        if let Ok(Ok(answer)) = tokio::time::timeout(grace, given_up).await {
            // One that does not know of cancelling takes that for a request, and will answer once more.
            self.is_clean = answer.was_cancelled;
        }
        Err(WorkerError::Cancelled)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let mut broken = 0;
        if let Some(entry) = state
            .workers
            .iter_mut()
            .find(|entry| entry.number == self.number)
        {
            entry.in_flight -= 1;
            entry.served += u64::from(self.is_clean);
            entry.idle_since = Instant::now();
            let is_fit = self.is_clean && entry.is_usable(&self.shared.options);
            if !is_fit && !entry.is_retired {
                entry.is_retired = true;
                // One that was never started did nothing wrong.
                broken = u64::from(entry.process.is_some());
            }
            if !self.is_clean
                && let Some(process) = &entry.process
            {
                process.kill();
            }
        }
        state.broken += broken;
        let gone = take(&mut state, |entry| entry.is_retired && entry.in_flight == 0);
        drop(state);
        self.process = None;
        drop(gone);
        if let Some(folder) = self.folder.take()
            && let Err(error) = std::fs::remove_dir_all(&folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(folder = %folder.display(), %error, "cannot remove a request's folder");
        }
        self.shared.freed.notify_waiters();
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
