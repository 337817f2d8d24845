//! What an archive keeps of one node, to be read when it is needed.

use std::sync::Arc;

use super::base::Base;
use super::id::Id;
use super::overlay::Entry;
use super::record::Fingerprint;

/// A record as it was when it was looked up. Holds on to the mapped file, not to the archive.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Base(Arc<Base>, Id),
    Entry(Arc<Entry>),
}

impl Stored {
    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::Base(base, id) => base.value(*id),
            Self::Entry(entry) => &entry.value,
        }
    }

    pub(crate) fn witness(&self) -> &[u8] {
        match self {
            Self::Base(base, id) => base.witness(*id),
            Self::Entry(entry) => &entry.witness,
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Base(base, id) => base.fingerprint(*id),
            Self::Entry(entry) => entry.fingerprint,
        }
    }
}
