//! What zako wrote into the workspace, and with what content, kept in `.zako/state/outputs`.
//!
//! ```text
//! digest function (text)  then for each path: path (text)  kind (u8)  size (u64)  hash (32 bytes)
//! ```
//!
//! **Invariant:** a path outside of `zako-out/` is written down before it is first written, so that zako never takes
//! a file of its own for a person's, not even after a crash.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use zako_action::ArtifactValue;
use zako_cas::{Digest, DigestFunction};
use zako_path::NeutralPath;

use crate::files::{Decoder, Encoder, Format};

const FORMAT: Format = Format {
    kind: "outputs",
    version: 1,
};

pub(super) struct Manifest {
    path: PathBuf,
    function: DigestFunction,
    /// `None` for what was claimed but not yet seen written.
    written: BTreeMap<NeutralPath, Option<ArtifactValue>>,
    is_new: bool,
}

impl Manifest {
    pub(super) fn load(path: PathBuf, function: DigestFunction) -> Self {
        let written = FORMAT
            .read(&path)
            .and_then(|body| decode(&body, function))
            .unwrap_or_default();
        Manifest {
            path,
            function,
            written,
            is_new: false,
        }
    }

    /// Whether zako wrote this path, or was about to.
    pub(super) fn is_ours(&self, path: &NeutralPath) -> bool {
        self.written.contains_key(path)
    }

    /// Writes down that zako is about to write `path`, on disk at once.
    pub(super) fn claim(&mut self, path: &NeutralPath) -> io::Result<()> {
        if self.written.contains_key(path) {
            return Ok(());
        }
        self.written.insert(path.clone(), None);
        self.is_new = true;
        self.save()
    }

    pub(super) fn record(&mut self, path: &NeutralPath, value: &ArtifactValue) {
        let value = Some(value.clone());
        if self.written.get(path) != Some(&value) {
            self.written.insert(path.clone(), value);
            self.is_new = true;
        }
    }

    pub(super) fn save(&mut self) -> io::Result<()> {
        if !self.is_new {
            return Ok(());
        }
        let mut out = Encoder::default();
        out.text(self.function.name());
        for (path, value) in &self.written {
            let (kind, digest) = match value {
                None => (0, None),
                Some(ArtifactValue::File {
                    digest,
                    executable: false,
                }) => (1, Some(digest)),
                Some(ArtifactValue::File {
                    digest,
                    executable: true,
                }) => (2, Some(digest)),
                Some(ArtifactValue::Directory { tree }) => (3, Some(tree)),
                Some(ArtifactValue::Symlink { .. }) => (0, None),
            };
            out.text(path.as_str());
            out.u8(kind);
            out.u64(digest.map_or(0, |d| d.size));
            out.raw(&digest.map_or([0; 32], |d| d.hash));
        }
        FORMAT.write(&self.path, &out.finish())?;
        self.is_new = false;
        Ok(())
    }
}

fn decode(
    body: &[u8],
    function: DigestFunction,
) -> Option<BTreeMap<NeutralPath, Option<ArtifactValue>>> {
    let mut body = Decoder::new(body);
    if body.text()? != function.name() {
        return None;
    }
    let mut written = BTreeMap::new();
    while !body.is_empty() {
        let path = NeutralPath::new(body.text()?).ok()?;
        let kind = body.u8()?;
        let size = body.u64()?;
        let digest = Digest {
            function,
            hash: body.array()?,
            size,
        };
        let value = match kind {
            0 => None,
            1 | 2 => Some(ArtifactValue::File {
                digest,
                executable: kind == 2,
            }),
            3 => Some(ArtifactValue::Directory { tree: digest }),
            _ => return None,
        };
        written.insert(path, value);
    }
    Some(written)
}
