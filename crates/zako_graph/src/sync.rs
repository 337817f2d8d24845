//! All by which computations that run at the same time meet: locks, counters, waits and tasks.
//!
//! In the tests of this crate's own modules these belong to a scheduler that tries many orders of events: see
//! `model.rs`. The store's maps are the only locks that are not in here: each is held for one look or one
//! insertion.

#[cfg(test)]
mod modelled;
#[cfg(not(test))]
mod plain;

#[cfg(test)]
pub(crate) use self::modelled::{
    AbortHandle, AtomicU64, Handle, Mutex, Notify, OnceLock, Tasks, Turn,
};
#[cfg(not(test))]
pub(crate) use self::plain::{
    AbortHandle, AtomicU64, Handle, Mutex, Notify, OnceLock, Tasks, Turn,
};
