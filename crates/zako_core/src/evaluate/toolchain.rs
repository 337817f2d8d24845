//! Toolchains: a `*.toolchain.ts` evaluated by itself, which asks the machine where its tools are.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;
use zako_graph::{Ctx, GraphError, Key};
use zako_path::NeutralPath;
use zako_script::Specifier;
use zako_script::engine::Entry;

use super::config::{ConfigFile, config_files, is_toolchain};
use super::leaf::{Listing, Registered};
use super::package::{Start, run};
use super::shelved::Shelved;
use super::{Faults, fault, graph_fault, services};
use crate::configuration::Values;
use crate::diagnostic::Diagnostic;

/// The builtin whose toolchains serve where the workspace registers none.
const DEFAULT_TOOLCHAINS: &str = "zako:toolchains";

/// How often a module's toolchains may name something more to fetch once they know what they have.
const MAX_FETCH_ROUNDS: usize = 16;

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
    /// What must hold for it to serve: all of it.
    pub(crate) target: Vec<Need>,
    /// What rules get, in the wire form; or what the machine lacks.
    pub(crate) found: Result<Arc<str>, String>,
}

/// A value that an option must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// Where the option is exported.
    pub(crate) option: String,
    pub(crate) value: String,
    /// Whether the option has it when nothing sets it.
    pub(crate) is_default: bool,
}

impl Need {
    /// What `settingNeeds` of `internal/option.ts` makes.
    pub(super) fn of(json: &Json) -> Need {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        Need {
            option: text("option"),
            value: text("value"),
            is_default: json["standard"] == true,
        }
    }

    /// Whether it has it in a configuration with these values, among which defaults may be missing.
    fn holds(&self, values: &Values) -> bool {
        let value = values.get(&self.option);
        value.map_or(self.is_default, |value| *value == self.value)
    }
}

impl Toolchain {
    fn serves(&self, values: &Values) -> bool {
        self.target.iter().all(|need| need.holds(values))
    }
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
        for _ in 0..MAX_FETCH_ROUNDS {
            let ran = run(ctx, &services, &start).await?;
            if ran.recorded.awaited.is_empty() {
                return Ok(Arc::new(ran.recorded.toolchains));
            }
            for fetch in ran.recorded.awaited {
                let answer = ctx.get(&Shelved(fetch)).await;
                answer.map_err(|e| fault(graph_fault(&e)))?.ok();
                if services.cancel.is_cancelled() {
                    return Err(fault(graph_fault(&GraphError::Cancelled)));
                }
            }
        }
        Err(fault(Diagnostic::user(format!(
            "the toolchains of {} fetch one thing after another, more than {MAX_FETCH_ROUNDS} times",
            self.module
        ))))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("the {} toolchains of {}", self.wanted, self.module)
    }
}

/// The modules that are registered for their toolchains, the first first: those whose handles configuration files export, then
/// those that the manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Registrations;

impl Key for Registrations {
    type Value = Result<Arc<Vec<String>>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let failed = |e: &GraphError| fault(graph_fault(e));
        let services = services(ctx).map_err(|e| failed(&e))?;
        let root = Listing(services.intern(&NeutralPath::root()).map_err(fault)?);
        let root = ctx.get(&root).await.map_err(|e| failed(&e))?;
        let root = root.map_err(|e| fault(Diagnostic::environment(e)))?;
        let manifest = ctx.get(&Registered).await.map_err(|e| failed(&e))?;
        let named = manifest.iter().filter_map(|file| file.strip_prefix("//"));
        let mut modules = Vec::new();
        for file in config_files(&root, named) {
            let key = ConfigFile(services.intern(&file).map_err(fault)?);
            let declared = ctx.get(&key).await.map_err(|e| failed(&e))??;
            modules.extend(declared.toolchains.iter().cloned());
        }
        modules.extend(manifest.iter().filter(|file| is_toolchain(file)).cloned());
        Ok(Arc::new(modules))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        "the registered toolchains".to_owned()
    }
}

/// The toolchain that serves for a type in a configuration: of those whose settings hold there, the first that is registered,
/// else zako's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ToolchainFor {
    /// The type's id.
    pub(crate) wanted: Arc<str>,
    /// The configuration's values.
    pub(crate) values: Arc<Values>,
}

impl Key for ToolchainFor {
    /// What rules get, in the wire form.
    type Value = Result<Arc<str>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let failed = |e: &GraphError| fault(graph_fault(e));
        let registered = ctx.get(&Registrations).await.map_err(|e| failed(&e))??;
        let own = [DEFAULT_TOOLCHAINS.to_owned()];
        let mut others = Vec::new();
        for module in registered.iter().chain(&own) {
            let key = Toolchains {
                module: module.clone(),
                wanted: self.wanted.to_string(),
            };
            let found = ctx.get(&key).await.map_err(|e| failed(&e))??;
            let is_it = |toolchain: &&Toolchain| toolchain.serves(&self.values);
            if let Some(toolchain) = found.iter().find(is_it) {
                return toolchain.found.clone().map_err(|lacking| {
                    let message =
                        format!("the toolchain `{}` of {module}: {lacking}", toolchain.name);
                    fault(Diagnostic::environment(message))
                });
            }
            others.extend(found.iter().map(|other| (module.clone(), other.clone())));
        }
        Err(fault(self.none(&others)))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("the toolchain for {}", self.wanted)
    }
}

impl ToolchainFor {
    /// None serves; `others` are those of the type, with their modules.
    fn none(&self, others: &[(String, Toolchain)]) -> Diagnostic {
        let wanted = &self.wanted;
        if others.is_empty() {
            let message = format!("no toolchain of type \"{wanted}\" is registered");
            return Diagnostic::user(message).with_help(
                "list the *.toolchain.ts file that gives one under `toolchains` in zako.toml, or export its handle from a *.config.ts file",
            );
        }
        let needs = || others.iter().flat_map(|(_, other)| &other.target);
        // An option that has its default is not among the values.
        let value = |option: &str| {
            let default = || needs().find(|need| need.option == option && need.is_default);
            let value = self.values.get(option).map(String::as_str);
            value.or_else(|| default().map(|need| need.value.as_str()))
        };
        let options: BTreeSet<&str> = needs().map(|need| need.option.as_str()).collect();
        let here = options.iter().filter_map(|option| {
            let value = value(option)?;
            Some(format!("{}={value}", shown(option)))
        });
        let here: Vec<String> = here.collect();
        let here = match here.is_empty() {
            true => "this configuration".to_owned(),
            false => here.join(", "),
        };
        let others = others.iter().map(|(module, other)| {
            let target = other.target.iter();
            let target = target.map(|need| format!("{}={}", shown(&need.option), need.value));
            let target: Vec<String> = target.collect();
            format!("`{}` of {module} serves {}", other.name, target.join(", "))
        });
        let others: Vec<String> = others.collect();
        Diagnostic::user(format!("no toolchain of type \"{wanted}\" serves {here}")).with_help(
            format!(
                "{}; register one that serves here, or build for what they serve",
                others.join("; ")
            ),
        )
    }
}

/// What people call an option that is exported there.
fn shown(option: &str) -> &str {
    option.rsplit_once('#').map_or(option, |(_, name)| name)
}
