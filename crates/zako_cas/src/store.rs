//! The store: blobs by digest in one folder, shared by many threads and processes.
//!
//! Knows nothing of what blobs mean. Writers never coordinate. A large blob is written to a temporary file that is
//! renamed to the name that its content demands, so whoever comes last changes nothing; a small one is appended to a segment.
//!
//! **Invariant:** bytes leave the store only after the file that they come from was hashed whole
//! by this process since it last changed. **Invariant:** a blob that fails that is set aside and
//! from then on missing; nobody sees its bytes.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::blob::{BlobHandle, BlobReader};
use crate::layout::{Form, Layout};
use crate::packed::{MAX_PACKED_BLOB, record_key};
use crate::segment::{SegmentLog, SegmentPurpose};
use crate::writer::BlobWriter;
use crate::{Digest, DigestFunction, Hasher, StoreError, memory};

/// Blobs up to this many bytes are kept in the memory cache.
pub const MAX_CACHED_BLOB: u64 = 256 * 1024;

/// How many blobs are remembered as verified.
pub const MAX_VERIFIED: usize = 1 << 16;

/// Bytes read at a time while hashing; BLAKE3 spreads each piece over the cores.
pub(crate) const CHUNK: usize = 1 << 20;

/// A file that changed less than this before it was verified may change again without its time
/// showing it (the clock of file times ticks at 1 to 10 ms), so it is not remembered.
const TIME_GRAIN: Duration = Duration::from_millis(50);

/// What [`Store::open`] needs to know.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The store's folder; created when not there.
    pub root: PathBuf,
    /// The function of all its digests. One root may serve both, by two stores.
    pub function: DigestFunction,
    /// Bound on the memory cache, in bytes of blobs; 0 for none.
    pub memory_cache_bytes: u64,
    /// Largest blob, in bytes, that a [`BlobHandle`] carries itself.
    pub inline_limit: u64,
    /// What is synced to disk when.
    pub durability: Durability,
}

impl StoreOptions {
    /// The defaults for a store at `root`: BLAKE3, 64 MiB of memory cache, blobs inline up to
    /// 4 KiB, nothing synced.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            function: DigestFunction::Blake3,
            memory_cache_bytes: 64 << 20,
            inline_limit: 4 << 10,
            durability: Durability::Unsynced,
        }
    }
}

/// What is forced to disk before a put returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Nothing. After a power failure some of the last blobs may be damaged, which their first
    /// read finds; they are then made again.
    #[default]
    Unsynced,
    /// The blob, then its folder: what was put is there after a power failure.
    Synced,
}

/// Counters since the store was opened, of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Blobs written.
    pub written: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Puts of blobs that were there already.
    pub already_there: u64,
    /// Reads answered from memory.
    pub memory_hits: u64,
    /// Files hashed because they were read for the first time.
    pub verified: u64,
    /// Blobs found damaged and set aside.
    pub corrupt: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) written: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) already_there: AtomicU64,
    memory_hits: AtomicU64,
    verified: AtomicU64,
    corrupt: AtomicU64,
}

#[derive(Clone)]
struct ByteWeight;

impl quick_cache::Weighter<Digest, Bytes> for ByteWeight {
    fn weight(&self, _: &Digest, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + 64
    }
}

/// What tells one state of a file from another. No ctime: linking a blob moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signature {
    size: u64,
    modified: Option<SystemTime>,
    inode: (u64, u64),
}

impl Signature {
    fn of(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let inode = (0, 0);
        Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
            inode,
        }
    }

    /// Whether a later change is sure to give another signature.
    fn is_settled(&self, now: SystemTime) -> bool {
        self.modified
            .and_then(|m| now.duration_since(m).ok())
            .is_some_and(|age| age > TIME_GRAIN)
    }
}

pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) options: StoreOptions,
    pub(crate) counters: Counters,
    pub(crate) segments: SegmentLog,
    memory: Option<Cache<Digest, Bytes, ByteWeight>>,
    verified: Cache<(Digest, bool), Signature>,
}

/// A content-addressed store. Cheap to clone; clones share caches and counters.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use zako_cas::{Store, StoreOptions};
/// let dir = tempfile::tempdir()?;
/// let store = Store::open(StoreOptions::new(dir.path()))?;
/// let digest = store.put_bytes(b"hello")?;
/// assert_eq!(store.get(&digest)?.as_deref(), Some(&b"hello"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.root())
            .field("function", &self.function())
            .finish()
    }
}

impl Store {
    /// Opens the store at `options.root`, creating it when the folder is empty or not there, and
    /// removes temporary files that dead processes left.
    ///
    /// # Errors
    /// When the folder is something else's, of another layout, or can't be created or read.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let layout = Layout::open(&options.root, options.function)?;
        let memory = (options.memory_cache_bytes > 0).then(|| {
            let items = usize::try_from(options.memory_cache_bytes / 4096)
                .unwrap_or(usize::MAX)
                .clamp(16, MAX_VERIFIED);
            memory::cache(items, options.memory_cache_bytes, ByteWeight)
        });
        let verified = memory::cache(MAX_VERIFIED, MAX_VERIFIED as u64, UnitWeighter);
        let is_synced = options.durability == Durability::Synced;
        let segments = SegmentLog::open(&layout.segments(), SegmentPurpose::Blobs, is_synced);
        Ok(Self {
            shared: Arc::new(Shared {
                layout,
                segments,
                options,
                counters: Counters::default(),
                memory,
                verified,
            }),
        })
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        self.shared.layout.root()
    }

    /// The function of all its digests.
    pub fn function(&self) -> DigestFunction {
        self.shared.options.function
    }

    /// What happened since it was opened, in this process.
    pub fn stats(&self) -> StoreStats {
        let c = &self.shared.counters;
        StoreStats {
            written: c.written.load(Relaxed),
            bytes_written: c.bytes_written.load(Relaxed),
            already_there: c.already_there.load(Relaxed),
            memory_hits: c.memory_hits.load(Relaxed),
            verified: c.verified.load(Relaxed),
            corrupt: c.corrupt.load(Relaxed) + self.shared.segments.damaged(),
        }
    }

    /// Stores `bytes`. A small blob may be lost when this process is killed before [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = self.function().hash(bytes);
        if digest.size <= MAX_PACKED_BLOB {
            self.pack(&digest, bytes)?;
        } else if self.is_stored(&digest)? {
            self.shared.counters.already_there.fetch_add(1, Relaxed);
        } else {
            let mut temp = self.shared.layout.temporary()?;
            io::Write::write_all(temp.as_file_mut(), bytes)
                .map_err(StoreError::io("write", temp.path()))?;
            self.install(temp, &digest, Form::Plain)?;
        }
        self.remember_bytes(&digest, || Bytes::copy_from_slice(bytes));
        Ok(digest)
    }

    /// Stores all that `reader` gives, in one pass and constant memory.
    ///
    /// # Errors
    /// [`StoreError::Source`] when `reader` fails; others when the store can't be written.
    pub fn put_reader(&self, mut reader: impl Read) -> Result<Digest, StoreError> {
        let mut writer = self.writer()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return writer.commit(),
                Ok(n) => writer.append(&buffer[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(StoreError::Source(e)),
            }
        }
    }

    /// Stores the content of the file at `path`, following links. The store's own copy is what is
    /// hashed, so the blob is right whatever happens to the file.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when the file's size or time changed meanwhile (its content may be
    /// half old, half new); others when it can't be read or the store not be written.
    pub fn put_file(&self, path: &Path) -> Result<Digest, StoreError> {
        let mut source = File::open(path).map_err(StoreError::io("open", path))?;
        let before = source.metadata().map_err(StoreError::io("read", path))?;
        if before.is_dir() {
            return Err(StoreError::io("read", path)(
                io::ErrorKind::IsADirectory.into(),
            ));
        }
        let changed = || StoreError::Changed {
            path: path.to_path_buf(),
        };
        if before.len() <= MAX_IN_MEMORY {
            let expected = usize::try_from(before.len()).unwrap_or(0);
            let mut bytes = Vec::with_capacity(expected + 1);
            // One byte more than there should be tells whether it grew.
            io::Read::take(&mut source, before.len() + 1)
                .read_to_end(&mut bytes)
                .map_err(StoreError::io("read", path))?;
            let after = source.metadata().map_err(StoreError::io("read", path))?;
            if Signature::of(&before) != Signature::of(&after) || bytes.len() != expected {
                return Err(changed());
            }
            let digest = self.function().hash(&bytes);
            if before.len() <= MAX_PACKED_BLOB {
                self.pack(&digest, &bytes)?;
            } else if self.is_stored(&digest)? {
                self.shared.counters.already_there.fetch_add(1, Relaxed);
            } else {
                let mut temp = self.shared.layout.temporary()?;
                let written = temp.as_file_mut().write_all(&bytes);
                written.map_err(StoreError::io("write", temp.path()))?;
                self.install(temp, &digest, Form::Plain)?;
            }
            return Ok(digest);
        }
        let mut temp = self.shared.layout.temporary()?;
        // Shares extents where the file system can (copy_file_range).
        let copied = io::copy(&mut source, temp.as_file_mut())
            .map_err(StoreError::io("copy to the store", path))?;
        let after = source.metadata().map_err(StoreError::io("read", path))?;
        if Signature::of(&before) != Signature::of(&after) || copied != before.len() {
            return Err(changed());
        }
        let digest = hash_own_file(self.function(), temp.path())
            .map_err(StoreError::io("read", temp.path()))?;
        if self.is_stored(&digest)? {
            self.shared.counters.already_there.fetch_add(1, Relaxed);
        } else {
            self.install(temp, &digest, Form::Plain)?;
        }
        Ok(digest)
    }

    /// A writer of one blob; nothing is stored before [`BlobWriter::commit`].
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        Ok(BlobWriter::new(self.clone()))
    }

    /// Whether the blob is there, as far as its name and size tell (its bytes are not read).
    pub fn contains(&self, digest: &Digest) -> bool {
        if digest.function != self.function() {
            return false;
        }
        let is_packed = digest.size <= MAX_PACKED_BLOB
            && self
                .shared
                .segments
                .length(&record_key(digest))
                .is_ok_and(|length| length.map(u64::from) == Some(digest.size));
        is_packed
            || fs::metadata(self.shared.layout.blob(digest, Form::Plain))
                .is_ok_and(|m| m.len() == digest.size)
    }

    /// Those of `digests` that [`contains`](Self::contains) denies, in the same order.
    pub fn find_missing(&self, digests: &[Digest]) -> Vec<Digest> {
        digests
            .iter()
            .copied()
            .filter(|d| !self.contains(d))
            .collect()
    }

    /// The whole blob, or `None` when it is not there or was damaged.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn get(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        if let Some(bytes) = self.cached(digest) {
            return Ok(Some(bytes));
        }
        if let Some(bytes) = self.packed(digest)? {
            self.remember_bytes(digest, || bytes.clone());
            return Ok(Some(bytes));
        }
        let Some((mut file, path, known)) = self.open_file(digest, Form::Plain)? else {
            return Ok(None);
        };
        let size = file
            .metadata()
            .map_err(StoreError::io("read", &path))?
            .len();
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.read_to_end(&mut bytes)
            .map_err(StoreError::io("read", &path))?;
        if !known {
            let mut hasher = self.function().hasher();
            if bytes.len() >= CHUNK {
                hasher.update_parallel(&bytes);
            } else {
                hasher.update(&bytes);
            }
            if !self.judge(digest, Form::Plain, &file, &path, hasher)? {
                return Ok(None);
            }
        }
        let bytes = Bytes::from(bytes);
        self.remember_bytes(digest, || bytes.clone());
        Ok(Some(bytes))
    }

    /// A reader of the blob, or `None` when it is not there or was damaged.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<BlobReader>, StoreError> {
        if let Some(bytes) = self.cached(digest) {
            return Ok(Some(BlobReader::memory(bytes)));
        }
        if let Some(bytes) = self.packed(digest)? {
            return Ok(Some(BlobReader::memory(bytes)));
        }
        Ok(self
            .open_verified(digest, Form::Plain)?
            .map(|(file, _)| BlobReader::file(file, digest.size)))
    }

    /// The bytes of `range` of the blob, or `None` when it is not there or was damaged.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] when `range` does not lie within the blob; others when the
    /// store can't be read.
    pub fn read_range(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        match self.open_blob(digest)? {
            Some(mut reader) => reader.range(digest, range).map(Some),
            None => Ok(None),
        }
    }

    /// A handle to the blob, which need not be there yet. It carries the bytes when they are at
    /// hand and within the inline limit.
    pub fn blob(&self, digest: &Digest) -> BlobHandle {
        match self.cached(digest) {
            Some(bytes) if digest.size <= self.shared.options.inline_limit => {
                BlobHandle::known(*digest, bytes)
            }
            _ => BlobHandle::lazy(self.clone(), *digest),
        }
    }

    /// A handle to `bytes`: carried by the handle alone within the inline limit, else stored.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn hold(&self, bytes: Bytes) -> Result<BlobHandle, StoreError> {
        if bytes.len() as u64 <= self.shared.options.inline_limit {
            return Ok(BlobHandle::inline(self.function(), bytes));
        }
        Ok(BlobHandle::lazy(self.clone(), self.put_bytes(&bytes)?))
    }

    pub(crate) fn check_function(&self, digest: &Digest) -> Result<(), StoreError> {
        if digest.function == self.function() {
            return Ok(());
        }
        Err(StoreError::OtherFunction {
            digest: *digest,
            function: self.function(),
        })
    }

    fn cached(&self, digest: &Digest) -> Option<Bytes> {
        let bytes = self.shared.memory.as_ref()?.get(digest)?;
        self.shared.counters.memory_hits.fetch_add(1, Relaxed);
        Some(bytes)
    }

    fn remember_bytes(&self, digest: &Digest, bytes: impl FnOnce() -> Bytes) {
        if let Some(memory) = &self.shared.memory
            && digest.size <= MAX_CACHED_BLOB
        {
            memory.insert(*digest, bytes());
        }
    }

    /// Whether the blob is there and good, so that a put may leave it alone.
    pub(crate) fn is_stored(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.open_verified(digest, Form::Plain)?.is_some())
    }

    /// Renames a finished temporary file to the blob's name.
    pub(crate) fn install(
        &self,
        temp: tempfile::NamedTempFile,
        digest: &Digest,
        form: Form,
    ) -> Result<(), StoreError> {
        let path = self.shared.layout.blob(digest, form);
        let synced = self.shared.options.durability == Durability::Synced;
        let mode = if form == Form::Executable {
            0o555
        } else {
            0o444
        };
        crate::layout::set_mode(temp.path(), mode)
            .map_err(StoreError::io("set the mode of", temp.path()))?;
        if synced {
            temp.as_file()
                .sync_all()
                .map_err(StoreError::io("sync", temp.path()))?;
        }
        // The two letter folders come into being as they are needed.
        let folder = path.parent().unwrap_or(&path);
        let temp = match temp.into_temp_path().persist(&path) {
            Err(e) if e.error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
                e.path.persist(&path)
            }
            done => done,
        };
        temp.map_err(|e| StoreError::io("write", &path)(e.error))?;
        if synced {
            File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(StoreError::io("sync", folder))?;
        }
        self.shared.counters.written.fetch_add(1, Relaxed);
        self.shared
            .counters
            .bytes_written
            .fetch_add(digest.size, Relaxed);
        Ok(())
    }

    /// Opens the blob's file and says whether it is known to be good as it is.
    fn open_file(
        &self,
        digest: &Digest,
        form: Form,
    ) -> Result<Option<(File, PathBuf, bool)>, StoreError> {
        self.check_function(digest)?;
        let path = self.shared.layout.blob(digest, form);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io("open", &path)(e)),
        };
        let now = Signature::of(&file.metadata().map_err(StoreError::io("read", &path))?);
        let known = self
            .shared
            .verified
            .get(&(*digest, form == Form::Executable))
            == Some(now);
        Ok(Some((file, path, known)))
    }

    /// Opens the blob's file, hashed if it was not yet, at its start.
    pub(crate) fn open_verified(
        &self,
        digest: &Digest,
        form: Form,
    ) -> Result<Option<(File, PathBuf)>, StoreError> {
        let Some((mut file, path, known)) = self.open_file(digest, form)? else {
            return Ok(None);
        };
        if !known {
            let mut hasher = self.function().hasher();
            hash_stream(&mut file, &mut hasher).map_err(StoreError::io("read", &path))?;
            if !self.judge(digest, form, &file, &path, hasher)? {
                return Ok(None);
            }
            io::Seek::rewind(&mut file).map_err(StoreError::io("read", &path))?;
        }
        Ok(Some((file, path)))
    }

    /// Decides on a file that was read whole into `hasher`: remembered, or set aside.
    fn judge(
        &self,
        digest: &Digest,
        form: Form,
        file: &File,
        path: &Path,
        hasher: Hasher,
    ) -> Result<bool, StoreError> {
        self.shared.counters.verified.fetch_add(1, Relaxed);
        let signature = Signature::of(&file.metadata().map_err(StoreError::io("read", path))?);
        if hasher.finish() == *digest {
            if signature.is_settled(SystemTime::now()) {
                self.shared
                    .verified
                    .insert((*digest, form == Form::Executable), signature);
            }
            return Ok(true);
        }
        self.set_aside(digest, path, signature)?;
        Ok(false)
    }

    /// Makes the next read hash the file again.
    pub(crate) fn forget(&self, digest: &Digest, form: Form) {
        self.shared
            .verified
            .remove(&(*digest, form == Form::Executable));
    }

    /// Takes a damaged file out of the way. Someone may have repaired it in the meantime, so only
    /// the very file that was judged goes, and if another one was caught it is put back.
    fn set_aside(&self, digest: &Digest, path: &Path, judged: Signature) -> Result<(), StoreError> {
        self.shared.counters.corrupt.fetch_add(1, Relaxed);
        if let Some(memory) = &self.shared.memory {
            memory.remove(digest);
        }
        if fs::metadata(path).map(|m| Signature::of(&m)).ok() != Some(judged) {
            return Ok(());
        }
        tracing::warn!(blob = %digest, path = %path.display(), "a blob in the store is damaged: it is removed, and made again when needed");
        let temp = self.shared.layout.temporary()?.into_temp_path();
        match fs::rename(path, &temp) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(StoreError::io("remove the damaged", path)(e)),
        }
        let caught = fs::metadata(&temp).map(|m| Signature::of(&m)).ok();
        if caught != Some(judged) {
            temp.persist(path)
                .map_err(|e| StoreError::io("write", path)(e.error))?;
        }
        Ok(())
    }
}

/// The digest of the file at `path`, read in pieces (never mapped: a foreign file may shrink).
///
/// # Errors
/// [`StoreError::Changed`] when its size or time changed meanwhile; others when it can't be read.
pub fn hash_file(function: DigestFunction, path: &Path) -> Result<Digest, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("open", path))?;
    let before = file.metadata().map_err(StoreError::io("read", path))?;
    let mut hasher = function.hasher();
    hash_stream(&mut file, &mut hasher).map_err(StoreError::io("read", path))?;
    let after = file.metadata().map_err(StoreError::io("read", path))?;
    if Signature::of(&before) != Signature::of(&after) || hasher.size() != after.len() {
        return Err(StoreError::Changed {
            path: path.to_path_buf(),
        });
    }
    Ok(hasher.finish())
}

/// Files of up to so many bytes are read into memory to be stored: hashing and writing them from there takes half as long as
/// copying them and reading the copy, which for larger ones shares blocks where the file system can.
const MAX_IN_MEMORY: u64 = 512 << 10;

/// From how many bytes on a file is mapped and hashed on all cores: below, making their threads takes longer than hashing.
const PARALLEL_BYTES: u64 = CHUNK as u64;

/// Hashes a file that nobody else writes; BLAKE3 maps large ones and uses all cores.
fn hash_own_file(function: DigestFunction, path: &Path) -> io::Result<Digest> {
    match function {
        DigestFunction::Blake3 if fs::metadata(path)?.len() >= PARALLEL_BYTES => {
            let mut hasher = blake3::Hasher::new();
            hasher.update_mmap_rayon(path)?;
            Ok(Digest {
                function,
                hash: *hasher.finalize().as_bytes(),
                size: hasher.count(),
            })
        }
        DigestFunction::Blake3 | DigestFunction::Sha256 => {
            let mut hasher = function.hasher();
            hash_stream(&mut File::open(path)?, &mut hasher)?;
            Ok(hasher.finish())
        }
    }
}

fn hash_stream(file: &mut File, hasher: &mut Hasher) -> io::Result<()> {
    let expected = usize::try_from(file.metadata()?.len()).unwrap_or(CHUNK);
    let mut buffer = vec![0; expected.saturating_add(1).clamp(512, CHUNK)];
    loop {
        // Full pieces, since only those are worth spreading over the cores.
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if filled == CHUNK {
            hasher.update_parallel(&buffer[..filled]);
        } else {
            hasher.update(&buffer[..filled]);
        }
        if filled < buffer.len() {
            return Ok(());
        }
    }
}
