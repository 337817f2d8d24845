//! Admission: who may use how much of the machine now.
//!
//! It knows amounts and order only: never what is run with a grant. The books themselves are in `ledger`; this file adds
//! the lock, names, waiting and RAII.
//!
//! **Invariants:** the lock is never held while a waiter is woken or a value of somebody else is dropped. What a
//! request holds is given back exactly once: by its [`Grant`], or by its wait being dropped.

mod ledger;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::pressure::{Bell, Observed, Reading, Sources, Watch, Weather};

use ledger::{Amounts, Demand, Event, Ledger, Ticket};

/// How much of everything there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// CPU in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Simultaneous users of the network.
    pub network_slots: u32,
    /// Resources that a workspace declares, such as `gpu` or `licence`, with their number.
    pub named: BTreeMap<String, u32>,
}

/// What one piece of work wants, all of it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// CPU in thousandths of a core; more than the machine has counts as the whole machine.
    pub cpu_millis: u64,
    /// Memory in bytes; more than the machine has counts as the whole machine.
    pub memory_bytes: u64,
    /// Network slots.
    pub network_slots: u32,
    /// Named resources; zero of one is as good as not naming it, but the name must exist.
    pub named: BTreeMap<String, u32>,
}

impl Request {
    /// All of a machine's processors and memory: for work that is to run alone.
    #[must_use]
    pub fn alone(mut self) -> Self {
        (self.cpu_millis, self.memory_bytes) = (u64::MAX, u64::MAX);
        self
    }

    /// What an action declares; `learnt_memory` stands for memory that it does not declare, in bytes.
    #[must_use]
    pub fn of(resources: &zako_action::Resources, learnt_memory: u64) -> Self {
        Self {
            cpu_millis: u64::from(resources.cpu_millis),
            memory_bytes: resources.memory.unwrap_or(learnt_memory),
            network_slots: resources.network_slots,
            named: resources.named.clone(),
        }
    }
}

/// Who goes first: the higher number. Equal ones go by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub i64);

/// How much somebody waits for a request, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Nobody sits and waits for it: tests, checks, what is built ahead.
    Background,
    /// As most.
    #[default]
    Normal,
    /// Somebody waits for this and nothing else.
    Interactive,
}

impl Priority {
    /// This priority among the work of requests of that urgency: all of a more urgent request goes before all of a less urgent one.
    ///
    /// ```
    /// # use zako_exec::{Priority, Urgency};
    /// assert!(Priority(1).of(Urgency::Interactive) > Priority(i64::MAX).of(Urgency::Normal));
    /// assert!(Priority(1).of(Urgency::Background) < Priority(i64::MIN).of(Urgency::Normal));
    /// assert_eq!(Priority(1).of(Urgency::Normal), Priority(1));
    /// ```
    #[must_use]
    pub fn of(self, urgency: Urgency) -> Self {
        // As nanoseconds of a critical path, half of it is eighteen years.
        const WIDTH: i64 = 1 << 60;
        let class = match urgency {
            Urgency::Background => -1,
            Urgency::Normal => 0,
            Urgency::Interactive => 1,
        };
        Self(class * WIDTH + self.0.clamp(-WIDTH / 2, WIDTH / 2 - 1))
    }
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The token was cancelled before the request was granted.
    #[error("cancelled while waiting for resources")]
    Cancelled,
    /// The pool has no resource of this name.
    #[error("there is no resource named `{name}`{}", nearest.as_ref().map(|n| format!(", did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// The name asked for.
        name: String,
        /// The most similar name that exists.
        nearest: Option<String>,
    },
    /// More of a countable resource was asked for than exists, so that it could never be granted.
    #[error(
        "{asked} of the resource `{name}` were asked for, but there are only {capacity}; ask for less, or declare more of it"
    )]
    TooLarge {
        /// The resource; `network` for network slots.
        name: String,
        /// How much was asked for.
        asked: u32,
        /// How much there is.
        capacity: u32,
    },
    /// More than a million requests wait already.
    #[error("too many requests wait for resources ({})", ledger::MAX_WAITING)]
    QueueFull,
}

/// What the pool looks like at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// All there is.
    pub capacity: Capacity,
    /// The sum of all grants.
    pub in_use: Request,
    /// How many requests wait.
    pub waiting: usize,
    /// How many grants are out.
    pub grants: usize,
    /// How many grants there were since the pool was made.
    pub granted: u64,
    /// What the machine has, as it was last seen; `None` when nobody watches it.
    pub weather: Option<Weather>,
    /// Whether somebody waits for nothing but the machine's memory.
    pub waits_for_memory: bool,
}

/// Grants CPU, memory, network slots and named resources; a request is granted whole or waits.
///
/// Higher priority goes first, then age; smaller requests may overtake one that does not fit yet, but only a bounded
/// number of them, after which everybody waits for it: nothing starves. CPU and memory are estimates about the machine, so
/// a request for more than all of it is taken as all of it and so runs alone; the other resources are counted things,
/// and asking for more than exist is an error.
///
/// Cheap to clone; clones share the pool. Others may share its processors, memory and network and have named resources of their
/// own: [`with_named`](Self::with_named).
///
/// ```
/// # use zako_exec::{Capacity, Priority, Request, ResourcePool};
/// # use tokio_util::sync::CancellationToken;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let pool = ResourcePool::new(Capacity {
///     cpu_millis: 2000, memory_bytes: 1 << 30, network_slots: 4, named: [("gpu".to_owned(), 1)].into(),
/// });
/// let one_core = Request { cpu_millis: 1000, ..Request::default() };
/// let grant = pool.acquire(&one_core, Priority(0), &CancellationToken::new()).await?;
/// assert_eq!(pool.state().in_use.cpu_millis, 1000);
/// drop(grant);
/// assert_eq!(pool.state().in_use.cpu_millis, 0);
/// # Ok::<(), zako_exec::AcquireError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct ResourcePool {
    own: Arc<Own>,
}

/// What one pool has of its own. Its grants hold it, so what is in use of a named resource goes before the resource does.
struct Own {
    shared: Arc<Shared>,
    capacity: Capacity,
    /// Where in the ledger the named resources are, in the order of their names.
    places: Vec<usize>,
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut ledger = self.shared.ledger.lock();
        self.places.iter().for_each(|at| ledger.remove_named(*at));
    }
}

/// What pools share.
struct Shared {
    ledger: Mutex<Ledger<oneshot::Sender<()>>>,
    /// Wakes whoever watches the machine.
    bell: Arc<Bell>,
    /// Told when a request has to wait: who holds something back for others may let go.
    contended: Notify,
    /// Told when the machine was looked at: what did not fit for that may fit now.
    observed: Notify,
}

impl Observed for Shared {
    fn is_busy(&self) -> bool {
        let ledger = self.ledger.lock();
        ledger.grants() > 0 || ledger.waiting() > 0
    }

    fn observe(&self, weather: Weather, _reading: Reading) {
        self.apply(Event::Observe(weather));
        self.observed.notify_waiters();
    }
}

impl Shared {
    /// Applies one event under the lock, then wakes whom it granted.
    fn apply(&self, event: Event<'_, oneshot::Sender<()>>) -> Option<Ticket> {
        let effects = self.ledger.lock().transition(event);
        for waiter in effects.granted {
            // A waiter that is just going away gives the grant back by its own `Withdraw`.
            let _gone = waiter.send(());
        }
        effects.ticket
    }
}

impl ResourcePool {
    /// A pool with all of `capacity` free.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        let ledger = Ledger::new(Amounts {
            cpu_millis: capacity.cpu_millis,
            memory_bytes: capacity.memory_bytes,
            network_slots: u64::from(capacity.network_slots),
            named: Vec::new(),
        });
        let shared = Arc::new(Shared {
            ledger: Mutex::new(ledger),
            bell: Arc::default(),
            contended: Notify::new(),
            observed: Notify::new(),
        });
        Self::sharing(shared, capacity)
    }

    fn sharing(shared: Arc<Shared>, capacity: Capacity) -> Self {
        let places = {
            let mut ledger = shared.ledger.lock();
            let counts = capacity.named.values();
            counts.map(|&n| ledger.add_named(u64::from(n))).collect()
        };
        Self {
            own: Arc::new(Own {
                shared,
                capacity,
                places,
            }),
        }
    }

    /// A pool that has `named` for itself, and everything else, the queue too, together with this one.
    #[must_use]
    pub fn with_named(&self, named: BTreeMap<String, u32>) -> Self {
        let capacity = Capacity {
            named,
            ..self.own.capacity.clone()
        };
        Self::sharing(Arc::clone(&self.own.shared), capacity)
    }

    /// Waits until all of `request` is free and takes it.
    ///
    /// Dropping the future, or cancelling `cancel`, leaves the queue and holds nothing.
    ///
    /// # Errors
    /// [`AcquireError::Unknown`] and [`AcquireError::TooLarge`] at once, for what could never be granted;
    /// [`AcquireError::Cancelled`] when `cancel` is cancelled first; [`AcquireError::QueueFull`].
    pub async fn acquire(
        &self,
        request: &Request,
        priority: Priority,
        cancel: &CancellationToken,
    ) -> Result<Grant, AcquireError> {
        let demand = self.demand(request)?;
        if cancel.is_cancelled() {
            return Err(AcquireError::Cancelled);
        }
        let shared = &self.own.shared;
        shared.bell.ring();
        if shared.ledger.lock().take_if_free(&demand) {
            return Ok(Grant {
                own: Arc::clone(&self.own),
                demand,
            });
        }
        let (wake, granted) = oneshot::channel();
        let ask = Event::Ask {
            demand: demand.clone(),
            priority: priority.0,
            wake,
        };
        let ticket = shared.apply(ask).ok_or(AcquireError::QueueFull)?;
        shared.contended.notify_waiters();
        let wait = Wait {
            own: &self.own,
            ticket,
            priority: priority.0,
            demand: Some(demand),
        };
        tokio::select! {
            biased;
            woken = granted => match woken {
                Ok(()) => Ok(wait.into_grant()),
                // The ledger drops a waker only after sending on it or on a withdrawal, which is ours to do.
                Err(_) => Err(AcquireError::Cancelled),
            },
            () = cancel.cancelled() => Err(AcquireError::Cancelled),
        }
    }

    /// Takes `request` if it is free and nobody waits; `None` if it would have to wait.
    ///
    /// # Errors
    /// As [`ResourcePool::acquire`] for requests that could never be granted.
    pub fn try_acquire(&self, request: &Request) -> Result<Option<Grant>, AcquireError> {
        let demand = self.demand(request)?;
        self.own.shared.bell.ring();
        let taken = self.own.shared.ledger.lock().take_if_free(&demand);
        Ok(taken.then(|| Grant {
            own: Arc::clone(&self.own),
            demand,
        }))
    }

    /// Whether `request` can be granted at all.
    ///
    /// # Errors
    /// [`AcquireError::Unknown`] and [`AcquireError::TooLarge`].
    pub fn check(&self, request: &Request) -> Result<(), AcquireError> {
        self.demand(request).map(drop)
    }

    /// Lets the machine have its say: while the watch lives, a request for memory waits when the machine, or the control
    /// group that this process is in, is short of it, unless nothing else runs. Costs a thread, that sleeps while the pool is idle.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn watch(&self, sources: Sources) -> std::io::Result<Watch> {
        let shared: std::sync::Weak<Shared> = Arc::downgrade(&self.own.shared);
        Watch::start(shared, Arc::clone(&self.own.shared.bell), sources)
    }

    /// Tells the pool what the machine has; for whoever observes it otherwise than by [`watch`](Self::watch).
    pub fn observe(&self, weather: Weather) {
        self.own.shared.apply(Event::Observe(weather));
        self.own.shared.observed.notify_waiters();
    }

    /// Returns when a request has to wait from now on.
    #[cfg_attr(windows, expect(dead_code, reason = "for the jobserver"))]
    pub(crate) async fn contended(&self) {
        self.own.shared.contended.notified().await;
    }

    /// Returns when the machine was looked at from now on: for those who [try](Self::try_acquire) and do not wait.
    pub(crate) fn observed(&self) -> Notified<'_> {
        self.own.shared.observed.notified()
    }

    /// All there is.
    #[must_use]
    pub fn capacity(&self) -> &Capacity {
        &self.own.capacity
    }

    /// What is in use and how many wait, at one moment; for all that share its processors, but for named resources.
    #[must_use]
    pub fn state(&self) -> PoolState {
        let Own {
            shared,
            capacity,
            places,
        } = &*self.own;
        let ledger = shared.ledger.lock();
        let used = ledger.in_use();
        // Nothing in use exceeds its capacity, and the capacities of countable things are 32-bit.
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        PoolState {
            capacity: capacity.clone(),
            in_use: Request {
                cpu_millis: used.cpu_millis,
                memory_bytes: used.memory_bytes,
                network_slots: count(used.network_slots),
                named: capacity
                    .named
                    .keys()
                    .cloned()
                    .zip(places.iter().map(|&at| count(used.named[at])))
                    .collect(),
            },
            waiting: ledger.waiting(),
            grants: ledger.grants(),
            granted: ledger.granted(),
            weather: ledger.weather(),
            waits_for_memory: ledger.waits_for_weather(),
        }
    }

    /// Checks a request against what exists, and turns names into indices.
    fn demand(&self, request: &Request) -> Result<Demand, AcquireError> {
        let whole = &self.own.capacity;
        let too_large = |name: &str, asked: u32, capacity: u32| match asked > capacity {
            true => Err(AcquireError::TooLarge {
                name: name.to_owned(),
                asked,
                capacity,
            }),
            false => Ok(()),
        };
        too_large("network", request.network_slots, whole.network_slots)?;
        let mut named = Vec::with_capacity(request.named.len());
        for (name, &asked) in &request.named {
            let known = whole.named.iter().zip(&self.own.places);
            let found = known.into_iter().find(|((known, _), _)| *known == name);
            let Some(((_, capacity), at)) = found else {
                return Err(AcquireError::Unknown {
                    name: name.clone(),
                    nearest: self.nearest(name),
                });
            };
            too_large(name, asked, *capacity)?;
            named.push((*at, u64::from(asked)));
        }
        Ok(Demand {
            cpu_millis: request.cpu_millis.min(whole.cpu_millis),
            memory_bytes: request.memory_bytes.min(whole.memory_bytes),
            network_slots: u64::from(request.network_slots),
            named: named.into(),
        })
    }

    /// The existing name that `name` was probably meant to be.
    fn nearest(&self, name: &str) -> Option<String> {
        const ALIKE: f64 = 0.7;
        let scored = self
            .own
            .capacity
            .named
            .keys()
            .map(|known| (strsim::jaro_winkler(name, known), known));
        let (score, known) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (score >= ALIKE).then(|| known.clone())
    }
}

impl fmt::Debug for ResourcePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

/// A request that is queued, or granted and not yet handed over. Dropping it withdraws it in either state.
struct Wait<'a> {
    own: &'a Arc<Own>,
    ticket: Ticket,
    priority: i64,
    demand: Option<Demand>,
}

impl Wait<'_> {
    fn into_grant(mut self) -> Grant {
        let demand = self.demand.take().unwrap_or_default();
        Grant {
            own: Arc::clone(self.own),
            demand,
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(demand) = self.demand.take() {
            self.own.shared.apply(Event::Withdraw {
                ticket: self.ticket,
                priority: self.priority,
                demand: &demand,
            });
        }
    }
}

/// Resources held; dropping it gives them back and lets the next waiters in.
#[must_use = "dropping a grant gives the resources back"]
pub struct Grant {
    own: Arc<Own>,
    demand: Demand,
}

impl Grant {
    /// CPU held, in thousandths of a core (after clamping to the machine).
    #[must_use]
    pub fn cpu_millis(&self) -> u64 {
        self.demand.cpu_millis
    }

    /// Memory held, in bytes (after clamping to the machine).
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.demand.memory_bytes
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("demand", &self.demand)
            .finish_non_exhaustive()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.own.shared.apply(Event::Release(&self.demand));
    }
}
