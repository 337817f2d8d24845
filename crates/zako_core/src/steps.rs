//! Actions that are known only when something is built: whenever a dynamic step has run, what has come to be known is added to the
//! execution that is under way.
//!
//! It must never know how actions run. **Invariants:** what was added stays and keeps its number; nothing is added that waits for a
//! step; one at a time finds out what there is more.

use std::collections::{HashMap, HashSet};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use zako_path::NeutralPath;

use crate::build::Building;
use crate::codec::action::encode_lowered;
use crate::demand::{Demand, demand};
use crate::diagnostic::{Diagnostic, Fault, Severity};
use crate::event::BuildEvent;
use crate::execute::{Batch, PlannedAction, PlannedStep, Unfolded, Unfolding};
use crate::files::Files;
use crate::graph::Turn;
use crate::ledger::SharedLedger;
use crate::report::BuiltTarget;
use crate::select::Selection;
use crate::target::{Analysis, Came, KeptAnalyses, Lowered, Pending, come, lose, settle};

/// What is known of a request while its actions run.
pub(crate) struct Steps<'a> {
    build: &'a Building,
    turn: &'a Turn,
    ledger: &'a SharedLedger,
    selection: &'a Selection,
    known: Mutex<Known>,
    /// Whoever has it adds to the execution.
    adding: tokio::sync::Mutex<()>,
}

/// What is known so far, and in the end all.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) analysis: Analysis,
    /// The targets that were asked for; `built` is still open.
    pub(crate) targets: Vec<BuiltTarget>,
    /// For each of them, the numbers of the actions that make what was asked for of it.
    pub(crate) makers: Vec<Vec<usize>>,
    /// For each of them, whether those are all.
    pub(crate) is_whole: Vec<bool>,
    /// What is written outside of `zako-out/` by actions that are not known yet.
    pub(crate) later: Vec<NeutralPath>,
    /// What steps warned of.
    pub(crate) warnings: Vec<Diagnostic>,
    /// Whether something is wrong.
    pub(crate) is_broken: bool,
    /// The numbers of the actions that were added, where more may come.
    numbers: HashMap<Key, usize>,
    /// The steps, by their numbers.
    steps: Vec<Pending>,
    /// How many of each were begun and have not run.
    begun: HashMap<(String, Vec<u8>), usize>,
    /// What steps came to that has not been looked into.
    came: Vec<(usize, Result<Came, Vec<Diagnostic>>)>,
    /// What was said of what is wrong.
    told: HashSet<String>,
}

/// The same for the same action, whenever it is asked what there is: its target, what tells its actions apart, and a number where that
/// is not enough.
type Key = (String, Vec<u8>, usize);

impl Known {
    /// Whether a step that is needed has not run, or not all that came of it is among the actions that were executed, of which
    /// there are so many.
    pub(crate) fn is_open(&self, executed: usize) -> bool {
        let is_cut = !self.numbers.is_empty() && self.numbers.len() != executed;
        is_cut
            || self.begun.values().any(|count| *count > 0)
            || !self.is_whole.iter().all(|whole| *whole)
    }
}

impl<'a> Steps<'a> {
    pub(crate) fn new(
        build: &'a Building,
        turn: &'a Turn,
        ledger: &'a SharedLedger,
        selection: &'a Selection,
        analysis: Analysis,
    ) -> Self {
        Steps {
            build,
            turn,
            ledger,
            selection,
            known: Mutex::new(Known {
                analysis,
                ..Known::default()
            }),
            adding: tokio::sync::Mutex::default(),
        }
    }

    /// What the execution begins with, and what is wrong.
    pub(crate) async fn begin(&self) -> (Batch, Vec<Diagnostic>) {
        let (batch, mut faults) = self.added();
        let batch = self.loaded(batch, &mut faults).await;
        (batch, faults)
    }

    /// Looks at what is known.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock())
    }

    pub(crate) fn end(self) -> Known {
        self.known.into_inner()
    }

    /// What is known by now and was not added, as far as scripts need not be loaded for it.
    fn added(&self) -> (Batch, Vec<Diagnostic>) {
        let mut known = self.known.lock();
        let Known {
            analysis,
            numbers,
            steps,
            begun,
            told,
            ..
        } = &mut *known;
        let may_grow = !numbers.is_empty() || has_steps(analysis);
        let Demand {
            actions: needed,
            targets,
            makers,
            is_whole,
            pending,
            later,
            mut faults,
        } = demand(self.selection, analysis, self.build.options.tests);
        let mut batch = Batch::default();
        // As good as always: all is known, and in the order in which it is numbered.
        let places: Vec<usize> = match may_grow {
            false => {
                let actions = needed.into_iter();
                let planned = actions.map(|one| PlannedAction::of(&one.action, one.declared_at));
                batch.actions = planned.collect();
                Vec::new()
            }
            true => {
                let mut places = Vec::with_capacity(needed.len());
                let mut seen = HashMap::new();
                for one in needed {
                    let next = numbers.len();
                    let number = *numbers.entry(key(&one.action, &mut seen)).or_insert(next);
                    if number == next {
                        let action = PlannedAction::of(&one.action, one.declared_at);
                        batch.actions.push(action);
                    }
                    places.push(number);
                }
                places
            }
        };
        let place = |at: usize| places.get(at).copied().unwrap_or(at);
        let numbered = |makers: Vec<usize>| makers.into_iter().map(place).collect::<Vec<_>>();
        let mut there: HashMap<(String, Vec<u8>), usize> = HashMap::new();
        for (step, makers) in pending {
            let count = there.entry(step.key()).or_default();
            *count += 1;
            let begun = begun.entry(step.key()).or_default();
            if *count > *begun {
                *begun += 1;
                batch.steps.push(PlannedStep {
                    number: steps.len(),
                    owner: step.label.clone(),
                    makers: numbered(makers),
                });
                steps.push(step);
            }
        }
        faults.retain(|fault| told.insert(fault.to_string()));
        known.is_broken |= !faults.is_empty();
        known.targets = targets;
        known.makers = makers.into_iter().map(numbered).collect();
        known.is_whole = is_whole;
        known.later = later;
        (batch, faults)
    }

    /// The same with the scripts of its actions; what is wrong with these is an end, or told when it is their turn.
    async fn loaded(&self, mut batch: Batch, faults: &mut Vec<Diagnostic>) -> Batch {
        for action in &mut batch.actions {
            let Err(wrong) = self.build.load_program(self.turn, action).await else {
                continue;
            };
            self.known.lock().is_broken = true;
            if !self.build.options.keep_going {
                faults.extend(wrong.iter().cloned());
                break;
            }
            action.broken = Some(wrong);
        }
        batch
    }

    /// Puts what came of steps in their places, and finds out what there is more. Gives what is to be told beside it.
    fn settled(&self) -> (Option<Batch>, Vec<Diagnostic>) {
        let keep_going = self.build.options.keep_going;
        let mut told = Vec::new();
        {
            let mut known = self.known.lock();
            let known = &mut *known;
            let came = std::mem::take(&mut known.came);
            if came.is_empty() {
                return (None, told);
            }
            let mut lost = HashSet::new();
            let mut is_over = false;
            for (number, came) in came {
                let step = known.steps[number].clone();
                match came {
                    Ok(came) => {
                        let logs = came.logs.iter();
                        let warnings = logs.filter(|log| log.severity >= Severity::Warning);
                        known.warnings.extend(warnings.cloned());
                        told.extend(came.logs.iter().cloned());
                        settle(&mut known.analysis, &step, came);
                        if let Some(begun) = known.begun.get_mut(&step.key()) {
                            *begun -= 1;
                        }
                    }
                    Err(wrong) => {
                        told.extend(wrong);
                        lost.insert(step.label);
                        known.is_broken = true;
                        is_over |= !keep_going;
                    }
                }
            }
            lose(&self.selection.targets, &mut known.analysis, lost);
            if is_over {
                return (None, told);
            }
        }
        let (batch, faults) = self.added();
        let is_over = !faults.is_empty() && !keep_going;
        told.extend(faults);
        ((!is_over).then_some(batch), told)
    }

    async fn run(&self, number: usize, files: &Files) -> Unfolded<'_> {
        let (step, sets) = {
            let known = self.known.lock();
            (known.steps[number].clone(), known.analysis.sets.clone())
        };
        let came = match self.selection.targets.get(&step.label) {
            None => Err(vec![Diagnostic::error(
                Fault::Bug,
                format!("{} has a dynamic step and is not known", step.label),
            )]),
            Some(declared) => {
                let services = &self.build.services;
                let memo = KeptAnalyses(self.ledger.clone());
                come(self.turn, services, sets, declared, &step, &memo, files).await
            }
        };
        let mut is_good = came.is_ok();
        self.known.lock().came.push((number, came));
        let adding = self.adding.lock().await;
        // Another one may have looked into it already.
        let (batch, mut told) = self.settled();
        let batch = match batch {
            None => Batch::default(),
            Some(batch) => {
                let mut faults = Vec::new();
                let batch = self.loaded(batch, &mut faults).await;
                is_good &= faults.is_empty();
                let is_over = !faults.is_empty();
                told.extend(faults);
                if is_over { Batch::default() } else { batch }
            }
        };
        let is_error = |told: &Diagnostic| told.severity == Severity::Error;
        is_good &= !told.iter().any(is_error);
        if !batch.actions.is_empty() {
            let planned = self.look(|known| BuildEvent::Planned {
                targets: known.targets.len(),
                actions: known.numbers.len(),
            });
            let _nobody_listens = self.build.events.send(planned).await;
        }
        Unfolded {
            batch,
            told,
            is_good,
            _adding: adding,
        }
    }
}

impl Unfolding for Steps<'_> {
    fn run<'a>(&'a self, step: usize, files: &'a Files) -> BoxFuture<'a, Unfolded<'a>> {
        Steps::run(self, step, files).boxed()
    }
}

fn has_steps(analysis: &Analysis) -> bool {
    let mut actions = analysis.results.values().flat_map(|result| &result.actions);
    actions.any(|action| action.step().is_some())
}

fn key(action: &Lowered, seen: &mut HashMap<(String, Vec<u8>), usize>) -> Key {
    let spec = &action.spec;
    let first = spec.outputs.first().map(|output| &output.path);
    let apart = match first.or(spec.depfile.as_ref()) {
        Some(path) => path.as_str().as_bytes().to_vec(),
        // No path begins like that.
        None => [&[0], &encode_lowered(action).0[..]].concat(),
    };
    let count = seen.entry((spec.owner.clone(), apart.clone())).or_default();
    *count += 1;
    (spec.owner.clone(), apart, *count)
}
