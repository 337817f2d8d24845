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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_known_next_time_and_claims_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outputs");
        let load = || Manifest::load(path.clone(), DigestFunction::Blake3);
        let name = |text: &str| NeutralPath::new(text).unwrap();
        let mut manifest = load();
        manifest.claim(&name("dist/a")).unwrap();
        assert!(
            load().is_ours(&name("dist/a")),
            "before anything is written there"
        );
        let digest = DigestFunction::Blake3.hash(b"x");
        let values = [
            (
                "a",
                ArtifactValue::File {
                    digest,
                    executable: false,
                },
            ),
            (
                "b",
                ArtifactValue::File {
                    digest,
                    executable: true,
                },
            ),
            ("c", ArtifactValue::Directory { tree: digest }),
        ];
        for (text, value) in &values {
            manifest.record(&name(text), value);
        }
        assert!(!load().is_ours(&name("a")));
        manifest.save().unwrap();
        assert_eq!(load().written, manifest.written);
        let other = Manifest::load(path, DigestFunction::Sha256);
        assert!(
            !other.is_ours(&name("a")),
            "another function's digests mean nothing"
        );
    }

    #[test]
    fn the_format_is_a_contract() {
        let dir = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::load(dir.path().join("outputs"), DigestFunction::Blake3);
        let digest = Digest {
            function: DigestFunction::Blake3,
            hash: [0xab; 32],
            size: 258,
        };
        let path = NeutralPath::new("o/x").unwrap();
        manifest.record(
            &path,
            &ArtifactValue::File {
                digest,
                executable: true,
            },
        );
        manifest.save().unwrap();
        let body = FORMAT.read(&dir.path().join("outputs")).unwrap();
        let golden = [
            "06000000",
            "626c616b6533",
            "03000000",
            "6f2f78",
            "02",
            "0201000000000000",
        ]
        .concat();
        assert_eq!(
            hex::encode(body),
            golden + &"ab".repeat(32),
            "raise the format's version with any change"
        );
    }
}
