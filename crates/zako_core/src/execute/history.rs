//! What each action took when it last ran: for the plan's critical path and for admission. Kept in
//! `.zako/state/history`; losing it costs only order.
//!
//! ```text
//! for each action: name (16 bytes)  duration in microseconds (u64)  peak memory in bytes (u64)
//! ```

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use zako_action::{ActionSpec, Usage};

use super::PlannedAction;
use crate::files::{Decoder, Encoder, Format};

const FORMAT: Format = Format {
    kind: "history",
    version: 1,
};

/// How many actions are remembered.
const MAX_ACTIONS: usize = 1 << 20;

/// Memory that an action is taken to need before it ever ran, in bytes.
pub(super) const UNKNOWN_MEMORY: u64 = 128 << 20;

/// The same action in every build: owner and first output, hashed; told apart by a number where that is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StableName([u8; 16]);

impl StableName {
    fn of(spec: &ActionSpec, number: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        let first = spec
            .outputs
            .first()
            .map(|output| &output.path)
            .or(spec.depfile.as_ref());
        let distinction = first.map_or(spec.mnemonic.as_str(), |path| path.as_str());
        for part in [spec.owner.as_str(), distinction] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&number.to_le_bytes());
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        StableName(name)
    }

    /// For the name of a folder.
    pub(super) fn hex(self) -> String {
        hex::encode(self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Took {
    duration: Duration,
    memory: u64,
}

/// What the actions of this build took before.
pub(super) struct History {
    path: PathBuf,
    names: Vec<StableName>,
    took: Mutex<HashMap<StableName, Took>>,
    is_new: AtomicBool,
}

impl History {
    /// What is known of `actions`, from the file at `path`.
    pub(super) fn load(path: PathBuf, actions: &[PlannedAction]) -> Self {
        let mut seen: HashMap<StableName, u32> = HashMap::new();
        let names = actions
            .iter()
            .map(|action| {
                let number = seen.entry(StableName::of(&action.spec, 0)).or_default();
                *number += 1;
                StableName::of(&action.spec, *number)
            })
            .collect();
        let took = FORMAT
            .read(&path)
            .and_then(|body| decode(&body))
            .unwrap_or_default();
        History {
            path,
            names,
            took: Mutex::new(took),
            is_new: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self, action: usize) -> StableName {
        self.names[action]
    }

    pub(super) fn duration(&self, action: usize) -> Option<Duration> {
        self.took
            .lock()
            .get(&self.names[action])
            .map(|took| took.duration)
    }

    /// Peak memory, in bytes.
    pub(super) fn memory(&self, action: usize) -> u64 {
        self.took
            .lock()
            .get(&self.names[action])
            .map_or(UNKNOWN_MEMORY, |took| took.memory)
    }

    pub(super) fn record(&self, action: usize, usage: &Usage) {
        let took = Took {
            duration: usage.wall,
            memory: usage.max_rss_bytes,
        };
        self.took.lock().insert(self.names[action], took);
        self.is_new.store(true, Ordering::Relaxed);
    }

    /// Writes the file, if anything is new.
    pub(super) fn save(&self) -> io::Result<()> {
        if !self.is_new.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let took = self.took.lock();
        // This build's actions first, so that they are what is kept.
        let own: HashSet<_> = self.names.iter().collect();
        let (ours, others): (Vec<_>, Vec<_>) =
            took.iter().partition(|(name, _)| own.contains(name));
        let mut out = Encoder::default();
        for (name, took) in ours.into_iter().chain(others).take(MAX_ACTIONS) {
            out.raw(&name.0);
            out.u64(u64::try_from(took.duration.as_micros()).unwrap_or(u64::MAX));
            out.u64(took.memory);
        }
        FORMAT.write(&self.path, &out.finish())
    }
}

fn decode(body: &[u8]) -> Option<HashMap<StableName, Took>> {
    let mut body = Decoder::new(body);
    let mut took = HashMap::new();
    while !body.is_empty() {
        let name = StableName(body.array()?);
        let duration = Duration::from_micros(body.u64()?);
        took.insert(
            name,
            Took {
                duration,
                memory: body.u64()?,
            },
        );
    }
    Some(took)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use zako_action::{ActionBody, OutputSpec};
    use zako_path::NeutralPath;

    use super::*;

    fn action(output: Option<&str>) -> PlannedAction {
        let mut spec = ActionSpec::new(
            "//a:t",
            "test",
            ActionBody::Shell {
                script: String::new(),
            },
        );
        spec.outputs
            .extend(output.map(|path| OutputSpec::file(NeutralPath::new(path).unwrap())));
        PlannedAction::new(spec)
    }

    #[test]
    fn what_an_action_took_is_known_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let actions = [action(Some("zako-out/a")), action(None), action(None)];
        let history = History::load(path.clone(), &actions);
        let names: HashSet<_> = (0..3).map(|at| history.name(at)).collect();
        assert_eq!(names.len(), 3, "actions without outputs are told apart");
        assert_eq!(
            (history.duration(0), history.memory(0)),
            (None, UNKNOWN_MEMORY)
        );
        let usage = Usage {
            wall: Duration::from_millis(5),
            max_rss_bytes: 7,
            ..Usage::default()
        };
        history.record(0, &usage);
        history.save().unwrap();
        let again = History::load(path, &actions[..1]);
        assert_eq!(again.name(0), history.name(0));
        assert_eq!((again.duration(0), again.memory(0)), (Some(usage.wall), 7));
    }

    #[test]
    fn the_format_is_a_contract() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let history = History::load(path.clone(), &[action(Some("zako-out/a"))]);
        let usage = Usage {
            wall: Duration::from_micros(258),
            max_rss_bytes: 7,
            ..Usage::default()
        };
        history.record(0, &usage);
        history.save().unwrap();
        let body = hex::encode(FORMAT.read(&path).unwrap());
        assert_eq!(body[..32], history.name(0).hex());
        assert_eq!(
            body[32..],
            *"02010000000000000700000000000000",
            "raise the format's version with any change"
        );
    }
}
