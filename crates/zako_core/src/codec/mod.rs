//! How what zako keeps between its processes is written: explicit, little endian, one [`Coded`] for each type.
//!
//! ```text
//! bool, tag    one byte
//! u32, u64     little endian; a float is its 64 bits
//! text         its length in bytes (u32), UTF-8
//! list, map    its length (u32), its items in order; a map's item is its key and its value
//! option       0, or 1 and the value
//! tuple        its parts
//! ```
//!
//! Must never know where the bytes are kept: that is the graph's archive, whose producer string has
//! [`CODEC_VERSION`].
//!
//! **Invariants:** equal values have equal bytes. Decoding is total: any bytes give a value or `None`, with a bounded
//! stack, and with memory in proportion to the bytes.

pub(crate) mod action;
mod analysis;
mod artifact;
mod diagnostic;
mod draft;
mod module;
mod package;
mod toolchain;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use zako_path::NeutralPath;

use crate::files::{Decoder, Encoder};

/// Raised with every change of an encoding in here; whatever another version wrote counts as foreign.
pub(crate) const CODEC_VERSION: u32 = 5;

/// A hash that stands for a value: the first half of a BLAKE3 hash.
pub(crate) type Fingerprint = [u8; 16];

/// A type with an encoding.
pub(crate) trait Coded: Sized {
    fn encode(&self, out: &mut Encoder);
    /// The value at the front of `body`; `None` when there is none.
    fn decode(body: &mut Decoder<'_>) -> Option<Self>;
}

/// The encoding of `value`.
pub(crate) fn encoded(value: &impl Coded) -> Vec<u8> {
    let mut out = Encoder::default();
    value.encode(&mut out);
    out.finish()
}

/// The value that `bytes` are the whole encoding of.
pub(crate) fn decoded<T: Coded>(bytes: &[u8]) -> Option<T> {
    let mut body = Decoder::new(bytes);
    let value = T::decode(&mut body)?;
    body.is_empty().then_some(value)
}

/// Sorted paths, each written by what it does not share with the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathList(pub(crate) Vec<NeutralPath>);

/// The fingerprint of `bytes`.
pub(crate) fn fingerprint(bytes: &[u8]) -> Fingerprint {
    zako_graph::fingerprint(bytes)
}

/// The first half of a hash.
pub(crate) fn half(hash: &blake3::Hash) -> Fingerprint {
    let (half, _) = hash
        .as_bytes()
        .split_first_chunk()
        .expect("a BLAKE3 hash has 32 bytes");
    *half
}

impl Coded for bool {
    fn encode(&self, out: &mut Encoder) {
        out.u8(u8::from(*self));
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        match body.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Coded for u32 {
    fn encode(&self, out: &mut Encoder) {
        out.u32(*self);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        body.u32()
    }
}

impl Coded for u64 {
    fn encode(&self, out: &mut Encoder) {
        out.u64(*self);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        body.u64()
    }
}

impl Coded for String {
    fn encode(&self, out: &mut Encoder) {
        out.text(self);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        body.text().map(str::to_owned)
    }
}

impl Coded for Arc<str> {
    fn encode(&self, out: &mut Encoder) {
        out.text(self);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        body.text().map(Into::into)
    }
}

impl Coded for NeutralPath {
    fn encode(&self, out: &mut Encoder) {
        out.text(self.as_str());
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        NeutralPath::new(body.text()?).ok()
    }
}

impl<T: Coded> Coded for Arc<T> {
    fn encode(&self, out: &mut Encoder) {
        T::encode(self, out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        T::decode(body).map(Arc::new)
    }
}

impl<T: Coded> Coded for Option<T> {
    fn encode(&self, out: &mut Encoder) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match bool::decode(body)? {
            false => None,
            true => Some(T::decode(body)?),
        })
    }
}

impl<T: Coded, E: Coded> Coded for Result<T, E> {
    fn encode(&self, out: &mut Encoder) {
        self.is_ok().encode(out);
        match self {
            Ok(value) => value.encode(out),
            Err(error) => error.encode(out),
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match bool::decode(body)? {
            true => Ok(T::decode(body)?),
            false => Err(E::decode(body)?),
        })
    }
}

impl<A: Coded, B: Coded> Coded for (A, B) {
    fn encode(&self, out: &mut Encoder) {
        self.0.encode(out);
        self.1.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some((A::decode(body)?, B::decode(body)?))
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn encode(&self, out: &mut Encoder) {
        encode_all(self.len(), self, out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        decode_all(body)
    }
}

impl<K: Coded + Ord, V: Coded> Coded for BTreeMap<K, V> {
    fn encode(&self, out: &mut Encoder) {
        length(self.len(), out);
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let pairs: Vec<(K, V)> = decode_all(body)?;
        // In order and each once: one map has one encoding.
        let sorted = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        sorted.then(|| pairs.into_iter().collect())
    }
}

/// An object as a script made it: the order of its keys is part of it.
impl<V: Coded> Coded for IndexMap<String, V> {
    fn encode(&self, out: &mut Encoder) {
        length(self.len(), out);
        for (key, value) in self {
            key.encode(out);
            value.encode(out);
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let pairs: Vec<(String, V)> = decode_all(body)?;
        let count = pairs.len();
        let map: Self = pairs.into_iter().collect();
        (map.len() == count).then_some(map)
    }
}

/// Writes a list's length.
fn length(count: usize, out: &mut Encoder) {
    // Far below: what has four thousand million items does not fit into memory either.
    out.u32(u32::try_from(count).unwrap_or(u32::MAX));
}

fn encode_all<'a, T: Coded + 'a>(
    count: usize,
    items: impl IntoIterator<Item = &'a T>,
    out: &mut Encoder,
) {
    length(count, out);
    for item in items {
        item.encode(out);
    }
}

fn decode_all<T: Coded>(body: &mut Decoder<'_>) -> Option<Vec<T>> {
    decode_with(body, T::decode)
}

/// A list whose items `decode` reads.
fn decode_with<T>(
    body: &mut Decoder<'_>,
    mut decode: impl FnMut(&mut Decoder<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = usize::try_from(body.u32()?).ok()?;
    // Every item has a byte at least, so a length that is a lie ends here and reserves nothing.
    if count > body.remaining() {
        return None;
    }
    let mut items = Vec::with_capacity(count.min(MAX_RESERVED));
    for _ in 0..count {
        items.push(decode(body)?);
    }
    Some(items)
}

/// How many items of a list are reserved at once; a longer list grows.
const MAX_RESERVED: usize = 1024;

#[cfg(test)]
pub(crate) mod tests {
    use super::{Coded, decoded, encoded};
    use proptest::prelude::*;

    /// Checks that a value survives, and that each of its bytes matters to the reading or is refused, without a panic.
    #[track_caller]
    pub(crate) fn survives<T: Coded + PartialEq + std::fmt::Debug>(value: &T) {
        let bytes = encoded(value);
        let back: T = decoded(&bytes).expect("own bytes decode");
        assert_eq!(&back, value);
        assert_eq!(encoded(&back), bytes);
        for end in 0..bytes.len() {
            assert!(
                decoded::<T>(&bytes[..end]).is_none(),
                "cut to {end} of {}",
                bytes.len()
            );
        }
    }

    /// Checks that whatever `bytes` are, what they decode to is written as them.
    pub(crate) fn is_total<T: Coded>(bytes: &[u8]) {
        if let Some(value) = decoded::<T>(bytes) {
            assert_eq!(encoded(&value), bytes);
        }
    }

    #[test]
    fn lengths_that_are_lies_reserve_nothing() {
        let lie = [255, 255, 255, 255, 1, 2, 3];
        assert!(decoded::<Vec<u64>>(&lie).is_none());
        assert!(decoded::<String>(&lie).is_none());
        assert!(decoded::<std::collections::BTreeMap<String, String>>(&lie).is_none());
    }

    #[test]
    fn maps_have_one_encoding() {
        let pairs = |pairs: &[(u32, bool)]| encoded(&pairs.to_vec());
        type Map = std::collections::BTreeMap<u32, bool>;
        assert!(decoded::<Map>(&pairs(&[(1, true), (2, true)])).is_some());
        assert!(decoded::<Map>(&pairs(&[(2, true), (1, true)])).is_none());
        assert!(decoded::<Map>(&pairs(&[(1, true), (1, false)])).is_none());
    }

    proptest! {
        #[test]
        fn plain_data_survives(value in any::<(Vec<String>, std::collections::BTreeMap<u32, Option<bool>>)>()) {
            survives(&value);
        }
    }
}
