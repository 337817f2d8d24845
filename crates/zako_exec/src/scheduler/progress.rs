//! The state machine of a run: Waiting → Ready → Running → ended.
//!
//! It must never know futures or time. Room is left for plans that grow while they run (a later issue): new nodes
//! would be one more event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{End, Outcome, ScheduleOptions};
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
    /// Nothing new may start.
    Stop,
}

pub(super) struct Progress<'a> {
    plan: &'a Plan,
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

    /// The one place where states and counters change.
    pub(super) fn transition(&mut self, event: Event) {
        match event {
            Event::Stop => self.stopped = true,
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
                        self.skip_behind(id);
                        self.stopped |= !self.keep_going;
                    }
                    Outcome::Cancelled => {}
                }
            }
        }
    }

    fn unblock(&mut self, done: PlanId) {
        for &id in self.plan.dependents(done) {
            let state = &mut self.states[id.index()];
            *state = match *state {
                State::Waiting(1) => {
                    self.ready.push((self.plan.priority(id), Reverse(id)));
                    State::Ready
                }
                State::Waiting(n) => State::Waiting(n - 1),
                other => other,
            };
        }
    }

    /// Marks everything that can't run any more. Not recursive: chains may be long.
    fn skip_behind(&mut self, failed: PlanId) {
        let mut todo = vec![failed];
        while let Some(id) = todo.pop() {
            for &behind in self.plan.dependents(id) {
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

#[cfg(test)]
mod tests;
