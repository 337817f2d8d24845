//! A workspace in a temporary folder with an executor and a sandbox, for tests of what actions see and leave.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use zako_action::{
    ActionBody, ActionSpec, ArtifactValue, ExecuteError, Executed, Executor, Isolation, Job, NoSink,
};
use zako_cas::{Digest, Store, StoreOptions};
use zako_exec::{BlockingPool, Layering, LocalExecutor, Sandbox};
use zako_path::NeutralPath;

use crate::support::{self, file_value, host_tool};
pub(crate) use crate::support::{path, shell};

pub struct World {
    pub dir: tempfile::TempDir,
    pub workspace: PathBuf,
    pub store: Store,
    pub sandbox: Sandbox,
    pub executor: LocalExecutor,
}

/// Tells a process of a test binary how inputs come into its sandboxes: `memory` or `copies`; the best way without it.
const LAYERING: &str = "ZAKO_TEST_LAYERING";

/// Tells a process of this binary that it is there for this test alone.
const ALONE: &str = "ZAKO_TEST_ALONE";

/// Runs all tests of a module with inputs that come into sandboxes in that way.
pub fn all_of(module: &str, layering: &str) {
    let status = this_binary()
        .arg(format!("{module}::"))
        .env(LAYERING, layering)
        .status()
        .unwrap();
    assert!(status.success(), "with inputs by `{layering}`: {status}");
}

/// Whether this process runs the test `name` alone. If not, one that does has run it well when this returns.
pub fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some_and(|alone| alone == name) {
        return true;
    }
    let status = this_binary()
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, name)
        .status()
        .unwrap();
    assert!(status.success(), "{name}: {status}");
    false
}

/// This test binary.
pub fn this_binary() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

impl World {
    /// A workspace with these files; `None`, with the reason printed, where there are no sandboxes.
    pub fn new(files: &[(&str, &str)]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let world = Self::at(dir, base.join("ws"), base.join("store"))?;
        for (name, text) in files {
            world.write(name, text);
        }
        Some(world)
    }

    /// The same with its workspace and its store in folders that are still to be made.
    pub fn at(dir: tempfile::TempDir, workspace: PathBuf, store: PathBuf) -> Option<Self> {
        fs::create_dir(&workspace).unwrap();
        let store = Store::open(StoreOptions::new(store)).unwrap();
        let sandbox = Sandbox::new(workspace.join(".zako/exec/shared"), Some(path("zako-out")));
        let sandbox = match std::env::var(LAYERING).as_deref() {
            Ok("memory") => sandbox.with_layering(Layering::OverlayInMemory),
            Ok("copies") => sandbox.with_layering(Layering::Copies),
            _ => sandbox,
        };
        if let Err(lack) = sandbox.check(Isolation::Enhanced) {
            println!(
                "skipped: no sandbox on this machine: {lack} ({})",
                lack.cure
            );
            return None;
        }
        let executor = LocalExecutor::new(store.clone(), BlockingPool::new(&Handle::current()))
            .with_grace(Duration::from_millis(50))
            .with_sandbox(sandbox.clone());
        Some(Self {
            dir,
            workspace,
            store,
            sandbox,
            executor,
        })
    }

    pub fn write(&self, name: &str, text: &str) {
        let place = self.workspace.join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    fn value(&self, path: &NeutralPath) -> ArtifactValue {
        let place = path.to_os_path(&self.workspace);
        match place.is_dir() {
            true => ArtifactValue::Directory {
                tree: self.store.put_directory(&place).unwrap(),
            },
            false => file_value(&place),
        }
    }

    pub fn job(&self, spec: ActionSpec, isolation: Isolation) -> Job {
        let mut tools = vec![host_tool("sh")];
        if let ActionBody::Command { argv } = &spec.body {
            tools.insert(0, host_tool(&argv[0]));
        }
        let folders = (&*self.workspace, self.workspace.join(".zako/exec/1"));
        support::job(spec, isolation, folders, tools, |path| self.value(path))
    }

    pub async fn run(&self, spec: ActionSpec) -> Result<Executed, ExecuteError> {
        self.run_at(spec, Isolation::Enhanced).await
    }

    pub async fn run_at(
        &self,
        spec: ActionSpec,
        isolation: Isolation,
    ) -> Result<Executed, ExecuteError> {
        let job = self.job(spec, isolation);
        self.executor
            .execute(&job, &NoSink, &CancellationToken::new())
            .await
    }

    /// What it printed to both streams.
    pub fn printed(&self, executed: &Executed) -> String {
        self.text(&executed.stdout) + &self.text(&executed.stderr)
    }

    pub fn text(&self, digest: &Digest) -> String {
        let bytes = self.store.get(digest).unwrap().expect("in the store");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The content of the first output.
    pub fn output(&self, executed: &Executed) -> String {
        match &executed.outputs[0].file.value {
            ArtifactValue::File { digest, .. } => self.text(digest),
            other => panic!("{other:?} is no file"),
        }
    }

    /// Every file of the workspace outside of `.zako`, with its content.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.workspace.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if entry.file_name() == ".zako" {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let below = entry
                    .path()
                    .strip_prefix(&self.workspace)
                    .unwrap()
                    .to_owned();
                let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
                found.push((below.to_string_lossy().into_owned(), text));
            }
        }
        found.sort();
        found
    }
}

/// Mounts that have something to do with `dir`.
pub fn mounts(dir: &Path) -> String {
    let all = fs::read_to_string("/proc/self/mounts").unwrap();
    let dir = dir.to_str().unwrap();
    let its: Vec<&str> = all.lines().filter(|line| line.contains(dir)).collect();
    its.join("\n")
}

/// Processes of this machine that have `word` in their command line or environment.
pub fn processes_with(word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let all = [read("cmdline"), read("environ")].concat();
        let text = String::from_utf8_lossy(&all).replace('\0', " ");
        let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
        if text.contains(word) && !own {
            found.push(format!("{}: {text}", entry.file_name().to_string_lossy()));
        }
    }
    found
}
