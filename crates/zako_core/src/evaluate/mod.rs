//! From files to declared targets: the nodes of the graph that read, transpile and evaluate.
//!
//! Every fact that an evaluation learned is a node below it, so in a later revision it is evaluated again only
//! when one of those facts is different.

mod attribute;
mod config;
mod confirm;
mod cycle;
mod glob;
mod host;
mod kept;
pub(crate) mod kinds;
mod leaf;
mod machine;
mod memory;
mod module;
mod package;
mod readers;
mod shelved;
mod toolchain;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zako_graph::{Ctx, GraphError};
use zako_interner::ThreadedInterner;
use zako_path::{InternedPath, NeutralPath};
use zako_script::{BUILTINS_IDENTITY, BuiltinRegistry, ModuleSet, ScriptEngine, Transpiler};

use crate::builtin::HostFunction;
use crate::codec::{CODEC_VERSION, encoded, fingerprint};
use crate::diagnostic::{Diagnostic, Fault};
use crate::event::BuildEvent;
use crate::execute::Shelf;
use crate::manifest::VERSION;
use crate::target::code_fingerprint;
use crate::workspace::Workspace;
use cycle::ImportCycle;

pub(crate) use attribute::{names_of_files, point_at};
pub(crate) use config::{ConfigFileValue, learn, scheme};
pub(crate) use confirm::confirm;
pub(crate) use cycle::told;
pub(crate) use host::{TargetDeclaration, label};
pub(crate) use kept::codecs;
pub(crate) use leaf::{FileThere, Listing, PackageList, PackageModule, path_of_leaf};
pub(crate) use machine::{Answer, Machine, Question};
pub(crate) use memory::evaluate_text;
pub(crate) use module::{add_builtins, closure, module_set};
pub(crate) use package::{Evaluate, Package, PackageValue};
pub(crate) use readers::SharedReaders;
pub(crate) use toolchain::{Need, Toolchain, ToolchainFor};
pub(crate) use witness::{Checker, Given};

/// What the nodes use besides one another.
pub(crate) struct Services {
    pub(crate) workspace: Arc<Workspace>,
    pub(crate) interner: Arc<ThreadedInterner>,
    pub(crate) engine: Arc<ScriptEngine>,
    pub(crate) transpiler: Arc<Transpiler>,
    pub(crate) builtins: Arc<BuiltinRegistry>,
    pub(crate) functions: Arc<BTreeMap<String, HostFunction>>,
    /// The invocation's options, those of the manifest below those of the command line.
    pub(crate) config: BTreeMap<String, String>,
    /// The machine, for toolchains.
    pub(crate) machine: Machine,
    /// What toolchains fetch.
    pub(crate) shelf: Arc<Shelf>,
    /// Those of the command line, a profile's among them.
    pub(crate) settings: BTreeMap<String, String>,
    /// Which packages read which options.
    pub(crate) readers: SharedReaders,
    /// The profile that was asked for.
    pub(crate) profile: Option<String>,
    pub(crate) cancel: CancellationToken,
    pub(crate) events: Option<mpsc::Sender<BuildEvent>>,
}

impl Services {
    pub(crate) fn intern(&self, path: &NeutralPath) -> Result<InternedPath, Diagnostic> {
        InternedPath::intern(&self.interner, path)
            .map_err(|e| Diagnostic::error(Fault::Environment, e.to_string()))
    }

    /// What the invocation gives to scripts.
    pub(crate) fn given(&self) -> Given<'_> {
        Given {
            config: &self.config,
            environment: &self.machine.environment,
        }
    }

    /// Whose scripts these are, see [`identity`].
    pub(crate) fn identity(&self) -> String {
        identity(&self.builtins, &self.functions)
    }

    pub(crate) async fn send(&self, event: BuildEvent) {
        if let Some(events) = &self.events {
            // Nobody listening is no reason to stop.
            let _ = events.send(event).await;
        }
    }
}

/// What of zako itself decides what scripts do, as text: its version, its codecs and builtins, and what the embedder
/// registered. What another one kept counts as foreign.
pub(crate) fn identity(
    builtins: &BuiltinRegistry,
    functions: &BTreeMap<String, HostFunction>,
) -> String {
    let mut registered = ModuleSet::default();
    for builtin in builtins.iter() {
        registered.insert(builtin.module.clone());
    }
    let functions: Vec<String> = functions.keys().cloned().collect();
    let embedder = encoded(&(hex::encode(code_fingerprint(&registered)), functions));
    // What the platform's options are by default.
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "zako {VERSION} on {os} {arch} codecs {CODEC_VERSION} builtins {BUILTINS_IDENTITY} embedder {}",
        hex::encode(fingerprint(&embedder))
    )
}

pub(crate) fn services(ctx: &Ctx) -> Result<&Arc<Services>, GraphError> {
    ctx.data::<Arc<Services>>()
}

/// The services, and the path that a node is about.
pub(crate) fn about(ctx: &Ctx, path: InternedPath) -> Result<(Arc<Services>, NeutralPath), Faults> {
    let services = services(ctx).map_err(|e| fault(graph_fault(&e)))?.clone();
    let path = path
        .resolve(&services.interner)
        .map_err(|e| fault(Diagnostic::environment(e.to_string())))?;
    Ok((services, path))
}

/// What a graph error is to a person.
pub(crate) fn graph_fault(error: &GraphError) -> Diagnostic {
    if let Some(cycle) = ImportCycle::of(error) {
        return cycle.message();
    }
    match error {
        GraphError::Cancelled => {
            Diagnostic::error(Fault::Interrupted, "the evaluation was cancelled")
        }
        other => Diagnostic::error(Fault::Bug, other.to_string()),
    }
}

/// Errors of an evaluation: one at least.
pub(crate) type Faults = Arc<Vec<Diagnostic>>;

pub(crate) fn fault(diagnostic: Diagnostic) -> Faults {
    Arc::new(vec![diagnostic])
}

#[cfg(test)]
mod tests;
