//! Looks after a build while it runs: tells how it fares, measures what each action uses, and names one that is stuck.
//!
//! An action's processes are those that the executor lists in a census, behind walls or not. What is found out adds to what is known of
//! an action and decides nothing.
//!
//! **Invariants:** a build that is over within [`LOOK_EVERY`] costs nothing here. Looking takes at most a fiftieth of a processor.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use zako_exec::{Census, Pulse, Sources};

use super::Machinery;
use super::printed::Printed;
use crate::event::{ActionName, BuildEvent, BuildHealth, millis};

/// How often the processes of actions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many times as long as a look takes is waited until the next.
const REST_FACTOR: u32 = 50;

/// How often it is told how a build fares, if that changed.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// After how long without output and without using a processor an action is called stuck.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(60);

/// The actions that run, by their scratch folders, and their processes.
#[derive(Debug, Default)]
pub(super) struct Running {
    patients: Mutex<HashMap<PathBuf, Patient>>,
    pub(super) census: Census,
}

#[derive(Debug)]
struct Patient {
    action: ActionName,
    printed: Arc<Printed>,
    /// What was seen of it last: output and processor time, `None` before its process was seen.
    seen: Option<(u64, u64)>,
    since: Instant,
    peak_bytes: u64,
    is_told: bool,
}

impl Patient {
    /// Takes note of a look at it; whether it has just been still for `limit`.
    fn look(&mut self, pulse: &Pulse, now: Instant, limit: Duration) -> bool {
        self.peak_bytes = self.peak_bytes.max(pulse.peak_bytes);
        let seen = (self.printed.written(), pulse.cpu_ticks);
        if self.seen != Some(seen) {
            (self.seen, self.since, self.is_told) = (Some(seen), now, false);
            return false;
        }
        let is_stuck = now.saturating_duration_since(self.since) >= limit;
        is_stuck && !std::mem::replace(&mut self.is_told, true)
    }
}

impl Running {
    /// `action` begins to run in `scratch`.
    pub(super) fn begin(&self, scratch: &Path, action: ActionName, printed: Arc<Printed>) {
        let patient = Patient {
            action,
            printed,
            seen: None,
            since: Instant::now(),
            peak_bytes: 0,
            is_told: false,
        };
        self.patients.lock().insert(scratch.to_owned(), patient);
    }

    /// It begins anew: what was seen of it is of another process.
    pub(super) fn again(&self, scratch: &Path) {
        if let Some(patient) = self.patients.lock().get_mut(scratch) {
            (patient.seen, patient.is_told) = (None, false);
        }
    }

    /// It has ended: the most memory that it was seen to hold at once, in bytes; zero if it was never looked at.
    pub(super) fn end(&self, scratch: &Path) -> u64 {
        self.patients
            .lock()
            .remove(scratch)
            .map_or(0, |patient| patient.peak_bytes)
    }

    /// Those that have just become stuck, with how long they have been still.
    fn look(&self, pulses: &[(PathBuf, Pulse)], limit: Duration) -> Vec<(ActionName, Duration)> {
        let now = Instant::now();
        let mut stuck = Vec::new();
        let mut patients = self.patients.lock();
        for (scratch, pulse) in pulses {
            if let Some(patient) = patients.get_mut(scratch)
                && patient.look(pulse, now, limit)
            {
                stuck.push((patient.action.clone(), now - patient.since));
            }
        }
        stuck
    }

    fn is_empty(&self) -> bool {
        self.patients.lock().is_empty()
    }
}

/// Looks after the actions of one build until it is [ended](Self::end) or dropped.
pub(super) struct HealthWatch(tokio::task::JoinHandle<()>);

impl HealthWatch {
    /// Ends it, and waits until it has let go of what it was given.
    pub(super) async fn end(mut self) {
        self.0.abort();
        let _it_was_aborted = (&mut self.0).await;
    }
}

impl Drop for HealthWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to look after what `running` lists. It is not given the workshop: whoever holds that holds the ledger, which has to be free
/// when a build has ended.
pub(super) fn watch(
    running: Arc<Running>,
    machinery: Arc<Machinery>,
    stuck_after: Duration,
    events: mpsc::Sender<BuildEvent>,
) -> HealthWatch {
    HealthWatch(tokio::spawn(look_after(
        running,
        machinery,
        stuck_after,
        events,
    )))
}

async fn look_after(
    running: Arc<Running>,
    machinery: Arc<Machinery>,
    stuck_after: Duration,
    events: mpsc::Sender<BuildEvent>,
) {
    let mut rest = LOOK_EVERY;
    let mut told: Option<(Instant, BuildHealth)> = None;
    loop {
        tokio::time::sleep(rest).await;
        let now = Instant::now();
        if told.as_ref().is_none_or(|(at, _)| now - *at >= TELL_EVERY) {
            let health = machinery.health();
            if told.as_ref().is_none_or(|(_, before)| *before != health) {
                let _nobody_listens = events.send(BuildEvent::Health(health.clone())).await;
            }
            told = Some((now, health));
        }
        if running.is_empty() {
            rest = LOOK_EVERY;
            continue;
        }
        let census = running.census.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            (census.pulses(&Sources::default()), began.elapsed())
        });
        let Ok((pulses, took)) = looked.await else {
            return;
        };
        rest = (took * REST_FACTOR).max(LOOK_EVERY);
        for (action, still) in running.look(&pulses, stuck_after) {
            let still_ms = millis(still);
            let stuck = BuildEvent::ActionStuck { action, still_ms };
            let _nobody_listens = events.send(stuck).await;
        }
    }
}

impl Machinery {
    /// How everything fares that runs actions.
    pub(crate) fn health(&self) -> BuildHealth {
        let pool = self.pool.state();
        let workers = self.workers.state();
        let busy = workers.workers.iter().filter(|worker| worker.in_flight > 0);
        BuildHealth {
            waiting: pool.waiting,
            running: pool.grants,
            granted: pool.granted,
            cpu_millis: pool.in_use.cpu_millis,
            memory_bytes: pool.in_use.memory_bytes,
            memory_left: pool.weather.map(|weather| weather.headroom),
            memory_stalled: pool.weather.is_some_and(|weather| weather.is_stalled),
            waits_for_memory: pool.waits_for_memory,
            lent_jobs: self.lent_jobs(),
            busy_workers: busy.count(),
            workers: workers.workers.len(),
            workers_started: workers.started,
            workers_broken: workers.broken,
            workers_avoided: workers.avoided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn still_means_no_output_and_no_processor_time() {
        let running = Running::default();
        let printed = Arc::new(Printed::default());
        let action = ActionName {
            id: 3,
            owner: "//a".to_owned(),
            mnemonic: "m".to_owned(),
            message: "m".to_owned(),
        };
        running.begin(Path::new("/ws/.zako/exec/a"), action, printed.clone());
        let pulse = |cpu_ticks: u64, peak_bytes: u64| {
            let pulse = Pulse {
                cpu_ticks,
                resident_bytes: 3,
                peak_bytes,
            };
            (PathBuf::from("/ws/.zako/exec/a"), pulse)
        };
        let look = |pulse| running.look(&[pulse], Duration::ZERO).len();
        // Seen for the first time, then still: told once.
        assert_eq!(
            (look(pulse(1, 5)), look(pulse(1, 9)), look(pulse(1, 7))),
            (0, 1, 0)
        );
        // It goes on, and stops again.
        assert_eq!((look(pulse(2, 5)), look(pulse(2, 5))), (0, 1));
        printed.push(b"x");
        assert_eq!((look(pulse(2, 5)), look(pulse(2, 5))), (0, 1));
        assert!(running.look(&[pulse(2, 5)], Duration::MAX).is_empty());
        let other = (PathBuf::from("/ws/.zako/exec/ab"), pulse(9, 999).1);
        assert_eq!(look(other), 0);
        assert_eq!(running.end(Path::new("/ws/.zako/exec/a")), 9);
        assert!(running.is_empty());
    }
}
