//! What can go wrong with the store: the environment (disk, permissions, a foreign folder), or a
//! blob that is not there. A corrupt blob is no error: it counts as missing.

use std::io;
use std::path::{Path, PathBuf};

use crate::Digest;

/// An error of the store. [`is_environment`](Self::is_environment) tells whose fault it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or folder could not be read or written (disk full, permissions …).
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create" …
        verb: &'static str,
        /// The file or folder that it was tried on.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// The reader handed in by the caller failed; nothing was stored.
    #[error("cannot read the data to be stored: {0}")]
    Source(#[source] io::Error),
    /// The folder is not one of zako's stores.
    #[error("{} is not a zako store ({found}); choose another folder for the store, or empty this one", root.display())]
    Foreign {
        /// The store's root.
        root: PathBuf,
        /// What was found there.
        found: String,
    },
    /// The store was written by a version of zako with another layout.
    #[error(
        "the store {} has layout {found}, this zako reads layout {ours}; use the zako that wrote it, \
         or choose another folder for the store", root.display()
    )]
    OtherLayout {
        /// The store's root.
        root: PathBuf,
        /// The layout's number found there.
        found: u32,
        /// The layout's number that this version reads and writes.
        ours: u32,
    },
    /// The blob is not in the store, or was corrupt and has been set aside.
    #[error("blob {0} is not in the store")]
    Missing(Digest),
    /// The digest was made by another function than the store's.
    #[error("digest {digest} cannot be in a {function} store")]
    OtherFunction {
        /// The digest asked for.
        digest: Digest,
        /// The store's function.
        function: crate::DigestFunction,
    },
    /// The range asked for does not lie within the blob.
    #[error("range {start}..{end} is not within blob {digest}")]
    OutOfRange {
        /// The blob.
        digest: Digest,
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
    },
    /// An open blob could not be read on.
    #[error("cannot read blob {digest}: {source}")]
    Unreadable {
        /// The blob.
        digest: Digest,
        /// The system's own error.
        source: io::Error,
    },
    /// A file changed while it was read.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether the machine is at fault (disk, permissions, a foreign folder), not the caller.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::Foreign { .. }
            | Self::OtherLayout { .. }
            | Self::Unreadable { .. } => true,
            Self::Source(_)
            | Self::Missing(_)
            | Self::OtherFunction { .. }
            | Self::OutOfRange { .. } => false,
            Self::Changed { .. } => false,
        }
    }

    /// For `map_err`: `verb` says what was tried on `path`.
    pub(crate) fn io<'a>(
        verb: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            verb,
            path: path.to_path_buf(),
            source,
        }
    }
}
