//! The key of an interned string: which interner, which string, and what type the string stands for.
//!
//! **Invariant:** the upper 8 bits are the interner's id and never zero, the lower 24 are the index,
//! so the whole is non-zero and `Option<Key>` needs no extra space.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::{NonZeroU8, NonZeroU32};

/// Bits of a key that hold the index; the other 8 hold the interner's id.
const INDEX_BITS: u32 = 24;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

/// The most strings that one interner can hold: 2^24.
pub const MAX_STRINGS: usize = 1 << INDEX_BITS;

/// The most interners that one process can make: ids 1 to 255.
pub const MAX_INTERNERS: usize = u8::MAX as usize;

/// Which interner of this process; never reused, not even after the interner is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InternerId(NonZeroU8);

impl InternerId {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        u8::try_from(number).ok().and_then(NonZeroU8::new).map(Self)
    }

    /// The id as a number, 1 to 255.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for InternerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Stands for one string in one interner; four bytes, and so is `Option<Key<T>>`.
///
/// `T` is what the string spells (`str` when nothing particular), so a key of a path is no key of a
/// label. Two keys of one interner are equal exactly when their strings are. The order is that of first
/// interning, which differs from run to run when threads race: never let it reach an output.
pub struct Key<T: ?Sized = str> {
    bits: NonZeroU32,
    spells: PhantomData<fn() -> T>,
}

impl<T: ?Sized> Key<T> {
    /// `None` when `index` does not fit in 24 bits.
    pub(crate) fn new(interner: InternerId, index: usize) -> Option<Self> {
        let index = u32::try_from(index).ok().filter(|&i| i <= INDEX_MASK)?;
        let bits = NonZeroU32::from(interner.0).get() << INDEX_BITS | index;
        Some(Self {
            bits: NonZeroU32::new(bits)?,
            spells: PhantomData,
        })
    }

    /// The interner that made this key.
    pub fn interner(self) -> InternerId {
        let id = (self.bits.get() >> INDEX_BITS) as u8;
        InternerId(NonZeroU8::new(id).expect("`new` puts a non-zero id into the upper bits"))
    }

    /// The position of the string in its interner, counted from 0 in order of first interning.
    pub fn index(self) -> u32 {
        self.bits.get() & INDEX_MASK
    }

    /// The same key with another type; only for this crate, where the string is known to fit.
    pub(crate) fn retype<U: ?Sized>(self) -> Key<U> {
        Key {
            bits: self.bits,
            spells: PhantomData,
        }
    }
}

// Written by hand, because deriving would ask the same of `T`.
impl<T: ?Sized> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Key<T> {}

impl<T: ?Sized> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T: ?Sized> Eq for Key<T> {}

impl<T: ?Sized> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl<T: ?Sized> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: ?Sized> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits.cmp(&other.bits)
    }
}

impl<T: ?Sized> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:{})", self.interner(), self.index())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn assert_send_sync<T: Send + Sync>() {}

    #[test]
    fn holds_the_extremes_of_both_parts() {
        for id in [1, 2, 255] {
            let id = InternerId::from_number(id).unwrap();
            for index in [0, 1, MAX_STRINGS - 1] {
                let key: Key = Key::new(id, index).unwrap();
                assert_eq!((key.interner(), key.index() as usize), (id, index));
            }
            assert_eq!(Key::<str>::new(id, MAX_STRINGS), None);
            assert_eq!(Key::<str>::new(id, usize::MAX), None);
        }
        assert_eq!(InternerId::from_number(0), None);
        assert_eq!(InternerId::from_number(256), None);
    }

    #[test]
    fn is_small_and_crosses_threads_whatever_it_spells() {
        assert_eq!(size_of::<Option<Key<str>>>(), 4);
        assert_eq!(size_of::<Option<Key<std::rc::Rc<str>>>>(), 4);
        assert_send_sync::<Key<std::rc::Rc<str>>>();
    }
}
