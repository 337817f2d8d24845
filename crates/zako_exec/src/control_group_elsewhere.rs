//! What stands for control groups on systems that have none: the same names, and nobody gets one.

#[cfg(unix)]
use std::time::Instant;

#[cfg(unix)]
use rustix::process::{Pid, Signal};

use crate::isolation::{Groups, Lack};

/// What the processes of an action may use together, where that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupLimits {
    pub(crate) memory: Option<u64>,
    pub(crate) tasks: u64,
    pub(crate) cpu_millis: u32,
}

/// The control groups of the actions of one process, of which there are none.
#[derive(Clone, Debug, Default)]
pub struct ControlGroups;

impl ControlGroups {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Why there are none.
    #[must_use]
    pub fn capabilities(&self) -> Groups {
        let lack = Lack {
            what: "there are control groups on Linux only".to_owned(),
            cure: "limit processes one by one, by `ulimit` in the action".to_owned(),
        };
        Groups {
            place: Err(lack.clone()),
            limits: Err(lack),
        }
    }

    pub(crate) fn take(&self, limits: Option<&GroupLimits>) -> Option<ControlGroup> {
        if let Some(limits) = limits {
            tracing::debug!(?limits, "not to be had here");
        }
        None
    }
}

/// Nothing needs to be done.
pub fn step_aside() {}

/// An action's group, which is never there.
#[derive(Debug)]
pub(crate) enum ControlGroup {}

impl ControlGroup {
    pub(crate) fn members(&self) -> Vec<u32> {
        match *self {}
    }

    #[cfg(unix)]
    pub(crate) fn signal_others(&self, _leader: Pid, _signal: Signal) {
        match *self {}
    }

    #[cfg(unix)]
    pub(crate) fn kill(&self) {
        match *self {}
    }

    #[cfg(unix)]
    pub(crate) async fn emptied(&self, _deadline: Instant) {
        match *self {}
    }

    #[cfg(unix)]
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        match *self {}
    }
}
