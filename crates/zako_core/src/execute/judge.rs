//! Which actions of a build have to be looked into, before any is: by the ledger's notes and one look at every file.
//!
//! **Invariant:** an action that [holds](Standing::Holds) read what is there now, wrote what is there now, and needs no action
//! that does not hold.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use zako_graph::archive::Id;
use zako_path::NeutralPath;

use super::PlannedAction;
use super::difference::differences;
use super::edges::Writers;
use super::identity::Identified;
use super::tools::Tools;
use crate::codec::action::decode_lowered;
use crate::files::Files;
use crate::ledger::{self, Cause, Ledger, SharedLedger, sweep};

/// Where an action stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is no note of it, for this reason.
    Unknown(Vec<Cause>),
    /// Its result holds.
    Holds(Id),
    /// Something reaches it; without causes, only what it needs may change.
    Affected(Id, Vec<Cause>),
}

impl Standing {
    /// Whether there is nothing to do.
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Standing::Holds(_))
    }

    /// Its note.
    pub(crate) fn record(&self) -> Option<Id> {
        match self {
            Standing::Unknown(_) => None,
            Standing::Holds(id) | Standing::Affected(id, _) => Some(*id),
        }
    }
}

/// What judging needs of the build.
pub(super) struct Court<'a> {
    pub(super) ledger: &'a SharedLedger,
    pub(super) files: &'a Files,
    pub(super) tools: &'a Tools,
    pub(super) root: &'a Path,
    pub(super) writers: &'a Writers,
    /// The leaves that were looked at, where that is asked again.
    pub(super) looked: Option<&'a Mutex<HashSet<Id>>>,
}

/// What was judged before, in the same execution.
pub(super) struct Earlier<'a> {
    /// How many actions.
    pub(super) count: usize,
    /// Whether an action has not ended well.
    pub(super) is_open: &'a dyn Fn(usize) -> bool,
    /// Whether it did not hold.
    pub(super) is_node: &'a dyn Fn(usize) -> bool,
}

/// Judges `actions`, which are all that is wanted beside `earlier` ones.
pub(super) fn judge(
    court: &Court<'_>,
    actions: &[Arc<PlannedAction>],
    identified: &[Identified],
    earlier: Option<&Earlier<'_>>,
) -> io::Result<Vec<Standing>> {
    let known: Vec<Option<Id>> = {
        let ledger = court.ledger.lock();
        let find = |action: &Identified| ledger.action(&action.name.0, &action.identity);
        identified.iter().map(find).collect()
    };
    let ids: Vec<Id> = known.iter().flatten().copied().collect();
    let doubtful = {
        let mut ledger = court.ledger.lock();
        let mut leaves = ledger.leaves_of(&ids, []);
        if let Some(earlier) = earlier {
            leaves.retain(|leaf| court.is_to_be_seen(&ledger, *leaf, earlier));
        }
        let doubtful = sweep(ledger.archive(), court.root, &leaves, &|| |_| true)?;
        match earlier {
            None => ledger.see_only(&leaves, &doubtful),
            Some(_) => ledger.see_more(&leaves, &doubtful),
        }
        if let Some(looked) = court.looked {
            looked.lock().extend(leaves);
        }
        doubtful
    };
    look_again(court.ledger, court.files, court.tools, &doubtful);
    let mut ledger = court.ledger.lock();
    let affected = ledger.affected(&ids);
    let mut causes: HashMap<Id, Vec<Cause>> = affected
        .into_iter()
        .map(|affected| (affected.action, affected.causes))
        .collect();
    let mut by_name: Option<HashMap<[u8; 16], Id>> = None;
    let mut standings: Vec<Standing> = Vec::with_capacity(actions.len());
    for (at, id) in known.iter().enumerate() {
        standings.push(match id {
            None => {
                let by_name = by_name.get_or_insert_with(|| ledger.actions_by_name());
                let before = by_name.get(&identified[at].name.0).copied();
                Standing::Unknown(vec![why_unknown(&ledger, before, &actions[at])])
            }
            Some(id) => match causes.remove(id) {
                Some(causes) => Standing::Affected(*id, causes),
                None => Standing::Holds(*id),
            },
        });
    }
    drop(ledger);
    if earlier.is_some() || known.iter().any(Option::is_none) {
        spread(court.writers, actions, earlier, &mut standings);
    }
    Ok(standings)
}

impl Court<'_> {
    /// Whether a leaf has to be looked at once more, or for the first time, now that some actions run.
    fn is_to_be_seen(&self, ledger: &Ledger, leaf: Id, earlier: &Earlier<'_>) -> bool {
        let archive = ledger.archive();
        let path = match archive.kind(leaf) {
            ledger::TOOL | ledger::EXTERNAL => None,
            _ => std::str::from_utf8(archive.key(leaf)).ok(),
        };
        let path = path.and_then(|path| NeutralPath::new(path).ok());
        let writer = path.and_then(|path| self.writers.above(&path));
        match writer.filter(|at| *at < earlier.count && (earlier.is_node)(*at)) {
            // Whoever writes it says what it is.
            Some(at) => !(earlier.is_open)(at),
            None => !self
                .looked
                .is_some_and(|looked| looked.lock().contains(&leaf)),
        }
    }
}

/// What needs an action that does not hold, or an earlier one that has not ended, is affected.
fn spread(
    writers: &Writers,
    actions: &[Arc<PlannedAction>],
    earlier: Option<&Earlier<'_>>,
    standings: &mut [Standing],
) {
    let first = earlier.map_or(0, |earlier| earlier.count);
    let mut users: Vec<Vec<u32>> = vec![Vec::new(); actions.len()];
    for (at, action) in actions.iter().enumerate() {
        for needed in writers.needs(&action.spec) {
            match needed.checked_sub(first) {
                Some(needed) => users[needed].push(u32::try_from(at).unwrap_or(u32::MAX)),
                None if earlier.is_some_and(|earlier| (earlier.is_open)(needed)) => {
                    if let Standing::Holds(id) = standings[at] {
                        standings[at] = Standing::Affected(id, Vec::new());
                    }
                }
                None => {}
            }
        }
    }
    let mut queue: Vec<usize> = (0..actions.len())
        .filter(|at| !matches!(standings[*at], Standing::Holds(_)))
        .collect();
    while let Some(at) = queue.pop() {
        for user in std::mem::take(&mut users[at]) {
            let user = user as usize;
            if let Standing::Holds(id) = standings[user] {
                standings[user] = Standing::Affected(id, Vec::new());
                queue.push(user);
            }
        }
    }
}

fn why_unknown(ledger: &Ledger, before: Option<Id>, action: &PlannedAction) -> Cause {
    let record = before.and_then(|id| ledger.record(id));
    let Some(old) = record.and_then(|record| decode_lowered(&record.declaration)) else {
        return Cause::First;
    };
    let differences = differences(&old, action);
    if differences.is_empty() {
        return Cause::First;
    }
    Cause::Declared { differences }
}

/// Looks properly at leaves of files and tools that could not be confirmed, on as many threads as there are processors, and
/// takes note of what is there.
pub(crate) fn look_again(ledger: &SharedLedger, files: &Files, tools: &Tools, doubtful: &[Id]) {
    let doubtful = files.reread(doubtful);
    let keys: Vec<(zako_graph::archive::Kind, String)> = {
        let ledger = ledger.lock();
        let archive = ledger.archive();
        let text = |id: Id| String::from_utf8_lossy(archive.key(id)).into_owned();
        doubtful
            .iter()
            .map(|id| (archive.kind(*id), text(*id)))
            .collect()
    };
    let look = |kind, key: &str| match kind {
        ledger::TOOL => {
            let (name, path) = key.split_once('\0').unwrap_or((key, ""));
            if tools.find(files, name, Some(path)).is_err() {
                ledger.lock().learn_gone(kind, key);
            }
        }
        ledger::EXTERNAL => {
            if !matches!(files.external(Path::new(key)), Ok(Some(_))) {
                ledger.lock().learn_gone(kind, key);
            }
        }
        _ => {
            let is_seen = NeutralPath::new(key).map(|path| files.value(&path).is_ok());
            // Whoever uses it gets the error.
            if is_seen != Ok(true) {
                ledger.lock().learn_gone(kind, key);
            }
        }
    };
    let processors = zako_exec::processors();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((kind, key)) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
            look(*kind, key);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..processors.min(keys.len()) {
            scope.spawn(work);
        }
        work();
    });
}
