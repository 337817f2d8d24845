//! The projects: which sources there are and what is in them.
//!
//! Everything follows from kind and size, so two runs build the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;

use crate::failure::Failure;

/// Headers that each translation unit includes.
pub(crate) const HEADERS_EACH: usize = 8;

/// Translation units in a package.
const UNITS_EACH: usize = 100;

/// Copies in a package.
const COPIES_EACH: usize = 1000;

/// What a project is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProjectKind {
    /// Translation units in packages of 100, each with a header of its own and including 8; a static library a package
    C,
    /// Independent actions in packages of 1000, each `cp` of one file
    Copies,
}

/// A package: a folder, and the stems of its files.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) stems: Vec<String>,
}

/// A project of some size.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) kind: ProjectKind,
    pub(crate) size: usize,
    pub(crate) packages: Vec<Package>,
}

impl Project {
    pub(crate) fn new(kind: ProjectKind, size: usize) -> Self {
        let each = match kind {
            ProjectKind::C => UNITS_EACH,
            ProjectKind::Copies => COPIES_EACH,
        };
        let packages = (0..size.div_ceil(each))
            .map(|package| Package {
                name: format!("p{package:03}"),
                stems: (package * each..size.min((package + 1) * each))
                    .map(|i| format!("f{i:05}"))
                    .collect(),
            })
            .collect();
        Self {
            kind,
            size,
            packages,
        }
    }

    /// Writes all sources into `folder`, which must be empty or not there.
    pub(crate) fn create(&self, folder: &Path) -> Result<(), Failure> {
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::NotEmpty(folder.display().to_string()));
        }
        for package in &self.packages {
            let path = folder.join(&package.name);
            fs::create_dir_all(&path).map_err(Failure::io("create", path.display()))?;
        }
        self.write_sources(folder, 0)
    }

    /// Writes all sources as they are on branch `branch`; on each, all have another content.
    pub(crate) fn write_sources(&self, folder: &Path, branch: usize) -> Result<(), Failure> {
        for package in &self.packages {
            for at in 0..package.stems.len() {
                self.write_source(folder, package, at, branch)?;
                if self.kind == ProjectKind::C {
                    let stem = &package.stems[at];
                    let text = format!(
                        "#pragma once\nstatic inline int h_{stem}(int x) {{ return x * {at} + {branch}; }}\n"
                    );
                    write(&folder.join(&package.name).join(format!("{stem}.h")), &text)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the source that is edited, the middle one, in its `version`-th version.
    pub(crate) fn edit(&self, folder: &Path, version: usize) -> Result<(), Failure> {
        let (package, at) = self.edited();
        self.write_source(folder, package, at, version)
    }

    /// The package of the source that is edited, and its place there.
    pub(crate) fn edited(&self) -> (&Package, usize) {
        let package = &self.packages[self.packages.len() / 2];
        (package, package.stems.len() / 2)
    }

    /// The source's path below the project's folder.
    pub(crate) fn source(&self, package: &Package, at: usize) -> String {
        let extension = match self.kind {
            ProjectKind::C => "c",
            ProjectKind::Copies => "txt",
        };
        format!("{}/{}.{extension}", package.name, package.stems[at])
    }

    /// Sets the time of every header (of every source, where there are no headers) to now.
    pub(crate) fn touch(&self, folder: &Path) -> Result<(), Failure> {
        let now = SystemTime::now();
        for package in &self.packages {
            for (at, stem) in package.stems.iter().enumerate() {
                let path: PathBuf = match self.kind {
                    ProjectKind::C => folder.join(&package.name).join(format!("{stem}.h")),
                    ProjectKind::Copies => folder.join(self.source(package, at)),
                };
                File::options()
                    .write(true)
                    .open(&path)
                    .and_then(|file| file.set_modified(now))
                    .map_err(Failure::io("touch", path.display()))?;
            }
        }
        Ok(())
    }

    fn write_source(
        &self,
        folder: &Path,
        package: &Package,
        at: usize,
        version: usize,
    ) -> Result<(), Failure> {
        let stem = &package.stems[at];
        let text = match self.kind {
            ProjectKind::Copies => format!("{stem} {version}\n"),
            ProjectKind::C => {
                let headers = self.headers(package, at);
                let mut text = String::new();
                for header in &headers {
                    text.push_str(&format!("#include \"{}/{header}.h\"\n", package.name));
                }
                let calls: Vec<String> = headers.iter().map(|h| format!("h_{h}(x)")).collect();
                let sum = calls.join(" + ");
                text.push_str(&format!(
                    "int {stem}(int x) {{ return {sum} + {version}; }}\n"
                ));
                text
            }
        };
        write(&folder.join(self.source(package, at)), &text)
    }

    /// Stems of the headers that the unit includes: its own and those of the units after it.
    fn headers<'a>(&self, package: &'a Package, at: usize) -> Vec<&'a str> {
        let count = HEADERS_EACH.min(package.stems.len());
        (0..count)
            .map(|i| package.stems[(at + i) % package.stems.len()].as_str())
            .collect()
    }
}

/// Writes a file, as an editor or a checkout would.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::io("write", path.display()))
}
