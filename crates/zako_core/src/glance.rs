//! A look at a workspace before anything else is set up: the null build needs no more than this.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use zako_cas::DigestFunction;
use zako_script::BuiltinRegistry;

use crate::diagnostic::Diagnostic;
use crate::evaluate::{Given, identity};
use crate::execute::lock::WorkspaceLock;
use crate::ledger::request;
use crate::options::BuildOptions;
use crate::recall::{Question, Recalled, recall};
use crate::report::BuildReport;
use crate::workspace::Workspace;

/// What one look at a workspace said about a build: whether there is anything to do, and if so, what to begin with.
///
/// It starts no script, no thread that outlives it and no runtime, opens no store and writes nothing, unless files were touched
/// whose contents are as before. While it exists, nobody else builds in the workspace.
pub struct Glance {
    pub(crate) seen: Option<Seen>,
    started: Instant,
}

/// What a look saw, and for which build.
pub(crate) struct Seen {
    pub(crate) lock: WorkspaceLock,
    pub(crate) recalled: Recalled,
    pub(crate) notice: Option<Diagnostic>,
    pub(crate) key: Vec<u8>,
    pub(crate) identity: String,
}

impl Glance {
    /// Looks at the workspace around the folder `start`, for a build of `patterns`. `options` gives how it would be built,
    /// when it is told the workspace's root.
    ///
    /// It sees nothing when another zako builds there now: then the build waits, and looks itself.
    pub fn new(
        start: &Path,
        patterns: &[String],
        options: impl FnOnce(&Path) -> Result<BuildOptions, Diagnostic>,
    ) -> Result<Glance, Diagnostic> {
        let started = Instant::now();
        let workspace = Arc::new(Workspace::find(start)?);
        let root = workspace.root();
        let options = workspace.manifest().with_profile(options(root)?)?;
        let Some(lock) = WorkspaceLock::try_acquire(root).ok().flatten() else {
            return Ok(Glance {
                seen: None,
                started,
            });
        };
        let key = request::key(root, patterns, &options);
        let mut config = workspace.manifest().config.clone();
        config.extend(options.config.clone());
        // Of a zako to which nobody added anything: what an embedder's build left is not understood, and left alone.
        let identity = identity(&BuiltinRegistry::default(), &BTreeMap::new());
        let (recalled, notice) = recall(Question {
            workspace: &workspace,
            key: &key,
            given: Given {
                config: &config,
                environment: &options.environment,
            },
            function: DigestFunction::Blake3,
            identity: &identity,
            kept: None,
        })?;
        let seen = Seen {
            lock,
            recalled,
            notice,
            key,
            identity,
        };
        Ok(Glance {
            seen: Some(seen),
            started,
        })
    }

    /// The build's report, when there is nothing to do and nothing to say.
    pub fn up_to_date(&mut self) -> Option<BuildReport> {
        let seen = self.seen.take_if(|seen| {
            // What there is to say is said by a build.
            let Recalled::UpToDate { warnings, .. } = &seen.recalled else {
                return false;
            };
            warnings.is_empty() && seen.notice.is_none()
        })?;
        let Recalled::UpToDate {
            targets, actions, ..
        } = seen.recalled
        else {
            return None;
        };
        let mut report = BuildReport::default();
        report.actions.up_to_date = actions;
        report.targets = targets
            .into_iter()
            .map(|target| target.built(true))
            .collect();
        report.wall = self.started.elapsed();
        Some(report)
    }
}
