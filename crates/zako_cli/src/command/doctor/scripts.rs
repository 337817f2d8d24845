//! Does V8 evaluate, and is this a workspace?
//!
//! V8 is asked in a folder of its own, so that it can be told apart from mistakes in the user's.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;
use zako_core::{BuildOptions, Diagnostic, GlobalState, GlobalStateOptions, Session};

use super::Check;
use crate::command::runtime;
use crate::failure::io_failure;

const NAME: &str = "V8";

/// Whoever sees this can't do much else.
const ADVICE: &str = "zako needs its script engine for everything; please report this line";

pub(super) fn all(options: GlobalStateOptions, start: &Path) -> Vec<Check> {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return vec![broken("threads", error)],
    };
    match GlobalState::new(options) {
        Ok(global) => vec![engine(&global, &runtime), workspace(global, start)],
        Err(error) => vec![broken("state", error)],
    }
}

fn broken(name: &'static str, error: Diagnostic) -> Check {
    Check::bad(
        name,
        error.to_string(),
        error.help.unwrap_or_else(|| ADVICE.to_owned()),
    )
}

fn engine(global: &Arc<GlobalState>, runtime: &Runtime) -> Check {
    match two(global, runtime) {
        Ok(value) if value == 2 => Check::good(NAME, "evaluates TypeScript"),
        Ok(value) => Check::bad(NAME, format!("says that 1 + 1 is {value}"), ADVICE),
        Err(error) => broken(NAME, error),
    }
}

fn two(global: &Arc<GlobalState>, runtime: &Runtime) -> Result<serde_json::Value, Diagnostic> {
    let failed = |error: std::io::Error| io_failure("make a folder to try it in", &error);
    let dir = tempfile::tempdir().map_err(failed)?;
    let file = dir.path().join("sum.ts");
    fs::write(&file, "export const sum: number = 1 + 1;\n").map_err(failed)?;
    let session = Session::detached(Arc::clone(global), dir.path())?;
    let evaluated = runtime.block_on(session.evaluate(&file, &BuildOptions::default()))?;
    Ok(evaluated.exports["sum"].clone())
}

fn workspace(global: Arc<GlobalState>, start: &Path) -> Check {
    match Session::open(global, start) {
        Ok(session) => Check::good("workspace", session.root().display().to_string()),
        Err(error) => {
            let advice = error
                .help
                .clone()
                .unwrap_or_else(|| "`zako init` makes one".to_owned());
            Check::doubtful("workspace", error.to_string(), advice)
        }
    }
}
