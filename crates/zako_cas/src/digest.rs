//! What a blob is called: its hash function, its hash and its size.
//!
//! Knows no store and no file. The text form is a contract: `FUNCTION:HEX/SIZE`.
//!
//! **Invariant:** two digests are equal only if function, hash and size all are; there is no
//! "default" function, so digests of two functions never meet by accident.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

/// Length in bytes of every hash that zako uses.
pub const HASH_LEN: usize = 32;

/// The hash functions that a digest may be made with. A workspace picks one; both are digest
/// functions of the Remote Execution API v2 (`BLAKE3 = 9`, `SHA256 = 1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum DigestFunction {
    /// BLAKE3 with its usual 256 bit output: the default.
    #[default]
    Blake3,
    /// SHA-256, for remote servers without BLAKE3.
    Sha256,
}

impl DigestFunction {
    /// The name in a digest's text form and in folder names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }

    /// The digest of `bytes`.
    ///
    /// ```
    /// use zako_cas::DigestFunction;
    /// let d = DigestFunction::Sha256.hash(b"");
    /// assert_eq!(d.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0");
    /// ```
    pub fn hash(self, bytes: &[u8]) -> Digest {
        let hash = match self {
            Self::Blake3 => *blake3::hash(bytes).as_bytes(),
            Self::Sha256 => sha2::Sha256::digest(bytes).into(),
        };
        Digest {
            function: self,
            hash,
            size: bytes.len() as u64,
        }
    }

    /// The digest of the empty blob.
    pub fn empty(self) -> Digest {
        self.hash(b"")
    }

    /// A hasher to be fed piece by piece.
    pub fn hasher(self) -> Hasher {
        let state = match self {
            Self::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
            Self::Sha256 => State::Sha256(sha2::Sha256::new()),
        };
        Hasher {
            function: self,
            state,
            size: 0,
        }
    }
}

impl fmt::Display for DigestFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DigestFunction {
    type Err = ParseDigestError;

    fn from_str(s: &str) -> Result<Self, ParseDigestError> {
        match s {
            "blake3" => Ok(Self::Blake3),
            "sha256" => Ok(Self::Sha256),
            _ => Err(ParseDigestError::UnknownFunction(s.to_owned())),
        }
    }
}

enum State {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
}

/// A digest in the making; see [`DigestFunction::hasher`].
pub struct Hasher {
    function: DigestFunction,
    state: State,
    size: u64,
}

impl Hasher {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Blake3(h) => {
                h.update(bytes);
            }
            State::Sha256(h) => h.update(bytes),
        }
        self.size += bytes.len() as u64;
    }

    /// As [`update`](Self::update), on all cores where the function allows it (BLAKE3 does). Worth
    /// it from about 128 KiB; needs the bytes in memory or mapped.
    pub fn update_parallel(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Blake3(h) => {
                h.update_rayon(bytes);
            }
            State::Sha256(h) => h.update(bytes),
        }
        self.size += bytes.len() as u64;
    }

    /// Bytes taken in so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        let hash = match self.state {
            State::Blake3(h) => *h.finalize().as_bytes(),
            State::Sha256(h) => h.finalize().into(),
        };
        Digest {
            function: self.function,
            hash,
            size: self.size,
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("function", &self.function)
            .field("size", &self.size)
            .finish()
    }
}

/// Names a blob by content: function, hash, and size in bytes.
///
/// The text form is `FUNCTION:HEX/SIZE` (64 lower case hex digits, decimal size), in
/// [`Display`](fmt::Display), [`FromStr`] and serde alike:
///
/// ```
/// use zako_cas::{Digest, DigestFunction};
/// let d = DigestFunction::Blake3.hash(b"hello");
/// assert_eq!(d.size, 5);
/// assert_eq!(d.to_string().parse::<Digest>(), Ok(d));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    /// The function that made `hash`.
    pub function: DigestFunction,
    /// The hash itself.
    pub hash: [u8; HASH_LEN],
    /// Size of the blob in bytes.
    pub size: u64,
}

impl Digest {
    /// The hash as 64 lower case hex digits.
    pub fn hex(&self) -> String {
        let mut digits = [0; 2 * HASH_LEN];
        hex::encode_to_slice(self.hash, &mut digits).expect("there is room for two digits a byte");
        std::str::from_utf8(&digits)
            .expect("digits are ASCII")
            .to_owned()
    }

    /// A digest from the parts that a Remote Execution API message carries.
    ///
    /// # Errors
    /// When `hex` is not 64 lower case hex digits, or `size` is negative.
    pub fn from_hex(
        function: DigestFunction,
        hex: &str,
        size: i64,
    ) -> Result<Self, ParseDigestError> {
        let bad = || ParseDigestError::BadHash(hex.to_owned());
        if hex.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad());
        }
        let mut hash = [0; HASH_LEN];
        hex::decode_to_slice(hex, &mut hash).map_err(|_| bad())?;
        let size = u64::try_from(size).map_err(|_| ParseDigestError::BadSize(size.to_string()))?;
        Ok(Self {
            function,
            hash,
            size,
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.function, self.hex(), self.size)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// Not of the form `FUNCTION:HEX/SIZE`.
    #[error("`{0}` is not a digest: expected FUNCTION:HEX/SIZE")]
    Malformed(String),
    /// The function is none that zako has.
    #[error("`{0}` is not a digest function: expected blake3 or sha256")]
    UnknownFunction(String),
    /// The hash is not 64 lower case hex digits.
    #[error("`{0}` is not a hash: expected 64 lower case hex digits")]
    BadHash(String),
    /// The size is no decimal number of bytes.
    #[error("`{0}` is not a size in bytes")]
    BadSize(String),
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(s: &str) -> Result<Self, ParseDigestError> {
        let malformed = || ParseDigestError::Malformed(s.to_owned());
        let (function, rest) = s.split_once(':').ok_or_else(malformed)?;
        let (hex, size) = rest.split_once('/').ok_or_else(malformed)?;
        let function = function.parse()?;
        let bad_size = || ParseDigestError::BadSize(size.to_owned());
        // One spelling a digest: no sign, no leading zero.
        if !size.bytes().all(|b| b.is_ascii_digit()) || (size.len() > 1 && size.starts_with('0')) {
            return Err(bad_size());
        }
        let size: i64 = size.parse().map_err(|_| bad_size())?;
        Self::from_hex(function, hex, size)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
