//! Modules: transpiled files, what their imports mean, and everything that a module needs to run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use zako_graph::{Ctx, Key};
use zako_path::{InternedPath, NeutralPath};
use zako_script::module::{Importable, script_facade};
use zako_script::{
    BuiltinRegistry, CompiledModule, Import, ModuleKind, ModuleSet, Place, Specifier,
    TranspileRequest, Transpiled, builtin_exports, nearest,
};

use super::leaf::SourceText;
use super::package::has_file;
use super::{Faults, fault, graph_fault, services};
use crate::diagnostic::{Diagnostic, Fault, Location};
use crate::workspace::ReadFault;

/// A script file, transpiled and its imports resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ModuleFile(pub(crate) InternedPath);

/// What a [`ModuleFile`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) path: NeutralPath,
    pub(crate) kind: ModuleKind,
    /// Without its source.
    pub(crate) code: Transpiled,
    pub(crate) compiled: Arc<CompiledModule>,
    /// The workspace's files that it imports, with how it sees them.
    pub(crate) files: Vec<(NeutralPath, Importable, Import)>,
    /// The embedder's builtins that it imports.
    pub(crate) builtins: Vec<String>,
}

/// Why a module is none: there is no such file, or it is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModuleFault {
    /// The file cannot be read; the importer says where that matters.
    Unreadable(ReadFault),
    /// The file is wrong in itself.
    Wrong(Faults),
}

impl Key for ModuleFile {
    type Value = Result<Arc<Resolved>, ModuleFault>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let wrong = |diagnostic: Diagnostic| ModuleFault::Wrong(fault(diagnostic));
        let services = services(ctx).map_err(|e| wrong(graph_fault(&e)))?;
        let path = self
            .0
            .resolve(&services.interner)
            .map_err(|e| wrong(Diagnostic::environment(e.to_string())))?;
        let source = ctx
            .get(&SourceText(self.0))
            .await
            .map_err(|e| wrong(graph_fault(&e)))?;
        let source = source.map_err(ModuleFault::Unreadable)?;
        let Some(kind) = ModuleKind::of(&path) else {
            return Err(wrong(Diagnostic::user(format!(
                "{path} is not a script: scripts end in .ts"
            ))));
        };
        let specifier = Specifier::File(path.clone());
        let request = TranspileRequest {
            file: path.to_string(),
            source,
            identity: (kind != ModuleKind::Build).then(|| specifier.to_string()),
            frozen: kind.is_shared(),
        };
        let code = services
            .transpiler
            .transpile(request)
            .await
            .map_err(|e| wrong(e.into()))?;
        // Whoever shows a frame reads the text then; so an edit that moves nothing ends here.
        let code = Transpiled {
            source: "".into(),
            ..Transpiled::clone(&code)
        };
        Resolved::new(&services.builtins, path, kind, code)
            .map(Arc::new)
            .map_err(wrong)
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

impl Resolved {
    /// The module that `code`, the file at `path`, is: what each import in it means, and whether it may.
    pub(super) fn new(
        builtins: &BuiltinRegistry,
        path: NeutralPath,
        kind: ModuleKind,
        code: Transpiled,
    ) -> Result<Resolved, Diagnostic> {
        let specifier = Specifier::File(path.clone());
        let mut imports = HashMap::new();
        let mut files = Vec::new();
        let mut registered = Vec::new();
        for import in &code.imports {
            let at = |message: String, help: Option<String>| {
                let mut error = Diagnostic::user(message).at(location(&import.place));
                error.help = help;
                error
            };
            let resolved = specifier
                .resolve(&import.specifier)
                .map_err(|e| at(e.message, e.help))?;
            match &resolved {
                Specifier::Builtin(name) => {
                    builtins
                        .admit(name, kind)
                        .map_err(|e| at(e.message, e.help))?;
                    if builtins.get(name).is_some() {
                        registered.push(name.clone());
                    }
                    if let Some(offered) = builtin_exports(name)
                        && let Err(faults) = check_names(import, offered)
                        && let Some(first) = faults.first()
                    {
                        return Err(first.clone());
                    }
                }
                Specifier::File(file) => {
                    let Some(other) = ModuleKind::of(file) else {
                        return Err(at(
                            format!("\"{}\" is not a script", import.specifier),
                            None,
                        ));
                    };
                    let seen = kind.import(other).map_err(|why| at(why, None))?;
                    files.push((file.clone(), seen, import.clone()));
                }
                Specifier::Memory(_) => {
                    return Err(at("in-memory modules cannot be imported".to_owned(), None));
                }
            }
            imports.insert(import.specifier.clone(), resolved);
        }
        let compiled = Arc::new(CompiledModule {
            specifier,
            js: code.js.clone(),
            map: code.map.clone(),
            source: code.source.clone(),
            imports,
        });
        Ok(Resolved {
            path,
            kind,
            code,
            compiled,
            files,
            builtins: registered,
        })
    }
}

/// Everything that a module needs to run, besides the packages that it imports.
#[derive(Default)]
pub(crate) struct Closure {
    /// Its own file and the library files that it imports, by path.
    pub(crate) modules: BTreeMap<NeutralPath, Arc<Resolved>>,
    /// Imports of packages: which, and how.
    pub(crate) packages: Vec<(NeutralPath, Import)>,
    /// Script modules that are imported as handles.
    pub(crate) scripts: Vec<NeutralPath>,
}

/// The closure of the file at `entry` and those that it imports. Modules may import one another in cycles, as in the
/// language, so this is a walk and no recursion.
pub(crate) async fn closure(ctx: &Ctx, entry: &NeutralPath) -> Result<Closure, Faults> {
    let services = services(ctx).map_err(|e| fault(graph_fault(&e)))?;
    let mut closure = Closure {
        modules: BTreeMap::new(),
        packages: Vec::new(),
        scripts: Vec::new(),
    };
    let mut queue: Vec<(NeutralPath, Option<Import>)> = vec![(entry.clone(), None)];
    while let Some((path, importer)) = queue.pop() {
        let module = match closure.modules.get(&path) {
            Some(module) => module.clone(),
            None => {
                let key = ModuleFile(services.intern(&path).map_err(fault)?);
                let module = match ctx.get(&key).await.map_err(|e| fault(graph_fault(&e)))? {
                    Ok(module) => module,
                    Err(error) => return Err(unusable(services, &path, importer, error)),
                };
                closure.modules.insert(path.clone(), module.clone());
                for (file, seen, import) in module.files.iter().rev() {
                    match seen {
                        Importable::Whole => queue.push((file.clone(), Some(import.clone()))),
                        Importable::Handles => {
                            closure.packages.push((file.clone(), import.clone()))
                        }
                        Importable::Opaque => {
                            let there = has_file(ctx, services, file).await;
                            if !there.map_err(|e| fault(graph_fault(&e)))? {
                                let missing = ModuleFault::Unreadable(ReadFault::Missing);
                                let importer = Some(import.clone());
                                return Err(unusable(services, file, importer, missing));
                            }
                            only_the_handle(import, file)?;
                            closure.scripts.push(file.clone());
                        }
                    }
                }
                module
            }
        };
        if let Some(import) = importer
            && !module.code.exports_star
        {
            let offered: Vec<&str> = module
                .code
                .exports
                .iter()
                .map(|e| e.name.as_str())
                .collect();
            check_names(&import, &offered)?;
        }
    }
    Ok(closure)
}

/// Checks that nothing but the handle is imported of a module that does not run for its importers.
fn only_the_handle(import: &Import, file: &NeutralPath) -> Result<(), Faults> {
    let Some((name, place)) = import.names.iter().find(|(name, _)| name != "default") else {
        return Ok(());
    };
    let what = ModuleKind::of(file).map_or("a script", ModuleKind::noun);
    let error = Diagnostic::user(format!(
        "\"{}\" gives no \"{name}\" to who imports it: it is {what}, which runs elsewhere, and its default is the handle that stands for it",
        import.specifier
    ));
    let help = format!(
        "import the handle as `import name from \"{}\"`, and move what both need into a library",
        import.specifier
    );
    Err(fault(error.with_help(help).at(location(place))))
}

/// Checks that every name that is imported is among those offered.
pub(crate) fn check_names(import: &Import, offered: &[&str]) -> Result<(), Faults> {
    let mut faults = Vec::new();
    for (name, place) in &import.names {
        if offered.contains(&name.as_str()) {
            continue;
        }
        let shown = if name == "default" {
            "default export".to_owned()
        } else {
            format!("export \"{name}\"")
        };
        let error = Diagnostic::user(format!(
            "\"{}\" has no {shown} when it runs",
            import.specifier
        ));
        let help = match nearest(name, offered.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"? If it is a type, write `import type`"),
            None => "if it is a type, write `import type { … }`".to_owned(),
        };
        faults.push(error.with_help(help).at(location(place)));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Arc::new(faults))
    }
}

/// A place in a module; its text is read when it is told.
pub(crate) fn location(place: &Place) -> Location {
    Location::new(place, None)
}

fn unusable(
    services: &super::Services,
    path: &NeutralPath,
    importer: Option<Import>,
    error: ModuleFault,
) -> Faults {
    match error {
        ModuleFault::Unreadable(read) => {
            let (message, help) = read.explain(&services.workspace, path);
            let kind = if matches!(read, ReadFault::Failed(_)) {
                Fault::Environment
            } else {
                Fault::User
            };
            let mut error = Diagnostic::error(kind, message);
            error.help = help;
            error.location = importer.map(|import| location(&import.place));
            fault(error)
        }
        ModuleFault::Wrong(faults) => match importer {
            None => faults,
            Some(import) => {
                let line = format!("imported by {}", import.place);
                Arc::new(
                    faults
                        .iter()
                        .map(|fault| fault.clone().with_trace(line.clone()))
                        .collect(),
                )
            }
        },
    }
}

/// The closure as a set to run: the modules, the embedder's builtins and the script handles.
pub(crate) fn module_set(services: &super::Services, closure: &Closure) -> ModuleSet {
    let mut set = ModuleSet::default();
    let mut builtins: Vec<&str> = Vec::new();
    for module in closure.modules.values() {
        set.insert(module.compiled.clone());
        builtins.extend(module.builtins.iter().map(String::as_str));
    }
    add_builtins(services, builtins, &mut set);
    for script in &closure.scripts {
        set.insert(Arc::new(script_facade(Specifier::File(script.clone()))));
    }
    set
}

/// Adds the embedder's builtins of those names, with all that they import.
pub(crate) fn add_builtins<'a>(
    services: &'a super::Services,
    mut names: Vec<&'a str>,
    set: &mut ModuleSet,
) {
    let builtins = &services.builtins;
    while let Some(name) = names.pop() {
        let Some(builtin) = builtins.get(name) else {
            continue;
        };
        if set.contains(&builtin.module.specifier) {
            continue;
        }
        set.insert(builtin.module.clone());
        let imports = builtin.module.imports.values();
        names.extend(imports.filter_map(|import| match import {
            Specifier::Builtin(name) => Some(name.as_str()),
            _ => None,
        }));
    }
}
