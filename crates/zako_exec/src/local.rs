//! The executor for this machine, at every isolation level that it gives.
//!
//! It must never know caches, keys, retries or admission: it is handed a job that may start now, and runs it once.
//!
//! **Invariants:** an action sees no environment but its own and the constants of [`base_environment`]. From `basic` on the
//! workspace is not written to: what was produced lies in the job's scratch folder until the caller moves it. A level
//! that can't be had is an error, never a weaker level.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionSpec, ExecuteError, Executed, Executor, Exit, Isolation, Job, OutputSink, Prepared,
    Stdin, Stream,
};
use zako_cas::Store;
use zako_path::NeutralPath;

use crate::blocking_pool::BlockingPool;
use crate::census::Census;
use crate::control_group::{ControlGroups, GroupLimits};
use crate::input_root::{InputRoot, clear_outputs, io_error, kept_in, remove_all, root_of};
use crate::isolation::{INSIDE_JOBS, INSIDE_TMP, INSIDE_WORKSPACE};
use crate::jobserver::{JobSession, JobStyle};
use crate::outputs;
use crate::process::{DEFAULT_GRACE, Process, ProcessError, ProcessStdin};
use crate::sandbox::{Sandbox, settle_links, written_below};
use crate::spool::Spool;
use crate::system::{self, FIXED_ENVIRONMENT, FIXED_HOME, FIXED_PATH, TMP_VARIABLES};

/// An action's own folder for temporary files, in its scratch folder.
const TMP: &str = "tmp";

/// How many processes and threads an action at `maximum` has at most, where control groups can limit them.
const MAX_TASKS: u64 = 4096;

/// The list of inputs that is too long for the environment, in the temporary folder of a sandbox.
const IN_FILE: &str = ".zako-inputs";

/// What every action has in its environment unless it declares another value: PATH, HOME, LANG and TZ, always the same
/// (a change of these must change the keys). TMPDIR, a folder of the action alone, is the executor's to add.
#[must_use]
pub fn base_environment() -> BTreeMap<String, String> {
    let constants = [
        ("PATH", FIXED_PATH),
        ("HOME", FIXED_HOME),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
    ];
    constants
        .into_iter()
        .chain(FIXED_ENVIRONMENT)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Runs actions as processes of this machine.
///
/// - `none`: in the workspace itself. Declared outputs are removed first, written in place, and removed again unless the
///   action succeeds.
/// - `basic`: in an input root of links below the job's scratch folder (see [`zako_action::Job`]), where all that is
///   written stays; [`zako_action::Produced::produced_at`] says where.
/// - `enhanced` and `maximum` (Linux): in a [`Sandbox`], where the action sees its declared inputs and the machine's
///   programs only.
///
/// Script actions are not for it: [`ExecuteError::Unsupported`].
#[derive(Clone, Debug)]
pub struct LocalExecutor {
    store: Store,
    grace: Duration,
    pool: BlockingPool,
    sandbox: Option<Sandbox>,
    jobs: Option<Arc<JobSession>>,
    census: Option<Census>,
    groups: Option<ControlGroups>,
    max_tasks: u64,
}

/// Where one job runs.
#[derive(Clone)]
struct Place {
    /// Where it leaves its outputs: the workspace, the root of links, or what lies over the inputs in a sandbox.
    root: PathBuf,
    tmp: PathBuf,
    /// Where the list of inputs is when it is too long for the environment.
    in_file: PathBuf,
    /// The working directory, as the process sees it.
    dir: PathBuf,
    /// The folder for temporary files, and that list, as the process sees them.
    seen_tmp: PathBuf,
    seen_in_file: PathBuf,
    level: Level,
}

/// How an action is kept from the workspace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Not at all: it runs there.
    Workspace,
    Links,
    Walls,
}

impl Place {
    fn of(job: &Job) -> Result<Self, ExecuteError> {
        let (level, root) = match job.action.isolation {
            Isolation::None => (Level::Workspace, job.workspace.to_path_buf()),
            Isolation::Basic => (Level::Links, root_of(&job.scratch)),
            Isolation::Enhanced | Isolation::Maximum => return Self::walled(job),
        };
        let (tmp, in_file) = (job.scratch.join(TMP), job.scratch.join("inputs"));
        Ok(Self {
            dir: root.clone(),
            root,
            seen_tmp: tmp.clone(),
            tmp,
            seen_in_file: in_file.clone(),
            in_file,
            level,
        })
    }

    fn walled(job: &Job) -> Result<Self, ExecuteError> {
        let tmp = job.scratch.join(TMP);
        Ok(Self {
            root: written_below(&job.scratch),
            dir: INSIDE_WORKSPACE.into(),
            seen_tmp: INSIDE_TMP.into(),
            seen_in_file: Path::new(INSIDE_TMP).join(IN_FILE),
            in_file: tmp.join(IN_FILE),
            tmp,
            level: Level::Walls,
        })
    }

    /// Makes the scratch folder ready. Blocks.
    fn prepare(&self, job: &Job) -> Result<(), ExecuteError> {
        let spec = &job.action.spec;
        let root = root_of(&job.scratch);
        let kept = kept_in(&job.scratch);
        let others: &[&Path] = match self.level {
            Level::Workspace => &[],
            Level::Links => &[&kept],
            // Rooms that another action had.
            Level::Walls => &[&kept, &root],
        };
        if !is_fresh(&job.scratch, &self.tmp, others) {
            remove_all(&job.scratch)?;
            std::fs::create_dir_all(&self.tmp).map_err(io_error("create", &self.tmp))?;
        }
        match self.level {
            Level::Workspace => clear_outputs(spec, &self.root)?,
            Level::Links => {
                let both = |path: NeutralPath| {
                    unsupported(format!("`{path}` is an input and an output of it at once"))
                };
                let links = InputRoot::of(spec).map_err(both)?;
                match std::fs::rename(&kept, &self.root) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(io_error("move", &kept)(error));
                    }
                    _ => links.build(&job.workspace, &self.root)?,
                }
            }
            Level::Walls => {}
        }
        match spec.in_list() {
            Some(list) => {
                std::fs::write(&self.in_file, list).map_err(io_error("write", &self.in_file))
            }
            None => Ok(()),
        }
    }

    /// Makes outputs that are links to what was inside the files that they stand for. Blocks.
    fn settle(&self, job: &Job) -> Result<(), ExecuteError> {
        match self.level {
            Level::Walls => settle_links(job, &self.root),
            _ => Ok(()),
        }
    }

    /// Everything that the process is told.
    fn process(
        &self,
        job: &Job,
        grace: Duration,
        jobs: Option<&JobSession>,
    ) -> Result<Process, ExecuteError> {
        let action: &Prepared = &job.action;
        let spec = &action.spec;
        let Some(argv) = spec.argv() else {
            return Err(unsupported(
                "it is a script, which runs in V8 and not as a process".to_owned(),
            ));
        };
        let Some((name, args)) = argv.split_first() else {
            return Err(unsupported("its command is empty".to_owned()));
        };
        // The tool that was hashed is the one that runs; it still sees the name that the action gave it.
        let tool = action.tools.iter().find(|tool| tool.name == *name);
        let mut process = Process::new(
            tool.map_or_else(|| PathBuf::from(name), |t| self.dir.join(&t.path)),
            &self.dir,
        );
        process.arg0 = Some(name.into());
        process.args = args.iter().map(Into::into).collect();
        process.env = self.environment(spec);
        if let Some(jobs) = jobs {
            // The shell finds a bare name on the same PATH as it was found on here.
            let mut wrapped = JobSession::wrap_at(self.seen_pipe(jobs), &argv).into_iter();
            process.program = wrapped.next().map(PathBuf::from).unwrap_or_default();
            process.arg0 = None;
            process.args = wrapped.map(Into::into).collect();
            let flags = jobs.makeflags(JobStyle::Pipe);
            process.env.insert("MAKEFLAGS".to_owned(), flags);
        }
        process.stdin = match &spec.stdin {
            None => ProcessStdin::Nothing,
            Some(Stdin::File(path)) => ProcessStdin::File(path.to_os_path(&job.workspace)),
            Some(Stdin::Text(text)) => ProcessStdin::Bytes(text.clone().into()),
        };
        process.timeout = spec.timeout;
        process.grace = grace;
        Ok(process)
    }

    /// Where the process sees the pipe of `jobs`.
    fn seen_pipe<'a>(&self, jobs: &'a JobSession) -> &'a Path {
        match self.level {
            Level::Walls => Path::new(INSIDE_JOBS),
            Level::Workspace | Level::Links => jobs.path(),
        }
    }

    fn environment(&self, spec: &ActionSpec) -> BTreeMap<String, String> {
        let mut env = base_environment();
        for name in TMP_VARIABLES {
            env.insert(name.to_owned(), self.seen_tmp.display().to_string());
        }
        if spec.in_list().is_some() {
            let list = self.seen_in_file.display().to_string();
            env.insert("in_file".to_owned(), list);
        }
        env.extend(spec.environment());
        env
    }
}

impl LocalExecutor {
    /// An executor that stores outputs in `store` and does its file work in `pool`.
    #[must_use]
    pub fn new(store: Store, pool: BlockingPool) -> Self {
        Self {
            store,
            grace: DEFAULT_GRACE,
            pool,
            sandbox: None,
            jobs: None,
            census: None,
            groups: None,
            max_tasks: MAX_TASKS,
        }
    }

    /// With what the sandboxes of a build share; without, `enhanced` and `maximum` are refused.
    #[must_use]
    pub fn with_sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = Some(sandbox);
        self
    }

    /// Lists the processes of actions in `census` while they run.
    #[must_use]
    pub fn with_census(mut self, census: Census) -> Self {
        self.census = Some(census);
        self
    }

    /// With a control group for each action, where it can be had: at `none` and `basic` it ends daemons too, as a sandbox does;
    /// at `maximum` it limits memory, to what the action declares, and processes.
    #[must_use]
    pub fn with_groups(mut self, groups: ControlGroups) -> Self {
        self.groups = Some(groups);
        self
    }

    /// With another limit of the processes and threads that an action may have at `maximum`, where control groups can hold it to that;
    /// else it is 4096.
    #[must_use]
    pub fn with_max_tasks(mut self, tasks: u64) -> Self {
        self.max_tasks = tasks;
        self
    }

    /// For one action that gets jobs from `session`: its command finds the pipe open, and MAKEFLAGS says so. That says how
    /// fast it may be, not what it makes, so it is in no key.
    pub(crate) fn with_jobs(mut self, session: Arc<JobSession>) -> Self {
        self.jobs = Some(session);
        self
    }

    /// With another time between SIGTERM and SIGKILL.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Removes the job's scratch folder, after its outputs were moved or are not wanted. Blocks.
    ///
    /// # Errors
    /// [`ExecuteError::Io`] when it can't be removed; that it is not there is fine.
    pub fn clean(&self, job: &Job) -> Result<(), ExecuteError> {
        remove_all(&job.scratch)
    }

    /// For the message after [`ExecuteError::MissingOutput`]: up to three files that the action wrote under its
    /// input root and that are called like the missing one, before [`clean`](Self::clean). Not at `none`, where what it
    /// wrote can't be told from the rest. Blocks.
    #[must_use]
    pub fn written_instead(&self, job: &Job, missing: &NeutralPath) -> Vec<NeutralPath> {
        match Place::of(job) {
            Ok(place) if place.level != Level::Workspace => {
                outputs::similar(&job.action.spec, missing, &place.root)
            }
            _ => Vec::new(),
        }
    }

    async fn run(
        &self,
        job: &Job,
        sink: &dyn OutputSink,
        cancel: &CancellationToken,
    ) -> Result<Executed, ExecuteError> {
        let place = Place::of(job)?;
        let mut process = place.process(job, self.grace, self.jobs.as_deref())?;
        self.prepare(job, &place, &mut process).await?;
        let census = self.census.clone();
        process.census = census.map(|census| (census, job.scratch.clone()));
        process.groups = self.groups_for(job);

        let mut spool = Spool::new(self.store.clone());
        let mut broken = None;
        let mut receive = |stream: Stream, chunk: &[u8]| {
            sink.write(stream, chunk);
            match spool.write(stream, chunk) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    broken = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let ended = process.run(&mut receive, cancel).await;
        let store = self.store.clone();
        let executed = match (broken, ended) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(process_error(error, &place.root)),
            (None, Ok(finished)) => {
                self.blocking(job, &place, move |job, place| {
                    let (stdout, stderr) = spool.finish()?;
                    let spec = &job.action.spec;
                    place.settle(job)?;
                    let (outputs, depfile) = match finished.exit {
                        Exit::Code(0) => (
                            outputs::collect(spec, &place.root, &store)?,
                            outputs::depfile(spec, &place.root)?,
                        ),
                        _ => (Vec::new(), None),
                    };
                    Ok(Executed {
                        exit: finished.exit,
                        stdout,
                        stderr,
                        outputs,
                        usage: finished.usage,
                        depfile,
                    })
                })
                .await
            }
        };
        let good = executed.as_ref().is_ok_and(Executed::succeeded);
        if place.level == Level::Workspace && !good {
            self.blocking(job, &place, |job, place| {
                clear_outputs(&job.action.spec, &place.root)
            })
            .await?;
        }
        executed
    }

    /// Where the processes of an action belong, and their limits.
    fn groups_for(&self, job: &Job) -> Option<(ControlGroups, Option<GroupLimits>)> {
        let resources = &job.action.spec.resources;
        let limits = match job.action.isolation {
            Isolation::None | Isolation::Basic => None,
            // Its PID namespace does all that a group without limits would.
            Isolation::Enhanced => return None,
            Isolation::Maximum => Some(GroupLimits {
                memory: resources.memory,
                tasks: self.max_tasks,
                cpu_millis: resources.cpu_millis,
            }),
        };
        Some((self.groups.clone()?, limits))
    }

    async fn prepare(
        &self,
        job: &Job,
        place: &Place,
        process: &mut Process,
    ) -> Result<(), ExecuteError> {
        let sandbox = match (place.level, &self.sandbox) {
            (Level::Walls, None) => {
                let why = "it needs a sandbox, and this executor was made without one";
                return Err(unsupported(why.to_owned()));
            }
            (Level::Walls, Some(sandbox)) => Some(sandbox.clone()),
            _ => None,
        };
        let jobs = self.jobs.clone();
        let prepare = move |job: &Job, place: &Place| {
            place.prepare(job)?;
            let pipe = jobs.as_ref().map(|jobs| jobs.path());
            sandbox.map(|sandbox| sandbox.walls(job, pipe)).transpose()
        };
        process.walls = self.blocking(job, place, prepare).await?.map(Arc::new);
        Ok(())
    }

    /// Does file work where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        job: &Job,
        place: &Place,
        work: impl FnOnce(&Job, &Place) -> Result<T, ExecuteError> + Send + 'static,
    ) -> Result<T, ExecuteError> {
        let (job, place) = (job.clone(), place.clone());
        self.pool.execute(move || work(&job, &place)).await
    }
}

impl Executor for LocalExecutor {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        self.run(job, sink, cancel).boxed()
    }
}

/// Whether a scratch folder is as good as a new one, for whichever action is next.
#[must_use]
pub fn is_spare(scratch: &Path) -> bool {
    is_fresh(scratch, &scratch.join(TMP), &[])
}

/// Whether nothing is in `scratch` but the empty folder `tmp`, as its owner may use it, and `others`.
fn is_fresh(scratch: &Path, tmp: &Path, others: &[&Path]) -> bool {
    let is_tmp = |entry: &std::fs::DirEntry| {
        let is_usable = |found: std::fs::Metadata| found.is_dir() && system::is_usable(&found);
        Some(&*entry.file_name()) == tmp.file_name() && entry.metadata().is_ok_and(is_usable)
    };
    let is_other = |entry: &std::fs::DirEntry| others.contains(&&*entry.path());
    let Ok(entries) = std::fs::read_dir(scratch) else {
        return false;
    };
    let mut has_tmp = false;
    for entry in entries {
        match entry {
            Ok(entry) if is_tmp(&entry) => has_tmp = true,
            Ok(entry) if is_other(&entry) => {}
            _ => return false,
        }
    }
    has_tmp && std::fs::read_dir(tmp).is_ok_and(|mut entries| entries.next().is_none())
}

fn process_error(error: ProcessError, root: &Path) -> ExecuteError {
    match error {
        ProcessError::NotFound { program, looked_in } => {
            ExecuteError::MissingTool { program, looked_in }
        }
        ProcessError::Spawn { program, source } | ProcessError::Watch { program, source } => {
            ExecuteError::Spawn { program, source }
        }
        ProcessError::Stdin { path, source } => {
            let path = path.unwrap_or_else(|| root.to_owned());
            ExecuteError::Io {
                verb: "open standard input from",
                path,
                source,
            }
        }
        ProcessError::Cancelled | ProcessError::Stopped => ExecuteError::Cancelled,
    }
}

fn unsupported(reason: String) -> ExecuteError {
    ExecuteError::Unsupported {
        executor: "local",
        reason,
    }
}
