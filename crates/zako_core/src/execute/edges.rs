//! Which action needs which: by the paths that they read and write.
//!
//! Text work: touches no disk. **Invariant:** no two actions of a plan write the same path, nor one inside another's,
//! and no action needs itself by any way round.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use zako_action::{ActionSpec, ToolRef};
use zako_exec::{Plan, PlanBuilder, PlanError, PlanId};
use zako_path::NeutralPath;

use super::PlannedAction;
use super::growth::{Node, PlannedStep};
use crate::diagnostic::Diagnostic;
use crate::workspace::is_in_output;

/// All that an action writes: its outputs and its depfile.
fn writes(spec: &ActionSpec) -> impl Iterator<Item = &NeutralPath> {
    spec.outputs
        .iter()
        .map(|output| &output.path)
        .chain(&spec.depfile)
}

/// All of the workspace that an action may read.
pub(super) fn reads(spec: &ActionSpec) -> impl Iterator<Item = &NeutralPath> {
    let tools = spec.tools.iter().filter_map(|tool| match tool {
        ToolRef::Artifact(path) => Some(path),
        ToolRef::Host(_) | ToolRef::Versioned { .. } => None,
    });
    spec.inputs.iter().chain(&spec.staged).chain(tools)
}

/// Who writes what.
#[derive(Default)]
pub(super) struct Writers {
    by_path: BTreeMap<NeutralPath, usize>,
    /// What is written, as file systems see it that do not tell cases apart.
    folded: HashMap<String, NeutralPath>,
    /// Whether something is outside of `zako-out/`: else nobody writes a source.
    is_some_outside: bool,
}

/// A plan of actions and steps.
pub(super) struct Laid {
    pub(super) plan: Plan,
    /// What its nodes are.
    pub(super) nodes: Vec<Node>,
    /// The node of each action.
    pub(super) ids: Vec<Option<PlanId>>,
    /// What its nodes need of earlier plans: one of its own, and one of the whole.
    pub(super) needs: Vec<(PlanId, PlanId)>,
}

impl Writers {
    /// Finds out what those of `actions` write that begin at number `first`; two that write the same are an error each, and then
    /// nothing is added.
    pub(super) fn add(
        &mut self,
        actions: &[Arc<PlannedAction>],
        first: usize,
    ) -> Result<(), Vec<Diagnostic>> {
        let errors = self.enter(actions, first);
        if errors.is_empty() {
            return Ok(());
        }
        self.remove_from(first);
        Err(errors)
    }

    /// Forgets the actions from number `first` on.
    pub(super) fn remove_from(&mut self, first: usize) {
        self.by_path.retain(|_, at| *at < first);
        let by_path = &self.by_path;
        self.folded.retain(|_, path| by_path.contains_key(path));
        self.is_some_outside = self.by_path.keys().any(|path| !is_in_output(path));
    }

    fn enter(&mut self, actions: &[Arc<PlannedAction>], first: usize) -> Vec<Diagnostic> {
        let (writers, folded) = (&mut self.by_path, &mut self.folded);
        let mut errors = Vec::new();
        let mut new: Vec<(&NeutralPath, usize)> = Vec::new();
        for (at, action) in actions.iter().enumerate().skip(first) {
            for path in writes(&action.spec) {
                if let Some(problem) = path.portability_problem() {
                    let message = format!("the output `{path}` {problem}");
                    errors.push(
                        action.blame(Diagnostic::user(message).with_help("give it another name")),
                    );
                }
                match writers.get(path) {
                    Some(other) if *other == at && action.spec.depfile.as_ref() == Some(path) => {}
                    Some(other) => errors.push(duplicate(path, &actions[*other], path, action)),
                    None => {
                        let same = folded.insert(path.case_folded(), path.clone());
                        if let Some(same) = same
                            && let Some(other) = writers.get(&same)
                        {
                            errors.push(duplicate(&same, &actions[*other], path, action));
                        }
                        writers.insert(path.clone(), at);
                        new.push((path, at));
                    }
                }
            }
        }
        new.sort_unstable();
        let writers = &*writers;
        for (path, at) in &new {
            // What was there before may be in it.
            let inner = match first {
                0 => None,
                _ => below(writers, path).find(|(_, at)| **at < first),
            };
            if let Some((inner, other)) = inner {
                errors.push(duplicate(path, &actions[*at], inner, &actions[*other]));
            }
            let outer = path
                .ancestors()
                .skip(1)
                .find_map(|above| writers.get_key_value(&above));
            if let Some((above, outer)) = outer {
                errors.push(duplicate(above, &actions[*outer], path, &actions[*at]));
            }
        }
        self.is_some_outside |= new.iter().any(|(path, _)| !is_in_output(path));
        errors
    }

    /// All that is written outside of `zako-out/`.
    pub(super) fn outside_of_out(&self) -> HashSet<NeutralPath> {
        let paths = self.by_path.keys();
        paths.filter(|path| !is_in_output(path)).cloned().collect()
    }

    /// The actions that write `path`, what it is in, or what is in it.
    fn behind(&self, path: &NeutralPath) -> impl Iterator<Item = usize> + use<> {
        // Most of what is read are sources, and a build asks for each as often as it is read.
        let is_source = !self.is_some_outside && !path.is_root() && !is_in_output(path);
        let found = (!is_source).then(|| self.around(path));
        found
            .into_iter()
            .flat_map(|(above, below)| above.into_iter().chain(below))
    }

    /// The action that writes `path` or what it is in, and those that write what is in it.
    fn around(&self, path: &NeutralPath) -> (Option<usize>, Vec<usize>) {
        let below = below(&self.by_path, path);
        (self.above(path), below.map(|(_, at)| *at).collect())
    }

    /// The action that writes `path` or what it is in.
    pub(super) fn above(&self, path: &NeutralPath) -> Option<usize> {
        path.ancestors()
            .find_map(|above| self.by_path.get(&above).copied())
    }

    /// The actions that an action needs, as often as it needs them.
    pub(super) fn needs(&self, spec: &ActionSpec) -> impl Iterator<Item = usize> {
        reads(spec).flat_map(|path| self.behind(path))
    }

    /// The plan of `steps` and of those of `actions`, from number `first` on, that are not `settled` already; `node` is that of an
    /// action before them.
    pub(super) fn plan(
        &self,
        actions: &[Arc<PlannedAction>],
        first: usize,
        steps: &[PlannedStep],
        settled: &dyn Fn(usize) -> bool,
        duration: &dyn Fn(usize) -> Option<Duration>,
        node: &dyn Fn(usize) -> Option<PlanId>,
    ) -> Result<Laid, Vec<Diagnostic>> {
        let mut builder = PlanBuilder::new();
        let mut ids: Vec<Option<PlanId>> = Vec::with_capacity(actions.len() - first);
        let (mut nodes, mut needs) = (Vec::new(), Vec::new());
        let fail = |error: PlanError| vec![Diagnostic::user(error.to_string())];
        for (at, action) in actions.iter().enumerate().skip(first) {
            let id = match settled(at) {
                true => None,
                false => Some(builder.add(name(action), duration(at)).map_err(fail)?),
            };
            nodes.extend(id.map(|_| Node::Action(at)));
            ids.push(id);
        }
        let mut need = |builder: &mut PlanBuilder, id: PlanId, needed: usize| match needed
            .checked_sub(first)
        {
            Some(new) => {
                if let Some(needed) = ids[new] {
                    builder.needs(id, needed);
                }
            }
            None => needs.extend(node(needed).map(|needed| (id, needed))),
        };
        for step in steps {
            let name = format!("a dynamic step of {}", step.owner);
            let id = builder.add(name, None).map_err(fail)?;
            nodes.push(Node::Step(step.number));
            for maker in &step.makers {
                need(&mut builder, id, *maker);
            }
        }
        for (at, action) in actions.iter().enumerate().skip(first) {
            let Some(id) = ids[at - first] else { continue };
            for path in reads(&action.spec) {
                for needed in self.behind(path) {
                    if needed == at {
                        let message =
                            format!("{} reads `{path}`, which it writes itself", name(action));
                        let help =
                            format!("remove `{path}` from its inputs, or write another path");
                        return Err(vec![
                            action.blame(Diagnostic::user(message).with_help(help)),
                        ]);
                    }
                    need(&mut builder, id, needed);
                }
            }
        }
        let plan = builder.build().map_err(|error| match &error {
            PlanError::Cycle { path } => {
                let diagnostic = Diagnostic::user(error.to_string())
                    .with_help("one of them has to stop using what another one builds");
                let first = actions
                    .iter()
                    .find(|action| path.first().is_some_and(|first| *first == name(action)));
                vec![match first {
                    Some(first) => first.blame(diagnostic),
                    None => diagnostic,
                }]
            }
            PlanError::TooManyNodes => fail(error),
        })?;
        Ok(Laid {
            plan,
            nodes,
            ids,
            needs,
        })
    }
}

/// What is written in `path`.
fn below<'a>(
    by_path: &'a BTreeMap<NeutralPath, usize>,
    path: &NeutralPath,
) -> impl Iterator<Item = (&'a NeutralPath, &'a usize)> + use<'a> {
    // All that is below `a` lies between `a/` and `a0`, which comes next in byte order.
    let (from, to) = if path.is_root() {
        (Bound::Unbounded, Bound::Unbounded)
    } else {
        (
            Bound::Included(format!("{path}/")),
            Bound::Excluded(format!("{path}0")),
        )
    };
    let bounds = (
        from.as_ref().map(String::as_str),
        to.as_ref().map(String::as_str),
    );
    by_path.range::<str, _>(bounds)
}

/// As messages call it: the owner, and what tells its actions apart.
fn name(action: &PlannedAction) -> String {
    match writes(&action.spec).next() {
        Some(output) => format!("{} ({output})", action.spec.owner),
        None => format!("{} ({})", action.spec.owner, action.spec.mnemonic),
    }
}

fn duplicate(
    first: &NeutralPath,
    one: &PlannedAction,
    second: &NeutralPath,
    other: &PlannedAction,
) -> Diagnostic {
    let (a, b) = (&one.spec.owner, &other.spec.owner);
    let message = if first == second && std::ptr::eq(one, other) {
        format!("{a} declares the output `{first}` twice")
    } else if first == second {
        format!("`{first}` is written by two actions, of {a} and of {b}")
    } else if first.case_folded() == second.case_folded() {
        format!(
            "`{first}`, which {a} writes, and `{second}`, which {b} writes, are one file where case does not count \
             (macOS, Windows)"
        )
    } else {
        format!("`{second}`, which {b} writes, is inside of `{first}`, which {a} writes")
    };
    let place = |action: &PlannedAction| match &action.declared_at {
        Some(location) => format!("{} is declared at {location}", action.spec.owner),
        None => format!("{} has no place in a file", action.spec.owner),
    };
    let mut diagnostic = Diagnostic::user(message)
        .with_help("give one of them another output name")
        .with_trace(place(one))
        .with_trace(place(other));
    diagnostic.location = other
        .declared_at
        .clone()
        .or_else(|| one.declared_at.clone());
    diagnostic
}
