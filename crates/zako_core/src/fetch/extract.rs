//! Archives, told by their first bytes: tar, plain or compressed by gzip, xz or Zstandard, and zip.
//!
//! **Invariant:** whatever the archive says, only what is below the folder is written, and every link in it leads to
//! something below it: names are plain, no name goes through a link, a link climbs only at its beginning and never above
//! the folder, and nothing is written twice.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::system::{set_mode_of, symlink};

/// How many files, folders and links an archive may have.
const MAX_ENTRIES: usize = 1 << 20;

/// How many bytes its files may have in all.
const MAX_BYTES: u64 = 64 << 30;

/// How long a link may be.
const MAX_LINK_BYTES: u64 = 4096;

/// What is wrong with an archive.
#[derive(Debug, Error)]
pub(crate) enum ArchiveError {
    /// It is none.
    #[error("it is no archive that zako knows")]
    Unknown,
    /// It would write elsewhere.
    #[error("\"{0}\" would be written outside of the folder")]
    Outside(String),
    /// A link would lead elsewhere.
    #[error("the link \"{0}\" leads out of the folder, to \"{1}\"")]
    LinkOut(String, String),
    /// A name goes through a link.
    #[error("\"{0}\" goes through a link")]
    ThroughLink(String),
    /// It is there twice.
    #[error("\"{0}\" is there twice")]
    Twice(String),
    /// A device or the like.
    #[error("\"{0}\" is neither a file, a folder nor a link")]
    Special(String),
    /// It has nothing below the folders that are left out.
    #[error("nothing is left of it without the first {0} folders of each path")]
    Empty(u32),
    /// It is too large.
    #[error("it has more than {MAX_ENTRIES} entries or {MAX_BYTES} bytes")]
    TooLarge,
    /// It is damaged, or the disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a damaged zip.
    #[error(transparent)]
    Zip(#[from] zip::result::ZipError),
}

/// Extracts the archive into the folder `to`, which is there and empty, without the first `strip` folders of each path. Blocks.
///
/// # Errors
/// When it is no archive or would write or link outside of `to`; what was written before that stays.
pub(crate) fn extract(archive: &Path, to: &Path, strip: u32) -> Result<(), ArchiveError> {
    let mut file = File::open(archive)?;
    let mut head = Vec::new();
    (&mut file).take(512).read_to_end(&mut head)?;
    file.rewind()?;
    let mut room = Room {
        to,
        strip,
        entries: 0,
        bytes: MAX_BYTES,
    };
    let buffered = BufReader::new(file);
    match &head[..] {
        [0x1f, 0x8b, ..] => room.tar(flate2::bufread::MultiGzDecoder::new(buffered))?,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            room.tar(lzma_rust2::XzReader::new(buffered, true))?;
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(buffered);
            room.tar(decoder.map_err(io::Error::other)?)?;
        }
        [b'P', b'K', 3, 4, ..] => room.zip(buffered)?,
        head if head.get(257..262) == Some(b"ustar") => room.tar(buffered)?,
        _ => return Err(ArchiveError::Unknown),
    }
    match room.entries {
        0 => Err(ArchiveError::Empty(strip)),
        _ => Ok(()),
    }
}

/// Where an archive goes.
struct Room<'a> {
    to: &'a Path,
    strip: u32,
    entries: usize,
    /// How many more may come.
    bytes: u64,
}

impl Room<'_> {
    fn tar(&mut self, from: impl Read) -> Result<(), ArchiveError> {
        let mut archive = tar::Archive::new(from);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.into_owned();
            let kind = entry.header().entry_type();
            if kind.is_pax_global_extensions() {
                continue;
            }
            let Some(below) = self.below(&name)? else {
                continue;
            };
            if kind.is_dir() {
                self.folder(&below)?;
            } else if kind.is_symlink() {
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                self.link(&below, &target)?;
            } else if kind.is_hard_link() {
                // Names another entry of the archive, as that is written there.
                let other = entry.link_name()?.unwrap_or_default().into_owned();
                let Some(other) = self.below(&other)? else {
                    return Err(ArchiveError::Outside(shown(&other)));
                };
                self.no_link_above(&other)?;
                let (source, place) = (self.to.join(&other), self.place(&below)?);
                if !fs::symlink_metadata(&source)?.is_file() {
                    return Err(ArchiveError::Special(shown(&below)));
                }
                let copied = fs::copy(source, place)?;
                self.count(copied)?;
            } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
                let mode = entry.header().mode()?;
                self.file(&below, mode, &mut entry)?;
            } else {
                return Err(ArchiveError::Special(shown(&name)));
            }
        }
        Ok(())
    }

    fn zip(&mut self, from: BufReader<File>) -> Result<(), ArchiveError> {
        let mut archive = zip::ZipArchive::new(from)?;
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at)?;
            let name = PathBuf::from(entry.name());
            let Some(below) = self.below(&name)? else {
                continue;
            };
            if entry.is_dir() {
                self.folder(&below)?;
            } else if entry.is_symlink() {
                let mut target = String::new();
                (&mut entry)
                    .take(MAX_LINK_BYTES)
                    .read_to_string(&mut target)?;
                self.link(&below, Path::new(&target))?;
            } else {
                let mode = entry.unix_mode().unwrap_or(0o644);
                self.file(&below, mode, &mut entry)?;
            }
        }
        Ok(())
    }

    /// The path in the folder that `name` stands for; `None` when nothing is left of it.
    fn below(&self, name: &Path) -> Result<Option<PathBuf>, ArchiveError> {
        let mut parts = Vec::new();
        for part in name.components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                _ => return Err(ArchiveError::Outside(shown(name))),
            }
        }
        let below: PathBuf = parts.iter().skip(self.strip as usize).collect();
        Ok(Some(below).filter(|below| !below.as_os_str().is_empty()))
    }

    fn count(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.entries += 1;
        match self.bytes.checked_sub(bytes) {
            Some(rest) if self.entries <= MAX_ENTRIES => {
                self.bytes = rest;
                Ok(())
            }
            _ => Err(ArchiveError::TooLarge),
        }
    }

    fn no_link_above(&self, below: &Path) -> Result<(), ArchiveError> {
        for above in below.ancestors().skip(1) {
            let place = self.to.join(above);
            if fs::symlink_metadata(place).is_ok_and(|found| found.is_symlink()) {
                return Err(ArchiveError::ThroughLink(shown(below)));
            }
        }
        Ok(())
    }

    /// Where a file or link goes: its folder is made, and there is nothing yet.
    fn place(&self, below: &Path) -> Result<PathBuf, ArchiveError> {
        self.no_link_above(below)?;
        let place = self.to.join(below);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::symlink_metadata(&place) {
            Ok(_) => Err(ArchiveError::Twice(shown(below))),
            Err(_) => Ok(place),
        }
    }

    fn folder(&mut self, below: &Path) -> Result<(), ArchiveError> {
        self.no_link_above(below)?;
        let place = self.to.join(below);
        if fs::symlink_metadata(&place).is_ok_and(|found| !found.is_dir()) {
            return Err(ArchiveError::Twice(shown(below)));
        }
        fs::create_dir_all(place)?;
        self.count(0)
    }

    fn file(&mut self, below: &Path, mode: u32, from: &mut dyn Read) -> Result<(), ArchiveError> {
        let place = self.place(below)?;
        let mut file = File::create_new(&place)?;
        let copied = io::copy(&mut from.take(self.bytes.saturating_add(1)), &mut file)?;
        // Whether it is a program is all that is kept of its mode.
        let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        set_mode_of(&file, mode)?;
        self.count(copied)
    }

    fn link(&mut self, below: &Path, target: &Path) -> Result<(), ArchiveError> {
        let out = || ArchiveError::LinkOut(shown(below), shown(target));
        // Its folder is no link, so climbing from it is what it looks like.
        let mut depth = below.components().count().saturating_sub(1);
        let mut is_down = false;
        for part in target.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(_) => is_down = true,
                Component::ParentDir if !is_down && depth > 0 => depth -= 1,
                _ => return Err(out()),
            }
        }
        if target.as_os_str().is_empty() {
            return Err(out());
        }
        symlink(target, &self.place(below)?)?;
        self.count(0)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
