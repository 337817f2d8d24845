//! What the tools of an action need of the machine beyond the fixed base: the folders that they are installed in.
//!
//! **Invariant:** a folder that the workspace is in, or somebody's home, is never shown whole: it would hold what an action
//! could read without declaring it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zako_action::{ActionBody, ActionSpec, ResolvedTool};

use super::base;
use crate::isolation::{INSIDE_TMP, INSIDE_WORKSPACE};
use crate::process::{FIXED_PATH, find_program};

/// How long the first line of a script may be (as in Linux).
const MAX_FIRST_LINE: usize = 255;

/// Paths of the machine that are shown beside the base.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extras {
    /// Folders and files, at their own paths.
    pub(crate) shown: BTreeSet<PathBuf>,
    /// Links, and where they lead in the end.
    pub(crate) links: BTreeSet<(PathBuf, PathBuf)>,
    /// Whether there is a place for the pipe of a jobserver.
    pub(crate) has_jobs: bool,
}

/// What `tools` need; `path` is the PATH of the action, if it has one of its own.
pub(crate) fn extras(tools: &[ResolvedTool], path: Option<&str>, workspace: &Path) -> Extras {
    let path = path.unwrap_or(FIXED_PATH);
    let mut extras = Extras::default();
    for tool in tools {
        if tool.path.is_absolute() {
            let name = Path::new(&tool.name);
            let called = match name.is_absolute() {
                true => Some(name.to_owned()),
                false => find_program(&tool.name, path),
            };
            extras.add(called.as_deref(), &tool.path, path, workspace);
        } else {
            extras.interpreter(&workspace.join(&tool.path), path, workspace);
        }
    }
    extras
}

/// Words that a compiler or linker takes a path after, in the same word.
const FLAGS: [&str; 9] = [
    "-isystem",
    "-iquote",
    "-idirafter",
    "--sysroot=",
    "-Wl,-rpath,",
    "-I",
    "-L",
    "-F",
    "-B",
];

/// Files and folders of the machine beyond the base that the words of a command name: where a library is installed, say.
/// They are shown, since the command is keyed; but what is in them is not, so results are the workspace's own.
#[must_use]
pub fn named_outside(spec: &ActionSpec, workspace: &Path) -> BTreeSet<PathBuf> {
    let ActionBody::Command { argv } = &spec.body else {
        return BTreeSet::new();
    };
    let words = argv.iter().skip(1).map(|word| {
        let flag = FLAGS.iter().find_map(|flag| word.strip_prefix(flag));
        Path::new(flag.unwrap_or(word))
    });
    let inside = [INSIDE_WORKSPACE, INSIDE_TMP].map(Path::new);
    let system = ["/proc", "/dev", "/sys", "/etc"].map(Path::new);
    words
        .filter(|path| path.is_absolute() && !base::has(path) && !inside.contains(path))
        .filter(|path| !system.iter().any(|system| path.starts_with(system)))
        .filter(|path| !workspace.starts_with(path) && !path.starts_with(workspace))
        .filter(|path| !is_shared(path) && path.exists())
        .map(Path::to_owned)
        .collect()
}

impl Extras {
    /// A program that is called by one path and really is at another.
    fn add(&mut self, called: Option<&Path>, real: &Path, path: &str, workspace: &Path) {
        if let Some(called) = called
            && called != real
            && !base::has(called)
        {
            self.links.insert((called.to_owned(), real.to_owned()));
        }
        if !base::has(real) {
            self.shown.insert(installed_in(real, workspace));
            self.interpreter(real, path, workspace);
        }
        // A folder that is shown has its links already.
        let shown = &self.shown;
        self.links
            .retain(|(link, _)| !shown.iter().any(|folder| link.starts_with(folder)));
    }

    /// What runs a script.
    fn interpreter(&mut self, script: &Path, path: &str, workspace: &Path) {
        let Some(mut words) = first_line(script) else {
            return;
        };
        let mut program = words.next();
        if program.as_deref() == Some("/usr/bin/env") {
            let word = words.find(|word| !word.starts_with('-') && !word.contains('='));
            program = word.and_then(|name| find_program(&name, path)?.to_str().map(str::to_owned));
        }
        let Some(program) = program.filter(|program| !base::has(Path::new(program))) else {
            return;
        };
        if let Ok(real) = std::fs::canonicalize(&program)
            && real.is_absolute()
            && !real.starts_with(workspace)
        {
            let called = PathBuf::from(program);
            if called != real {
                self.links.insert((called, real.clone()));
            }
            if !base::has(&real) {
                self.shown.insert(installed_in(&real, workspace));
            }
        }
    }
}

/// The words of the line that says what runs a script.
fn first_line(script: &Path) -> Option<impl Iterator<Item = String>> {
    let mut start = Vec::with_capacity(MAX_FIRST_LINE);
    let file = File::open(script).ok()?;
    file.take(MAX_FIRST_LINE as u64)
        .read_to_end(&mut start)
        .ok()?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let words: Vec<String> = String::from_utf8_lossy(line)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    Some(words.into_iter())
}

/// The folder above `bin`, else the program's own; the program alone where that would show too much.
fn installed_in(program: &Path, workspace: &Path) -> PathBuf {
    let alone = || program.to_owned();
    let Some(folder) = program.parent() else {
        return alone();
    };
    let root = match (folder.file_name(), folder.parent()) {
        (Some(name), Some(above)) if name == "bin" || name == "sbin" => above,
        _ => folder,
    };
    // A toolchain may be installed in the workspace; else what is beside a program there has to be declared.
    let is_source = |root: &Path| root == folder && root.starts_with(workspace);
    let shows_too_much =
        |root: &Path| workspace.starts_with(root) || is_source(root) || is_shared(root);
    match [root, folder]
        .into_iter()
        .find(|root| !shows_too_much(root))
    {
        Some(root) => root.to_owned(),
        None => alone(),
    }
}

/// Whether a folder is a home, or above homes: other things than one installation are in there.
fn is_shared(folder: &Path) -> bool {
    let shared = [
        "/", "/root", "/home", "/tmp", "/var", "/var/tmp", "/opt", "/mnt", "/srv", "/run", "/nix",
    ];
    shared.iter().any(|shared| folder == Path::new(shared))
        || folder.parent() == Some(Path::new("/home"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_shown_and_a_home_is_not() {
        let workspace = Path::new("/home/u/ws");
        for (program, shown) in [
            ("/home/u/.tools/llvm/bin/clang", "/home/u/.tools/llvm"),
            ("/home/u/.tools/clang", "/home/u/.tools"),
            ("/home/u/bin/clang", "/home/u/bin"),
            ("/home/u/clang", "/home/u/clang"),
            ("/home/u/ws/tools/bin/x", "/home/u/ws/tools"),
            ("/home/u/ws/src/x", "/home/u/ws/src/x"),
            ("/opt/llvm/bin/clang", "/opt/llvm"),
            ("/opt/bin/clang", "/opt/bin"),
        ] {
            assert_eq!(
                installed_in(Path::new(program), workspace),
                Path::new(shown),
                "{program}"
            );
        }
    }

    #[test]
    fn scripts_bring_their_interpreters() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = dir.path().canonicalize().expect("its path");
        std::fs::create_dir_all(home.join("lang/bin")).expect("a folder");
        std::fs::write(home.join("lang/bin/run"), "").expect("a file");
        let script = home.join("ws/script");
        std::fs::create_dir(home.join("ws")).expect("a folder");
        let interpreter = home.join("lang/bin/run");
        std::fs::write(&script, format!("#!{} -x\n", interpreter.display())).expect("a file");
        let tool = ResolvedTool {
            name: "script".to_owned(),
            path: "script".into(),
            digest: zako_cas::DigestFunction::Blake3.empty(),
        };
        let extras = extras(&[tool], None, &home.join("ws"));
        assert_eq!(extras.shown, BTreeSet::from([home.join("lang")]));
    }
}
