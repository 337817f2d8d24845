//! How much room a disk of Windows has.

use std::os::windows::ffi::OsStrExt as _;
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

/// Bytes that may be written below `dir`; `None` when it is not there.
pub(super) fn room_on(dir: &Path) -> Option<u64> {
    let name: Vec<u16> = dir.as_os_str().encode_wide().chain([0]).collect();
    let mut room = 0;
    #[expect(unsafe_code, reason = "no safe library of ours asks for it")]
    // SAFETY: the name is live and ends with a zero, the first number is a live local, and the others may be null.
    let is_told = unsafe {
        GetDiskFreeSpaceExW(
            name.as_ptr(),
            &raw mut room,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    (is_told != 0).then_some(room)
}
