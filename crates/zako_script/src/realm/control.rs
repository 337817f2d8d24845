//! Stopping a script from outside: its limits, a cancellation, and the stack it stood on.
//!
//! A stop goes by V8's interrupts, not by plain termination: the interrupt runs on the script's own thread
//! at its next safe point, notes the stack, and only then terminates.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use deno_core::{JsRuntime, v8};
use parking_lot::Mutex;

use super::Limits;
use super::ops::JsPlace;
use crate::engine::{GcEvent, GcHook};

/// How many frames of a stopped script are noted.
const MAX_FRAMES: usize = 30;

/// Why a script was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum StopReason {
    Timeout = 1,
    Cancelled = 2,
    HeapLimit = 3,
}

/// One evaluation's stop button, shared by the script's thread and whoever watches it.
pub(crate) struct Control {
    reason: AtomicU8,
    isolate: Mutex<Option<v8::IsolateHandle>>,
    stack: Mutex<Vec<(Option<String>, JsPlace)>>,
    collections: AtomicU32,
    gc_hook: Option<GcHook>,
    limits: Limits,
    used_before_gc: Mutex<usize>,
}

/// The context in which an interrupt looks at the stack; in a slot of the isolate.
struct StackContext(v8::Global<v8::Context>);

impl Control {
    pub(crate) fn new(gc_hook: Option<GcHook>, limits: Limits) -> Arc<Control> {
        Arc::new(Control {
            reason: AtomicU8::new(0),
            isolate: Mutex::new(None),
            stack: Mutex::new(Vec::new()),
            collections: AtomicU32::new(0),
            gc_hook,
            limits,
            used_before_gc: Mutex::new(0),
        })
    }

    /// Why the script was stopped, if it was.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        match self.reason.load(Ordering::SeqCst) {
            1 => Some(StopReason::Timeout),
            2 => Some(StopReason::Cancelled),
            3 => Some(StopReason::HeapLimit),
            _ => None,
        }
    }

    /// The bounds that it is stopped at.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The stack where it was stopped, innermost first.
    pub(crate) fn stack(&self) -> Vec<(Option<String>, JsPlace)> {
        self.stack.lock().clone()
    }

    /// How many garbage collections ran.
    pub(crate) fn collections(&self) -> u32 {
        self.collections.load(Ordering::Relaxed)
    }

    /// Stops the script, from any thread, whether it runs yet or not. The first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        let _ = self
            .reason
            .compare_exchange(0, reason as u8, Ordering::SeqCst, Ordering::SeqCst);
        // Held over the request, so that the isolate cannot go meanwhile.
        let isolate = self.isolate.lock();
        if let Some(handle) = &*isolate {
            handle.request_interrupt(interrupted, std::ptr::from_ref(self).cast_mut().cast());
        }
    }

    /// Asks the script's isolate to give back memory at its next safe point; nothing if it does not run.
    pub(crate) fn relieve(&self) {
        if let Some(handle) = &*self.isolate.lock() {
            handle.request_interrupt(relieved, std::ptr::null_mut());
        }
    }

    /// Binds the stop button to the isolate, on its thread.
    pub(super) fn attach(self: &Arc<Self>, runtime: &mut JsRuntime) {
        let context = runtime.main_context();
        let isolate = runtime.v8_isolate();
        isolate.set_slot(StackContext(context));
        let data: *mut c_void = Arc::as_ptr(self).cast_mut().cast();
        isolate.add_near_heap_limit_callback(near_heap_limit, data);
        isolate.add_gc_prologue_callback(gc_begins, data, v8::GCType::kGCTypeAll);
        isolate.add_gc_epilogue_callback(gc_ended, data, v8::GCType::kGCTypeAll);
        *self.isolate.lock() = Some(isolate.thread_safe_handle());
        if let Some(reason) = self.reason() {
            self.stop(reason);
        }
    }

    /// Lets go of the isolate, before it is dropped: no stop reaches it after.
    pub(super) fn detach(&self) {
        *self.isolate.lock() = None;
    }
}

#[expect(unsafe_code, reason = "V8 calls back with raw pointers")]
unsafe extern "C" fn interrupted(isolate: v8::UnsafeRawIsolatePtr, data: *mut c_void) {
    // SAFETY: `data` is the `Control` that requested the interrupt. The realm that runs on this thread holds an
    // `Arc` of it until the isolate is gone, and V8 calls back only while the isolate lives.
    let control = unsafe { &*data.cast::<Control>() };
    // SAFETY: V8 passes the isolate that is entered on this thread.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    let context = isolate
        .get_slot::<StackContext>()
        .map(|slot| slot.0.clone());
    if let Some(context) = context {
        v8::scope_with_context!(let scope, &mut isolate, &context);
        if let Some(trace) = v8::StackTrace::current_stack_trace(scope, MAX_FRAMES) {
            *control.stack.lock() = (0..trace.get_frame_count())
                .filter_map(|at| {
                    let frame = trace.get_frame(scope, at)?;
                    let place = JsPlace {
                        url: frame.get_script_name(scope)?.to_rust_string_lossy(scope),
                        line: u32::try_from(frame.get_line_number()).unwrap_or(0),
                        column: u32::try_from(frame.get_column()).unwrap_or(0),
                    };
                    let function = frame
                        .get_function_name(scope)
                        .map(|name| name.to_rust_string_lossy(scope));
                    Some((function.filter(|name| !name.is_empty()), place))
                })
                .collect();
        }
    }
    isolate.terminate_execution();
}

#[expect(unsafe_code, reason = "V8 calls back with raw pointers")]
unsafe extern "C" fn relieved(isolate: v8::UnsafeRawIsolatePtr, _data: *mut c_void) {
    // SAFETY: V8 passes the isolate that is entered on this thread.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    isolate.low_memory_notification();
}

#[expect(unsafe_code, reason = "V8 calls back with raw pointers")]
unsafe extern "C" fn near_heap_limit(data: *mut c_void, current: usize, _initial: usize) -> usize {
    // SAFETY: as in `interrupted`.
    let control = unsafe { &*data.cast::<Control>() };
    control.stop(StopReason::HeapLimit);
    // Room to reach the next safe point; V8 ends the process when the answer is not larger.
    current.saturating_mul(2)
}

#[expect(unsafe_code, reason = "V8 calls back with raw pointers")]
unsafe extern "C" fn gc_begins(
    isolate: v8::UnsafeRawIsolatePtr,
    _kind: v8::GCType,
    _flags: v8::GCCallbackFlags,
    data: *mut c_void,
) {
    // SAFETY: as in `interrupted`.
    let control = unsafe { &*data.cast::<Control>() };
    if control.gc_hook.is_some() {
        // SAFETY: as in `interrupted`.
        let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
        *control.used_before_gc.lock() = isolate.get_heap_statistics().used_heap_size();
    }
}

#[expect(unsafe_code, reason = "V8 calls back with raw pointers")]
unsafe extern "C" fn gc_ended(
    isolate: v8::UnsafeRawIsolatePtr,
    kind: v8::GCType,
    _flags: v8::GCCallbackFlags,
    data: *mut c_void,
) {
    // SAFETY: as in `interrupted`.
    let control = unsafe { &*data.cast::<Control>() };
    control.collections.fetch_add(1, Ordering::Relaxed);
    // SAFETY: as in `interrupted`.
    let mut isolate = unsafe { v8::Isolate::from_raw_isolate_ptr(isolate) };
    let heap = isolate.get_heap_statistics();
    // Resizable buffers do not come from the realm's allocator, which bounds all others.
    if heap.external_memory() > control.limits.heap_bytes {
        control.stop(StopReason::HeapLimit);
    }
    if let Some(hook) = &control.gc_hook {
        hook(&GcEvent {
            full: kind == v8::GCType::kGCTypeMarkSweepCompact,
            used_before: *control.used_before_gc.lock(),
            used_after: heap.used_heap_size(),
            committed: heap.total_physical_size(),
            limit: heap.heap_size_limit(),
        });
    }
}
