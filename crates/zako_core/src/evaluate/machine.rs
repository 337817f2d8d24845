//! What toolchains ask of the machine: where a program is, and what it prints. Leaves of the graph, like files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use semver::{Version, VersionReq};
use tokio_util::sync::CancellationToken;
use zako_action::{Exit, Stream};
use zako_exec::{FIXED_PATH, Process, find_program};
use zako_graph::{Ctx, Key};

use super::services;
use super::witness::seen_at;
use crate::codec::{encoded, fingerprint};
use crate::files::{Clock, Encoder, tool_witness};

/// The longest that a program may take to answer.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// The most bytes of an answer, of each stream.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The variables of the user's environment that programs see while they are asked: where those that manage versions keep what is
/// chosen. The PATH is none of them: it differs from one terminal to the next, and each difference would be asked about again.
const SEEN: [&str; 7] = [
    "HOME",
    "RUSTUP_HOME",
    "CARGO_HOME",
    "JAVA_HOME",
    "GOROOT",
    "PKG_CONFIG_PATH",
    "PKG_CONFIG_LIBDIR",
];

/// The program that stands for each tool of a Rust toolchain, and decides by a file of its own which.
const RUSTUP: &str = "rustup";

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The exit code; -1 when a signal or time ended it.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A question to a program.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Question {
    /// The program, absolute, and its arguments.
    pub(crate) argv: Vec<String>,
    /// Files, absolute, that the answer depends on besides the program.
    pub(crate) reads: Vec<String>,
}

/// An answer (or why there is none), and its witness.
type Told = (Result<Answer, String>, Vec<u8>);

/// The machine as one build sees it: a program is asked the same thing once.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(super) environment: BTreeMap<String, String>,
    answers: Mutex<BTreeMap<Question, Told>>,
}

impl Machine {
    /// The operating system, as scripts call it.
    pub(crate) const OS: &str = std::env::consts::OS;
    /// The processor, as scripts call it.
    pub(crate) const ARCH: &str = std::env::consts::ARCH;

    /// For whoever has this environment.
    pub(crate) fn new(environment: BTreeMap<String, String>) -> Machine {
        Machine {
            environment,
            answers: Mutex::default(),
        }
    }

    /// A variable of the environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Where programs are looked for: the PATH of the environment.
    pub(crate) fn search_path(&self) -> &str {
        search_path(&self.environment)
    }

    /// The program called `name`: on the PATH, or at that absolute path.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        find(name, &self.environment)
    }

    /// The answer, or why there is none, with what tells that it still holds.
    pub(crate) fn ask(&self, question: &Question, clock: Clock) -> Told {
        if let Some(known) = self.answers.lock().get(question) {
            return known.clone();
        }
        let moment = SystemTime::now();
        let before = answer_witness(question, &self.environment, Some((moment, clock)));
        let answer = ask(question, &self.environment);
        // One that was replaced while it answered is asked again the next time.
        let after = answer_witness(question, &self.environment, None);
        let witness = if before == after { before } else { Vec::new() };
        let told = (answer, witness);
        let mut answers = self.answers.lock();
        answers.insert(question.clone(), told.clone());
        told
    }
}

fn search_path(environment: &BTreeMap<String, String>) -> &str {
    environment.get("PATH").map_or(FIXED_PATH, String::as_str)
}

fn find(name: &str, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    if Path::new(name).is_absolute() {
        let path = PathBuf::from(name);
        let (folder, name) = (path.parent()?.to_str()?, path.file_name()?.to_str()?);
        return find_program(name, folder);
    }
    find_program(name, search_path(environment))
}

/// Runs the program, on a thread of its own: whoever asks stands on V8's, inside a runtime.
fn ask(question: &Question, environment: &BTreeMap<String, String>) -> Result<Answer, String> {
    let (program, args) = question.argv.split_first().ok_or("no program is named")?;
    let mut process = Process::new(program, "/");
    process.args = args.iter().map(Into::into).collect();
    process.timeout = Some(MAX_ANSWER_TIME);
    process.env = seen(environment);
    let folder = Path::new(program).parent().and_then(Path::to_str);
    let path = folder.map_or_else(
        || FIXED_PATH.to_owned(),
        |folder| format!("{folder}:{FIXED_PATH}"),
    );
    process.env.insert("PATH".to_owned(), path);
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut receive = |stream: Stream, bytes: &[u8]| {
            let kept = match stream {
                Stream::Stdout => &mut stdout,
                Stream::Stderr => &mut stderr,
            };
            kept.extend_from_slice(bytes);
            if kept.len() > MAX_ANSWER_BYTES {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let finished = runtime
            .block_on(process.run(&mut receive, &CancellationToken::new()))
            .map_err(|e| e.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer {
            status: match finished.exit {
                Exit::Code(code) => code,
                Exit::TimedOut { after } => {
                    return Err(format!("it did not end within {} s", after.as_secs()));
                }
                Exit::Signal(_) => -1,
            },
            stdout: text(stdout),
            stderr: text(stderr),
        })
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(answer) => answer,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn seen(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut seen: BTreeMap<String, String> = SEEN
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone())))
        .collect();
    seen.insert("LC_ALL".to_owned(), "C".to_owned());
    seen
}

/// Whether `version`, numbers with dots between, is one of those `wanted` (Cargo's syntax).
pub(super) fn version_is(version: &str, wanted: &str) -> Result<bool, String> {
    let wanted = VersionReq::parse(wanted)
        .map_err(|e| format!("\"{wanted}\" does not say which versions: {e}"))?;
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Ok(wanted.matches(&Version::new(next(), next(), next())))
}

/// How to tell that `name` still is the program that it was, or still is none.
pub(super) fn program_witness(name: &str, environment: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Encoder::default();
    match find(name, environment) {
        None => out.u8(0),
        Some(path) => {
            out.u8(1);
            out.raw(path.as_os_str().as_encoded_bytes());
        }
    }
    out.finish()
}

/// How to tell that the answer to `question` still is what it was: the program, the files that it says it reads, the environment.
/// Empty when that can't be told; with `since`, when a file may have changed unseen since that moment.
pub(super) fn answer_witness(
    question: &Question,
    environment: &BTreeMap<String, String>,
    since: Option<(SystemTime, Clock)>,
) -> Vec<u8> {
    let program = question.argv.first().map_or("", String::as_str);
    let Some((tool, real)) = tool_witness(program, FIXED_PATH) else {
        return Vec::new();
    };
    let mut out = Encoder::default();
    out.raw(&tool);
    let chosen = (real.file_name() == Some(RUSTUP.as_ref())).then(|| settings(environment));
    let reads = question.reads.iter().map(PathBuf::from);
    for path in reads.chain(chosen.flatten()) {
        let Some(seen) = seen_at(&path, since) else {
            return Vec::new();
        };
        out.raw(&seen);
    }
    out.raw(&encoded(&seen(environment)));
    fingerprint(out.as_bytes()).to_vec()
}

/// The file in which rustup keeps which toolchain is the default.
fn settings(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let home = match environment.get("RUSTUP_HOME") {
        Some(home) => PathBuf::from(home),
        None => Path::new(environment.get("HOME")?).join(".rustup"),
    };
    Some(home.join("settings.toml"))
}

/// Where a program is, by the name that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProgramPath(pub(crate) String);

impl Key for ProgramPath {
    /// Its path; `None` when there is none.
    type Value = Option<Arc<str>>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).ok()?;
        let found = services.machine.find(&self.0);
        ctx.set_witness(program_witness(&self.0, &services.machine.environment));
        found.and_then(|path| path.to_str().map(Into::into))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("where {} is", self.0)
    }
}

/// What a program answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProgramAnswer(pub(crate) Question);

impl Key for ProgramAnswer {
    type Value = Result<Answer, String>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).map_err(|e| e.to_string())?;
        let clock = services.workspace.clock();
        let (answer, witness) = services.machine.ask(&self.0, clock);
        ctx.set_witness(witness);
        answer
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("what `{}` says", self.0.argv.join(" "))
    }
}
