//! What a finished action left, as it is cached, and its encoding.
//!
//! **Invariant:** the encoding is a contract (golden tests): REAPI's `ActionResult` with zako's
//! usage and list of discovered files beside it. Digests in it are all of one function, which the
//! cache's folder names.

use std::time::Duration;

use prost::Message;
use zako_cas::{Digest, DigestFunction, Store, TreeEntry};
use zako_path::NeutralPath;

use crate::executor::{Executed, Exit, Usage};
use crate::{ArtifactValue, OutputFile, reapi};

/// What a finished action left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionResult {
    /// How its process ended; only 0 is ever cached.
    pub exit_code: i32,
    /// What it wrote, in the order of the spec's outputs.
    pub outputs: Vec<OutputFile>,
    /// What it printed to standard output.
    pub stdout: Digest,
    /// What it printed to standard error.
    pub stderr: Digest,
    /// What it used when it really ran.
    pub usage: Usage,
    /// What it read beside its exact inputs, when a depfile said so.
    pub narrow: Option<Vec<Discovered>>,
}

/// A file that an action was found to read, with its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Discovered {
    /// Where it is.
    pub path: DiscoveredPath,
    /// What it held.
    pub digest: Digest,
}

/// Where a discovered file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiscoveredPath {
    /// In the workspace: one of the staged files.
    Workspace(NeutralPath),
    /// Elsewhere on this machine, by absolute path. Such a result must stay on this machine.
    External(String),
}

impl ActionResult {
    /// The result of an attempt that ended by itself; `None` if it was killed or timed out.
    pub fn from_executed(executed: &Executed, narrow: Option<Vec<Discovered>>) -> Option<Self> {
        let Exit::Code(exit_code) = executed.exit else {
            return None;
        };
        Some(Self {
            exit_code,
            outputs: executed.outputs.iter().map(|p| p.file.clone()).collect(),
            stdout: executed.stdout,
            stderr: executed.stderr,
            usage: executed.usage,
            narrow,
        })
    }

    /// Whether it depends on files outside workspace and toolchains, so that it says nothing about
    /// other machines.
    pub fn is_local(&self) -> bool {
        self.narrow
            .iter()
            .flatten()
            .any(|d| matches!(d.path, DiscoveredPath::External(_)))
    }

    /// Whether every blob that it names, those within directories too, is in `store`.
    pub fn is_complete(&self, store: &Store) -> bool {
        let have = |digest: &Digest| *digest == store.function().empty() || store.contains(digest);
        have(&self.stdout)
            && have(&self.stderr)
            && self.outputs.iter().all(|output| match &output.value {
                ArtifactValue::File { digest, .. } => have(digest),
                ArtifactValue::Symlink { .. } => true,
                ArtifactValue::Directory { tree } => {
                    let entries = store.read_tree(tree).and_then(|tree| tree.walk());
                    entries.is_ok_and(|entries| {
                        entries.iter().all(|(_, entry)| match entry {
                            TreeEntry::File { digest, .. } => have(digest),
                            TreeEntry::Directory { .. } | TreeEntry::Symlink { .. } => true,
                        })
                    })
                }
            })
    }

    pub(crate) fn to_message(&self) -> ResultMessage {
        let mut result = reapi::ActionResult {
            exit_code: self.exit_code,
            stdout_digest: Some(self.stdout.into()),
            stderr_digest: Some(self.stderr.into()),
            ..Default::default()
        };
        for OutputFile { path, value } in &self.outputs {
            let path = path.to_string();
            match value {
                ArtifactValue::File { digest, executable } => {
                    result.output_files.push(reapi::OutputFile {
                        path,
                        digest: Some((*digest).into()),
                        is_executable: *executable,
                    })
                }
                ArtifactValue::Directory { tree } => {
                    result.output_directories.push(reapi::OutputDirectory {
                        path,
                        root_directory_digest: Some((*tree).into()),
                    })
                }
                ArtifactValue::Symlink { target } => {
                    result.output_symlinks.push(reapi::OutputSymlink {
                        path,
                        target: target.clone(),
                    });
                }
            }
        }
        let usage = UsageMessage {
            wall: Some(self.usage.wall.into()),
            user: Some(self.usage.user.into()),
            system: Some(self.usage.system.into()),
            max_rss_bytes: self.usage.max_rss_bytes,
            blocks_in: self.usage.blocks_in,
            blocks_out: self.usage.blocks_out,
        };
        ResultMessage {
            result: Some(result),
            usage: Some(usage),
            order: self.outputs.iter().map(|o| o.path.to_string()).collect(),
            narrow: self.narrow.as_ref().map(|list| DiscoveredList {
                files: list
                    .iter()
                    .map(|d| {
                        let (path, is_external) = match &d.path {
                            DiscoveredPath::Workspace(path) => (path.to_string(), false),
                            DiscoveredPath::External(path) => (path.clone(), true),
                        };
                        DiscoveredMessage {
                            path,
                            is_external,
                            digest: Some(d.digest.into()),
                        }
                    })
                    .collect(),
            }),
        }
    }

    /// The inverse of [`to_message`](Self::to_message); `None` for what zako never writes.
    pub(crate) fn from_message(message: ResultMessage, function: DigestFunction) -> Option<Self> {
        let digest = |d: Option<reapi::Digest>| d?.to_digest(function).ok();
        let result = message.result?;
        let mut outputs = Vec::new();
        for file in result.output_files {
            let value = ArtifactValue::File {
                digest: digest(file.digest)?,
                executable: file.is_executable,
            };
            outputs.push(OutputFile {
                path: NeutralPath::new(file.path).ok()?,
                value,
            });
        }
        for directory in result.output_directories {
            let value = ArtifactValue::Directory {
                tree: digest(directory.root_directory_digest)?,
            };
            outputs.push(OutputFile {
                path: NeutralPath::new(directory.path).ok()?,
                value,
            });
        }
        for link in result.output_symlinks {
            let value = ArtifactValue::Symlink {
                target: link.target,
            };
            outputs.push(OutputFile {
                path: NeutralPath::new(link.path).ok()?,
                value,
            });
        }
        let place: std::collections::HashMap<&str, usize> = message
            .order
            .iter()
            .enumerate()
            .map(|(i, path)| (path.as_str(), i))
            .collect();
        outputs.sort_by_key(|o| place.get(o.path.as_str()).copied());
        let narrow = match message.narrow {
            None => None,
            Some(list) => Some(
                list.files
                    .into_iter()
                    .map(|file| {
                        let path = if file.is_external {
                            DiscoveredPath::External(file.path)
                        } else {
                            DiscoveredPath::Workspace(NeutralPath::new(file.path).ok()?)
                        };
                        Some(Discovered {
                            path,
                            digest: digest(file.digest)?,
                        })
                    })
                    .collect::<Option<Vec<_>>>()?,
            ),
        };
        let usage = message.usage.unwrap_or_default();
        let duration = |d: Option<reapi::Duration>| d.map_or(Duration::ZERO, Duration::from);
        Some(Self {
            exit_code: result.exit_code,
            outputs,
            stdout: digest(result.stdout_digest)?,
            stderr: digest(result.stderr_digest)?,
            usage: Usage {
                wall: duration(usage.wall),
                user: duration(usage.user),
                system: duration(usage.system),
                max_rss_bytes: usage.max_rss_bytes,
                blocks_in: usage.blocks_in,
                blocks_out: usage.blocks_out,
            },
            narrow,
        })
    }

    /// The bytes that the cache keeps.
    pub fn encode(&self) -> Vec<u8> {
        self.to_message().encode_to_vec()
    }

    /// The inverse of [`encode`](Self::encode); `None` for what zako never writes.
    pub fn decode(bytes: &[u8], function: DigestFunction) -> Option<Self> {
        Self::from_message(ResultMessage::decode(bytes).ok()?, function)
    }
}

/// A result as the cache keeps it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ResultMessage {
    #[prost(message, optional, tag = "1")]
    pub(crate) result: Option<reapi::ActionResult>,
    #[prost(message, optional, tag = "2")]
    pub(crate) usage: Option<UsageMessage>,
    /// Paths of all outputs in their order, which the kinds' separate lists lose.
    #[prost(string, repeated, tag = "3")]
    pub(crate) order: Vec<String>,
    #[prost(message, optional, tag = "4")]
    pub(crate) narrow: Option<DiscoveredList>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct UsageMessage {
    #[prost(message, optional, tag = "1")]
    wall: Option<reapi::Duration>,
    #[prost(message, optional, tag = "2")]
    user: Option<reapi::Duration>,
    #[prost(message, optional, tag = "3")]
    system: Option<reapi::Duration>,
    #[prost(uint64, tag = "4")]
    max_rss_bytes: u64,
    #[prost(uint64, tag = "5")]
    blocks_in: u64,
    #[prost(uint64, tag = "6")]
    blocks_out: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct DiscoveredList {
    #[prost(message, repeated, tag = "1")]
    files: Vec<DiscoveredMessage>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct DiscoveredMessage {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(bool, tag = "2")]
    is_external: bool,
    #[prost(message, optional, tag = "3")]
    digest: Option<reapi::Digest>,
}
