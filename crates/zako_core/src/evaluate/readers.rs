//! With which options of the invocation packages were evaluated: they are known by those that they read, so that what one came to
//! with other values is still there when somebody goes back to those.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use zako_path::NeutralPath;
use zako_script::Value;

use super::host::Recorded;
use crate::codec::{decoded, encoded};
use crate::ledger::Ledger;

/// Options by name, sorted, each with its value if it is set.
pub(crate) type OptionValues = Vec<(String, Option<String>)>;

/// What an evaluation came to, before it is handed out.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) exports: Vec<(String, Value)>,
    pub(super) refused: Vec<(String, String)>,
    pub(super) recorded: Recorded,
}

/// With how many sets of values a package is remembered; the one that was met longest ago goes.
const MAX_REMEMBERED: usize = 16;

/// What is known of a session's packages.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// For each package the values with which it was evaluated: of those options that it read then. With equal values it reads the
    /// same ones, and comes to the same.
    met: BTreeMap<String, Vec<OptionValues>>,
    /// Evaluations by their packages and the values that they had, until their nodes take them.
    ready: HashMap<(String, OptionValues), Ready>,
}

impl Readers {
    /// The values with which the package was evaluated, of those that agree with `config`; `None` when there are none.
    pub(super) fn matching(
        &self,
        package: &NeutralPath,
        config: &BTreeMap<String, String>,
    ) -> Option<OptionValues> {
        let known = self.0.lock();
        let met = known.met.get(package.as_str())?;
        let agrees = |(name, value): &(String, Option<String>)| config.get(name) == value.as_ref();
        // The newest knows best what the package reads by now.
        let newest = met.iter().rev();
        newest
            .clone()
            .find(|values| values.iter().all(agrees))
            .cloned()
    }

    /// The package, known by the values `given`, read `names` too, in an evaluation that came to `ready`.
    pub(super) fn learn(
        &self,
        package: &NeutralPath,
        given: &OptionValues,
        names: &BTreeSet<String>,
        config: &BTreeMap<String, String>,
        ready: Ready,
    ) {
        let all: BTreeSet<&String> = given.iter().map(|(name, _)| name).chain(names).collect();
        let value = |name: &String| (name.clone(), config.get(name).cloned());
        let values: OptionValues = all.into_iter().map(value).collect();
        let mut known = self.0.lock();
        let met = known.met.entry(package.to_string()).or_default();
        met.retain(|other| other != given && *other != values);
        met.push(values.clone());
        if met.len() > MAX_REMEMBERED {
            met.remove(0);
        }
        known.ready.insert((package.to_string(), values), ready);
    }

    /// What an evaluation with these values came to, if nobody took it yet.
    pub(super) fn take(&self, package: &NeutralPath, values: &OptionValues) -> Option<Ready> {
        let key = (package.to_string(), values.clone());
        self.0.lock().ready.remove(&key)
    }

    /// Takes over what `ledger` says, and drops what nobody took.
    pub(crate) fn begin(&self, ledger: &Ledger) {
        let mut known = self.0.lock();
        known.ready.clear();
        for (package, met) in ledger.readers() {
            let met = decoded::<Vec<OptionValues>>(met).unwrap_or_default();
            known.met.entry(package.to_owned()).or_insert(met);
        }
    }

    /// Takes note of all.
    pub(crate) fn keep(&self, ledger: &mut Ledger) {
        for (package, met) in &self.0.lock().met {
            ledger.note_reader(package, encoded(met));
        }
    }

    /// The key of the node that the package is with these options; `None` for one that reads none.
    pub(crate) fn node(
        &self,
        package: &NeutralPath,
        config: &BTreeMap<String, String>,
    ) -> Option<Vec<u8>> {
        let values = self.matching(package, config)?;
        Some(node_key(package, &values))
    }
}

/// How a package that is given options is written as a key.
pub(super) fn node_key(package: &NeutralPath, values: &OptionValues) -> Vec<u8> {
    encoded(&(package.clone(), values.clone()))
}

/// A session's, shared.
pub(crate) type SharedReaders = Arc<Readers>;
