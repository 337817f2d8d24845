//! Thousands of steps at random: a workspace is changed, built and compared with what a model says it comes to.
//!
//! After each step the outputs are those of a clean build, an action ran if and only if nothing like it was ever built, nothing dead
//! is left, and the same build again does nothing.

mod model;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use zako_core::{ActionStatus, BuildEvent, BuildOptions, Session};

use crate::chance::Random;
use crate::fixture::{Built, Fixture, run, write};
use crate::process::global;
use model::{File, Files, Input, Made, Model, PACKAGES, Package, Task, label};

/// How many steps each seed takes.
const STEPS: usize = 500;

/// After how many steps a clean build elsewhere says whether the model is right.
const CLEAN_EVERY: usize = 100;

/// How many earlier states are remembered, to go back to.
const MAX_BRANCHES: usize = 6;

/// How many global states a seed makes: a process has room for 255 of them.
const MAX_PROCESSES: usize = 8;

impl Random {
    /// One of these.
    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| &of[self.below(of.len())])
    }
}

struct World {
    random: Random,
    fixture: Fixture,
    model: Model,
    /// The sources as they are on disk.
    disk: Files,
    branches: Vec<Model>,
    mode: Option<&'static str>,
    /// Another session of the same process.
    other: Session,
    /// How many global states were made.
    processes: usize,
    /// The keys of all actions that ever succeeded.
    built: HashSet<String>,
    /// What happened, the latest last.
    story: Vec<String>,
}

/// What a step expects of the build after it.
#[derive(PartialEq)]
enum Expect {
    Good,
    /// Everything has to be built: something was done to outputs.
    Whole,
    Bad,
}

impl World {
    fn new(seed: u64) -> World {
        let fixture = Fixture::new(&[]);
        let other = Session::open(global(&fixture.temp().join("cache")), &fixture.root()).unwrap();
        let mut world = World {
            random: Random::new(seed),
            fixture,
            model: Model {
                packages: [const { None }; PACKAGES.len()],
            },
            disk: Files::new(),
            branches: Vec::new(),
            mode: None,
            other,
            processes: 0,
            built: HashSet::new(),
            story: Vec::new(),
        };
        for at in 0..PACKAGES.len() {
            world.add_package(at);
        }
        world
    }

    fn text(&mut self) -> String {
        // Few texts, all of one length: what was there before comes back, and no size gives a change away.
        format!("text {}\n", self.random.below(30) + 10)
    }

    fn add_package(&mut self, at: usize) {
        self.model.packages[at] = Some(Package::default());
        for _ in 0..3 {
            self.add_source(at);
        }
        for _ in 0..2 {
            self.add_task(at);
        }
    }

    fn package(&mut self, at: usize) -> &mut Package {
        self.model.packages[at].as_mut().unwrap()
    }

    fn add_source(&mut self, at: usize) -> String {
        let folder = ["", "src/", "src/deep/"][self.random.below(3)];
        let path = format!("{folder}s{}.txt", self.random.below(6));
        let text = self.text();
        self.package(at)
            .sources
            .insert(path.clone(), File::of(text));
        path
    }

    fn inputs(&mut self, at: usize) -> Vec<Input> {
        let sources: Vec<String> = self.package(at).sources.keys().cloned().collect();
        let mut made = Vec::new();
        for of in 0..=at {
            let tasks = self.model.packages[of].iter().flat_map(|p| p.tasks.keys());
            made.extend(tasks.map(|task| Input::Made {
                package: of,
                task: task.clone(),
            }));
        }
        let mut inputs = Vec::new();
        for _ in 0..self.random.below(4) {
            match self.random.below(5) {
                0 => inputs.push(Input::Glob),
                1 | 2 => inputs.extend(self.random.pick(&made).cloned()),
                _ => inputs.extend(self.random.pick(&sources).cloned().map(Input::Source)),
            }
        }
        inputs
    }

    /// A name of an output that is free in a package.
    fn output(&mut self, at: usize) -> String {
        loop {
            let folder = ["", "sub/", "sub/sub/"][self.random.below(3)];
            let output = format!("{folder}o{}", self.random.below(40));
            let mut others = self.package(at).tasks.values();
            if others.all(|task| task.output != output) {
                return output;
            }
        }
    }

    fn add_task(&mut self, at: usize) -> String {
        let name = format!("t{}", 10 + self.random.below(80));
        let task = Task {
            inputs: self.inputs(at),
            word: format!("w{}", self.random.below(3)),
            output: self.output(at),
            folder: self.random.one_in(4),
            executable: self.random.one_in(4),
            mode: self.random.one_in(4),
            fails: false,
        };
        self.package(at).tasks.insert(name.clone(), task);
        label(at, &name)
    }

    fn root(&self) -> std::path::PathBuf {
        self.fixture.root()
    }

    /// Makes the disk what the model says.
    fn sync(&mut self) {
        self.model.repair();
        let files = self.model.files();
        for path in self.disk.keys().filter(|path| !files.contains_key(*path)) {
            let mut place = self.root().join(path);
            fs::remove_file(&place).unwrap();
            while place.pop() && fs::remove_dir(&place).is_ok() {}
        }
        for (path, file) in &files {
            let place = self.root().join(path);
            let before = self.disk.get(path);
            if before.is_none_or(|before| before.text != file.text) {
                write(&place, &file.text);
            }
            if before.is_none_or(|before| before.executable != file.executable) {
                set_executable(&place, file.executable);
            }
        }
        self.disk = files;
    }

    /// Changes something; says what, and what to expect.
    fn change(&mut self) -> (String, Expect) {
        let there: Vec<usize> = (0..PACKAGES.len())
            .filter(|at| self.model.packages[*at].is_some())
            .collect();
        let Some(&at) = self.random.pick(&there) else {
            let at = self.random.below(PACKAGES.len());
            self.add_package(at);
            return (format!("add package {}", PACKAGES[at]), Expect::Good);
        };
        let name = PACKAGES[at];
        let sources: Vec<String> = self.package(at).sources.keys().cloned().collect();
        let source = self.random.pick(&sources).cloned();
        let tasks: Vec<String> = self.package(at).tasks.keys().cloned().collect();
        let task = self.random.pick(&tasks).cloned();
        let good = |story: String| (story, Expect::Good);
        match (self.random.below(24), source, task) {
            (0..=3, Some(source), _) => {
                let text = self.text();
                self.package(at).sources.get_mut(&source).unwrap().text = text.clone();
                good(format!("edit {name}/{source}: {text}"))
            }
            (4, Some(source), _) => {
                let place = self.root().join(name).join(&source);
                let file = fs::File::open(place).unwrap();
                let ago = Duration::from_secs(self.random.next() % 1000);
                file.set_modified(SystemTime::now() - ago).unwrap();
                good(format!("touch {name}/{source}"))
            }
            (5, Some(source), _) => {
                let file = self.package(at).sources.get_mut(&source).unwrap();
                file.executable = !file.executable;
                good(format!("chmod {name}/{source}"))
            }
            (6, Some(source), _) => {
                self.package(at).sources.remove(&source);
                good(format!("delete {name}/{source}"))
            }
            (7, Some(source), _) => {
                let to = format!("src/renamed{}.txt", self.random.below(3));
                let file = self.package(at).sources.remove(&source).unwrap();
                let (old, new) = (format!("{name}/{source}"), format!("{name}/{to}"));
                let place = self.root().join(&new);
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                fs::rename(self.root().join(&old), place).unwrap();
                self.disk.remove(&old);
                self.disk.insert(new, file.clone());
                self.package(at).sources.insert(to.clone(), file);
                good(format!("rename {name}/{source} to {to}"))
            }
            (8, ..) => {
                let path = self.add_source(at);
                good(format!("add {name}/{path}"))
            }
            (9, ..) => {
                let label = self.add_task(at);
                good(format!("add {label}"))
            }
            (10, _, Some(task)) => {
                self.package(at).tasks.remove(&task);
                good(format!("remove {}", label(at, &task)))
            }
            (11, _, Some(task)) => {
                let to = format!("t{}", 10 + self.random.below(80));
                let renamed = self.package(at).tasks.remove(&task).unwrap();
                self.package(at).tasks.insert(to.clone(), renamed);
                good(format!("rename {} to {to}", label(at, &task)))
            }
            (12, _, Some(task)) => {
                let word = format!("w{}", self.random.below(3));
                self.package(at).tasks.get_mut(&task).unwrap().word = word.clone();
                good(format!("{} says {word}", label(at, &task)))
            }
            (13, _, Some(task)) => {
                let inputs = self.inputs(at);
                self.package(at).tasks.get_mut(&task).unwrap().inputs = inputs;
                good(format!("other inputs for {}", label(at, &task)))
            }
            (14, _, Some(task)) => {
                let task_now = self.package(at).tasks.get_mut(&task).unwrap();
                task_now.folder = !task_now.folder;
                good(format!("file or folder {}", label(at, &task)))
            }
            (15, _, Some(task)) => {
                let output = self.output(at);
                self.package(at).tasks.get_mut(&task).unwrap().output = output.clone();
                good(format!("{} writes {output}", label(at, &task)))
            }
            (16, ..) => {
                self.package(at).remark = self.random.next() % 10;
                good(format!("remark in {name}"))
            }
            (17 | 18, ..) => (self.spoil(), Expect::Whole),
            (19, ..) if !self.branches.is_empty() => {
                let branch = self.random.below(self.branches.len());
                self.model = self.branches[branch].clone();
                good(format!("switch to branch {branch}"))
            }
            (20, ..) => {
                self.mode = [None, Some("fast"), Some("slow")][self.random.below(3)];
                good(format!("mode {:?}", self.mode))
            }
            (21, ..) if self.random.one_in(2) => {
                let other = self.random.below(PACKAGES.len());
                match self.model.packages[other].take() {
                    Some(_) => good(format!("delete package {}", PACKAGES[other])),
                    None => {
                        self.add_package(other);
                        good(format!("add package {}", PACKAGES[other]))
                    }
                }
            }
            (22, _, Some(task)) => {
                self.package(at).tasks.get_mut(&task).unwrap().fails = true;
                (format!("{} fails", label(at, &task)), Expect::Bad)
            }
            (23, ..) => {
                let path = format!("{name}/BUILD.ts");
                let file = self.disk.get_mut(&path).unwrap();
                file.text = format!("{}export const = ;\n", file.text);
                let text = file.text.clone();
                write(&self.root().join(&path), &text);
                (format!("{path} is broken"), Expect::Bad)
            }
            _ => good("nothing".to_owned()),
        }
    }

    /// Does something to an output.
    fn spoil(&mut self) -> String {
        let made = self.model.made(self.mode);
        let files = made.values().flat_map(|made| made.files.keys());
        let there: Vec<String> = files
            .filter(|path| self.root().join(path).is_file())
            .cloned()
            .collect();
        let Some(path) = self.random.pick(&there).cloned() else {
            return "nothing".to_owned();
        };
        let place = self.root().join(&path);
        let how = match self.random.below(6) {
            0 => {
                fs::remove_file(&place).unwrap();
                "delete"
            }
            1 => {
                let text = fs::read_to_string(&place).unwrap();
                fs::write(&place, text.to_uppercase()).unwrap();
                "edit"
            }
            2 => {
                fs::remove_file(&place).unwrap();
                write(&place.join("file"), "in a folder\n");
                "make a folder of"
            }
            3 => {
                fs::remove_file(&place).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", &place).unwrap();
                "make a link of"
            }
            4 => {
                let mode = fs::metadata(&place).unwrap().permissions().mode();
                set_executable(&place, mode & 0o100 == 0);
                "chmod"
            }
            _ => {
                let _not_all_of_it = fs::remove_dir_all(self.root().join("zako-out"));
                return "delete zako-out".to_owned();
            }
        };
        format!("{how} {path}")
    }

    /// The session that builds now: one that lives on, or one as of a new process.
    fn session(&mut self) -> (Session, &'static str) {
        let cache = self.fixture.temp().join("cache");
        match self.random.below(20) {
            0..9 => (self.fixture.session.clone(), "first"),
            9..12 => (self.other.clone(), "other"),
            12 if self.processes < MAX_PROCESSES => {
                self.processes += 1;
                (
                    Session::open(global(&cache), &self.root()).unwrap(),
                    "process",
                )
            }
            _ => (self.fixture.reopened(), "fresh"),
        }
    }

    fn options(&self) -> BuildOptions {
        BuildOptions {
            config: self
                .mode
                .iter()
                .map(|mode| ("mode".to_owned(), (*mode).to_owned()))
                .collect(),
            ..BuildOptions::default()
        }
    }

    /// What to ask for, and the labels that it means.
    fn patterns(&mut self, made: &BTreeMap<String, Made>) -> (Vec<String>, Vec<String>) {
        let labels: Vec<String> = made.keys().cloned().collect();
        let picked = self.random.pick(&labels).cloned();
        match (self.random.below(10), picked) {
            (0, Some(label)) => (vec![label.clone()], vec![label]),
            (1 | 2, Some(label)) => {
                let package = label.split(':').next().unwrap().to_owned();
                let within = |label: &String| {
                    label
                        .strip_prefix(&package)
                        .is_some_and(|rest| rest.starts_with([':', '/']))
                };
                let labels = labels.iter().filter(|label| within(label)).cloned();
                (vec![format!("{package}/...")], labels.collect())
            }
            _ => (Vec::new(), labels),
        }
    }

    async fn step(&mut self, number: usize) {
        let (story, expect) = self.change();
        self.story.push(format!("{number}: {story}"));
        if !story.ends_with("is broken") {
            self.sync();
        }
        let made = self.model.made(self.mode);
        let (patterns, wanted) = match expect {
            Expect::Good => self.patterns(&made),
            Expect::Whole | Expect::Bad => (Vec::new(), made.keys().cloned().collect()),
        };
        let (session, kind) = self.session();
        self.story.push(format!("    {kind} builds {patterns:?}"));
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let before = outputs(&self.root());
        let built = run(&session, &patterns, self.options()).await;
        if expect == Expect::Bad {
            self.check_bad(&built, &made);
            let again = run(&session, &patterns, self.options()).await;
            self.check_bad(&again, &made);
            // It is as it was from the next step on.
            for package in self.model.packages.iter_mut().flatten() {
                package
                    .tasks
                    .values_mut()
                    .for_each(|task| task.fails = false);
            }
            return;
        }
        self.check_good(&built, &made, &wanted, &before, patterns.is_empty());
        let (session, kind) = self.session();
        self.story.push(format!("    {kind} builds again"));
        let after = outputs(&self.root());
        let again = run(&session, &patterns, self.options()).await;
        assert!(again.report.fault().is_none(), "{}", self.tell(&again));
        let did = again.events.iter().any(|event| {
            matches!(
                event,
                BuildEvent::PackageEvaluated { .. } | BuildEvent::ActionFinished { .. }
            )
        });
        assert!(!did, "the same build did something\n{}", self.tell(&again));
        assert_eq!(outputs(&self.root()), after, "{}", self.tell(&again));
        if self.branches.len() < MAX_BRANCHES || self.random.one_in(20) {
            let at = self.random.below(MAX_BRANCHES);
            if at < self.branches.len() {
                self.branches.remove(at);
            }
            self.branches.push(self.model.clone());
        }
    }

    fn check_bad(&mut self, built: &Built, made: &BTreeMap<String, Made>) {
        assert!(built.report.fault().is_some(), "{}", self.tell(built));
        for owner in ran(built) {
            let is_new = self.built.insert(made[&owner].key.clone());
            assert!(is_new, "{owner} ran again\n{}", self.tell(built));
        }
    }

    fn check_good(
        &mut self,
        built: &Built,
        made: &BTreeMap<String, Made>,
        wanted: &[String],
        before: &Files,
        whole: bool,
    ) {
        assert!(built.report.fault().is_none(), "{}", self.tell(built));
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut pending = wanted.to_vec();
        while let Some(label) = pending.pop() {
            if needed.insert(label.clone()) {
                pending.extend(made[&label].needs.iter().cloned());
            }
        }
        let new: BTreeSet<String> = needed
            .iter()
            .filter(|label| !self.built.contains(&made[*label].key))
            .cloned()
            .collect();
        assert_eq!(ran(built), new, "what ran\n{}", self.tell(built));
        self.built
            .extend(new.iter().map(|label| made[label].key.clone()));
        let expected: Files = needed
            .iter()
            .flat_map(|label| made[label].files.clone())
            .collect();
        let found = outputs(&self.root());
        if whole {
            assert_eq!(found, expected, "{}", self.tell(built));
            return;
        }
        for (path, file) in &expected {
            assert_eq!(found.get(path), Some(file), "{path}\n{}", self.tell(built));
        }
        for path in found.keys() {
            let is_new = !before.contains_key(path) && !expected.contains_key(path);
            assert!(!is_new, "{path} appeared\n{}", self.tell(built));
        }
        // Of a package that was built as a whole nothing dead is left.
        let claimed: Vec<&String> = made.values().map(|made| &made.path).collect();
        let folders: BTreeSet<&str> = wanted
            .iter()
            .filter_map(|label| label.strip_prefix("//")?.split(':').next())
            .collect();
        let is_one = wanted.len() == 1;
        for folder in folders.into_iter().filter(|_| !is_one) {
            for path in found.keys() {
                let inside = path
                    .strip_prefix("zako-out/")
                    .and_then(|path| path.strip_prefix(folder))
                    .is_some_and(|path| path.starts_with('/'));
                let lives = claimed.iter().any(|claim| {
                    path.strip_prefix(claim.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
                // The package within one may be another's.
                let nested = folder == "b" && path.starts_with("zako-out/b/deep/");
                assert!(
                    !inside || lives || nested,
                    "{path} is dead\n{}",
                    self.tell(built)
                );
            }
        }
    }

    /// Builds the same sources elsewhere, from nothing.
    async fn check_clean(&mut self) {
        self.sync();
        let clean = Fixture::new(&[]);
        for (path, file) in self.model.files() {
            let place = clean.root().join(&path);
            write(&place, &file.text);
            set_executable(&place, file.executable);
        }
        let built = run(&clean.session, &[], self.options()).await.good();
        let made = self.model.made(self.mode);
        let expected: Files = made.values().flat_map(|made| made.files.clone()).collect();
        assert_eq!(outputs(&clean.root()), expected, "{}", self.tell(&built));
    }

    fn tell(&self, built: &Built) -> String {
        let recent = &self.story[self.story.len().saturating_sub(60)..];
        let files: String = self
            .disk
            .iter()
            .map(|(path, file)| format!("{path}: {}", file.text))
            .collect();
        format!(
            "{}\n--- events\n{:#?}\n--- errors\n{:#?}\n--- files\n{files}",
            recent.join("\n"),
            built.events,
            built.report.diagnostics,
        )
    }
}

/// The labels of the actions that ran.
fn ran(built: &Built) -> BTreeSet<String> {
    let mut ran = BTreeSet::new();
    for event in &built.events {
        if let BuildEvent::ActionFinished {
            action,
            status: ActionStatus::Ran,
            ..
        } = event
        {
            ran.insert(action.owner.clone());
        }
    }
    ran
}

/// All files in `zako-out`; folders without one are told as files that end in a slash.
fn outputs(root: &Path) -> Files {
    let mut found = Files::new();
    let mut pending = vec!["zako-out".to_owned()];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else {
            continue;
        };
        let mut is_empty = true;
        for entry in entries {
            let entry = entry.unwrap();
            is_empty = false;
            let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(path);
                continue;
            }
            let text = match kind.is_symlink() {
                true => format!("link to {}", fs::read_link(entry.path()).unwrap().display()),
                false => fs::read_to_string(entry.path()).unwrap(),
            };
            let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
            let executable = executable && !kind.is_symlink();
            found.insert(path, File { text, executable });
        }
        if is_empty && folder != "zako-out" {
            found.insert(format!("{folder}/"), File::of(""));
        }
    }
    found
}

fn set_executable(place: &Path, executable: bool) {
    let mode = if executable { 0o755 } else { 0o644 };
    fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
}

async fn walk(seed: u64) {
    let steps = std::env::var("ZAKO_RANDOM_STEPS").map_or(STEPS, |steps| steps.parse().unwrap());
    let mut world = World::new(seed);
    for number in 0..steps {
        world.step(number).await;
        if number % CLEAN_EVERY == CLEAN_EVERY - 1 {
            world.check_clean().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one() {
    walk(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two() {
    walk(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three() {
    walk(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four() {
    walk(4).await;
}
