//! A quick second look at plain files that were touched: each opened once, read in one go, and asked for its signature before and
//! after, on as many threads as there are processors.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use zako_action::ArtifactValue;
use zako_cas::{Digest, DigestFunction};
use zako_graph::archive::{Archive, Id, Kind};

use super::signature::Signature;
use super::{Files, Folder, Role, Root};
use crate::ledger::{OUTPUT, SOURCE, Witness};

/// The largest file that is read like this, in bytes; hashing larger ones in parallel pays.
const MAX_BYTES: u64 = 128 << 10;

/// How many files a thread takes at a time.
const CHUNK: usize = 64;

/// What is at a path.
enum Found {
    Nothing,
    File {
        signature: Signature,
        digest: Digest,
        moment: SystemTime,
    },
}

impl Files {
    /// Looks at the leaves that are plain files, and takes note of what they hold; gives those that need a look of another kind:
    /// folders, links, large files, and those that change meanwhile.
    pub(crate) fn reread(&self, leaves: &[Id]) -> Vec<Id> {
        let Ok(root) = Root::open(&self.root) else {
            return leaves.to_vec();
        };
        let mut ledger = self.ledger.lock();
        let archive = ledger.archive();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut reader = Reader {
                near: Folder::new(&root),
                place: &self.root,
                function: self.function,
                folder: None,
                buffer: Vec::new(),
            };
            let (mut found, mut rest) = (Vec::new(), Vec::new());
            while let Some(from) = leaves.get(next.fetch_add(CHUNK, Ordering::Relaxed)..) {
                if from.is_empty() {
                    break;
                }
                let chunk = &from[..from.len().min(CHUNK)];
                for (at, id) in chunk.iter().enumerate() {
                    match reader.look(archive, *id, chunk.get(at + 1).copied()) {
                        Some(seen) => found.push((*id, seen)),
                        None => rest.push(*id),
                    }
                }
            }
            (found, rest)
        };
        let processors = zako_exec::processors();
        let (found, rest) = std::thread::scope(|scope| {
            let threads = processors.min(leaves.len().div_ceil(CHUNK));
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let (mut found, mut rest) = work();
            for other in others {
                match other.join() {
                    Ok((more, left)) => {
                        found.extend(more);
                        rest.extend(left);
                    }
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            (found, rest)
        });
        for (id, found) in found {
            let (witness, value) = match found {
                Found::Nothing => (Witness::Absent, None),
                Found::File {
                    signature,
                    digest,
                    moment,
                } => {
                    let value = ArtifactValue::File {
                        digest,
                        executable: signature.is_executable(),
                    };
                    (self.witness(signature, moment), Some(value))
                }
            };
            ledger.learn_at(id, &witness, value.as_ref());
        }
        rest
    }
}

/// One thread's reader.
struct Reader<'a> {
    near: Folder<'a>,
    place: &'a Path,
    function: DigestFunction,
    /// The last folder, and whether it is in the workspace.
    folder: Option<(Vec<u8>, bool)>,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// What is at the leaf `id`, after which comes `next`.
    fn look(&mut self, archive: &Archive, id: Id, next: Option<Id>) -> Option<Found> {
        let role = role_of(archive.kind(id))?;
        let path = archive.key(id);
        // A folder above may have become a link that leads out.
        if path.is_empty() || (role == Role::Source && !self.is_inside(path)) {
            return None;
        }
        let (place, name) = self
            .near
            .enter(path, next.map_or(&[][..], |next| archive.key(next)));
        let file = match open(place.0, name) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Some(Found::Nothing),
            Err(_) => return None,
        };
        let signature = |file: &OwnedFd| {
            let found = rustix::fs::fstat(file).ok()?;
            let is_file = FileType::from_raw_mode(found.st_mode).is_file();
            is_file.then(|| Signature::of_stat(&found, role))
        };
        let before = signature(&file).filter(|before| before.size() <= MAX_BYTES)?;
        let moment = SystemTime::now();
        // One that grew meanwhile has another signature afterwards.
        let size = usize::try_from(before.size()).ok()?;
        self.buffer.resize(size.max(self.buffer.len()), 0);
        let content = read_all(&file, &mut self.buffer[..size])?;
        let digest = self.function.hash(content);
        (signature(&file) == Some(before)).then_some(Found::File {
            signature: before,
            digest,
            moment,
        })
    }

    fn is_inside(&mut self, path: &[u8]) -> bool {
        let above = match path.iter().rposition(|byte| *byte == b'/') {
            Some(cut) => &path[..cut],
            None => return true,
        };
        if let Some((folder, inside)) = &self.folder
            && folder == above
        {
            return *inside;
        }
        let place = std::str::from_utf8(above).map(|above| self.place.join(above));
        let real = place.ok().and_then(|place| place.canonicalize().ok());
        let inside = real.is_some_and(|real| real.starts_with(self.place));
        self.folder = Some((above.to_vec(), inside));
        inside
    }
}

/// Leaves a file's time of access as it is, where that can be had.
const NO_ATIME: OFlags = {
    #[cfg(target_os = "linux")]
    let flag = OFlags::NOATIME;
    #[cfg(not(target_os = "linux"))]
    let flag = OFlags::empty();
    flag
};

/// Opens a file without its time of access being written down: after a touch that is a transaction of the file system for each
/// file, a fifth of what rereading costs.
fn open(folder: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags | NO_ATIME, Mode::empty()) {
        // It is somebody else's file.
        Err(Errno::PERM) => rustix::fs::openat(folder, name, flags, Mode::empty()),
        opened => opened,
    }
}

fn role_of(kind: Kind) -> Option<Role> {
    match kind {
        SOURCE => Some(Role::Source),
        OUTPUT => Some(Role::Output),
        _ => None,
    }
}

/// Fills `buffer` with the file from its beginning; `None` when it can't be read or is shorter.
fn read_all<'b>(file: &OwnedFd, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut length = 0;
    while length < buffer.len() {
        match rustix::io::read(file, &mut buffer[length..]).ok()? {
            0 => return None,
            read => length += read,
        }
    }
    Some(buffer)
}
