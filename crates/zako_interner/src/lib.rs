//! Threaded string interner with typed keys.
//!
//! A [`ThreadedInterner`] stores each distinct string once and hands out a [`Key`], four bytes that
//! compare, hash and copy like an integer. Typed values (a path, a label) are interned through
//! [`Internable`], read back borrowed through [`Resolvable`] and rebuilt through [`Uninternable`].
//!
//! Must never know: what the strings mean, or any other zako crate.
//!
//! **Invariant:** a key resolves in the interner that made it and in no other; a mix-up is an
//! [`InternError::ForeignKey`], never a wrong string.
//! **Invariant:** keys live as long as the process. Persisted data stores strings, never keys.
//!
//! ```
//! use zako_interner::ThreadedInterner;
//!
//! let names = ThreadedInterner::new()?;
//! let lib = names.get_or_intern("lib")?;
//! assert_eq!(names.get_or_intern("lib")?, lib);
//! assert_eq!(names.resolve(lib)?, "lib");
//! assert_eq!(size_of_val(&Some(lib)), 4);
//! # Ok::<(), zako_interner::InternError>(())
//! ```

mod error;
mod interner;
mod key;
mod typed;

pub use error::InternError;
pub use interner::ThreadedInterner;
pub use key::{InternerId, Key, MAX_INTERNERS, MAX_STRINGS};
pub use typed::{Internable, Resolvable, Uninternable};
