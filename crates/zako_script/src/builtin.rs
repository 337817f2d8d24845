//! Which builtins there are, and which kinds of file may import each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::module::{CompiledModule, ModuleKind, ResolveFault};

/// `.d.ts` of the builtins in the snapshot, by specifier.
static DECLARATIONS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/declarations.rs"));

/// The declarations (`.d.ts` text, with doc comments) of zako's own builtins, by specifier.
pub fn declarations() -> impl Iterator<Item = (&'static str, &'static str)> {
    DECLARATIONS.iter().copied()
}

/// Tells zako's own builtins from those of another build of this crate: 16 hexadecimal digits.
pub const BUILTINS_IDENTITY: &str = env!("ZAKO_BUILTINS");

/// A builtin that an embedder registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builtin {
    /// Its specifier, as `acme:tools`: lower-case scheme, not `zako`.
    pub specifier: String,
    /// Its code, which may import other builtins only.
    pub module: Arc<CompiledModule>,
    /// Its declarations for `zako types`.
    pub declarations: String,
}

/// All builtins of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltinRegistry {
    own: BTreeMap<String, Builtin>,
}

impl BuiltinRegistry {
    /// Adds an embedder's builtin; a name of zako's or one taken already is an error.
    pub fn register(&mut self, builtin: Builtin) -> Result<(), ResolveFault> {
        let name = &builtin.specifier;
        let (scheme, rest) = name.split_once(':').unwrap_or(("", ""));
        // The rest becomes a file's name in `zako types`.
        let is_word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if scheme.is_empty()
            || !rest.split('/').all(is_word)
            || !scheme.bytes().all(|b| b.is_ascii_lowercase())
            || [
                "zako",
                "ext",
                "node",
                "http",
                "https",
                "npm",
                "jsr",
                "file",
                "workspace",
                "memory",
            ]
            .contains(&scheme)
        {
            return Err(ResolveFault {
                message: format!("\"{name}\" cannot be a builtin's name"),
                help: Some("use a scheme of your own, as \"acme:tools\"".to_owned()),
            });
        }
        if self.own.contains_key(name) {
            return Err(ResolveFault {
                message: format!("the builtin \"{name}\" is registered already"),
                help: None,
            });
        }
        self.own.insert(name.clone(), builtin);
        Ok(())
    }

    /// The embedder's builtin of that name.
    pub fn get(&self, name: &str) -> Option<&Builtin> {
        self.own.get(name)
    }

    /// The embedders' builtins, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Builtin> {
        self.own.values()
    }

    /// Whether a module of `kind` may import the builtin `name`.
    pub fn admit(&self, name: &str, kind: ModuleKind) -> Result<(), ResolveFault> {
        if self.own.contains_key(name) {
            return Ok(());
        }
        let Some(kinds) = importers(name) else {
            let known: Vec<&str> = DECLARATIONS
                .iter()
                .map(|(known, _)| *known)
                .filter(|known| importers(known).is_some_and(|kinds| kinds.contains(&kind)))
                .chain(self.own.keys().map(String::as_str))
                .collect();
            let near = nearest(name, known.iter().copied());
            return Err(ResolveFault {
                message: format!("there is no builtin \"{name}\""),
                help: Some(match near {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("the builtins are {}", known.join(", ")),
                }),
            });
        };
        if kinds.contains(&kind) {
            return Ok(());
        }
        Err(ResolveFault {
            message: format!("{} may not import \"{name}\"", kind.noun()),
            help: Some(format!(
                "\"{name}\" is for {}",
                kinds
                    .iter()
                    .filter(|k| !matches!(k, ModuleKind::Builtin))
                    .map(|k| k.noun())
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        })
    }
}

/// The kinds of file that may import zako's builtin `name`.
fn importers(name: &str) -> Option<&'static [ModuleKind]> {
    use ModuleKind::{Build, Builtin, Config, Library, Memory, Rule, Script, Toolchain};
    if !DECLARATIONS.iter().any(|(known, _)| *known == name) {
        return None;
    }
    Some(match name {
        "zako:build" | "zako:cc" | "zako:cargo" | "zako:rust" | "zako:node" | "zako:test"
        | "zako:archive" => &[Build, Library, Rule, Builtin],
        "zako:rule" | "zako:config" => &[Build, Library, Rule, Config, Toolchain, Builtin],
        "zako:script" => &[Script, Builtin],
        "zako:toolchain" | "zako:toolchains" => &[Toolchain, Builtin],
        "zako:host" => &[Builtin],
        _ => &[
            Build, Rule, Config, Toolchain, Script, Library, Builtin, Memory,
        ],
    })
}

/// The most similar of `names`, if one is similar enough to have been meant.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| {
            *distance <= known.chars().count().max(name.chars().count()) / 3 + 1
        })
        .min()
        .map(|(_, known)| known)
}
