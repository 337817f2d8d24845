//! What an action is as declared: pure data, what a script's task or rule is lowered to.
//!
//! Must never know digests, the machine, or where the workspace lies. All paths are relative to
//! the input root, which has the workspace's shape: sources at their own paths, built files under
//! `zako-out/`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zako_path::NeutralPath;

use crate::RetryPolicy;

/// The largest value, in bytes, that a shell action gets its inputs' list in as `in`; beyond it
/// `in` is unset and `in_file` names a file with the list (docs/scripts.md: "task").
pub const MAX_IN_BYTES: usize = 64 * 1024;

/// CPU demand of an action that declares none: one core.
pub const DEFAULT_CPU_MILLIS: u32 = 1000;

/// An action as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionSpec {
    /// Label of the target that owns it, as `//app:server`.
    pub owner: String,
    /// A short word for what it does, as `compile`; shown beside the owner.
    pub mnemonic: String,
    /// The line to show while it runs, instead of owner and mnemonic.
    pub message: Option<String>,
    /// What runs.
    pub body: ActionBody,
    /// Its environment, whole: nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Exact inputs, in the order of `$in`.
    pub inputs: Vec<NeutralPath>,
    /// Declared but not in `$in`; narrowed by the depfile when there is one.
    pub staged: Vec<NeutralPath>,
    /// The tools it runs; `argv[0]`, or the shell, among them.
    pub tools: Vec<ToolRef>,
    /// What it must write, in the order of `$out`.
    pub outputs: Vec<OutputSpec>,
    /// The Makefile-style list of what it really read, which it writes.
    pub depfile: Option<NeutralPath>,
    /// What it reads from standard input; nothing if `None`.
    pub stdin: Option<Stdin>,
    /// What it needs of the machine. Never part of a key.
    pub resources: Resources,
    /// Whether it may use the network.
    pub network: bool,
    /// The longest that it may run.
    pub timeout: Option<Duration>,
    /// When and how it is tried again after it ended badly; `None` for never. Never part of a key.
    pub retries: Option<Box<RetryPolicy>>,
    /// The isolation asked for; `None` leaves it to the session.
    pub isolation: Option<Isolation>,
    /// Whether its result may be cached.
    pub cache: bool,
    /// How a process that stays may run it, instead of one process each. Never part of a key: what comes of it is the same.
    pub worker: Option<WorkerSpec>,
}

impl ActionSpec {
    /// An action that runs `body` with no inputs, outputs or tools, cacheable, with default
    /// resources: to be filled in by the caller.
    pub fn new(owner: impl Into<String>, mnemonic: impl Into<String>, body: ActionBody) -> Self {
        Self {
            owner: owner.into(),
            mnemonic: mnemonic.into(),
            message: None,
            body,
            env: BTreeMap::new(),
            inputs: Vec::new(),
            staged: Vec::new(),
            tools: Vec::new(),
            outputs: Vec::new(),
            depfile: None,
            stdin: None,
            resources: Resources::default(),
            network: false,
            timeout: None,
            retries: None,
            isolation: None,
            cache: true,
            worker: None,
        }
    }

    /// The words that are run: the command itself, `sh -eu -c SCRIPT`, or `None` for a script
    /// action, which is no process.
    pub fn argv(&self) -> Option<Vec<String>> {
        match &self.body {
            ActionBody::Command { argv } => Some(argv.clone()),
            ActionBody::Shell { script } => {
                Some(vec!["sh".into(), "-eu".into(), "-c".into(), script.clone()])
            }
            ActionBody::Script { .. } => None,
        }
    }

    /// The environment that the process gets: the declared one, and for a shell action `in`,
    /// `out` and `out_NAME`, items separated by one space. The key and every executor use this.
    ///
    /// When `in` would be longer than [`MAX_IN_BYTES`] it is left out; the executor then writes
    /// [`in_list`](Self::in_list) to a file of its own and names it in `in_file`.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        if matches!(self.body, ActionBody::Shell { .. }) {
            if self.in_list().is_none() {
                env.insert("in".into(), join(self.inputs.iter()));
            }
            env.insert("out".into(), join(self.outputs.iter().map(|o| &o.path)));
            for output in &self.outputs {
                if let Some(name) = &output.name {
                    env.insert(format!("out_{name}"), output.path.to_string());
                }
            }
        }
        env
    }

    /// The content of the file that `in_file` names: every input followed by a NUL. Only for a
    /// shell action whose `in` would be longer than [`MAX_IN_BYTES`].
    pub fn in_list(&self) -> Option<Vec<u8>> {
        let len: usize = self.inputs.iter().map(|p| p.as_str().len() + 1).sum();
        if !matches!(self.body, ActionBody::Shell { .. }) || len <= MAX_IN_BYTES {
            return None;
        }
        let mut list = Vec::with_capacity(len);
        for path in &self.inputs {
            list.extend_from_slice(path.as_str().as_bytes());
            list.push(0);
        }
        Some(list)
    }
}

fn join<'a>(paths: impl Iterator<Item = &'a NeutralPath>) -> String {
    let words: Vec<&str> = paths.map(NeutralPath::as_str).collect();
    words.join(" ")
}

/// What an action runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionBody {
    /// A program and its arguments.
    Command {
        /// The words; the first is the program: a path (with a `/`) relative to the input root or
        /// absolute, or a bare name that is one of the tools.
        argv: Vec<String>,
    },
    /// A shell script, run as `sh -eu -c SCRIPT`.
    Shell {
        /// Its text.
        script: String,
    },
    /// A `*.script.ts` module, run in the V8 pool: no process at all.
    Script {
        /// The module, which is one of the inputs or the staged files, as is all that it imports.
        module: NeutralPath,
        /// What its default export is called with; plain data.
        args: serde_json::Value,
    },
}

/// A tool that an action uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolRef {
    /// A file of the workspace, source or built.
    Artifact(NeutralPath),
    /// A program of the machine: a bare name looked up on the keyed PATH, or an absolute path.
    Host(String),
    /// A program of the machine whose version is its identity, and not its content.
    Versioned {
        /// Its absolute path.
        path: String,
        /// The version that it said it has.
        version: String,
    },
}

/// An output that an action declares.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Where it is written, relative to the input root.
    pub path: NeutralPath,
    /// File or directory.
    pub kind: OutputKind,
    /// Its name in `t.out.NAME` and `out_NAME`, if it has one.
    pub name: Option<String>,
}

impl OutputSpec {
    /// An unnamed file.
    pub fn file(path: NeutralPath) -> Self {
        Self {
            path,
            kind: OutputKind::File,
            name: None,
        }
    }

    /// An unnamed directory.
    pub fn directory(path: NeutralPath) -> Self {
        Self {
            path,
            kind: OutputKind::Directory,
            name: None,
        }
    }
}

/// What kind of thing an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// One file.
    File,
    /// A directory with whatever the action puts there.
    Directory,
}

/// What an action reads from standard input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// A file, which is one of the inputs or the staged files.
    File(NeutralPath),
    /// This text.
    Text(String),
}

/// What an action needs of the machine while it runs. Never part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub cpu_millis: u32,
    /// Memory in bytes; `None` when not declared (learnt from measured peaks).
    pub memory: Option<u64>,
    /// Slots of the network.
    pub network_slots: u32,
    /// Resources by the names that the workspace gives them.
    pub named: BTreeMap<String, u32>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu_millis: DEFAULT_CPU_MILLIS,
            memory: None,
            network_slots: 0,
            named: BTreeMap::new(),
        }
    }
}

/// The process that stays and runs an action: what it understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkerSpec {
    /// What it speaks.
    pub protocol: WorkerProtocol,
    /// Whether it works on several requests at once.
    pub multiplex: bool,
    /// Whether it takes the paths of a request relative to a folder that the request names, so that several at once can be kept
    /// apart.
    pub sandbox_dir: bool,
}

impl WorkerSpec {
    /// One that does one request after the other.
    pub fn new(protocol: WorkerProtocol) -> Self {
        Self {
            protocol,
            multiplex: false,
            sandbox_dir: false,
        }
    }
}

/// How a process that runs many actions is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerProtocol {
    /// Bazel's persistent workers, JSON: a `WorkRequest` a line on standard input, a `WorkResponse` a line on standard output.
    Json,
}

/// How far an action is shut off from the machine, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// A process group, nothing else.
    None,
    /// Cleared environment, own temporary folder, private output tree.
    Basic,
    /// User, mount and process namespaces: only declared inputs are there.
    Enhanced,
    /// Also network and IPC namespaces, system call filter, memory and process limits.
    Maximum,
}
