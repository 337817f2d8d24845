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

/// How often each flight is in here. Most hold one, which takes no allocation.
#[derive(Default)]
struct Bag {
    one: Option<(FlightId, u32)>,
    more: IdMap<u32>,
}

impl Bag {
    fn contains(&self, id: FlightId) -> bool {
        self.one.is_some_and(|(one, _)| one == id) || self.more.contains_key(&id)
    }

    fn add(&mut self, id: FlightId) {
        match &mut self.one {
            Some((one, times)) if *one == id => *times += 1,
            None if !self.more.contains_key(&id) => self.one = Some((id, 1)),
            _ => *self.more.entry(id).or_insert(0) += 1,
        }
    }

    fn take(&mut self, id: FlightId) {
        let times = match &mut self.one {
            Some((one, times)) if *one == id => times,
            _ => match self.more.get_mut(&id) {
                Some(times) => times,
                None => return,
            },
        };
        *times -= 1;
        if *times == 0 {
            self.forget(id);
        }
    }

    /// Takes all of `id`.
    fn forget(&mut self, id: FlightId) {
        if self.one.take_if(|(one, _)| *one == id).is_none() {
            self.more.remove(&id);
        }
    }

    fn ids(&self) -> impl Iterator<Item = FlightId> {
        self.one
            .iter()
            .map(|(one, _)| *one)
            .chain(self.more.keys().copied())
    }
}

struct Vertex {
    flight: Arc<Flight>,
    order: u64,
    /// What it waits for, as often as it asked; some may have ended.
    waits_for: Bag,
    /// Who waits for it, as often as they asked; all under way.
    waited_by: Bag,
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
        let mut waited_by = Bag::default();
        if let Some(asker) = asker
            && let Some(vertex) = self.vertices.get_mut(&asker)
        {
            vertex.waits_for.add(id);
            waited_by.add(asker);
        }
        let vertex = Vertex {
            flight: flight.clone(),
            order: self.last,
            waits_for: Bag::default(),
            waited_by,
        };
        self.vertices.insert(id, vertex);
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
        if from.order > to.order && !from.waits_for.contains(target) {
            let (floor, ceiling) = (to.order, from.order);
            let ahead = self.ahead(target, asker, ceiling)?;
            let behind = self.behind(asker, floor);
            self.reorder(behind, ahead);
        }
        if let Some(from) = self.vertices.get_mut(&asker) {
            from.waits_for.add(target);
        }
        if let Some(to) = self.vertices.get_mut(&target) {
            to.waited_by.add(asker);
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
            for next in self.vertices[&id].waits_for.ids() {
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
            for next in self.vertices[&id].waited_by.ids() {
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
        // An asker that ended has taken all of its waits back already.
        let Some(from) = self.vertices.get_mut(&asker) else {
            return;
        };
        from.waits_for.take(target);
        if let Some(to) = self.vertices.get_mut(&target) {
            to.waited_by.take(asker);
        }
    }

    /// Takes out a flight that ended, with all its waits. Those who waited for it keep a wait that leads
    /// nowhere until they [`leave`](Self::leave).
    pub(crate) fn end(&mut self, flight: FlightId) {
        let Some(vertex) = self.vertices.remove(&flight) else {
            return;
        };
        for target in vertex.waits_for.ids() {
            if let Some(to) = self.vertices.get_mut(&target) {
                to.waited_by.forget(flight);
            }
        }
    }

    /// How many flights are under way.
    pub(crate) fn len(&self) -> usize {
        self.vertices.len()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::revision::Revision;
    use crate::store::NodeId;

    /// The reference: edges with their counts, searched from one end to the other each time.
    #[derive(Default)]
    struct Plain(HashMap<(u64, u64), u32>);

    impl Plain {
        fn leads(&self, from: u64, to: u64) -> bool {
            let mut seen = vec![from];
            let mut at = 0;
            while let Some(&id) = seen.get(at) {
                let next: Vec<u64> = self
                    .0
                    .keys()
                    .filter(|(a, _)| *a == id)
                    .map(|&(_, b)| b)
                    .collect();
                seen.extend(
                    next.into_iter()
                        .filter(|b| !seen.contains(b))
                        .collect::<Vec<_>>(),
                );
                at += 1;
            }
            seen.contains(&to)
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Start(Option<u64>),
        Join(u64, u64),
        Leave(u64, u64),
        End(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 1..25_u64;
        prop_oneof![
            2 => prop::option::of(id.clone()).prop_map(Step::Start),
            6 => (id.clone(), id.clone()).prop_map(|(a, b)| Step::Join(a, b)),
            2 => (id.clone(), id.clone()).prop_map(|(a, b)| Step::Leave(a, b)),
            1 => id.prop_map(Step::End),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn finds_exactly_the_cycles_that_there_are(steps in prop::collection::vec(step(), 1..200)) {
            let node = NodeId::default();
            let mut waits = Waits::default();
            let mut plain = Plain::default();
            let mut alive = Vec::new();
            for step in steps {
                match step {
                    Step::Start(asker) => {
                        let asker = asker.filter(|a| alive.contains(a));
                        let flight =
                            waits.start(asker.map(FlightId), |id| Flight::new(id, node, Revision::new(1), Revision::new(1)));
                        alive.push(flight.id.0);
                        if let Some(asker) = asker {
                            plain.0.insert((asker, flight.id.0), 1);
                        }
                    }
                    Step::Join(a, b) if alive.contains(&a) && alive.contains(&b) => {
                        match waits.join(FlightId(a), FlightId(b)) {
                            Ok(()) => {
                                prop_assert!(!plain.leads(b, a));
                                *plain.0.entry((a, b)).or_insert(0) += 1;
                            }
                            Err(cycle) => {
                                let ids: Vec<u64> = cycle.iter().map(|flight| flight.id.0).collect();
                                prop_assert_eq!(ids[0], a);
                                prop_assert_eq!(ids.get(1).copied().unwrap_or(a), b);
                                for (i, from) in ids.iter().enumerate().skip(1) {
                                    let to = ids[(i + 1) % ids.len()];
                                    prop_assert!(plain.0.contains_key(&(*from, to)), "{:?}", ids);
                                }
                            }
                        }
                    }
                    Step::Leave(a, b) if plain.0.contains_key(&(a, b)) => {
                        waits.leave(FlightId(a), FlightId(b));
                        let times = plain.0.get_mut(&(a, b)).unwrap();
                        *times -= 1;
                        if *times == 0 {
                            plain.0.remove(&(a, b));
                        }
                    }
                    Step::End(id) if alive.contains(&id) => {
                        waits.end(FlightId(id));
                        alive.retain(|&other| other != id);
                        let askers: Vec<_> = plain.0.iter().filter(|((_, b), _)| *b == id).map(|(e, t)| (*e, *t)).collect();
                        plain.0.retain(|&(a, b), _| a != id && b != id);
                        for ((asker, _), times) in askers {
                            (0..times).for_each(|_| waits.leave(FlightId(asker), FlightId(id)));
                        }
                    }
                    _ => {}
                }
                for (&(a, b), &times) in &plain.0 {
                    let (from, to) = (&waits.vertices[&FlightId(a)], &waits.vertices[&FlightId(b)]);
                    prop_assert!(from.order < to.order);
                    prop_assert!(times > 0 && from.waits_for.contains(FlightId(b)));
                    prop_assert!(to.waited_by.contains(FlightId(a)));
                }
                prop_assert_eq!(waits.len(), alive.len());
                let edges: usize = waits.vertices.values().map(|v| v.waited_by.ids().count()).sum();
                prop_assert_eq!(edges, plain.0.len());
            }
        }
    }
}
