//! What the end-to-end cases stand on: workspaces in temporary folders, and the real `zako` run in them.
//!
//! **Invariants:** a case shares nothing with another (own workspace, own store, own home, cleared environment); nothing
//! waits without a deadline; a failing assertion shows the command and all that it printed.

mod binary;
mod fifo;
mod outcome;
mod running;
mod workspace;

pub use binary::{embed, repository, zako};
pub use fifo::Fifo;
pub use outcome::{Event, Outcome};
pub use running::{Running, run, runs_with};
pub use workspace::Workspace;
