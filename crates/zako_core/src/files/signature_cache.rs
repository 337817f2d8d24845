//! Digests by signature, kept in `.zako/state/files` between builds.
//!
//! ```text
//! digest function (text)  then for each file: key (text)  signature  size (u64)  hash (32 bytes)
//! ```
//!
//! The key is a path relative to the workspace, or an absolute one for tools and other files of the machine.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use dashmap::DashMap;
use zako_cas::{Digest, DigestFunction};

use super::signature::Signature;
use super::state_file::{Decoder, Encoder, Format};

const FORMAT: Format = Format {
    kind: "files",
    version: 1,
};

/// How many files are remembered although no build asked for them this time.
const MAX_UNUSED: usize = 1 << 18;

#[derive(Debug, Clone, Copy)]
struct Known {
    signature: Signature,
    digest: Digest,
    used: bool,
}

pub(super) struct SignatureCache {
    path: PathBuf,
    function: DigestFunction,
    known: DashMap<Box<str>, Known>,
    is_new: AtomicBool,
}

impl SignatureCache {
    /// What the file at `path` says, or nothing.
    pub(super) fn load(path: PathBuf, function: DigestFunction) -> Self {
        let known = DashMap::new();
        if let Some(body) = FORMAT.read(&path)
            && decode(&body, function, &known).is_none()
        {
            known.clear();
        }
        SignatureCache {
            path,
            function,
            known,
            is_new: AtomicBool::new(false),
        }
    }

    /// The digest of what has this signature at `key`.
    pub(super) fn get(&self, key: &str, signature: &Signature) -> Option<Digest> {
        let mut known = self.known.get_mut(key)?;
        if known.signature != *signature {
            return None;
        }
        known.used = true;
        Some(known.digest)
    }

    /// Remembers that what was read at `moment` has this digest, unless an edit could go unnoticed.
    pub(super) fn insert(
        &self,
        key: &str,
        signature: Signature,
        digest: Digest,
        moment: SystemTime,
    ) {
        self.is_new.store(true, Ordering::Relaxed);
        if signature.is_settled(moment) {
            self.known.insert(
                key.into(),
                Known {
                    signature,
                    digest,
                    used: true,
                },
            );
        } else {
            self.known.remove(key);
        }
    }

    /// Writes the file, if anything is new.
    pub(super) fn save(&self) -> io::Result<()> {
        if !self.is_new.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut unused = 0;
        let mut out = Encoder::default();
        out.text(self.function.name());
        for known in &self.known {
            if !known.used {
                unused += 1;
                if unused > MAX_UNUSED {
                    continue;
                }
            }
            out.text(known.key());
            known.signature.encode(&mut out);
            out.u64(known.digest.size);
            out.raw(&known.digest.hash);
        }
        FORMAT.write(&self.path, &out.finish())
    }
}

fn decode(body: &[u8], function: DigestFunction, known: &DashMap<Box<str>, Known>) -> Option<()> {
    let mut body = Decoder::new(body);
    if body.text()? != function.name() {
        return None;
    }
    while !body.is_empty() {
        let key = body.text()?;
        let signature = Signature::decode(&mut body)?;
        let size = body.u64()?;
        let digest = Digest {
            function,
            hash: body.array()?,
            size,
        };
        known.insert(
            key.into(),
            Known {
                signature,
                digest,
                used: false,
            },
        );
    }
    Some(())
}
