//! Programs of this machine: found on the keyed PATH, by real path and content.
//!
//! **Invariant:** PATH is the action's own or zako's constant one, never that of the person who builds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use zako_action::ResolvedTool;
use zako_exec::FIXED_PATH;

use crate::diagnostic::Diagnostic;
use crate::files::{Files, tool_witness};

/// Whether `name`, of a program in a command, is one of the machine's: a bare name or an absolute path. Else it is a declared file.
pub(crate) fn is_of_the_machine(name: &str) -> bool {
    !name.contains('/') || Path::new(name).is_absolute()
}

/// What installs a program, where Debian's package has another name.
const PACKAGES: &[(&str, &str)] = &[
    ("cc", "build-essential"),
    ("gcc", "build-essential"),
    ("c++", "build-essential"),
    ("g++", "build-essential"),
    ("ar", "build-essential"),
    ("ld", "build-essential"),
    ("make", "build-essential"),
    ("clang++", "clang"),
    ("ninja", "ninja-build"),
    ("pkg-config", "pkgconf"),
    ("node", "nodejs"),
    ("npx", "npm"),
    ("cargo", "cargo"),
    ("rustc", "rustc"),
    ("go", "golang-go"),
    ("javac", "default-jdk"),
    ("java", "default-jre"),
    ("protoc", "protobuf-compiler"),
    ("pip3", "python3-pip"),
];

/// Folders that belong to the machine's toolchains: what a compiler reads there counts as part of the compiler.
const SYSTEM_ROOTS: [&str; 5] = ["/usr", "/lib", "/lib64", "/lib32", "/opt"];

/// The programs that this build asked for.
#[derive(Default)]
pub(crate) struct Tools {
    found: Mutex<HashMap<(String, String), ResolvedTool>>,
}

impl Tools {
    /// The program called `name`, a bare name or an absolute path, for an action with this PATH.
    pub(crate) fn find(
        &self,
        files: &Files,
        name: &str,
        path: Option<&str>,
    ) -> Result<ResolvedTool, Diagnostic> {
        let path = path.unwrap_or(FIXED_PATH);
        let key = (name.to_owned(), path.to_owned());
        if let Some(tool) = self.found.lock().get(&key) {
            return Ok(tool.clone());
        }
        let unreadable = |error: &dyn std::fmt::Display| {
            Diagnostic::environment(format!("the program `{name}` cannot be read: {error}"))
        };
        let (witness, real) = tool_witness(name, path).ok_or_else(|| missing(name, path))?;
        let digest = files
            .tool(name, path, &witness, &real)
            .map_err(|e| unreadable(&e))?
            .ok_or_else(|| missing(name, path))?;
        let tool = ResolvedTool {
            name: name.to_owned(),
            path: real,
            digest,
        };
        self.found.lock().insert(key, tool.clone());
        Ok(tool)
    }
}

fn missing(name: &str, path: &str) -> Diagnostic {
    if Path::new(name).is_absolute() {
        return Diagnostic::environment(format!("the program `{name}` is not on this machine"))
            .with_help("install it, or name another one");
    }
    let package = PACKAGES
        .iter()
        .find(|(program, _)| *program == name)
        .map_or(name, |(_, package)| package);
    Diagnostic::environment(format!("the program `{name}` is not on this machine (looked in {path})")).with_help(format!(
        "install it (on Debian and Ubuntu: `apt install {package}`), or build it and name it in `tools`"
    ))
}

/// The folders whose files are covered by the identity of `tools`: the system's, and where each tool is installed
/// (the folder above its `bin`, else its own). One that the workspace is in is none, or it would hide what an action
/// reads without declaring it.
pub(super) fn toolchain_roots(tools: &[ResolvedTool], workspace: &Path) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = SYSTEM_ROOTS.iter().map(PathBuf::from).collect();
    for tool in tools.iter().filter(|tool| tool.path.is_absolute()) {
        let Some(folder) = tool.path.parent() else {
            continue;
        };
        let prefix = match folder.file_name() {
            Some(name) if name == "bin" => folder.parent().unwrap_or(folder),
            _ => folder,
        };
        roots.extend(
            [prefix, folder]
                .into_iter()
                .find(|root| root.parent().is_some())
                .map(Path::to_owned),
        );
    }
    roots.retain(|root| !workspace.starts_with(root));
    roots.sort_unstable();
    roots.dedup();
    roots
}

#[cfg(test)]
mod tests {
    use zako_cas::DigestFunction;

    use super::*;

    fn roots(tool: &str, workspace: &str) -> Vec<String> {
        let tool = ResolvedTool {
            name: "t".into(),
            path: tool.into(),
            digest: DigestFunction::Blake3.empty(),
        };
        let roots = toolchain_roots(&[tool], Path::new(workspace));
        roots
            .into_iter()
            .map(|root| root.display().to_string())
            .filter(|r| !SYSTEM_ROOTS.contains(&r.as_str()))
            .collect()
    }

    #[test]
    fn a_toolchain_is_the_folder_above_bin() {
        assert_eq!(
            roots("/home/u/llvm/bin/clang", "/home/u/ws"),
            ["/home/u/llvm"]
        );
        assert_eq!(
            roots("/home/u/tools/clang", "/home/u/ws"),
            ["/home/u/tools"]
        );
        assert_eq!(
            roots("/home/u/bin/clang", "/home/u/ws"),
            [""; 0],
            "the workspace is below /home/u"
        );
        assert_eq!(roots("/bin/sh", "/ws"), ["/bin"]);
        assert_eq!(
            roots("zako-out/tool", "/ws"),
            [""; 0],
            "a tool of the workspace is an input"
        );
    }

    #[test]
    fn a_missing_program_says_what_to_install() {
        let diagnostic = missing("c++", "/x:/y");
        assert_eq!(diagnostic.fault, crate::Fault::Environment);
        assert_eq!(
            diagnostic.message,
            "the program `c++` is not on this machine (looked in /x:/y)"
        );
        assert!(
            diagnostic
                .help
                .is_some_and(|help| help.contains("apt install build-essential"))
        );
    }
}
