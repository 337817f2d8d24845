//! Targets in their configurations, as a selection walks over them: options that a target names are learned from the files
//! that export them.

use std::collections::HashMap;
use std::sync::Arc;

use zako_graph::Request;
use zako_script::TargetRef;

use crate::configuration::{Configuration, Scheme, Unknown};
use crate::diagnostic::{Diagnostic, Location};
use crate::evaluate::{Faults, Services, learn};
use crate::label::{self, Label};
use crate::select::Root;
use crate::target::{Target, Unconfigured, configure, refer};

/// What makes configured targets of declared ones.
pub(crate) struct Configured<'a> {
    request: &'a Request,
    services: &'a Services,
    scheme: &'a mut Scheme,
    known: HashMap<Option<Arc<str>>, Configuration>,
}

impl<'a> Configured<'a> {
    pub(crate) fn new(
        request: &'a Request,
        services: &'a Services,
        scheme: &'a mut Scheme,
    ) -> Configured<'a> {
        let all = [scheme.base(), scheme.invocation()];
        let known = all.map(|one| (one.name().cloned(), one));
        Configured {
            request,
            services,
            scheme,
            known: known.into(),
        }
    }

    /// The root in the configuration that the invocation asks for.
    pub(crate) fn root(&mut self, root: Root) -> Root {
        let configuration = self.scheme.invocation();
        Root {
            label: label::configured(&root.label, configuration.name()),
            ..root
        }
    }

    /// The target, which is called `label`.
    pub(crate) async fn target(
        &mut self,
        target: &Arc<Target>,
        label: &Label,
    ) -> Result<Arc<Target>, Vec<Diagnostic>> {
        loop {
            let configuration = self.of(label);
            match configure(target, &configuration, self.scheme) {
                Ok(target) => return Ok(target),
                Err(Unconfigured::Unknown(unknown)) => {
                    let learned = self.learn(&unknown).await;
                    learned.map_err(|faults| told(&faults, label, target.place.as_ref()))?;
                }
                Err(Unconfigured::Wrong(message)) => {
                    let faults = [Diagnostic::user(message)];
                    return Err(told(&faults, label, target.place.as_ref()));
                }
            }
        }
    }

    /// What the alias `label`, which stands for `real`, means: the label of a configured target.
    pub(crate) async fn reference(
        &mut self,
        real: &TargetRef,
        label: &Label,
    ) -> Result<String, Vec<Diagnostic>> {
        loop {
            let configuration = self.of(label);
            match refer(real, &configuration, self.scheme) {
                Ok(TargetRef::Label(text)) => return Ok(text),
                Ok(other) => {
                    let message = format!("{label} stands for {other:?}, which has no label");
                    return Err(vec![Diagnostic::user(message)]);
                }
                Err(unknown) => {
                    let learned = self.learn(&unknown).await;
                    learned.map_err(|faults| told(&faults, label, None))?;
                }
            }
        }
    }

    /// The configuration that is in a label.
    fn of(&mut self, label: &Label) -> Configuration {
        if let Some(known) = self.known.get(&label.configuration) {
            return known.clone();
        }
        // One that a reference made since.
        for made in self.scheme.made() {
            self.known.insert(made.name().cloned(), made.clone());
        }
        let base = || self.scheme.base();
        let found = self.known.get(&label.configuration).cloned();
        found.unwrap_or_else(base)
    }

    async fn learn(&mut self, unknown: &Unknown) -> Result<(), Faults> {
        learn(self.request, self.services, self.scheme, unknown).await
    }
}

/// Errors of the target `label`, which is declared at `place`.
fn told(
    faults: &[Diagnostic],
    label: &Label,
    place: Option<&zako_script::Place>,
) -> Vec<Diagnostic> {
    let tell = |fault: &Diagnostic| {
        let mut fault = fault.clone();
        if fault.location.is_none() {
            fault.location = place.map(|place| Location::new(place, None));
        }
        fault.with_trace(format!("in {label}"))
    };
    faults.iter().map(tell).collect()
}
