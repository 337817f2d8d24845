//! A workspace in a folder of its own, and what builds of it did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use zako_core::{
    ActionStatus, BuildEvent, BuildOptions, BuildReport, Diagnostic, GlobalState,
    GlobalStateOptions, Session,
};

pub(crate) struct Fixture {
    temp: TempDir,
    pub(crate) session: Session,
    global: Arc<GlobalState>,
}

/// What a build did.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) events: Vec<BuildEvent>,
    pub(crate) report: BuildReport,
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Fixture {
    pub(crate) fn new(files: &[(&str, &str)]) -> Fixture {
        Fixture::with(files, |_| {})
    }

    /// The same, with a global state of one's own making.
    pub(crate) fn with(
        files: &[(&str, &str)],
        change: impl FnOnce(&mut GlobalStateOptions),
    ) -> Fixture {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("workspace");
        write(&root.join("zako.toml"), "zako = \"0.1\"\n");
        for (path, text) in files {
            write(&root.join(path), text);
        }
        let mut options = GlobalStateOptions::new(temp.path().join("cache"));
        change(&mut options);
        let global = GlobalState::new(options).unwrap();
        let session = Session::open(global.clone(), &root).unwrap();
        Fixture {
            temp,
            session,
            global,
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.temp.path().join("workspace")
    }

    /// A session of the same workspace as a new process would open it, but for V8 and the store.
    pub(crate) fn reopened(&self) -> Session {
        Session::open(self.global.clone(), &self.root()).unwrap()
    }

    pub(crate) fn temp(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        write(&self.root().join(path), text);
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.root().join(path)).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.root().join(path).symlink_metadata().is_ok()
    }

    pub(crate) async fn build(&self, patterns: &[&str]) -> Built {
        self.build_with(patterns, BuildOptions::default()).await
    }

    pub(crate) async fn keep_going(&self, patterns: &[&str]) -> Built {
        let options = BuildOptions {
            keep_going: true,
            ..BuildOptions::default()
        };
        self.build_with(patterns, options).await
    }

    pub(crate) async fn build_with(&self, patterns: &[&str], options: BuildOptions) -> Built {
        run(&self.session, patterns, options).await
    }

    /// The labels that `patterns` name, or the errors.
    pub(crate) async fn targets(&self, patterns: &[&str]) -> Result<Vec<String>, Vec<Diagnostic>> {
        self.targets_from("", patterns).await
    }

    pub(crate) async fn targets_from(
        &self,
        package: &str,
        patterns: &[&str],
    ) -> Result<Vec<String>, Vec<Diagnostic>> {
        let options = BuildOptions {
            package: package.to_owned(),
            ..BuildOptions::default()
        };
        let infos = self.session.targets(&strings(patterns), &options).await?;
        Ok(infos.into_iter().map(|info| info.label).collect())
    }

    /// Builds everything, and checks what was evaluated and what became of its actions, as [`Built::lines`] has it.
    pub(crate) async fn check(&self, expected: &[&str]) {
        assert_eq!(self.build(&[]).await.lines(), expected);
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) async fn run(session: &Session, patterns: &[&str], options: BuildOptions) -> Built {
    let mut build = session.build(&strings(patterns), options);
    let mut events = Vec::new();
    while let Some(event) = build.next_event().await {
        events.push(event);
    }
    Built {
        events,
        report: build.report().await,
    }
}

impl Built {
    /// `eval //PACKAGE` in order of path, then `STATUS OWNER` of every action that was not up to date, then errors.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut evaluated: Vec<String> = self
            .evaluated()
            .into_iter()
            .map(|package| format!("eval //{package}"))
            .collect();
        let mut actions: Vec<String> = Vec::new();
        for event in &self.events {
            if let BuildEvent::ActionFinished { action, status, .. } = event
                && *status != ActionStatus::UpToDate
            {
                actions.push(format!("{status:?} {}", action.owner));
            }
        }
        actions.sort();
        evaluated.extend(actions);
        evaluated.extend(self.errors().iter().map(|error| format!("error {error}")));
        evaluated
    }

    /// The packages that were evaluated, sorted.
    pub(crate) fn evaluated(&self) -> Vec<String> {
        let mut packages: Vec<String> = self
            .events
            .iter()
            .filter_map(|event| match event {
                BuildEvent::PackageEvaluated { package, .. } => Some(package.clone()),
                _ => None,
            })
            .collect();
        packages.sort();
        packages
    }

    pub(crate) fn errors(&self) -> Vec<&Diagnostic> {
        let all = self.report.diagnostics.iter();
        all.filter(|d| d.severity == zako_core::Severity::Error)
            .collect()
    }

    /// The only error.
    pub(crate) fn error(&self) -> &Diagnostic {
        let errors = self.errors();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors[0]
    }

    #[track_caller]
    pub(crate) fn good(self) -> Built {
        assert!(
            self.report.fault().is_none(),
            "{:#?}",
            self.report.diagnostics
        );
        self
    }

    /// Whether each target is built, by label.
    pub(crate) fn targets(&self) -> BTreeMap<&str, bool> {
        let targets = self.report.targets.iter();
        targets.map(|t| (t.label.as_str(), t.built)).collect()
    }
}

/// A diagnostic as text: place, message, trace, help.
pub(crate) fn told(error: &Diagnostic) -> String {
    let mut text = error.to_string();
    for line in &error.trace {
        text.push_str(&format!("\n  {line}"));
    }
    if let Some(help) = &error.help {
        text.push_str(&format!("\n  help: {help}"));
    }
    text
}
