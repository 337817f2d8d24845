//! What editors need to know the builtins: declarations and a `tsconfig.json` (docs/scripts.md: "Editor").

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use zako_script::{BuiltinRegistry, declarations};

use crate::diagnostic::Diagnostic;
use crate::workspace::{OUTPUT_DIR, STATE_DIR};

/// What scripts have besides the language itself.
const GLOBALS: &str = "\
/** Messages of a script; they become part of the build's output, with the line that wrote them. */
declare const console: {
  /** Shown with `-v`. */
  debug(...values: unknown[]): void;
  /** Shown with `-v`. */
  trace(...values: unknown[]): void;
  /** Shown. */
  log(...values: unknown[]): void;
  /** Shown. */
  info(...values: unknown[]): void;
  /** Shown as a warning. */
  warn(...values: unknown[]): void;
  /** Shown as a warning: what should fail the build is thrown. */
  error(...values: unknown[]): void;
  /** Shown as a warning when `good` is false. */
  assert(good: unknown, ...values: unknown[]): void;
};
/** Runs `callback` once the current code is done. */
declare function queueMicrotask(callback: () => void): void;
";

/// Writes the files, and a `tsconfig.json` at the root when there is none; gives their paths, whether they were written now
/// or as they should be already.
pub(crate) fn write_types(
    root: &Path,
    builtins: &BuiltinRegistry,
) -> Result<Vec<PathBuf>, Diagnostic> {
    let mut files = write_state(root, builtins)?;
    let own = root.join("tsconfig.json");
    if !own.exists() {
        let config = json!({ "extends": format!("./{STATE_DIR}/tsconfig.json") });
        write(&own, &pretty(&config))?;
        files.push(own);
    }
    Ok(files)
}

/// Writes those of the files that are below the state folder.
pub(crate) fn write_state(
    root: &Path,
    builtins: &BuiltinRegistry,
) -> Result<Vec<PathBuf>, Diagnostic> {
    let state = root.join(STATE_DIR);
    let types = state.join("types");
    let mut files: Vec<(PathBuf, String)> = vec![(types.join("globals.d.ts"), GLOBALS.to_owned())];
    let mut paths = serde_json::Map::new();
    paths.insert("//*".to_owned(), json!(["../*"]));
    paths.insert("zako:*".to_owned(), json!(["./types/zako/*.d.ts"]));
    for (specifier, text) in declarations() {
        if let Some(name) = specifier.strip_prefix("zako:") {
            files.push((
                types.join("zako").join(format!("{name}.d.ts")),
                text.to_owned(),
            ));
        }
    }
    for builtin in builtins.iter() {
        let (scheme, name) = builtin
            .specifier
            .split_once(':')
            .unwrap_or(("builtin", &builtin.specifier));
        files.push((
            types.join(scheme).join(format!("{name}.d.ts")),
            builtin.declarations.clone(),
        ));
        paths.insert(
            format!("{scheme}:*"),
            json!([format!("./types/{scheme}/*.d.ts")]),
        );
    }
    let config = json!({
        "compilerOptions": {
            "target": "esnext", "module": "esnext", "moduleResolution": "bundler", "lib": ["esnext"], "types": [],
            "strict": true, "noEmit": true, "allowImportingTsExtensions": true, "verbatimModuleSyntax": true,
            "isolatedModules": true, "skipLibCheck": true, "paths": paths,
        },
        "include": ["../**/*.ts", "./types/**/*.d.ts"],
        "exclude": [format!("../{OUTPUT_DIR}"), "../**/node_modules"],
    });
    files.push((state.join("tsconfig.json"), pretty(&config)));
    for (path, text) in &files {
        write(path, text)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn pretty(json: &serde_json::Value) -> String {
    format!("{json:#}\n")
}

/// Writes a file whole or not at all, unless it is there with that text already.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Diagnostic> {
    if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let failed = |e: std::io::Error| {
        Diagnostic::environment(format!("{} cannot be written: {e}", path.display()))
    };
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    // As any file that a person makes, not as the private ones of temporary files.
    crate::system::set_mode_of(file.as_file(), 0o644).map_err(failed)?;
    file.persist(path).map(drop).map_err(|e| failed(e.error))
}
