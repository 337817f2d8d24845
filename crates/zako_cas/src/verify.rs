//! The whole store, hashed: finds every damaged blob, and sets it aside as a read would.
//!
//! **Invariant:** what it calls good was read and hashed just now, whatever was remembered.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layout::Form;
use crate::packed::record_key;
use crate::segment::RecordKey;
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
    /// Blobs looked at, in files and in segments; one that was hardlinked is in both, as an executable once more.
    pub blobs: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The damaged ones, which are gone now, in the order of their digests.
    pub corrupt: Vec<Digest>,
    /// Files that have no business among the blobs; left alone.
    pub unknown: Vec<PathBuf>,
    /// Segments and indexes with damage that is not in a blob's bytes. What it hit is missing; the rest is good.
    pub damaged: Vec<PathBuf>,
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
        self.verify_segments(progress, &mut report)?;
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

    fn verify_segments(
        &self,
        progress: &mut dyn FnMut(VerifyProgress),
        report: &mut VerifyReport,
    ) -> Result<(), StoreError> {
        let function = self.function();
        let digest_of = |key: &RecordKey, size| Digest {
            function,
            hash: key.hash,
            size,
        };
        let mut is_right = |key: &RecordKey, body: &[u8]| {
            let digest = function.hash(body);
            record_key(&digest) == *key
        };
        report.damaged = self.shared.segments.verify(&mut is_right, &mut |checked| {
            report.blobs += 1;
            report.bytes += checked.bytes;
            if !checked.is_good {
                report.corrupt.push(digest_of(&checked.key, checked.bytes));
            }
            progress(VerifyProgress {
                blobs: report.blobs,
                bytes: report.bytes,
            });
        })?;
        Ok(())
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
