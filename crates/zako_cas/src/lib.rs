//! Content-addressed store: digests, blobs and trees.
//!
//! Knows no action, no process and no script. Everything here is synchronous and made for plain
//! threads: hashing and reading are work, not waiting.

mod digest;
mod error;

pub use digest::{Digest, DigestFunction, HASH_LEN, Hasher, ParseDigestError};
pub use error::StoreError;
