//! The engines: how each is found, told what to build, run, and made to forget.
//!
//! **Invariant:** all of them run the same commands on the same sources: equal flags, equal libraries.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::failure::Failure;
use crate::process::CommandLine;
use crate::project::{Project, ProjectKind, write};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// zako
    Zako,
    /// ninja
    Ninja,
    /// GNU make
    Make,
}

impl EngineKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zako => "zako",
            Self::Ninja => "ninja",
            Self::Make => "make",
        }
    }
}

/// An engine that is installed.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) kind: EngineKind,
    /// What it says that it is.
    pub(crate) version: String,
    program: PathBuf,
    isolation: String,
    jobs: usize,
}

impl Engine {
    /// The engine, or why it can't be measured.
    pub(crate) fn find(
        kind: EngineKind,
        zako: &Path,
        isolation: &str,
        jobs: usize,
    ) -> Result<Self, String> {
        let program = match kind {
            EngineKind::Zako => fs::canonicalize(zako).map_err(|error| {
                format!(
                    "{}: {error}; cargo build --release -p zako_cli makes it, --zako names another",
                    zako.display()
                )
            })?,
            EngineKind::Ninja => PathBuf::from("ninja"),
            EngineKind::Make => PathBuf::from("make"),
        };
        let output = std::process::Command::new(&program)
            .arg("--version")
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => format!("{} is not installed", program.display()),
                _ => format!("{}: {error}", program.display()),
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default();
        Ok(Self {
            kind,
            version: line.to_owned(),
            program,
            isolation: isolation.to_owned(),
            jobs,
        })
    }

    /// The command that builds everything of the project in the current folder.
    pub(crate) fn build(&self) -> CommandLine {
        let jobs = self.jobs.to_string();
        let program = self.program.as_os_str();
        let mut words = vec![program.to_owned()];
        let rest: &[&str] = match self.kind {
            EngineKind::Zako => &[
                "build",
                "//...",
                "-q",
                "--isolation",
                &self.isolation,
                "-j",
                &jobs,
                "--cache-dir",
                "../zako-cache",
            ],
            EngineKind::Ninja => &["--quiet", "-j", &jobs],
            EngineKind::Make => &["-s", "-j", &jobs],
        };
        words.extend(rest.iter().map(Into::into));
        CommandLine(words)
    }

    /// Removes all that builds left in `folder`.
    pub(crate) fn forget(&self, folder: &Path) -> Result<(), Failure> {
        let left: &[&str] = match self.kind {
            EngineKind::Zako => &["zako-out", ".zako", "../zako-cache"],
            EngineKind::Ninja => &["out", ".ninja_log", ".ninja_deps"],
            EngineKind::Make => &["out"],
        };
        for name in left {
            let path = folder.join(name);
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::io("remove", path.display())(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The commands alone that an engine runs after an edit, without any engine: for their own time.
pub(crate) fn commands_after_edit(project: &Project, out: &Path) -> Vec<CommandLine> {
    let (package, at) = project.edited();
    let source = project.source(package, at);
    let object = out.join("edited").display().to_string();
    match project.kind {
        ProjectKind::Copies => vec![CommandLine::new(["cp", &source, &object])],
        ProjectKind::C => {
            let deps = out.join("edited.d").display().to_string();
            let compile = [
                "cc", "-c", &source, "-o", &object, "-MD", "-MF", &deps, "-I.", "-Iout",
            ];
            let mut archive: Vec<String> = ["ar", "rcsD"].map(str::to_owned).into();
            archive.push(out.join("edited.a").display().to_string());
            archive.extend(package.stems.iter().map(|_| object.clone()));
            vec![CommandLine::new(compile), CommandLine::new(archive)]
        }
    }
}

/// Writes what the engine reads to build `project`.
pub(crate) fn write_build_files(
    kind: EngineKind,
    project: &Project,
    folder: &Path,
) -> Result<(), Failure> {
    match kind {
        EngineKind::Zako => write_zako(project, folder),
        EngineKind::Ninja => write(&folder.join("build.ninja"), &ninja(project)),
        EngineKind::Make => write(&folder.join("Makefile"), &makefile(project)),
    }
}

fn write_zako(project: &Project, folder: &Path) -> Result<(), Failure> {
    write(
        &folder.join("zako.toml"),
        "zako = \"0.1\"\nname = \"bench\"\n",
    )?;
    for package in &project.packages {
        let script = match project.kind {
            ProjectKind::C => "\
import { glob } from \"zako:build\";
import { ccLibrary } from \"zako:cc\";

export const lib = ccLibrary({ srcs: glob(\"*.c\"), hdrs: glob(\"*.h\") });
"
            .to_owned(),
            ProjectKind::Copies => "\
import { glob, task } from \"zako:build\";

export const copies = Object.fromEntries(
  glob(\"*.txt\").map((path) => {
    const stem = path.slice(0, -4);
    return [stem, task({ inputs: [path], outputs: [`${stem}.out`], command: [\"cp\", \"$in\", \"$out\"] })];
  }),
);
"
            .to_owned(),
        };
        write(&folder.join(&package.name).join("BUILD.ts"), &script)?;
    }
    Ok(())
}

fn ninja(project: &Project) -> String {
    let mut text = String::new();
    match project.kind {
        ProjectKind::C => text.push_str(
            "rule cc\n  command = cc -c $in -o $out -MD -MF $out.d -I. -Iout\n  depfile = $out.d\n  deps = gcc\n\
             rule ar\n  command = ar rcsD $out $in\n",
        ),
        ProjectKind::Copies => text.push_str("rule cp\n  command = cp $in $out\n"),
    }
    for package in &project.packages {
        let name = &package.name;
        let mut objects = String::new();
        for (at, stem) in package.stems.iter().enumerate() {
            let source = project.source(package, at);
            let _ = match project.kind {
                ProjectKind::C => {
                    let _ = write!(objects, " out/{name}/{stem}.o");
                    writeln!(text, "build out/{name}/{stem}.o: cc {source}")
                }
                ProjectKind::Copies => writeln!(text, "build out/{name}/{stem}.out: cp {source}"),
            };
        }
        if project.kind == ProjectKind::C {
            let _ = writeln!(text, "build out/{name}/lib{name}.a: ar{objects}");
        }
    }
    text
}

fn makefile(project: &Project) -> String {
    let mut text = String::from(".SUFFIXES:\nMAKEFLAGS += -rR\nall:\n");
    for package in &project.packages {
        let name = &package.name;
        let list = |extension: &str| -> String {
            package
                .stems
                .iter()
                .map(|stem| format!(" out/{name}/{stem}.{extension}"))
                .collect()
        };
        let _ = match project.kind {
            ProjectKind::C => writeln!(
                text,
                "all: out/{name}/lib{name}.a\n\
                 OBJECTS_{name} :={}\n\
                 $(OBJECTS_{name}): out/{name}/%.o: {name}/%.c | out/{name}\n\
                 \tcc -c $< -o $@ -MD -MP -MF out/{name}/$*.d -I. -Iout\n\
                 out/{name}/lib{name}.a: $(OBJECTS_{name})\n\
                 \tar rcsD $@ $^\n\
                 -include $(OBJECTS_{name}:.o=.d)",
                list("o")
            ),
            ProjectKind::Copies => writeln!(
                text,
                "COPIES_{name} :={}\n\
                 all: $(COPIES_{name})\n\
                 $(COPIES_{name}): out/{name}/%.out: {name}/%.txt | out/{name}\n\
                 \tcp $< $@",
                list("out")
            ),
        };
        let _ = writeln!(text, "out/{name}:\n\tmkdir -p $@");
    }
    text
}
