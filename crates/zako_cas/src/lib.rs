//! Content-addressed store: digests, blobs and trees.
//!
//! Knows no action, no process and no script. Everything here is synchronous and made for plain
//! threads: hashing and reading are work, not waiting.

mod blob;
mod digest;
mod error;
mod layout;
mod materialise;
mod memory;
mod packed;
pub mod reapi;
pub mod segment;
mod store;
mod tree;
mod tree_store;
mod verify;
mod writer;

pub use blob::{BlobHandle, BlobReader};
pub use digest::{Digest, DigestFunction, HASH_LEN, Hasher, ParseDigestError};
pub use error::StoreError;
pub use layout::{ABANDONED_AFTER, LAYOUT, STALE_AFTER};
pub use materialise::MaterialiseMode;
pub use packed::MAX_PACKED_BLOB;
pub use store::{
    Durability, MAX_CACHED_BLOB, MAX_VERIFIED, Store, StoreOptions, StoreStats, hash_file,
};
pub use tree::{
    MAX_TREE_DEPTH, MAX_TREE_ENTRIES, SubtreeCache, Tree, TreeBuilder, TreeEntry, TreeError,
};
pub use verify::{VerifyProgress, VerifyReport};
pub use writer::BlobWriter;
