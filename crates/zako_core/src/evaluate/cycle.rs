//! Packages that import one another in a cycle, told with the place of each import: the error stands at the one that closes it.

use std::sync::Arc;

use zako_graph::{Ctx, GraphError, Key, Request};
use zako_path::NeutralPath;
use zako_script::module::Importable;

use super::module::{ModuleFile, location};
use super::{graph_fault, services};
use crate::diagnostic::{Diagnostic, Location};

/// A cycle of packages, by their files: each imports the next one, and the last is the first again. No value is kept of what is on a
/// cycle, so whoever meets one asks for this.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ImportCycle(Arc<[String]>);

impl ImportCycle {
    /// The cycle that the error is about, if it is about one.
    pub(super) fn of(error: &GraphError) -> Option<ImportCycle> {
        let GraphError::Cycle { path } = error else {
            return None;
        };
        // A package and its exports are two nodes with one name.
        let mut files = path.to_vec();
        files.dedup();
        if let [only] = &files[..] {
            files.push(only.clone());
        }
        Some(ImportCycle(files.into()))
    }

    /// What is wrong, without its places.
    pub(super) fn message(&self) -> Diagnostic {
        let chain = self.0.join(" \u{2192} ");
        Diagnostic::user(format!("packages import one another in a cycle: {chain}"))
            .with_help("move what they share into a package of its own, or name one target with label(\"//pkg:name\")")
    }
}

impl Key for ImportCycle {
    type Value = Diagnostic;

    async fn compute(&self, ctx: &Ctx) -> Diagnostic {
        let mut error = self.message();
        for pair in self.0.windows(2) {
            let [importer, imported] = pair else { continue };
            if let Some(location) = import(ctx, importer, imported).await {
                error.trace.push(format!("{location} imports {imported}"));
                error.location = Some(location);
            }
        }
        error
    }

    fn same(old: &Diagnostic, new: &Diagnostic) -> bool {
        old == new
    }
}

/// Where the package of the file `importer` imports that of `imported`.
async fn import(ctx: &Ctx, importer: &str, imported: &str) -> Option<Location> {
    let path = NeutralPath::new(importer).ok()?;
    let key = ModuleFile(services(ctx).ok()?.intern(&path).ok()?);
    let module = ctx.get(&key).await.ok()?.ok()?;
    let mut imports = module.files.iter();
    let (_, _, found) = imports
        .find(|(file, seen, _)| *seen == Importable::Handles && file.as_str() == imported)?;
    Some(location(&found.place))
}

/// What any error of the graph is to whoever asked from outside.
pub(crate) async fn told(request: &Request, error: &GraphError) -> Diagnostic {
    match ImportCycle::of(error) {
        Some(cycle) => request
            .get(&cycle)
            .await
            .unwrap_or_else(|e| graph_fault(&e)),
        None => graph_fault(error),
    }
}
