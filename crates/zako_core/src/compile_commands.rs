//! How sources are compiled, for editors and analysers: `compile_commands.json`, the form of Clang's JSON compilation database
//! (<https://clang.llvm.org/docs/JSONCompilationDatabase.html>).

use std::path::PathBuf;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::diagnostic::{Diagnostic, with_texts};
use crate::editor;
use crate::options::BuildOptions;
use crate::select::select;
use crate::session::{Session, folder};
use crate::target::{Draft, KeptAnalyses, Sets, analyze};

/// What the actions are called that are listed: those of `zako:cc`, and of rules of a workspace's own that say so.
const COMPILE: &str = "compile";

/// The file, at the workspace's root: there clangd and others look for it.
const FILE: &str = "compile_commands.json";

/// How one source is compiled: an entry of `compile_commands.json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CompileCommand {
    /// The source, from `directory`.
    pub file: String,
    /// What comes of it, from `directory`; `None` when the action has no output.
    pub output: Option<String>,
    /// The program and its arguments; what a response file would hold is among them.
    pub arguments: Vec<String>,
    /// What the paths are relative to: the workspace's root, absolute.
    pub directory: PathBuf,
}

impl Session {
    /// How the sources of the targets that `patterns` name, and of all that those need, are compiled: the actions with the
    /// mnemonic `compile`, by file, then output. Scripts are evaluated as far as is needed and nothing is built, so a source
    /// may be one that an action has yet to write. What dynamic steps will declare is not known, and not listed.
    ///
    /// The errors are those of the scripts, or of the patterns.
    pub async fn compile_commands(
        &self,
        patterns: &[String],
        options: &BuildOptions,
    ) -> Result<Vec<CompileCommand>, Vec<Diagnostic>> {
        let options = &self.with_profile(options).map_err(|e| vec![e])?;
        let services = self.services(options, &CancellationToken::new(), None);
        let from = folder(&options.package).map_err(|e| vec![e])?;
        let ledger = self.kept_on_disk(&services);
        let turn = self.graph.begin(&services, &ledger, None).await;
        let selection = select(&turn, &services, patterns, &from).await;
        if !selection.faults.is_empty() {
            return Err(with_texts(self.root(), selection.faults));
        }
        let analysis = analyze(&turn, &services, &selection, &KeptAnalyses(ledger)).await;
        if !analysis.faults.is_empty() {
            return Err(with_texts(self.root(), analysis.faults));
        }
        let actions = analysis.results.values().flat_map(|result| &result.actions);
        let mut commands: Vec<CompileCommand> = actions
            .filter(|draft| draft.action.spec.mnemonic == COMPILE)
            .flat_map(|draft| self.entries(draft, &analysis.sets))
            .collect();
        commands.sort_unstable();
        commands.dedup();
        Ok(commands)
    }

    /// Writes `compile_commands.json` at the workspace's root, whole or not at all, unless it says that already; gives its path.
    pub fn write_compile_commands(
        &self,
        commands: &[CompileCommand],
    ) -> Result<PathBuf, Diagnostic> {
        let entries: Vec<_> = commands
            .iter()
            .map(|command| {
                let mut entry = json!({
                    "directory": command.directory.to_string_lossy(),
                    "file": command.file,
                    "arguments": command.arguments,
                });
                if let Some(output) = &command.output {
                    entry["output"] = json!(output);
                }
                entry
            })
            .collect();
        let path = self.root().join(FILE);
        editor::write(&path, &format!("{:#}\n", json!(entries)))?;
        Ok(path)
    }

    /// An entry for each input that is a word of the command; when none is, one for the first input.
    fn entries(&self, draft: &Draft, sets: &Sets) -> Vec<CompileCommand> {
        let Some((arguments, inputs)) = draft.command_line(sets) else {
            return Vec::new();
        };
        let words = arguments.get(1..).unwrap_or_default();
        let is_word = |path: &str| words.iter().any(|word| word == path);
        let mut sources: Vec<&str> = inputs.iter().map(|path| path.as_str()).collect();
        if sources.iter().any(|path| is_word(path)) {
            sources.retain(|path| is_word(path));
        } else {
            sources.truncate(1);
        }
        let output = draft.outputs().first();
        let entry = |file: &str| CompileCommand {
            file: file.to_owned(),
            output: output.map(|output| output.path.to_string()),
            arguments: arguments.clone(),
            directory: self.root().to_owned(),
        };
        sources.into_iter().map(entry).collect()
    }
}
