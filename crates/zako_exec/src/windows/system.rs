//! What stands for `system` on Windows.
//!
//! Pipes of children are read and written by a thread each: anonymous pipes are not for waiting on. What a thread holds is
//! bounded by [`CHUNK`].

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use windows_sys::Win32::Foundation::ERROR_PRIVILEGE_NOT_HELD;
use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

/// Our end of a child's pipe.
pub(crate) use std::os::windows::io::OwnedHandle as PipeEnd;

/// The most that is held of a pipe, in bytes.
const CHUNK: usize = 64 << 10;

pub(crate) const NULL_DEVICE: &str = "NUL";

pub(crate) const PATH_SEPARATOR: char = ';';

/// The PATH of every action that does not declare another: part of the keyed environment, so it never varies.
pub const FIXED_PATH: &str =
    r"C:\Windows\System32;C:\Windows;C:\Windows\System32\WindowsPowerShell\v1.0";

/// The home folder of every action: one that does not exist, so that no setting of a person slips in.
pub const FIXED_HOME: &str = r"C:\nonexistent";

/// Without these sockets, shells and much of the C library do not work.
pub(crate) const FIXED_ENVIRONMENT: [(&str, &str); 5] = [
    ("SystemRoot", r"C:\Windows"),
    ("SystemDrive", "C:"),
    ("windir", r"C:\Windows"),
    ("ComSpec", r"C:\Windows\System32\cmd.exe"),
    ("PATHEXT", ".COM;.EXE;.BAT;.CMD"),
];

pub(crate) const TMP_VARIABLES: [&str; 3] = ["TMPDIR", "TMP", "TEMP"];

/// The longest path that needs no such prefix (`MAX_PATH`).
const MAX_PLAIN: usize = 260;

/// What a program's file may be called besides its name, in the order in which the system tries.
const EXTENSIONS: [&str; 4] = ["com", "exe", "bat", "cmd"];

/// What passes between a pipe's thread and whoever waits for it.
#[derive(Debug, Default)]
struct Passage {
    state: Mutex<State>,
    /// For the thread.
    turned: Condvar,
    /// For the task.
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// How much of them was taken.
    taken: usize,
    /// The end of the pipe, well or badly.
    end: Option<io::Result<()>>,
    /// Nobody is at the other side of the passage any more.
    is_left: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }
}

fn on_thread(
    name: &str,
    passage: &Arc<Passage>,
    work: impl FnOnce(Arc<Passage>) + Send + 'static,
) -> io::Result<()> {
    let passage = Arc::clone(passage);
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(256 << 10)
        .spawn(move || work(passage))
        .map(drop)
}

/// A pipe that is read.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Passage>);

/// Begins to read.
pub(crate) fn receiver(end: PipeEnd) -> io::Result<Receiver> {
    let passage = Arc::new(Passage::default());
    let mut file = File::from(end);
    on_thread("zako-read", &passage, move |passage| {
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = file.read(&mut chunk);
            let mut state = passage.state.lock();
            while !state.is_empty() && !state.is_left {
                passage.turned.wait(&mut state);
            }
            if state.is_left {
                return;
            }
            state.taken = 0;
            state.bytes.clear();
            match read {
                Ok(length @ 1..) => state.bytes.extend_from_slice(&chunk[..length]),
                Ok(_) => state.end = Some(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => state.end = Some(Ok(())),
                Err(error) => state.end = Some(Err(error)),
            }
            passage.ready.notify_one();
            if state.end.is_some() {
                return;
            }
        }
    })?;
    Ok(Receiver(passage))
}

impl Receiver {
    /// Returns when there is something to read, or the end. May be dropped and called again.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        loop {
            {
                let state = self.0.state.lock();
                if !state.is_empty() || state.end.is_some() {
                    return Ok(());
                }
            }
            self.0.ready.notified().await;
        }
    }

    /// Reads what is there; zero bytes are the end.
    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        let there = &state.bytes[state.taken..];
        if there.is_empty() {
            return match state.end.take() {
                None => Err(io::ErrorKind::WouldBlock.into()),
                Some(Err(error)) => {
                    state.end = Some(Ok(()));
                    Err(error)
                }
                Some(Ok(())) => {
                    state.end = Some(Ok(()));
                    Ok(0)
                }
            };
        }
        let length = there.len().min(into.len());
        into[..length].copy_from_slice(&there[..length]);
        state.taken += length;
        if state.is_empty() {
            self.0.turned.notify_one();
        }
        Ok(length)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.state.lock().is_left = true;
        self.0.turned.notify_one();
    }
}

/// A pipe that is written to. What was taken from the writer is written even after this is dropped.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Passage>);

/// Begins to write.
pub(crate) fn sender(end: PipeEnd) -> io::Result<Sender> {
    let passage = Arc::new(Passage::default());
    let mut file = File::from(end);
    on_thread("zako-write", &passage, move |passage| {
        loop {
            let chunk = {
                let mut state = passage.state.lock();
                while state.is_empty() && !state.is_left {
                    passage.turned.wait(&mut state);
                }
                if state.is_empty() {
                    return;
                }
                state.taken = 0;
                std::mem::take(&mut state.bytes)
            };
            let written = file.write_all(&chunk);
            let is_broken = written.is_err();
            if is_broken {
                passage.state.lock().end = Some(written);
            }
            passage.ready.notify_one();
            if is_broken {
                return;
            }
        }
    })?;
    Ok(Sender(passage))
}

impl Sender {
    /// Returns when something can be written. May be dropped and called again.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        loop {
            {
                let state = self.0.state.lock();
                if state.is_empty() || state.end.is_some() {
                    return Ok(());
                }
            }
            self.0.ready.notified().await;
        }
    }

    /// Takes some of `bytes`, to be written.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        match &state.end {
            Some(Err(error)) => return Err(error.kind().into()),
            Some(Ok(())) => return Err(io::ErrorKind::BrokenPipe.into()),
            None if !state.is_empty() => return Err(io::ErrorKind::WouldBlock.into()),
            None => {}
        }
        let length = bytes.len().min(CHUNK);
        state.bytes.extend_from_slice(&bytes[..length]);
        self.0.turned.notify_one();
        Ok(length)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.state.lock().is_left = true;
        self.0.turned.notify_one();
    }
}

/// Whether this is a file that can be a program: nothing but its name says so.
pub(crate) fn is_program(path: &Path) -> bool {
    let is_one = |found: &str| EXTENSIONS.iter().any(|one| one.eq_ignore_ascii_case(found));
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(is_one) && path.is_file()
}

/// The file names by which a program called `name` is looked for.
pub(crate) fn program_names(name: &str) -> impl Iterator<Item = String> {
    let with = |extension| format!("{name}.{extension}");
    let mut names = vec![name.to_owned()];
    names.extend(EXTENSIONS.iter().map(with));
    names.into_iter()
}

/// Makes what is at `place` stand for `target`: by a symbolic link, which takes a privilege or the developer mode; else files are hard
/// links (copies from another volume), and folders are folders of such. Recursion is as deep as paths are.
pub(crate) fn link(target: &Path, place: &Path) -> io::Result<()> {
    use std::os::windows::fs::{symlink_dir, symlink_file};

    let is_folder = target.is_dir();
    let made = match is_folder {
        true => symlink_dir(target, place),
        false => symlink_file(target, place),
    };
    match made {
        Err(error) if error.raw_os_error() == Some(ERROR_PRIVILEGE_NOT_HELD.cast_signed()) => {}
        made => return made,
    }
    if !is_folder {
        return std::fs::hard_link(target, place)
            .or_else(|_| std::fs::copy(target, place).map(drop));
    }
    std::fs::create_dir(place)?;
    for entry in std::fs::read_dir(target)? {
        let entry = entry?;
        link(&entry.path(), &place.join(entry.file_name()))?;
    }
    Ok(())
}

/// There is no such bit.
pub(crate) fn is_executable(_file: &Metadata) -> bool {
    false
}

/// Whether its owner may do everything in this folder, as far as an attribute tells.
pub(crate) fn is_usable(folder: &Metadata) -> bool {
    !folder.permissions().readonly()
}

/// Makes it and the files in it ones that can be removed.
pub(crate) fn open_up(folder: &Path) -> io::Result<()> {
    let make_writable = |path: &Path| {
        let mut permissions = std::fs::symlink_metadata(path)?.permissions();
        #[expect(
            clippy::permissions_set_readonly_false,
            reason = "on Windows this is one attribute and lets nobody else in"
        )]
        permissions.set_readonly(false);
        std::fs::set_permissions(path, permissions)
    };
    make_writable(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// A path without `\\?\` before its drive, which canonical paths have and many programs do not take for the folder that they are in.
pub(crate) fn plain(path: &Path) -> &Path {
    let text = path.to_str().and_then(|text| text.strip_prefix(r"\\?\"));
    match text {
        Some(rest) if rest.get(1..2) == Some(":") && rest.len() < MAX_PLAIN => Path::new(rest),
        _ => path,
    }
}

/// Owners and their rights are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner;

impl Owner {
    pub(crate) fn of(_folder: &Metadata) -> Self {
        Self
    }
}

/// Of no use: there is no `/proc`.
pub(crate) fn page_bytes() -> u64 {
    4096
}

/// Of no use: there is no `/proc`.
pub(crate) fn ticks_a_second() -> u64 {
    100
}

/// All memory of the machine, in bytes.
pub(crate) fn total_memory() -> Option<u64> {
    memory().0
}

/// All memory of the machine and what of it can be had without writing other memory out.
pub(crate) fn memory() -> (Option<u64>, Option<u64>) {
    let mut status = MEMORYSTATUSEX {
        dwLength: size_of::<MEMORYSTATUSEX>() as u32,
        ..MEMORYSTATUSEX::default()
    };
    #[expect(unsafe_code, reason = "std does not tell")]
    // SAFETY: the pointer is to a live local of the type that is written, and its length field is set.
    let is_told = unsafe { GlobalMemoryStatusEx(&raw mut status) } != 0;
    match is_told {
        true => (Some(status.ullTotalPhys), Some(status.ullAvailPhys)),
        false => (None, None),
    }
}
