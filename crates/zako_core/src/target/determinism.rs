//! The check that what a rule makes of a target does not depend on which other targets are analysed in the same realm.

use std::sync::Arc;

use zako_graph::Request;

use super::analysis::{Analysis, Analyzed, analyze};
use super::group::analyze_group;
use super::located;
use super::memo::{AnalysisKey, AnalysisMemo};
use super::met::Met;
use super::order::Order;
use crate::codec::Fingerprint;
use crate::diagnostic::Diagnostic;
use crate::evaluate::Services;
use crate::select::Selection;

/// Remembers what comes, and knows nothing of before.
struct Forgetful<'a>(&'a dyn AnalysisMemo);

impl AnalysisMemo for Forgetful<'_> {
    fn get(&self, _: &str, _: &AnalysisKey) -> Option<Arc<Analyzed>> {
        None
    }

    fn expects(&self, _: &str, _: &Fingerprint) -> bool {
        false
    }

    fn put(&self, label: &str, key: &AnalysisKey, analyzed: &Arc<Analyzed>) {
        self.0.put(label, key, analyzed);
    }
}

/// Analyses all targets of `selection`, and then each one of a rule by itself; one that comes out as another is a fault.
pub(crate) async fn analyze_twice(
    ctx: &Request,
    services: &Arc<Services>,
    selection: &Selection,
    memo: &dyn AnalysisMemo,
) -> Analysis {
    let mut analysis = analyze(ctx, services, selection, &Forgetful(memo)).await;
    let order = Order::new(&selection.targets);
    let mut met = Met::new(&selection.configurations);
    let mut faults = Vec::new();
    // What is wrong with modules and toolchains was told.
    let mut scratch = Analysis::default();
    for at in 0..selection.targets.len() {
        let (label, declared) = (order.label(at), order.declared(at));
        let (target, location) = declared;
        let Some(first) = analysis.results.get(label) else {
            continue;
        };
        if target.rule.is_task()
            || met
                .own(ctx, services, &order, at, &mut scratch)
                .await
                .is_none()
        {
            continue;
        }
        let module = target.rule.module.as_str();
        let group = [(label, declared)];
        let again = analyze_group(ctx, services, module, &group, &met, &analysis).await;
        let again = again.ok().and_then(|done| done.results.get(label).cloned());
        if again.as_ref() == Some(first) {
            continue;
        }
        let how = match again {
            Some(_) => "comes to something else when it is analysed by itself",
            None => "fails when it is analysed by itself",
        };
        let message = format!(
            "{label} {how}: what {} makes of it depends on other targets",
            target.rule
        );
        let error = Diagnostic::user(message).with_help(
            "analyze must depend on ctx alone: look for a variable that only a function of its module sees",
        );
        faults.push(located(error, target, location.as_ref()));
    }
    analysis.faults.extend(faults);
    analysis
}
