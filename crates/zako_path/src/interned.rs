//! Paths as four-byte keys.
//!
//! **Invariant:** an interned path was made from a valid path by the interner that its key names. Keys
//! mean nothing outside of this process; persist the path's text.

use zako_interner::{InternError, Internable, Key, Resolvable, ThreadedInterner, Uninternable};

use crate::absolute::AbsolutePath;
use crate::error::PathError;
use crate::neutral::NeutralPath;

/// A [`NeutralPath`] in an interner. Ordered by first interning, not by text: sort resolved paths where
/// the order can be seen.
///
/// ```
/// use zako_interner::ThreadedInterner;
/// use zako_path::{InternedPath, NeutralPath};
///
/// let interner = ThreadedInterner::new()?;
/// let main = NeutralPath::new("src/main.c")?;
/// let key = InternedPath::intern(&interner, &main)?;
/// assert_eq!(key.resolve(&interner)?, main);
/// assert_eq!(size_of::<Option<InternedPath>>(), 4);
/// # Ok::<(), zako_path::PathError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InternedPath(Key<NeutralPath>);

/// An [`AbsolutePath`] in an interner; as [`InternedPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InternedAbsolutePath(Key<AbsolutePath>);

impl Internable for NeutralPath {
    fn spelling(&self) -> &str {
        self.as_str()
    }
}

impl Uninternable for NeutralPath {
    type Error = PathError;

    fn unintern(key: Key<Self>, interner: &ThreadedInterner) -> Result<Self, PathError> {
        Self::new(interner.resolve(key)?)
    }
}

impl Internable for AbsolutePath {
    fn spelling(&self) -> &str {
        self.as_str()
    }
}

impl Uninternable for AbsolutePath {
    type Error = PathError;

    fn unintern(key: Key<Self>, interner: &ThreadedInterner) -> Result<Self, PathError> {
        Self::new(interner.resolve(key)?)
    }
}

impl InternedPath {
    /// The key of `path`.
    ///
    /// # Errors
    /// [`InternError`] when the interner is full.
    pub fn intern(interner: &ThreadedInterner, path: &NeutralPath) -> Result<Self, InternError> {
        path.intern(interner).map(Self)
    }

    /// The path, owned. [`Resolvable::resolve_in`] borrows its text instead, without a copy.
    ///
    /// # Errors
    /// [`PathError::Intern`] when another interner made the key.
    pub fn resolve(self, interner: &ThreadedInterner) -> Result<NeutralPath, PathError> {
        NeutralPath::unintern(self.0, interner)
    }
}

impl InternedAbsolutePath {
    /// The key of `path`.
    ///
    /// # Errors
    /// [`InternError`] when the interner is full.
    pub fn intern(interner: &ThreadedInterner, path: &AbsolutePath) -> Result<Self, InternError> {
        path.intern(interner).map(Self)
    }

    /// The path, owned. [`Resolvable::resolve_in`] borrows its text instead, without a copy.
    ///
    /// # Errors
    /// [`PathError::Intern`] when another interner made the key.
    pub fn resolve(self, interner: &ThreadedInterner) -> Result<AbsolutePath, PathError> {
        AbsolutePath::unintern(self.0, interner)
    }
}

impl Resolvable for InternedPath {
    fn resolve_in<'i>(&self, interner: &'i ThreadedInterner) -> Result<&'i str, InternError> {
        self.0.resolve_in(interner)
    }
}

impl Resolvable for InternedAbsolutePath {
    fn resolve_in<'i>(&self, interner: &'i ThreadedInterner) -> Result<&'i str, InternError> {
        self.0.resolve_in(interner)
    }
}
