//! Specifiers: what an import may be written as, and what it then means.
//!
//! Resolution is text to text: whether a file is there is its caller's question.

use std::fmt;

use zako_path::NeutralPath;

/// A module's name in the engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Specifier {
    /// A builtin, as `zako:cc` or an embedder's `acme:tools`.
    Builtin(String),
    /// A file of the workspace, written `//pkg/file.ts`.
    File(NeutralPath),
    /// A module given as text, by its name.
    Memory(String),
}

impl fmt::Display for Specifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Specifier::Builtin(name) => f.write_str(name),
            Specifier::File(path) => write!(f, "//{path}"),
            Specifier::Memory(name) => write!(f, "memory:{name}"),
        }
    }
}

/// Why a specifier means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResolveFault {
    /// What is wrong, one line.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl ResolveFault {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        ResolveFault {
            message: message.into(),
            help: Some(help.into()),
        }
    }
}

/// The scheme under which V8 knows the workspace's files.
const FILE_URL: &str = "workspace:///";
/// The scheme under which V8 knows in-memory modules.
const MEMORY_URL: &str = "memory:";

impl Specifier {
    /// What `text` means when `self` imports it.
    pub fn resolve(&self, text: &str) -> Result<Specifier, ResolveFault> {
        let outside = |shown: &str| {
            ResolveFault::new(
                format!("\"{shown}\" is outside the workspace"),
                "a build script may import only files of its own workspace; copy the file in, or make it a builtin",
            )
        };
        let file = |path: NeutralPath| {
            if path.file_name().is_some_and(|name| name.ends_with(".ts")) {
                Ok(Specifier::File(path))
            } else {
                Err(ResolveFault::new(
                    format!("\"{text}\" has no .ts extension"),
                    "write the whole file name, as \"./defs.ts\" or \"//lib/BUILD.ts\"",
                ))
            }
        };
        if let Some(rest) = text.strip_prefix("//") {
            let path = NeutralPath::normalize(rest).map_err(|_| outside(text))?;
            return file(path);
        }
        if text.starts_with("./") || text.starts_with("../") {
            let Specifier::File(from) = self else {
                return Err(ResolveFault::new(
                    format!("{self} may not import \"{text}\": it is not a file"),
                    "modules that are no files import builtins only, as \"zako:path\"",
                ));
            };
            let directory = from.parent().unwrap_or_else(NeutralPath::root);
            let path = directory.resolve(text).map_err(|_| outside(text))?;
            return file(path);
        }
        if text.starts_with('/') {
            return Err(outside(text));
        }
        match text.split_once(':') {
            Some(("node", name)) => Err(ResolveFault::new(
                format!(
                    "\"{text}\" is a Node.js module; build scripts run in zako's own hermetic realm"
                ),
                match name {
                    "fs" | "fs/promises" => {
                        "to read a file use readText or glob from \"zako:build\"; to write one, a task"
                    }
                    "path" => "use \"zako:path\"",
                    "crypto" => "use \"zako:hash\"",
                    _ => "what a build needs of the machine is done by a task",
                },
            )),
            Some(("http" | "https", _)) => Err(ResolveFault::new(
                format!("\"{text}\" is on the network; build scripts may not reach it"),
                "copy the file into the workspace and import it from there",
            )),
            Some(("npm" | "jsr", _)) => Err(ResolveFault::new(
                format!("\"{text}\" is a package; build scripts have no packages"),
                "copy what you need into a library file of the workspace",
            )),
            Some(("file", _)) => Err(outside(text)),
            Some(("ext" | "workspace" | "memory" | "data" | "blob", _)) => Err(ResolveFault::new(
                format!("there is no module \"{text}\""),
                "builtins are listed by `zako types`",
            )),
            Some((scheme, name))
                if scheme.bytes().all(|b| b.is_ascii_lowercase())
                    && !name.starts_with("internal/") =>
            {
                Ok(Specifier::Builtin(text.to_owned()))
            }
            Some(_) => Err(ResolveFault::new(
                format!("there is no module \"{text}\""),
                "builtins are listed by `zako types`",
            )),
            None => Err(ResolveFault::new(
                format!("\"{text}\" is not a specifier"),
                format!(
                    "a file is written \"./{text}\" or \"//{text}\" from the workspace's root, a builtin \"zako:{text}\""
                ),
            )),
        }
    }

    /// The name under which V8 knows the module: a URL.
    pub fn url(&self) -> String {
        match self {
            Specifier::Builtin(name) => name.clone(),
            Specifier::File(path) => format!("{FILE_URL}{}", encode(path.as_str())),
            Specifier::Memory(name) => format!("{MEMORY_URL}{}", encode(name)),
        }
    }

    /// The module's name for a person: the path of a file, else the specifier.
    pub fn shown(&self) -> String {
        match self {
            Specifier::File(path) => path.to_string(),
            other => other.to_string(),
        }
    }
}

/// Percent-encodes what a URL's path does not take as it is.
fn encode(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::Specifier;
    use zako_path::NeutralPath;

    fn file(path: &str) -> Specifier {
        Specifier::File(NeutralPath::new(path).expect("a path"))
    }

    #[test]
    fn relative_and_absolute_specifiers_meet() {
        let from = file("a/b/BUILD.ts");
        assert_eq!(from.resolve("./x.ts"), Ok(file("a/b/x.ts")));
        assert_eq!(from.resolve("../x.ts"), Ok(file("a/x.ts")));
        assert_eq!(from.resolve("//lib/BUILD.ts"), Ok(file("lib/BUILD.ts")));
        assert_eq!(
            from.resolve("zako:cc"),
            Ok(Specifier::Builtin("zako:cc".into()))
        );
        assert_eq!(file("BUILD.ts").resolve("./x.ts"), Ok(file("x.ts")));
    }

    #[test]
    fn what_is_no_module_says_what_to_do() {
        let from = file("a/BUILD.ts");
        for (text, message) in [
            ("../../x.ts", "outside the workspace"),
            ("//../x.ts", "outside the workspace"),
            ("/etc/x.ts", "outside the workspace"),
            ("file:///etc/x.ts", "outside the workspace"),
            ("node:fs", "Node.js module"),
            ("http://x/y.ts", "on the network"),
            ("https://x/y.ts", "on the network"),
            ("npm:left-pad", "is a package"),
            ("./x", "no .ts extension"),
            ("lodash", "is not a specifier"),
            ("zako:internal/host", "there is no module"),
            ("ext:core/ops", "there is no module"),
            ("ext:core/ops", "there is no module"),
        ] {
            match from.resolve(text) {
                Err(fault) => {
                    assert!(fault.message.contains(message), "{text}: {}", fault.message);
                    assert!(fault.help.is_some(), "{text} has no help");
                }
                Ok(other) => panic!("{text} resolved to {other}"),
            }
        }
    }

    #[test]
    fn urls_are_encoded() {
        assert_eq!(file("a b/ü.ts").url(), "workspace:///a%20b/%C3%BC.ts");
    }
}
