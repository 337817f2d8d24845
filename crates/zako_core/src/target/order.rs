//! The order of targets: who is ready when, in time proportional to targets and dependencies.
//!
//! **Invariant:** a target is given out by [`Order::next`] once, after all that it depends on has ended.

use std::collections::{BTreeMap, HashMap};

use super::analysis::Declared;

/// Targets by dense numbers, in label order.
pub(super) struct Order<'a> {
    targets: Vec<(&'a str, &'a Declared)>,
    /// What each depends on, in the order of its attributes.
    dependencies: Vec<Vec<usize>>,
    /// Who depends on each.
    users: Vec<Vec<usize>>,
    /// How many dependencies of each have not ended.
    open: Vec<usize>,
    /// Whether a dependency failed.
    doomed: Vec<bool>,
    ended: Vec<bool>,
    /// Those that are ready, last first.
    ready: Vec<usize>,
}

impl<'a> Order<'a> {
    pub(super) fn new(targets: &'a BTreeMap<String, Declared>) -> Order<'a> {
        let targets: Vec<(&str, &Declared)> = targets
            .iter()
            .map(|(label, declared)| (label.as_str(), declared))
            .collect();
        let count = targets.len();
        let numbers: HashMap<&str, usize> = targets
            .iter()
            .enumerate()
            .map(|(at, (label, _))| (*label, at))
            .collect();
        let mut order = Order {
            dependencies: Vec::with_capacity(count),
            users: vec![Vec::new(); count],
            open: Vec::with_capacity(count),
            doomed: vec![false; count],
            ended: vec![false; count],
            ready: Vec::new(),
            targets: Vec::new(),
        };
        for (at, (_, (target, _))) in targets.iter().enumerate() {
            let labels = target.dependencies();
            let known: Vec<usize> = labels
                .iter()
                .filter_map(|label| numbers.get(label).copied())
                .collect();
            for dependency in &known {
                order.users[*dependency].push(at);
            }
            // One that is not among the targets never ends.
            order.open.push(labels.len());
            order.dependencies.push(known);
        }
        order.targets = targets;
        order.ready = (0..count).rev().filter(|at| order.open[*at] == 0).collect();
        order
    }

    pub(super) fn label(&self, at: usize) -> &'a str {
        self.targets[at].0
    }

    pub(super) fn declared(&self, at: usize) -> &'a Declared {
        self.targets[at].1
    }

    pub(super) fn dependencies(&self, at: usize) -> &[usize] {
        &self.dependencies[at]
    }

    /// Whether something that it depends on failed.
    pub(super) fn is_doomed(&self, at: usize) -> bool {
        self.doomed[at]
    }

    /// One that is ready and has not ended.
    pub(super) fn next(&mut self) -> Option<usize> {
        std::iter::from_fn(|| self.ready.pop()).find(|at| !self.ended[*at])
    }

    /// The target has ended, well or not.
    pub(super) fn end(&mut self, at: usize, well: bool) {
        if std::mem::replace(&mut self.ended[at], true) {
            return;
        }
        for user in self.users[at].iter().rev() {
            self.doomed[*user] |= !well;
            self.open[*user] -= 1;
            if self.open[*user] == 0 {
                self.ready.push(*user);
            }
        }
    }

    /// Those that have not ended.
    pub(super) fn left(&self) -> impl Iterator<Item = usize> {
        (0..self.ended.len()).filter(|at| !self.ended[*at])
    }

    /// A group that begins with these, which are ready.
    pub(super) fn group(&self, ready: Vec<usize>) -> Group {
        Group {
            members: ready,
            entered: 0,
            open: HashMap::new(),
            candidates: Vec::new(),
        }
    }

    /// The cycles, as numbers with the first repeated at the end: none that shares a target with another.
    pub(super) fn cycles(&self) -> Vec<Vec<usize>> {
        let count = self.targets.len();
        let mut found = Vec::new();
        let mut done = vec![false; count];
        let mut on_path = vec![false; count];
        for start in 0..count {
            // Once more for each cycle that was met on the way.
            while !done[start] {
                let mut path: Vec<(usize, usize)> = vec![(start, 0)];
                on_path[start] = true;
                let mut cycle = None;
                while let Some((at, next)) = path.last_mut() {
                    let Some(&dependency) = self.dependencies[*at].get(*next) else {
                        on_path[*at] = false;
                        done[*at] = true;
                        path.pop();
                        continue;
                    };
                    *next += 1;
                    if on_path[dependency] {
                        cycle = path.iter().position(|(at, _)| *at == dependency);
                        break;
                    }
                    if !done[dependency] {
                        on_path[dependency] = true;
                        path.push((dependency, 0));
                    }
                }
                for (at, _) in &path {
                    on_path[*at] = false;
                }
                if let Some(from) = cycle {
                    let mut chain: Vec<usize> = path[from..].iter().map(|(at, _)| *at).collect();
                    for at in &chain {
                        done[*at] = true;
                    }
                    chain.push(chain[0]);
                    found.push(chain);
                }
            }
        }
        found
    }
}

/// Targets to be analysed together, in dependency order, while it is decided who joins.
pub(super) struct Group {
    members: Vec<usize>,
    /// How many members' users have been looked at.
    entered: usize,
    /// How many dependencies are neither ended nor members.
    open: HashMap<usize, usize>,
    candidates: Vec<usize>,
}

impl Group {
    /// The next target whose dependencies have all ended well or are members: it may join.
    pub(super) fn next(&mut self, order: &Order<'_>) -> Option<usize> {
        loop {
            if let Some(at) = self.candidates.pop() {
                return Some(at);
            }
            let member = *self.members.get(self.entered)?;
            self.entered += 1;
            for &user in order.users[member].iter().rev() {
                let open = self.open.entry(user).or_insert(order.open[user]);
                *open -= 1;
                if *open == 0 && !order.doomed[user] && !order.ended[user] {
                    self.candidates.push(user);
                }
            }
        }
    }

    /// `at`, which [`next`](Self::next) gave, joins.
    pub(super) fn take(&mut self, at: usize) {
        self.members.push(at);
    }

    pub(super) fn finish(self) -> Vec<usize> {
        self.members
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zako_path::NeutralPath;
    use zako_script::value::TargetHandle;
    use zako_script::{TargetRef, Value};

    use super::super::{RuleId, Target};
    use super::*;
    use crate::label::Label;

    /// Targets of a package, each with what it depends on.
    fn targets<'a>(
        edges: impl IntoIterator<Item = (&'a str, Vec<String>)>,
    ) -> BTreeMap<String, Declared> {
        let edges = edges.into_iter().map(|(name, dependencies)| {
            let handle = |name: String| {
                Value::Target(TargetHandle {
                    target: TargetRef::Label(format!("//:{name}")),
                    rule: String::new(),
                    provides: vec![],
                    outputs: vec![],
                    alias: false,
                })
            };
            let label = Label::new(NeutralPath::root(), name);
            let target = Target {
                label: label.clone(),
                rule: RuleId {
                    module: "m".into(),
                    export: "e".into(),
                },
                attrs: Value::Array(dependencies.into_iter().map(handle).collect()),
                place: None,
                outputs: vec![],
                tags: vec![],
                toolchains: vec![],
            };
            (label.to_string(), (Arc::new(target), None))
        });
        edges.collect()
    }

    fn small(edges: &[(&'static str, &str)]) -> BTreeMap<String, Declared> {
        targets(edges.iter().map(|(name, dependencies)| {
            (
                *name,
                dependencies.split_whitespace().map(str::to_owned).collect(),
            )
        }))
    }

    /// Ends all that comes out, well but for those that are named; the order in which they came.
    fn run(order: &mut Order<'_>, failing: &[&str]) -> Vec<String> {
        let mut came = Vec::new();
        while let Some(at) = order.next() {
            let label = order.label(at);
            let doomed = if order.is_doomed(at) { "!" } else { "" };
            came.push(format!("{}{doomed}", &label[3..]));
            order.end(at, doomed.is_empty() && !failing.contains(&label));
        }
        came
    }

    #[test]
    fn each_comes_once_after_what_it_depends_on() {
        let targets = small(&[("d", "b c"), ("c", "a"), ("b", "a"), ("a", ""), ("x", "")]);
        let mut order = Order::new(&targets);
        assert_eq!(run(&mut order, &[]), ["a", "b", "c", "d", "x"]);
        assert_eq!(order.left().count(), 0);
        let mut order = Order::new(&targets);
        assert_eq!(run(&mut order, &["//:b"]), ["a", "b", "c", "d!", "x"]);
        let lost = small(&[("a", "nowhere"), ("b", "a")]);
        let mut order = Order::new(&lost);
        assert_eq!(run(&mut order, &[]), [""; 0]);
        assert_eq!(order.left().count(), 2);
    }

    #[test]
    fn cycles_are_found_each_once() {
        let targets = small(&[
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("d", "d a"),
            ("e", "d f"),
            ("f", ""),
        ]);
        let mut order = Order::new(&targets);
        let cycles = order.cycles();
        let shown: Vec<Vec<&str>> = cycles
            .iter()
            .map(|cycle| cycle.iter().map(|at| &order.label(*at)[3..]).collect())
            .collect();
        assert_eq!(shown, [vec!["a", "b", "c", "a"], vec!["d", "d"]]);
        for at in cycles.concat() {
            order.end(at, false);
        }
        assert_eq!(run(&mut order, &[]), ["f", "e!"]);
    }

    #[test]
    fn a_group_takes_whom_it_is_let() {
        let targets = small(&[
            ("a", ""),
            ("b", "a"),
            ("c", "b"),
            ("d", "b other"),
            ("other", ""),
        ]);
        let mut order = Order::new(&targets);
        let first = order.next().expect("one is ready");
        let mut group = order.group(vec![first]);
        let mut asked = Vec::new();
        while let Some(at) = group.next(&order) {
            asked.push(&order.label(at)[3..]);
            group.take(at);
        }
        // `d` waits for `other`, which is none of them.
        assert_eq!(asked, ["b", "c"]);
        assert_eq!(group.finish(), [0, 1, 2]);
        let mut group = order.group(vec![first]);
        assert_eq!(group.next(&order), Some(1));
        assert_eq!(group.next(&order), None, "`b` was not taken");
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        const LONG: usize = 100_000;
        let names: Vec<String> = (0..LONG).map(|at| format!("{at:06}")).collect();
        let edges = names.iter().enumerate().map(|(at, name)| {
            let next = names.get(at + 1).cloned();
            (name.as_str(), next.into_iter().collect())
        });
        let targets = targets(edges);
        let mut order = Order::new(&targets);
        assert_eq!(order.cycles(), Vec::<Vec<usize>>::new());
        assert_eq!(run(&mut order, &[]).len(), LONG);
    }
}
