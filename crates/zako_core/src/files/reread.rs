//! A quick second look at a plain file that was touched: opened once, read in one go, and asked for its signature before and
//! after.

use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zako_action::ArtifactValue;
use zako_path::NeutralPath;

use super::signature::Signature;
use super::{Files, Role};

/// The largest file that is read like this, in bytes; hashing larger ones in parallel pays.
const MAX_BYTES: usize = 128 << 10;

thread_local! {
    static BUFFER: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Files {
    /// Takes note of what the plain file at `path` holds now; `false` when it is none, is large, or changes meanwhile, so that
    /// [`value`](Files::value) has to look.
    pub(crate) fn reread(&self, path: &NeutralPath) -> bool {
        let role = self.role(path);
        let place = path.to_os_path(&self.root);
        // A folder above may have become a link that leads out.
        if role == Role::Source && self.check_folder(path, &place).is_err() {
            return false;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&place, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => {
                self.note_absent(path);
                return true;
            }
            Err(_) => return false,
        };
        let signature = || {
            let found = rustix::fs::fstat(&file).ok()?;
            let is_file = rustix::fs::FileType::from_raw_mode(found.st_mode).is_file();
            is_file.then(|| Signature::of_stat(&found, role))
        };
        let Some(before) = signature().filter(|before| before.size() <= MAX_BYTES as u64) else {
            return false;
        };
        let moment = SystemTime::now();
        let digest = BUFFER.with_borrow_mut(|buffer| {
            // One that grew meanwhile has another signature afterwards.
            let size = usize::try_from(before.size()).ok()?;
            buffer.resize(size.max(buffer.len()), 0);
            let read = read_all(&file, &mut buffer[..size])?;
            (read == size).then(|| self.function.hash(&buffer[..size]))
        });
        let Some(digest) = digest.filter(|_| signature() == Some(before)) else {
            return false;
        };
        let value = ArtifactValue::File {
            digest,
            executable: before.is_executable(),
        };
        let (kind, witness) = (self.kind(path), self.witness(before, moment));
        let mut ledger = self.ledger.lock();
        ledger.learn(kind, path.as_str(), &witness, Some(&value));
        true
    }
}

/// Fills `buffer` with the file from its beginning; gives how much that was, and `None` when it can't be read.
fn read_all(file: &rustix::fd::OwnedFd, buffer: &mut [u8]) -> Option<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match rustix::io::read(file, &mut buffer[length..]).ok()? {
            0 => break,
            read => length += read,
        }
    }
    Some(length)
}
