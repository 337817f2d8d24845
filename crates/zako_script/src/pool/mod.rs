//! A generic elastic pool of threads whose workers hold state that never leaves them.
//!
//! It grows when jobs wait and no worker is idle, and shrinks when workers idle longer than they may.
//! A panic costs one job and one worker, never the pool. Knows neither V8 nor oxc.
//!
//! **Invariant:** all counters, the queue and the number of threads change under one lock.

mod metrics;
mod spawner;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use metrics::PoolMetrics;
pub use spawner::{Spawn, ThreadSpawner};

/// What one thread of a pool holds. It is made on its thread and dropped there.
pub trait Worker: 'static {
    /// Called between jobs, after every job: the place to look at the heap and to let go of memory.
    fn after_job(&mut self) {}
    /// Called when the job's result has been sent, before the next job: for what takes its time and nobody waits for.
    fn tidy(&mut self) {}
    /// Called when the machine is short of memory, on a worker that has no job.
    fn relieve(&mut self) {}
    /// Whether the worker should be replaced by a fresh one before its next job, and its thread by another: what the allocator
    /// keeps for a thread goes with it.
    fn spent(&self) -> bool {
        false
    }
}

/// Makes workers, each on its own thread.
pub trait WorkerFactory: Send + Sync + 'static {
    /// What it makes.
    type Worker: Worker;
    /// Makes one, on the thread that will use it.
    fn create(&self) -> Self::Worker;
}

/// How a pool behaves.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Name of its threads.
    pub name: &'static str,
    /// Threads that stay however idle they are.
    pub min: usize,
    /// The most threads.
    pub max: usize,
    /// The most jobs that wait; one more is refused.
    pub max_queue: usize,
    /// How long a thread beyond `min` idles before it ends.
    pub idle: Duration,
    /// Stack of each thread, in bytes.
    pub stack_bytes: usize,
}

/// The processors that this process may use; the system is asked once.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

impl Default for PoolOptions {
    /// No thread that stays, one per processor at most, 2^20 jobs, ten idle seconds, 8 MiB of stack.
    fn default() -> Self {
        PoolOptions {
            name: "zako-worker",
            min: 0,
            max: processors(),
            max_queue: 1 << 20,
            idle: Duration::from_secs(10),
            stack_bytes: 8 << 20,
        }
    }
}

/// Why a job gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It was cancelled before it began.
    #[error("the job was cancelled before it began")]
    Cancelled,
    /// It panicked; the message is the panic's.
    #[error("the job panicked: {0}")]
    Panicked(String),
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
    /// Too many jobs wait already.
    #[error("more than {0} jobs wait already")]
    Full(usize),
    /// No thread could be started.
    #[error("no worker thread could be started: {0}")]
    NoThread(String),
}

type Run<W> = Box<dyn FnOnce(&mut W) -> Finish + Send>;
/// Sends a job's result, after the worker is done with what follows the job.
type Finish = Box<dyn FnOnce()>;

struct Job<W> {
    run: Run<W>,
    fail: Box<dyn FnOnce(PoolError) + Send>,
    queued: Instant,
    cancel: CancellationToken,
}

struct State<W> {
    queue: VecDeque<Job<W>>,
    threads: usize,
    idle: usize,
    /// Threads that were started ahead of any job, and make their workers.
    starting: usize,
    relief: u64,
    closed: bool,
    metrics: PoolMetrics,
}

struct Shared<F: WorkerFactory> {
    options: PoolOptions,
    factory: F,
    spawner: Box<dyn Spawn>,
    state: Mutex<State<F::Worker>>,
    work: Condvar,
}

trait Runs<W>: Send + Sync {
    fn submit(&self, job: Job<W>) -> Result<(), PoolError>;
    fn warm(&self);
    fn metrics(&self) -> PoolMetrics;
    fn relieve(&self);
    fn close(&self);
}

/// The pool. Dropping it closes it: jobs that run finish, jobs that wait are refused.
pub struct Pool<W: Worker> {
    shared: Arc<dyn Runs<W>>,
}

impl<W: Worker> Pool<W> {
    /// A pool of what `factory` makes, on threads that `spawner` starts.
    pub fn new<F: WorkerFactory<Worker = W>>(
        options: PoolOptions,
        factory: F,
        spawner: impl Spawn,
    ) -> Self {
        let state = State {
            queue: VecDeque::new(),
            threads: 0,
            idle: 0,
            starting: 0,
            relief: 0,
            closed: false,
            metrics: PoolMetrics::default(),
        };
        let options = PoolOptions {
            max: options.max.max(1).max(options.min),
            ..options
        };
        let shared = Shared {
            options,
            factory,
            spawner: Box::new(spawner),
            state: Mutex::new(state),
            work: Condvar::new(),
        };
        Pool {
            shared: Arc::new(Handle(Arc::new(shared))),
        }
    }

    /// Runs `job` on a worker and gives its result. Dropping the future cancels the job: it never begins, or
    /// the token that it was given is cancelled.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W, &CancellationToken) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let token = CancellationToken::new();
        let guard = token.clone().drop_guard();
        let result = self
            .submit(token, job)?
            .await
            .unwrap_or(Err(PoolError::Closed));
        guard.disarm();
        result
    }

    /// Queues `job`; the receiver gets its result. Cancelling `token` before it begins ends it there.
    pub fn submit<T: Send + 'static>(
        &self,
        token: CancellationToken,
        job: impl FnOnce(&mut W, &CancellationToken) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, PoolError>>, PoolError> {
        let (send, receive) = oneshot::channel();
        let slot = Arc::new(Mutex::new(Some(send)));
        let failed = slot.clone();
        let inner = token.clone();
        self.shared.submit(Job {
            run: Box::new(move |worker| {
                let result = job(worker, &inner);
                Box::new(move || {
                    if let Some(send) = slot.lock().take() {
                        let _ = send.send(Ok(result));
                    }
                })
            }),
            fail: Box::new(move |error| {
                if let Some(send) = failed.lock().take() {
                    let _ = send.send(Err(error));
                }
            }),
            queued: Instant::now(),
            cancel: token,
        })?;
        Ok(receive)
    }

    /// Starts a thread that makes its worker before there is a job, unless there is one already. Returns at once, without
    /// waiting for either.
    pub fn warm(&self) {
        self.shared.warm();
    }

    /// The pool's counters, as of now.
    pub fn metrics(&self) -> PoolMetrics {
        self.shared.metrics()
    }

    /// Tells every worker that memory is short: idle ones at once, busy ones after their job.
    pub fn relieve(&self) {
        self.shared.relieve();
    }
}

impl<W: Worker> Drop for Pool<W> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

struct Handle<F: WorkerFactory>(Arc<Shared<F>>);

impl<F: WorkerFactory> Runs<F::Worker> for Handle<F> {
    fn submit(&self, job: Job<F::Worker>) -> Result<(), PoolError> {
        let shared = &self.0;
        let mut state = shared.state.lock();
        if state.closed {
            return Err(PoolError::Closed);
        }
        if state.queue.len() >= shared.options.max_queue {
            return Err(PoolError::Full(shared.options.max_queue));
        }
        state.queue.push_back(job);
        state.metrics.submitted += 1;
        state.metrics.deepest = state.metrics.deepest.max(state.queue.len());
        if state.idle + state.starting < state.queue.len() && state.threads < shared.options.max {
            state.threads += 1;
            state.metrics.grown += 1;
            let worker = shared.clone();
            let spawned = shared.spawner.spawn(
                shared.options.name,
                shared.options.stack_bytes,
                Box::new(move || worker.work(None)),
            );
            if let Err(error) = spawned {
                state.threads -= 1;
                state.metrics.grown -= 1;
                if state.threads == 0 {
                    state.queue.pop_back();
                    return Err(PoolError::NoThread(error.to_string()));
                }
            }
        }
        drop(state);
        shared.work.notify_one();
        Ok(())
    }

    fn warm(&self) {
        let shared = self.0.clone();
        {
            let mut state = shared.state.lock();
            if state.closed || state.threads > 0 {
                return;
            }
            state.threads += 1;
            state.starting += 1;
            state.metrics.grown += 1;
        }
        let begun = std::thread::Builder::new()
            .name(format!("{}-warm", shared.options.name))
            .spawn({
                let shared = shared.clone();
                move || shared.start_ahead()
            });
        if let Err(error) = begun {
            shared.did_not_start(&error);
        }
    }

    fn metrics(&self) -> PoolMetrics {
        let state = self.0.state.lock();
        PoolMetrics {
            queued: state.queue.len(),
            threads: state.threads,
            idle: state.idle,
            ..state.metrics.clone()
        }
    }

    fn relieve(&self) {
        self.0.state.lock().relief += 1;
        self.0.work.notify_all();
    }

    fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        self.0.work.notify_all();
        for job in waiting {
            (job.fail)(PoolError::Closed);
        }
    }
}

/// What a worker does next.
enum Next<W> {
    Run(Job<W>),
    Relieve,
    End,
}

impl<F: WorkerFactory> Shared<F> {
    /// Starts the thread that [`Runs::warm`] promised; what starts threads may take its time.
    fn start_ahead(self: &Arc<Self>) {
        let on_thread = self.clone();
        let body = move || {
            let made = catch_unwind(AssertUnwindSafe(|| on_thread.factory.create()));
            // A worker that can't be made is the next job's to find out about.
            let worker = made.ok();
            on_thread.state.lock().starting -= 1;
            on_thread.work(worker);
        };
        let (name, stack_bytes) = (self.options.name, self.options.stack_bytes);
        if let Err(error) = self.spawner.spawn(name, stack_bytes, Box::new(body)) {
            self.did_not_start(&error);
        }
    }

    /// Takes back what [`Runs::warm`] promised: nobody else may be there for the jobs that rely on it.
    fn did_not_start(&self, error: &std::io::Error) {
        let mut state = self.state.lock();
        state.threads -= 1;
        state.starting -= 1;
        state.metrics.grown -= 1;
        let stranded = match state.threads {
            0 => std::mem::take(&mut state.queue),
            _ => VecDeque::new(),
        };
        drop(state);
        for job in stranded {
            (job.fail)(PoolError::NoThread(error.to_string()));
        }
    }

    fn work(self: &Arc<Self>, mut worker: Option<F::Worker>) {
        let mut relieved = self.state.lock().relief;
        loop {
            match self.next(&mut relieved) {
                Next::End => return,
                Next::Relieve => {
                    if let Some(worker) = &mut worker {
                        worker.relieve();
                    }
                }
                Next::Run(job) => {
                    if self.run(&mut worker, job) && self.succeeded() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether another thread goes on in this one's place.
    fn succeeded(self: &Arc<Self>) -> bool {
        let successor = self.clone();
        let PoolOptions {
            name, stack_bytes, ..
        } = self.options;
        let body = Box::new(move || successor.work(None));
        self.spawner.spawn(name, stack_bytes, body).is_ok()
    }

    fn next(&self, relieved: &mut u64) -> Next<F::Worker> {
        let mut state = self.state.lock();
        state.idle += 1;
        let since = Instant::now();
        let next = loop {
            if let Some(job) = state.queue.pop_front() {
                state.metrics.waited += job.queued.elapsed();
                break Next::Run(job);
            }
            if state.closed {
                break Next::End;
            }
            if *relieved != state.relief {
                *relieved = state.relief;
                break Next::Relieve;
            }
            if state.threads > self.options.min && since.elapsed() >= self.options.idle {
                state.metrics.shrunk += 1;
                break Next::End;
            }
            if state.threads > self.options.min {
                self.work.wait_until(&mut state, since + self.options.idle);
            } else {
                self.work.wait(&mut state);
            }
        };
        state.idle -= 1;
        if matches!(next, Next::End) {
            state.threads -= 1;
        }
        next
    }

    /// Whether the worker is spent.
    fn run(&self, worker: &mut Option<F::Worker>, job: Job<F::Worker>) -> bool {
        if job.cancel.is_cancelled() {
            self.state.lock().metrics.cancelled += 1;
            (job.fail)(PoolError::Cancelled);
            return false;
        }
        let Job { run, fail, .. } = job;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let worker = worker.get_or_insert_with(|| self.factory.create());
            let finish = run(worker);
            worker.after_job();
            (finish, worker.spent())
        }));
        match outcome {
            Ok((finish, spent)) => {
                if spent {
                    *worker = None;
                }
                let mut state = self.state.lock();
                state.metrics.finished += 1;
                state.metrics.recycled += u64::from(spent);
                drop(state);
                finish();
                let tidied = catch_unwind(AssertUnwindSafe(|| {
                    if let Some(worker) = worker.as_mut() {
                        worker.tidy();
                    }
                }));
                if tidied.is_err() {
                    self.lose(worker);
                }
                spent
            }
            Err(panic) => {
                self.lose(worker);
                fail(PoolError::Panicked(panic_message(panic.as_ref())));
                false
            }
        }
    }

    /// Gives up a worker that panicked. What the panic left of it is not to be trusted, not even to drop cleanly.
    fn lose(&self, worker: &mut Option<F::Worker>) {
        let _ = catch_unwind(AssertUnwindSafe(|| *worker = None));
        let mut state = self.state.lock();
        state.metrics.panicked += 1;
        state.metrics.recycled += 1;
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
