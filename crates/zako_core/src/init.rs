//! Makes a folder a workspace.

use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::editor::write;
use crate::manifest::{MANIFEST, short_version};
use crate::workspace::BUILD_FILE;

/// A first package: something that builds everywhere.
const FIRST_BUILD: &str = "\
import { task } from \"zako:build\";

// `zako build` runs this once; `zako build` again finds nothing to do.
export const hello = task({
  outputs: [\"hello.txt\"],
  shell: 'echo \"Hello from zako\" > \"$out\"',
});
";

/// What git leaves alone.
const IGNORED: [&str; 2] = ["/.zako/", "/zako-out/"];

/// Makes `dir` a workspace: a `zako.toml`, a first `BUILD.ts` unless there is one, and lines for an existing or new `.gitignore`;
/// gives the files that it wrote. A folder that is a workspace already is an error.
pub fn init(dir: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let manifest = dir.join(MANIFEST);
    if manifest.exists() {
        return Err(
            Diagnostic::user(format!("{} is there already", manifest.display()))
                .with_help("this folder is a workspace; build it with `zako build`"),
        );
    }
    std::fs::create_dir_all(dir)
        .map_err(|e| Diagnostic::environment(format!("{} cannot be made: {e}", dir.display())))?;
    let mut written = Vec::new();
    let build = dir.join(BUILD_FILE);
    if !build.exists() {
        write(&build, FIRST_BUILD)?;
        written.push(build);
    }
    let ignore = dir.join(".gitignore");
    let mut text = std::fs::read_to_string(&ignore).unwrap_or_default();
    let missing: Vec<&str> = IGNORED
        .into_iter()
        .filter(|line| !text.lines().any(|l| l.trim() == *line))
        .collect();
    if !missing.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.extend(missing.iter().flat_map(|line| [*line, "\n"]));
        write(&ignore, &text)?;
        written.push(ignore);
    }
    write(&manifest, &format!("zako = \"{}\"\n", short_version()))?;
    written.push(manifest);
    Ok(written)
}
