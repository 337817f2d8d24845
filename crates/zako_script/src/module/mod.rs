//! Modules as the engine knows them before any of them runs: what they are called, what they may
//! import, and the closed set that one evaluation is given.
//!
//! Nothing here touches V8 or the file system.

mod facade;
mod kind;
mod set;
mod specifier;

pub use facade::{package_facade, script_facade};
pub use kind::{Importable, ModuleKind};
pub use set::{CompiledModule, ModuleSet};
pub use specifier::{ResolveFault, Specifier};
