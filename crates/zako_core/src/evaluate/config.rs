//! `*.config.ts` files: evaluated for the options and platforms that they export.

use std::collections::BTreeSet;
use std::sync::Arc;

use zako_graph::{Ctx, Key, Request};
use zako_path::{InternedPath, NeutralPath};
use zako_script::value::{OptionDeclaration, Setting};
use zako_script::{ModuleKind, Value};

use super::leaf::Listing;
use super::package::{Start, run};
use super::{Faults, Services, about, fault, graph_fault};
use crate::configuration::{Declared, Scheme, Unknown};
use crate::diagnostic::Diagnostic;
use crate::workspace::{Entry, EntryKind};

/// A configuration file, by its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ConfigFile(pub(crate) InternedPath);

/// What a configuration file declares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfigFileValue {
    /// The options that it exports, its own and others', by the names of the exports.
    pub(crate) options: Vec<OptionDeclaration>,
    /// The platforms that it exports, by the names of the exports.
    pub(crate) platforms: Vec<(String, Vec<Setting>)>,
    /// The toolchain files whose handles it exports, as `//build/go.toolchain.ts`.
    pub(crate) toolchains: Vec<String>,
    /// What it logged.
    pub(crate) logs: Vec<Diagnostic>,
}

impl Key for ConfigFile {
    type Value = Result<Arc<ConfigFileValue>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let (services, file) = about(ctx, self.0)?;
        let ran = run(ctx, &services, &Start::exports(&file, None)).await?;
        let mut value = ConfigFileValue {
            options: Vec::new(),
            platforms: Vec::new(),
            toolchains: Vec::new(),
            logs: ran.recorded.logs,
        };
        for (name, exported) in ran.exports {
            match exported {
                Value::Option(declaration) => value.options.push(*declaration),
                Value::Setting(settings) => value.platforms.push((name, settings)),
                Value::Script(module) if is_toolchain(&module) => value.toolchains.push(module),
                _ => {}
            }
        }
        Ok(Arc::new(value))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// Whether the handle is of a toolchain file, and not of the body of a script action.
pub(super) fn is_toolchain(module: &str) -> bool {
    let path = module.strip_prefix("//");
    let path = path.and_then(|path| NeutralPath::new(path).ok());
    path.is_some_and(|path| ModuleKind::of(&path) == Some(ModuleKind::Toolchain))
}

/// The configuration files of a workspace, sorted: those at its root, and those that its manifest names.
pub(super) fn config_files<'a>(
    root: &'a [Entry],
    named: impl Iterator<Item = &'a str>,
) -> BTreeSet<NeutralPath> {
    let is_file = |entry: &&Entry| entry.kind == EntryKind::File;
    let there = root.iter().filter(is_file).map(|entry| &*entry.name);
    let is_config = |path: &NeutralPath| ModuleKind::of(path) == Some(ModuleKind::Config);
    let paths = there.chain(named);
    let paths = paths.filter_map(|path| NeutralPath::new(path).ok());
    paths.filter(is_config).collect()
}

/// What the command line can set: the options and platforms of the configuration files at the workspace's root and of those
/// that its manifest names; and what is wrong with them, or with what the invocation says. The logs are theirs.
pub(crate) async fn scheme(
    ctx: &Request,
    services: &Services,
) -> (Scheme, Vec<Diagnostic>, Vec<Diagnostic>) {
    let (mut faults, mut logs) = (Vec::new(), Vec::new());
    let mut declared = Declared::default();
    let root = root_entries(ctx, services).await;
    let root = root.unwrap_or_else(|error| {
        faults.push(error);
        Arc::default()
    });
    let folders = root.iter().filter(|entry| entry.kind == EntryKind::Folder);
    let scoped = folders.filter_map(|entry| entry.name.strip_prefix('@'));
    declared.taken = scoped.map(str::to_owned).collect();
    let manifest = services.workspace.manifest();
    let named = manifest.config_files.iter().map(NeutralPath::as_str);
    let files = config_files(&root, named);
    let loads = files.iter().map(|file| load(ctx, services, file));
    for loaded in futures::future::join_all(loads).await {
        match loaded {
            Ok(value) => {
                declared.options.extend(value.options.iter().cloned());
                declared.platforms.extend(value.platforms.iter().cloned());
                logs.extend(value.logs.iter().cloned());
            }
            Err(found) => faults.extend(found.iter().cloned()),
        }
    }
    let (settings, profile) = (&services.settings, services.profile.as_deref());
    let (mut scheme, wrong) = Scheme::new(declared, manifest, settings, profile);
    logs.append(&mut scheme.warnings);
    // What a file that is wrong declares nobody knows: whatever the invocation says may be right.
    if faults.is_empty() {
        faults.extend(wrong);
    }
    (scheme, faults, logs)
}

async fn root_entries(ctx: &Request, services: &Services) -> Result<Arc<Vec<Entry>>, Diagnostic> {
    let listing = Listing(services.intern(&NeutralPath::root())?);
    let entries = ctx.get(&listing).await.map_err(|e| graph_fault(&e))?;
    entries.map_err(Diagnostic::environment)
}

async fn load(
    ctx: &Request,
    services: &Services,
    file: &NeutralPath,
) -> Result<Arc<ConfigFileValue>, Faults> {
    let key = ConfigFile(services.intern(file).map_err(fault)?);
    ctx.get(&key).await.map_err(|e| fault(graph_fault(&e)))?
}

/// Lets the scheme know the options of the file that exports the one that was unknown; the error is the file's, or that
/// it exports no such option.
pub(crate) async fn learn(
    ctx: &Request,
    services: &Services,
    scheme: &mut Scheme,
    unknown: &Unknown,
) -> Result<(), Faults> {
    let module = unknown.module();
    let path = module
        .strip_prefix("//")
        .and_then(|path| NeutralPath::new(path).ok());
    if let Some(path) = path {
        scheme.learn(&load(ctx, services, &path).await?.options);
    }
    match scheme.known(&unknown.0) {
        Ok(_) => Ok(()),
        Err(Unknown(id)) => {
            let error = Diagnostic::user(format!("there is no option {id}"));
            Err(fault(
                error.with_help("options are exported from *.config.ts files"),
            ))
        }
    }
}
