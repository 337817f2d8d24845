//! Actions as analysis leaves them: what sets and response files add is written out when the action is needed, so that
//! analysis takes time and memory in proportion to what is declared, not to what that reaches.

use std::sync::Arc;

use zako_action::{ActionBody, ActionSpec, OutputSpec};
use zako_path::NeutralPath;

use super::Lowered;
use super::command::{self, Form, Word, Written};
use super::depset::{SetId, Sets};
use super::fields::unique;
use super::file_work::FileWork;
use crate::workspace::{OUTPUT_DIR, is_in_output};

/// An action that a target declares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Draft {
    /// All that is known of it.
    pub(crate) action: Lowered,
    /// What is not yet.
    pub(crate) late: Option<Box<Late>>,
}

/// What is known of an action when it is written out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Late {
    /// The command, when there is a set or a response file in it.
    pub(crate) argv: Vec<Word>,
    /// Sets of files that it reads.
    pub(crate) inputs: Vec<SetId>,
    /// Sets of files that it may read.
    pub(crate) staged: Vec<SetId>,
    /// What has to run before it is known at all; it stands for all the actions that come of that.
    pub(crate) step: Option<Step>,
}

/// A dynamic step that a target uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The module that exports it, and the export's name.
    pub(crate) module: String,
    pub(crate) export: String,
    /// What it is given, in wire form.
    pub(crate) params: String,
    /// What decides about its actions.
    pub(crate) reads: Vec<NeutralPath>,
}

/// An action as it is planned.
#[derive(Debug, PartialEq)]
pub(crate) struct Finished {
    pub(crate) action: Lowered,
    /// The actions that write its response files.
    pub(crate) responses: Vec<Lowered>,
}

impl From<Lowered> for Draft {
    fn from(action: Lowered) -> Self {
        Draft { action, late: None }
    }
}

impl Draft {
    /// What it writes; its response files are beside those.
    pub(crate) fn outputs(&self) -> &[OutputSpec] {
        &self.action.spec.outputs
    }

    /// The dynamic step that it stands for.
    pub(crate) fn step(&self) -> Option<&Step> {
        self.late.as_deref()?.step.as_ref()
    }

    /// Whether it may write response files.
    pub(crate) fn has_responses(&self) -> bool {
        let is_response = |word: &Word| matches!(word, Word::Part(Form::Response(_), _));
        let late = self.late.as_deref();
        late.is_some_and(|late| late.argv.iter().any(is_response))
    }

    /// The words that it runs, those that a response file would hold among them, and its exact inputs; `None` for what is no process.
    pub(crate) fn command_line(&self, sets: &Sets) -> Option<(Vec<String>, Vec<NeutralPath>)> {
        let Lowered { spec, work, .. } = &self.action;
        let mut inputs = spec.inputs.clone();
        let argv = match self.late.as_deref() {
            _ if work.is_some() => return None,
            Some(late) if late.step.is_some() => return None,
            Some(late) if !late.argv.is_empty() => command::whole(&late.argv, sets, &mut inputs),
            _ => spec.argv()?,
        };
        Some((argv, unique(inputs)))
    }

    /// The action with all that is late; `None` when there is nothing, and it is as it stands.
    pub(crate) fn finish(&self, sets: &Sets) -> Option<Result<Finished, String>> {
        let late = self.late.as_deref()?;
        Some(self.write_out(late, sets))
    }

    fn write_out(&self, late: &Late, sets: &Sets) -> Result<Finished, String> {
        let mut action = self.action.clone();
        let spec = &mut action.spec;
        let mut responses = Vec::new();
        let mut inputs = std::mem::take(&mut spec.inputs);
        if !late.argv.is_empty() {
            let Written {
                argv,
                files,
                responses: written,
                fault,
            } = command::written(&late.argv, sets, &response_base(spec));
            if let Some(fault) = fault {
                return Err(fault);
            }
            inputs.extend(files);
            for (path, text) in written {
                let path = NeutralPath::new(path).map_err(|e| e.to_string())?;
                inputs.push(path.clone());
                responses.push(response(spec, path, text));
            }
            spec.body = ActionBody::Command { argv };
        }
        for set in &late.inputs {
            inputs.extend(files(sets, *set, "inputs")?);
        }
        let is_written = |path: &NeutralPath| {
            spec.depfile.as_ref() == Some(path) || spec.outputs.iter().any(|o| o.path == *path)
        };
        inputs.retain(|path| !is_written(path));
        let inputs = unique(inputs);
        if !late.staged.is_empty() {
            let mut staged = std::mem::take(&mut spec.staged);
            for set in &late.staged {
                staged.extend(files(sets, *set, "staged")?);
            }
            let exact: std::collections::HashSet<&NeutralPath> = inputs.iter().collect();
            let spec = &self.action.spec;
            staged.retain(|path| {
                !exact.contains(path)
                    && spec.depfile.as_ref() != Some(path)
                    && spec.outputs.iter().all(|o| o.path != *path)
            });
            action.spec.staged = unique(staged);
        }
        action.spec.inputs = inputs;
        Ok(Finished { action, responses })
    }
}

fn files(sets: &Sets, set: SetId, what: &str) -> Result<Vec<NeutralPath>, String> {
    sets.files(set)
        .map_err(|other| format!("a depset among the {what} holds {other}, which is no file"))
}

/// What the paths of an action's response files begin with: beside its first output, below `zako-out/`.
fn response_base(spec: &ActionSpec) -> String {
    match spec.outputs.first() {
        Some(output) if is_in_output(&output.path) => output.path.to_string(),
        Some(output) => format!("{OUTPUT_DIR}/{}", output.path),
        // A check: its owner has no colon or slash in front there.
        None => {
            let owner = spec.owner.trim_start_matches('/').replace(':', "/");
            format!("{OUTPUT_DIR}/{owner}.{}", spec.mnemonic)
        }
    }
}

/// The action that writes a response file.
fn response(spec: &ActionSpec, path: NeutralPath, text: String) -> Lowered {
    let mut write = ActionSpec::new(
        spec.owner.clone(),
        "args",
        ActionBody::Command { argv: Vec::new() },
    );
    write.outputs = vec![OutputSpec::file(path)];
    Lowered {
        spec: write,
        script: None,
        work: Some(Arc::new(FileWork::Write {
            text,
            executable: false,
        })),
        test: false,
    }
}
