//! A workspace in a temporary folder, with a store and a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::binary::{repository, zako};
use crate::fifo::Fifo;
use crate::outcome::{Event, Outcome};
use crate::running::{DEADLINE, Running, run};

/// The path that programs are looked up on.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// How often a file that should grow is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// What is no source and not copied with an example.
const NOT_COPIED: [&str; 3] = [".zako", "zako-out", "node_modules"];

/// A workspace in a temporary folder; dropping it removes the folder.
pub struct Workspace {
    /// Removes the folder.
    _temp: TempDir,
    root: PathBuf,
    /// How many event logs were written.
    logs: AtomicUsize,
}

impl Workspace {
    /// A folder that is no workspace yet.
    pub fn bare() -> Workspace {
        let temp = TempDir::with_prefix("zako-case-").expect("there is room for temporary folders");
        let top = temp.path().canonicalize().expect("it was just made");
        let root = top.join("workspace");
        for folder in [&root, &top.join("home"), &top.join("outside")] {
            fs::create_dir(folder).expect("a new folder takes folders");
        }
        Workspace {
            _temp: temp,
            root,
            logs: AtomicUsize::new(0),
        }
    }

    /// A workspace with a manifest and nothing else.
    pub fn empty() -> Workspace {
        Workspace::bare().file("zako.toml", "zako = \"0.1\"\n")
    }

    /// A workspace with a manifest and one `BUILD.ts`, at the root.
    pub fn package(build: &str) -> Workspace {
        Workspace::empty().file("BUILD.ts", build)
    }

    /// A copy of `examples/NAME`.
    pub fn example(name: &str) -> Workspace {
        let workspace = Workspace::bare();
        copy(&repository().join("examples").join(name), &workspace.root);
        workspace
    }

    /// The workspace's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the workspace.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A path beside the workspace.
    pub fn outside(&self, path: &str) -> PathBuf {
        self.top().join("outside").join(path)
    }

    /// The same with a file more, or with another text in it.
    #[must_use]
    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is below the root"))
            .expect("the workspace takes folders");
        fs::write(&path, text)
            .unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
    }

    /// Copies a folder from elsewhere into the workspace.
    pub fn copy(&self, from: &Path, to: &str) {
        copy(from, &self.path(to));
    }

    /// A file's text.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path))
            .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
    }

    /// Whether a file or folder is there.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Replaces `from`, which must be in the file, by `to`.
    #[track_caller]
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to));
    }

    /// A named pipe beside the workspace.
    pub fn fifo(&self, name: &str) -> Fifo {
        Fifo::new(self.outside(name))
    }

    /// Runs `zako` with `arguments` (split at spaces) at the root, to its end.
    pub fn zako(&self, arguments: &str) -> Outcome {
        self.zako_args(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs `zako` with exactly these arguments at the root, to its end.
    pub fn zako_args(&self, arguments: &[&str]) -> Outcome {
        let log = self.next_log();
        let running = Running::start(self.command(arguments, &log));
        self.outcome(running, &log)
    }

    /// Starts `zako`; `finish` what this gives with [`Workspace::finish`].
    pub fn start(&self, arguments: &[&str]) -> (Running, PathBuf) {
        let log = self.next_log();
        (Running::start(self.command(arguments, &log)), log)
    }

    /// Waits for the end of what [`Workspace::start`] began.
    pub fn finish(&self, (running, log): (Running, PathBuf)) -> Outcome {
        self.outcome(running, &log)
    }

    /// Waits until the event log of what [`Workspace::start`] began has an event of that name.
    #[track_caller]
    pub fn await_event(&self, log: &Path, event: &str) {
        let begun = Instant::now();
        let wanted = format!("\"event\":\"{event}\"");
        while !fs::read_to_string(log).is_ok_and(|text| text.contains(&wanted)) {
            assert!(begun.elapsed() < DEADLINE, "no event {event} came");
            // Nothing tells when a file grows; how often it is looked at decides nothing.
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until a file has exactly this text.
    #[track_caller]
    pub fn await_text(&self, path: &str, text: &str) {
        let begun = Instant::now();
        let place = self.path(path);
        while !fs::read_to_string(&place).is_ok_and(|found| found == text) {
            assert!(
                begun.elapsed() < DEADLINE,
                "{path} never came to {text:?}: {:?}",
                fs::read_to_string(&place)
            );
            // As with events: how often it is looked at decides nothing.
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Runs a program that was built, and gives what it printed; it must exit with 0.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = self.program(&self.path(program));
        command.args(arguments);
        run(command)
    }

    /// A command with the environment of the cases: cleared, and at the root.
    pub fn program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", self.top().join("home"));
        command.env("LANG", "C.UTF-8");
        command
    }

    /// The folder of results that this workspace's runs use.
    pub fn cache(&self) -> PathBuf {
        self.top().join("cache")
    }

    fn command(&self, arguments: &[&str], log: &Path) -> Command {
        let mut command = self.program(zako());
        command
            .arg("--cache-dir")
            .arg(self.cache())
            .arg("--event-log")
            .arg(log)
            .args(["--color", "never"]);
        command.args(arguments);
        command
    }

    fn outcome(&self, running: Running, log: &Path) -> Outcome {
        let line = running.line().to_owned();
        let ended = running.finish();
        // Commands that build nothing write no log.
        let events = fs::read_to_string(log).unwrap_or_default();
        Outcome::new(line, ended, events.lines().map(Event::parse).collect())
    }

    fn next_log(&self) -> PathBuf {
        self.top().join(format!(
            "events-{}.jsonl",
            self.logs.fetch_add(1, Ordering::Relaxed)
        ))
    }

    fn top(&self) -> &Path {
        self.root
            .parent()
            .expect("the workspace is a folder of the temporary one")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to)
        .unwrap_or_else(|error| panic!("{} cannot be made: {error}", to.display()));
    let entries = fs::read_dir(from)
        .unwrap_or_else(|error| panic!("{} cannot be listed: {error}", from.display()));
    for entry in entries {
        let entry = entry.expect("a folder can be read");
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|not| name == *not) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        if entry.file_type().expect("it is there").is_dir() {
            copy(&source, &target);
        } else {
            let bytes = fs::read(&source)
                .unwrap_or_else(|error| panic!("{} cannot be read: {error}", source.display()));
            // Written, not copied: what cargo unpacked may be read-only, and cases edit.
            fs::write(&target, bytes)
                .unwrap_or_else(|error| panic!("{} cannot be written: {error}", target.display()));
        }
    }
}
