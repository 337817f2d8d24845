//! The books of the resource pool: what is in use, who waits, and who is next.
//!
//! It must never know locks, threads, futures or names: amounts are numbers, a waiter is a value `W` that the owner
//! wakes after it has left its lock.
//!
//! **Invariants:** what is in use never exceeds the capacity, in any dimension. Whatever the weather, a request is granted
//! when nothing is in use. Every change goes through
//! [`Ledger::transition`]. A waiter is granted whole or not at all.
//!
//! **Order.** Higher priority first, then the older. A waiter that does not fit is overtaken by later ones that do. A
//! waiter which has seen [`MAX_OVERTAKES`] grants to requests that came after it is *aged*: aged waiters stand before
//! all others, oldest first, and the first one that does not fit stops everybody behind it. So each waiter is granted
//! after at most `MAX_OVERTAKES` younger requests (besides the ones older than it), however large or unimportant it is.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::pressure::Weather;

/// How many requests that came later may be granted before a waiter until it stops them.
pub(crate) const MAX_OVERTAKES: u32 = 64;

/// How many requests may wait at once.
pub(crate) const MAX_WAITING: usize = 1 << 20;

/// An amount of each resource; `named` holds (index, count) pairs with distinct indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) network_slots: u64,
    pub(crate) named: Box<[(usize, u64)]>,
}

/// The whole of each resource, or the part that is in use; `named` is indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) network_slots: u64,
    pub(crate) named: Vec<u64>,
}

impl Amounts {
    fn has_room_for(&self, demand: &Demand, capacity: &Amounts) -> bool {
        let fits = |used: u64, asked: u64, whole: u64| {
            used.checked_add(asked).is_some_and(|sum| sum <= whole)
        };
        fits(self.cpu_millis, demand.cpu_millis, capacity.cpu_millis)
            && fits(
                self.memory_bytes,
                demand.memory_bytes,
                capacity.memory_bytes,
            )
            && fits(
                self.network_slots,
                demand.network_slots,
                capacity.network_slots,
            )
            && demand
                .named
                .iter()
                .all(|&(at, n)| fits(self.named[at], n, capacity.named[at]))
    }

    fn add(&mut self, demand: &Demand) {
        self.cpu_millis += demand.cpu_millis;
        self.memory_bytes += demand.memory_bytes;
        self.network_slots += demand.network_slots;
        for &(at, n) in &demand.named {
            self.named[at] += n;
        }
    }

    fn subtract(&mut self, demand: &Demand) {
        self.cpu_millis -= demand.cpu_millis;
        self.memory_bytes -= demand.memory_bytes;
        self.network_slots -= demand.network_slots;
        for &(at, n) in &demand.named {
            self.named[at] -= n;
        }
    }
}

/// A request's place in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Where a waiter stands. Smaller goes first: the aged before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Aged(Ticket),
    Fresh(Reverse<i64>, Ticket),
}

impl Rank {
    fn ticket(self) -> Ticket {
        match self {
            Rank::Aged(ticket) | Rank::Fresh(_, ticket) => ticket,
        }
    }
}

struct Waiter<W> {
    demand: Demand,
    overtaken: u32,
    wake: W,
}

/// What can happen to the books.
pub(crate) enum Event<'a, W> {
    /// Somebody wants `demand` and is ready to wait for it.
    Ask {
        demand: Demand,
        priority: i64,
        wake: W,
    },
    /// A grant has ended.
    Release(&'a Demand),
    /// The machine was looked at.
    Observe(Weather),
    /// A request is given up: if it still waits it is forgotten, if it was granted meanwhile it is released.
    Withdraw {
        ticket: Ticket,
        priority: i64,
        demand: &'a Demand,
    },
}

/// What the owner has to do after a transition.
pub(crate) struct Effects<W> {
    /// The ticket of an [`Event::Ask`]; `None` if the queue is full (and nothing changed).
    pub(crate) ticket: Option<Ticket>,
    /// Waiters that were granted, in order. They may include the one that just asked.
    pub(crate) granted: Vec<W>,
}

pub(crate) struct Ledger<W> {
    capacity: Amounts,
    in_use: Amounts,
    waiting: BTreeMap<Rank, Waiter<W>>,
    next: u64,
    /// How many grants are out.
    grants: usize,
    /// How many grants there were since the beginning.
    granted: u64,
    weather: Option<Weather>,
    /// Indices of named resources that nobody has any more.
    unused: Vec<usize>,
}

impl<W> Ledger<W> {
    pub(crate) fn new(capacity: Amounts) -> Self {
        let in_use = Amounts {
            named: vec![0; capacity.named.len()],
            ..Amounts::default()
        };
        Self {
            capacity,
            in_use,
            waiting: BTreeMap::new(),
            next: 0,
            grants: 0,
            granted: 0,
            weather: None,
            unused: Vec::new(),
        }
    }

    /// There is so much more of something: gives its index.
    pub(crate) fn add_named(&mut self, count: u64) -> usize {
        match self.unused.pop() {
            Some(at) => {
                self.capacity.named[at] = count;
                at
            }
            None => {
                self.capacity.named.push(count);
                self.in_use.named.push(0);
                self.capacity.named.len() - 1
            }
        }
    }

    /// The opposite. Nothing of it may be in use or waited for.
    pub(crate) fn remove_named(&mut self, at: usize) {
        self.capacity.named[at] = 0;
        self.unused.push(at);
    }

    pub(crate) fn in_use(&self) -> &Amounts {
        &self.in_use
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn grants(&self) -> usize {
        self.grants
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted
    }

    pub(crate) fn weather(&self) -> Option<Weather> {
        self.weather
    }

    /// Whether some waiter would fit into the capacity and is held up by the machine alone.
    pub(crate) fn waits_for_weather(&self) -> bool {
        self.waiting.values().any(|waiter| {
            self.in_use.has_room_for(&waiter.demand, &self.capacity) && !self.suits(&waiter.demand)
        })
    }

    /// Whether the machine has what `demand` asks for, as far as is known. Somebody may always run.
    fn suits(&self, demand: &Demand) -> bool {
        let has_room =
            |weather: Weather| weather.has_room_for(demand.memory_bytes, self.in_use.memory_bytes);
        self.grants == 0 || self.weather.is_none_or(has_room)
    }

    fn fits(&self, demand: &Demand) -> bool {
        self.in_use.has_room_for(demand, &self.capacity) && self.suits(demand)
    }

    fn grant(&mut self, demand: &Demand) {
        self.in_use.add(demand);
        self.grants += 1;
        self.granted += 1;
    }

    fn release(&mut self, demand: &Demand) {
        self.in_use.subtract(demand);
        self.grants -= 1;
    }

    /// The short way for the common case: nobody waits and it fits. Says whether it was granted.
    pub(crate) fn take_if_free(&mut self, demand: &Demand) -> bool {
        let free = self.waiting.is_empty() && self.fits(demand);
        if free {
            self.grant(demand);
        }
        free
    }

    /// The one place where counters, queue and grants change (besides [`Ledger::take_if_free`]).
    ///
    /// A demand must fit into the whole capacity; the pool sees to that before it asks.
    pub(crate) fn transition(&mut self, event: Event<'_, W>) -> Effects<W> {
        let mut effects = Effects {
            ticket: None,
            granted: Vec::new(),
        };
        match event {
            Event::Ask {
                demand,
                priority,
                wake,
            } => {
                if self.waiting.len() >= MAX_WAITING {
                    return effects;
                }
                let ticket = Ticket(self.next);
                self.next += 1;
                effects.ticket = Some(ticket);
                self.waiting.insert(
                    Rank::Fresh(Reverse(priority), ticket),
                    Waiter {
                        demand,
                        overtaken: 0,
                        wake,
                    },
                );
            }
            Event::Release(demand) => self.release(demand),
            Event::Observe(weather) => self.weather = Some(weather),
            Event::Withdraw {
                ticket,
                priority,
                demand,
            } => {
                let waited = self
                    .waiting
                    .remove(&Rank::Fresh(Reverse(priority), ticket))
                    .is_some()
                    || self.waiting.remove(&Rank::Aged(ticket)).is_some();
                if !waited {
                    self.release(demand);
                }
            }
        }
        while let Some(rank) = self.next_grantable() {
            let Some(waiter) = self.waiting.remove(&rank) else {
                break;
            };
            self.grant(&waiter.demand);
            effects.granted.push(waiter.wake);
            self.age_those_before(rank.ticket());
        }
        effects
    }

    /// The first waiter in order that fits, unless an aged one that does not fit stands before it.
    fn next_grantable(&self) -> Option<Rank> {
        for (rank, waiter) in &self.waiting {
            if self.fits(&waiter.demand) {
                return Some(*rank);
            }
            if matches!(rank, Rank::Aged(_)) {
                return None;
            }
        }
        None
    }

    /// Counts one overtaking for every waiter that is older than `granted`.
    fn age_those_before(&mut self, granted: Ticket) {
        let mut aged = Vec::new();
        for (rank, waiter) in &mut self.waiting {
            if rank.ticket() < granted {
                waiter.overtaken = waiter.overtaken.saturating_add(1);
                if waiter.overtaken >= MAX_OVERTAKES && matches!(rank, Rank::Fresh(..)) {
                    aged.push(*rank);
                }
            }
        }
        for rank in aged {
            if let Some(waiter) = self.waiting.remove(&rank) {
                self.waiting.insert(Rank::Aged(rank.ticket()), waiter);
            }
        }
    }
}

#[cfg(test)]
mod tests;
