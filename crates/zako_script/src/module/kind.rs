//! What a file is, told by its name, and what that lets it import (docs/scripts.md: "Files and imports").

use zako_path::NeutralPath;

/// What a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModuleKind {
    /// `BUILD.ts`: a package.
    Build,
    /// `*.rule.ts`: rules and providers.
    Rule,
    /// `*.config.ts`: options and platforms.
    Config,
    /// `*.toolchain.ts`: finds and describes tools.
    Toolchain,
    /// `*.script.ts`: the body of a script action.
    Script,
    /// Any other `*.ts`.
    Library,
    /// A `zako:` module, or one that an embedder registered.
    Builtin,
    /// A module that exists only in memory.
    Memory,
}

/// How an importer sees what it imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importable {
    /// The module itself runs in the importer's realm.
    Whole,
    /// Only frozen handles of what it exports: it runs in a realm of its own.
    Handles,
    /// Only an opaque handle: it does not run for the importer at all.
    Opaque,
}

impl ModuleKind {
    /// The kind of the file at `path`; `None` when it is no script.
    pub fn of(path: &NeutralPath) -> Option<ModuleKind> {
        let name = path.file_name()?;
        if name == "BUILD.ts" {
            return Some(ModuleKind::Build);
        }
        let stem = name.strip_suffix(".ts")?;
        if stem.ends_with(".d") {
            return None;
        }
        Some(match stem.rsplit_once('.').map(|(_, kind)| kind) {
            Some("rule") => ModuleKind::Rule,
            Some("config") => ModuleKind::Config,
            Some("toolchain") => ModuleKind::Toolchain,
            Some("script") => ModuleKind::Script,
            _ => ModuleKind::Library,
        })
    }

    /// What a person calls it.
    pub fn noun(self) -> &'static str {
        match self {
            ModuleKind::Build => "a BUILD.ts file",
            ModuleKind::Rule => "a rule file (*.rule.ts)",
            ModuleKind::Config => "a configuration file (*.config.ts)",
            ModuleKind::Toolchain => "a toolchain file (*.toolchain.ts)",
            ModuleKind::Script => "a script file (*.script.ts)",
            ModuleKind::Library => "a library file (*.ts)",
            ModuleKind::Builtin => "a builtin",
            ModuleKind::Memory => "an in-memory module",
        }
    }

    /// Whether more than one package or target may use what such a module holds, so that it is frozen once it has run. A package
    /// and the body of an action run once, and what they hold dies with their context.
    pub fn is_shared(self) -> bool {
        use ModuleKind::{Config, Library, Rule, Toolchain};
        matches!(self, Library | Rule | Config | Toolchain)
    }

    /// How a module of this kind may import one of kind `other`; the error says why not.
    pub fn import(self, other: ModuleKind) -> Result<Importable, String> {
        use ModuleKind::{Build, Builtin, Config, Library, Memory, Rule, Script, Toolchain};
        let refused = |why: &str| {
            Err(format!(
                "{} may not import {}: {why}",
                self.noun(),
                other.noun()
            ))
        };
        match (self, other) {
            (_, Builtin) => Ok(Importable::Whole),
            (Memory | Builtin, _) => refused("it may import builtins only"),
            (_, Memory) => refused("in-memory modules stand alone"),
            (Build, Build) => Ok(Importable::Handles),
            (_, Build) => {
                refused("only packages import packages; pass the target in as an argument")
            }
            (_, Rule | Config | Library) => Ok(Importable::Whole),
            (Script | Toolchain, _) => refused(
                "it runs apart from packages and may use libraries, rule and configuration files only",
            ),
            (_, Script | Toolchain) => Ok(Importable::Opaque),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Importable, ModuleKind};
    use zako_path::NeutralPath;

    #[test]
    fn names_tell_kinds() {
        let kind = |path: &str| ModuleKind::of(&NeutralPath::new(path).expect("a path"));
        assert_eq!(kind("BUILD.ts"), Some(ModuleKind::Build));
        assert_eq!(kind("a/BUILD.ts"), Some(ModuleKind::Build));
        assert_eq!(kind("a/my.BUILD.ts"), Some(ModuleKind::Library));
        assert_eq!(kind("a/go.rule.ts"), Some(ModuleKind::Rule));
        assert_eq!(kind("a/x.y.script.ts"), Some(ModuleKind::Script));
        assert_eq!(kind("a/x.config.ts"), Some(ModuleKind::Config));
        assert_eq!(kind("a/x.toolchain.ts"), Some(ModuleKind::Toolchain));
        assert_eq!(kind("a/x.ts"), Some(ModuleKind::Library));
        assert_eq!(kind("a/x.d.ts"), None);
        assert_eq!(kind("a/x.js"), None);
    }

    #[test]
    fn packages_meet_as_handles_only() {
        assert_eq!(
            ModuleKind::Build.import(ModuleKind::Build),
            Ok(Importable::Handles)
        );
        assert!(ModuleKind::Library.import(ModuleKind::Build).is_err());
        assert_eq!(
            ModuleKind::Build.import(ModuleKind::Script),
            Ok(Importable::Opaque)
        );
        assert!(ModuleKind::Script.import(ModuleKind::Script).is_err());
        for token in [ModuleKind::Rule, ModuleKind::Config, ModuleKind::Library] {
            for importer in [
                ModuleKind::Script,
                ModuleKind::Toolchain,
                ModuleKind::Config,
            ] {
                assert_eq!(importer.import(token), Ok(Importable::Whole));
            }
        }
        assert!(ModuleKind::Memory.import(ModuleKind::Library).is_err());
        assert_eq!(
            ModuleKind::Memory.import(ModuleKind::Builtin),
            Ok(Importable::Whole)
        );
    }
}
