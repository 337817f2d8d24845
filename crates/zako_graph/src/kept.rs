//! Keys that can be kept on disk, and their codecs.
//!
//! **Invariant:** what is decoded is what was encoded, or nothing. Bytes on disk may be of any age that
//! has the same producer, never of another encoding.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::archive::{Fingerprint, Kind};
use crate::data::Data;
use crate::key::{AnyKey, AnyValue, Key, unpack};

/// What is kept of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// What was written, which is enough to have the value back. An empty encoding is as
    /// [`FingerprintOnly`](Self::FingerprintOnly).
    Value,
    /// The fingerprint of what was written. The value is computed again when it is needed, and those who
    /// asked for it are not, as long as the fingerprint stays.
    FingerprintOnly,
    /// Nothing: the node and whatever depends on it are computed again by the next process. For errors of a
    /// moment that can't be [transient](crate::Ctx::mark_transient).
    Not,
}

/// A key whose nodes are kept between processes. The encodings are a contract: whoever changes one
/// changes the producer that the [`Archive`](crate::archive::Archive) is opened with.
pub trait Kept: Key {
    /// The number of this type of key on disk, a leaf's if, and only if, it is [`Key::LEAF`].
    const KIND: Kind;

    /// Writes the key to `out`; `false` if it can't be kept. Equal keys have equal bytes, and others not.
    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool;

    /// The key that was written; `None` drops the node and whatever depends on it.
    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self>;

    /// Writes the value to `out`. The bytes of two values are equal only if they are the
    /// [`same`](Key::same).
    fn encode_value(value: &Self::Value, data: &Data, out: &mut Vec<u8>) -> Encoded;

    /// The value that was written; `None` has it computed again, as always for what is kept by its fingerprint only.
    fn decode_value(bytes: &[u8], data: &Data) -> Option<Self::Value> {
        let _ = (bytes, data);
        None
    }
}

/// The codec of some [`Kept`].
pub(crate) trait AnyCodec: Send + Sync {
    fn kind(&self) -> Kind;
    fn encode_key(&self, key: &dyn AnyKey, data: &Data, out: &mut Vec<u8>) -> bool;
    fn decode_key(&self, bytes: &[u8], data: &Data) -> Option<Arc<dyn AnyKey>>;
    fn encode_value(&self, value: &AnyValue, data: &Data, out: &mut Vec<u8>) -> Encoded;
    fn decode_value(&self, bytes: &[u8], data: &Data) -> Option<AnyValue>;
}

struct CodecOf<K>(PhantomData<fn() -> K>);

impl<K: Kept> AnyCodec for CodecOf<K> {
    fn kind(&self) -> Kind {
        K::KIND
    }

    fn encode_key(&self, key: &dyn AnyKey, data: &Data, out: &mut Vec<u8>) -> bool {
        let key = key.as_any().downcast_ref::<K>();
        key.is_some_and(|key| key.encode_key(data, out))
    }

    fn decode_key(&self, bytes: &[u8], data: &Data) -> Option<Arc<dyn AnyKey>> {
        let key = quietly(|| K::decode_key(bytes, data))?;
        Some(Arc::new(key))
    }

    fn encode_value(&self, value: &AnyValue, data: &Data, out: &mut Vec<u8>) -> Encoded {
        K::encode_value(unpack::<K>(value), data, out)
    }

    fn decode_value(&self, bytes: &[u8], data: &Data) -> Option<AnyValue> {
        let value = quietly(|| K::decode_value(bytes, data))?;
        Some(Arc::new(value))
    }
}

/// A decoder that panics on what it does not know has decoded nothing.
fn quietly<T>(decode: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decode)).ok().flatten()
}

/// The types of keys that an engine keeps, given in [`EngineOptions`](crate::EngineOptions). Nodes of other
/// types, and what depends on them, live as long as the engine.
#[derive(Clone, Default)]
pub struct Codecs {
    by_type: HashMap<TypeId, Arc<dyn AnyCodec>>,
    by_kind: HashMap<Kind, Arc<dyn AnyCodec>>,
}

impl Codecs {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type of key.
    ///
    /// # Panics
    /// Two types have one kind, or a leaf has the kind of what is none, or the reverse.
    #[must_use]
    pub fn with<K: Kept>(mut self) -> Self {
        assert_eq!(K::LEAF, K::KIND.is_leaf(), "a leaf has a leaf's kind");
        let codec: Arc<dyn AnyCodec> = Arc::new(CodecOf::<K>(PhantomData));
        let before = self.by_kind.insert(K::KIND, codec.clone());
        assert!(before.is_none(), "each type of key has a kind of its own");
        self.by_type.insert(TypeId::of::<K>(), codec);
        self
    }

    pub(crate) fn of_kind(&self, kind: Kind) -> Option<&Arc<dyn AnyCodec>> {
        self.by_kind.get(&kind)
    }

    pub(crate) fn of_key(&self, key: &dyn AnyKey) -> Option<&Arc<dyn AnyCodec>> {
        let key: &dyn Any = key.as_any();
        self.by_type.get(&key.type_id())
    }
}

impl fmt::Debug for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codecs({})", self.by_kind.len())
    }
}

/// The fingerprint that the archive has of a value with that encoding.
pub fn fingerprint(encoded: &[u8]) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(&blake3::hash(encoded).as_bytes()[..16]);
    fingerprint
}
