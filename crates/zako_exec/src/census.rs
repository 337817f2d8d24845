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
}

impl Census {
    /// What each action uses now whose processes are known, by its scratch folder. Takes a millisecond or so for each
    /// hundred processes of the machine; empty where there is no `/proc`.
    #[must_use]
    pub fn pulses(&self, sources: &Sources) -> Vec<(PathBuf, Pulse)> {
        let listed: Vec<(PathBuf, Crew)> = {
            let leaders = self.0.lock();
            let crew = |(scratch, leader): (&PathBuf, &Leader)| {
                let control = leader.control.as_ref();
                let crew = Crew {
                    leader: leader.pid,
                    listed: control.map_or_else(Vec::new, |control| control.members()),
                };
                (scratch.clone(), crew)
            };
            leaders.iter().map(crew).collect()
        };
        let (scratches, crews): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        let pulses = sources.pulses(&crews);
        let found = scratches.into_iter().zip(pulses);
        found
            .filter_map(|(scratch, pulse)| Some((scratch, pulse?)))
            .collect()
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
        };
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
