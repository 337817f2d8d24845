//! What stands for the jobserver on Windows, where make's is a named semaphore: the same names, and nothing is lent.

use std::io;
use std::path::Path;

use crate::ResourcePool;

/// How children would be told of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStyle {
    /// By its path.
    Fifo,
    /// By two descriptors.
    Pipe,
}

/// Lends nothing.
#[derive(Clone, Debug)]
pub struct JobServer;

impl JobServer {
    /// One that lends nothing.
    ///
    /// # Errors
    /// None.
    pub fn new(_pool: ResourcePool, _folder: &Path) -> io::Result<Self> {
        Ok(Self)
    }

    /// What is lent to one piece of work.
    ///
    /// # Errors
    /// Always.
    pub fn session(&self) -> io::Result<JobSession> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nothing.
    #[must_use]
    pub fn lent(&self) -> usize {
        0
    }
}

/// What is lent to one piece of work: there is no such thing.
#[derive(Debug)]
pub enum JobSession {}

impl JobSession {
    /// The named pipe.
    #[must_use]
    pub fn path(&self) -> &Path {
        match *self {}
    }

    /// What the work needs in its environment as `MAKEFLAGS`.
    #[must_use]
    pub fn makeflags(&self, _style: JobStyle) -> String {
        match *self {}
    }

    /// The command that opens the pipe.
    #[must_use]
    pub fn wrap(&self, _argv: &[String]) -> Vec<String> {
        match *self {}
    }

    pub(crate) fn wrap_at(_pipe: &Path, argv: &[String]) -> Vec<String> {
        argv.to_vec()
    }
}
