//! Jobs for tests of executors, as the core would make them. What nobody looks at in these tests is made up.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zako_action::{
    ActionBody, ActionSpec, ArtifactValue, Isolation, Job, OutputSpec, Prepared, ResolvedTool,
};
use zako_cas::DigestFunction;
use zako_exec::{FIXED_PATH, find_program};
use zako_path::NeutralPath;

pub(crate) fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

/// A shell action; outputs that end in `/` are directories.
pub(crate) fn shell(script: &str, inputs: &[&str], outputs: &[&str]) -> ActionSpec {
    let script = script.to_owned();
    let mut spec = ActionSpec::new("//a:t", "test", ActionBody::Shell { script });
    spec.inputs = inputs.iter().map(|p| path(p)).collect();
    spec.outputs = outputs
        .iter()
        .map(|p| match p.strip_suffix('/') {
            Some(p) => OutputSpec::directory(path(p)),
            None => OutputSpec::file(path(p)),
        })
        .collect();
    spec
}

/// A program of the machine, by its bare name or its path.
pub(crate) fn host_tool(name: &str) -> ResolvedTool {
    let found = find_program(name, FIXED_PATH).unwrap_or_else(|| name.into());
    ResolvedTool {
        name: name.to_owned(),
        path: found.canonicalize().unwrap_or(found),
        digest: DigestFunction::Blake3.hash(b"not looked at"),
    }
}

/// What is at `place`; an empty file when that is no file, as in tests in which nobody looks at it.
pub(crate) fn file_value(place: &Path) -> ArtifactValue {
    let mode = fs::metadata(place).map_or(0, |found| found.permissions().mode());
    let executable = mode & 0o100 != 0;
    let digest = DigestFunction::Blake3.hash(&fs::read(place).unwrap_or_default());
    ArtifactValue::File { digest, executable }
}

/// `spec` as a job with these tools, whose inputs are what `value` says.
pub(crate) fn job(
    spec: ActionSpec,
    isolation: Isolation,
    (workspace, scratch): (&Path, PathBuf),
    tools: Vec<ResolvedTool>,
    value: impl Fn(&NeutralPath) -> ArtifactValue,
) -> Job {
    let values = |paths: &[NeutralPath]| -> BTreeMap<NeutralPath, ArtifactValue> {
        paths
            .iter()
            .map(|path| (path.clone(), value(path)))
            .collect()
    };
    let action = Prepared {
        inputs: values(&spec.inputs),
        staged: values(&spec.staged),
        tools,
        salt: String::new(),
        isolation,
        spec: Arc::new(spec),
    };
    Job {
        action: Arc::new(action),
        workspace: workspace.into(),
        scratch,
        attempt: 0,
    }
}
