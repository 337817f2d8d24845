//! Where a pool's threads come from.

use std::io;

/// Starts threads for a pool. V8's come from its root thread (see `platform`), others from anywhere.
pub trait Spawn: Send + Sync + 'static {
    /// Starts a thread named `name` with a stack of `stack_bytes` that runs `body`.
    fn spawn(
        &self,
        name: &'static str,
        stack_bytes: usize,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<()>;
}

/// Starts plain threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadSpawner;

impl Spawn for ThreadSpawner {
    fn spawn(
        &self,
        name: &'static str,
        stack_bytes: usize,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<()> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(stack_bytes)
            .spawn(body)
            .map(drop)
    }
}
