//! What stands for the jobserver's client on Windows, where make's is a named semaphore: not spoken yet.

use tokio_util::sync::CancellationToken;

use super::Auth;

/// Why the jobserver that MAKEFLAGS names can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JobClientError {
    /// It is one of Windows, or of a make that believes to be elsewhere.
    #[error("zako does not take part in make's jobserver on Windows")]
    NotSpoken,
}

/// A place among the jobs of whoever started this process, which can't be had.
#[derive(Clone, Debug)]
pub enum JobClient {}

/// Leave to run one job, which nobody gives.
#[derive(Debug)]
#[must_use = "dropping a token gives it back"]
pub enum JobToken {}

impl JobClient {
    /// `None` when `makeflags` (the value of MAKEFLAGS) names no jobserver.
    ///
    /// # Errors
    /// When it names one: a warning is in order, and to go on without.
    pub fn of(makeflags: &str) -> Result<Option<Self>, JobClientError> {
        let is_named = Auth::of(makeflags).is_some() || makeflags.contains("--jobserver-auth=");
        match is_named {
            true => Err(JobClientError::NotSpoken),
            false => Ok(None),
        }
    }

    /// There is nobody to ask.
    #[expect(clippy::unused_async, reason = "it is elsewhere")]
    pub async fn acquire(&self, _cancel: &CancellationToken) -> Option<JobToken> {
        match *self {}
    }
}
