//! A target's scripts under a debugger: its package's evaluation, and its rule's analysis.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use zako_path::NeutralPath;
use zako_script::engine::Entry;
use zako_script::inspect::Sources;
use zako_script::{Debugger, Specifier};

use crate::diagnostic::{Diagnostic, with_texts};
use crate::evaluate::Services;
use crate::ledger::{Ledger, SharedLedger};
use crate::options::BuildOptions;
use crate::pattern::{Packages, Pattern};
use crate::select::select;
use crate::session::{Session, folder, state_of};
use crate::target::{KeptAnalyses, analyze};
use crate::workspace::BUILD_FILE;

impl Session {
    /// Evaluates the package of the one target that `target` names, then analyses it, each waiting for `debugger`, which
    /// the shared state was made with ([`GlobalStateOptions`](crate::GlobalStateOptions)). Nothing that is kept is used
    /// or written, so the scripts do run, and nothing is built. Gives what they logged.
    pub async fn inspect(
        &self,
        target: &str,
        debugger: &Debugger,
        options: &BuildOptions,
    ) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let from = folder(&options.package).map_err(|e| vec![e])?;
        let pattern = Pattern::parse(target, &from).map_err(|e| vec![Diagnostic::user(e)])?;
        let (Packages::One(package), false) = (&pattern.packages, pattern.exclude) else {
            let error = Diagnostic::user(format!("\"{target}\" is not one target"));
            return Err(vec![error.with_help("name one, as //app:server")]);
        };
        let services = self.services(options, &CancellationToken::new(), None);
        let root = self.root().to_owned();
        let sources: Sources = Arc::new(move |file| std::fs::read_to_string(root.join(file)).ok());
        let ledger = self.nothing_kept(&services);
        let turn = self.graph.begin(&services, &ledger, None).await;
        let build = package
            .join(BUILD_FILE)
            .map_err(|e| vec![Diagnostic::user(e.to_string())])?;
        debugger.choose(
            Entry::Exports(Specifier::File(build.clone())),
            format!("evaluation of {build}"),
            sources.clone(),
        );
        let selection = select(&turn, &services, &[target.to_owned()], &from).await;
        if !selection.faults.is_empty() {
            return Err(with_texts(self.root(), selection.faults));
        }
        for root in &selection.roots {
            let Some((declared, _)) = selection.targets.get(&root.label) else {
                continue;
            };
            if let Some(module) = user_module(&declared.rule.module) {
                let title = format!("analysis by {}", module.shown());
                debugger.choose(Entry::Analysis(vec![module]), title, sources.clone());
            }
        }
        let memo = KeptAnalyses(ledger.clone());
        let analysis = analyze(&turn, &services, &selection, &memo).await;
        if !analysis.faults.is_empty() {
            return Err(with_texts(self.root(), analysis.faults));
        }
        let logs = selection.logs.into_iter().chain(analysis.logs).collect();
        Ok(with_texts(self.root(), logs))
    }

    fn nothing_kept(&self, services: &Services) -> SharedLedger {
        let state = state_of(self.root());
        let function = self.global.store.function();
        SharedLedger::new(Ledger::empty(&state, function, &services.identity()))
    }
}

/// The module of a rule that a person wrote; zako's own are not theirs to debug.
fn user_module(module: &str) -> Option<Specifier> {
    let path = NeutralPath::new(module.strip_prefix("//")?).ok()?;
    Some(Specifier::File(path))
}
