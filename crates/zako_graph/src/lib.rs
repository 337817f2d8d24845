//! Demand-driven incremental computation.
//!
//! A [`Key`] says what can be asked and how it is computed; an [`Engine`] keeps what was computed, with
//! what each computation asked for, and computes again only what a change reaches:
//!
//! - Each [`Engine::begin`] opens a revision. Leaves ([`Key::LEAF`]) are read again once in each
//!   revision that asks for them; anything else only when something that it asked for has changed, which is
//!   checked in the order of asking and stops at the first change.
//! - A value that comes out the [`same`](Key::same) as before leaves those who asked for it alone.
//! - Two askers share one computation, also across requests. A computation whose last asker is gone
//!   is aborted.
//! - A cycle is an error with the whole path, for each key on it, also when the computations on it run
//!   at the same time. A panic is an error for the askers. Neither is kept beyond its revision, nor is what
//!   is [transient](Ctx::mark_transient), nor anything computed from those.
//! - What is known can outlive the process: see [`Engine::keep`], [`Engine::restore`] and [`archive`].
//! - Each node is a task of its own, so depth costs memory and no stack.
//!
//! Must never know: a path, a digest, a process, or any other zako crate.
//!
//! ```
//! use zako_graph::{Ctx, Data, Engine, EngineOptions, GraphError, Key};
//!
//! /// The length of a text: a leaf.
//! #[derive(Clone, Debug, PartialEq, Eq, Hash)]
//! struct Length(&'static str);
//!
//! impl Key for Length {
//!     type Value = usize;
//!     const LEAF: bool = true;
//!
//!     async fn compute(&self, _: &Ctx) -> usize {
//!         self.0.len()
//!     }
//! }
//!
//! /// The sum of two lengths.
//! #[derive(Clone, Debug, PartialEq, Eq, Hash)]
//! struct Sum(&'static str, &'static str);
//!
//! impl Key for Sum {
//!     type Value = Result<usize, GraphError>;
//!
//!     async fn compute(&self, ctx: &Ctx) -> Self::Value {
//!         Ok(ctx.get_all([Length(self.0), Length(self.1)]).await?.into_iter().sum())
//!     }
//! }
//!
//! let runtime = tokio::runtime::Runtime::new().expect("a runtime");
//! let engine = Engine::new(runtime.handle().clone(), EngineOptions::default());
//! let request = engine.begin(Data::new());
//! assert_eq!(runtime.block_on(request.get(&Sum("a", "bcd"))), Ok(Ok(4)));
//! ```

pub mod archive;
mod ask;
mod confirm;
mod ctx;
mod data;
mod dependents;
mod engine;
mod error;
mod event;
mod flight;
mod held;
mod keep;
mod kept;
mod key;
#[cfg(test)]
mod model;
mod request;
mod restore;
mod revision;
mod store;
mod sync;
mod task;
mod waits;
mod why;

pub use confirm::{Changed, KnownLeaf};
pub use ctx::Ctx;
pub use data::Data;
pub use engine::{Engine, EngineOptions};
pub use error::GraphError;
pub use event::{EngineEvent, EventKind, Observer};
pub use keep::Footprint;
pub use kept::{Codecs, Encoded, Kept, fingerprint};
pub use key::Key;
pub use request::Request;
pub use revision::Revision;
pub use why::{Cause, Why};
