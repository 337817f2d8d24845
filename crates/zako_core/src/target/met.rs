//! The rules and toolchains that an analysis met: what each is, found out once.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use zako_graph::Request;

use super::analysis::Analysis;
use super::located;
use super::memo::AnalysisKey;
use super::order::Order;
use super::rules::rule_identity;
use crate::codec::{Fingerprint, fingerprint};
use crate::configuration::Configurations;
use crate::evaluate::{Services, ToolchainFor, graph_fault};

/// A toolchain's type, and the name of the configuration that it serves.
type Served<'a> = (&'a str, Option<Arc<str>>);

/// The rules and toolchains that were met.
pub(super) struct Met<'a> {
    /// All of the build.
    pub(super) configurations: &'a Configurations,
    /// Rule modules; `None` for one that is wrong.
    modules: HashMap<&'a str, Option<Fingerprint>>,
    /// Toolchains by their types and the configurations that they serve, in the wire form; `None` for one that there is none of.
    toolchains: HashMap<Served<'a>, Option<Arc<str>>>,
    /// The own parts of targets' keys.
    own: HashMap<usize, Fingerprint>,
}

impl<'a> Met<'a> {
    /// None yet, in a build with these configurations.
    pub(super) fn new(configurations: &'a Configurations) -> Met<'a> {
        Met {
            configurations,
            modules: HashMap::new(),
            toolchains: HashMap::new(),
            own: HashMap::new(),
        }
    }

    /// The own part of the target's key; `None` when its rule module is wrong or a toolchain is missing, which is told once.
    pub(super) async fn own(
        &mut self,
        ctx: &Request,
        services: &Services,
        order: &Order<'a>,
        at: usize,
        analysis: &mut Analysis,
    ) -> Option<Fingerprint> {
        if let Some(own) = self.own.get(&at) {
            return Some(*own);
        }
        let (target, location) = order.declared(at);
        let module = target.rule.module.as_str();
        let rule = match self.modules.get(module) {
            Some(known) => *known,
            None => {
                let found = rule_identity(ctx, services, module).await;
                let found = found.map_err(|faults| analysis.faults.extend(faults.iter().cloned()));
                self.modules.insert(module, found.ok());
                found.ok()
            }
        };
        let configuration = self.configurations.of(&target.label);
        let mut tools = Vec::with_capacity(target.toolchains.len());
        for (_, wanted) in &target.toolchains {
            let key = (wanted.as_str(), target.label.configuration.clone());
            if !self.toolchains.contains_key(&key) {
                let values = configuration.map(|one| one.values().clone());
                let toolchain = ToolchainFor {
                    wanted: wanted.as_str().into(),
                    values: Arc::new(values.unwrap_or_default()),
                };
                let found = match ctx.get(&toolchain).await {
                    Ok(found) => found,
                    Err(e) => Err(Arc::new(vec![graph_fault(&e)])),
                };
                let found = found.map_err(|faults| {
                    let told = faults.iter().cloned();
                    let told = told.map(|fault| located(fault, target, location.as_ref()));
                    analysis.faults.extend(told);
                });
                self.toolchains.insert(key.clone(), found.ok());
            }
            tools.push(self.toolchains.get(&key)?.as_ref()?.clone());
        }
        let configuration = configuration.map(|one| *one.fingerprint());
        let mut own = AnalysisKey::own(&rule?, &configuration.unwrap_or_default(), target);
        for tool in tools {
            own = fingerprint(&[own, fingerprint(tool.as_bytes())].concat());
        }
        self.own.insert(at, own);
        Some(own)
    }

    /// The same, as far as it is known.
    pub(super) fn known(&self, at: usize) -> Option<Fingerprint> {
        self.own.get(&at).copied()
    }

    /// The toolchains that serve in the configuration of that name, by their types, as realms know them.
    pub(super) fn toolchains(&self, configuration: Option<&str>) -> Json {
        let mut found: Vec<(&str, Json)> = self
            .toolchains
            .iter()
            .filter(|((_, name), _)| name.as_deref() == configuration)
            .filter_map(|((wanted, _), wire)| {
                let wire = serde_json::from_str(wire.as_ref()?).ok()?;
                Some((*wanted, wire))
            })
            .collect();
        found.sort_unstable_by_key(|(wanted, _)| *wanted);
        let found = found
            .into_iter()
            .map(|(wanted, wire)| (wanted.to_owned(), wire));
        Json::Object(found.collect::<Map<_, _>>())
    }
}
