//! Commands for embedders: put in with a priority, run as there is room, watched and cancelled one by one or all at once.
//!
//! [`command`] is what is run, [`queue`] who is next, [`executor`] how it is run. This file joins them.
//!
//! **Absences:** no actions, no store, no workspace; nothing of V8 is below this.
//!
//! **Invariants:** at most [`CommandPoolOptions::concurrency`] commands run at once, and what they hold of the resources is
//! given back when they end in whatever way. Every command that was taken in ends, and its end is told once. Dropping the pool
//! cancels all. A command that asks for memory starts only when the machine has it, or when nothing else of the pool runs.

mod command;
mod executor;
mod queue;

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use zako_action::Usage;

pub use command::{Command, CommandError, CommandId, CommandOutput, CommandResult};
pub use executor::{
    CommandExecutor, CommandObserver, InProcess, Lines, MAX_SHOWN_LINE, NoObserver, Processes, Say,
};
pub use queue::MAX_QUEUED;

use crate::pressure::{Sources, Watch, Weather};
use crate::resource_pool::{AcquireError, Capacity, Grant, ResourcePool};
use queue::{Intake, Ready};

/// Bounds of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandPoolOptions {
    /// Commands that run at once; at least one.
    pub concurrency: usize,
    /// What there is of everything that commands ask for.
    pub capacity: Capacity,
    /// Where it is looked how much memory the machine, or the control group that this process is in, has left: commands that ask for
    /// memory wait while that is short. `None` to go by [`capacity`](Self::capacity) alone. The first command that asks for memory
    /// costs a thread, which sleeps while nothing runs.
    pub watch: Option<Sources>,
    /// What jitter comes from: the same seed gives the same pauses between retries.
    pub seed: u64,
}

impl Default for CommandPoolOptions {
    /// As many commands as processors, all of this machine, and its memory watched.
    fn default() -> Self {
        Self {
            concurrency: crate::processors(),
            capacity: Capacity::of_this_machine(),
            watch: Some(Sources::default()),
            seed: 0,
        }
    }
}

/// A pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandPoolState {
    /// Commands that wait.
    pub queued: usize,
    /// Commands that run, or wait to be tried again.
    pub running: usize,
    /// Commands that ended since the pool was made.
    pub ended: u64,
    /// The longest that a command has waited until it ran.
    pub longest_wait: Duration,
    /// What the machine has, as it was last seen; `None` while nobody watches it.
    pub weather: Option<Weather>,
}

/// Why a command was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many wait already.
    #[error("too many commands wait ({MAX_QUEUED})")]
    QueueFull,
    /// The pool is being shut down.
    #[error("the pool is being shut down")]
    ShutDown,
    /// It asks for what there is not.
    #[error(transparent)]
    Resources(#[from] AcquireError),
}

/// Runs commands.
///
/// ```
/// # use zako_exec::{Command, CommandPool, CommandPoolOptions, Priority};
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let pool = CommandPool::of_processes(CommandPoolOptions::default());
/// let hello = pool.submit(Command::new("echo", "/").args(["hello"]))?;
/// let urgent = pool.submit(Command::new("true", "/").priority(Priority(10)))?;
/// assert!(hello.ended().await.succeeded() && urgent.ended().await.succeeded());
/// pool.drain().await;
/// # Ok::<(), zako_exec::SubmitError>(()) }).unwrap();
/// ```
pub struct CommandPool {
    shared: Arc<Shared>,
    _stop: tokio_util::sync::DropGuard,
}

struct Shared {
    executor: Arc<dyn CommandExecutor>,
    observer: Arc<dyn CommandObserver>,
    seed: u64,
    resources: ResourcePool,
    sources: Option<Sources>,
    /// Who looks at the machine, once a command wants memory.
    watch: OnceLock<Option<Watch>>,
    slots: Arc<Semaphore>,
    intake: Intake<Waiting>,
    /// For the dispatcher: something came in, ended, or was cancelled.
    changed: Notify,
    /// For those who drain: something ended.
    ended: Notify,
    counts: Mutex<Counts>,
    /// What all that came in since the last [`CommandPool::cancel_all`] is cancelled by.
    cancel: Mutex<CancellationToken>,
    /// The pool was dropped.
    stop: CancellationToken,
}

#[derive(Default)]
struct Counts {
    next: u64,
    queued: usize,
    running: usize,
    ended: u64,
    longest_wait: Duration,
    is_closed: bool,
}

/// A command that was taken in, until it ends.
struct Waiting {
    id: CommandId,
    command: Command,
    since: Instant,
    cancel: CancellationToken,
    tell: oneshot::Sender<CommandResult>,
}

/// Leave to run; dropping it gives slot and resources back and wakes the dispatcher.
struct Permit {
    shared: Arc<Shared>,
    held: Option<(OwnedSemaphorePermit, Grant)>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.held = None;
        self.shared.changed.notify_one();
    }
}

/// A command that was taken in. Dropping it changes nothing.
pub struct CommandHandle {
    shared: Weak<Shared>,
    id: CommandId,
    cancel: CancellationToken,
    result: oneshot::Receiver<CommandResult>,
}

impl CommandHandle {
    /// Its number in the pool.
    #[must_use]
    pub fn id(&self) -> CommandId {
        self.id
    }

    /// Ends it early, or takes it out of the queue.
    pub fn cancel(&self) {
        self.cancel.cancel();
        if let Some(shared) = self.shared.upgrade() {
            shared.changed.notify_one();
        }
    }

    /// Waits for its end, but not longer than `limit`: then the handle is given back.
    ///
    /// # Errors
    /// The handle, when the command has not ended by then.
    pub async fn ended_within(mut self, limit: Duration) -> Result<CommandResult, Self> {
        match tokio::time::timeout(limit, &mut self.result).await {
            Ok(result) => Ok(self.result_or_gone(result.ok())),
            Err(_) => Err(self),
        }
    }

    /// Waits for its end.
    pub async fn ended(self) -> CommandResult {
        let mut handle = self;
        let result = (&mut handle.result).await;
        handle.result_or_gone(result.ok())
    }

    /// The sender is dropped without a word only with the whole runtime.
    fn result_or_gone(&self, result: Option<CommandResult>) -> CommandResult {
        result.unwrap_or(CommandResult {
            id: self.id,
            outcome: Err(CommandError::Cancelled),
            usage: Usage::default(),
            attempts: 0,
            waited: Duration::ZERO,
        })
    }
}

impl CommandPool {
    /// A pool that runs commands with `executor` and tells `observer` of them.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    #[must_use]
    pub fn new(
        options: CommandPoolOptions,
        executor: Arc<dyn CommandExecutor>,
        observer: Arc<dyn CommandObserver>,
    ) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            executor,
            observer,
            seed: options.seed,
            resources: ResourcePool::new(options.capacity),
            sources: options.watch,
            watch: OnceLock::new(),
            slots: Arc::new(Semaphore::new(options.concurrency.max(1))),
            intake: Intake::default(),
            changed: Notify::new(),
            ended: Notify::new(),
            counts: Mutex::default(),
            cancel: Mutex::new(stop.child_token()),
            stop: stop.clone(),
        });
        tokio::spawn(dispatch(Arc::clone(&shared)));
        Self {
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// A pool of processes that nobody watches.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn of_processes(options: CommandPoolOptions) -> Self {
        Self::new(options, Arc::new(Processes), Arc::new(NoObserver))
    }

    /// Takes a command in.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn submit(&self, command: Command) -> Result<CommandHandle, SubmitError> {
        self.shared.resources.check(&command.resources)?;
        if command.resources.memory_bytes > 0 {
            self.shared.look_at_the_machine();
        }
        let (tell, result) = oneshot::channel();
        let cancel = self.shared.cancel.lock().child_token();
        let id = {
            let mut counts = self.shared.counts.lock();
            if counts.is_closed {
                return Err(SubmitError::ShutDown);
            }
            if counts.queued >= MAX_QUEUED {
                return Err(SubmitError::QueueFull);
            }
            counts.queued += 1;
            counts.next += 1;
            CommandId(counts.next)
        };
        self.shared.intake.push(Waiting {
            id,
            command,
            since: Instant::now(),
            cancel: cancel.clone(),
            tell,
        });
        self.shared.changed.notify_one();
        let shared = Arc::downgrade(&self.shared);
        Ok(CommandHandle {
            shared,
            id,
            cancel,
            result,
        })
    }

    /// Ends all commands early that were taken in until now; others may follow.
    pub fn cancel_all(&self) {
        let next = self.shared.stop.child_token();
        let all = std::mem::replace(&mut *self.shared.cancel.lock(), next);
        all.cancel();
        self.shared.changed.notify_one();
    }

    /// Takes no more, and waits until all have ended.
    pub async fn drain(&self) {
        self.shared.counts.lock().is_closed = true;
        loop {
            let mut ended = std::pin::pin!(self.shared.ended.notified());
            ended.as_mut().enable();
            let state = self.state();
            if state.queued == 0 && state.running == 0 {
                return;
            }
            ended.await;
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> CommandPoolState {
        let counts = self.shared.counts.lock();
        CommandPoolState {
            queued: counts.queued,
            running: counts.running,
            ended: counts.ended,
            longest_wait: counts.longest_wait,
            weather: self.shared.resources.state().weather,
        }
    }
}

impl std::fmt::Debug for CommandPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state().fmt(f)
    }
}

impl std::fmt::Debug for CommandHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Starts what is ready while there is room. Ends when the pool is gone and all that it took in has ended.
async fn dispatch(shared: Arc<Shared>) {
    let mut ready = Ready::default();
    loop {
        let mut observed = std::pin::pin!(shared.resources.observed());
        observed.as_mut().enable();
        for waiting in shared.intake.take_all() {
            let priority = waiting.command.priority;
            ready.push(priority, waiting);
        }
        for given_up in ready.take_if(|waiting| waiting.cancel.is_cancelled()) {
            shared.end(
                given_up,
                Err(CommandError::Cancelled),
                Usage::default(),
                0,
                None,
            );
        }
        while let Some((waiting, permit)) = ready.next(|waiting| shared.permit(&waiting.command)) {
            let since = waiting.since;
            {
                let mut counts = shared.counts.lock();
                counts.queued -= 1;
                counts.running += 1;
                counts.longest_wait = counts.longest_wait.max(since.elapsed());
            }
            tokio::spawn(run(waiting, permit));
        }
        if shared.stop.is_cancelled() && ready.is_empty() && shared.intake.is_empty() {
            return;
        }
        tokio::select! {
            () = shared.changed.notified() => {}
            () = observed, if !ready.is_empty() => {}
            () = shared.stop.cancelled(), if !ready.is_empty() || !shared.stop.is_cancelled() => {}
        }
    }
}

impl Shared {
    /// Begins with it, if that is wanted and was not done yet.
    fn look_at_the_machine(&self) {
        self.watch.get_or_init(|| {
            let watch = self.resources.watch(self.sources.clone()?);
            watch
                .inspect_err(|error| tracing::warn!(%error, "the machine's memory is not watched"))
                .ok()
        });
    }

    /// A slot and all that the command asks for, if that is free.
    fn permit(self: &Arc<Self>, command: &Command) -> Option<Permit> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        // It was checked when it came in.
        let grant = self
            .resources
            .try_acquire(&command.resources)
            .ok()
            .flatten()?;
        Some(Permit {
            shared: Arc::clone(self),
            held: Some((slot, grant)),
        })
    }

    /// The one place where a command ends.
    fn end(
        &self,
        waiting: Waiting,
        outcome: Result<zako_action::Exit, CommandError>,
        usage: Usage,
        attempts: u32,
        waited: Option<Duration>,
    ) {
        let result = CommandResult {
            id: waiting.id,
            outcome,
            usage,
            attempts,
            waited: waited.unwrap_or_else(|| waiting.since.elapsed()),
        };
        {
            let mut counts = self.counts.lock();
            match waited {
                None => counts.queued -= 1,
                Some(_) => counts.running -= 1,
            }
            counts.ended += 1;
        }
        self.observer.ended(&waiting.command, &result);
        let _nobody_waits = waiting.tell.send(result);
        self.ended.notify_waiters();
    }
}

/// Runs a command, again as often as its policy says. It keeps its permit between attempts only while it runs.
async fn run(waiting: Waiting, permit: Permit) {
    let shared = Arc::clone(&permit.shared);
    let waited = waiting.since.elapsed();
    let mut held = Some(permit);
    let mut attempts = 0;
    let (outcome, usage) = loop {
        let say = Say::new(&*shared.observer, waiting.id, &waiting.command);
        shared
            .observer
            .started(waiting.id, &waiting.command, attempts);
        let ended = shared
            .executor
            .run(&waiting.command, &say, &waiting.cancel)
            .await;
        say.finish();
        attempts += 1;
        let (exit, usage) = match ended {
            Ok(ended) => ended,
            Err(error) => break (Err(error), Usage::default()),
        };
        let seed = shared.seed ^ waiting.id.0;
        let Some(pause) = waiting.command.retry.pause_after(attempts - 1, exit, seed) else {
            break (Ok(exit), usage);
        };
        // Others may have its place meanwhile.
        held = None;
        let again = async {
            tokio::time::sleep(pause).await;
            shared.wait_for_permit(&waiting.command).await
        };
        tokio::select! {
            permit = again => held = Some(permit),
            () = waiting.cancel.cancelled() => break (Err(CommandError::Cancelled), usage),
        }
    };
    drop(held);
    shared.end(waiting, outcome, usage, attempts, Some(waited));
}

impl Shared {
    /// Waits for a slot and for what the command asks for: who is tried again has waited in the queue already.
    async fn wait_for_permit(self: &Arc<Self>, command: &Command) -> Permit {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if let Some(permit) = self.permit(command) {
                return permit;
            }
            tokio::select! {
                () = ended => {}
                // Slots are given back a moment before their command's end is told.
                () = tokio::time::sleep(RETRY_LOOK) => {}
            }
        }
    }
}

/// How often a command that is to be tried again looks for room.
const RETRY_LOOK: Duration = Duration::from_millis(10);
