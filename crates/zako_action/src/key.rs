//! Action keys: the names that results are cached by.
//!
//! The **strong** key is the digest of the Remote Execution API `Action` over everything declared,
//! so it is the same locally and remotely. The **narrow** key exists for actions with a depfile: it
//! leaves out the *contents* of staged files, and finds recorded lists of what was really read.
//!
//! What neither the `Command` nor the input root can say goes into `Action.salt` as an encoded
//! [`Salt`]: tools by name, real path and digest, standard input, the network permission, what kind
//! of body and outputs there are, and the caller's salt. It goes there and not into platform
//! properties because servers choose workers by those and refuse ones that they don't know.
//!
//! **Invariant:** owner, mnemonic, message, resources, retries and the isolation level are in no
//! key; everything else of a [`Prepared`] is. Keys are explicit encodings, never a debug format.
//! Any change of them, or of what every executor adds to an action, raises [`KEY_VERSION`].

use bytes::Bytes;
use prost::Message;
use serde_json::Value;
use zako_cas::{Digest, DigestFunction, SubtreeCache, Tree, TreeBuilder, TreeEntry, TreeError};
use zako_path::NeutralPath;

use crate::reapi::{Action, Command, EnvironmentVariable};
use crate::{ActionBody, ArtifactValue, OutputKind, Prepared, Stdin};

/// Version of the keys' making; part of every key.
pub const KEY_VERSION: u32 = 1;

/// What `arguments[0]` is for a script action, which runs no program.
const SCRIPT_WORD: &str = "zako:script";

/// The strong key of an action: digest of its Remote Execution API `Action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrongKey(pub Digest);

/// The strong key, and the blobs that a remote server needs beside the inputs' contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAction {
    /// The key: digest of `action`.
    pub key: StrongKey,
    /// The encoded `Action`.
    pub action: Bytes,
    /// The encoded `Command` and its digest.
    pub command: (Digest, Bytes),
    /// The input root.
    pub input_root: Tree,
}

/// The narrow key of an action with a depfile: names the list of its last few recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NarrowKey(pub Digest);

/// The content of `Action.salt`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Salt {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(string, tag = "2")]
    salt: String,
    /// "command", "shell" or "script".
    #[prost(string, tag = "3")]
    body: String,
    /// Sorted by name, then path.
    #[prost(message, repeated, tag = "4")]
    tools: Vec<Tool>,
    #[prost(bool, tag = "5")]
    network: bool,
    #[prost(string, optional, tag = "6")]
    stdin_file: Option<String>,
    #[prost(message, optional, tag = "7")]
    stdin_text: Option<crate::reapi::Digest>,
    #[prost(string, optional, tag = "8")]
    depfile: Option<String>,
    /// Those of the outputs that are directories, sorted.
    #[prost(string, repeated, tag = "9")]
    output_directories: Vec<String>,
    /// The exact inputs in order, where the body sees them and the command does not say them.
    #[prost(string, repeated, tag = "10")]
    inputs_in_order: Vec<String>,
    /// The outputs in order as `NAME=PATH`, likewise.
    #[prost(string, repeated, tag = "11")]
    outputs_in_order: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Tool {
    #[prost(string, tag = "1")]
    name: String,
    /// As the system encodes it.
    #[prost(bytes = "vec", tag = "2")]
    path: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    digest: Option<crate::reapi::Digest>,
}

/// What the narrow key is the digest of.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Narrow {
    /// "zako narrow key": never mistaken for another message.
    #[prost(string, tag = "1")]
    magic: String,
    #[prost(message, optional, tag = "2")]
    command_digest: Option<crate::reapi::Digest>,
    /// The root of a tree of the exact inputs, and of staged directories and links.
    #[prost(message, optional, tag = "3")]
    exact_root_digest: Option<crate::reapi::Digest>,
    #[prost(message, optional, tag = "4")]
    timeout: Option<crate::reapi::Duration>,
    #[prost(bool, tag = "5")]
    do_not_cache: bool,
    #[prost(bytes = "vec", tag = "6")]
    salt: Vec<u8>,
    /// Staged files, sorted.
    #[prost(message, repeated, tag = "7")]
    staged: Vec<StagedName>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct StagedName {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(bool, tag = "2")]
    is_executable: bool,
}

impl Prepared {
    /// The strong key. `subtrees` saves hashing again what other actions' input roots share.
    ///
    /// # Errors
    /// When two inputs can't be in one tree, as a file `a` and a file `a/b`.
    pub fn strong_key(
        &self,
        function: DigestFunction,
        subtrees: Option<&SubtreeCache>,
    ) -> Result<StrongKey, TreeError> {
        Ok(self.remote_action(function, subtrees)?.key)
    }

    /// The strong key with all messages that lead to it, as a remote server wants them.
    ///
    /// # Errors
    /// When two inputs can't be in one tree, as a file `a` and a file `a/b`.
    pub fn remote_action(
        &self,
        function: DigestFunction,
        subtrees: Option<&SubtreeCache>,
    ) -> Result<RemoteAction, TreeError> {
        let command = Bytes::from(self.command().encode_to_vec());
        let command_digest = function.hash(&command);
        let input_root = tree(function, subtrees, self.inputs.iter().chain(&self.staged))?;
        let action = Action {
            command_digest: Some(command_digest.into()),
            input_root_digest: Some(input_root.root.into()),
            timeout: self.spec.timeout.map(Into::into),
            do_not_cache: !self.spec.cache,
            salt: self.salt_message(function).encode_to_vec(),
            platform: None,
        };
        let action = Bytes::from(action.encode_to_vec());
        Ok(RemoteAction {
            key: StrongKey(function.hash(&action)),
            action,
            command: (command_digest, command),
            input_root,
        })
    }

    /// The narrow key, or `None` when there is no depfile to narrow by.
    ///
    /// Staged files count by name and executable bit only. Staged directories count whole, since
    /// the names within are known by their digest alone; so what a depfile lists below one is
    /// covered already (see [`classify`](crate::depfile::classify)).
    ///
    /// # Errors
    /// When two inputs can't be in one tree.
    pub fn narrow_key(
        &self,
        function: DigestFunction,
        subtrees: Option<&SubtreeCache>,
    ) -> Result<Option<NarrowKey>, TreeError> {
        if self.spec.depfile.is_none() {
            return Ok(None);
        }
        let mut staged = Vec::new();
        let mut exact: Vec<(&NeutralPath, &ArtifactValue)> = self.inputs.iter().collect();
        for (path, value) in &self.staged {
            match value {
                ArtifactValue::File { executable, .. } => {
                    staged.push(StagedName {
                        path: path.to_string(),
                        is_executable: *executable,
                    });
                }
                _ => exact.push((path, value)),
            }
        }
        let narrow = Narrow {
            magic: "zako narrow key".to_owned(),
            command_digest: Some(function.hash(&self.command().encode_to_vec()).into()),
            exact_root_digest: Some(tree(function, subtrees, exact.into_iter())?.root.into()),
            timeout: self.spec.timeout.map(Into::into),
            do_not_cache: !self.spec.cache,
            salt: self.salt_message(function).encode_to_vec(),
            staged,
        };
        Ok(Some(NarrowKey(function.hash(&narrow.encode_to_vec()))))
    }

    /// The strong key taken apart for people: (field, value) pairs, sorted by field, so that two
    /// lists can be compared. Equal lists mean equal keys and the other way round. Not a format to
    /// parse.
    pub fn key_fields(&self, function: DigestFunction) -> Vec<(String, String)> {
        let command = self.command();
        let salt = self.salt_message(function);
        let mut fields = Vec::new();
        let mut add = |field: String, value: String| fields.push((field, value));
        for (i, word) in command.arguments.iter().enumerate() {
            add(format!("argument {i:05}"), word.clone());
        }
        for variable in command.environment_variables {
            add(format!("environment {}", variable.name), variable.value);
        }
        for path in command.output_paths {
            add(format!("output {path}"), String::new());
        }
        for path in salt.output_directories {
            add(format!("output directory {path}"), String::new());
        }
        for (path, value) in self.inputs.iter().chain(&self.staged) {
            add(format!("input {path}"), describe(value));
        }
        for tool in &self.tools {
            let path =
                String::from_utf8_lossy(tool.path.as_os_str().as_encoded_bytes()).into_owned();
            add(
                format!("tool {}", tool.name),
                format!("{path} {}", tool.digest),
            );
        }
        for (i, path) in salt.inputs_in_order.into_iter().enumerate() {
            add(format!("$in {i:05}"), path);
        }
        for (i, path) in salt.outputs_in_order.into_iter().enumerate() {
            add(format!("$out {i:05}"), path);
        }
        if let Some(path) = salt.stdin_file {
            add("stdin file".into(), path);
        }
        if let Some(text) = salt.stdin_text {
            add("stdin text".into(), text.hash);
        }
        if let Some(path) = salt.depfile {
            add("depfile".into(), path);
        }
        if let Some(timeout) = self.spec.timeout {
            add("timeout".into(), format!("{timeout:?}"));
        }
        add("body".into(), salt.body);
        add("cache".into(), self.spec.cache.to_string());
        add("network".into(), salt.network.to_string());
        add("salt".into(), salt.salt);
        add("key version".into(), salt.version.to_string());
        fields.sort();
        fields.dedup();
        fields
    }

    fn command(&self) -> Command {
        let arguments = match &self.spec.body {
            ActionBody::Script { module, args } => {
                vec![
                    SCRIPT_WORD.to_owned(),
                    module.to_string(),
                    canonical_json(args),
                ]
            }
            ActionBody::Command { .. } | ActionBody::Shell { .. } => {
                self.spec.argv().unwrap_or_default()
            }
        };
        let environment = self.spec.environment();
        let mut output_paths: Vec<String> = self
            .spec
            .outputs
            .iter()
            .map(|o| o.path.to_string())
            .collect();
        output_paths.extend(self.spec.depfile.iter().map(ToString::to_string));
        output_paths.sort_unstable();
        output_paths.dedup();
        Command {
            arguments,
            environment_variables: environment
                .into_iter()
                .map(|(name, value)| EnvironmentVariable { name, value })
                .collect(),
            working_directory: String::new(),
            output_paths,
        }
    }

    fn salt_message(&self, function: DigestFunction) -> Salt {
        let spec = &self.spec;
        let mut tools: Vec<Tool> = self
            .tools
            .iter()
            .map(|tool| Tool {
                name: tool.name.clone(),
                path: tool.path.as_os_str().as_encoded_bytes().to_vec(),
                digest: Some(tool.digest.into()),
            })
            .collect();
        tools.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        tools.dedup();
        let mut output_directories: Vec<String> = spec
            .outputs
            .iter()
            .filter(|o| o.kind == OutputKind::Directory)
            .map(|o| o.path.to_string())
            .collect();
        output_directories.sort_unstable();
        // A command and a shell say order and names in their words and environment.
        let is_script = matches!(spec.body, ActionBody::Script { .. });
        let inputs_in_order = if is_script || spec.in_list().is_some() {
            spec.inputs.iter().map(ToString::to_string).collect()
        } else {
            Vec::new()
        };
        let outputs_in_order = if is_script {
            spec.outputs
                .iter()
                .map(|o| format!("{}={}", o.name.as_deref().unwrap_or_default(), o.path))
                .collect()
        } else {
            Vec::new()
        };
        let (stdin_file, stdin_text) = match &spec.stdin {
            Some(Stdin::File(path)) => (Some(path.to_string()), None),
            Some(Stdin::Text(text)) => (None, Some(function.hash(text.as_bytes()).into())),
            None => (None, None),
        };
        Salt {
            version: KEY_VERSION,
            salt: self.salt.clone(),
            body: match spec.body {
                ActionBody::Command { .. } => "command",
                ActionBody::Shell { .. } => "shell",
                ActionBody::Script { .. } => "script",
            }
            .to_owned(),
            tools,
            network: spec.network,
            stdin_file,
            stdin_text,
            depfile: spec.depfile.as_ref().map(ToString::to_string),
            output_directories,
            inputs_in_order,
            outputs_in_order,
        }
    }
}

fn tree<'a>(
    function: DigestFunction,
    subtrees: Option<&SubtreeCache>,
    values: impl Iterator<Item = (&'a NeutralPath, &'a ArtifactValue)>,
) -> Result<Tree, TreeError> {
    let mut builder = TreeBuilder::new(function);
    for (path, value) in values {
        let entry = match value {
            ArtifactValue::File { digest, executable } => TreeEntry::File {
                digest: *digest,
                executable: *executable,
            },
            ArtifactValue::Directory { tree } => TreeEntry::Directory { digest: *tree },
            ArtifactValue::Symlink { target } => TreeEntry::Symlink {
                target: target.clone(),
            },
        };
        builder.entry(path, entry);
    }
    match subtrees {
        Some(subtrees) => builder.build_with(subtrees),
        None => builder.build(),
    }
}

fn describe(value: &ArtifactValue) -> String {
    match value {
        ArtifactValue::File {
            digest,
            executable: false,
        } => digest.to_string(),
        ArtifactValue::File {
            digest,
            executable: true,
        } => format!("{digest} executable"),
        ArtifactValue::Directory { tree } => format!("{tree} directory"),
        ArtifactValue::Symlink { target } => format!("-> {target}"),
    }
}

/// JSON with the keys of every object sorted and no spaces: one text for one value.
fn canonical_json(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write(item, out);
                }
                out.push(']');
            }
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| *key);
                out.push('{');
                for (i, (key, value)) in fields.into_iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(&Value::from(key.as_str()).to_string());
                    out.push(':');
                    write(value, out);
                }
                out.push('}');
            }
            plain => out.push_str(&plain.to_string()),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}
