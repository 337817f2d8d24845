//! Walls around actions.
mod walls;
pub(crate) use walls::Walls;
