//! Who waits for whom among the computations under way: the place where cycles are seen.
//!
//! Keeps an order of all flights in which each comes before those that it waits for (the online
//! topological order of Pearce and Kelly, 2006). A new flight goes to the end, so starting one is never a
//! search; joining one is a search only where the order disagrees, and only through what lies between.
//!
//! **Invariant:** the edges have no cycle, and `order` of an asker is below that of what it waits for.
//! An edge that would close a cycle is not added; the cycle is returned instead.

use std::collections::HashMap;
use std::sync::Arc;

use crate::flight::{Flight, FlightId, IdHash};

type IdMap<V> = HashMap<FlightId, V, IdHash>;

struct Vertex {
    flight: Arc<Flight>,
    order: u64,
    /// What it waits for, and how often it asked.
    waits_for: IdMap<u32>,
    waited_by: IdMap<()>,
}

/// The flights under way and their waits.
#[derive(Default)]
pub(crate) struct Waits {
    last: u64,
    vertices: IdMap<Vertex>,
}

impl Waits {
    /// Adds a flight that `asker` (if it is a computation at all) waits for.
    pub(crate) fn start(
        &mut self,
        asker: Option<FlightId>,
        make: impl FnOnce(FlightId) -> Flight,
    ) -> Arc<Flight> {
        self.last += 1;
        let id = FlightId(self.last);
        let flight = Arc::new(make(id));
        let mut waited_by = IdMap::default();
        if let Some(asker) = asker
            && let Some(vertex) = self.vertices.get_mut(&asker)
        {
            vertex.waits_for.insert(id, 1);
            waited_by.insert(asker, ());
        }
        self.vertices.insert(
            id,
            Vertex {
                flight: flight.clone(),
                order: self.last,
                waits_for: IdMap::default(),
                waited_by,
            },
        );
        flight
    }

    /// Makes `asker` wait for `target`, which is under way already or has just ended.
    ///
    /// # Errors
    /// The flights of the cycle that this would close, each waiting for the next, the last for the first.
    pub(crate) fn join(
        &mut self,
        asker: FlightId,
        target: FlightId,
    ) -> Result<(), Vec<Arc<Flight>>> {
        let (Some(from), Some(to)) = (self.vertices.get(&asker), self.vertices.get(&target)) else {
            return Ok(());
        };
        if asker == target {
            return Err(vec![from.flight.clone()]);
        }
        if from.order > to.order && !from.waits_for.contains_key(&target) {
            let (floor, ceiling) = (to.order, from.order);
            let ahead = self.ahead(target, asker, ceiling)?;
            let behind = self.behind(asker, floor);
            self.reorder(behind, ahead);
        }
        if let Some(from) = self.vertices.get_mut(&asker) {
            *from.waits_for.entry(target).or_insert(0) += 1;
        }
        if let Some(to) = self.vertices.get_mut(&target) {
            to.waited_by.insert(asker, ());
        }
        Ok(())
    }

    /// All that `start` waits for, itself included, ordered up to `ceiling`; the cycle if `sought` is
    /// among them.
    fn ahead(
        &self,
        start: FlightId,
        sought: FlightId,
        ceiling: u64,
    ) -> Result<Vec<FlightId>, Vec<Arc<Flight>>> {
        let mut came_from = IdMap::default();
        came_from.insert(start, start);
        let mut stack = vec![start];
        while let Some(id) = stack.pop() {
            if id == sought {
                let mut cycle = vec![id];
                let mut at = id;
                while at != start {
                    at = came_from[&at];
                    cycle.push(at);
                }
                // From the sought one to the start, each waited for by the next one: turn it round, and
                // let the sought one, which is to wait for the start, come first.
                cycle[1..].reverse();
                return Err(cycle
                    .iter()
                    .map(|id| self.vertices[id].flight.clone())
                    .collect());
            }
            for &next in self.vertices[&id].waits_for.keys() {
                let within = self.vertices.get(&next).is_some_and(|v| v.order <= ceiling);
                if within && !came_from.contains_key(&next) {
                    came_from.insert(next, id);
                    stack.push(next);
                }
            }
        }
        Ok(came_from.into_keys().collect())
    }

    /// All that wait for `start`, itself included, ordered down to `floor`.
    fn behind(&self, start: FlightId, floor: u64) -> Vec<FlightId> {
        let mut seen = IdMap::default();
        seen.insert(start, ());
        let mut stack = vec![start];
        while let Some(id) = stack.pop() {
            for &next in self.vertices[&id].waited_by.keys() {
                let within = self.vertices.get(&next).is_some_and(|v| v.order >= floor);
                if within && seen.insert(next, ()).is_none() {
                    stack.push(next);
                }
            }
        }
        seen.into_keys().collect()
    }

    /// Shares out the places of both sets anew: those behind first, each set in the order it had.
    fn reorder(&mut self, mut behind: Vec<FlightId>, mut ahead: Vec<FlightId>) {
        let order = |id: &FlightId| self.vertices[id].order;
        behind.sort_unstable_by_key(order);
        ahead.sort_unstable_by_key(order);
        behind.append(&mut ahead);
        let mut places: Vec<u64> = behind.iter().map(order).collect();
        places.sort_unstable();
        for (id, place) in behind.iter().zip(places) {
            if let Some(vertex) = self.vertices.get_mut(id) {
                vertex.order = place;
            }
        }
    }

    /// Takes back one wait of `asker` for `target`; either may have ended.
    pub(crate) fn leave(&mut self, asker: FlightId, target: FlightId) {
        if let Some(from) = self.vertices.get_mut(&asker)
            && let Some(times) = from.waits_for.get_mut(&target)
        {
            *times -= 1;
            if *times > 0 {
                return;
            }
            from.waits_for.remove(&target);
        }
        if let Some(to) = self.vertices.get_mut(&target) {
            to.waited_by.remove(&asker);
        }
    }

    /// Takes out a flight that ended, with all its waits. Those who waited for it keep a wait that leads
    /// nowhere until they [`leave`](Self::leave).
    pub(crate) fn end(&mut self, flight: FlightId) {
        if let Some(vertex) = self.vertices.remove(&flight) {
            for target in vertex.waits_for.keys() {
                if let Some(to) = self.vertices.get_mut(target) {
                    to.waited_by.remove(&flight);
                }
            }
        }
    }

    /// How many flights are under way.
    pub(crate) fn len(&self) -> usize {
        self.vertices.len()
    }
}
