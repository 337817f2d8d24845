//! Every record of every segment, read and checked.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::format::{FILE_HEADER, Header, RecordKey, check, file_header};
use super::index::Index;
use super::log::{Place, SegmentFile, SegmentLog, reindex_if_free};
use super::scan::{read_exact_at, scan};
use crate::StoreError;

/// What [`SegmentLog::verify`] found in one record.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) key: RecordKey,
    pub(crate) bytes: u64,
    /// A record that is not is hidden from now on.
    pub(crate) is_good: bool,
}

impl SegmentLog {
    /// Reads every record that is not hidden and tells `found`, whose answer is whether the body, which its own check
    /// was good for, is right. Gives the segments and indexes in which other bytes are damaged.
    pub(crate) fn verify(
        &self,
        is_right: &mut dyn FnMut(&RecordKey, &[u8]) -> bool,
        found: &mut dyn FnMut(Checked),
    ) -> Result<Vec<PathBuf>, StoreError> {
        self.flush()?;
        self.refresh()?;
        let mut damaged = Vec::new();
        for path in self.list()? {
            let Ok(file) = File::open(&path) else {
                continue; // Removed since the folder was listed.
            };
            let Some(segment) = SegmentFile::new(path.clone(), Some(file), u64::MAX) else {
                damaged.push(path);
                continue;
            };
            if !self.verify_one(&Arc::new(segment), is_right, found)? {
                damaged.push(path);
            }
        }
        Ok(damaged)
    }

    /// Whether all bytes of the segment but those of bodies, and its index, are as they were written.
    fn verify_one(
        &self,
        segment: &Arc<SegmentFile>,
        is_right: &mut dyn FnMut(&RecordKey, &[u8]) -> bool,
        found: &mut dyn FnMut(Checked),
    ) -> Result<bool, StoreError> {
        let failed = |e| StoreError::io("read", &segment.path)(e);
        // No one is writing to it when its lock is free, so that a beginning of a record is damage, or torn.
        let is_free = File::open(&segment.path).is_ok_and(|file| file.try_lock().is_ok());
        let mut header = [0; FILE_HEADER];
        if segment
            .with(|file| read_exact_at(file, &mut header, 0))
            .is_err()
        {
            return Ok(true); // Torn before its first record.
        }
        if header != file_header(self.purpose.number()) {
            return Ok(false);
        }
        let mut records: Vec<(u64, Header)> = Vec::new();
        let scanned = segment
            .with(|file| {
                scan(file, segment.id, FILE_HEADER as u64, &mut |at, header| {
                    records.push((at, header));
                    Ok(())
                })
            })
            .map_err(failed)?;
        let mut is_whole = scanned.gaps.is_empty() && !(scanned.is_unclear && is_free);
        for (at, header) in records {
            let place = Place {
                file: segment.clone(),
                at,
                header,
            };
            is_whole &= self.is_padding_clean(&place);
            if header.hides().is_some() || self.state.read().is_hidden(&header) {
                continue;
            }
            let body = self.body(&place)?;
            let is_good = body.is_some_and(|body| {
                check(&body) == header.body_check && is_right(&header.key, &body)
            });
            if !is_good {
                self.condemn(&place);
            }
            found(Checked {
                key: header.key,
                bytes: u64::from(header.length),
                is_good,
            });
        }
        let index = segment.index_path();
        if index.exists() && Index::load(&index).is_none() {
            is_whole = false;
            reindex_if_free(segment);
        }
        Ok(is_whole)
    }

    fn is_padding_clean(&self, place: &Place) -> bool {
        let body_end =
            place.at + super::format::RECORD_HEADER as u64 + u64::from(place.header.length);
        let end = place.at + place.header.total();
        let mut padding = [0; 8];
        let padding = &mut padding[..usize::try_from(end - body_end).unwrap_or(0)];
        let read = place
            .file
            .with(|file| read_exact_at(file, padding, body_end));
        read.is_ok() && padding.iter().all(|byte| *byte == 0)
    }
}
