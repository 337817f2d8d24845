//! The executor of script actions: a `*.script.ts` module in the V8 pool, and no process.
//!
//! **Invariants:** a script reads what its action declares and nothing else, and writes what it declares, into its
//! scratch folder; the workspace is not written to. What it logs is its standard output.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionSpec, ArtifactValue, ExecuteError, Executed, Executor, Exit, Job, OutputFile, OutputKind,
    OutputSink, Produced, Stream, Usage,
};
use zako_cas::{Store, TreeError};
use zako_exec::BlockingPool;
use zako_path::NeutralPath;
use zako_script::engine::{Entry, refused};
use zako_script::{
    Evaluation, Host, HostCall, HostFailure, Limits, LogLevel, Place, ScriptEngine,
    ScriptErrorKind, Specifier,
};

use super::ScriptProgram;
use super::place::remove_all;
use super::printed::Printed;

/// Runs one script.
pub(super) struct ScriptExecutor {
    pub(super) engine: Arc<ScriptEngine>,
    pub(super) limits: Limits,
    pub(super) store: Store,
    pub(super) pool: BlockingPool,
    pub(super) program: Arc<ScriptProgram>,
}

impl ScriptExecutor {
    async fn run(
        &self,
        job: &Job,
        sink: &dyn OutputSink,
        cancel: &CancellationToken,
    ) -> Result<Executed, ExecuteError> {
        let started = Instant::now();
        let spec = job.action.spec.clone();
        let root = job.scratch.join("root");
        let make_room = {
            let (spec, scratch, root) = (spec.clone(), job.scratch.clone(), root.clone());
            move || make_room(&spec, &scratch, &root)
        };
        self.pool.execute(make_room).await?;
        let logged = Arc::new(Printed::default());
        let host = ScriptHost {
            job: job.clone(),
            root: root.clone(),
            logged: logged.clone(),
        };
        let time = spec.timeout.unwrap_or(self.limits.time);
        let evaluation = Evaluation {
            modules: self.program.modules.clone(),
            entry: Entry::Script(self.program.module.clone()),
            host: Box::new(host),
            limits: Some(Limits {
                time,
                ..self.limits
            }),
        };
        let evaluated = self.engine.evaluate(evaluation, cancel).await;
        let text = logged.text().unwrap_or_default();
        if !text.is_empty() {
            sink.write(Stream::Stdout, text.as_bytes());
        }
        let exit = match evaluated {
            Ok(_) => Exit::Code(0),
            Err(error) if error.kind == ScriptErrorKind::Cancelled => {
                return Err(ExecuteError::Cancelled);
            }
            Err(error) if error.kind == ScriptErrorKind::Timeout && spec.timeout.is_some() => {
                Exit::TimedOut { after: time }
            }
            Err(error) => return Err(ExecuteError::Other(Box::new(error))),
        };
        let store = self.store.clone();
        let finish = move || {
            let outputs = if exit == Exit::Code(0) {
                collect(&spec, &root, &store)?
            } else {
                Vec::new()
            };
            let usage = Usage {
                wall: started.elapsed(),
                ..Usage::default()
            };
            let (stdout, stderr) = (store.put_bytes(text.as_bytes())?, store.put_bytes(b"")?);
            Ok(Executed {
                exit,
                stdout,
                stderr,
                outputs,
                usage,
                depfile: None,
            })
        };
        self.pool.execute(finish).await
    }
}

impl Executor for ScriptExecutor {
    fn execute<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Executed, ExecuteError>> {
        self.run(job, sink, cancel).boxed()
    }
}

pub(super) fn io<'a>(
    verb: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> ExecuteError + 'a {
    move |source| ExecuteError::Io {
        verb,
        path: path.to_owned(),
        source,
    }
}

/// An empty scratch folder, but for the declared folders.
pub(super) fn make_room(
    spec: &ActionSpec,
    scratch: &Path,
    root: &Path,
) -> Result<(), ExecuteError> {
    remove_all(scratch).map_err(io("remove", scratch))?;
    fs::create_dir_all(root).map_err(io("create", root))?;
    for output in spec
        .outputs
        .iter()
        .filter(|output| output.kind == OutputKind::Directory)
    {
        let place = output.path.to_os_path(root);
        fs::create_dir_all(&place).map_err(io("create", &place))?;
    }
    Ok(())
}

pub(super) fn write(place: &Path, bytes: &[u8]) -> Result<(), ExecuteError> {
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(io("create", folder))?;
    }
    fs::write(place, bytes).map_err(io("write", place))
}

/// Stores what was written below `root`.
pub(super) fn collect(
    spec: &ActionSpec,
    root: &Path,
    store: &Store,
) -> Result<Vec<Produced>, ExecuteError> {
    let is_missing = |path: &NeutralPath| fs::symlink_metadata(path.to_os_path(root)).is_err();
    let paths: Vec<_> = spec
        .outputs
        .iter()
        .map(|output| output.path.clone())
        .filter(is_missing)
        .collect();
    if !paths.is_empty() {
        return Err(ExecuteError::MissingOutput { paths });
    }
    let collect_one = |output: &zako_action::OutputSpec| {
        let place = output.path.to_os_path(root);
        let found = fs::symlink_metadata(&place).map_err(io("read", &place))?;
        let value = match output.kind {
            _ if found.is_symlink() => {
                let target = fs::read_link(&place).map_err(io("read", &place))?;
                ArtifactValue::Symlink {
                    target: target.to_string_lossy().into_owned(),
                }
            }
            OutputKind::File => ArtifactValue::File {
                digest: store.put_file(&place)?,
                executable: crate::system::is_executable(&found),
            },
            OutputKind::Directory => {
                let tree = store.put_directory(&place).map_err(|error| match error {
                    TreeError::Store(error) => ExecuteError::Store(error),
                    other => ExecuteError::Other(Box::new(other)),
                })?;
                ArtifactValue::Directory { tree }
            }
        };
        Ok(Produced {
            file: OutputFile {
                path: output.path.clone(),
                value,
            },
            produced_at: Some(place),
        })
    };
    spec.outputs.iter().map(collect_one).collect()
}

/// What a script reaches, on its V8 thread.
struct ScriptHost {
    job: Job,
    root: PathBuf,
    logged: Arc<Printed>,
}

fn failure(message: String) -> HostFailure {
    HostFailure {
        message,
        misuse: false,
    }
}

impl ScriptHost {
    fn spec(&self) -> &ActionSpec {
        &self.job.action.spec
    }

    fn path(args: &Json) -> Result<NeutralPath, HostFailure> {
        let text = args["path"].as_str().ok_or_else(|| HostFailure {
            message: "a path is a string".to_owned(),
            misuse: true,
        })?;
        NeutralPath::normalize(text)
            .map_err(|error| failure(format!("`{text}` is not a path in the workspace: {error}")))
    }

    /// Where a declared input is.
    fn input(&self, args: &Json) -> Result<(NeutralPath, PathBuf), HostFailure> {
        let path = Self::path(args)?;
        let action = &self.job.action;
        let is_declared = path.ancestors().any(|above| match action.value(&above) {
            Some(ArtifactValue::Directory { .. }) => true,
            Some(_) => above == path,
            None => false,
        });
        if !is_declared {
            let owner = &self.spec().owner;
            return Err(failure(format!(
                "`{path}` is not an input of {owner}; add it to `inputs`"
            )));
        }
        let place = path.to_os_path(&self.job.workspace);
        Ok((path, place))
    }

    fn read(&self, args: &Json) -> Result<(NeutralPath, Vec<u8>), HostFailure> {
        let (path, place) = self.input(args)?;
        let bytes = fs::read(&place)
            .map_err(|error| failure(format!("`{path}` cannot be read: {error}")))?;
        Ok((path, bytes))
    }

    fn write(&self, args: &Json, bytes: &[u8]) -> Result<(), HostFailure> {
        let path = Self::path(args)?;
        let spec = self.spec();
        let is_declared = spec.outputs.iter().any(|output| match output.kind {
            OutputKind::File => path == output.path,
            OutputKind::Directory => path != output.path && path.starts_with(&output.path),
        });
        if !is_declared {
            let outputs: Vec<String> = spec
                .outputs
                .iter()
                .map(|output| format!("`{}`", output.path))
                .collect();
            let declared = if outputs.is_empty() {
                "it has none".to_owned()
            } else {
                format!("they are {}", outputs.join(", "))
            };
            return Err(failure(format!(
                "`{path}` is not an output of {}; {declared}",
                spec.owner
            )));
        }
        write(&path.to_os_path(&self.root), bytes).map_err(|error| failure(error.to_string()))
    }
}

impl Host for ScriptHost {
    fn call(&mut self, call: HostCall<'_>) -> Result<Json, HostFailure> {
        match call.name {
            "scriptContext" => {
                let spec = self.spec();
                let paths = |paths: &[NeutralPath]| {
                    paths
                        .iter()
                        .map(NeutralPath::as_str)
                        .collect::<Vec<_>>()
                        .into()
                };
                let named = |output: &zako_action::OutputSpec| {
                    let name = output
                        .name
                        .clone()
                        .unwrap_or_else(|| output.path.to_string());
                    (name, output.path.as_str().to_owned())
                };
                let out: BTreeMap<String, String> = spec.outputs.iter().map(named).collect();
                let outputs: Vec<&str> = spec
                    .outputs
                    .iter()
                    .map(|output| output.path.as_str())
                    .collect();
                let inputs: Json = paths(&spec.inputs);
                Ok(json!({ "inputs": inputs, "out": out, "outputs": outputs, "env": spec.env }))
            }
            "readText" => {
                let (path, bytes) = self.read(&call.args)?;
                let text = String::from_utf8(bytes).map_err(|error| {
                    failure(format!(
                        "`{path}` is not UTF-8 (at byte {}); use readBytes",
                        error.utf8_error().valid_up_to()
                    ))
                })?;
                Ok(Json::String(text))
            }
            "writeText" => {
                let text = call.args["text"].as_str().unwrap_or_default();
                self.write(&call.args, text.as_bytes()).map(|()| Json::Null)
            }
            _ => Err(refused(&call)),
        }
    }

    fn bytes(&mut self, call: HostCall<'_>, data: &[u8]) -> Result<Vec<u8>, HostFailure> {
        match call.name {
            "readBytes" => self.read(&call.args).map(|(_, bytes)| bytes),
            "writeBytes" => self.write(&call.args, data).map(|()| Vec::new()),
            _ => Err(refused(&call)),
        }
    }

    fn log(&mut self, level: LogLevel, message: &str, _place: Option<&Place>) {
        let prefix = match level {
            LogLevel::Debug | LogLevel::Info => "",
            LogLevel::Warn => "warning: ",
            LogLevel::Error => "error: ",
        };
        self.logged.push(format!("{prefix}{message}\n").as_bytes());
    }
}

impl ScriptProgram {
    /// The module that runs, for messages.
    pub(super) fn shown(&self) -> String {
        match &self.module {
            Specifier::File(path) => path.to_string(),
            other => other.to_string(),
        }
    }
}
