//! The leaves: what is read from the disk and the invocation, once in each revision.

use std::sync::Arc;

use zako_graph::{Ctx, Key, KnownLeaf};
use zako_interner::ThreadedInterner;
use zako_path::{InternedPath, NeutralPath};

use super::witness::{self, witnessed};
use super::{Faults, fault, graph_fault, services};
use crate::diagnostic::Diagnostic;
use crate::workspace::{BUILD_FILE, Entry, ReadFault};

/// The path that a leaf is about, if it is about one.
pub(crate) fn path_of_leaf(
    leaf: KnownLeaf<'_>,
    interner: &ThreadedInterner,
) -> Option<NeutralPath> {
    let text = leaf.key::<SourceText>().map(|key| key.0);
    let listing = leaf.key::<Listing>().map(|key| key.0);
    let there = leaf.key::<FileThere>().map(|key| key.0);
    text.or(listing).or(there)?.resolve(interner).ok()
}

/// The text of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SourceText(pub(crate) InternedPath);

impl Key for SourceText {
    type Value = Result<Arc<str>, ReadFault>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).map_err(|e| ReadFault::Failed(e.to_string()))?;
        let path = self
            .0
            .resolve(&services.interner)
            .map_err(|e| ReadFault::Failed(e.to_string()))?;
        let place = path.to_os_path(services.workspace.root());
        let (text, witness) = witnessed(services.workspace.clock(), &place, || {
            services.workspace.read_text(&path)
        });
        ctx.set_witness(witness);
        text
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        "a file's text".to_owned()
    }
}

/// The entries of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Listing(pub(crate) InternedPath);

impl Key for Listing {
    type Value = Result<Arc<Vec<Entry>>, String>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).map_err(|e| e.to_string())?;
        let path = self
            .0
            .resolve(&services.interner)
            .map_err(|e| e.to_string())?;
        let place = path.to_os_path(services.workspace.root());
        let (listed, witness) = witnessed(services.workspace.clock(), &place, || {
            services.workspace.list_links(&path)
        });
        let (entries, links) = listed?;
        if !links {
            ctx.set_witness(witness);
        }
        Ok(Arc::new(entries))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        "a folder's entries".to_owned()
    }
}

/// Whether there is a file at a path: less than its folder's entries, which change with every neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FileThere(pub(crate) InternedPath);

impl Key for FileThere {
    type Value = bool;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let Ok(services) = services(ctx) else {
            return false;
        };
        let path = self.0.resolve(&services.interner);
        let there = path.is_ok_and(|path| services.workspace.has_file(&path));
        ctx.set_witness(witness::there(there));
        there
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// The value of an option, if it is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ConfigValue(pub(crate) String);

impl Key for ConfigValue {
    type Value = Option<String>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let value = services(ctx).ok()?.config.get(&self.0).cloned();
        ctx.set_witness(witness::option(value.as_deref()));
        value
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// A variable of the environment of whoever builds, if it is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Variable(pub(crate) String);

impl Key for Variable {
    type Value = Option<String>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let value = services(ctx).ok()?.machine.variable(&self.0);
        ctx.set_witness(witness::option(value));
        value.map(str::to_owned)
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// Which folders the manifest says to leave alone, and which it makes packages: what every search depends on beside the folders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ignored;

impl Key for Ignored {
    /// As [`Manifest::searches`](crate::manifest::Manifest::searches) gives it.
    type Value = Arc<[String]>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let Ok(services) = services(ctx) else {
            return Arc::default();
        };
        let patterns = services.workspace.manifest().searches();
        ctx.set_witness(witness::words(&patterns));
        patterns.into()
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// What the manifest names that registers toolchains: its configuration files, then toolchain files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Registered;

impl Key for Registered {
    type Value = Arc<[String]>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let Ok(services) = services(ctx) else {
            return Arc::default();
        };
        let files = services.workspace.manifest().registering();
        ctx.set_witness(witness::words(&files));
        files.into()
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// What an embedder's function answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HostAnswer {
    pub(crate) function: String,
    /// The arguments, JSON text.
    pub(crate) args: String,
}

impl Key for HostAnswer {
    type Value = Result<String, String>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).map_err(|e| e.to_string())?;
        let function = services
            .functions
            .get(&self.function)
            .ok_or("no such function")?;
        let args = serde_json::from_str(&self.args).map_err(|e| e.to_string())?;
        function(&args).map(|answer| answer.to_string())
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// The module that makes a folder a package, if it is one: its own `BUILD.ts`, or what the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PackageModule(pub(crate) InternedPath);

impl Key for PackageModule {
    type Value = Result<Option<NeutralPath>, String>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let failed = |e: &zako_graph::GraphError| e.to_string();
        let services = services(ctx).map_err(|e| failed(&e))?;
        let folder = self
            .0
            .resolve(&services.interner)
            .map_err(|e| e.to_string())?;
        let build = folder.join(BUILD_FILE).map_err(|e| e.to_string())?;
        let there = FileThere(services.intern(&build).map_err(|e| e.message)?);
        if ctx.get(&there).await.map_err(|e| failed(&e))? {
            return Ok(Some(build));
        }
        ctx.get(&Ignored).await.map_err(|e| failed(&e))?;
        let entries = ctx.get(&Listing(self.0)).await.map_err(|e| failed(&e))??;
        Ok(services.workspace.package_module(&folder, &entries))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// The folders that are packages, sorted, at or below a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PackageList(pub(crate) InternedPath);

impl Key for PackageList {
    type Value = Result<Arc<Vec<NeutralPath>>, Faults>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let failed = |e: &zako_graph::GraphError| fault(graph_fault(e));
        let services = services(ctx).map_err(|e| failed(&e))?;
        let folder = self
            .0
            .resolve(&services.interner)
            .map_err(|e| fault(Diagnostic::environment(e.to_string())))?;
        ctx.get(&Ignored).await.map_err(|e| failed(&e))?;
        let entries = ctx
            .get(&Listing(self.0))
            .await
            .map_err(|e| failed(&e))?
            .map_err(|e| fault(Diagnostic::environment(e)))?;
        let below: Vec<PackageList> = services
            .workspace
            .folders(&folder, &entries)
            .iter()
            .map(|path| services.intern(path).map(PackageList))
            .collect::<Result<_, _>>()
            .map_err(fault)?;
        let mut packages = Vec::new();
        let is_package = services.workspace.package_module(&folder, &entries);
        if is_package.is_some() {
            packages.push(folder);
        }
        for list in ctx.get_all(below).await.map_err(|e| failed(&e))? {
            packages.extend(list?.iter().cloned());
        }
        packages.sort();
        Ok(Arc::new(packages))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}
