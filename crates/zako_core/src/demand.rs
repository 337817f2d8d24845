//! From analysed targets to the actions that a build needs: those that make what was asked for, and what they read.

use std::borrow::Cow;
use std::collections::HashMap;

use zako_action::ActionSpec;
use zako_path::NeutralPath;

use crate::diagnostic::{Diagnostic, Location};
use crate::report::BuiltTarget;
use crate::select::{Root, Selection};
use crate::target::{Analysis, Draft, FileWork, Finished, Lowered, Pending};
use crate::workspace::is_in_output;

/// An action that is needed, with the place of its target's declaration.
pub(crate) struct Needed<'a> {
    pub(crate) action: Cow<'a, Lowered>,
    pub(crate) declared_at: Option<Location>,
}

/// What a build needs.
pub(crate) struct Demand<'a> {
    /// The actions that wait for no dynamic step, in no order.
    pub(crate) actions: Vec<Needed<'a>>,
    /// The targets that were asked for; `built` is still open.
    pub(crate) targets: Vec<BuiltTarget>,
    /// For each of `targets`, the numbers of the actions that make what was asked for of it.
    pub(crate) makers: Vec<Vec<usize>>,
    /// For each of `targets`, whether those are all that it takes: nothing of it waits for a dynamic step.
    pub(crate) is_whole: Vec<bool>,
    /// The dynamic steps that wait for no other one, each with the numbers of the actions that make what it reads.
    pub(crate) pending: Vec<(Pending, Vec<usize>)>,
    /// What is written outside of `zako-out/` by actions that wait for steps.
    pub(crate) later: Vec<NeutralPath>,
    pub(crate) faults: Vec<Diagnostic>,
}

/// Cuts the actions of `analysis` to what the roots need; `tests` adds their test actions.
pub(crate) fn demand<'a>(
    selection: &'a Selection,
    analysis: &'a Analysis,
    tests: bool,
) -> Demand<'a> {
    // The same order every time, whatever the order of analysis.
    let mut all: Vec<(&str, &Draft)> = Vec::with_capacity(analysis.results.len());
    for label in selection.targets.keys() {
        let Some(result) = analysis.results.get(label) else {
            continue;
        };
        let first = all.len();
        all.extend(result.actions.iter().map(|action| (label.as_str(), action)));
        all[first..].sort_by_key(|(_, action)| action.outputs().first().map(|o| &o.path));
    }
    let makers = Makers::of(&all);
    let making = |path: &NeutralPath| makers.making(path);
    // What is no output's maker, by target: checks and tests.
    let mut extra: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, (owner, action)) in all.iter().enumerate() {
        if action.action.test || action.outputs().is_empty() {
            extra.entry(owner).or_default().push(at);
        }
    }

    let mut demand = Demand {
        actions: Vec::new(),
        targets: Vec::new(),
        makers: Vec::new(),
        is_whole: Vec::new(),
        pending: Vec::new(),
        later: Vec::new(),
        faults: Vec::new(),
    };
    let mut queue: Vec<usize> = Vec::new();
    for Root { label, output } in &selection.roots {
        let Some(result) = analysis.results.get(label) else {
            demand.targets.push(BuiltTarget {
                label: label.clone(),
                files: Vec::new(),
                built: false,
            });
            demand.makers.push(Vec::new());
            continue;
        };
        let files = match output {
            None => result.files.clone(),
            Some(name) => match result.outputs.get(name) {
                Some(path) => vec![path.clone()],
                None => {
                    let names: Vec<&str> = result.outputs.keys().map(String::as_str).collect();
                    let help = if names.is_empty() {
                        "it has no named outputs".to_owned()
                    } else {
                        format!("it has {}", names.join(", "))
                    };
                    demand.faults.push(
                        Diagnostic::user(format!("{label} has no output \"{name}\""))
                            .with_help(help),
                    );
                    Vec::new()
                }
            },
        };
        let mut mine: Vec<usize> = files.iter().flat_map(making).collect();
        if let (None, Some(set)) = (output, result.runfiles) {
            match analysis.sets.files(set) {
                Ok(needed) => mine.extend(needed.iter().flat_map(making)),
                Err(other) => demand.faults.push(Diagnostic::user(format!(
                    "the runfiles of {label} hold {other}, which is no file"
                ))),
            }
            mine.sort_unstable();
            mine.dedup();
        }
        mine.extend(
            extra
                .get(label.as_str())
                .into_iter()
                .flatten()
                .filter(|at| {
                    let action = &all[**at].1.action;
                    if action.test { tests } else { output.is_none() }
                }),
        );
        queue.extend(&mine);
        demand.targets.push(BuiltTarget {
            label: label.clone(),
            files,
            built: false,
        });
        demand.makers.push(mine);
    }

    // What decided about actions is needed as much as they are, even where none of them reads it.
    queue.extend(analysis.steps.values().flatten().flat_map(making));
    let reach = Reach {
        all: &all,
        makers: &makers,
        links: links(&all),
        analysis,
    };
    let reached = reach.from(queue);
    let waits = reach.waiting(&reached);
    let ready: Vec<usize> = reached
        .steps
        .iter()
        .copied()
        .filter(|at| !waits[*at])
        .collect();
    if ready.is_empty() && !reached.steps.is_empty() {
        let names: Vec<&str> = reached.steps.iter().map(|at| all[*at].0).collect();
        let message = format!(
            "dynamic steps wait for one another: each reads what comes of another one ({})",
            names.join(", ")
        );
        demand.faults.push(Diagnostic::user(message));
    }
    for (at, message) in reached.faults {
        let (label, _) = all[at];
        let mut fault = Diagnostic::user(message).with_trace(format!("in {label}"));
        let declared = selection.targets.get(label);
        fault.location = declared.and_then(|(_, location)| location.clone());
        demand.faults.push(fault);
    }
    let mut numbers = vec![None; all.len()];
    for (at, written) in reached.written.into_iter().enumerate() {
        let Some(Written { action, responses }) = written else {
            continue;
        };
        if waits[at] {
            let outputs = action.spec.outputs.iter().map(|output| &output.path);
            demand
                .later
                .extend(outputs.filter(|path| !is_in_output(path)).cloned());
            continue;
        }
        numbers[at] = Some(demand.actions.len());
        let (label, _) = all[at];
        let declared_at = selection
            .targets
            .get(label)
            .and_then(|(_, location)| location.clone());
        let responses = responses.into_iter().map(Cow::Owned);
        demand.actions.extend(
            std::iter::once(action)
                .chain(responses)
                .map(|action| Needed {
                    action,
                    declared_at: declared_at.clone(),
                }),
        );
    }
    let number = |at: &usize| numbers[*at];
    for at in ready {
        let (label, draft) = all[at];
        let makers = reach.read_by(at).iter().filter_map(number).collect();
        let step = Pending {
            label: label.to_owned(),
            draft: draft.clone(),
        };
        demand.pending.push((step, makers));
    }
    for makers in &mut demand.makers {
        demand
            .is_whole
            .push(makers.iter().all(|at| numbers[*at].is_some()));
        *makers = makers.iter().filter_map(number).collect();
    }
    demand
}

/// What can be reached from actions by what they read.
struct Reach<'a, 'b> {
    all: &'b [(&'a str, &'a Draft)],
    makers: &'b Makers<'a>,
    links: HashMap<&'a NeutralPath, &'a NeutralPath>,
    analysis: &'a Analysis,
}

/// What was reached.
struct Reached<'a> {
    /// The actions, by their places among all.
    written: Vec<Option<Written<'a>>>,
    /// The dynamic steps, in order.
    steps: Vec<usize>,
    faults: Vec<(usize, String)>,
}

impl<'a> Reach<'a, '_> {
    fn from(&self, mut queue: Vec<usize>) -> Reached<'a> {
        let count = self.all.len();
        let mut seen = vec![false; count];
        let mut reached = Reached {
            written: (0..count).map(|_| None).collect(),
            steps: Vec::new(),
            faults: Vec::new(),
        };
        while let Some(at) = queue.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let (_, draft) = self.all[at];
            if draft.step().is_some() {
                reached.steps.push(at);
                queue.extend(self.read_by(at).into_iter().filter(|at| !seen[*at]));
                continue;
            }
            let mut mine = match draft.finish(&self.analysis.sets) {
                None => Written::from(Cow::Borrowed(&draft.action)),
                Some(Ok(Finished { action, responses })) => Written {
                    action: Cow::Owned(action),
                    responses,
                },
                Some(Err(message)) => {
                    reached.faults.push((at, message));
                    Written::from(Cow::Borrowed(&draft.action))
                }
            };
            follow(&self.links, &mut mine.action);
            let spec = &mine.action.spec;
            for path in spec.inputs.iter().chain(&spec.staged) {
                queue.extend(self.makers.making(path).filter(|at| !seen[*at]));
            }
            // Two actions that write one path are both needed, so that the conflict is found.
            for output in &spec.outputs {
                queue.extend(self.makers.making(&output.path).filter(|at| !seen[*at]));
            }
            reached.written[at] = Some(mine);
        }
        reached.steps.sort_unstable();
        reached
    }

    /// The makers of what a dynamic step reads.
    fn read_by(&self, at: usize) -> Vec<usize> {
        let step = self.all[at].1.step();
        let reads = step.map_or(&[][..], |step| &step.reads);
        reads
            .iter()
            .flat_map(|path| self.makers.making(path))
            .collect()
    }

    /// Which of all actions and steps wait for a step, by what they read.
    fn waiting(&self, reached: &Reached<'_>) -> Vec<bool> {
        let mut waits = vec![false; self.all.len()];
        if reached.steps.is_empty() {
            return waits;
        }
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.all.len()];
        for step in &reached.steps {
            for maker in self.read_by(*step) {
                users[maker].push(*step);
            }
        }
        // A folder of sources may have in it what actions write.
        let mut above: HashMap<NeutralPath, Vec<usize>> = HashMap::new();
        for (at, written) in reached.written.iter().enumerate() {
            let Some(written) = written else { continue };
            let spec = &written.action.spec;
            for path in reads(spec) {
                for maker in self.makers.making(path) {
                    users[maker].push(at);
                }
            }
            // Two that write one path are told of each other only when both are known.
            for output in &spec.outputs {
                let others = self.makers.making(&output.path);
                for other in others.filter(|other| *other != at) {
                    users[other].push(at);
                }
                for path in output
                    .path
                    .ancestors()
                    .filter(|_| !is_in_output(&output.path))
                {
                    above.entry(path).or_default().push(at);
                }
            }
        }
        if !above.is_empty() {
            for (at, written) in reached.written.iter().enumerate() {
                let paths = written
                    .iter()
                    .flat_map(|written| reads(&written.action.spec));
                for makers in paths.filter_map(|path| above.get(path)) {
                    for maker in makers.iter().filter(|maker| **maker != at) {
                        users[*maker].push(at);
                    }
                }
            }
        }
        let mut queue = reached.steps.clone();
        while let Some(at) = queue.pop() {
            for user in std::mem::take(&mut users[at]) {
                if !std::mem::replace(&mut waits[user], true) {
                    queue.push(user);
                }
            }
        }
        waits
    }
}

/// All of the workspace that an action may read, but for tools, which are staged as well.
fn reads(spec: &ActionSpec) -> impl Iterator<Item = &NeutralPath> {
    spec.inputs.iter().chain(&spec.staged)
}

/// An action that is needed, written out.
struct Written<'a> {
    action: Cow<'a, Lowered>,
    /// What writes its response files.
    responses: Vec<Lowered>,
}

impl<'a> From<Cow<'a, Lowered>> for Written<'a> {
    fn from(action: Cow<'a, Lowered>) -> Self {
        Written {
            action,
            responses: Vec::new(),
        }
    }
}

/// What each link that an action makes leads to.
fn links<'a>(all: &[(&'a str, &'a Draft)]) -> HashMap<&'a NeutralPath, &'a NeutralPath> {
    let mut links = HashMap::new();
    for (_, draft) in all {
        if let Some(FileWork::Symlink { to }) = draft.action.work.as_deref() {
            links.extend(draft.outputs().iter().map(|output| (&output.path, to)));
        }
    }
    links
}

/// Whoever reads a link reads what it leads to.
fn follow(links: &HashMap<&NeutralPath, &NeutralPath>, action: &mut Cow<'_, Lowered>) {
    if links.is_empty() {
        return;
    }
    let spec = &action.spec;
    let mut more: Vec<NeutralPath> = Vec::new();
    for path in spec.inputs.iter().chain(&spec.staged) {
        let mut path = path;
        // No further than there are links, whatever leads to whatever.
        for _ in 0..links.len() {
            let Some(to) = links.get(path) else { break };
            if !spec.inputs.contains(to) && !spec.staged.contains(to) && !more.contains(to) {
                more.push((*to).clone());
            }
            path = to;
        }
    }
    if !more.is_empty() {
        action.to_mut().spec.staged.extend(more);
    }
}

/// Who makes what, by path as text: looking for a folder above needs no path of its own.
struct Makers<'a> {
    first: HashMap<&'a str, usize>,
    /// For each place in `all` that is a path's maker: the next one of that path. Seldom any.
    more: HashMap<(&'a str, usize), usize>,
}

impl<'a> Makers<'a> {
    fn of(all: &[(&'a str, &'a Draft)]) -> Makers<'a> {
        let mut makers = Makers {
            first: HashMap::with_capacity(all.len()),
            more: HashMap::new(),
        };
        // Backwards, so that each path's makers come in order.
        for (at, (_, action)) in all.iter().enumerate().rev() {
            for output in action.outputs() {
                let path = output.path.as_str();
                match makers.first.insert(path, at) {
                    Some(next) if next != at => {
                        makers.more.insert((path, at), next);
                    }
                    _ => {}
                }
            }
        }
        makers
    }

    /// The makers of the path itself, or of the nearest folder above it that an action writes.
    fn making(&self, path: &NeutralPath) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let mut path = path.as_str();
        let found = loop {
            if let Some((path, first)) = self.first.get_key_value(path) {
                break Some((*path, *first));
            }
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None => break None,
            }
        };
        let path = found.map_or("", |(path, _)| path);
        std::iter::successors(found.map(|(_, first)| first), move |at| {
            if self.more.is_empty() {
                return None;
            }
            self.more.get(&(path, *at)).copied()
        })
    }
}
