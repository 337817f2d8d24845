//! Typed values in and out of an interner.
//!
//! ```text
//! value --Internable::intern--> Key<value> --Resolvable::resolve_in--> &str, borrowed
//!                                          --Uninternable::unintern--> value, owned
//! ```
//!
//! **Invariant:** a `Key<T>` for any `T` but `str` is only made from a `T`, so the string behind it
//! spells a valid `T`.

use crate::error::InternError;
use crate::interner::ThreadedInterner;
use crate::key::Key;

/// A value that one string spells completely, and which can therefore be interned.
///
/// ```
/// use zako_interner::{InternError, Internable, Key, Resolvable, ThreadedInterner, Uninternable};
///
/// #[derive(Debug, PartialEq)]
/// struct Port(u16, String);
///
/// impl Port {
///     fn new(number: u16) -> Self {
///         Port(number, number.to_string())
///     }
/// }
///
/// impl Internable for Port {
///     fn spelling(&self) -> &str {
///         &self.1
///     }
/// }
///
/// impl Uninternable for Port {
///     type Error = InternError;
///
///     fn unintern(key: Key<Self>, interner: &ThreadedInterner) -> Result<Self, InternError> {
///         let number = interner.resolve(key)?.parse();
///         Ok(Port::new(number.expect("only a Port makes a Key<Port>")))
///     }
/// }
///
/// let interner = ThreadedInterner::new()?;
/// let key = Port::new(80).intern(&interner)?;
/// assert_eq!(key.resolve_in(&interner)?, "80");
/// assert_eq!(Port::unintern(key, &interner)?, Port::new(80));
/// # Ok::<(), InternError>(())
/// ```
pub trait Internable {
    /// The string that spells this value; equal values spell equal strings and different ones
    /// different strings.
    fn spelling(&self) -> &str;

    /// The key of this value.
    ///
    /// # Errors
    /// As [`ThreadedInterner::get_or_intern`].
    fn intern(&self, interner: &ThreadedInterner) -> Result<Key<Self>, InternError> {
        interner.get_or_intern(self.spelling()).map(Key::retype)
    }

    /// The key of this value if it, or anything with the same spelling, was interned before.
    fn interned(&self, interner: &ThreadedInterner) -> Option<Key<Self>> {
        interner.get(self.spelling()).map(Key::retype)
    }
}

/// Something that stands for an interned string: a [`Key`], or a type wrapped around one.
pub trait Resolvable {
    /// The string, borrowed from the interner.
    ///
    /// # Errors
    /// As [`ThreadedInterner::resolve`].
    fn resolve_in<'i>(&self, interner: &'i ThreadedInterner) -> Result<&'i str, InternError>;
}

/// A value that can be rebuilt from its key.
pub trait Uninternable: Internable + Sized {
    /// What can go wrong: at least what resolving can.
    type Error: From<InternError>;

    /// The value that was interned as `key`, owned.
    ///
    /// # Errors
    /// As [`ThreadedInterner::resolve`], and whatever reading the spelling adds.
    fn unintern(key: Key<Self>, interner: &ThreadedInterner) -> Result<Self, Self::Error>;
}

impl Internable for str {
    fn spelling(&self) -> &str {
        self
    }
}

impl Internable for String {
    fn spelling(&self) -> &str {
        self
    }
}

impl Uninternable for String {
    type Error = InternError;

    fn unintern(key: Key<Self>, interner: &ThreadedInterner) -> Result<Self, InternError> {
        interner.resolve(key).map(str::to_owned)
    }
}

impl<T: ?Sized> Resolvable for Key<T> {
    fn resolve_in<'i>(&self, interner: &'i ThreadedInterner) -> Result<&'i str, InternError> {
        interner.resolve(*self)
    }
}
