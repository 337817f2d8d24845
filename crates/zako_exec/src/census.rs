//! Which processes are whose: the actions that run, with the leaders of what was started for them.
//!
//! A leader's pid is told by the launcher, so an action is found in whatever namespaces it is, and whatever it makes of its
//! folders and its environment.
//!
//! It must never know what is done with what it counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::control_group::ControlGroup;
use crate::pressure::{Crew, Pulse, Sources};

/// The processes of actions, by the scratch folders of these. Clones are the same census.
#[derive(Clone, Debug, Default)]
pub struct Census(Arc<Mutex<HashMap<PathBuf, Leader>>>);

/// Of what was started for an action.
#[derive(Debug)]
struct Leader {
    pid: u32,
    control: Option<Arc<ControlGroup>>,
    /// Whether it works for other actions as well, or did before: what it holds is not this one's alone.
    is_shared: bool,
}

impl Census {
    /// What each action uses now whose processes are known, by its scratch folder. Of one that a persistent worker does that is what
    /// the worker uses, for whomever, and no peak. Takes a millisecond or so for each
    /// hundred processes of the machine; empty where there is no `/proc`.
    #[must_use]
    pub fn pulses(&self, sources: &Sources) -> Vec<(PathBuf, Pulse)> {
        let mut crews: Vec<Crew> = Vec::new();
        let listed: Vec<(PathBuf, usize, bool)> = {
            let leaders = self.0.lock();
            let crew = |(scratch, leader): (&PathBuf, &Leader)| {
                let known = crews.iter().position(|crew| crew.leader == leader.pid);
                let at = known.unwrap_or_else(|| {
                    let control = leader.control.as_ref();
                    crews.push(Crew {
                        leader: leader.pid,
                        listed: control.map_or_else(Vec::new, |control| control.members()),
                    });
                    crews.len() - 1
                });
                (scratch.clone(), at, leader.is_shared)
            };
            leaders.iter().map(crew).collect()
        };
        let pulses = sources.pulses(&crews);
        let pulse = |(scratch, at, is_shared): (PathBuf, usize, bool)| {
            let mut pulse = (*pulses.get(at)?)?;
            if is_shared {
                pulse.peak_bytes = 0;
            }
            Some((scratch, pulse))
        };
        listed.into_iter().filter_map(pulse).collect()
    }

    /// The action with this scratch folder has a leader, until what is given is dropped: not later than it is collected, by
    /// which its pid may become another's.
    pub(crate) fn enter(
        &self,
        scratch: &Path,
        leader: u32,
        control: Option<&Arc<ControlGroup>>,
    ) -> Entered {
        let leader = Leader {
            pid: leader,
            control: control.cloned(),
            is_shared: false,
        };
        self.list(scratch, leader)
    }

    /// The same for a process that does several actions, one after the other or at once: whether it is still shows, its peak is
    /// nobody's.
    pub(crate) fn enter_shared(&self, scratch: &Path, leader: u32) -> Entered {
        let leader = Leader {
            pid: leader,
            control: None,
            is_shared: true,
        };
        self.list(scratch, leader)
    }

    fn list(&self, scratch: &Path, leader: Leader) -> Entered {
        self.0.lock().insert(scratch.to_owned(), leader);
        Entered {
            census: self.clone(),
            scratch: scratch.to_owned(),
        }
    }
}

/// An entry of a census.
#[derive(Debug)]
pub(crate) struct Entered {
    census: Census,
    scratch: PathBuf,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.census.0.lock().remove(&self.scratch);
    }
}
