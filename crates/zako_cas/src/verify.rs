//! The whole store, hashed: finds every damaged blob, and sets it aside as a read would.
//!
//! **Invariant:** what it calls good was read and hashed just now, whatever was remembered.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layout::Form;
use crate::{Digest, Store, StoreError};

/// How far [`Store::verify`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyProgress {
    /// Blobs looked at so far.
    pub blobs: u64,
    /// Bytes read so far.
    pub bytes: u64,
}

/// What [`Store::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Files of blobs looked at; a blob that was hardlinked as an executable has two.
    pub blobs: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The damaged ones, which are gone now, in the order of their digests.
    pub corrupt: Vec<Digest>,
    /// Files that have no business among the blobs; left alone.
    pub unknown: Vec<PathBuf>,
}

impl Store {
    /// Hashes every blob of the store's function, telling `progress` after each.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn verify(
        &self,
        progress: &mut dyn FnMut(VerifyProgress),
    ) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        for folder in entries(&self.shared.layout.blobs())? {
            if !folder.is_dir() {
                report.unknown.push(folder);
                continue;
            }
            for path in entries(&folder)? {
                let parsed = path
                    .file_name()
                    .and_then(|n| n.to_str())
                    .and_then(|n| self.shared.layout.parse(n));
                match parsed {
                    Some((digest, form)) if self.shared.layout.blob(&digest, form) == path => {
                        self.verify_one(digest, form, &mut report)?;
                        progress(VerifyProgress {
                            blobs: report.blobs,
                            bytes: report.bytes,
                        });
                    }
                    _ => report.unknown.push(path),
                }
            }
        }
        report.corrupt.sort_unstable();
        report.corrupt.dedup();
        Ok(report)
    }

    fn verify_one(
        &self,
        digest: Digest,
        form: Form,
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        self.forget(&digest, form);
        let path = self.shared.layout.blob(&digest, form);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(_) => return Ok(()), // Removed since the folder was listed.
        };
        report.blobs += 1;
        report.bytes += size;
        if self.open_verified(&digest, form)?.is_none() {
            report.corrupt.push(digest);
        }
        Ok(())
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(folder)?
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()?;
        paths.sort_unstable();
        Ok(paths)
    };
    list().map_err(StoreError::io("list", folder))
}
