//! What stands for `folder` on Windows: each file is looked at by its whole path.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Glimpse, Role, Signature, is_missing};

/// A folder in which to look.
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Root> {
        fs::metadata(path).map(|_| Root(path.to_owned()))
    }
}

/// From where names are looked at.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a>(&'a Path);

impl Place<'_> {
    /// Looks at `name`, where a link stands for what it leads to if `follows`.
    pub(crate) fn look(self, name: &[u8], role: Role, follows: bool) -> Glimpse {
        let Ok(name) = std::str::from_utf8(name) else {
            return Glimpse::Unknown;
        };
        // Canonical paths begin with `\\?\`, after which the system takes no `/` for a separator.
        let mut place = self.0.to_owned();
        place.extend(name.split('/'));
        let found = match follows {
            true => fs::metadata(&place),
            false => fs::symlink_metadata(&place),
        };
        match found {
            Ok(found) => Glimpse::There {
                signature: Signature::of(&found, role),
                is_file: found.is_file(),
            },
            Err(error) if is_missing(&error) => Glimpse::Nothing,
            Err(_) => Glimpse::Unknown,
        }
    }
}

/// Nothing is kept from one look to the next.
pub(crate) struct Folder<'a>(&'a Root);

impl<'a> Folder<'a> {
    /// For paths below `root`.
    pub(crate) fn new(root: &'a Root) -> Self {
        Folder(root)
    }

    /// From where to look at `path`, and under which name.
    pub(crate) fn enter<'p>(&mut self, path: &'p [u8], _next: &[u8]) -> (Place<'_>, &'p [u8]) {
        (Place(&self.0.0), path)
    }
}
