#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::PlanBuilder;

#[derive(Clone, Debug)]
struct Case {
    /// What each node needs: smaller numbers only, so there is no cycle.
    needs: Vec<BTreeSet<usize>>,
    outcomes: Vec<Outcome>,
    /// Which of those in flight ends next, modulo their number.
    picks: Vec<usize>,
    keep_going: bool,
    max_in_flight: usize,
    /// How many nodes there are at first, and after how many ends the others are added.
    first: usize,
    added_after: usize,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![12 => Just(Outcome::Succeeded), 2 => Just(Outcome::Failed), 1 => Just(Outcome::Cancelled)]
}

fn case() -> impl Strategy<Value = Case> {
    (1..40usize).prop_flat_map(|count| {
        let needs: Vec<_> = (0..count)
            .map(|at| prop::collection::btree_set(0..at.max(1), 0..=at.min(3)))
            .collect();
        let outcomes = prop::collection::vec(outcome(), count);
        let picks = prop::collection::vec(any::<usize>(), count);
        let growth = (1..=count, 0..count);
        (needs, outcomes, picks, any::<bool>(), 1..6usize, growth).prop_map(
            |(needs, outcomes, picks, keep_going, max_in_flight, (first, added_after))| Case {
                needs,
                outcomes,
                picks,
                keep_going,
                max_in_flight,
                first,
                added_after,
            },
        )
    })
}

fn plan(needs: &[BTreeSet<usize>]) -> Plan {
    let mut builder = PlanBuilder::new();
    let ids: Vec<PlanId> = (0..needs.len())
        .map(|at| builder.add(at.to_string(), None).unwrap())
        .collect();
    for (at, needs) in needs.iter().enumerate() {
        needs
            .iter()
            .for_each(|need| builder.needs(ids[at], ids[*need]));
    }
    builder.build().unwrap()
}

/// The nodes from number `first` on, as they are added to those before.
fn added(needs: &[BTreeSet<usize>], first: usize) -> Extension {
    let id = |at| PlanId::from_index(at).unwrap();
    let mut own = vec![BTreeSet::new(); needs.len() - first];
    let mut earlier = Vec::new();
    for (at, needs) in needs[first..].iter().enumerate() {
        for need in needs {
            match need.checked_sub(first) {
                Some(need) => drop(own[at].insert(need)),
                None => earlier.push((id(at), id(*need))),
            }
        }
    }
    Extension {
        plan: plan(&own),
        needs: earlier,
    }
}

/// Whether something that `at` needs, at whatever distance, is in `set`.
fn behind(needs: &[BTreeSet<usize>], at: usize, set: &BTreeSet<usize>) -> bool {
    needs[at]
        .iter()
        .any(|need| set.contains(need) || behind(needs, *need, set))
}

proptest! {
    #[test]
    fn what_runs_is_exactly_what_may(case in case()) {
        let plan = plan(&case.needs[..case.first]);
        let mut count = case.first;
        let mut ended = 0;
        let options = ScheduleOptions { keep_going: case.keep_going, max_in_flight: case.max_in_flight };
        let mut progress = Progress::new(&plan, options);
        let (mut started, mut succeeded) = (BTreeSet::new(), BTreeSet::new());
        let (mut failed, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
        let mut in_flight: Vec<PlanId> = Vec::new();
        let may_start = |count: usize, started: &BTreeSet<usize>, succeeded: &BTreeSet<usize>| -> Vec<PlanId> {
            (0..count)
                .filter_map(PlanId::from_index)
                .filter(|id| !started.contains(&id.index()) && case.needs[id.index()].is_subset(succeeded))
                .collect()
        };
        loop {
            while let Some(id) = progress.start_next() {
                let urgent = may_start(count, &started, &succeeded).into_iter().map(|id| progress.priority(id)).max();
                prop_assert_eq!(Some(progress.priority(id)), urgent, "not the most urgent one, or not ready");
                prop_assert!(started.insert(id.index()), "started twice");
                prop_assert!(case.keep_going || failed.is_empty(), "started after a failure");
                in_flight.push(id);
            }
            prop_assert!(in_flight.len() <= case.max_in_flight);
            let idle = in_flight.len() < case.max_in_flight && !may_start(count, &started, &succeeded).is_empty();
            prop_assert!(!idle || progress.is_stopped(), "idle while something is ready");
            if in_flight.is_empty() {
                break;
            }
            let pick = case.picks[started.len() - in_flight.len()] % in_flight.len();
            let id = in_flight.swap_remove(pick);
            let outcome = case.outcomes[id.index()];
            match outcome {
                Outcome::Succeeded => succeeded.insert(id.index()),
                Outcome::Failed => failed.insert(id.index()),
                Outcome::Cancelled => cancelled.insert(id.index()),
            };
            if ended == case.added_after {
                progress.transition(Event::Grow(added(&case.needs, case.first)));
                count = case.needs.len();
            }
            ended += 1;
            progress.transition(Event::Finished(id, outcome));
        }
        let ends = progress.into_ends();
        prop_assert_eq!(ends.len(), count);
        for (at, end) in ends.into_iter().enumerate() {
            let ok = match end {
                End::Succeeded => succeeded.contains(&at),
                End::Failed => failed.contains(&at),
                End::Cancelled => cancelled.contains(&at),
                End::Skipped { because } => {
                    !started.contains(&at) && behind(&case.needs, at, &[because.index()].into())
                }
                End::NotStarted => {
                    let spared = behind(&case.needs, at, &cancelled) || !case.keep_going && !failed.is_empty();
                    !started.contains(&at) && !behind(&case.needs, at, &failed) && spared
                }
            };
            prop_assert!(ok, "node {} ended as {:?}", at, end);
        }
    }
}
