//! The script graph of a session: whose turn it is to ask it, and how it goes on where another process stopped.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, OwnedMutexGuard};
use zako_graph::archive::Id;
use zako_graph::{Data, Engine, EngineOptions, Footprint, KnownLeaf, Request};

use crate::evaluate::{Checker, Services, SharedReaders, codecs, path_of_leaf};
use crate::ledger::{self, Ledger, SharedLedger, sweep};
use crate::watch::Changes;

/// A workspace's script graph. One revision at a time: a revision that overlaps a later one may take over what that one read,
/// which is wrong when their options differ.
#[derive(Clone, Default)]
pub(crate) struct Graph {
    engine: Arc<OnceLock<Engine>>,
    turn: Arc<Mutex<()>>,
    /// Which packages read which options.
    pub(crate) readers: SharedReaders,
}

/// The right to ask the graph, in a revision that opened when it was given.
pub(crate) struct Turn {
    engine: Engine,
    request: Request,
    readers: SharedReaders,
    _turn: OwnedMutexGuard<()>,
}

/// Which leaves need not be read: those of this archive that were confirmed, or all but what changed.
enum Trust {
    Nothing,
    /// By their ids.
    Confirmed(Vec<bool>),
    Unchanged(Changes),
}

impl Graph {
    /// Waits for its turn, then opens a revision: whatever changed until now is seen. A graph that was not asked yet knows
    /// what `ledger` knows; with `changes`, one that was asked before looks at those only.
    pub(crate) async fn begin(
        &self,
        services: &Arc<Services>,
        ledger: &SharedLedger,
        changes: Option<&Changes>,
    ) -> Turn {
        let turn = self.turn.clone().lock_owned().await;
        self.readers.begin(&ledger.lock());
        let data = || Data::new().with(services.clone());
        let mut trust = match changes {
            Some(changes) if !changes.all => Trust::Unchanged(changes.clone()),
            _ => Trust::Nothing,
        };
        let engine = match self.engine.get() {
            Some(engine) => engine.clone(),
            None => {
                let options = EngineOptions {
                    codecs: codecs(),
                    ..EngineOptions::default()
                };
                let engine = Engine::new(tokio::runtime::Handle::current(), options);
                let ledger = ledger.lock();
                trust = match engine.restore(ledger.archive(), &data()) {
                    Ok(_) => Trust::Confirmed(confirmed(services, &ledger)),
                    // What is damaged was told when it was opened.
                    Err(_) => Trust::Nothing,
                };
                self.engine.get_or_init(|| engine).clone()
            }
        };
        engine.advance(u64::from(ledger.lock().clock()));
        let request = match trust {
            Trust::Nothing => engine.begin(data()),
            Trust::Confirmed(ids) => engine.begin_confirmed(data(), move |leaf: KnownLeaf<'_>| {
                leaf.id()
                    .is_some_and(|id| ids.get(id.index()) == Some(&true))
            }),
            Trust::Unchanged(changes) => {
                let services = services.clone();
                let reach = changes.reach();
                engine.begin_confirmed(data(), move |leaf: KnownLeaf<'_>| {
                    let path = path_of_leaf(leaf, &services.interner);
                    path.is_some_and(|path| !reach.touches(path.as_str()))
                })
            }
        };
        Turn {
            engine,
            request,
            readers: self.readers.clone(),
            _turn: turn,
        }
    }
}

/// The leaves of scripts in `ledger` that hold now.
fn confirmed(services: &Services, ledger: &Ledger) -> Vec<bool> {
    let archive = ledger.archive();
    let is_script = |id: &Id| archive.kind(*id).is_leaf() && !ledger::is_file(archive.kind(*id));
    let leaves: Vec<Id> = archive.ids().filter(is_script).collect();
    let mut confirmed = vec![false; archive.len()];
    let root = services.workspace.root();
    let manifest = services.workspace.manifest();
    let checker = || Checker::new(root, services.given(), manifest).of(archive);
    if let Ok(doubtful) = sweep(archive, root, &leaves, &checker) {
        leaves.iter().for_each(|id| confirmed[id.index()] = true);
        doubtful.iter().for_each(|id| confirmed[id.index()] = false);
    }
    confirmed
}

impl Turn {
    /// Keeps what the scripts came to.
    pub(crate) fn keep(&self, ledger: &mut Ledger) {
        self.readers.keep(ledger);
        self.engine.keep(ledger.archive_mut(), &self.request);
        let revision = self.request.revision().get();
        ledger.reach(u32::try_from(revision).unwrap_or(u32::MAX));
    }

    /// What was asked for and the leaves below it, in a ledger that it was kept in.
    pub(crate) fn footprint(&self, ledger: &Ledger) -> Footprint {
        self.engine.footprint(&self.request, ledger.archive())
    }
}

impl Deref for Turn {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}
