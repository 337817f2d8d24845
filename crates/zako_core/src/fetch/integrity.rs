//! Digests of content as people write them: Subresource Integrity (<https://www.w3.org/TR/sri-2/>), and BLAKE3 in
//! hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;
use thiserror::Error;

/// A function that digests are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// SHA-256, which pins are made with.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// BLAKE3.
    Blake3,
}

impl Algorithm {
    const ALL: [Algorithm; 4] = [
        Algorithm::Sha256,
        Algorithm::Sha384,
        Algorithm::Sha512,
        Algorithm::Blake3,
    ];

    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
            Algorithm::Blake3 => "blake3",
        }
    }

    /// Bytes of a digest.
    fn size(self) -> usize {
        match self {
            Algorithm::Sha256 | Algorithm::Blake3 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Sha512 => 64,
        }
    }
}

/// What content must be: `sha256-BASE64`, `sha384-BASE64`, `sha512-BASE64` or `blake3-HEX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Integrity {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

/// What is written is no digest.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "\"{0}\" is no integrity: write sha256-BASE64, sha384-BASE64, sha512-BASE64 or blake3-HEX, one of them"
)]
pub(crate) struct IntegrityError(String);

impl Integrity {
    /// What it is made with.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl FromStr for Integrity {
    type Err = IntegrityError;

    fn from_str(text: &str) -> Result<Self, IntegrityError> {
        let wrong = || IntegrityError(text.to_owned());
        let (name, digest) = text.split_once('-').ok_or_else(wrong)?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(wrong)?;
        let digest = match algorithm {
            Algorithm::Blake3 => hex::decode(digest).ok(),
            _ => STANDARD.decode(digest).ok(),
        };
        match digest {
            Some(digest) if digest.len() == algorithm.size() => Ok(Integrity { algorithm, digest }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = match self.algorithm {
            Algorithm::Blake3 => hex::encode(&self.digest),
            _ => STANDARD.encode(&self.digest),
        };
        write!(f, "{}-{digest}", self.algorithm.name())
    }
}

/// A digest in the making.
pub(crate) enum Hashing {
    /// See [`Algorithm::Sha256`].
    Sha256(sha2::Sha256),
    /// See [`Algorithm::Sha384`].
    Sha384(sha2::Sha384),
    /// See [`Algorithm::Sha512`].
    Sha512(sha2::Sha512),
    /// See [`Algorithm::Blake3`].
    Blake3(Box<blake3::Hasher>),
}

impl Hashing {
    /// Of nothing so far.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Hashing::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => Hashing::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => Hashing::Sha512(sha2::Sha512::new()),
            Algorithm::Blake3 => Hashing::Blake3(Box::default()),
        }
    }

    /// Adds the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hashing::Sha256(hasher) => hasher.update(bytes),
            Hashing::Sha384(hasher) => hasher.update(bytes),
            Hashing::Sha512(hasher) => hasher.update(bytes),
            Hashing::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest of all.
    pub(crate) fn finish(self) -> Integrity {
        let (algorithm, digest) = match self {
            Hashing::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().to_vec()),
            Hashing::Sha384(hasher) => (Algorithm::Sha384, hasher.finalize().to_vec()),
            Hashing::Sha512(hasher) => (Algorithm::Sha512, hasher.finalize().to_vec()),
            Hashing::Blake3(hasher) => (Algorithm::Blake3, hasher.finalize().as_bytes().to_vec()),
        };
        Integrity { algorithm, digest }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_others_write_them() {
        // From `printf abc | openssl dgst -sha256 -binary | base64`, and so on.
        let abc = [
            "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn",
            "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==",
            "blake3-6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        ];
        for (text, algorithm) in abc.iter().zip(Algorithm::ALL) {
            let mut hashing = Hashing::new(algorithm);
            hashing.update(b"a");
            hashing.update(b"bc");
            let found = hashing.finish();
            assert_eq!(found.to_string(), *text);
            assert_eq!(text.parse::<Integrity>().unwrap(), found);
        }
        for bad in [
            "",
            "abc",
            "md5-AAAA",
            "sha256-AAAA",
            "sha256-*",
            "blake3-zz",
        ] {
            assert!(bad.parse::<Integrity>().is_err(), "{bad}");
        }
    }
}
