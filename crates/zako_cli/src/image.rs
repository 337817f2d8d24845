//! The program's own data in memory: what it writes to when V8 starts.
//!
//! V8 sets its flags and tables up, which are on most pages of that. Each page comes from the program's file and is copied when it is
//! first written to; once there is a second thread, every processor that runs one is interrupted for each copy, which is a quarter
//! of V8's start. While there is one thread, all of it in one call costs tens of microseconds.

use nix::libc;

#[expect(unsafe_code, reason = "the linker's symbols have no other interface")]
unsafe extern "C" {
    /// Where the data begins (`crt1.o` of glibc).
    static __data_start: u8;
    /// The first byte behind it, and behind what begins as zeros (ld(1)).
    static _end: u8;
}

/// Makes the pages of the program's data its own. For a process that has one thread; what can't be had is had later, page by page.
pub(crate) fn take() {
    // What the kernel has pages of, at least.
    const PAGE: usize = 4096;
    let first = (&raw const __data_start).addr() & !(PAGE - 1);
    let bytes = (&raw const _end).addr().saturating_sub(first);
    #[expect(unsafe_code, reason = "no safe library of ours asks for it")]
    // SAFETY: MADV_POPULATE_WRITE (madvise(2), Linux 5.14) changes no byte of any memory; elsewhere it is an error.
    let _it_is_a_wish = unsafe {
        libc::madvise(
            std::ptr::with_exposed_provenance_mut(first),
            bytes,
            libc::MADV_POPULATE_WRITE,
        )
    };
}
