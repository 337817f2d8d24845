//! The Remote Execution API v2 messages that a store holds: `Directory` and its nodes.
//!
//! Field numbers are those of `build/bazel/remote/execution/v2/remote_execution.proto`. Written
//! out here rather than generated, since that needs no protoc and no gRPC.
//!
//! **Invariant:** an encoded message is canonical: nodes sorted by name, fields in the order of
//! their numbers, defaults left out. So equal directories have equal digests, here and remotely.

use crate::{DigestFunction, ParseDigestError};

/// `Digest`: hash in hex and size; the function is known from elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Digest {
    /// 64 lower case hex digits.
    #[prost(string, tag = "1")]
    pub hash: String,
    /// Size of the blob in bytes.
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}

impl From<crate::Digest> for Digest {
    fn from(digest: crate::Digest) -> Self {
        Self {
            hash: digest.hex(),
            size_bytes: i64::try_from(digest.size).unwrap_or(i64::MAX),
        }
    }
}

impl Digest {
    /// The digest with its function.
    ///
    /// # Errors
    /// When the hash is not 64 hex digits or the size is negative.
    pub fn to_digest(&self, function: DigestFunction) -> Result<crate::Digest, ParseDigestError> {
        crate::Digest::from_hex(function, &self.hash, self.size_bytes)
    }
}

/// `Directory`: one level of a tree.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Directory {
    /// Files, sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FileNode>,
    /// Subdirectories, sorted by name.
    #[prost(message, repeated, tag = "2")]
    pub directories: Vec<DirectoryNode>,
    /// Symbolic links, sorted by name.
    #[prost(message, repeated, tag = "3")]
    pub symlinks: Vec<SymlinkNode>,
}

/// `FileNode`: a file in a directory. (Zako sets no node properties: nothing may depend on them.)
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileNode {
    /// One path component.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
    /// Whether it has the executable bit.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
}

/// `DirectoryNode`: a subdirectory.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DirectoryNode {
    /// One path component.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The subdirectory's `Directory` message.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<Digest>,
}

/// `SymlinkNode`: a symbolic link.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SymlinkNode {
    /// One path component.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The target as written, `/`-separated.
    #[prost(string, tag = "2")]
    pub target: String,
}
