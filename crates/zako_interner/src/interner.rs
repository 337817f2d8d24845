//! The interner: one growing set of strings, shared by all threads.
//!
//! Stands on `lasso`'s threaded rodeo, whose keys are dense from 0, and adds the id, the limit and
//! errors in place of panics.
//!
//! **Invariant:** no index at or above `limit` ever leaves this module.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lasso::{Key as _, LassoErrorKind, Spur, ThreadedRodeo};

use crate::error::InternError;
use crate::key::{InternerId, Key, MAX_STRINGS};

/// The number of the last interner made. A process-wide static, because a key of one interner must be
/// told from a key of any other of the process.
static LAST_ID: AtomicU32 = AtomicU32::new(0);

/// Stores each distinct string once; any number of threads may intern and resolve at the same time.
///
/// Strings are never removed: memory is freed when the interner is dropped.
pub struct ThreadedInterner {
    id: InternerId,
    rodeo: ThreadedRodeo<Spur>,
    limit: usize,
    /// Set once index `limit - 1` is given out; from then on only known strings are looked up. Threads
    /// that race past it may each leave one string in the rodeo, which `get` and `len` leave out.
    full: AtomicBool,
}

impl ThreadedInterner {
    /// An empty interner for up to [`MAX_STRINGS`] strings.
    ///
    /// # Errors
    /// [`InternError::InternersExhausted`] after [`MAX_INTERNERS`](crate::MAX_INTERNERS) in one process.
    pub fn new() -> Result<Self, InternError> {
        Self::with_limit(MAX_STRINGS)
    }

    /// An empty interner for up to `limit` strings (at most [`MAX_STRINGS`]; a larger number means that).
    ///
    /// # Errors
    /// [`InternError::InternersExhausted`] after [`MAX_INTERNERS`](crate::MAX_INTERNERS) in one process.
    ///
    /// ```
    /// use zako_interner::{InternError, ThreadedInterner};
    ///
    /// let two = ThreadedInterner::with_limit(2)?;
    /// let a = two.get_or_intern("a")?;
    /// two.get_or_intern("b")?;
    /// assert_eq!(two.get_or_intern("a"), Ok(a));
    /// assert_eq!(
    ///     two.get_or_intern("c"),
    ///     Err(InternError::StringsExhausted { interner: two.id(), limit: 2 })
    /// );
    /// # Ok::<(), InternError>(())
    /// ```
    pub fn with_limit(limit: usize) -> Result<Self, InternError> {
        let mut id = None;
        // Not `fetch_add`: the counter must stop at its end and not wrap round to ids in use.
        let _ = LAST_ID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            id = InternerId::from_number(last + 1);
            id.map(|_| last + 1)
        });
        let limit = limit.min(MAX_STRINGS);
        Ok(Self {
            id: id.ok_or(InternError::InternersExhausted)?,
            rodeo: ThreadedRodeo::new(),
            limit,
            full: AtomicBool::new(limit == 0),
        })
    }

    /// Which interner of this process this is; its keys carry the same id.
    pub fn id(&self) -> InternerId {
        self.id
    }

    /// The key of `string`, which is copied into the interner at its first use.
    ///
    /// # Errors
    /// [`InternError::StringsExhausted`] when the string is new and the interner full;
    /// [`InternError::OutOfMemory`].
    pub fn get_or_intern(&self, string: &str) -> Result<Key, InternError> {
        self.intern(string, |rodeo| rodeo.try_get_or_intern(string))
    }

    /// As [`get_or_intern`](Self::get_or_intern), without copying the string.
    ///
    /// # Errors
    /// [`InternError::StringsExhausted`] when the string is new and the interner full.
    pub fn get_or_intern_static(&self, string: &'static str) -> Result<Key, InternError> {
        self.intern(string, |rodeo| rodeo.try_get_or_intern_static(string))
    }

    fn intern(
        &self,
        string: &str,
        insert: impl FnOnce(&ThreadedRodeo<Spur>) -> lasso::LassoResult<Spur>,
    ) -> Result<Key, InternError> {
        let exhausted = InternError::StringsExhausted {
            interner: self.id,
            limit: self.limit,
        };
        if self.full.load(Ordering::Relaxed) {
            return self.get(string).ok_or(exhausted);
        }
        let spur = insert(&self.rodeo).map_err(|error| match error.kind() {
            LassoErrorKind::KeySpaceExhaustion => exhausted,
            _ => InternError::OutOfMemory { interner: self.id },
        })?;
        if spur.into_usize() + 1 >= self.limit {
            self.full.store(true, Ordering::Relaxed);
        }
        self.key(spur).ok_or(exhausted)
    }

    /// The key of `string` if it was interned before.
    pub fn get(&self, string: &str) -> Option<Key> {
        self.rodeo.get(string).and_then(|spur| self.key(spur))
    }

    fn key(&self, spur: Spur) -> Option<Key> {
        let index = spur.into_usize();
        if index < self.limit {
            Key::new(self.id, index)
        } else {
            None
        }
    }

    /// The string that `key` stands for.
    ///
    /// # Errors
    /// [`InternError::ForeignKey`] when another interner made the key.
    ///
    /// ```
    /// use zako_interner::{InternError, ThreadedInterner};
    ///
    /// let (ours, theirs) = (ThreadedInterner::new()?, ThreadedInterner::new()?);
    /// let key = theirs.get_or_intern("lib")?;
    /// assert_eq!(
    ///     ours.resolve(key),
    ///     Err(InternError::ForeignKey { key: theirs.id(), interner: ours.id() })
    /// );
    /// # Ok::<(), InternError>(())
    /// ```
    pub fn resolve<T: ?Sized>(&self, key: Key<T>) -> Result<&str, InternError> {
        if key.interner() != self.id {
            return Err(InternError::ForeignKey {
                key: key.interner(),
                interner: self.id,
            });
        }
        Spur::try_from_usize(key.index() as usize)
            .and_then(|spur| self.rodeo.try_resolve(&spur))
            .ok_or(InternError::UnknownKey {
                interner: self.id,
                index: key.index(),
            })
    }

    /// How many strings it holds. Takes a read lock on every shard: for reports, not for hot paths.
    pub fn len(&self) -> usize {
        self.rodeo.len().min(self.limit)
    }

    /// Whether it holds no string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for ThreadedInterner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadedInterner")
            .field("id", &self.id)
            .field("len", &self.len())
            .field("limit", &self.limit)
            .finish()
    }
}
