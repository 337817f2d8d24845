//! From patterns to targets: which packages are evaluated, which targets are meant, and all that those need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zako_graph::Request;
use zako_path::NeutralPath;
use zako_script::nearest;

use crate::diagnostic::{Diagnostic, Location};
use crate::evaluate::{Package, PackageList, PackageValue, Services, graph_fault};
use crate::label::Label;
use crate::pattern::{Names, Packages, Pattern};
use crate::target::Target;
use crate::workspace::BUILD_FILE;

/// A target that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    /// Its label.
    pub(crate) label: String,
    /// The one output that was asked for, instead of all.
    pub(crate) output: Option<String>,
}

/// What patterns came to.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// The targets that were asked for, in label order.
    pub(crate) roots: Vec<Root>,
    /// Those and all that they depend on, with the place of their declaration.
    pub(crate) targets: BTreeMap<String, (Arc<Target>, Option<Location>)>,
    /// What is wrong. Without `keep_going` there is nothing else when there is something here.
    pub(crate) faults: Vec<Diagnostic>,
}

struct Selector<'a> {
    request: &'a Request,
    services: &'a Services,
    packages: BTreeMap<NeutralPath, Option<Arc<PackageValue>>>,
    faults: Vec<Diagnostic>,
}

/// Finds what `patterns` mean, from the folder `from`; no pattern means `...`.
pub(crate) async fn select(
    request: &Request,
    services: &Services,
    patterns: &[String],
    from: &NeutralPath,
) -> Selection {
    let mut selector = Selector {
        request,
        services,
        packages: BTreeMap::new(),
        faults: Vec::new(),
    };
    let everything = ["...".to_owned()];
    let patterns = if patterns.is_empty() {
        &everything[..]
    } else {
        patterns
    };
    let mut parsed = Vec::new();
    for text in patterns {
        match Pattern::parse(text, from) {
            Ok(pattern) => parsed.push(pattern),
            Err(message) => selector.faults.push(Diagnostic::user(message).with_help(
                "patterns look like //pkg:name, //pkg/..., :name, //...:name or -//pkg:name",
            )),
        }
    }
    let roots = selector.roots(&parsed).await;
    let targets = selector.closure(&roots).await;
    // Roots that do not exist were reported where they were looked up.
    let roots = roots
        .into_iter()
        .filter(|root| targets.contains_key(&root.label))
        .collect();
    Selection {
        roots,
        targets,
        faults: selector.faults,
    }
}

impl Selector<'_> {
    async fn roots(&mut self, patterns: &[Pattern]) -> Vec<Root> {
        let mut found: BTreeSet<(Label, Option<String>)> = BTreeSet::new();
        for pattern in patterns.iter().filter(|pattern| !pattern.exclude) {
            let packages = self.packages_of(pattern).await;
            self.load(&packages).await;
            let mut labels = Vec::new();
            for path in &packages {
                let Some(Some(package)) = self.packages.get(path).cloned() else {
                    continue;
                };
                labels.extend(self.targets_of(pattern, &package));
            }
            for label in labels {
                let output = pattern.output.clone();
                found.insert((label, output));
            }
        }
        let excluded = |label: &Label| {
            patterns
                .iter()
                .any(|p| p.exclude && p.matches(label, false))
        };
        found
            .into_iter()
            .filter(|(label, _)| !excluded(label))
            .map(|(label, output)| Root {
                label: label.to_string(),
                output,
            })
            .collect()
    }

    async fn packages_of(&mut self, pattern: &Pattern) -> Vec<NeutralPath> {
        let base = match &pattern.packages {
            Packages::Below(base) => base,
            Packages::One(path) => {
                let file = path.join(BUILD_FILE);
                if file.is_ok_and(|file| self.services.workspace.has_file(&file)) {
                    return vec![path.clone()];
                }
                let near = self.all_packages(&NeutralPath::root()).await;
                let near =
                    nearest(path.as_str(), near.iter().map(NeutralPath::as_str)).map(str::to_owned);
                let mut error = Diagnostic::user(format!(
                    "\"{}\": there is no package //{path} (no {path}/{BUILD_FILE})",
                    pattern.text
                ));
                error.help = near.map(|near| format!("did you mean //{near}?"));
                self.faults.push(error);
                return Vec::new();
            }
        };
        let packages = self.all_packages(base).await;
        if packages.is_empty() && self.faults.is_empty() {
            self.faults.push(
                Diagnostic::user(format!(
                    "\"{}\": there is no package at or below //{base}",
                    pattern.text
                ))
                .with_help(format!(
                    "a folder becomes a package by a file named {BUILD_FILE}"
                )),
            );
        }
        packages
    }

    async fn all_packages(&mut self, base: &NeutralPath) -> Vec<NeutralPath> {
        let listed = match self.services.intern(base) {
            Ok(base) => self.request.get(&PackageList(base)).await,
            Err(error) => {
                self.faults.push(error);
                return Vec::new();
            }
        };
        match listed {
            Ok(Ok(packages)) => packages.to_vec(),
            Ok(Err(faults)) => {
                self.faults.extend(faults.iter().cloned());
                Vec::new()
            }
            Err(error) => {
                self.faults.push(graph_fault(&error));
                Vec::new()
            }
        }
    }

    /// Evaluates those packages that are not yet, in parallel.
    async fn load(&mut self, paths: &[NeutralPath]) {
        let missing: BTreeSet<&NeutralPath> = paths
            .iter()
            .filter(|path| !self.packages.contains_key(*path))
            .collect();
        let missing: Vec<NeutralPath> = missing.into_iter().cloned().collect();
        let mut keys = Vec::new();
        for path in &missing {
            match Package::new(self.services, path) {
                Ok(key) => keys.push(key),
                Err(error) => return self.faults.push(error),
            }
        }
        let loads = futures::future::join_all(keys.iter().map(|key| self.request.get(key))).await;
        for (path, loaded) in missing.into_iter().zip(loads) {
            let value = match loaded {
                Ok(Ok(value)) => Some(value),
                Ok(Err(faults)) => {
                    for fault in faults.iter() {
                        self.report(fault.clone());
                    }
                    None
                }
                Err(error) => {
                    self.report(graph_fault(&error));
                    None
                }
            };
            self.packages.insert(path, value);
        }
    }

    /// Adds an error unless it is one that is there already, seen through another importer.
    fn report(&mut self, fault: Diagnostic) {
        let same =
            |known: &Diagnostic| known.message == fault.message && known.location == fault.location;
        match self.faults.iter_mut().find(|known| same(known)) {
            // The shortest way to it says most.
            Some(known) if known.trace.len() > fault.trace.len() => *known = fault,
            Some(_) => {}
            None => self.faults.push(fault),
        }
    }

    fn targets_of(&mut self, pattern: &Pattern, package: &PackageValue) -> Vec<Label> {
        let label = |name: &str| Label::new(package.path.clone(), name);
        let all = |manual: bool| -> Vec<Label> {
            package
                .targets
                .values()
                // What only its user names is no target of its own.
                .filter(|target| {
                    !target.label.name.contains('/') && (manual || !target.is_manual())
                })
                .map(|target| target.label.clone())
                .collect()
        };
        let Names::Named(name) = &pattern.names else {
            return all(false);
        };
        if package.targets.contains_key(name) {
            return vec![label(name)];
        }
        if let Some(alias) = package.aliases.get(name)
            && let Ok(label) = Label::parse(alias, None)
        {
            return vec![label];
        }
        if name.is_empty() {
            return all(false);
        }
        // A list or an object of targets: all of it.
        let members: Vec<Label> = package
            .targets
            .keys()
            .filter(|key| !key.contains('/'))
            .filter(|key| {
                key.strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with(['.', '[']))
            })
            .map(|key| label(key))
            .collect();
        if members.is_empty() && pattern.is_exact() {
            let error = self.unknown(&label(name), package);
            self.faults.push(error);
        }
        members
    }

    fn unknown(&self, label: &Label, package: &PackageValue) -> Diagnostic {
        let names: Vec<&str> = package
            .targets
            .keys()
            .chain(package.aliases.keys())
            .map(String::as_str)
            .filter(|n| !n.contains('/'))
            .collect();
        let help = match nearest(&label.name, names.iter().copied()) {
            Some(near) => format!("did you mean {}?", Label::new(label.package.clone(), near)),
            None if names.is_empty() => format!("//{} has no targets", label.package),
            None => format!("//{} has {}", label.package, names.join(", ")),
        };
        Diagnostic::user(format!("there is no target {label}")).with_help(help)
    }

    /// The roots and all that they depend on.
    async fn closure(
        &mut self,
        roots: &[Root],
    ) -> BTreeMap<String, (Arc<Target>, Option<Location>)> {
        let mut targets = BTreeMap::new();
        let mut wave: Vec<(String, Option<String>)> = roots
            .iter()
            .map(|root| (root.label.clone(), None))
            .collect();
        while !wave.is_empty() {
            let labels: Vec<(Label, Option<String>)> = wave
                .drain(..)
                .filter_map(|(text, user)| Some((Label::parse(&text, None).ok()?, user)))
                .collect();
            let packages: Vec<NeutralPath> = labels
                .iter()
                .map(|(label, _)| label.package.clone())
                .collect();
            self.load(&packages).await;
            for (label, user) in labels {
                if targets.contains_key(&label.to_string()) {
                    continue;
                }
                // A package that failed has been reported.
                let Some(Some(package)) = self.packages.get(&label.package).cloned() else {
                    continue;
                };
                let Some(target) = package.targets.get(&label.name) else {
                    let mut error = self.unknown(&label, &package);
                    if let Some((user, location)) = user.and_then(|user| {
                        targets
                            .get(&user)
                            .map(|(_, l): &(Arc<Target>, Option<Location>)| {
                                (user.clone(), l.clone())
                            })
                    }) {
                        error = error.with_trace(format!("needed by {user}"));
                        error.location = location;
                    }
                    self.report(error);
                    continue;
                };
                let location = target
                    .place
                    .as_ref()
                    .map(|place| Location::new(place, package.sources.get(&place.file).cloned()));
                let user = label.to_string();
                wave.extend(
                    target
                        .dependencies()
                        .into_iter()
                        .map(|dep| (dep.to_owned(), Some(user.clone()))),
                );
                targets.insert(user, (target.clone(), location));
            }
        }
        // A target whose dependencies are not all there cannot be built.
        loop {
            let broken: Vec<String> = targets
                .iter()
                .filter(|(_, (target, _))| {
                    target
                        .dependencies()
                        .iter()
                        .any(|dep| !targets.contains_key(*dep))
                })
                .map(|(label, _)| label.clone())
                .collect();
            if broken.is_empty() {
                return targets;
            }
            for label in broken {
                targets.remove(&label);
            }
        }
    }
}
