//! TypeScript to JavaScript, in a worker pool of its own, with results kept by content.
//!
//! Knows text only: whether an import exists is for whoever asked.

mod attribute;
mod lower;
mod nesting;

use std::sync::{Arc, LazyLock};

use oxc::allocator::Allocator;
use quick_cache::sync::Cache;

use crate::error::{Lines, Place, ScriptError, ScriptErrorKind, place_of};
use crate::pool::{Pool, PoolError, PoolOptions, ThreadSpawner, Worker, WorkerFactory};
pub use attribute::AttributeStep;
use lower::{ByteSpan, Fault, Lowered, ModuleState};

/// The largest script, in bytes: a file beyond it is no script but data.
const MAX_SOURCE_BYTES: usize = 4 << 20;
/// The most memory of syntax trees, in bytes, that a thread keeps for its next file.
const MAX_KEPT_BYTES: usize = 16 << 20;
/// How many transpiled files are kept in memory.
const MAX_CACHED: usize = 4096;
/// Stack of a transpiler thread: oxc recurses as deep as the source nests. Only what is used is ever backed by memory.
const STACK_BYTES: usize = 256 << 20;

/// A transpiled file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpiled {
    /// The JavaScript, with the identity trailer for modules that may define rules.
    pub js: Arc<str>,
    /// The source map, JSON.
    pub map: Arc<str>,
    /// The source, for code frames; empty when it is not kept.
    pub source: Arc<str>,
    /// What it imports when it runs.
    pub imports: Vec<Import>,
    /// What it exports when it runs.
    pub exports: Vec<Export>,
    /// Whether it has an `export *`, so that `exports` is not all.
    pub exports_star: bool,
}

/// A run-time import of a transpiled file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The specifier as written.
    pub specifier: String,
    /// Where.
    pub place: Place,
    /// The names that are taken from it, each with its place.
    pub names: Vec<(String, Place)>,
}

/// A run-time export of a transpiled file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The exported name.
    pub name: String,
    /// Where.
    pub place: Place,
}

/// What to transpile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranspileRequest {
    /// What messages and source maps call the file: its path in the workspace.
    pub file: String,
    /// Its text.
    pub source: Arc<str>,
    /// The specifier under which its exports are known to rules, for modules that may define some.
    pub identity: Option<String>,
    /// Whether what it holds is frozen once it has run, as that of whatever more than one package or target uses is. Needs an
    /// `identity`.
    pub frozen: bool,
}

/// Results by the digest of what was asked.
type Results = Cache<[u8; 32], Result<Arc<Transpiled>, ScriptError>>;

/// The transpiler: a pool of threads with large stacks, and a bounded cache of results.
pub struct Transpiler {
    pool: Pool<Parser>,
    /// Made with the first file: to make it asks the system for the number of processors.
    cache: LazyLock<Results>,
}

/// What a transpiler thread keeps from one file to the next: the memory of syntax trees, which would otherwise be asked from
/// the system and given back for each.
#[derive(Default)]
pub(crate) struct Parser {
    allocator: Allocator,
}

impl Worker for Parser {
    fn after_job(&mut self) {
        self.allocator.reset();
    }
    fn relieve(&mut self) {
        self.allocator = Allocator::default();
    }
    fn spent(&self) -> bool {
        self.allocator.capacity() > MAX_KEPT_BYTES
    }
}

struct Parsers;

impl WorkerFactory for Parsers {
    type Worker = Parser;
    fn create(&self) -> Parser {
        Parser::default()
    }
}

impl Transpiler {
    /// A transpiler of at most `threads` threads; they start when there is work.
    pub fn new(threads: usize) -> Self {
        let options = PoolOptions {
            name: "zako-transpile",
            max: threads,
            stack_bytes: STACK_BYTES,
            ..PoolOptions::default()
        };
        Transpiler {
            pool: Pool::new(options, Parsers, ThreadSpawner),
            cache: LazyLock::new(|| Cache::new(MAX_CACHED)),
        }
    }

    /// Transpiles one file. The error has the first fault's place in the source.
    pub async fn transpile(
        &self,
        request: TranspileRequest,
    ) -> Result<Arc<Transpiled>, ScriptError> {
        let key = request.key();
        if let Some(known) = self.cache.get(&key) {
            return known;
        }
        let result = self
            .pool
            .run(move |parser, _| transpile(&parser.allocator, &request).map(Arc::new))
            .await;
        let result = match result {
            Ok(result) => result,
            Err(PoolError::Panicked(message)) => {
                return Err(ScriptError::new(
                    ScriptErrorKind::Internal,
                    format!("the transpiler failed: {message}"),
                ));
            }
            Err(error) => {
                return Err(ScriptError::new(
                    ScriptErrorKind::Cancelled,
                    error.to_string(),
                ));
            }
        };
        self.cache.insert(key, result.clone());
        result
    }

    /// Where the value at `path` is written in the object that the call at `call` in `source` was given, or the nearest value
    /// around it; `None` when nothing of it stands there.
    pub async fn attribute_place(
        &self,
        source: Arc<str>,
        call: Place,
        path: Vec<AttributeStep>,
    ) -> Option<Place> {
        if source.len() > MAX_SOURCE_BYTES || nesting::too_deep(&source).is_some() {
            return None;
        }
        let find = move |_: &mut Parser, _: &_| {
            let span = attribute::find(&source, (call.line, call.column), &path)?;
            let (start, end) = (span.start as usize, span.end as usize);
            Some(place_of(&call.file, &source, start, end))
        };
        self.pool.run(find).await.ok().flatten()
    }

    /// Where `text` is written in the source of `file`, as a string of its own; `None` when it is not, or more than once.
    pub async fn text_place(&self, file: String, source: Arc<str>, text: String) -> Option<Place> {
        if source.len() > MAX_SOURCE_BYTES || nesting::too_deep(&source).is_some() {
            return None;
        }
        let find = move |_: &mut Parser, _: &_| {
            let span = attribute::find_text(&source, &text)?;
            let (start, end) = (span.start as usize, span.end as usize);
            Some(place_of(&file, &source, start, end))
        };
        self.pool.run(find).await.ok().flatten()
    }

    /// The pool's counters.
    pub fn metrics(&self) -> crate::pool::PoolMetrics {
        self.pool.metrics()
    }
}

impl TranspileRequest {
    fn key(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for part in [
            self.file.as_bytes(),
            self.source.as_bytes(),
            self.identity.as_deref().unwrap_or_default().as_bytes(),
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&[u8::from(self.frozen)]);
        *hasher.finalize().as_bytes()
    }
}

/// The declarations (`.d.ts`) of a TypeScript module, doc comments included. Every export must say its type; the error
/// points at the first that does not.
pub fn declare(file: &str, source: &str) -> Result<String, ScriptError> {
    lower::declarations(source).map_err(|faults| {
        let first = faults.into_iter().next().unwrap_or(Fault {
            message: "unreadable".to_owned(),
            help: None,
            span: None,
        });
        let span = first.span.unwrap_or(ByteSpan { start: 0, end: 0 });
        let mut error = ScriptError::new(ScriptErrorKind::Transpile, first.message);
        error.help = first.help;
        error.at(
            place_of(file, source, span.start as usize, span.end as usize),
            source.into(),
        )
    })
}

/// Transpiles on this thread; needs a stack of [`STACK_BYTES`] for deeply nested sources.
fn transpile(allocator: &Allocator, request: &TranspileRequest) -> Result<Transpiled, ScriptError> {
    let TranspileRequest {
        file,
        source,
        identity,
        frozen,
    } = request;
    let fail = |message: String, span: Option<ByteSpan>, help: Option<String>| {
        let mut error = ScriptError::new(ScriptErrorKind::Transpile, message);
        let span = span.unwrap_or(ByteSpan { start: 0, end: 0 });
        error.help = help;
        error.at(
            place_of(file, source, span.start as usize, span.end as usize),
            source.clone(),
        )
    };
    if source.len() > MAX_SOURCE_BYTES {
        return Err(fail(
            format!(
                "the file is {} MiB; a script may be {} MiB at most",
                source.len() >> 20,
                MAX_SOURCE_BYTES >> 20
            ),
            None,
            Some(
                "move the data into a file that is no script and read it with readJson or readText"
                    .to_owned(),
            ),
        ));
    }
    if let Some(at) = nesting::too_deep(source) {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        return Err(fail(
            format!("this nests more than {} levels deep", nesting::MAX_NESTING),
            Some(ByteSpan {
                start: at,
                end: at + 1,
            }),
            Some("generate data as JSON and read it with readJson".to_owned()),
        ));
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    let state = match frozen {
        true => ModuleState::Frozen,
        false => ModuleState::Free,
    };
    let Lowered {
        mut js,
        map,
        imports,
        exports,
        exports_star,
        bindings,
    } = lower::lower(allocator, name, source, state).map_err(|faults| {
        let first = faults.into_iter().next().unwrap_or(Fault {
            message: "unreadable".to_owned(),
            help: None,
            span: None,
        });
        fail(first.message, first.span, first.help)
    })?;
    if let Some(identity) = identity {
        js.push_str(&identity_trailer(identity));
        if *frozen {
            js.push_str(&frozen_trailer(identity, &bindings));
        }
    }
    let lines = Lines::of(source);
    let place = |span: ByteSpan| lines.place(file, span.start as usize, span.end as usize);
    Ok(Transpiled {
        js: js.into(),
        map: map.into(),
        source: source.clone(),
        imports: imports
            .into_iter()
            .map(|i| Import {
                place: place(i.span),
                names: i
                    .names
                    .into_iter()
                    .map(|(name, span)| (name, place(span)))
                    .collect(),
                specifier: i.specifier,
            })
            .collect(),
        exports: exports
            .into_iter()
            .map(|e| Export {
                place: place(e.span),
                name: e.name,
            })
            .collect(),
        exports_star,
    })
}

/// What tells the rules of a module their identity: its own namespace, registered after its body ran.
fn identity_trailer(specifier: &str) -> String {
    let quoted = serde_json::Value::String(specifier.to_owned());
    format!(
        "\nimport * as __zako_self from \"zako:self\";\nimport {{ identify as __zako_identify }} from \
         \"zako:internal/identity\";\n__zako_identify({quoted}, __zako_self);\n"
    )
}

/// What freezes all that a module holds, after its body ran.
fn frozen_trailer(specifier: &str, bindings: &[String]) -> String {
    let quoted = serde_json::Value::String(specifier.to_owned());
    let bindings: Vec<&str> = bindings
        .iter()
        .map(|name| match name.as_str() {
            "default" => "__zako_self.default",
            name => name,
        })
        .collect();
    format!(
        "import {{ settle as __zako_settle }} from \"zako:internal/settle\";\n__zako_settle({quoted}, [{}]);\n",
        bindings.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::{Allocator, TranspileRequest, Transpiled, transpile};
    use crate::error::{ScriptError, ScriptErrorKind};

    fn run(source: &str) -> Result<Transpiled, ScriptError> {
        let request = TranspileRequest {
            file: "pkg/BUILD.ts".into(),
            source: source.into(),
            identity: None,
            frozen: false,
        };
        std::thread::Builder::new()
            .stack_size(super::STACK_BYTES)
            .spawn(move || transpile(&Allocator::default(), &request))
            .expect("a thread starts")
            .join()
            .expect("transpiling does not panic")
    }

    #[test]
    fn types_go_and_imports_stay() {
        let out = run(
            "import type { A } from \"./a.ts\";\nimport { type B } from \"./b.ts\";\nimport { c, type D } from \"./c.ts\";\n\
             import * as e from \"./e.ts\";\nimport \"./f.ts\";\nexport const x: A | B | D = c as any;\nexport default e;\n\
             export type T = string;\nexport { g } from \"./g.ts\";\nconst h = await import(\"./h.ts\");\nexport { h as i };\n\
             export { type J } from \"./j.ts\";\nexport type { K } from \"./k.ts\";\n",
        )
        .expect("it is valid");
        let imports: Vec<_> = out.imports.iter().map(|i| i.specifier.as_str()).collect();
        assert_eq!(imports, ["./c.ts", "./e.ts", "./f.ts", "./g.ts", "./h.ts"]);
        assert_eq!(out.imports[0].names[0].0, "c");
        assert_eq!(out.imports[0].place.to_string(), "pkg/BUILD.ts:3:27");
        let exports: Vec<_> = out.exports.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(exports, ["x", "default", "g", "i"]);
        for gone in ["./a.ts", "./b.ts", "./j.ts", "./k.ts"] {
            assert!(!out.js.contains(gone), "{}", out.js);
        }
    }

    #[test]
    fn faults_have_their_place() {
        let error = run("const a = 1;\nlet b = ;\n").expect_err("it is invalid");
        assert_eq!(error.kind, ScriptErrorKind::Transpile);
        assert_eq!(
            error.place.expect("a place").to_string(),
            "pkg/BUILD.ts:2:9"
        );
        let error = run("const n = \"./x.ts\";\nawait import(n);\n").expect_err("it is refused");
        assert_eq!(
            error.place.expect("a place").to_string(),
            "pkg/BUILD.ts:2:14"
        );
        let error = run("const a = 1; const a = 2;").expect_err("it is invalid");
        assert_eq!(error.kind, ScriptErrorKind::Transpile);
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let deep = format!(
            "export const x = {}1{};",
            "(".repeat(100_000),
            ")".repeat(100_000)
        );
        let error = run(&deep).expect_err("it is too deep");
        assert!(error.message.contains("levels deep"), "{error}");
        for (open, close) in [
            ("[", "]"),
            ("{a:", "}"),
            ("!", ""),
            ("-", ""),
            ("1+", ""),
            ("a?b:", ""),
            ("a=>", ""),
            ("new ", ""),
        ] {
            let source = format!(
                "export const x = {}1{};",
                open.repeat(20_000),
                close.repeat(20_000)
            );
            // Valid or refused, it must come back.
            if let Err(error) = run(&source) {
                assert_eq!(error.kind, ScriptErrorKind::Transpile);
            }
        }
    }
}
