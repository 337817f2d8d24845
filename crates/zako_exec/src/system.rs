//! What differs between systems and is needed all over this crate: pipes of children, links, permissions, how much memory there is.
//!
//! This is what Unix systems have. On Windows `windows/system.rs` stands for it, with the same names; so does a file of that name in a
//! folder `windows/` for every module of which [`crate::process`], [`crate::jobserver`] and [`crate::companion`] say so.
//!
//! **Absences:** nothing here decides anything.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Our end of a child's pipe, before it is watched.
pub(crate) use std::os::fd::OwnedFd as PipeEnd;
pub(crate) use tokio::net::unix::pipe::{Receiver, Sender};

/// A file that is empty for whoever reads it.
pub(crate) const NULL_DEVICE: &str = "/dev/null";

/// What stands between the folders of a PATH.
pub(crate) const PATH_SEPARATOR: char = ':';

/// The PATH of every action that does not declare another: part of the keyed environment, so it never varies.
pub const FIXED_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The home folder of every action: one that does not exist, so that no setting of a person slips in.
pub const FIXED_HOME: &str = "/nonexistent";

/// What every action has in its environment because programs of this system need it; constants, which are keyed.
pub(crate) const FIXED_ENVIRONMENT: [(&str, &str); 0] = [];

/// What names the folder for temporary files in the environment.
pub(crate) const TMP_VARIABLES: [&str; 1] = ["TMPDIR"];

/// The reading end, watched by the runtime.
pub(crate) fn receiver(end: PipeEnd) -> io::Result<Receiver> {
    Receiver::from_owned_fd(end)
}

/// The writing end, watched by the runtime.
pub(crate) fn sender(end: PipeEnd) -> io::Result<Sender> {
    Sender::from_owned_fd(end)
}

/// Whether this is a file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// The file names by which a program called `name` is looked for.
pub(crate) fn program_names(name: &str) -> impl Iterator<Item = String> {
    std::iter::once(name.to_owned())
}

/// Makes what is at `place` stand for `target`.
pub(crate) fn link(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

/// Whether the owner may execute it.
pub(crate) fn is_executable(file: &Metadata) -> bool {
    file.permissions().mode() & 0o100 != 0
}

/// Whether its owner may do everything in this folder.
pub(crate) fn is_usable(folder: &Metadata) -> bool {
    folder.permissions().mode() & 0o700 == 0o700
}

/// Gives the owner all permissions on a folder.
pub(crate) fn open_up(folder: &Path) -> io::Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// A path as programs take it.
pub(crate) fn plain(path: &Path) -> &Path {
    path
}

/// Whose a folder is, and who may do what there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    mode: u32,
    user: u32,
    group: u32,
}

impl Owner {
    /// What `folder` says.
    pub(crate) fn of(folder: &Metadata) -> Self {
        Self {
            mode: folder.mode(),
            user: folder.uid(),
            group: folder.gid(),
        }
    }
}

/// What the kernel counts resident memory in.
pub(crate) fn page_bytes() -> u64 {
    use nix::unistd::{SysconfVar, sysconf};
    let bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(4096)
}

/// The kernel's clock ticks in a second (proc(5)).
pub(crate) fn ticks_a_second() -> u64 {
    use nix::unistd::{SysconfVar, sysconf};
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let ticks = ticks.and_then(|ticks| u64::try_from(ticks).ok());
    ticks.filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// All memory of the machine, in bytes.
#[cfg(linux)]
pub(crate) fn total_memory() -> Option<u64> {
    let info = rustix::system::sysinfo();
    let bytes = u128::from(info.totalram) * u128::from(info.mem_unit);
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

/// All memory of the machine, in bytes.
#[cfg(not(linux))]
pub(crate) fn total_memory() -> Option<u64> {
    #[expect(unsafe_code, reason = "no safe library of ours asks for it")]
    // SAFETY: sysconf takes a number, and reads and writes no memory of ours.
    let pages = unsafe { nix::libc::sysconf(nix::libc::_SC_PHYS_PAGES) };
    let pages = u64::try_from(pages).ok().filter(|pages| *pages > 0);
    pages?.checked_mul(page_bytes())
}

/// All memory of the machine and what of it can be had, where that is not read from `/proc`.
pub(crate) fn memory() -> (Option<u64>, Option<u64>) {
    (None, None)
}
