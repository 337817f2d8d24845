//! Globs over a package's files.

use std::sync::Arc;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use zako_graph::{Ctx, Key};
use zako_path::{InternedPath, NeutralPath};

use super::leaf::{Ignored, Listing};
use super::services;
use crate::workspace::{Entry, EntryKind, Workspace};

/// What a glob asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Globbed {
    pub(crate) package: InternedPath,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
}

impl Key for Globbed {
    /// Paths below the package, sorted; or why there are none.
    type Value = Result<Arc<Vec<String>>, String>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).map_err(|e| e.to_string())?;
        let package = self
            .package
            .resolve(&services.interner)
            .map_err(|e| e.to_string())?;
        ctx.get(&Ignored).await.map_err(|e| e.to_string())?;
        let mut search = Search::new(&package, &self.include, &self.exclude)?;
        let mut level = vec![package.clone()];
        while !level.is_empty() {
            let keys: Vec<Listing> = level
                .iter()
                .map(|path| services.intern(path).map(Listing))
                .collect::<Result<_, _>>()
                .map_err(|e| e.message)?;
            let listed = ctx.get_all(keys).await.map_err(|e| e.to_string())?;
            let mut next = Vec::new();
            for (folder, entries) in level.iter().zip(listed) {
                next.extend(search.enter(&services.workspace, folder, &entries?));
            }
            level = next;
        }
        Ok(Arc::new(search.finish()))
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

/// The package's files that match `include` and not `exclude`, as sorted paths below the package. Never into other
/// packages, ignored folders or, unless a pattern names the dot, hidden files.
pub(crate) fn glob(
    workspace: &Workspace,
    package: &NeutralPath,
    include: &[String],
    exclude: &[String],
) -> Result<Vec<String>, String> {
    let mut search = Search::new(package, include, exclude)?;
    let mut folders = vec![package.clone()];
    while let Some(folder) = folders.pop() {
        let entries = workspace.list(&folder)?;
        folders.extend(search.enter(workspace, &folder, &entries));
    }
    Ok(search.finish())
}

/// A search under way: it is told what is in each folder, and says which to look into next.
struct Search<'a> {
    package: &'a NeutralPath,
    include: GlobSet,
    exclude: GlobSet,
    hidden: bool,
    found: Vec<String>,
}

impl<'a> Search<'a> {
    fn new(
        package: &'a NeutralPath,
        include: &[String],
        exclude: &[String],
    ) -> Result<Self, String> {
        Ok(Search {
            package,
            hidden: include
                .iter()
                .any(|pattern| pattern.split('/').any(|part| part.starts_with('.'))),
            exclude: set(exclude)?,
            include: set(include)?,
            found: Vec::new(),
        })
    }

    /// Takes what matches of a folder's entries; gives the folders below it that are to be searched.
    fn enter(
        &mut self,
        workspace: &Workspace,
        folder: &NeutralPath,
        entries: &[Entry],
    ) -> Vec<NeutralPath> {
        if folder != self.package && workspace.package_module(folder, entries).is_some() {
            return Vec::new();
        }
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::File) {
            let Ok(path) = folder.join(&entry.name) else {
                continue;
            };
            let Some(below) = path.strip_prefix(self.package) else {
                continue;
            };
            let shown = self.hidden || !below.components().any(|part| part.starts_with('.'));
            let below = below.as_str();
            if shown && self.include.is_match(below) && !self.exclude.is_match(below) {
                self.found.push(below.to_owned());
            }
        }
        let mut folders = workspace.folders(folder, entries);
        folders.retain(|path| {
            self.hidden || !path.file_name().is_some_and(|name| name.starts_with('.'))
        });
        folders
    }

    fn finish(mut self) -> Vec<String> {
        self.found.sort();
        self.found
    }
}

fn set(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if pattern.starts_with('/') || pattern.split('/').any(|part| part == ".." || part == ".") {
            return Err(format!(
                "the pattern \"{pattern}\" leaves its package; patterns are paths below it"
            ));
        }
        set.add(compile(pattern)?);
    }
    set.build().map_err(|e| e.to_string())
}

fn compile(pattern: &str) -> Result<Glob, String> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|e| format!("\"{pattern}\" is not a pattern: {}", e.kind()))
}

#[cfg(test)]
mod tests {
    use super::glob;
    use crate::workspace::Workspace;
    use zako_path::NeutralPath;

    #[test]
    fn globs_stay_in_their_package() {
        let dir = tempfile::tempdir().expect("a folder");
        for file in [
            "BUILD.ts",
            "a.c",
            "b.h",
            "src/c.c",
            "src/deep/d.c",
            "sub/BUILD.ts",
            "sub/e.c",
            ".hidden.c",
            "zako-out/f.c",
            "node_modules/g.c",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let workspace = Workspace::detached(dir.path()).expect("a workspace");
        let run = |include: &[&str], exclude: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            glob(
                &workspace,
                &NeutralPath::root(),
                &own(include),
                &own(exclude),
            )
        };
        assert_eq!(
            run(&["**/*.c"], &[]),
            Ok(vec!["a.c".into(), "src/c.c".into(), "src/deep/d.c".into()])
        );
        assert_eq!(run(&["*.{c,h}"], &[]), Ok(vec!["a.c".into(), "b.h".into()]));
        assert_eq!(
            run(&["**/*.c"], &["src/*.c"]),
            Ok(vec!["a.c".into(), "src/deep/d.c".into()])
        );
        assert_eq!(run(&[".*.c"], &[]), Ok(vec![".hidden.c".into()]));
        assert_eq!(run(&["*.x"], &[]), Ok(vec![]));
        assert!(run(&["../*.c"], &[]).is_err());
        assert!(run(&["{a"], &[]).is_err());
    }
}
