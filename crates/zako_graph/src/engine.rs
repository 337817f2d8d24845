//! The engine: takes asks, starts and joins computations, verifies, and settles the results.
//!
//! **Invariant:** a node's state changes under its own lock only. Its flight does so only in
//! [`Shared::stage`] (it starts or is joined), [`Shared::end`] (it ends) and [`Shared::leave`] (its last
//! asker goes).
//! **Invariant:** locks are taken in the order node, then waits; never two nodes at once.
//!
//! Revisions may overlap. A computation for revision R may use whatever is verified at R or later, and
//! claims R for its own result; so it can claim too little and be verified again, but never too much. A value
//! that differs has changed in the latest revision that was open when its computation started.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::ask::{Ask, Need, Stage};
use crate::confirm::{Changed, KnownLeaf};
use crate::ctx::Ctx;
use crate::data::Data;
use crate::dependents::{Dependents, Fresh};
use crate::error::GraphError;
use crate::event::{EngineEvent, EventKind, Observer};
use crate::flight::{Flight, FlightId, Outcome, Running};
use crate::held::Held;
use crate::keep::Saving;
use crate::kept::Codecs;
use crate::key::{AnyValue, Key};
use crate::request::{Request, RequestState};
use crate::revision::Revision;
use crate::store::{Group, Memo, Node, NodeId, Store, Trigger};
use crate::sync::{AtomicU64, Handle, Mutex, Tasks};
use crate::task::FlightTask;
use crate::waits::Waits;
use crate::why::{Cause, Why};

/// How an engine is set up.
#[derive(Default)]
pub struct EngineOptions {
    /// Told about everything that happens to nodes.
    pub observer: Option<Arc<dyn Observer>>,
    /// The types of keys that can be kept on disk.
    pub codecs: Codecs,
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions")
            .field("observer", &self.observer.is_some())
            .field("codecs", &self.codecs)
            .finish()
    }
}

/// Keeps what was computed. Cheap to clone; the clones are one engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    waits: Mutex<Waits>,
    pub(crate) last_revision: AtomicU64,
    observer: Option<Arc<dyn Observer>>,
    pub(crate) codecs: Codecs,
    pub(crate) saving: Mutex<Saving>,
    pub(crate) dependents: Mutex<Dependents>,
    pub(crate) fresh: Mutex<Fresh>,
    /// See [`Shared::floor`].
    pub(crate) floor: AtomicU64,
    tasks: Tasks,
}

impl Engine {
    /// An engine that knows nothing yet; its computations run on `runtime`.
    pub fn new(runtime: Handle, options: EngineOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                store: Store::default(),
                waits: Mutex::default(),
                last_revision: AtomicU64::new(0),
                observer: options.observer,
                codecs: options.codecs,
                saving: Mutex::default(),
                dependents: Mutex::default(),
                fresh: Mutex::default(),
                floor: AtomicU64::new(0),
                tasks: Tasks::new(runtime),
            }),
        }
    }

    /// Opens a new revision, in which leaves are read anew when they are asked for. Earlier requests may
    /// go on at the same time.
    pub fn begin(&self, data: Data) -> Request {
        Request::new(self.shared.clone(), self.shared.open(), data)
    }

    /// As [`begin`](Self::begin), except that the leaves of which `confirm` says so hold as they are, and are
    /// not computed. It is asked here, about all leaves that have a value; under a lock, so it should
    /// only look something up. What it knows must not be older than the request begun before this one. Nothing is looked at that only depends on leaves that hold, unless it was not
    /// up to date before.
    pub fn begin_confirmed(&self, data: Data, confirm: impl Fn(KnownLeaf<'_>) -> bool) -> Request {
        Request::new(
            self.shared.clone(),
            self.shared.open_confirmed(confirm),
            data,
        )
    }

    /// Makes sure that every revision from now on is later than `revision`: for a caller whose own clock,
    /// which the archive has too, has gone on.
    pub fn advance(&self, revision: u64) {
        self.shared
            .last_revision
            .fetch_max(revision, Ordering::Relaxed);
    }

    /// As [`begin`](Self::begin), except that no leaf but `changed` has changed since the last request was
    /// begun, in whatever way: for callers that are told of changes. The cost is that of what those
    /// reach, not of what there is.
    pub fn begin_changed(&self, data: Data, changed: &Changed) -> Request {
        let nodes = changed.nodes(&self.shared.store);
        Request::new(self.shared.clone(), self.shared.open_changed(nodes), data)
    }

    /// Waits until no computation is left, not even an aborted one that has yet to let go of what it
    /// holds. Without asks under way this ends soon; with some, when they do.
    pub async fn idle(&self) {
        self.shared.tasks.wait().await;
    }

    /// Why `key` was last computed; `None` when it has no kept value.
    pub fn why<K: Key>(&self, key: &K) -> Option<Why> {
        let node = self.shared.store.find(key)?;
        let (computed_at, changed_at, verified_at, trigger, groups) = {
            let state = node.state.lock();
            let memo = state.memo.as_ref()?;
            (
                memo.computed_at,
                memo.changed_at,
                memo.verified_at,
                memo.cause,
                memo.dependencies.clone(),
            )
        };
        let describe = |id| self.shared.store.by_id(id).key.describe();
        Some(Why {
            computed_at,
            changed_at,
            verified_at,
            cause: match trigger {
                Trigger::First => Cause::First,
                Trigger::Leaf => Cause::Leaf,
                Trigger::Restored => Cause::Restored,
                Trigger::Forgotten => Cause::Forgotten,
                Trigger::Changed(id) => Cause::Changed {
                    dependency: describe(id),
                },
            },
            dependencies: groups
                .iter()
                .flat_map(Group::ids)
                .map(|&id| describe(id))
                .collect(),
        })
    }

    /// How many keys were ever asked for.
    pub fn node_count(&self) -> usize {
        self.shared.store.len()
    }

    /// How many computations and verifications are under way.
    pub fn running_count(&self) -> usize {
        self.shared.waits.lock().len()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("nodes", &self.node_count())
            .field("running", &self.running_count())
            .finish()
    }
}

/// How a flight ends.
pub(crate) enum Ending {
    /// No dependency has changed.
    Verified,
    Computed {
        value: AnyValue,
        dependencies: Arc<[Group]>,
        witness: Option<Box<[u8]>>,
        fleeting: bool,
        same: bool,
        cause: Trigger,
    },
    Failed(GraphError),
}

impl Shared {
    pub(crate) fn ask<'a>(
        self: &'a Arc<Self>,
        request: &'a Arc<RequestState>,
        node: Arc<Node>,
        asker: Option<FlightId>,
        need: Need,
    ) -> Ask<'a> {
        let stage = self.stage(request, &node, asker, need);
        Ask {
            shared: self,
            request,
            node,
            asker,
            need,
            stage,
        }
    }

    /// Answers at once, or joins the flight under way, or starts one.
    pub(crate) fn stage(
        self: &Arc<Self>,
        request: &Arc<RequestState>,
        node: &Arc<Node>,
        asker: Option<FlightId>,
        need: Need,
    ) -> Stage {
        if need == Need::Value {
            self.wake(request, node);
        }
        let mut state = node.state.lock();
        if let Some((revision, outcome)) = &state.fleeting
            && *revision >= request.revision
        {
            let outcome = outcome.clone();
            drop(state);
            self.tell(EventKind::Reused, request.revision, node);
            return Stage::Answered(outcome);
        }
        let dirty_at = state.dirty_at;
        let idle = state.running.is_none();
        if let Some(memo) = &mut state.memo {
            // Nothing below has changed that anybody was told of, and somebody is.
            let clean = idle
                && memo.verified_at < request.revision
                && memo.verified_at >= self.floor().max(dirty_at);
            if clean {
                memo.verified_at = request.revision;
            }
            let value = memo.value.live().cloned();
            if memo.verified_at >= request.revision && (need == Need::Verdict || value.is_some()) {
                let outcome = Outcome {
                    value: Ok(value),
                    changed_at: memo.changed_at,
                    fleeting: false,
                };
                drop(state);
                let event = match clean {
                    true => EventKind::Verified,
                    false => EventKind::Reused,
                };
                self.tell(event, request.revision, node);
                return Stage::Answered(outcome);
            }
        }
        if let Some(running) = &mut state.running {
            running.askers += 1;
            let flight = running.flight.clone();
            drop(state);
            let Some(asker) = asker else {
                return Stage::Waiting(flight);
            };
            let joined = self.waits.lock().join(asker, flight.id);
            return match joined {
                Ok(()) => Stage::Waiting(flight),
                Err(cycle) => {
                    let error = self.fail_cycle(&cycle);
                    self.leave(node, &flight, None);
                    Stage::Answered(Outcome {
                        value: Err(error),
                        changed_at: request.revision,
                        fleeting: true,
                    })
                }
            };
        }
        let latest = self.last_revision();
        let flight = self.waits.lock().start(asker, |id| {
            Flight::new(id, node.id, request.revision, latest)
        });
        state.running = Some(Running {
            flight: flight.clone(),
            askers: 1,
            task: None,
        });
        drop(state);
        // Without the lock: a runtime that is shutting down drops the task here and now, which settles it.
        let work = FlightTask {
            shared: self.clone(),
            request: request.clone(),
            node: node.clone(),
            flight: flight.clone(),
            need,
        };
        let task = self.tasks.spawn(work.run());
        match &mut node.state.lock().running {
            Some(running) if running.flight.id == flight.id => running.task = Some(task),
            // Ended already; if as part of a cycle, the task may still be there.
            _ => task.abort(),
        }
        Stage::Waiting(flight)
    }

    /// One asker of `flight` goes away; the last one aborts it if it is still under way.
    pub(crate) fn leave(&self, node: &Node, flight: &Flight, asker: Option<FlightId>) {
        let mut state = node.state.lock();
        let last = match &mut state.running {
            Some(running) if running.flight.id == flight.id => {
                running.askers -= 1;
                running.askers == 0
            }
            _ => false,
        };
        let aborted = if last { state.running.take() } else { None };
        drop(state);
        let mut waits = self.waits.lock();
        if let Some(asker) = asker {
            waits.leave(asker, flight.id);
        }
        if let Some(running) = aborted {
            waits.end(flight.id);
            drop(waits);
            running.abort();
            self.tell(EventKind::Cancelled, flight.revision, node);
        }
    }

    /// Ends every flight of a cycle in the same error, and gives that.
    fn fail_cycle(&self, cycle: &[Arc<Flight>]) -> GraphError {
        let nodes: Vec<_> = cycle
            .iter()
            .map(|flight| self.store.by_id(flight.node))
            .collect();
        let mut path: Vec<String> = nodes.iter().map(|node| node.key.describe()).collect();
        let smallest = (0..path.len()).min_by_key(|&i| &path[i]).unwrap_or(0);
        path.rotate_left(smallest);
        path.extend(path.first().cloned());
        let error = GraphError::Cycle { path: path.into() };
        // All end before any asker hears of it: an asker on the cycle could else finish with a value.
        let ended: Vec<_> = cycle
            .iter()
            .zip(&nodes)
            .filter_map(|(flight, node)| {
                let ending = Ending::Failed(error.clone());
                self.end(node, flight, ending)
                    .map(|(running, outcome)| (flight, running, outcome))
            })
            .collect();
        for (flight, running, outcome) in ended {
            flight.land(outcome);
            running.abort();
        }
        error
    }

    /// Ends a flight, unless it has ended already, and gives the result to all who wait.
    pub(crate) fn settle(&self, node: &Node, flight: &Flight, ending: Ending) {
        if let Some((_, outcome)) = self.end(node, flight, ending) {
            flight.land(outcome);
        }
    }

    /// Ends a flight, unless it has ended already: records the result, which is yet to be given out.
    fn end(&self, node: &Node, flight: &Flight, ending: Ending) -> Option<(Running, Outcome)> {
        let revision = flight.revision;
        let mut state = node.state.lock();
        let running = state
            .running
            .take_if(|running| running.flight.id == flight.id)?;
        let (event, outcome) = match ending {
            Ending::Verified => match &mut state.memo {
                Some(memo) => {
                    memo.verified_at = revision;
                    let (value, changed_at) = (Ok(memo.value.live().cloned()), memo.changed_at);
                    (
                        EventKind::Verified,
                        Outcome {
                            value,
                            changed_at,
                            fleeting: false,
                        },
                    )
                }
                None => unreachable!("only a memo is verified, and none is ever taken away"),
            },
            Ending::Computed {
                value,
                dependencies,
                witness,
                fleeting: false,
                same,
                cause,
            } => {
                let (value, changed_at, event) = match &state.memo {
                    Some(memo) if same => {
                        let value = memo.value.live().cloned().unwrap_or(value);
                        (value, memo.changed_at, EventKind::CutOff)
                    }
                    // Those above may have been taken over with the value before, for any revision up to the
                    // one that had it looked at again, though it is computed for an older one.
                    Some(_) => (value, flight.latest, EventKind::Computed),
                    None => (value, revision, EventKind::Computed),
                };
                let asked_before = state.memo.as_ref().map(|memo| &memo.dependencies);
                let new_edges = asked_before != Some(&dependencies);
                state.fleeting = None;
                state.memo = Some(Memo {
                    value: Held::Live(value.clone()),
                    witness,
                    dependencies,
                    changed_at,
                    verified_at: revision,
                    computed_at: revision,
                    cause,
                });
                self.saving.lock().touch(node.id);
                if new_edges {
                    self.fresh.lock().add(node.id);
                }
                (
                    event,
                    Outcome {
                        value: Ok(Some(value)),
                        changed_at,
                        fleeting: false,
                    },
                )
            }
            Ending::Computed { value, .. } => {
                let outcome = Outcome {
                    value: Ok(Some(value)),
                    changed_at: revision,
                    fleeting: true,
                };
                state.fleeting = Some((revision, outcome.clone()));
                (EventKind::Transient, outcome)
            }
            Ending::Failed(error) => {
                let event = match error {
                    GraphError::Cancelled => EventKind::Cancelled,
                    _ => EventKind::Failed,
                };
                let outcome = Outcome {
                    value: Err(error),
                    changed_at: revision,
                    fleeting: true,
                };
                if event == EventKind::Failed {
                    state.fleeting = Some((revision, outcome.clone()));
                }
                (event, outcome)
            }
        };
        // What a newer request was told, it could not know to reach this node, or those below that ended as late.
        // Looked at after the lines above: whoever opened a revision since then has seen them. Leaves are
        // told of by name.
        let last = self.last_revision();
        if revision < last && !node.key.is_leaf() {
            state.dirty_at = last;
        }
        drop(state);
        self.waits.lock().end(flight.id);
        self.tell(event, revision, node);
        Some((running, outcome))
    }

    pub(crate) fn last_revision(&self) -> Revision {
        Revision::new(self.last_revision.load(Ordering::Acquire))
    }

    fn tell(&self, kind: EventKind, revision: Revision, node: &Node) {
        if let Some(observer) = &self.observer {
            let event = EngineEvent {
                kind,
                revision,
                key: &*node.key,
            };
            // An observer that panics must not leave askers waiting.
            let _ = catch_unwind(AssertUnwindSafe(|| observer.event(event)));
        }
    }

    /// Verifies the node as far as it can be, else computes it.
    pub(crate) async fn work(
        self: &Arc<Self>,
        request: &Arc<RequestState>,
        node: &Node,
        flight: FlightId,
        need: Need,
    ) -> Ending {
        let memo = {
            let state = node.state.lock();
            state
                .memo
                .as_ref()
                .map(|m| (m.value.clone(), m.dependencies.clone(), m.verified_at))
        };
        // Asks that verification began and that the computation, asking the same again, will join.
        let mut held = Vec::new();
        let cause = match &memo {
            None => Trigger::First,
            Some(_) if node.key.is_leaf() => Trigger::Leaf,
            Some((Held::Lost(_), ..)) if need == Need::Value => Trigger::Forgotten,
            Some((_, dependencies, verified_at)) => {
                match self
                    .first_change(request, flight, dependencies, *verified_at, &mut held)
                    .await
                {
                    None => return Ending::Verified,
                    Some(dependency) => Trigger::Changed(dependency),
                }
            }
        };
        let ctx = Ctx::new(self.clone(), request.clone(), flight);
        let value = node.key.compute(&ctx).await;
        drop(held);
        let learned = ctx.into_learned();
        let same = memo.is_some_and(|(old, ..)| {
            !learned.fleeting && self.is_same(request, node, &old, &value)
        });
        Ending::Computed {
            value,
            dependencies: learned.dependencies,
            witness: learned.witness,
            fleeting: learned.fleeting,
            same,
            cause,
        }
    }

    /// The first dependency in the recorded order that has changed since `verified_at`. Groups before it
    /// are unchanged, so the computation would ask for its group too: nothing is asked for in vain.
    async fn first_change<'a>(
        self: &'a Arc<Self>,
        request: &'a Arc<RequestState>,
        flight: FlightId,
        groups: &[Group],
        verified_at: Revision,
        held: &mut Vec<Ask<'a>>,
    ) -> Option<NodeId> {
        for group in groups {
            held.clear();
            match group {
                Group::One(id) => {
                    held.push(self.ask(request, self.store.by_id(*id), Some(flight), Need::Verdict))
                }
                Group::Many(ids) => {
                    let nodes = self.store.by_ids(ids);
                    held.extend(
                        nodes
                            .into_iter()
                            .map(|node| self.ask(request, node, Some(flight), Need::Verdict)),
                    );
                }
            }
            for ask in held.iter_mut() {
                let outcome = ask.answer().await;
                if outcome.fleeting || outcome.changed_at > verified_at {
                    return Some(ask.node.id);
                }
            }
        }
        None
    }
}
