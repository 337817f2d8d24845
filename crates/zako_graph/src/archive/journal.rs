//! The journal: what changed since the graph file was written, appended flush by flush.
//!
//! ```text
//! magic           8 bytes
//! format version  u32
//! graph           16 bytes: the id of the graph file that this belongs to
//! checksum        u64, XXH3-64 of the above
//! for each flush: length u32, checksum u64, payload
//! payload         revision u32, operations as in `operation.rs`
//! ```
//!
//! The checksum of a flush is XXH3-64 of its payload, seeded with the place of the flush in the file. What
//! comes after the first flush that does not fit its checksum is what a crash left: it counts as never
//! written, and the next flush takes its place. A journal of another graph file counts as not there: it is
//! what is left by a crash just after a new graph file took its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::layout::{checksum, checksum_at};

pub(super) const NAME: &str = "journal";
const TEMPORARY: &str = "journal.tmp";
const MAGIC: [u8; 8] = *b"zakojrnl";
const FORMAT: u32 = 1;
const HEADER: usize = 36;
/// Length and checksum, which come before a payload.
const PREFIX: usize = 12;

/// Operations that are yet to be appended.
#[derive(Debug)]
pub(super) struct Batch {
    /// Begins with room for what is known only in the end.
    bytes: Vec<u8>,
    /// Whether there is a revision to tell, if no operation.
    pub(super) revision: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            bytes: vec![0; PREFIX + 4],
            revision: false,
        }
    }
}

impl Batch {
    pub(super) fn operations(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.revision && self.bytes.len() == PREFIX + 4
    }

    /// The bytes to append at `place`.
    fn finish(&mut self, place: u64, revision: u32) -> io::Result<&[u8]> {
        let length = u32::try_from(self.bytes.len() - PREFIX)
            .map_err(|_| io::Error::other("more than 4 GiB in one flush"))?;
        self.bytes[PREFIX..PREFIX + 4].copy_from_slice(&revision.to_le_bytes());
        let checksum = checksum_at(place, &self.bytes[PREFIX..]);
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..PREFIX].copy_from_slice(&checksum.to_le_bytes());
        Ok(&self.bytes)
    }
}

/// The journal of one graph file, for appending.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Where the next flush goes; 0 while there is no journal of this graph file.
    end: u64,
    /// Opened at the first flush.
    file: Option<File>,
}

impl Journal {
    /// The size in bytes, as far as it counts.
    pub(super) fn size(&self) -> u64 {
        self.end
    }

    /// Reads the journal of the graph file `graph`, and gives each flush's revision and operations.
    pub(super) fn read<E>(
        folder: &Path,
        graph: [u8; 16],
        mut each: impl FnMut(u32, &[u8]) -> Result<(), E>,
    ) -> io::Result<Result<Self, E>> {
        let bytes = match fs::read(folder.join(NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if !bytes.starts_with(&header(graph)) {
            return Ok(Ok(Self::default()));
        }
        let mut at = HEADER;
        while let Some((revision, operations, end)) = flush_at(&bytes, at) {
            if let Err(error) = each(revision, operations) {
                return Ok(Err(error));
            }
            at = end;
        }
        Ok(Ok(Self {
            end: at as u64,
            file: None,
        }))
    }

    /// Appends `batch`, which is empty afterwards. After an error it is as it was, and nothing of it is read
    /// by anyone.
    pub(super) fn append(
        &mut self,
        folder: &Path,
        graph: [u8; 16],
        batch: &mut Batch,
        revision: u32,
    ) -> io::Result<()> {
        let path = folder.join(NAME);
        if self.end == 0 {
            let temporary = folder.join(TEMPORARY);
            let mut file = File::create(&temporary)?;
            let bytes = batch.finish(HEADER as u64, revision)?;
            let end = (HEADER + bytes.len()) as u64;
            file.write_all(&header(graph))?;
            file.write_all(bytes)?;
            fs::rename(&temporary, &path)?;
            (self.end, self.file) = (end, Some(file));
        } else {
            let bytes = batch.finish(self.end, revision)?;
            let mut file = match self.file.take() {
                Some(file) => file,
                None => {
                    let mut file = OpenOptions::new().write(true).open(&path)?;
                    // What is beyond was torn by a crash, or by an error below.
                    file.set_len(self.end)?;
                    file.seek(SeekFrom::Start(self.end))?;
                    file
                }
            };
            // On an error the file is opened again, and cut to where it counts.
            file.write_all(bytes)?;
            self.end += bytes.len() as u64;
            self.file = Some(file);
        }
        *batch = Batch::default();
        Ok(())
    }
}

fn header(graph: [u8; 16]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..28].copy_from_slice(&graph);
    let sum = checksum(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Revision, operations and end of the flush at `at`, if it is whole.
fn flush_at(bytes: &[u8], at: usize) -> Option<(u32, &[u8], usize)> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let payload = rest.get(..length)?;
    if checksum_at(at as u64, payload) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (revision, operations) = payload.split_first_chunk()?;
    let revision = u32::from_le_bytes(*revision);
    Some((revision, operations, at + PREFIX + length))
}
