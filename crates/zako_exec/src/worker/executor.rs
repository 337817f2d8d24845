//! Runs actions with workers, and falls back to another executor for what workers can't do.
//!
//! An action's words are parted as Bazel does it: those that begin with `@` (a file of arguments, one a line) or `--flagfile=` are
//! of the request, all others start the worker. An action without such a word is run as the command that it is.
//!
//! **Invariants:** a worker is only ever used for actions with the same words before the files, the same environment, and the
//! same tools by content. What it writes at `basic` lies in the job's scratch folder before its worker is used again. A level of
//! isolation that a worker can't give is left to the other executor. Requests that share a process share no folder: at `basic` only
//! workers that take a folder for each request get several at once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionSpec, ArtifactValue, ExecuteError, Executed, Executor, Exit, Isolation, Job,
    OutputSink, Prepared, Stream, Usage, WorkerProtocol, WorkerSpec,
};
use zako_cas::Store;
use zako_path::NeutralPath;

use super::pool::{Lease, WorkerPool};
use super::{WorkInput, WorkRequest, WorkResponse, WorkerError, WorkerIdentity};
use crate::blocking_pool::BlockingPool;
use crate::census::Census;
use crate::input_root::{InputRoot, clear_outputs, io_error, remove_all};
use crate::local::base_environment;
use crate::outputs;
use crate::process::Process;

/// How many workers an action is tried with before it is run as the command that it is.
const TRIES: u32 = 2;

/// How many requests a process is given at once, if it takes several: more than actions are admitted on most machines.
const MAX_MULTIPLEX: usize = 64;

/// Runs actions that declare a worker with one of a pool's, and all others with `fallback`.
pub struct WorkerExecutor<E> {
    pool: WorkerPool,
    store: Store,
    blocking: BlockingPool,
    census: Option<Census>,
    fallback: E,
}

/// An action that a worker can do.
struct Work {
    identity: WorkerIdentity,
    /// The words of the request, files not yet read.
    words: Vec<String>,
    inputs: Vec<WorkInput>,
    /// Those of the inputs that what starts the worker names.
    first: Vec<NeutralPath>,
    place: WorkPlace,
}

/// Where a worker works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WorkPlace {
    /// In the workspace itself.
    Workspace,
    /// In its own folder, furnished for each request.
    Own,
    /// In a folder for each request below its own.
    Request,
}

/// How an attempt with a worker ended.
enum Attempt {
    Done(WorkResponse),
    TimedOut(Duration),
}

impl<E: Executor> WorkerExecutor<E> {
    /// With the workers of `pool`; outputs go to `store`, file work is done in `blocking`.
    #[must_use]
    pub fn new(pool: WorkerPool, store: Store, blocking: BlockingPool, fallback: E) -> Self {
        Self {
            pool,
            store,
            blocking,
            census: None,
            fallback,
        }
    }

    /// Lists the worker that does an action in `census` while it does it.
    #[must_use]
    pub fn with_census(mut self, census: Census) -> Self {
        self.census = Some(census);
        self
    }

    async fn run(
        &self,
        job: &Job,
        sink: &dyn OutputSink,
        cancel: &CancellationToken,
    ) -> Result<Executed, ExecuteError> {
        let Some(work) = Work::of(job) else {
            return self.fallback.execute(job, sink, cancel).await;
        };
        let breaker = self.pool.breaker(&work.identity.key());
        for _ in 0..TRIES {
            let Some(passage) = breaker.ask(Instant::now()) else {
                break;
            };
            match self.attempt(job, &work, sink, cancel).await {
                Ok(executed) => {
                    passage.succeeded(Instant::now());
                    return Ok(executed);
                }
                Err(Failure::Worker(WorkerError::Cancelled)) => {
                    return Err(ExecuteError::Cancelled);
                }
                // That another one was given up is no fault of the worker's, nor of this action's.
                Err(Failure::Worker(WorkerError::Lost { .. })) => drop(passage),
                Err(Failure::Worker(error)) => {
                    tracing::warn!(action = job.action.spec.owner, %error, "a worker failed");
                    passage.failed(Instant::now());
                }
                Err(Failure::Execute(error)) => {
                    // What the action did wrong says nothing against its worker.
                    passage.succeeded(Instant::now());
                    return Err(error);
                }
            }
        }
        self.fallback.execute(job, sink, cancel).await
    }

    async fn attempt(
        &self,
        job: &Job,
        work: &Work,
        sink: &dyn OutputSink,
        cancel: &CancellationToken,
    ) -> Result<Executed, Failure> {
        let mut lease = self.pool.lease(&work.identity, cancel).await?;
        let (own, place) = (lease.root(), work.place);
        let (start_in, root, sandbox_dir) = match place {
            WorkPlace::Workspace => {
                let workspace = job.workspace.to_path_buf();
                (workspace.clone(), workspace, String::new())
            }
            WorkPlace::Own => (own.clone(), own, String::new()),
            WorkPlace::Request => {
                let (folder, name) = lease.folder_of_request();
                (own, folder, name)
            }
        };
        let (words, next) = (work.words.clone(), lease.beside("next"));
        let (its_root, its_start) = (root.clone(), start_in.clone());
        let first = (!lease.is_started()).then(|| work.first.clone());
        let arguments = self
            .blocking(job, move |job| {
                let spec = &*job.action.spec;
                match place {
                    WorkPlace::Workspace => clear_outputs(spec, &its_root)?,
                    WorkPlace::Own => furnish(job, &its_root, &next)?,
                    WorkPlace::Request => {
                        if let Some(inputs) = first {
                            let spec = ActionSpec {
                                inputs,
                                tools: spec.tools.clone(),
                                ..ActionSpec::new("", "", spec.body.clone())
                            };
                            remove_all(&its_start)?;
                            input_root(&spec)?.build(&job.workspace, &its_start)?;
                        }
                        input_root(spec)?.build(&job.workspace, &its_root)?;
                    }
                }
                arguments(&words, &its_root)
            })
            .await?;
        lease.start(&work.identity, Some(&start_in))?;
        let listed = self.census.as_ref().zip(lease.pid());
        let listed = listed.map(|(census, pid)| census.enter_shared(&job.scratch, pid));
        let (started, measure) = (Instant::now(), lease.measure());
        let request = WorkRequest {
            arguments,
            inputs: work.inputs.clone(),
            sandbox_dir,
            ..WorkRequest::default()
        };
        let attempt = match job.action.spec.timeout {
            None => Attempt::Done(lease.work(request, cancel).await?),
            Some(limit) => within(limit, &mut lease, request, cancel).await?,
        };
        drop(listed);
        let usage = Usage {
            wall: started.elapsed(),
            ..measure.map(|measure| measure.end()).unwrap_or_default()
        };
        let (exit, printed) = match attempt {
            Attempt::Done(answer) => (Exit::Code(answer.exit_code), answer.output),
            Attempt::TimedOut(after) => (Exit::TimedOut { after }, String::new()),
        };
        sink.write(Stream::Stderr, printed.as_bytes());
        let store = self.store.clone();
        let executed = self
            .blocking(job, move |job| {
                let spec = &job.action.spec;
                let mut executed = Executed {
                    exit,
                    stdout: store.put_bytes(b"")?,
                    stderr: store.put_bytes(printed.as_bytes())?,
                    outputs: Vec::new(),
                    usage,
                    depfile: None,
                };
                if executed.succeeded() {
                    let from = match place {
                        WorkPlace::Workspace => root.clone(),
                        WorkPlace::Own | WorkPlace::Request => move_out(job, &root)?,
                    };
                    executed.outputs = outputs::collect(spec, &from, &store)?;
                    executed.depfile = outputs::depfile(spec, &from)?;
                } else if place == WorkPlace::Workspace {
                    clear_outputs(spec, &root)?;
                }
                if place == WorkPlace::Request {
                    remove_all(&root)?;
                }
                Ok(executed)
            })
            .await?;
        Ok(executed)
    }

    /// Does file work where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        job: &Job,
        work: impl FnOnce(&Job) -> Result<T, ExecuteError> + Send + 'static,
    ) -> Result<T, ExecuteError> {
        let job = job.clone();
        self.blocking.execute(move || work(&job)).await
    }
}

impl<E: Executor> Executor for WorkerExecutor<E> {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        self.run(job, sink, cancel).boxed()
    }
}

/// Why an attempt came to nothing: the worker's fault, or not.
enum Failure {
    Worker(WorkerError),
    Execute(ExecuteError),
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        Failure::Worker(error)
    }
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        Failure::Execute(error)
    }
}

/// The same with a time limit, after which the request is cancelled.
async fn within(
    limit: Duration,
    lease: &mut Lease,
    request: WorkRequest,
    cancel: &CancellationToken,
) -> Result<Attempt, Failure> {
    let late = cancel.child_token();
    let answer = {
        let mut answer = std::pin::pin!(lease.work(request, &late));
        tokio::select! {
            answer = &mut answer => Some(answer),
            () = tokio::time::sleep(limit) => {
                late.cancel();
                // The answer may have come at the last moment.
                answer.await.ok().map(Ok)
            }
        }
    };
    match answer {
        Some(answer) => Ok(Attempt::Done(answer?)),
        None if cancel.is_cancelled() => Err(WorkerError::Cancelled.into()),
        None => Ok(Attempt::TimedOut(limit)),
    }
}

impl Work {
    /// `None` for what a worker can't do.
    fn of(job: &Job) -> Option<Self> {
        let action = &*job.action;
        let spec = &*action.spec;
        let WorkerSpec {
            protocol: WorkerProtocol::Json,
            multiplex,
            sandbox_dir,
        } = spec.worker?;
        let ActionBody::Command { argv } = &spec.body else {
            return None;
        };
        let place = match action.isolation {
            Isolation::None => WorkPlace::Workspace,
            Isolation::Basic if multiplex && sandbox_dir => WorkPlace::Request,
            Isolation::Basic => WorkPlace::Own,
            Isolation::Enhanced | Isolation::Maximum => return None,
        };
        let (name, words) = argv.split_first()?;
        let (words, startup): (Vec<String>, Vec<String>) =
            words.iter().cloned().partition(|word| is_of_request(word));
        if words.is_empty() || spec.stdin.is_some() {
            return None;
        }
        // The tool that was hashed is the one that runs.
        let tool = action.tools.iter().find(|tool| tool.name == *name);
        let program = tool.map_or_else(|| PathBuf::from(name), |tool| tool.path.clone());
        let mut process = Process::new(program, &*job.workspace);
        process.arg0 = Some(name.into());
        process.env = environment(action);
        let first = named(job, &startup);
        let salt = salt(job, &first);
        process.args = startup.into_iter().map(Into::into).collect();
        let inputs = action.inputs.iter().chain(&action.staged);
        let inputs = inputs.map(|(path, value)| WorkInput {
            path: path.to_string(),
            digest: digest_of(value),
        });
        Some(Self {
            identity: WorkerIdentity {
                name: spec.mnemonic.clone(),
                process,
                salt,
                multiplex: match multiplex && place != WorkPlace::Own {
                    true => MAX_MULTIPLEX,
                    false => 1,
                },
            },
            words,
            inputs: inputs.collect(),
            first: first.into_iter().map(|(path, _)| path.clone()).collect(),
            place,
        })
    }
}

/// A word that is not the worker's but the request's. `@@` is an escaped `@`.
fn is_of_request(word: &str) -> bool {
    word.strip_prefix('@')
        .is_some_and(|rest| !rest.starts_with('@'))
        || word.starts_with("--flagfile=")
        || word.starts_with("-flagfile=")
}

fn environment(action: &Prepared) -> BTreeMap<String, String> {
    let mut env = base_environment();
    env.extend(action.spec.environment());
    env
}

/// The inputs that `startup` names, with what they are.
fn named<'a>(job: &'a Job, startup: &[String]) -> Vec<(&'a NeutralPath, &'a ArtifactValue)> {
    let inputs = job.action.inputs.iter().chain(&job.action.staged);
    inputs
        .filter(|(path, _)| startup.iter().any(|word| word.contains(path.as_str())))
        .collect()
}

/// What a worker is made of: its tools, and the files that its words name.
fn salt(job: &Job, named: &[(&NeutralPath, &ArtifactValue)]) -> Vec<u8> {
    let action = &*job.action;
    let mut salt = format!("{}\n{:?}\n", job.workspace.display(), action.isolation);
    for tool in &action.tools {
        salt.push_str(&format!(
            "{} {} {}\n",
            tool.name,
            tool.path.display(),
            tool.digest
        ));
    }
    for (path, value) in named {
        salt.push_str(&format!("{path} {}\n", digest_of(value)));
    }
    salt.into_bytes()
}

/// Text that is another one for another content.
fn digest_of(value: &ArtifactValue) -> String {
    match value {
        ArtifactValue::File { digest, executable } => {
            format!("{digest}{}", if *executable { " x" } else { "" })
        }
        ArtifactValue::Directory { tree } => format!("{tree} d"),
        ArtifactValue::Symlink { target } => format!("link {target}"),
    }
}

/// What the action declares, as a folder.
fn input_root(spec: &ActionSpec) -> Result<InputRoot, ExecuteError> {
    InputRoot::of(spec).map_err(|path| ExecuteError::Unsupported {
        executor: "worker",
        reason: format!("`{path}` is an input and an output of it at once"),
    })
}

/// Puts links to what the action declares into the worker's folder, in place of what was there. The folder itself stays: it is where
/// the worker is.
fn furnish(job: &Job, root: &Path, next: &Path) -> Result<(), ExecuteError> {
    remove_all(next)?;
    input_root(&job.action.spec)?.build(&job.workspace, next)?;
    for entry in fs::read_dir(root).map_err(io_error("list", root))? {
        remove_all(&entry.map_err(io_error("list", root))?.path())?;
    }
    for entry in fs::read_dir(next).map_err(io_error("list", next))? {
        let entry = entry.map_err(io_error("list", next))?;
        let place = root.join(entry.file_name());
        fs::rename(entry.path(), &place).map_err(io_error("create", &place))?;
    }
    remove_all(next)
}

/// The arguments of the request, with the files among them read.
fn arguments(words: &[String], root: &Path) -> Result<Vec<String>, ExecuteError> {
    let mut arguments = Vec::new();
    for word in words {
        match word.strip_prefix('@') {
            None => arguments.push(word.clone()),
            Some(file) => {
                let place = root.join(file);
                let text = fs::read_to_string(&place).map_err(io_error("read", &place))?;
                arguments.extend(
                    text.lines()
                        .filter(|line| !line.is_empty())
                        .map(str::to_owned),
                );
            }
        }
    }
    Ok(arguments)
}

/// Moves what was declared from the worker's folder to the job's own, and gives that.
fn move_out(job: &Job, root: &Path) -> Result<PathBuf, ExecuteError> {
    let spec = &job.action.spec;
    let to = job.scratch.join("root");
    remove_all(&to)?;
    let declared = spec
        .outputs
        .iter()
        .map(|output| &output.path)
        .chain(&spec.depfile);
    for path in declared {
        let (from, place) = (path.to_os_path(root), path.to_os_path(&to));
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(io_error("create", parent))?;
        }
        match fs::rename(&from, &place) {
            // What is missing is told by whoever collects.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved.map_err(io_error("move", &from))?,
        }
    }
    Ok(to)
}
