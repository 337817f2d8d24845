//! The segment that this process appends to.
//!
//! **Invariant:** what is in the file are whole records, one after another, and nobody else appends to it: its lock is held.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::format::{FILE_HEADER, Header, MAX_BODY, RecordKey, TOMBSTONE, check, file_header};
use super::index::Index;
use super::log::{Place, SegmentFile, SegmentLog, State, load_index, reindex};
use super::scan::{read_exact_at, scan};
use crate::StoreError;

/// A segment of this many bytes is sealed.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Appended bytes that wait in memory at most.
pub const FLUSH_BYTES: usize = 256 << 10;

/// An append this long after the last flush flushes.
pub const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// A segment's index is made again when it lags behind by more than this many bytes. The first lookup of a process reads those: what
/// a hundred or so small builds appended.
pub(super) const REINDEX_AFTER: u64 = 256 << 10;

/// What this process appends to, from its first append on.
#[derive(Debug, Default)]
pub(super) struct Writer {
    own: Option<Own>,
    last_stamp: u64,
}

#[derive(Debug)]
struct Own {
    segment: Arc<SegmentFile>,
    /// Opened for appending, and locked.
    file: File,
    /// Bytes in the file.
    flushed: u64,
    /// Whole records that are not in the file yet.
    buffer: Vec<u8>,
    flushed_at: Instant,
}

impl Drop for Own {
    fn drop(&mut self) {
        // Closing is not enough: a child that is being started has the file open until it has become its program.
        let _ = self.file.unlock();
    }
}

impl Writer {
    /// A body that is not in the file yet.
    pub(super) fn pending(
        &self,
        file: &Arc<SegmentFile>,
        start: u64,
        length: usize,
    ) -> Option<Vec<u8>> {
        let own = self.own.as_ref()?;
        if !Arc::ptr_eq(&own.segment, file) {
            return None;
        }
        let start = usize::try_from(start.checked_sub(own.flushed)?).ok()?;
        Some(own.buffer.get(start..start + length)?.to_vec())
    }

    fn stamp(&mut self, above: u64) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        self.last_stamp = now.max(self.last_stamp + 1).max(above.saturating_add(1));
        self.last_stamp
    }
}

impl SegmentLog {
    /// As [`append`](Self::append), for a body whose check is known.
    pub(super) fn append_checked(
        &self,
        key: RecordKey,
        body: &[u8],
        body_check: [u8; 16],
    ) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let tomb = self.state.read().tombs.get(&key).copied();
        let stamp = writer.stamp(tomb.unwrap_or(0));
        self.write(&mut writer, key, stamp, body, body_check)
    }

    pub(super) fn append_tombstone(&self, key: RecordKey, stamp: u64) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        let kind = key.kind | TOMBSTONE;
        self.write(
            &mut writer,
            RecordKey { kind, ..key },
            stamp,
            &[],
            check(&[]),
        )
    }

    /// Makes all appended records visible to other processes.
    ///
    /// # Errors
    /// When the segment can't be written; what was appended then stays to be flushed.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.flush_writer(&mut self.writer.lock())
    }

    /// Takes a segment to append to, which the first append does otherwise.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn reserve(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        if writer.own.is_none() {
            writer.own = Some(self.claim()?);
        }
        Ok(())
    }

    pub(super) fn writer_file(&self) -> Option<Arc<SegmentFile>> {
        let writer = self.writer.lock();
        writer.own.as_ref().map(|own| own.segment.clone())
    }

    fn write(
        &self,
        writer: &mut Writer,
        key: RecordKey,
        stamp: u64,
        body: &[u8],
        body_check: [u8; 16],
    ) -> Result<(), StoreError> {
        let too_large =
            || StoreError::io("write", &self.folder)(io::Error::other("the record is too large"));
        let length = u32::try_from(body.len()).map_err(|_| too_large())?;
        if body.len() > MAX_BODY {
            return Err(too_large());
        }
        let own = match &mut writer.own {
            Some(own) => own,
            none => none.insert(self.claim()?),
        };
        let at = own.flushed + own.buffer.len() as u64;
        let header = Header {
            key,
            length,
            stamp,
            body_check,
        };
        own.buffer
            .extend_from_slice(&header.encode(own.segment.id, at));
        own.buffer.extend_from_slice(body);
        let padded = own.buffer.len().next_multiple_of(8);
        own.buffer.resize(padded, 0);
        let file = own.segment.clone();
        self.state.write().add(Place { file, at, header });
        if own.buffer.len() >= FLUSH_BYTES
            || self.is_synced
            || own.flushed_at.elapsed() > FLUSH_AFTER
        {
            self.flush_writer(writer)?;
        }
        Ok(())
    }

    fn flush_writer(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let Some(own) = &mut writer.own else {
            return Ok(());
        };
        own.flushed_at = Instant::now();
        if own.buffer.is_empty() {
            return Ok(());
        }
        self.before_flush.run()?;
        let path = &own.segment.path;
        if let Err(error) = own.file.write_all(&own.buffer) {
            // What was written of it is cut off, so that the same bytes can be written again.
            let _ = own.file.set_len(own.flushed);
            return Err(StoreError::io("write", path)(error));
        }
        if self.is_synced {
            own.file.sync_data().map_err(StoreError::io("sync", path))?;
        }
        own.flushed += own.buffer.len() as u64;
        own.segment.flushed.store(own.flushed, Ordering::Release);
        own.buffer.clear();
        own.buffer.shrink_to(2 * FLUSH_BYTES);
        let mut state = self.state.write();
        if let Some(known) = state.segments.iter_mut().find(|k| k.file.path == *path) {
            known.scanned = own.flushed;
        }
        if own.flushed >= self.sealed_at {
            if let Ok(index) = reindex(&own.segment) {
                let segment = own.segment.clone();
                state.install(&segment, index, own.flushed);
            }
            writer.own = None;
        }
        Ok(())
    }

    /// A segment to append to: one that nobody writes to and that is not full, or a new one.
    fn claim(&self) -> Result<Own, StoreError> {
        fs::create_dir_all(&self.folder).map_err(StoreError::io("create", &self.folder))?;
        for path in self.list()? {
            if let Some(own) = self.claim_old(&path) {
                return Ok(own);
            }
        }
        let create = || -> io::Result<Own> {
            loop {
                let mut builder = tempfile::Builder::new();
                builder.prefix("").suffix(".seg").rand_bytes(16);
                #[cfg(unix)]
                builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
                let (_, path) = builder.tempfile_in(&self.folder)?.keep()?;
                // Another process that looks for a segment may be faster: then it is its.
                if let Some(own) = self.claim_old(&path) {
                    return Ok(own);
                }
            }
        };
        let own = create().map_err(StoreError::io("create a file in", &self.folder))?;
        if self.is_synced {
            File::open(&self.folder)
                .and_then(|folder| folder.sync_all())
                .map_err(StoreError::io("sync", &self.folder))?;
        }
        Ok(own)
    }

    /// The segment, locked, its torn tail cut off; `None` when it is another's, full, or can't be written.
    fn claim_old(&self, path: &Path) -> Option<Own> {
        let file = File::options().read(true).append(true).open(path).ok()?;
        let is_free = |file: &File| file.metadata().is_ok_and(|m| m.len() < self.sealed_at);
        // Its last writer may have filled it until now.
        if !is_free(&file) || file.try_lock().is_err() || !is_free(&file) {
            return None;
        }
        let expected = file_header(self.purpose.number());
        let len = file.metadata().ok()?.len();
        if len < FILE_HEADER as u64 {
            // New, or its maker ended before this line.
            file.set_len(0).ok()?;
            (&file).write_all(&expected).ok()?;
        } else {
            let mut header = [0; FILE_HEADER];
            read_exact_at(&file, &mut header, 0).ok()?;
            if header != expected {
                return None;
            }
        }
        // Not a clone: that would hold the lock when this file is closed.
        let reader = File::open(path).ok()?;
        let segment = Arc::new(SegmentFile::new(path.to_path_buf(), Some(reader), 0)?);
        let mut state = self.state.write();
        let index = load_index(&segment);
        let end = add_tail(&mut state, &segment, &index).ok()?;
        if file.metadata().ok()?.len() > end {
            file.set_len(end).ok()?;
        }
        segment.flushed.store(end, Ordering::Release);
        // What is known by another handle of the file stays so.
        state.install(&segment, index, end);
        Some(Own {
            segment,
            file,
            flushed: end,
            buffer: Vec::new(),
            flushed_at: Instant::now(),
        })
    }
}

/// Adds the records that the index does not cover and that are not known yet; gives where the last one ends.
fn add_tail(state: &mut State, segment: &Arc<SegmentFile>, index: &Index) -> io::Result<u64> {
    let known = state.segments.iter().find(|k| k.file.path == segment.path);
    let known = known.map_or(0..0, |known| known.index.covers..known.scanned);
    let scanned = segment.with(|file| {
        scan(file, segment.id, index.covers, &mut |at, header| {
            if !known.contains(&at) {
                let file = segment.clone();
                state.add(Place { file, at, header });
            }
            Ok(())
        })
    })?;
    Ok(scanned.end)
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "what was appended last is lost");
        }
        if let Some(own) = &self.writer.get_mut().own {
            let known = self.state.get_mut().segments.iter();
            let mut known = known.filter(|known| known.file.path == own.segment.path);
            let covers = known.next().map_or(0, |known| known.index.covers);
            if own.flushed - covers > self.reindexed_after
                && let Err(error) = reindex(&own.segment)
            {
                tracing::debug!(%error, "an index was not written");
            }
        }
    }
}
