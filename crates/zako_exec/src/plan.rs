//! What is to be run and what has to be done before what, in a compact and unchanging form.
//!
//! It must never know what a node does: a node is a name for messages and a guess of how long it takes.
//!
//! **Invariant:** a [`Plan`] has no cycle. Ids are dense: the n-th node added is `PlanId` n, counted from one.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::Priority;

/// A node of a plan; stands for an index into dense tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId(NonZeroU32);

impl PlanId {
    /// The id of the node at `index`, counted from zero; `None` beyond 2³²−2.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        let number = u32::try_from(index).ok()?.checked_add(1)?;
        NonZeroU32::new(number).map(Self)
    }

    /// The index into tables of nodes, counted from zero.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Why nodes and edges do not make a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nodes that wait for each other. Each needs the one after it; the last one needs the first.
    #[error("these actions need each other in a circle: {}", circle(.path))]
    Cycle {
        /// The names on the cycle, once each.
        path: Vec<String>,
    },
    /// More nodes than ids.
    #[error("a plan can't have more than {} actions", u32::MAX - 1)]
    TooManyNodes,
}

fn circle(path: &[String]) -> String {
    let first = path.first().map(String::as_str).unwrap_or_default();
    path.iter()
        .map(String::as_str)
        .chain([first])
        .collect::<Vec<_>>()
        .join(" → ")
}

/// Collects nodes and edges.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    names: Vec<Box<str>>,
    costs: Vec<Option<Duration>>,
    /// (dependency, dependent)
    edges: Vec<(PlanId, PlanId)>,
}

impl PlanBuilder {
    /// A builder with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node. `cost` is how long it took when it ran before, `None` if that isn't known.
    ///
    /// # Errors
    /// [`PlanError::TooManyNodes`] beyond four thousand million.
    pub fn add(
        &mut self,
        name: impl Into<Box<str>>,
        cost: Option<Duration>,
    ) -> Result<PlanId, PlanError> {
        let id = PlanId::from_index(self.names.len()).ok_or(PlanError::TooManyNodes)?;
        self.names.push(name.into());
        self.costs.push(cost);
        Ok(id)
    }

    /// Says that `node` starts only after `needs` has succeeded. Saying it twice is the same as once.
    ///
    /// # Panics
    /// If an id is not of this builder (a mistake of the caller).
    pub fn needs(&mut self, node: PlanId, needs: PlanId) {
        assert!(
            node.index() < self.names.len() && needs.index() < self.names.len(),
            "an id of another plan"
        );
        self.edges.push((needs, node));
    }

    /// Checks and compresses.
    ///
    /// # Errors
    /// [`PlanError::Cycle`] with the names on one cycle.
    pub fn build(mut self) -> Result<Plan, PlanError> {
        self.edges.sort_unstable();
        self.edges.dedup();
        let count = self.names.len();
        let mut starts = vec![0usize; count + 1];
        let mut needs = vec![0u32; count];
        for (from, to) in &self.edges {
            starts[from.index() + 1] += 1;
            needs[to.index()] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let dependents = self.edges.iter().map(|&(_, to)| to).collect();
        let mut plan = Plan {
            names: self.names,
            starts,
            dependents,
            needs,
            priorities: Vec::new(),
        };
        let order = plan.topological();
        if order.len() < count {
            return Err(PlanError::Cycle {
                path: plan.cycle(&order, &self.edges),
            });
        }
        plan.priorities = plan.critical_paths(&order, &self.costs);
        Ok(plan)
    }
}

/// An acyclic graph of work, ready to be run by a [`crate::Scheduler`].
#[derive(Debug)]
pub struct Plan {
    names: Vec<Box<str>>,
    /// `dependents[starts[i]..starts[i + 1]]` wait for node i.
    starts: Vec<usize>,
    dependents: Vec<PlanId>,
    /// How many nodes each node waits for.
    needs: Vec<u32>,
    priorities: Vec<Priority>,
}

impl Plan {
    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All nodes, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = PlanId> + use<> {
        (0..self.names.len()).filter_map(PlanId::from_index)
    }

    /// The name that a node was added with.
    #[must_use]
    pub fn name(&self, id: PlanId) -> &str {
        &self.names[id.index()]
    }

    /// The nodes that wait for `id`, sorted.
    #[must_use]
    pub fn dependents(&self, id: PlanId) -> &[PlanId] {
        &self.dependents[self.starts[id.index()]..self.starts[id.index() + 1]]
    }

    /// How many nodes `id` waits for.
    #[must_use]
    pub fn need_count(&self, id: PlanId) -> u32 {
        self.needs[id.index()]
    }

    /// How long the longest chain of work is that starts with `id`, in microseconds: what is done first.
    ///
    /// Nodes without a known cost count as the mean of the known ones, or as one each if none is known.
    #[must_use]
    pub fn priority(&self, id: PlanId) -> Priority {
        self.priorities[id.index()]
    }

    /// Nodes in an order that respects the edges; those on or behind a cycle are missing.
    fn topological(&self) -> Vec<PlanId> {
        let mut missing = self.needs.clone();
        let mut order: Vec<PlanId> = self.ids().filter(|id| missing[id.index()] == 0).collect();
        let mut next = 0;
        while let Some(&id) = order.get(next) {
            next += 1;
            for dependent in self.dependents(id) {
                missing[dependent.index()] -= 1;
                if missing[dependent.index()] == 0 {
                    order.push(*dependent);
                }
            }
        }
        order
    }

    /// One cycle among the nodes that are not in `order`.
    fn cycle(&self, order: &[PlanId], edges: &[(PlanId, PlanId)]) -> Vec<String> {
        let mut stuck = vec![true; self.len()];
        for id in order {
            stuck[id.index()] = false;
        }
        // Each stuck node needs a stuck node, so following these leads onto a cycle.
        let mut needs_stuck = vec![None; self.len()];
        for &(needed, node) in edges
            .iter()
            .filter(|(needed, node)| stuck[needed.index()] && stuck[node.index()])
        {
            needs_stuck[node.index()].get_or_insert(needed);
        }
        let mut walk = Vec::new();
        let mut seen_at = vec![None; self.len()];
        let mut at = self.ids().find(|id| stuck[id.index()]);
        while let Some(id) = at {
            if let Some(start) = seen_at[id.index()] {
                walk.drain(..start);
                break;
            }
            seen_at[id.index()] = Some(walk.len());
            walk.push(id);
            at = needs_stuck[id.index()];
        }
        walk.into_iter()
            .map(|id| self.name(id).to_owned())
            .collect()
    }

    fn critical_paths(&self, order: &[PlanId], costs: &[Option<Duration>]) -> Vec<Priority> {
        let micros = |cost: &Duration| i64::try_from(cost.as_micros()).unwrap_or(i64::MAX).max(1);
        let known: Vec<i64> = costs.iter().flatten().map(micros).collect();
        let count = i64::try_from(known.len()).unwrap_or(i64::MAX).max(1);
        let unknown = known
            .iter()
            .fold(0i64, |sum, cost| sum.saturating_add(*cost))
            .checked_div(count)
            .unwrap_or(1)
            .max(1);
        let mut paths = vec![Priority(0); self.len()];
        for &id in order.iter().rev() {
            let behind = self
                .dependents(id)
                .iter()
                .map(|d| paths[d.index()].0)
                .max()
                .unwrap_or(0);
            let own = costs[id.index()].as_ref().map_or(unknown, micros);
            paths[id.index()] = Priority(own.saturating_add(behind));
        }
        paths
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn build(costs: &[Option<u64>], edges: &[(usize, usize)]) -> Result<Plan, PlanError> {
        let mut builder = PlanBuilder::new();
        let ids: Vec<PlanId> = costs
            .iter()
            .enumerate()
            .map(|(n, cost)| {
                builder
                    .add(format!("n{n}"), cost.map(Duration::from_micros))
                    .unwrap()
            })
            .collect();
        for &(node, needs) in edges {
            builder.needs(ids[node], ids[needs]);
        }
        builder.build()
    }

    fn priorities(plan: &Plan) -> Vec<i64> {
        plan.ids().map(|id| plan.priority(id).0).collect()
    }

    #[test]
    fn ids_are_dense_and_small() {
        assert_eq!(size_of::<Option<PlanId>>(), 4);
        assert_eq!(PlanId::from_index(0).unwrap().index(), 0);
        assert_eq!(PlanId::from_index(u32::MAX as usize), None);
    }

    #[test]
    fn critical_path_is_the_longest_chain() {
        // 0 ← 1 ← 3, 0 ← 2 ← 3
        let plan = build(
            &[Some(1), Some(10), Some(2), Some(5)],
            &[(1, 0), (2, 0), (3, 1), (3, 2)],
        )
        .unwrap();
        assert_eq!(priorities(&plan), [16, 15, 7, 5]);
    }

    #[test]
    fn unknown_costs_are_the_mean_or_the_structure() {
        assert_eq!(
            priorities(&build(&[Some(10), None, Some(20)], &[]).unwrap()),
            [10, 15, 20]
        );
        assert_eq!(
            priorities(&build(&[None, None, None], &[(1, 0), (2, 1)]).unwrap()),
            [3, 2, 1]
        );
    }

    #[test]
    fn duplicate_edges_count_once() {
        let plan = build(&[None, None], &[(1, 0), (1, 0)]).unwrap();
        let [first, second] = plan.ids().collect::<Vec<_>>()[..] else {
            panic!("two nodes")
        };
        assert_eq!(plan.need_count(second), 1);
        assert_eq!(plan.dependents(first), [second]);
    }

    #[test]
    fn a_cycle_is_named_without_what_hangs_on_it() {
        // 0 is before, 4 behind the cycle 1 → 3 → 2 → 1.
        let error = build(&[None; 5], &[(1, 0), (1, 3), (3, 2), (2, 1), (4, 2)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "these actions need each other in a circle: n1 → n3 → n2 → n1"
        );
        let alone = build(&[None], &[(0, 0)]).unwrap_err();
        assert_eq!(
            alone,
            PlanError::Cycle {
                path: vec!["n0".to_owned()]
            }
        );
    }

    #[test]
    fn nothing_is_a_plan() {
        assert!(build(&[], &[]).unwrap().is_empty());
    }
}
