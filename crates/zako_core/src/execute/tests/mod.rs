//! Whole executions in temporary workspaces, with real processes, files and stores.
#![expect(clippy::unwrap_used, reason = "tests")]

mod caching;
mod depfiles;
mod failing;
mod scripts;
mod state;

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use zako_action::{ActionBody, OutputKind, OutputSpec};
use zako_cas::StoreOptions;
use zako_exec::Capacity;
use zako_path::NeutralPath;
use zako_script::ScriptEngineOptions;

use super::*;

static ENGINE: LazyLock<Arc<ScriptEngine>> =
    LazyLock::new(|| Arc::new(ScriptEngine::new(ScriptEngineOptions::default())));

use ActionStatus::{Cancelled, Failed, FromCache, Ran, Skipped, UpToDate};

/// A workspace and a cache.
struct World {
    _dir: tempfile::TempDir,
    root: PathBuf,
    cache: PathBuf,
    parts: ExecuteParts,
    keep_going: bool,
    isolation: Option<Isolation>,
}

/// What one execution came to.
struct Built {
    summary: ExecuteSummary,
    events: Vec<BuildEvent>,
}

impl Built {
    /// The only error.
    #[track_caller]
    fn error(&self) -> &Diagnostic {
        match &self.summary.diagnostics[..] {
            [only] => only,
            others => panic!("expected one diagnostic, not {others:#?}"),
        }
    }

    /// What is said, in its order.
    fn messages(&self) -> Vec<&str> {
        let diagnostics = self.summary.diagnostics.iter();
        diagnostics.map(|d| d.message.as_str()).collect()
    }

    fn output(&self, at: usize) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            BuildEvent::ActionFinished { action, output, .. } if action.id as usize == at => {
                output.as_deref()
            }
            _ => None,
        })
    }
}

fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

/// An action that runs a shell script; an output that ends in `/` is a directory.
fn sh(script: &str, inputs: &[&str], outputs: &[&str]) -> ActionSpec {
    let owner = format!(
        "//t:{}",
        outputs.first().unwrap_or(&"none").replace('/', "_")
    );
    let mut spec = ActionSpec::new(
        owner,
        "make",
        ActionBody::Shell {
            script: script.to_owned(),
        },
    );
    spec.inputs = inputs.iter().map(|input| path(input)).collect();
    spec.outputs = outputs
        .iter()
        .map(|output| match output.strip_suffix('/') {
            Some(folder) => OutputSpec {
                path: path(folder),
                kind: OutputKind::Directory,
                name: None,
            },
            None => OutputSpec::file(path(output)),
        })
        .collect();
    spec
}

/// Copies its inputs into its output.
fn cat(inputs: &[&str], output: &str) -> ActionSpec {
    sh("cat $in > $out", inputs, &[output])
}

/// With that many thousandths of a processor.
fn machinery(cache: &Path, cpu_millis: u64) -> Arc<Machinery> {
    let capacity = Capacity {
        cpu_millis,
        ..Capacity::of_this_machine()
    };
    let admitting = Admitting::new(capacity);
    Arc::new(Machinery::new(admitting, &cache.join("state"), None))
}

/// What a process that begins has.
fn parts(cache: &Path) -> ExecuteParts {
    let store = Store::open(StoreOptions::new(cache.join("cas"))).unwrap();
    ExecuteParts {
        cache: ActionCache::open(&cache.join("actions"), store.function())
            .unwrap()
            .with_store(store.clone()),
        store,
        machinery: machinery(cache, 4000),
        policy: Arc::default(),
        stuck_after: super::health::STUCK_AFTER,
        engine: ENGINE.clone(),
        script_limits: Limits::default(),
        layer: None,
        fetching: crate::fetch::FetchRules::default(),
        named_at: Arc::new(|_, _, _| None),
    }
}

impl World {
    /// Goes on in another process.
    fn restart(&mut self) {
        self.parts = parts(&self.cache);
    }

    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (root, cache) = (base.join("ws"), base.join("cache"));
        fs::create_dir(&root).unwrap();
        let parts = parts(&cache);
        let world = World {
            _dir: dir,
            root,
            cache,
            parts,
            keep_going: false,
            isolation: None,
        };
        for (name, text) in files {
            world.write(name, text);
        }
        world
    }

    fn place(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let place = self.place(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.place(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    async fn execute(&self, actions: Vec<PlannedAction>, cancel: &CancellationToken) -> Built {
        let (send, mut events) = mpsc::channel(64);
        let state = self.place(".zako/state");
        let (ledger, _) = Ledger::open(&state, self.parts.store.function(), "tests").unwrap();
        let ledger = SharedLedger::new(ledger);
        let execution = Execution {
            actions,
            growing: None,
            keep_going: self.keep_going,
            isolation: self.isolation,
            weaker_told: Default::default(),
            dry_run: false,
            urgency: Urgency::Normal,
            ledger: ledger.clone(),
            events: send,
            cancel: cancel.clone(),
        };
        let dirs = WorkspaceDirs {
            root: self.root.as_path().into(),
        };
        let listen = async {
            let mut heard = Vec::new();
            while let Some(event) = events.recv().await {
                heard.push(event);
            }
            heard
        };
        let (summary, events) = tokio::join!(execute(&self.parts, &dirs, execution), listen);
        if let Some(mut ledger) = ledger.into_inner() {
            ledger.tidy().unwrap();
        }
        Built { summary, events }
    }

    async fn build(&self, actions: &[ActionSpec]) -> Built {
        let planned = actions
            .iter()
            .map(|spec| PlannedAction::new(spec.clone()))
            .collect();
        self.execute(planned, &CancellationToken::new()).await
    }

    /// Builds, and compares how the actions ended.
    #[track_caller]
    fn check(
        &self,
        actions: &[ActionSpec],
        expected: &[ActionStatus],
    ) -> impl Future<Output = Built> {
        let caller = std::panic::Location::caller();
        let actions = actions.to_vec();
        async move {
            let built = self.build(&actions).await;
            let (statuses, errors) = (&built.summary.statuses, &built.summary.diagnostics);
            assert_eq!(statuses, expected, "at {caller}: {errors:#?}");
            built
        }
    }
}
