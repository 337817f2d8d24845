//! The state machine of a run: Waiting → Ready → Running → ended.
//!
//! It must never know futures or time. What is added to a plan that runs is kept beside it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::{End, Extension, Outcome, ScheduleOptions};
use crate::{Plan, PlanId, Priority};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For this many nodes.
    Waiting(u32),
    Ready,
    Running,
    Ended(End),
}

/// What can happen to a run from outside.
pub(super) enum Event {
    /// The most urgent ready node was taken to be run.
    Start(PlanId),
    /// A running node has ended.
    Finished(PlanId, Outcome),
    /// There is more to do.
    Grow(Extension),
    /// Nothing new may start.
    Stop,
}

pub(super) struct Progress<'a> {
    plan: &'a Plan,
    /// What was added: where it begins, and the plan of it.
    added: Vec<(usize, Plan)>,
    /// The added nodes that wait for nodes of before.
    behind: HashMap<PlanId, Vec<PlanId>>,
    states: Vec<State>,
    ready: BinaryHeap<(Priority, Reverse<PlanId>)>,
    running: usize,
    max_in_flight: usize,
    keep_going: bool,
    stopped: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(plan: &'a Plan, options: ScheduleOptions) -> Self {
        let mut states: Vec<State> = plan
            .ids()
            .map(|id| State::Waiting(plan.need_count(id)))
            .collect();
        let mut ready = BinaryHeap::new();
        for id in plan.ids().filter(|id| plan.need_count(*id) == 0) {
            states[id.index()] = State::Ready;
            ready.push((plan.priority(id), Reverse(id)));
        }
        Self {
            plan,
            added: Vec::new(),
            behind: HashMap::new(),
            states,
            ready,
            running: 0,
            max_in_flight: options.max_in_flight.max(1),
            keep_going: options.keep_going,
            stopped: false,
        }
    }

    /// Takes the most urgent ready node, if one may start now.
    pub(super) fn start_next(&mut self) -> Option<PlanId> {
        if self.stopped || self.running >= self.max_in_flight {
            return None;
        }
        let (_, Reverse(id)) = self.ready.pop()?;
        self.transition(Event::Start(id));
        Some(id)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The plan that `id` is of, and what it is called there.
    fn home(&self, id: PlanId) -> (usize, &Plan) {
        let at = self
            .added
            .partition_point(|(first, _)| *first <= id.index());
        match at.checked_sub(1).map(|at| &self.added[at]) {
            Some((first, plan)) => (*first, plan),
            None => (0, self.plan),
        }
    }

    /// How urgent a node is.
    pub(super) fn priority(&self, id: PlanId) -> Priority {
        let (first, plan) = self.home(id);
        moved_back(id, first).map_or(Priority(0), |id| plan.priority(id))
    }

    /// The nodes that wait for `id`.
    fn dependents(&self, id: PlanId) -> Vec<PlanId> {
        let (first, plan) = self.home(id);
        let own = moved_back(id, first).map_or(&[][..], |id| plan.dependents(id));
        let own = own.iter().filter_map(|id| moved(*id, first));
        own.chain(self.behind.get(&id).into_iter().flatten().copied())
            .collect()
    }

    /// The one place where states and counters change.
    pub(super) fn transition(&mut self, event: Event) {
        match event {
            Event::Stop => self.stopped = true,
            Event::Grow(extension) => self.grow(extension),
            Event::Start(id) => {
                debug_assert_eq!(self.states[id.index()], State::Ready);
                self.states[id.index()] = State::Running;
                self.running += 1;
            }
            Event::Finished(id, outcome) => {
                debug_assert_eq!(self.states[id.index()], State::Running);
                self.running -= 1;
                self.states[id.index()] = State::Ended(match outcome {
                    Outcome::Succeeded => End::Succeeded,
                    Outcome::Failed => End::Failed,
                    Outcome::Cancelled => End::Cancelled,
                });
                match outcome {
                    Outcome::Succeeded => self.unblock(id),
                    Outcome::Failed => {
                        self.skip(id, id);
                        self.stopped |= !self.keep_going;
                    }
                    Outcome::Cancelled => {}
                }
            }
        }
    }

    fn grow(&mut self, Extension { plan, mut needs }: Extension) {
        let first = self.states.len();
        needs.sort_unstable();
        needs.dedup();
        let mut waits: Vec<u32> = plan.ids().map(|id| plan.need_count(id)).collect();
        let mut lost: Vec<(PlanId, PlanId)> = Vec::new();
        for (id, needed) in needs {
            let Some(whole) = moved(id, first) else {
                continue;
            };
            match self.states[needed.index()] {
                State::Ended(End::Succeeded) => continue,
                State::Ended(End::Failed) => lost.push((whole, needed)),
                State::Ended(End::Skipped { because }) => lost.push((whole, because)),
                // Whatever was cancelled never succeeds.
                State::Ended(End::Cancelled | End::NotStarted) => {}
                State::Waiting(_) | State::Ready | State::Running => {
                    self.behind.entry(needed).or_default().push(whole);
                }
            }
            waits[id.index()] += 1;
        }
        let ids: Vec<PlanId> = plan.ids().filter_map(|id| moved(id, first)).collect();
        self.states.extend(waits.iter().map(|n| State::Waiting(*n)));
        self.added.push((first, plan));
        for (id, failed) in lost {
            if matches!(self.states[id.index()], State::Waiting(_)) {
                self.states[id.index()] = State::Ended(End::Skipped { because: failed });
                self.skip(id, failed);
            }
        }
        for id in ids {
            if self.states[id.index()] == State::Waiting(0) {
                self.make_ready(id);
            }
        }
    }

    fn make_ready(&mut self, id: PlanId) {
        self.states[id.index()] = State::Ready;
        self.ready.push((self.priority(id), Reverse(id)));
    }

    fn unblock(&mut self, done: PlanId) {
        for id in self.dependents(done) {
            match self.states[id.index()] {
                State::Waiting(1) => self.make_ready(id),
                State::Waiting(n) => self.states[id.index()] = State::Waiting(n - 1),
                _ => {}
            }
        }
    }

    /// Marks everything behind `id` that can't run any more. Not recursive: chains may be long.
    fn skip(&mut self, id: PlanId, failed: PlanId) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            for behind in self.dependents(id) {
                if matches!(self.states[behind.index()], State::Waiting(_)) {
                    self.states[behind.index()] = State::Ended(End::Skipped { because: failed });
                    todo.push(behind);
                }
            }
        }
    }

    pub(super) fn into_ends(self) -> Vec<End> {
        let end = |state| match state {
            State::Ended(end) => end,
            State::Waiting(_) | State::Ready | State::Running => End::NotStarted,
        };
        self.states.into_iter().map(end).collect()
    }
}

/// The node of a plan that begins at `first`, as the whole numbers it.
fn moved(id: PlanId, first: usize) -> Option<PlanId> {
    PlanId::from_index(id.index() + first)
}

/// The other way round.
fn moved_back(id: PlanId, first: usize) -> Option<PlanId> {
    PlanId::from_index(id.index().checked_sub(first)?)
}

#[cfg(test)]
mod tests;
