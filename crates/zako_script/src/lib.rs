//! The script platform: TypeScript build files in embedded V8.
//!
//! What goes in: modules as text ([`Transpiler`], [`ModuleSet`]) and a [`Host`] that answers what they
//! call. What comes out: what a module exports, as [`Value`]s, or a [`ScriptError`] with the author's own places.
//!
//! Knows no workspace, target or action: packages, labels and lowering are above. Never reads a file.

pub mod engine;
pub mod error;
pub mod inspect;
pub mod module;
pub mod pool;
pub mod value;

mod builtin;
mod platform;
mod realm;
mod resident;
mod transpile;

pub use builtin::{
    BUILTINS_IDENTITY, Builtin, BuiltinRegistry, builtin_exports, declarations, nearest,
};
pub use engine::{
    Evaluated, Evaluation, GcEvent, GcHook, Host, HostCall, LogLevel, ScriptEngine,
    ScriptEngineOptions,
};
pub use error::{Frame, Place, ScriptError, ScriptErrorKind};
pub use inspect::{Debugger, Profiler, Waiting};
pub use module::{CompiledModule, ModuleKind, ModuleSet, Specifier};
pub use platform::begin;
pub use realm::ops::HostFailure;
pub use realm::{Limits, Usage};
pub use transpile::{
    AttributeStep, Export, Import, TranspileRequest, Transpiled, Transpiler, declare,
};
pub use value::{ArgsPart, ArtifactRef, DepsetRef, TargetRef, Value};
