//! A bound on what typed arrays take: V8 keeps them outside the heap, where the heap's limit does not count.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deno_core::v8;

/// Alignment of every buffer: enough for any typed array.
const ALIGN: usize = 16;

/// Bytes that may still be allocated.
struct Budget(AtomicUsize);

impl Budget {
    fn take(&self, len: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(len)
            })
            .is_ok()
    }
}

/// An allocator that gives `limit` bytes at most; beyond it, a script gets a `RangeError`.
pub(super) fn allocator(limit: usize) -> v8::UniqueRef<v8::Allocator> {
    let budget = Arc::new(Budget(AtomicUsize::new(limit)));
    #[expect(unsafe_code, reason = "V8's allocator interface is raw")]
    // SAFETY: the handle is an `Arc` given up here and taken back once, in `drop_budget`, which V8 calls last.
    unsafe {
        v8::new_rust_allocator(Arc::into_raw(budget), &VTABLE)
    }
}

static VTABLE: v8::RustAllocatorVtable<Budget> = v8::RustAllocatorVtable {
    allocate,
    allocate_uninitialized,
    free,
    drop: drop_budget,
};

fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len.max(1), ALIGN).ok()
}

#[expect(unsafe_code, reason = "V8's allocator interface is raw")]
unsafe extern "C" fn allocate(budget: &Budget, len: usize) -> *mut c_void {
    match layout(len) {
        // SAFETY: the layout has a size of at least 1.
        Some(layout) if budget.take(len) => unsafe { alloc_zeroed(layout).cast() },
        _ => std::ptr::null_mut(),
    }
}

#[expect(unsafe_code, reason = "V8's allocator interface is raw")]
unsafe extern "C" fn allocate_uninitialized(budget: &Budget, len: usize) -> *mut c_void {
    match layout(len) {
        // SAFETY: the layout has a size of at least 1.
        Some(layout) if budget.take(len) => unsafe { alloc(layout).cast() },
        _ => std::ptr::null_mut(),
    }
}

#[expect(unsafe_code, reason = "V8's allocator interface is raw")]
unsafe extern "C" fn free(budget: &Budget, data: *mut c_void, len: usize) {
    if let Some(layout) = layout(len) {
        // SAFETY: V8 gives back what `allocate*` gave it, with the same length, so the layout is the same.
        unsafe { dealloc(data.cast(), layout) };
        budget.0.fetch_add(len, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "V8's allocator interface is raw")]
unsafe extern "C" fn drop_budget(budget: *const Budget) {
    // SAFETY: the pointer is the `Arc` that `allocator` gave up, and V8 calls this once.
    drop(unsafe { Arc::from_raw(budget) });
}
