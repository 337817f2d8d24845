//! The files that zako keeps for itself below `.zako/state`: a header with a checksum, and a body.
//!
//! ```text
//! "zako-state\n"  kind and version as text, ended by "\n"  BLAKE3 of kind, version and body (32 bytes)  body
//! ```
//!
//! Numbers in a body are little endian; a text or a list of bytes is its length (u32) and itself.
//!
//! **Invariant:** a file comes into being by rename, whole. Whatever is not exactly what this version writes
//! (torn, foreign, of another version) counts as not there: what it held is found out anew.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

const MAGIC: &[u8] = b"zako-state\n";

/// The largest state file that is read, in bytes.
pub(crate) const MAX_STATE_BYTES: u64 = 1 << 30;

/// What a state file is: its kind and the number of its format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    /// A word, as "files".
    pub(crate) kind: &'static str,
    /// Raised with every change of the body.
    pub(crate) version: u32,
}

impl Format {
    fn header(self, body: &[u8]) -> Vec<u8> {
        let name = format!("{} {}\n", self.kind, self.version);
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(name.as_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes());
        hasher.update(body);
        header.extend_from_slice(hasher.finalize().as_bytes());
        header
    }

    /// The body of the file at `path`; `None` when it is not there or not to be trusted.
    pub(crate) fn read(self, path: &Path) -> Option<Vec<u8>> {
        if fs::metadata(path).ok()?.len() > MAX_STATE_BYTES {
            return None;
        }
        let mut bytes = fs::read(path).ok()?;
        let length = self.header(&[]).len();
        let (header, body) = bytes.split_at_checked(length)?;
        if header != self.header(body) {
            tracing::debug!(path = %path.display(), "a state file is damaged or another version's: starting anew");
            return None;
        }
        bytes.drain(..length);
        Some(bytes)
    }

    /// Replaces the file at `path`, creating the folder above it.
    pub(crate) fn write(self, path: &Path, body: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".zako-")
            .tempfile_in(folder)?;
        file.write_all(&self.header(body))?;
        file.write_all(body)?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }
}

/// Writes a body.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes of a length that the reader knows.
    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        // Nothing that is written here comes near 4 GiB: paths and names.
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.raw(value.as_bytes());
    }

    /// What was written so far.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads a body; every read is `None` past its end.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Decoder { rest: body }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.u32()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        kind: "test",
        version: 1,
    };

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert_eq!(FORMAT.read(&path), None);
        FORMAT.write(&path, b"body").unwrap();
        assert_eq!(FORMAT.read(&path).unwrap(), b"body");
        assert_eq!(
            fs::read_dir(dir.path().join("a")).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn the_header_is_a_contract() {
        let hex = hex::encode(FORMAT.header(b"x"));
        assert!(
            hex.starts_with(&hex::encode("zako-state\ntest 1\n")),
            "{hex}"
        );
        assert_eq!(hex.len(), 2 * (b"zako-state\ntest 1\n".len() + 32));
    }

    #[test]
    fn nothing_torn_or_foreign_is_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        FORMAT.write(&path, b"some body").unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(FORMAT.read(&path), None, "cut to {length}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert_eq!(FORMAT.read(&path), None, "flipped at {at}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(
            Format {
                version: 2,
                ..FORMAT
            }
            .read(&path),
            None
        );
        assert_eq!(
            Format {
                kind: "tset",
                ..FORMAT
            }
            .read(&path),
            None
        );
        assert_eq!(FORMAT.read(&path).unwrap(), b"some body");
    }

    #[test]
    fn a_body_never_reads_past_its_end() {
        let mut encoder = Encoder::default();
        encoder.text("ä");
        encoder.u64(7);
        let body = encoder.finish();
        let mut decoder = Decoder::new(&body);
        assert_eq!(
            (decoder.text(), decoder.u64(), decoder.u8()),
            (Some("ä"), Some(7), None)
        );
        assert_eq!(Decoder::new(&[255, 255, 255, 255, 1]).text(), None);
    }
}
