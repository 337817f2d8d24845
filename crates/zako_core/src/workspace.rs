//! A workspace on disk: where it is, and how its folders and files are read.
//!
//! Every path that comes in is neutral, so nothing outside the root can be named; symbolic links that lead out
//! are refused where a file's content is read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{Glob, GlobMatcher, GlobSet, GlobSetBuilder};
use zako_path::NeutralPath;
use zako_script::nearest;

use crate::diagnostic::Diagnostic;
use crate::files::Clock;
use crate::manifest::{ALWAYS_IGNORED, MANIFEST, Manifest, PackageRule, file_glob};

/// The file that makes a folder a package.
pub(crate) const BUILD_FILE: &str = "BUILD.ts";

/// Where outputs go, below the root.
pub(crate) const OUTPUT_DIR: &str = "zako-out";

/// Whether `path` is where outputs go, rather than where people have their files.
pub(crate) fn is_in_output(path: &NeutralPath) -> bool {
    path.components().next() == Some(OUTPUT_DIR)
}

/// Where zako keeps its state, below the root.
pub(crate) const STATE_DIR: &str = ".zako";

/// How deep folders are searched.
const MAX_DEPTH: usize = 128;

/// A workspace that is open.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: Arc<Path>,
    manifest: Manifest,
    ignored: GlobSet,
    /// By the files that make a folder a package, the modules of such packages.
    packages: Vec<(GlobMatcher, NeutralPath)>,
    clock: Clock,
}

/// What a folder's entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EntryKind {
    /// A file, or a link to one.
    File,
    /// A folder.
    Folder,
    /// Something else, a link to a folder among it: not searched, so that no cycle is walked.
    Other,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: EntryKind,
}

/// Why a file of the workspace could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadFault {
    /// There is none.
    Missing,
    /// It is not UTF-8.
    NotText,
    /// It is a link that leads out of the workspace, to there.
    Outside(PathBuf),
    /// The system says so.
    Failed(String),
}

fn is_build_file(entry: &Entry) -> bool {
    entry.kind == EntryKind::File && entry.name == BUILD_FILE
}

impl Workspace {
    /// Opens the workspace whose manifest is in `start` or the nearest folder above it.
    pub(crate) fn find(start: &Path) -> Result<Workspace, Diagnostic> {
        let start = canonical(start)?;
        let Some(root) = start
            .ancestors()
            .find(|folder| folder.join(MANIFEST).is_file())
        else {
            return Err(Diagnostic::user(format!(
                "there is no {MANIFEST} in {} or any folder above it",
                start.display()
            ))
            .with_help(
                "run `zako init` to make this folder a workspace, or name one with -C DIR",
            ));
        };
        Workspace::new(root.into(), Manifest::read(root)?)
    }

    /// A folder as a workspace without a manifest.
    pub(crate) fn detached(folder: &Path) -> Result<Workspace, Diagnostic> {
        Workspace::new(canonical(folder)?.into(), Manifest::default())
    }

    fn new(root: Arc<Path>, manifest: Manifest) -> Result<Workspace, Diagnostic> {
        let mut ignored = GlobSetBuilder::new();
        for pattern in &manifest.ignore {
            let glob = Glob::new(pattern.trim_end_matches('/'))
                .map_err(|e| Diagnostic::user(format!("ignore: {pattern}: {}", e.kind())))?;
            ignored.add(glob);
        }
        let ignored = ignored
            .build()
            .map_err(|e| Diagnostic::user(format!("ignore: {e}")))?;
        let rule = |rule: &PackageRule| {
            let glob = file_glob(&rule.matching).map_err(Diagnostic::user)?;
            Ok((glob.compile_matcher(), rule.build.clone()))
        };
        let packages = manifest.packages.iter().map(rule);
        Ok(Workspace {
            packages: packages.collect::<Result<_, Diagnostic>>()?,
            clock: Clock::of(&root),
            root,
            manifest,
            ignored,
        })
    }

    pub(crate) fn root(&self) -> &Arc<Path> {
        &self.root
    }

    /// How finely its file system tells times.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether the folder is left alone, with all below it.
    pub(crate) fn is_ignored(&self, folder: &NeutralPath) -> bool {
        folder
            .file_name()
            .is_some_and(|name| ALWAYS_IGNORED.contains(&name))
            || self.ignored.is_match(folder.as_str())
            || self.ignored.is_match(format!("{folder}/"))
    }

    /// Whether a folder without a `BUILD.ts` can be a package.
    pub(crate) fn has_package_rules(&self) -> bool {
        !self.packages.is_empty()
    }

    /// The module that makes the folder with these entries a package, if it is one: its own `BUILD.ts`, or what
    /// `[[packages]]` says.
    pub(crate) fn package_module(
        &self,
        folder: &NeutralPath,
        entries: &[Entry],
    ) -> Option<NeutralPath> {
        if entries.iter().any(is_build_file) {
            return folder.join(BUILD_FILE).ok();
        }
        let rule = self.package_rule(folder, entries)?;
        self.packages.get(rule).map(|(_, build)| build.clone())
    }

    /// Which of `[[packages]]`, by its number, makes the folder with these entries a package.
    pub(crate) fn package_rule(&self, folder: &NeutralPath, entries: &[Entry]) -> Option<usize> {
        if self.packages.is_empty() || entries.iter().any(is_build_file) {
            return None;
        }
        let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
        let paths = files.filter_map(|entry| folder.join(&entry.name).ok());
        let paths: Vec<NeutralPath> = paths.collect();
        self.packages
            .iter()
            .position(|(glob, _)| paths.iter().any(|path| glob.is_match(path.as_str())))
    }

    /// Whether the folder is a package now.
    pub(crate) fn is_package(&self, folder: &NeutralPath) -> bool {
        let build = folder.join(BUILD_FILE);
        build.is_ok_and(|build| self.has_file(&build))
            || self.has_package_rules()
                && self
                    .list(folder)
                    .is_ok_and(|entries| self.package_module(folder, &entries).is_some())
    }

    /// The folder's entries, sorted by name; names that are not UTF-8, and folders that are always ignored, are left out. A folder that is not there is empty.
    pub(crate) fn list(&self, folder: &NeutralPath) -> Result<Vec<Entry>, String> {
        self.list_links(folder).map(|(entries, _)| entries)
    }

    /// The same, and whether there is a link among them: what a link leads to may become something else while the
    /// folder stays as it is.
    pub(crate) fn list_links(&self, folder: &NeutralPath) -> Result<(Vec<Entry>, bool), String> {
        let path = folder.to_os_path(&self.root);
        let read = match std::fs::read_dir(&path) {
            Ok(read) => read,
            Err(e)
                if e.kind() == io::ErrorKind::NotFound
                    || e.kind() == io::ErrorKind::NotADirectory =>
            {
                return Ok((Vec::new(), false));
            }
            Err(e) => return Err(format!("{} cannot be listed: {e}", path.display())),
        };
        let mut entries = Vec::new();
        let mut links = false;
        for entry in read {
            let entry = entry.map_err(|e| format!("{} cannot be listed: {e}", path.display()))?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let kind = entry
                .file_type()
                .map_err(|e| format!("{} cannot be read: {e}", entry.path().display()))?;
            // Never looked into, and zako's own come and go.
            if kind.is_dir() && ALWAYS_IGNORED.contains(&name.as_str()) {
                continue;
            }
            links |= kind.is_symlink();
            let kind = if kind.is_dir() {
                EntryKind::Folder
            } else if kind.is_file() || (kind.is_symlink() && entry.path().is_file()) {
                EntryKind::File
            } else {
                EntryKind::Other
            };
            entries.push(Entry { name, kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((entries, links))
    }

    /// The folders below the entries, without those that are ignored.
    pub(crate) fn folders(&self, folder: &NeutralPath, entries: &[Entry]) -> Vec<NeutralPath> {
        if folder.components().count() >= MAX_DEPTH {
            return Vec::new();
        }
        entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Folder)
            .filter_map(|entry| folder.join(&entry.name).ok())
            .filter(|path| !self.is_ignored(path))
            .collect()
    }

    /// The text of a file; links are followed as long as they stay in the workspace.
    pub(crate) fn read_text(&self, path: &NeutralPath) -> Result<Arc<str>, ReadFault> {
        read_text(&self.root, path)
    }

    /// Whether there is a file at `path`.
    pub(crate) fn has_file(&self, path: &NeutralPath) -> bool {
        path.to_os_path(&self.root).is_file()
    }

    /// The name in the folder of `path` that is most similar to it.
    pub(crate) fn nearest_file(&self, path: &NeutralPath) -> Option<NeutralPath> {
        let folder = path.parent().unwrap_or_else(NeutralPath::root);
        let entries = self.list(&folder).ok()?;
        let near = nearest(
            path.file_name()?,
            entries.iter().map(|entry| entry.name.as_str()),
        )?;
        folder.join(near).ok()
    }
}

/// The text of a file of the workspace at `root` (canonical); links are followed as long as they stay in it.
pub(crate) fn read_text(root: &Path, path: &NeutralPath) -> Result<Arc<str>, ReadFault> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadFault::Missing,
        _ => ReadFault::Failed(e.to_string()),
    };
    let real = std::fs::canonicalize(path.to_os_path(root)).map_err(failed)?;
    if !real.starts_with(root) {
        return Err(ReadFault::Outside(real));
    }
    let bytes = std::fs::read(&real).map_err(failed)?;
    String::from_utf8(bytes)
        .map(Into::into)
        .map_err(|_| ReadFault::NotText)
}

impl ReadFault {
    /// What to say of the file `path` that could not be read, and what to do.
    pub(crate) fn explain(
        &self,
        workspace: &Workspace,
        path: &NeutralPath,
    ) -> (String, Option<String>) {
        match self {
            ReadFault::Missing => (
                format!("there is no file {path}"),
                workspace
                    .nearest_file(path)
                    .map(|near| format!("did you mean {near}?")),
            ),
            ReadFault::NotText => (format!("{path} is not UTF-8 text"), None),
            ReadFault::Outside(real) => (
                format!(
                    "{path} is a link out of the workspace, to {}",
                    real.display()
                ),
                Some("copy the file into the workspace".to_owned()),
            ),
            ReadFault::Failed(error) => (format!("{path} cannot be read: {error}"), None),
        }
    }
}

fn canonical(path: &Path) -> Result<PathBuf, Diagnostic> {
    std::fs::canonicalize(path)
        .map_err(|e| Diagnostic::user(format!("{} cannot be opened: {e}", path.display())))
}
