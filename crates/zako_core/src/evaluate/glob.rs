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

/// Whether what is written to `path`, below the package, is what such a glob takes: a directory is so when a file in it could be. The
/// patterns are good ones.
pub(crate) fn would_match(
    include: &[String],
    exclude: &[String],
    path: &str,
    is_directory: bool,
) -> bool {
    let (Ok(taken), Ok(left)) = (set(include), set(exclude)) else {
        return false;
    };
    let shows_hidden = names_hidden(include);
    let matches = |path: &str| {
        let shown = shows_hidden || !path.split('/').any(|part| part.starts_with('.'));
        shown && taken.is_match(path) && !left.is_match(path)
    };
    if !is_directory {
        return matches(path);
    }
    // A name that the end of each pattern takes, in the directory and in a folder of it.
    include.iter().any(|pattern| {
        let name = pattern.rsplit('/').next().unwrap_or(pattern);
        let name = sample(name);
        matches(&format!("{path}/{name}")) || matches(&format!("{path}/x/{name}"))
    })
}

/// A name that the last part of a pattern takes, as far as that is simple to tell.
fn sample(pattern: &str) -> String {
    let mut name = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' => name.push('x'),
            '\\' => name.extend(rest.next()),
            // The first alternative, and the first character of a class.
            '{' => {
                let inner: String = rest.by_ref().take_while(|c| *c != '}').collect();
                name.push_str(&sample(inner.split(',').next().unwrap_or_default()));
            }
            '[' => {
                let inner: String = rest.by_ref().take_while(|c| *c != ']').collect();
                name.extend(inner.chars().next());
            }
            c => name.push(c),
        }
    }
    name
}

/// Whether the patterns ask for hidden files.
fn names_hidden(include: &[String]) -> bool {
    let mut parts = include.iter().flat_map(|pattern| pattern.split('/'));
    parts.any(|part| part.starts_with('.'))
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
            hidden: names_hidden(include),
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
    use super::{glob, would_match};
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

    #[test]
    fn what_is_written_among_sources_may_be_taken() {
        let takes = |include: &str, exclude: &[&str], path: &str, is_directory: bool| {
            let exclude: Vec<String> = exclude.iter().map(|p| (*p).to_owned()).collect();
            would_match(&[include.to_owned()], &exclude, path, is_directory)
        };
        assert!(takes("**/*.js", &[], "dist/a.js", false));
        assert!(!takes("**/*.js", &[], "dist/a.css", false));
        assert!(!takes("src/**/*.js", &[], "dist/a.js", false));
        assert!(takes("**/*.js", &[], "dist", true));
        assert!(takes("dist/*.{js,css}", &[], "dist", true));
        assert!(takes("*/deep/[ab]?.js", &[], "dist/deep", true));
        assert!(!takes("*.js", &[], "dist", true));
        assert!(!takes("src/**", &[], "dist", true));
        assert!(!takes("**/*.js", &["dist/**"], "dist", true));
        assert!(!takes("**", &[], ".cache", true));
        assert!(takes("**/.*", &[], ".cache", true));
    }
}
