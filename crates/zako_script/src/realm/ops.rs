//! The two operations through which a script reaches the engine, and nothing else.
//!
//! This file is compiled twice: into the crate, and into `build.rs`, which needs the same
//! operation table to make the snapshot. So it knows `deno_core` and nothing of zako.
//!
//! **Invariant:** what a script can do to the outside is what the [`HostCalls`] in the realm's
//! state answers; a realm without one (as in the snapshot) refuses every call.

use std::cell::RefCell;
use std::rc::Rc;

use deno_core::{OpState, op2, v8};
use deno_error::JsErrorBox;

/// How many frames of the stack are searched for the caller's own code.
const MAX_CALLER_FRAMES: usize = 64;

/// A place in a module's JavaScript, as V8 sees it: URL, line and column from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsPlace {
    /// The module's URL.
    pub url: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// What a script's call of a builtin reaches, on the thread that runs the script.
pub(crate) trait HostCalls: Send {
    /// Answers the call `name` with JSON text; `args` is JSON text too. `caller` is the innermost place in the
    /// user's own code, for calls that ask for it.
    fn call(
        &mut self,
        name: &str,
        args: &str,
        caller: Option<JsPlace>,
    ) -> Result<String, HostFailure>;
    /// The same for file contents: takes and gives bytes beside the JSON arguments.
    fn bytes(&mut self, name: &str, args: &str, data: &[u8]) -> Result<Vec<u8>, HostFailure>;
}

/// Why a host call failed; becomes a JavaScript `TypeError` or `Error` at the caller's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFailure {
    /// The error's message, for the script's author.
    pub message: String,
    /// Whether the call itself was wrong (`TypeError`) rather than what it met (`Error`).
    pub misuse: bool,
}

/// The realm's slot for its host; empty while the snapshot is made.
#[derive(Default)]
pub(crate) struct HostSlot(pub Option<Box<dyn HostCalls>>);

fn with_host<T>(
    state: &mut OpState,
    call: impl FnOnce(&mut dyn HostCalls) -> Result<T, HostFailure>,
) -> Result<T, JsErrorBox> {
    let host = state
        .try_borrow_mut::<HostSlot>()
        .and_then(|slot| slot.0.as_deref_mut());
    let Some(host) = host else {
        return Err(JsErrorBox::type_error("this call has no host here"));
    };
    call(host).map_err(|failure| {
        if failure.misuse {
            JsErrorBox::type_error(failure.message)
        } else {
            JsErrorBox::generic(failure.message)
        }
    })
}

#[op2]
#[string]
fn op_zako_call(
    state: &mut OpState,
    #[string] name: &str,
    #[string] args: &str,
) -> Result<String, JsErrorBox> {
    with_host(state, |host| host.call(name, args, None))
}

#[op2]
#[string]
fn op_zako_call_at(
    scope: &mut v8::PinScope<'_, '_>,
    state: Rc<RefCell<OpState>>,
    #[string] name: &str,
    #[string] args: &str,
) -> Result<String, JsErrorBox> {
    let caller = user_place(scope);
    with_host(&mut state.borrow_mut(), |host| {
        host.call(name, args, caller)
    })
}

/// The innermost frame that is neither zako's nor V8's own.
fn user_place(scope: &mut v8::PinScope<'_, '_>) -> Option<JsPlace> {
    let trace = v8::StackTrace::current_stack_trace(scope, MAX_CALLER_FRAMES)?;
    (0..trace.get_frame_count()).find_map(|at| {
        let frame = trace.get_frame(scope, at)?;
        let url = frame.get_script_name(scope)?.to_rust_string_lossy(scope);
        is_user_url(&url).then(|| JsPlace {
            url,
            line: u32::try_from(frame.get_line_number()).unwrap_or(0),
            column: u32::try_from(frame.get_column()).unwrap_or(0),
        })
    })
}

/// Whether the module at `url` was written by a user rather than being a builtin.
pub(crate) fn is_user_url(url: &str) -> bool {
    url.starts_with("workspace:") || url.starts_with("memory:")
}

#[op2]
#[buffer]
fn op_zako_bytes(
    state: &mut OpState,
    #[string] name: &str,
    #[string] args: &str,
    #[buffer] data: &[u8],
) -> Result<Vec<u8>, JsErrorBox> {
    with_host(state, |host| host.bytes(name, args, data))
}

deno_core::extension!(zako, ops = [op_zako_call, op_zako_call_at, op_zako_bytes]);
