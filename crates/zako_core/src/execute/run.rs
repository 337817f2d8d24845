//! One action from its declaration to its end: prepared, looked up, admitted, executed, checked, recorded, put in
//! place.
//!
//! **Invariants:** a result is recorded only when nothing that the action read changed while it ran, and after its
//! outputs are in the store. Its outputs are gone before it runs, so that a failed action leaves none. What finished
//! is recorded even when the build is cancelled meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionResult, ExecuteError, Executed, Executor, Exit, Isolation, Job, OutputFile,
};
use zako_cas::Digest;
use zako_exec::{AcquireError, LocalExecutor, NestedExecutor, Priority, Request, WorkerExecutor};
use zako_path::NeutralPath;

use super::discovered::{Reading, discover};
use super::fetch_executor::FetchExecutor;
use super::file_executor::FileExecutor;
use super::judge::Standing;
use super::lookup::{self, CacheFault};
use super::machinery::Admission;
use super::note::{Success, note};
use super::prepare::{Ready, prepare};
use super::printed::{MAX_END_BYTES, Printed};
use super::script_executor::ScriptExecutor;
use super::{PlannedAction, Workshop, failure, hint};
use crate::diagnostic::{Diagnostic, Fault};
use crate::event::{ActionStatus, ActionUsage, BuildEvent, millis};
use crate::ledger::Cause;
use crate::target::FileWork;

/// How often an action runs again because something that it reads changed while it ran.
pub(super) const MAX_RERUNS: u32 = 3;

/// How an action ended well.
pub(super) struct Ended {
    pub(super) status: ActionStatus,
    pub(super) output: Option<String>,
}

impl Ended {
    /// With nothing to say.
    fn quietly(status: ActionStatus) -> Ended {
        Ended {
            status,
            output: None,
        }
    }
}

/// Why it did not.
pub(super) enum Stopped {
    Cancelled,
    Failed(Vec<Diagnostic>),
}

impl From<Diagnostic> for Stopped {
    fn from(diagnostic: Diagnostic) -> Self {
        Stopped::Failed(vec![diagnostic])
    }
}

/// Runs action number `at`.
pub(super) async fn run(
    shop: &Arc<Workshop>,
    at: usize,
    priority: Priority,
    cancel: &CancellationToken,
) -> Result<Ended, Stopped> {
    let piece = shop.piece(at);
    let planned = &piece.planned;
    if let Some(faults) = &planned.broken {
        let blamed = faults.iter().map(|fault| planned.blame(fault.clone()));
        return Err(Stopped::Failed(blamed.collect()));
    }
    let mut leave = Leave {
        shop,
        cancel,
        priority,
        request: Request::default(),
        held: None,
    };
    let mut changed = None;
    for _ in 0..=MAX_RERUNS {
        let prospect = match shop.blocking(move |shop| find(shop, at)).await?? {
            Found::Ended(ended) => return Ok(ended),
            Found::Work(prospect) => prospect,
        };
        if leave.held.is_none() {
            let memory = shop.history.memory(piece.identified.name);
            let request = Request::of(&planned.spec.resources, memory);
            leave.ask(request).await.map_err(|e| refused(planned, &e))?;
            shop.tell(BuildEvent::ActionStarted(planned.event_name(at)))
                .await;
        }
        let job = Job {
            action: prospect.ready.action.clone(),
            workspace: shop.dirs.root.clone(),
            scratch: shop.dirs.scratch().join(piece.identified.name.hex()),
            attempt: 0,
        };
        let scratch = job.scratch.clone();
        shop.blocking(move |shop| {
            shop.scratches.take(&scratch);
            make_room(shop, &shop.piece(at).planned)
        })
        .await??;
        let kept = (&shop.parts.store, &shop.parts.cache);
        shop.chores.begin(&shop.pool, kept, shop.places.old());
        let printed = Arc::new(Printed::default());
        shop.running
            .begin(&job.scratch, planned.event_name(at), printed.clone());
        let began = SystemTime::now();
        let seed = u64::from_le_bytes(piece.identified.name.seed());
        let (mut job, mut executed) = attempts(&mut leave, planned, job, &printed, seed).await;
        if is_killed_for_memory(shop, &executed) {
            let message = format!(
                "{} was killed for want of memory: again, alone",
                planned.subject()
            );
            let help = format!(
                "declare what {} needs, as resources: {{ memory: \"2GiB\" }}",
                planned.spec.owner
            );
            let warning = Diagnostic::warning(message).with_help(help);
            shop.complain(planned.blame(warning)).await;
            // Whatever else runs has what it needs; alone, this one has all there is.
            let request = Request::of(&planned.spec.resources, 0).alone();
            leave.ask(request).await.map_err(|e| refused(planned, &e))?;
            shop.blocking(move |shop| make_room(shop, &shop.piece(at).planned))
                .await??;
            job.attempt += 1;
            printed.clear();
            (job, executed) = attempts(&mut leave, planned, job, &printed, seed).await;
        }
        let seen_bytes = shop.running.end(&job.scratch);
        if let Ok((executed, _)) = &mut executed {
            // Its processes together, where the system's count is of the largest one, and not of those smaller than zako.
            let peak = &mut executed.usage.max_rss_bytes;
            *peak = seen_bytes.max(*peak);
        }
        let output = printed.text();
        let finished = shop
            .blocking(move |shop| finish(shop, at, prospect, &job, executed, began, output))
            .await?;
        match finished? {
            Finished::Ended(ended) => return Ok(ended),
            Finished::Changed(path) => changed = Some(path),
        }
        if cancel.is_cancelled() {
            return Err(Stopped::Cancelled);
        }
    }
    let path = changed.map(|path| path.to_string()).unwrap_or_default();
    let message = format!(
        "{} ran {} times, and `{path}` changed each time",
        planned.subject(),
        MAX_RERUNS + 1
    );
    let help = format!(
        "`{path}` is one of its inputs: find out what writes it, or declare it as an output of that"
    );
    Err(planned
        .blame(Diagnostic::error(Fault::Build, message).with_help(help))
        .into())
}

/// Leave to run, which is given back while there is nothing to run.
struct Leave<'a> {
    shop: &'a Workshop,
    cancel: &'a CancellationToken,
    priority: Priority,
    request: Request,
    held: Option<Admission>,
}

impl Leave<'_> {
    /// Gives back what it has, and waits until what `request` asks for is there.
    async fn ask(&mut self, request: Request) -> Result<(), AcquireError> {
        self.request = request;
        self.again().await
    }

    async fn again(&mut self) -> Result<(), AcquireError> {
        self.held = None;
        let machinery = &self.shop.parts.machinery;
        let admitted = machinery.admit(&self.request, self.priority, self.cancel);
        self.held = Some(admitted.await?);
        Ok(())
    }

    /// Lets others have what it has for that long, and waits for it again.
    async fn pause(&mut self, pause: Duration) -> Result<(), AcquireError> {
        self.held = None;
        tokio::select! {
            () = tokio::time::sleep(pause) => self.again().await,
            () = self.cancel.cancelled() => Err(AcquireError::Cancelled),
        }
    }
}

fn refused(planned: &PlannedAction, error: &AcquireError) -> Stopped {
    match failure::of_admission(planned, error) {
        Some(diagnostic) => planned.blame(diagnostic).into(),
        None => Stopped::Cancelled,
    }
}

/// Whether it ended as what the kernel kills for want of memory does: by SIGKILL, which zako did not send, or badly in whatever way
/// while the kernel has killed something for that.
fn is_killed_for_memory(shop: &Workshop, executed: &Attempted) -> bool {
    const SIGKILL: i32 = 9;
    let Ok((executed, _)) = executed else {
        return false;
    };
    if executed.succeeded() || matches!(executed.exit, Exit::TimedOut { .. }) {
        return false;
    }
    let kills = super::memory_kills();
    let before = shop.memory_kills.fetch_max(kills, Ordering::Relaxed);
    executed.exit == Exit::Signal(SIGKILL) || kills > before
}

/// What looking into an action came to.
enum Found {
    Ended(Ended),
    Work(Prospect),
}

/// An action that has to run, and why.
struct Prospect {
    ready: Ready,
    causes: Vec<Cause>,
}

/// Looks whether the result holds or is known, and else prepares. Blocks.
fn find(shop: &Workshop, at: usize) -> Result<Found, Stopped> {
    let piece = shop.piece(at);
    let planned = &piece.planned;
    let (store, files) = (&shop.parts.store, &shop.files);
    let causes = match &piece.standing {
        Standing::Unknown(causes) => causes.clone(),
        Standing::Holds(record) | Standing::Affected(record, _) => {
            let mut ledger = shop.ledger.lock();
            let causes = ledger.causes(*record);
            if causes.is_empty() {
                ledger.verified(*record);
                return Ok(Found::Ended(Ended::quietly(ActionStatus::UpToDate)));
            }
            causes
        }
    };
    if planned.spec.cache
        && let Some(ended) = restore(shop, at, &causes).map_err(|e| planned.blame(e))?
    {
        return Ok(Found::Ended(ended));
    }
    let mut ready = prepare(&shop.bench(), planned).map_err(Stopped::Failed)?;
    if !planned.spec.cache {
        return Ok(Found::Work(Prospect { ready, causes }));
    }
    let cache = &shop.parts.cache;
    let broken = |error| Stopped::from(planned.blame(CacheFault(error).into()));
    // The narrow key first: it is no walk over the content of all that is there, of which many an action reads a few files.
    let mut found = lookup::find_narrow(cache, store, files, &ready).map_err(broken)?;
    if found.is_none() {
        let strong = ready.strong(&shop.bench(), planned);
        let strong = strong.map_err(Stopped::Failed)?;
        found = lookup::find_strong(cache, store, &strong).map_err(broken)?;
    }
    let Some(result) = found else {
        return Ok(Found::Work(Prospect { ready, causes }));
    };
    let put = lookup::put(store, files, &shop.places, &result.outputs);
    let ended = match put.map_err(|e| planned.blame(e.into()))? {
        None => return Ok(Found::Work(Prospect { ready, causes })),
        Some(true) => Ended::quietly(ActionStatus::UpToDate),
        Some(false) => Ended {
            output: replay(shop, &[result.stdout, result.stderr]),
            ..Ended::quietly(ActionStatus::FromCache)
        },
    };
    let success = Success {
        status: ended.status,
        outputs: result.outputs.clone(),
        printed: [result.stdout, result.stderr],
        discovered: result.narrow.as_deref(),
        took: None,
        is_reliable: true,
        causes,
    };
    note(shop, at, &ready, success);
    Ok(Found::Ended(ended))
}

/// Restores what the action wrote, when only that is not as it was; `None` when that can't be done.
fn restore(shop: &Workshop, at: usize, causes: &[Cause]) -> Result<Option<Ended>, Diagnostic> {
    let is_output = |cause: &Cause| matches!(cause, Cause::Output { .. });
    let piece = shop.piece(at);
    let Some(id) = piece.standing.record() else {
        return Ok(None);
    };
    let Some(record) = shop
        .ledger
        .lock()
        .record(id)
        .filter(|_| causes.iter().all(is_output))
    else {
        return Ok(None);
    };
    let declared = &piece.planned.spec.outputs;
    if declared.len() != record.outputs.len() {
        return Ok(None);
    }
    let outputs: Vec<OutputFile> = declared
        .iter()
        .zip(record.outputs)
        .map(|(declared, value)| OutputFile {
            path: declared.path.clone(),
            value,
        })
        .collect();
    for output in &outputs {
        shop.files.forget(&output.path);
    }
    let put = lookup::put(&shop.parts.store, &shop.files, &shop.places, &outputs)?;
    if put.is_none() {
        return Ok(None);
    }
    let mut ledger = shop.ledger.lock();
    if ledger.causes(id).is_empty() {
        ledger.note_restored(id, causes);
    }
    drop(ledger);
    let printed: Vec<Digest> = record.printed.into_iter().flatten().collect();
    Ok(Some(Ended {
        output: replay(shop, &printed),
        ..Ended::quietly(ActionStatus::FromCache)
    }))
}

/// What a restored action printed when it ran: its warnings are worth as much as then.
fn replay(shop: &Workshop, streams: &[Digest]) -> Option<String> {
    let printed = Printed::default();
    for digest in streams {
        let shown = digest.size.min(2 * MAX_END_BYTES as u64);
        if let Ok(Some(bytes)) = shop.parts.store.read_range(digest, 0..shown) {
            printed.push(&bytes);
        }
    }
    printed.text()
}

/// Removes the outputs of earlier runs. Blocks.
fn make_room(shop: &Workshop, planned: &PlannedAction) -> Result<(), Stopped> {
    for output in &planned.spec.outputs {
        shop.places
            .make_room_to_run(&output.path)
            .map_err(|error| planned.blame(error.into()))?;
        shop.files.forget(&output.path);
    }
    Ok(())
}

type Attempted = Result<(Executed, u32), ExecuteError>;

/// Executes, and again as often as the action declares when it ends in a way that it names; gives the last attempt.
async fn attempts(
    leave: &mut Leave<'_>,
    planned: &PlannedAction,
    mut job: Job,
    printed: &Printed,
    seed: u64,
) -> (Job, Attempted) {
    let executor = executor(leave.shop, planned);
    loop {
        printed.clear();
        let executed = executor.execute(&job, printed, leave.cancel).await;
        let exit = executed.as_ref().ok().map(|executed| executed.exit);
        let policy = planned.spec.retries.as_deref();
        let pause = policy.and_then(|policy| policy.pause_after(job.attempt, exit?, seed));
        let Some(pause) = pause else {
            let count = job.attempt + 1;
            return (job, executed.map(|executed| (executed, count)));
        };
        job.attempt += 1;
        match leave.pause(pause).await {
            Ok(()) => leave.shop.running.again(&job.scratch),
            Err(AcquireError::Cancelled) => return (job, Err(ExecuteError::Cancelled)),
            Err(error) => return (job, Err(ExecuteError::Other(Box::new(error)))),
        }
    }
}

fn executor(shop: &Workshop, planned: &PlannedAction) -> Box<dyn Executor> {
    let (store, pool) = (shop.parts.store.clone(), shop.pool.clone());
    if let Some(FileWork::Fetch(fetch)) = planned.work.as_deref() {
        Box::new(FetchExecutor {
            store,
            pool,
            cache: shop.parts.cache.clone(),
            rules: shop.parts.fetching,
            fetch: fetch.clone(),
        })
    } else if let Some(work) = &planned.work {
        Box::new(FileExecutor {
            store,
            pool,
            work: work.clone(),
        })
    } else if let Some(program) = &planned.script {
        let (engine, limits) = (shop.parts.engine.clone(), shop.parts.script_limits);
        Box::new(ScriptExecutor {
            engine,
            limits,
            store,
            pool,
            program: program.clone(),
        })
    } else {
        let machinery = &shop.parts.machinery;
        let own = || -> Box<dyn Executor> {
            let local = LocalExecutor::new(store.clone(), pool.clone())
                .with_sandbox(shop.levels.sandbox.clone())
                .with_census(shop.running.census.clone())
                .with_groups(machinery.groups.clone());
            let is_walled = shop.levels.of(&planned.spec) >= Isolation::Enhanced;
            let shares = NestedExecutor::shares(&planned.spec);
            match machinery.jobs_if(shares) {
                Some(jobs) => Box::new(NestedExecutor::new(local, jobs.clone())),
                None if planned.spec.worker.is_some() && !is_walled => {
                    let workers = machinery.workers.clone();
                    let by_worker =
                        WorkerExecutor::new(workers, store.clone(), pool.clone(), local);
                    Box::new(by_worker.with_census(shop.running.census.clone()))
                }
                None => Box::new(local),
            }
        };
        match &shop.parts.layer {
            Some(layer) => layer.around(own, &store),
            None => own(),
        }
    }
}

enum Finished {
    Ended(Ended),
    /// This changed while it ran.
    Changed(NeutralPath),
}

/// Checks what was executed, records it, puts its outputs in place and gives its scratch folder back. Blocks.
fn finish(
    shop: &Workshop,
    at: usize,
    prospect: Prospect,
    job: &Job,
    executed: Attempted,
    began: SystemTime,
    output: Option<String>,
) -> Result<Finished, Stopped> {
    let piece = shop.piece(at);
    let isolation = prospect.ready.action.isolation;
    let finished = conclude(shop, at, prospect, job, executed, began, output);
    if !matches!(finished, Ok(Finished::Ended(_))) && isolation == Isolation::None {
        // It wrote in the workspace itself.
        for output in &piece.planned.spec.outputs {
            let _told_already = super::place::remove_all(&output.path.to_os_path(&shop.dirs.root));
        }
    }
    if let Err(error) = shop.scratches.give_back(job.scratch.clone()) {
        tracing::warn!(path = %job.scratch.display(), %error, "cannot remove a scratch folder");
    }
    finished
}

fn conclude(
    shop: &Workshop,
    at: usize,
    prospect: Prospect,
    job: &Job,
    executed: Attempted,
    began: SystemTime,
    output: Option<String>,
) -> Result<Finished, Stopped> {
    let piece = shop.piece(at);
    let planned = &piece.planned;
    let Prospect { ready, causes } = prospect;
    let ready = &ready;
    let (executed, count) = match executed {
        Ok(executed) => executed,
        Err(error) => {
            let local = LocalExecutor::new(shop.parts.store.clone(), shop.pool.clone());
            let local = (planned.script.is_none() && planned.work.is_none()).then_some(&local);
            let Some(diagnostic) = failure::of_error(planned, error, job, local, output) else {
                return Err(Stopped::Cancelled);
            };
            return match changed_input(shop, ready, None) {
                Some(path) => Ok(Finished::Changed(path)),
                None => Err(planned.blame(diagnostic).into()),
            };
        }
    };
    shop.told
        .lock()
        .usages
        .insert(at, usage_of(&executed, count));
    if !executed.succeeded() {
        if let Some(path) = changed_input(shop, ready, None) {
            return Ok(Finished::Changed(path));
        }
        let help = output
            .as_deref()
            .and_then(|printed| hint::undeclared(planned, &shop.dirs.root, printed));
        let diagnostic = failure::ended_badly(planned, executed.exit, count, output);
        return Err(planned.blame(Diagnostic { help, ..diagnostic }).into());
    }
    let reading = discover(&shop.files, planned, ready, job, &executed, began);
    let read = reading.as_ref().ok().and_then(Option::as_ref);
    if let Some(path) = changed_input(shop, ready, read) {
        return Ok(Finished::Changed(path));
    }
    let reading = reading.map_err(|error| {
        planned.blame(Diagnostic {
            output: output.clone(),
            ..error
        })
    })?;
    let kept = keep(shop, planned, ready, &executed, &reading).map_err(|e| planned.blame(e))?;
    for produced in &executed.outputs {
        shop.places
            .take(&shop.files, &shop.parts.store, produced)
            .map_err(|error| planned.blame(error.into()))?;
    }
    let list = reading.as_ref().and_then(|reading| reading.list.as_deref());
    let success = Success {
        status: ActionStatus::Ran,
        outputs: executed.outputs.iter().map(|o| o.file.clone()).collect(),
        printed: [executed.stdout, executed.stderr],
        discovered: list,
        took: Some((executed.usage.wall, executed.usage.max_rss_bytes)),
        is_reliable: kept,
        causes,
    };
    note(shop, at, ready, success);
    Ok(Finished::Ended(Ended {
        output,
        ..Ended::quietly(ActionStatus::Ran)
    }))
}

/// What the last of `attempts` used.
fn usage_of(executed: &Executed, attempts: u32) -> ActionUsage {
    /// What blocks are counted in (getrusage(2)).
    const BLOCK: u64 = 512;
    let usage = &executed.usage;
    let (exit, signal) = match executed.exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
        Exit::TimedOut { .. } => (None, None),
    };
    ActionUsage {
        exit,
        signal,
        timed_out: matches!(executed.exit, Exit::TimedOut { .. }),
        attempts,
        wall_ms: millis(usage.wall),
        user_ms: millis(usage.user),
        system_ms: millis(usage.system),
        max_rss_bytes: usage.max_rss_bytes,
        read_bytes: usage.blocks_in * BLOCK,
        written_bytes: usage.blocks_out * BLOCK,
    }
}

/// Something that the action read and that is no longer as it was when it was keyed; forgotten, so that it is looked
/// at anew. With a depfile, staged files that were not read do not count.
fn changed_input(shop: &Workshop, ready: &Ready, reading: Option<&Reading>) -> Option<NeutralPath> {
    let is_read = |path: &NeutralPath| {
        let Some(reading) = reading else {
            return true;
        };
        let is_file = matches!(
            ready.action.staged.get(path),
            Some(zako_action::ArtifactValue::File { .. })
        );
        !is_file
            || ready.action.inputs.contains_key(path)
            || reading.staged.binary_search(path).is_ok()
    };
    let read = ready.stamps.iter().filter(|(path, _)| is_read(path));
    let changed = shop.files.changed(read);
    for path in &changed {
        shop.files.forget(path);
    }
    changed.first().map(|path| (*path).clone())
}

/// Records a good result, unless it may not be cached; whether what it read can be relied on.
fn keep(
    shop: &Workshop,
    planned: &PlannedAction,
    ready: &Ready,
    executed: &Executed,
    reading: &Option<Reading>,
) -> Result<bool, Diagnostic> {
    let discovered = match reading {
        None => None,
        Some(Reading {
            list: Some(list), ..
        }) => Some(list.clone()),
        Some(Reading { list: None, .. }) => return Ok(false),
    };
    let (true, Exit::Code(_)) = (planned.spec.cache, executed.exit) else {
        return Ok(true);
    };
    let Some(result) = ActionResult::from_executed(executed, discovered.clone()) else {
        return Ok(true);
    };
    lookup::record(&shop.parts.cache, ready, &result, discovered)
        .map(|()| true)
        .map_err(|error| CacheFault(error).into())
}
