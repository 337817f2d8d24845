//! A segment read from front to back: which records are whole, and what lies between them.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::format::{Header, RECORD_HEADER, SegmentId};

/// Bytes read at a time: what stays in a processor's cache until its headers are looked at. More is no faster, and has to be
/// cleared first.
const WINDOW: usize = 64 << 10;

/// What a scan saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Just behind the last whole record: where a writer goes on, and where the next scan starts.
    pub(super) end: u64,
    /// Bytes between records that belong to none.
    pub(super) gaps: Vec<Range<u64>>,
    /// Whether bytes follow `end` that are not the beginning of a record: a damaged header, or a write that is under way.
    pub(super) is_unclear: bool,
}

/// Gives each whole record of `file` from `from` on, with its place.
pub(super) fn scan(
    file: &File,
    id: SegmentId,
    from: u64,
    found: &mut dyn FnMut(u64, Header) -> io::Result<()>,
) -> io::Result<Scanned> {
    let len = file.metadata()?.len();
    let mut scanned = Scanned {
        end: from,
        ..Scanned::default()
    };
    let mut window = Window::default();
    let mut at = from;
    while at + RECORD_HEADER as u64 <= len {
        let Some(bytes) = window.read(file, at, len)? else {
            break; // Cut off by its writer meanwhile.
        };
        match Header::decode(id, at, bytes) {
            Some(header) if at + header.total() <= len => {
                if scanned.end < at {
                    scanned.gaps.push(scanned.end..at);
                }
                found(at, header)?;
                at += header.total();
                scanned.end = at;
                scanned.is_unclear = false;
            }
            // Torn, or a body that is damaged together with what follows it: nothing good is behind it.
            Some(_) => break,
            None => {
                scanned.is_unclear = true;
                at += 8;
            }
        }
    }
    Ok(scanned)
}

#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// The bytes of a header at `at`, which lies within the first `len` bytes of the file.
    fn read(&mut self, file: &File, at: u64, len: u64) -> io::Result<Option<&[u8]>> {
        let need = at + RECORD_HEADER as u64;
        if at < self.start || need > self.start + self.bytes.len() as u64 {
            let size = usize::try_from(len - at).map_or(WINDOW, |rest| rest.min(WINDOW));
            self.bytes.resize(size, 0);
            self.start = at;
            match read_exact_at(file, &mut self.bytes, at) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    self.bytes.clear();
                    return Ok(None);
                }
                Err(e) => return Err(e),
            }
        }
        let offset = usize::try_from(at - self.start).map_err(io::Error::other)?;
        Ok(self.bytes.get(offset..offset + RECORD_HEADER))
    }
}

pub(super) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    let read = read_at(file, bytes, at)?;
    if read < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// As many bytes as there are.
pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        #[cfg(unix)]
        let read =
            std::os::unix::fs::FileExt::read_at(file, &mut bytes[filled..], at + filled as u64);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(
            file,
            &mut bytes[filled..],
            at + filled as u64,
        );
        match read {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
