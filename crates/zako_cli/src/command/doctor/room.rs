//! How much room a disk has. On Windows `windows/room.rs` stands for this file.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Bytes that may be written below `dir`; `None` when it is not there.
pub(super) fn room_on(dir: &Path) -> Option<u64> {
    let room = statvfs(dir).ok()?;
    Some(room.blocks_available() as u64 * room.fragment_size() as u64)
}
