#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

type Id = usize;

fn whole() -> Amounts {
    Amounts {
        cpu_millis: 4,
        memory_bytes: 8,
        network_slots: 2,
        named: [1, 3].into(),
    }
}

fn cpu(n: u64) -> Demand {
    Demand {
        cpu_millis: n,
        ..Demand::default()
    }
}

fn ask(ledger: &mut Ledger<Id>, demand: Demand, priority: i64, id: Id) -> Vec<Id> {
    ledger
        .transition(Event::Ask {
            demand,
            priority,
            wake: id,
        })
        .granted
}

fn release(ledger: &mut Ledger<Id>, demand: &Demand) -> Vec<Id> {
    ledger.transition(Event::Release(demand)).granted
}

#[test]
fn priority_goes_before_age() {
    let mut ledger = Ledger::new(whole());
    assert_eq!(ask(&mut ledger, cpu(4), 0, 0), [0]);
    assert!(ask(&mut ledger, cpu(4), 0, 1).is_empty());
    assert!(ask(&mut ledger, cpu(4), 5, 2).is_empty());
    assert!(ask(&mut ledger, cpu(4), 5, 3).is_empty());
    let order: Vec<Id> = (0..4).flat_map(|_| release(&mut ledger, &cpu(4))).collect();
    assert_eq!(order, [2, 3, 1]);
}

#[test]
fn named_resources_come_and_go() {
    let mut ledger = Ledger::<Id>::new(Amounts::default());
    let of = |at, n| Demand {
        named: [(at, n)].into(),
        ..Demand::default()
    };
    let (gpu, licence) = (ledger.add_named(1), ledger.add_named(2));
    assert!(ledger.take_if_free(&of(licence, 2)) && !ledger.take_if_free(&of(licence, 1)));
    assert!(ledger.take_if_free(&of(gpu, 1)));
    release(&mut ledger, &of(gpu, 1));
    ledger.remove_named(gpu);
    assert!(!ledger.take_if_free(&of(gpu, 1)));
    // The next one has its place.
    assert_eq!(ledger.add_named(3), gpu);
    assert!(ledger.take_if_free(&of(gpu, 3)));
}

#[test]
fn what_fits_overtakes_what_does_not() {
    let mut ledger = Ledger::new(whole());
    assert_eq!(ask(&mut ledger, cpu(3), 0, 0), [0]);
    assert!(ask(&mut ledger, cpu(4), 9, 1).is_empty());
    assert_eq!(ask(&mut ledger, cpu(1), 0, 2), [2]);
    assert_eq!(ledger.in_use().cpu_millis, 4);
}

/// A large, unimportant request against an endless stream of small, important ones.
#[test]
fn an_overtaken_request_blocks_the_rest_after_the_bound() {
    let mut ledger = Ledger::new(whole());
    ask(&mut ledger, cpu(1), 9, 0);
    assert!(ask(&mut ledger, cpu(4), 0, 1).is_empty());
    let mut running = 1;
    for id in 2..2 + MAX_OVERTAKES as Id {
        assert_eq!(
            ask(&mut ledger, cpu(1), 9, id),
            [id],
            "still within the bound"
        );
        running += 1;
        if running == 4 {
            assert!(release(&mut ledger, &cpu(1)).is_empty());
            running -= 1;
        }
    }
    assert!(
        ask(&mut ledger, cpu(1), 9, 1000).is_empty(),
        "the bound is reached"
    );
    let mut granted = Vec::new();
    while running > 0 {
        granted.extend(release(&mut ledger, &cpu(1)));
        running -= 1;
    }
    assert_eq!(granted, [1], "the large one goes first, alone");
    assert_eq!(release(&mut ledger, &cpu(4)), [1000]);
}

#[test]
fn withdrawing_the_blocking_waiter_lets_the_others_in() {
    let mut ledger = Ledger::new(whole());
    ask(&mut ledger, cpu(3), 0, 0);
    let large = ledger
        .transition(Event::Ask {
            demand: cpu(4),
            priority: 0,
            wake: 1,
        })
        .ticket
        .unwrap();
    for id in 2..2 + MAX_OVERTAKES as Id {
        ask(&mut ledger, cpu(1), 0, id);
        release(&mut ledger, &cpu(1));
    }
    assert!(ask(&mut ledger, cpu(1), 0, 1000).is_empty());
    let effects = ledger.transition(Event::Withdraw {
        ticket: large,
        priority: 0,
        demand: &cpu(4),
    });
    assert_eq!(effects.granted, [1000]);
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Demand, i64),
    /// Ends the grant at this index (modulo the number of grants).
    Release(usize),
    /// Gives up the waiter at this index (modulo).
    Withdraw(usize),
}

fn demand() -> impl Strategy<Value = Demand> {
    (0..=4u64, 0..=8u64, 0..=2u64, 0..=1u64, 0..=3u64).prop_map(|(c, m, n, a, b)| Demand {
        cpu_millis: c,
        memory_bytes: m,
        network_slots: n,
        named: [(0, a), (1, b)]
            .into_iter()
            .filter(|&(_, n)| n > 0)
            .collect(),
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (demand(), -2..3i64).prop_map(|(d, p)| Step::Ask(d, p)),
        3 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Withdraw),
    ]
}

fn sum(demands: impl Iterator<Item = Demand>) -> Amounts {
    let mut total = Amounts {
        named: [0, 0].into(),
        ..Amounts::default()
    };
    demands.for_each(|d| total.add(&d));
    total
}

proptest! {
    #[test]
    fn books_always_balance(steps in prop::collection::vec(step(), 1..300)) {
        let whole = whole();
        let mut ledger: Ledger<Id> = Ledger::new(whole.clone());
        let mut asked: Vec<(Ticket, i64, Demand)> = Vec::new();
        let (mut waiting, mut running) = (Vec::<Id>::new(), Vec::<Id>::new());
        let mut later: std::collections::HashMap<Id, u32> = std::collections::HashMap::new();
        for step in steps {
            let granted = match step {
                Step::Ask(demand, priority) => {
                    let id = asked.len();
                    let effects = ledger.transition(Event::Ask { demand: demand.clone(), priority, wake: id });
                    asked.push((effects.ticket.unwrap(), priority, demand));
                    waiting.push(id);
                    effects.granted
                }
                Step::Release(at) if !running.is_empty() => {
                    let id = running.swap_remove(at % running.len());
                    ledger.transition(Event::Release(&asked[id].2)).granted
                }
                Step::Withdraw(at) if !waiting.is_empty() => {
                    let id = waiting.swap_remove(at % waiting.len());
                    let (ticket, priority, demand) = &asked[id];
                    ledger.transition(Event::Withdraw { ticket: *ticket, priority: *priority, demand }).granted
                }
                _ => continue,
            };
            for id in granted {
                prop_assert!(waiting.contains(&id), "granted twice, or after it was withdrawn");
                waiting.retain(|&w| w != id);
                running.push(id);
                for older in waiting.iter().filter(|&&w| w < id) {
                    let n = later.entry(*older).or_default();
                    *n += 1;
                    prop_assert!(*n <= MAX_OVERTAKES, "starved");
                }
            }
            let used = sum(running.iter().map(|&id| asked[id].2.clone()));
            prop_assert_eq!(&used, ledger.in_use());
            prop_assert!(used.has_room_for(&Demand::default(), &whole), "over capacity");
            prop_assert_eq!(ledger.waiting(), waiting.len());
            prop_assert!(ledger.next_grantable().is_none(), "something grantable was left waiting");
        }
        // Whatever waits is granted once the others are done.
        while let Some(id) = running.pop() {
            let granted = ledger.transition(Event::Release(&asked[id].2)).granted;
            waiting.retain(|w| !granted.contains(w));
            running.extend(granted);
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(ledger.in_use(), &sum(std::iter::empty()));
    }
}
