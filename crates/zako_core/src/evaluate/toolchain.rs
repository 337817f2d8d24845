//! Toolchains: a `*.toolchain.ts` evaluated by itself, which asks the machine where its tools are.

use std::sync::Arc;

use zako_graph::{Ctx, GraphError, Key};
use zako_path::NeutralPath;
use zako_script::Specifier;
use zako_script::engine::Entry;

use super::leaf::Registered;
use super::package::{Start, run};
use super::{Faults, fault, graph_fault, services};
use crate::diagnostic::Diagnostic;

/// The builtin whose toolchains serve where the workspace registers none.
const DEFAULT_TOOLCHAINS: &str = "zako:toolchains";

/// The toolchains of one type that a module exports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Toolchains {
    /// The module: `//path` or a builtin.
    pub(crate) module: String,
    /// The type's id.
    pub(crate) wanted: String,
}

/// A toolchain, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// The export.
    pub(crate) name: String,
    /// What rules get, in the wire form; or what the machine lacks.
    pub(crate) found: Result<Arc<str>, String>,
}

impl Key for Toolchains {
    type Value = Result<Arc<Vec<Toolchain>>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).map_err(|e| fault(graph_fault(&e)))?.clone();
        let module = match self.module.strip_prefix("//") {
            Some(path) => Specifier::File(
                NeutralPath::new(path).map_err(|e| fault(Diagnostic::user(e.to_string())))?,
            ),
            None => Specifier::Builtin(self.module.clone()),
        };
        let start = Start {
            entry: Entry::Toolchain(module.clone(), self.wanted.clone()),
            module,
            package: None,
        };
        let ran = run(ctx, &services, &start).await?;
        Ok(Arc::new(ran.recorded.toolchains))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("the {} toolchains of {}", self.wanted, self.module)
    }
}

/// The toolchain that serves for a type of this id: the first that is registered, else zako's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ToolchainFor(pub(crate) Arc<str>);

impl Key for ToolchainFor {
    /// What rules get, in the wire form.
    type Value = Result<Arc<str>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let failed = |e: &GraphError| fault(graph_fault(e));
        let registered = ctx.get(&Registered).await.map_err(|e| failed(&e))?;
        let own = [DEFAULT_TOOLCHAINS.to_owned()];
        for module in registered.iter().chain(&own) {
            let key = Toolchains {
                module: module.clone(),
                wanted: self.0.to_string(),
            };
            let found = ctx.get(&key).await.map_err(|e| failed(&e))??;
            if let Some(toolchain) = found.first() {
                return toolchain.found.clone().map_err(|lacking| {
                    let message =
                        format!("the toolchain `{}` of {module}: {lacking}", toolchain.name);
                    fault(Diagnostic::environment(message))
                });
            }
        }
        let message = format!("no toolchain of type \"{}\" is registered", self.0);
        Err(fault(Diagnostic::user(message).with_help(
            "list the *.toolchain.ts file that gives one under `toolchains` in zako.toml",
        )))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("the toolchain for {}", self.0)
    }
}
