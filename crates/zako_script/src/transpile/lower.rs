//! TypeScript to JavaScript by oxc, as plain functions of text.
//!
//! This file is compiled twice: into the crate and into `build.rs` (for the builtins), so it knows
//! oxc and nothing of zako. It never reads a file, and it recurses as deep as the source nests: its
//! callers bound the nesting and give it a large stack.

use std::path::Path;

use oxc::allocator::Allocator;
use oxc::ast::ast::{
    BindingIdentifier, Declaration, ExportDefaultDeclarationKind, ImportDeclarationSpecifier,
    Statement, TSNamespaceDeclaration, TSNamespaceDeclarationBody, VariableDeclarationKind,
};
use oxc::codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc::diagnostics::OxcDiagnostic;
use oxc::isolated_declarations::{IsolatedDeclarations, IsolatedDeclarationsOptions};
use oxc::parser::Parser;
use oxc::semantic::{Scoping, SemanticBuilder, SymbolFlags};
use oxc::span::SourceType;
use oxc::syntax::module_record::{ExportExportName, ImportImportName, ModuleRecord};
use oxc::transformer::{TransformOptions, Transformer, TypeScriptOptions};

/// A place in the source: byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSpan {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl From<oxc::span::Span> for ByteSpan {
    fn from(span: oxc::span::Span) -> Self {
        ByteSpan {
            start: span.start,
            end: span.end,
        }
    }
}

/// One specifier that a module asks for when it runs (type-only imports are no such thing).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImportRecord {
    /// The specifier as written.
    pub specifier: String,
    /// Where it is written.
    pub span: ByteSpan,
    /// The names taken from it, with their places; empty for side-effect and namespace imports.
    pub names: Vec<(String, ByteSpan)>,
}

/// One name that a module offers when it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExportRecord {
    /// The exported name (`default` for the default export).
    pub name: String,
    /// Where it is exported.
    pub span: ByteSpan,
}

/// What lowering a module gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lowered {
    /// The JavaScript.
    pub js: String,
    /// The source map, JSON, from `js` to the source.
    pub map: String,
    /// Run-time imports, in the order of their first appearance.
    pub imports: Vec<ImportRecord>,
    /// Run-time exports in source order; `export *` is not among them.
    pub exports: Vec<ExportRecord>,
    /// Whether there is an `export *`, so that `exports` is not all.
    pub exports_star: bool,
    /// What the module itself binds when it runs, by name; `default` for a default export that has none.
    pub bindings: Vec<String>,
}

/// What a module may do with its own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModuleState {
    /// Change it at any time.
    Free,
    /// Nothing once it has run: what could change by itself is a fault.
    Frozen,
}

/// A fault of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong, one line.
    pub message: String,
    /// What to do, where oxc knows.
    pub help: Option<String>,
    /// Where; `None` when oxc gives no place.
    pub span: Option<ByteSpan>,
}

impl From<&OxcDiagnostic> for Fault {
    fn from(error: &OxcDiagnostic) -> Self {
        let span = error.labels.first().map(|label| {
            let start = label.offset();
            let len = label.len();
            ByteSpan {
                start,
                end: start.saturating_add(len),
            }
        });
        Fault {
            message: error.message.to_string(),
            help: error.help.as_ref().map(ToString::to_string),
            span,
        }
    }
}

/// Lowers `source` (TypeScript, a module) to JavaScript; `name` is what the source map calls it. What is in `allocator`
/// afterwards is of no use to anyone.
pub(crate) fn lower(
    allocator: &Allocator,
    name: &str,
    source: &str,
    state: ModuleState,
) -> Result<Lowered, Vec<Fault>> {
    let parsed = Parser::new(allocator, source, SourceType::ts().with_module(true)).parse();
    if !parsed.diagnostics.is_empty() {
        return Err(parsed.diagnostics.iter().map(Fault::from).collect());
    }
    let (imports, exports, exports_star) = records(&parsed.module_record, source)?;
    let mut program = parsed.program;
    if let Some(fault) = program.body.iter().find_map(how_it_is_imported) {
        return Err(vec![fault]);
    }
    program.body.retain(|statement| !is_type_only(statement));
    let checked = SemanticBuilder::new()
        .with_check_syntax_error(true)
        .with_enum_eval(true)
        .build(&program);
    if !checked.diagnostics.is_empty() {
        return Err(checked.diagnostics.iter().map(Fault::from).collect());
    }
    if state == ModuleState::Frozen {
        let in_namespace = program.body.iter().find_map(variable_in_namespace);
        if let Some(fault) = variable(checked.semantic.scoping(), in_namespace) {
            return Err(vec![fault]);
        }
    }
    let options = TransformOptions {
        typescript: TypeScriptOptions {
            only_remove_type_imports: true,
            ..TypeScriptOptions::default()
        },
        ..TransformOptions::default()
    };
    let path = Path::new(name);
    let transformed = Transformer::new(allocator, path, &options)
        .build_with_scoping(checked.semantic.into_scoping(), &mut program);
    if !transformed.diagnostics.is_empty() {
        return Err(transformed.diagnostics.iter().map(Fault::from).collect());
    }
    let mut bindings = Vec::new();
    for statement in &program.body {
        bind(statement, &mut bindings);
    }
    let printed = Codegen::new()
        .with_options(CodegenOptions {
            source_map_path: Some(path.to_path_buf()),
            comments: CommentOptions::disabled(),
            ..CodegenOptions::default()
        })
        .build(&program);
    // Without the text, which whoever wants it reads: so a map changes only when something moves.
    let map = printed.map.map(|mut map| {
        map.set_source_contents(Vec::new());
        map.to_json_string()
    });
    Ok(Lowered {
        js: printed.code,
        map: map.unwrap_or_default(),
        imports,
        exports,
        exports_star,
        bindings,
    })
}

/// What `statement`, plain JavaScript at a module's top level, binds; imports belong to other modules.
fn bind(statement: &Statement<'_>, out: &mut Vec<String>) {
    if let Statement::ExportDefaultDeclaration(export) = statement {
        let id = match &export.declaration {
            ExportDefaultDeclarationKind::FunctionDeclaration(f) => f.id.as_ref(),
            ExportDefaultDeclarationKind::ClassDeclaration(class) => class.id.as_ref(),
            _ => None,
        };
        out.push(id.map_or_else(|| "default".to_owned(), named));
        return;
    }
    match declaration(statement) {
        Some(Declaration::VariableDeclaration(variables)) => {
            for variable in &variables.declarations {
                let names = variable.id.get_binding_identifiers();
                out.extend(names.into_iter().map(named));
            }
        }
        Some(Declaration::FunctionDeclaration(f)) => out.extend(f.id.as_ref().map(named)),
        Some(Declaration::ClassDeclaration(class)) => out.extend(class.id.as_ref().map(named)),
        _ => {}
    }
}

fn named(id: &BindingIdentifier<'_>) -> String {
    id.name.to_string()
}

/// The fault of what the module binds and could bind anew after it has run: its variables (`in_namespace` is one of those in a
/// namespace), and functions and classes that something is assigned to.
fn variable(scoping: &Scoping, in_namespace: Option<ByteSpan>) -> Option<Fault> {
    let changeable = scoping.iter_bindings_in(scoping.root_scope_id());
    let changeable = changeable.filter_map(|symbol| {
        let flags = scoping.symbol_flags(symbol);
        if flags.contains(SymbolFlags::Ambient) {
            return None;
        }
        if flags.intersects(SymbolFlags::Variable) {
            let changes = !flags.contains(SymbolFlags::ConstVariable);
            return changes.then(|| (scoping.symbol_span(symbol), scoping.symbol_name(symbol)));
        }
        let named = flags.intersects(SymbolFlags::Function | SymbolFlags::Class);
        let changes = named && scoping.symbol_is_mutated(symbol);
        changes.then(|| (scoping.symbol_span(symbol), scoping.symbol_name(symbol)))
    });
    let first = changeable.min_by_key(|(span, _)| span.start);
    let (span, what) = match (first, in_namespace) {
        (Some((span, name)), _) => (span.into(), format!("`{name}` of this module")),
        (None, Some(span)) => (span, "this variable of a namespace".to_owned()),
        (None, None) => return None,
    };
    Some(Fault {
        message: format!("{what} can change after the module has run"),
        help: Some(
            "write `const`, or keep it in a function: what a library or rule module holds is frozen once it has run, so that no \
             package and no target sees what another one did"
                .to_owned(),
        ),
        span: Some(span),
    })
}

/// A variable of a namespace at a module's top level.
fn variable_in_namespace(statement: &Statement<'_>) -> Option<ByteSpan> {
    match declaration(statement)? {
        Declaration::TSNamespaceDeclaration(namespace) => variable_within(namespace),
        _ => None,
    }
}

fn variable_within(namespace: &TSNamespaceDeclaration<'_>) -> Option<ByteSpan> {
    if namespace.declare {
        return None;
    }
    let block = match &namespace.body {
        TSNamespaceDeclarationBody::TSNamespaceDeclaration(inner) => return variable_within(inner),
        TSNamespaceDeclarationBody::TSModuleBlock(block) => block,
    };
    block
        .body
        .iter()
        .find_map(|statement| match declaration(statement)? {
            Declaration::TSNamespaceDeclaration(inner) => variable_within(inner),
            Declaration::VariableDeclaration(variables) => {
                let free = matches!(
                    variables.kind,
                    VariableDeclarationKind::Let | VariableDeclarationKind::Var
                );
                (free && !variables.declare).then(|| variables.span.into())
            }
            _ => None,
        })
}

/// What the statement declares, exported or not.
fn declaration<'s, 'a>(statement: &'s Statement<'a>) -> Option<&'s Declaration<'a>> {
    match statement {
        Statement::ExportDeclaration(export) => Some(&export.declaration),
        other => other.as_declaration(),
    }
}

/// The declarations (`.d.ts`) of `source`, with its doc comments.
pub(crate) fn declarations(source: &str) -> Result<String, Vec<Fault>> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::ts().with_module(true)).parse();
    if !parsed.diagnostics.is_empty() {
        return Err(parsed.diagnostics.iter().map(Fault::from).collect());
    }
    let declared = IsolatedDeclarations::new(
        &allocator,
        IsolatedDeclarationsOptions {
            strip_internal: true,
        },
    )
    .build(&parsed.program);
    if !declared.diagnostics.is_empty() {
        return Err(declared.diagnostics.iter().map(Fault::from).collect());
    }
    Ok(Codegen::new()
        .with_options(CodegenOptions {
            comments: CommentOptions {
                jsdoc: true,
                ..CommentOptions::disabled()
            },
            ..CodegenOptions::default()
        })
        .build(&declared.program)
        .code)
}

/// Whether the statement imports or re-exports types and nothing else, each marked on its own: TypeScript's
/// `verbatimModuleSyntax` would leave an import for its side effects, but types cost nothing here.
fn is_type_only(statement: &Statement<'_>) -> bool {
    match statement {
        Statement::ImportDeclaration(import) => {
            import.specifiers.as_ref().is_some_and(|specifiers| {
                !specifiers.is_empty()
                    && specifiers.iter().all(|specifier| match specifier {
                        ImportDeclarationSpecifier::ImportSpecifier(s) => s.import_kind.is_type(),
                        _ => false,
                    })
            })
        }
        Statement::ExportFromDeclaration(export) => {
            !export.specifiers.is_empty()
                && export.specifiers.iter().all(|s| s.export_kind.is_type())
        }
        _ => false,
    }
}

/// The fault of an import that says how it is to be loaded: every module is loaded the one way there is.
fn how_it_is_imported(statement: &Statement<'_>) -> Option<Fault> {
    let attributes = |span| loaded_otherwise("import attributes have no meaning here", span);
    match statement {
        Statement::ImportDeclaration(import) if import.phase.is_some() => Some(loaded_otherwise(
            "a module is imported whole, without a phase",
            import.span.into(),
        )),
        Statement::ImportDeclaration(import) => {
            let clause = import.with_clause.as_ref()?;
            Some(attributes(clause.span.into()))
        }
        Statement::ExportFromDeclaration(export) => {
            let clause = export.with_clause.as_ref()?;
            Some(attributes(clause.span.into()))
        }
        Statement::ExportAllDeclaration(export) => {
            let clause = export.with_clause.as_ref()?;
            Some(attributes(clause.span.into()))
        }
        _ => None,
    }
}

fn loaded_otherwise(message: &str, span: ByteSpan) -> Fault {
    Fault {
        message: message.to_owned(),
        help: Some("every module is TypeScript; read data with readJson or readText".to_owned()),
        span: Some(span),
    }
}

type Records = (Vec<ImportRecord>, Vec<ExportRecord>, bool);

fn records(record: &ModuleRecord<'_>, source: &str) -> Result<Records, Vec<Fault>> {
    let mut imports: Vec<ImportRecord> = Vec::new();
    for (specifier, requests) in &record.requested_modules {
        // As in `is_type_only`: a statement goes when every name in it is a type.
        let typed = |statement: oxc::span::Span| {
            let imported = record
                .import_entries
                .iter()
                .filter(|e| e.statement_span == statement)
                .map(|e| e.is_type);
            let exported = record
                .indirect_export_entries
                .iter()
                .filter(|e| e.statement_span == statement)
                .map(|e| e.is_type);
            let mut names = imported.chain(exported).peekable();
            names.peek().is_some() && names.all(|is_type| is_type)
        };
        let Some(request) = requests
            .iter()
            .find(|r| !r.is_type && !typed(r.statement_span))
        else {
            continue;
        };
        let names = record
            .import_entries
            .iter()
            .filter(|e| !e.is_type && e.module_request.name == *specifier)
            .filter_map(|e| match &e.import_name {
                ImportImportName::Name(name) => Some((name.name.to_string(), name.span.into())),
                ImportImportName::Default(span) => Some(("default".to_owned(), (*span).into())),
                ImportImportName::NamespaceObject => None,
            })
            .collect();
        imports.push(ImportRecord {
            specifier: specifier.to_string(),
            span: request.span.into(),
            names,
        });
    }
    for dynamic in &record.dynamic_imports {
        let span = ByteSpan::from(dynamic.module_request);
        let text = source
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default();
        let quoted = text.len() >= 2
            && (text.starts_with('"') || text.starts_with('\''))
            && text.ends_with(&text[..1])
            && !text[1..text.len() - 1].contains([text.as_bytes()[0] as char, '\\']);
        if !quoted {
            return Err(vec![Fault {
                message: "import() takes a literal specifier only".to_owned(),
                help: Some(
                    "write the specifier as a string, so that zako knows it before the file runs"
                        .to_owned(),
                ),
                span: Some(span),
            }]);
        }
        let whole = ByteSpan::from(dynamic.span);
        let beside = |from: u32, to: u32| {
            let text = source.get(from as usize..to as usize);
            text.unwrap_or_default()
                .trim_matches([' ', '\t', '\n', '\r', ',', '(', ')'])
        };
        if beside(whole.start, span.start) != "import" || !beside(span.end, whole.end).is_empty() {
            return Err(vec![loaded_otherwise(
                "import() takes a specifier and nothing else",
                whole,
            )]);
        }
        let specifier = text[1..text.len() - 1].to_owned();
        if !imports.iter().any(|i| i.specifier == specifier) {
            imports.push(ImportRecord {
                specifier,
                span,
                names: Vec::new(),
            });
        }
    }
    imports.sort_by_key(|i| i.span.start);

    let mut exports: Vec<ExportRecord> = Vec::new();
    for entry in record
        .local_export_entries
        .iter()
        .chain(&record.indirect_export_entries)
    {
        if entry.is_type {
            continue;
        }
        match &entry.export_name {
            ExportExportName::Name(name) => {
                exports.push(ExportRecord {
                    name: name.name.to_string(),
                    span: name.span.into(),
                });
            }
            ExportExportName::Default(span) => {
                exports.push(ExportRecord {
                    name: "default".to_owned(),
                    span: (*span).into(),
                });
            }
            ExportExportName::Null => {}
        }
    }
    exports.sort_by_key(|e| e.span.start);
    let star = record.star_export_entries.iter().any(|e| !e.is_type);
    Ok((imports, exports, star))
}
