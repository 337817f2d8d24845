//! All segments of a folder: looked up as one, and kept up with what other processes append.
//!
//! **Invariant:** locks are taken in the order refresh, writer, state.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::format::{
    FILE_HEADER, Header, RECORD_HEADER, RecordKey, SegmentId, check, file_header, first,
};
use super::index::Index;
use super::scan::{read_at, read_exact_at, scan};
use super::writer::{REINDEX_AFTER, SEGMENT_BYTES, Writer};
use crate::StoreError;

/// What others appended is looked for when a record is not found, and at most this often.
pub const REFRESH_AFTER: Duration = Duration::from_millis(20);

/// Segments whose files are kept open; those beyond are opened for each read.
const MAX_KEPT_OPEN: usize = 256;

/// What a folder of segments is for; part of each segment's header, so that one is not taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentPurpose {
    /// Blobs of a store.
    Blobs,
    /// Results of actions.
    ActionResults,
}

impl SegmentPurpose {
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Blobs => 1,
            Self::ActionResults => 2,
        }
    }
}

/// A segment's file.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    pub(super) id: SegmentId,
    kept: Option<File>,
    /// Bytes that are in the file, of what this process appends to it; for others' segments the largest number.
    pub(super) flushed: AtomicU64,
}

impl SegmentFile {
    pub(super) fn new(path: PathBuf, kept: Option<File>, flushed: u64) -> Option<Self> {
        let id = SegmentId::of(path.file_name()?.to_str()?);
        Some(Self {
            path,
            id,
            kept,
            flushed: AtomicU64::new(flushed),
        })
    }

    pub(super) fn with<T>(&self, read: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        match &self.kept {
            Some(file) => read(file),
            None => read(&File::open(&self.path)?),
        }
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    fn header(&self, at: u64) -> Option<Header> {
        let mut bytes = [0; RECORD_HEADER];
        self.with(|file| read_exact_at(file, &mut bytes, at)).ok()?;
        Header::decode(self.id, at, &bytes)
    }
}

/// A record's place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: Arc<SegmentFile>,
    pub(super) at: u64,
    pub(super) header: Header,
}

/// A segment as far as it is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) file: Arc<SegmentFile>,
    pub(super) index: Index,
    /// Where the next scan starts.
    pub(super) scanned: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) segments: Vec<Known>,
    /// Records that no index covers.
    pub(super) tail: HashMap<RecordKey, Place>,
    /// What is hidden, up to which stamp.
    pub(super) tombs: HashMap<RecordKey, u64>,
}

impl State {
    pub(super) fn is_hidden(&self, header: &Header) -> bool {
        self.tombs
            .get(&header.key)
            .is_some_and(|stamp| header.stamp <= *stamp)
    }

    pub(super) fn bury(&mut self, key: RecordKey, stamp: u64) {
        let tomb = self.tombs.entry(key).or_default();
        *tomb = stamp.max(*tomb);
    }

    pub(super) fn add(&mut self, place: Place) {
        if let Some(hidden) = place.header.hides() {
            return self.bury(hidden, place.header.stamp);
        }
        let known = self
            .tail
            .entry(place.header.key)
            .or_insert_with(|| place.clone());
        if known.header.stamp <= place.header.stamp {
            *known = place;
        }
    }

    /// Replaces what is known of a segment, whose records up to `scanned` are in the index or were added.
    pub(super) fn install(&mut self, file: &Arc<SegmentFile>, index: Index, scanned: u64) {
        let covers = index.covers;
        self.tail
            .retain(|_, place| place.file.path != file.path || place.at >= covers);
        for (key, stamp) in &index.tombs {
            self.bury(*key, *stamp);
        }
        self.segments.retain(|known| known.file.path != file.path);
        self.segments.push(Known {
            file: file.clone(),
            index,
            scanned,
        });
    }
}

/// A record's body, checked.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The body.
    pub bytes: Bytes,
    /// Its BLAKE3 hash.
    pub blake3: [u8; 32],
}

type Hook = dyn Fn() -> Result<(), StoreError> + Send + Sync;

/// What has to be done before a flush.
#[derive(Default)]
pub(super) struct BeforeFlush(OnceLock<Box<Hook>>);

impl BeforeFlush {
    pub(super) fn run(&self) -> Result<(), StoreError> {
        self.0.get().map_or(Ok(()), |hook| hook())
    }
}

impl std::fmt::Debug for BeforeFlush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BeforeFlush")
            .field(&self.0.get().is_some())
            .finish()
    }
}

/// Records by key in the segments of one folder.
#[derive(Debug)]
pub struct SegmentLog {
    pub(super) folder: PathBuf,
    pub(super) purpose: SegmentPurpose,
    pub(super) is_synced: bool,
    /// A segment of this many bytes is sealed.
    pub(super) sealed_at: u64,
    /// An index that lags behind by more bytes is made again.
    pub(super) reindexed_after: u64,
    pub(super) writer: Mutex<Writer>,
    pub(super) before_flush: BeforeFlush,
    /// When the folder was last looked at; `None` before the first lookup.
    refreshed: Mutex<Option<Instant>>,
    is_loaded: AtomicBool,
    damaged: AtomicU64,
    pub(super) state: RwLock<State>,
}

impl SegmentLog {
    /// Opens the segments in `folder`, which comes into being with the first record; nothing is read before the first lookup. With `is_synced`,
    /// an append is on disk when it returns.
    pub fn open(folder: &Path, purpose: SegmentPurpose, is_synced: bool) -> Self {
        Self {
            folder: folder.to_path_buf(),
            purpose,
            is_synced,
            sealed_at: SEGMENT_BYTES,
            reindexed_after: REINDEX_AFTER,
            writer: Mutex::default(),
            before_flush: BeforeFlush::default(),
            refreshed: Mutex::new(None),
            is_loaded: AtomicBool::new(false),
            damaged: AtomicU64::new(0),
            state: RwLock::default(),
        }
    }

    /// The same with segments that are sealed at another size than [`SEGMENT_BYTES`].
    #[must_use]
    pub fn sealed_at(mut self, bytes: u64) -> Self {
        self.sealed_at = bytes;
        self.reindexed_after = REINDEX_AFTER.min(bytes / 4);
        self
    }

    /// Has `hook` run before anything becomes visible to others: it makes visible what records refer to. Only the first
    /// hook counts. It must not use this log.
    pub fn before_flush(&self, hook: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static) {
        let _ = self.before_flush.0.set(Box::new(hook));
    }

    /// Damaged records found since it was opened, in this process.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The newest record of `key`, or `None` when there is none or it is damaged, and hidden from now on. What others
    /// flushed within [`REFRESH_AFTER`] may not be seen yet.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn get(&self, key: &RecordKey) -> Result<Option<Fetched>, StoreError> {
        match self.look_up(key)? {
            Some(place) => self.fetch(&place),
            None => Ok(None),
        }
    }

    /// The length in bytes of the newest record's body, which is not read.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn length(&self, key: &RecordKey) -> Result<Option<u32>, StoreError> {
        Ok(self.look_up(key)?.map(|place| place.header.length))
    }

    /// Looks for what other processes flushed, now.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn refresh(&self) -> Result<(), StoreError> {
        self.refresh_into(&mut self.refreshed.lock())
    }

    fn refresh_into(&self, refreshed: &mut Option<Instant>) -> Result<(), StoreError> {
        self.catch_up()?;
        *refreshed = Some(Instant::now());
        self.is_loaded.store(true, Ordering::Release);
        Ok(())
    }

    fn look_up(&self, key: &RecordKey) -> Result<Option<Place>, StoreError> {
        if let Some(place) = self.find(key)? {
            return Ok(Some(place));
        }
        let is_due = |at: &Option<Instant>| at.is_none_or(|at| at.elapsed() > REFRESH_AFTER);
        match self.refreshed.try_lock() {
            Some(mut refreshed) if is_due(&refreshed) => self.refresh_into(&mut refreshed)?,
            _ => return Ok(None),
        }
        self.find(key)
    }

    /// The newest record as far as known, without a look at what others appended.
    fn find(&self, key: &RecordKey) -> Result<Option<Place>, StoreError> {
        if !self.is_loaded.load(Ordering::Acquire) {
            let mut refreshed = self.refreshed.lock();
            // Another thread may have been first.
            if refreshed.is_none() {
                self.refresh_into(&mut refreshed)?;
            }
        }
        let state = self.state.read();
        let mut newest = state.tail.get(key).filter(|p| !state.is_hidden(&p.header));
        // Equal keys of blobs have equal bodies: any will do.
        if self.purpose == SegmentPurpose::Blobs && newest.is_some() {
            return Ok(newest.cloned());
        }
        let mut indexed: Option<Place> = None;
        for known in state.segments.iter().rev() {
            for at in known.index.candidates(key) {
                let Some(header) = known.file.header(at) else {
                    continue; // Damaged, or the file is gone.
                };
                let best = [newest, indexed.as_ref()].into_iter().flatten();
                if header.key == *key
                    && !state.is_hidden(&header)
                    && best.map(|p| p.header.stamp).max() < Some(header.stamp)
                {
                    indexed = Some(Place {
                        file: known.file.clone(),
                        at,
                        header,
                    });
                    newest = None;
                }
            }
            if self.purpose == SegmentPurpose::Blobs && indexed.is_some() {
                break;
            }
        }
        Ok(indexed.or_else(|| newest.cloned()))
    }

    /// The body at `place`, unchecked; `None` when it is gone.
    pub(super) fn body(&self, place: &Place) -> Result<Option<Vec<u8>>, StoreError> {
        let length = place.header.length as usize;
        let start = place.at + RECORD_HEADER as u64;
        if place.at >= place.file.flushed.load(Ordering::Acquire)
            && let Some(body) = self.writer.lock().pending(&place.file, start, length)
        {
            return Ok(Some(body));
        }
        let mut body = vec![0; length];
        match place.file.with(|file| read_at(file, &mut body, start)) {
            Ok(read) if read == length => Ok(Some(body)),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("read", &place.file.path)(e)),
        }
    }

    fn fetch(&self, place: &Place) -> Result<Option<Fetched>, StoreError> {
        let body = self.body(place)?;
        let hash = *blake3::hash(body.as_deref().unwrap_or_default()).as_bytes();
        match body {
            Some(body) if first(&hash) == place.header.body_check => Ok(Some(Fetched {
                bytes: body.into(),
                blake3: hash,
            })),
            _ => {
                self.condemn(place);
                Ok(None)
            }
        }
    }

    /// Whether the newest record of `key` has this body; one that is there and has not is hidden.
    pub(crate) fn holds(&self, key: &RecordKey, body: &[u8]) -> Result<bool, StoreError> {
        let Some(place) = self.find(key)? else {
            return Ok(false);
        };
        if self.body(&place)?.is_some_and(|found| found == body) {
            return Ok(true);
        }
        self.condemn(&place);
        Ok(false)
    }

    /// Hides a record whose body is damaged, for everyone and ever.
    pub(super) fn condemn(&self, place: &Place) {
        tracing::warn!(segment = %place.file.path.display(), at = place.at, "a record is damaged: it counts as missing, and is made again when needed");
        self.state
            .write()
            .bury(place.header.key, place.header.stamp);
        self.damaged.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.append_tombstone(place.header.key, place.header.stamp) {
            tracing::debug!(%error, "only this process knows of the damage");
        }
    }

    /// Takes in new segments and what was appended to known ones, and lets go of those that are gone.
    fn catch_up(&self) -> Result<(), StoreError> {
        let own = self.writer_file();
        let is_own = |path: &Path| own.as_ref().is_some_and(|own| own.path == path);
        let listed = self.list()?;
        let mut known: HashMap<PathBuf, (Arc<SegmentFile>, u64, u64)> = self
            .state
            .read()
            .segments
            .iter()
            .map(|k| {
                let file = k.file.clone();
                (file.path.clone(), (file, k.index.covers, k.scanned))
            })
            .collect();
        let mut kept = known.len();
        for path in listed.iter().filter(|path| !is_own(path)) {
            let (file, covers, scanned, mut fresh) = match known.remove(path) {
                Some((_, covers, _)) if covers >= self.sealed_at => continue,
                Some((file, covers, scanned)) => (file, covers, scanned, None),
                None => {
                    let Some(file) = self.open_segment(path, kept < MAX_KEPT_OPEN) else {
                        continue;
                    };
                    kept += 1;
                    let index = load_index(&file);
                    (Arc::new(file), index.covers, index.covers, Some(index))
                }
            };
            let Ok(len) = file.with(|f| Ok(f.metadata()?.len())) else {
                continue;
            };
            // Sealed by its writer, or indexed by someone.
            if len >= self.sealed_at && fresh.is_none() && len > covers {
                fresh = Some(load_index(&file)).filter(|index| index.covers > covers);
            }
            let from = fresh.as_ref().map_or(scanned, |i| i.covers.max(scanned));
            let mut places = Vec::new();
            let end = if len > from {
                let scanned = file.with(|f| {
                    scan(f, file.id, from, &mut |at, header| {
                        let file = file.clone();
                        places.push(Place { file, at, header });
                        Ok(())
                    })
                });
                let Ok(scanned) = scanned else { continue };
                scanned.end
            } else {
                from
            };
            let covers = fresh.as_ref().map_or(covers, |index| index.covers);
            if end - covers > self.reindexed_after
                && let Some(index) = reindex_if_free(&file)
            {
                fresh = Some(index);
            }
            let mut state = self.state.write();
            for place in places {
                state.add(place);
            }
            let known = state.segments.iter_mut().find(|k| k.file.path == *path);
            match (known, fresh) {
                // This process may have taken the segment over since the folder was listed, and sealed it.
                (Some(known), Some(index)) if known.index.covers > index.covers => {}
                (_, Some(index)) => {
                    let end = end.max(index.covers);
                    state.install(&file, index, end);
                }
                (Some(known), None) => known.scanned = end.max(known.scanned),
                (None, None) => {}
            }
        }
        // What is left was known before the folder was listed, and is not there.
        known.retain(|path, _| !is_own(path));
        if !known.is_empty() {
            let mut state = self.state.write();
            let is_there = |path: &PathBuf| !known.contains_key(path);
            state.segments.retain(|known| is_there(&known.file.path));
            state.tail.retain(|_, place| is_there(&place.file.path));
        }
        Ok(())
    }

    /// Paths of all segments, sorted.
    pub(super) fn list(&self) -> Result<Vec<PathBuf>, StoreError> {
        let list = || -> io::Result<Vec<PathBuf>> {
            let mut paths = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|e| e == "seg") {
                    paths.push(path);
                }
            }
            paths.sort_unstable();
            Ok(paths)
        };
        match list() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(StoreError::io("list", &self.folder)),
        }
    }

    /// A segment of somebody's, if it is one of these.
    fn open_segment(&self, path: &Path, keep: bool) -> Option<SegmentFile> {
        let file = File::open(path).ok()?;
        let mut header = [0; FILE_HEADER];
        read_exact_at(&file, &mut header, 0).ok()?;
        if header != file_header(self.purpose.number()) {
            tracing::debug!(path = %path.display(), "a segment is damaged or another version's: it is ignored");
            return None;
        }
        SegmentFile::new(path.to_path_buf(), keep.then_some(file), u64::MAX)
    }

    /// Appends a record; it is found by this process at once, by others after [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn append(&self, key: RecordKey, body: &[u8]) -> Result<(), StoreError> {
        self.append_checked(key, body, check(body))
    }

    /// As [`append`](Self::append), for a body whose BLAKE3 hash is known.
    pub(crate) fn append_hashed(
        &self,
        key: RecordKey,
        body: &[u8],
        blake3: &[u8; 32],
    ) -> Result<(), StoreError> {
        self.append_checked(key, body, first(blake3))
    }
}

/// The segment's index, or an empty one; never one that covers more than there is.
pub(super) fn load_index(file: &SegmentFile) -> Index {
    let len = file.with(|f| Ok(f.metadata()?.len())).unwrap_or(0);
    Index::load(&file.index_path())
        .filter(|index| index.covers <= len)
        .unwrap_or_default()
}

/// Makes the index cover all of the segment.
pub(super) fn reindex(file: &SegmentFile) -> io::Result<Index> {
    let mut index = load_index(file);
    let mut records = Vec::new();
    let mut tombs = Vec::new();
    let scanned = file.with(|f| {
        scan(f, file.id, index.covers, &mut |at, header| {
            match header.hides() {
                Some(hidden) => tombs.push((hidden, header.stamp)),
                None => records.push((header.key, at)),
            }
            Ok(())
        })
    })?;
    index.extend(records.into_iter(), tombs.into_iter(), scanned.end);
    index.save(&file.index_path())?;
    Ok(index)
}

/// As [`reindex`], unless someone writes to the segment, who will do it; best effort.
pub(super) fn reindex_if_free(file: &SegmentFile) -> Option<Index> {
    // A file of its own: the lock goes with it.
    let lock = File::open(&file.path).ok()?;
    lock.try_lock().ok()?;
    reindex(file).ok()
}
