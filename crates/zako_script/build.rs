//! Makes what every realm starts from: the builtins, written in TypeScript under `builtins/`, are
//! lowered to JavaScript and evaluated into a V8 snapshot; their declarations are written out for
//! `zako types`.

#[path = "src/transpile/lower.rs"]
mod lower;
#[path = "src/realm/ops.rs"]
#[expect(unreachable_pub, reason = "part of the crate's interface")]
mod ops;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_core::ExtensionFileSource;
use deno_core::snapshot::{CreateSnapshotOptions, create_snapshot};
use oxc::allocator::Allocator;

fn main() {
    println!("cargo:rerun-if-changed=builtins");
    println!("cargo:rerun-if-changed=src/transpile/lower.rs");
    println!("cargo:rerun-if-changed=src/realm/ops.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

    let mut modules = Vec::new();
    let mut entry = String::new();
    let mut public = Vec::new();
    let mut declarations = String::from("&[\n");
    let mut exports = String::from("&[\n");
    let mut sources: Vec<PathBuf> = list("builtins");
    sources.extend(list("builtins/internal"));
    for path in sources
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "ts"))
    {
        let stem = path
            .file_stem()
            .and_then(|s| s.to_str())
            .expect("builtins have plain names");
        let internal = path.parent().is_some_and(|p| p.ends_with("internal"));
        let specifier = if internal {
            format!("zako:internal/{stem}")
        } else {
            format!("zako:{stem}")
        };
        let source = fs::read_to_string(path).expect("a builtin is readable");
        let lowered = lower::lower(
            &Allocator::default(),
            &specifier,
            &source,
            lower::ModuleState::Free,
        )
        .unwrap_or_else(|faults| fail(path, &source, &faults));
        if internal {
            writeln!(entry, "import \"{specifier}\";").expect("strings take all");
        } else {
            writeln!(entry, "import * as {stem} from \"{specifier}\";").expect("strings take all");
            public.push(stem.to_owned());
        }
        modules.push((specifier.clone(), ascii(&lowered.js)));
        if !internal {
            let names: Vec<&str> = lowered.exports.iter().map(|e| e.name.as_str()).collect();
            writeln!(exports, "    ({specifier:?}, &{names:?}),").expect("strings take all");
            let text =
                lower::declarations(&source).unwrap_or_else(|faults| fail(path, &source, &faults));
            let file = out.join(format!("{stem}.d.ts"));
            fs::write(&file, text).expect("OUT_DIR is writable");
            writeln!(
                declarations,
                "    ({specifier:?}, include_str!({:?})),",
                file.display().to_string()
            )
            .expect("strings take all");
        }
    }
    // For harden.js, which freezes what they export, and lets what is frozen be known later.
    entry.push_str(
        "import { frozen } from \"zako:internal/settle\";\nglobalThis.__zako_frozen = frozen;\n",
    );
    writeln!(
        entry,
        "globalThis.__zako_builtins = [{}];",
        public.join(", ")
    )
    .expect("strings take all");
    declarations.push_str("]\n");
    fs::write(out.join("declarations.rs"), declarations).expect("OUT_DIR is writable");
    exports.push_str("]\n");
    fs::write(out.join("exports.rs"), exports).expect("OUT_DIR is writable");

    let harden = fs::read_to_string("builtins/internal/harden.js").expect("harden.js is readable");
    // Tells builds of this crate apart for what is kept between processes; not a hash that anything relies on to be safe.
    let mut identity = DefaultHasher::new();
    (&modules, &harden).hash(&mut identity);
    println!("cargo:rustc-env=ZAKO_BUILTINS={:016x}", identity.finish());

    let rehearsal =
        fs::read_to_string("builtins/internal/rehearsal.js").expect("rehearsal.js is readable");
    entry.insert_str(0, "import \"ext:zako/rehearsal.js\";\n");
    modules.push(("ext:zako/rehearsal.js".to_owned(), rehearsal));
    modules.push(("ext:zako/entry.js".to_owned(), entry));
    let mut extension = ops::zako::init();
    extension.op_state_fn = Some(Box::new(|state| {
        state.put(ops::HostSlot(Some(Box::new(Agreeable))));
    }));
    extension.esm_files = Cow::Owned(
        modules
            .into_iter()
            .map(|(specifier, js)| {
                let specifier: &'static str = Box::leak(specifier.into_boxed_str());
                ExtensionFileSource::new_computed(specifier, Arc::from(js))
            })
            .collect(),
    );
    extension.esm_entry_point = Some("ext:zako/entry.js");
    let snapshot = create_snapshot(
        CreateSnapshotOptions {
            cargo_manifest_dir: env!("CARGO_MANIFEST_DIR"),
            startup_snapshot: None,
            skip_op_registration: false,
            extensions: vec![extension],
            extension_transpiler: None,
            with_runtime_cb: Some(Box::new(move |runtime| {
                runtime
                    .execute_script("zako:internal/harden", harden.clone())
                    .expect("the realm hardens");
            })),
        },
        None,
    )
    .expect("the snapshot is made");
    fs::write(out.join("realm.snapshot"), snapshot.output).expect("OUT_DIR is writable");
}

/// The host of the rehearsal: it answers in the shape that each call expects.
struct Agreeable;

impl ops::HostCalls for Agreeable {
    fn call(
        &mut self,
        name: &str,
        _args: &str,
        _caller: Option<ops::JsPlace>,
    ) -> Result<String, ops::HostFailure> {
        Ok(match name {
            "declare" => "0",
            "source" | "file" => "\"a.c\"",
            "glob" => "[\"a.c\"]",
            _ => "",
        }
        .to_owned())
    }

    fn bytes(&mut self, _: &str, _: &str, _: &[u8]) -> Result<Vec<u8>, ops::HostFailure> {
        Ok(Vec::new())
    }
}

fn list(directory: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .expect("builtins are there")
        .map(|entry| entry.expect("builtins are readable").path())
        .collect();
    paths.sort();
    paths
}

/// deno_core takes ASCII only; what is beyond it stands in strings, where an escape means the same.
fn ascii(js: &str) -> String {
    js.chars()
        .fold(String::with_capacity(js.len()), |mut out, c| {
            if c.is_ascii() {
                out.push(c);
            } else {
                write!(out, "\\u{{{:x}}}", u32::from(c)).expect("strings take all");
            }
            out
        })
}

fn fail(path: &Path, source: &str, faults: &[lower::Fault]) -> ! {
    let first = faults.first().expect("a failure has a fault");
    let line = first
        .span
        .map_or(0, |s| source[..s.start as usize].lines().count());
    panic!("{}:{line}: {}", path.display(), first.message)
}
