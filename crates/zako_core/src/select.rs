//! From patterns to targets: which packages are evaluated, which targets are meant, and all that those need.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use zako_graph::Request;
use zako_path::NeutralPath;
use zako_script::{TargetRef, nearest};

use crate::configuration::{Configurations, Scheme};
use crate::configured::Configured;
use crate::diagnostic::{Diagnostic, Location};
use crate::evaluate::{
    FileThere, Listing, Package, PackageList, PackageModule, PackageValue, Services, graph_fault,
    scheme, told,
};
use crate::label::Label;
use crate::pattern::{Names, Packages, Pattern};
use crate::target::{Target, place_of_use};
use crate::workspace::BUILD_FILE;

/// A target that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    /// Its label.
    pub(crate) label: String,
    /// The one output that was asked for, instead of all.
    pub(crate) output: Option<String>,
}

/// Targets by label, with the place of their declaration.
pub(crate) type Targets = BTreeMap<String, (Arc<Target>, Option<Location>)>;

/// What patterns came to.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// The targets that were asked for, in label order.
    pub(crate) roots: Vec<Root>,
    /// Those and all that they depend on, with the place of their declaration.
    pub(crate) targets: Targets,
    /// The packages that were asked for; `None` for those that are wrong.
    pub(crate) packages: BTreeMap<NeutralPath, Option<Arc<PackageValue>>>,
    /// The configurations of those.
    pub(crate) configurations: Configurations,
    /// What the invocation sets and no option is called, each with what was probably meant: for `config.get`, or for nobody.
    pub(crate) unclaimed: Vec<(String, Option<String>)>,
    /// What configuration files and packages logged, in the order of their paths.
    pub(crate) logs: Vec<Diagnostic>,
    /// What is wrong. Without `keep_going` there is nothing else when there is something here.
    pub(crate) faults: Vec<Diagnostic>,
}

struct Selector<'a> {
    request: &'a Request,
    services: &'a Services,
    packages: BTreeMap<NeutralPath, Option<Arc<PackageValue>>>,
    faults: Vec<Diagnostic>,
    /// The `[[packages]]` that make no package, once all of the workspace was looked at.
    useless: Option<Vec<Diagnostic>>,
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
        useless: None,
    };
    // Exclusions alone take away from everything.
    let everything = ["...".to_owned()];
    let all = patterns.iter().all(|text| text.starts_with('-'));
    let mut parsed = Vec::new();
    for text in everything.iter().filter(|_| all).chain(patterns) {
        match Pattern::parse(text, from) {
            Ok(pattern) => parsed.push(pattern),
            Err(message) => selector.faults.push(Diagnostic::user(message).with_help(
                "patterns look like //pkg:name, //pkg/..., :name, //...:name or -//pkg:name",
            )),
        }
    }
    let (mut scheme, faults, mut logs) = scheme(request, services).await;
    let is_wrong = !faults.is_empty();
    selector.faults.extend(faults);
    let roots = selector.roots(&parsed).await;
    // What is to be built in a configuration that nobody asked for is not worth a second error.
    let roots = if is_wrong { Vec::new() } else { roots };
    let (roots, targets) = selector.closure(roots, &mut scheme).await;
    let packages = selector.packages.values().flatten();
    logs.extend(selector.useless.into_iter().flatten());
    logs.extend(packages.flat_map(|package| package.logs.iter().cloned()));
    let manifest = services.workspace.manifest();
    let is_vocabulary = |name: &String| {
        manifest.config.contains_key(name)
            || (manifest.profiles.values()).any(|profile| profile.contains_key(name))
    };
    let settings = services.settings.keys();
    let unclaimed = settings.filter(|name| !scheme.has(name) && !is_vocabulary(name));
    let unclaimed = unclaimed
        .map(|name| (name.clone(), scheme.nearest(name).map(str::to_owned)))
        .collect();
    Selection {
        roots,
        targets,
        configurations: scheme.configurations(),
        unclaimed,
        logs,
        faults: selector.faults,
        packages: selector.packages,
    }
}

impl Selector<'_> {
    async fn roots(&mut self, patterns: &[Pattern]) -> Vec<Root> {
        let mut found: BTreeSet<(Label, Option<String>)> = BTreeSet::new();
        for pattern in patterns.iter().filter(|pattern| !pattern.exclude) {
            let before = self.faults.len();
            let packages = self.packages_of(pattern).await;
            self.load(&packages).await;
            let mut labels = Vec::new();
            for path in &packages {
                let Some(Some(package)) = self.packages.get(path).cloned() else {
                    continue;
                };
                let mine = named(pattern, &package, false);
                if mine.is_empty() && pattern.is_exact() && pattern.names != Names::All {
                    self.no_such(pattern, &package);
                }
                labels.extend(mine);
            }
            // A name that is nowhere was misspelt, but for packages that could not be looked into.
            if labels.is_empty()
                && self.faults.len() == before
                && let Names::Named(name) = &pattern.names
                && !pattern.is_exact()
            {
                let error = self.nowhere(pattern, name, &packages);
                self.faults.push(error);
            }
            let output = pattern.output.clone();
            found.extend(labels.into_iter().map(|label| (label, output.clone())));
        }
        let mut excluded: BTreeSet<Label> = BTreeSet::new();
        for pattern in patterns.iter().filter(|pattern| pattern.exclude) {
            let covered = self
                .packages
                .iter()
                .filter(|(path, _)| pattern.covers(path));
            for package in covered.filter_map(|(_, package)| package.as_ref()) {
                excluded.extend(named(pattern, package, true));
            }
        }
        found
            .into_iter()
            .filter(|(label, _)| !excluded.contains(label))
            .map(|(label, output)| Root {
                label: label.to_string(),
                output,
            })
            .collect()
    }

    /// Reports a name that its package does not have. A package without a default export is all of its targets, even none.
    fn no_such(&mut self, pattern: &Pattern, package: &PackageValue) {
        if let Names::Named(name) = &pattern.names
            && !name.is_empty()
        {
            let error = self.unknown(&Label::new(package.path.clone(), name.as_str()), package);
            self.faults.push(error);
        }
    }

    fn nowhere(&self, pattern: &Pattern, name: &str, packages: &[NeutralPath]) -> Diagnostic {
        let known: BTreeSet<&str> = packages
            .iter()
            .filter_map(|path| self.packages.get(path)?.as_ref())
            .flat_map(|package| package.targets.keys().map(String::as_str))
            .filter(|name| !name.contains('/'))
            .collect();
        let mut error = Diagnostic::user(format!(
            "\"{}\": no package there has a target \"{name}\"",
            pattern.text
        ));
        error.help =
            nearest(name, known.into_iter()).map(|near| format!("did you mean \"{near}\"?"));
        error
    }

    async fn packages_of(&mut self, pattern: &Pattern) -> Vec<NeutralPath> {
        let base = match &pattern.packages {
            Packages::Below(base) => base,
            Packages::One(path) => {
                if self.is_package(path).await {
                    return vec![path.clone()];
                }
                let mut error = self.no_package(path).await;
                error.message = format!("\"{}\": {}", pattern.text, error.message);
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
        if base.is_root() && self.useless.is_none() {
            self.useless = Some(self.useless_rules(&packages).await);
        }
        packages
    }

    /// Warnings of the `[[packages]]` that make none of `packages`, which are all that there are.
    async fn useless_rules(&self, packages: &[NeutralPath]) -> Vec<Diagnostic> {
        let workspace = &self.services.workspace;
        let rules = &workspace.manifest().packages;
        let mut useless: BTreeSet<usize> = (0..rules.len()).collect();
        for folder in packages {
            if useless.is_empty() {
                break;
            }
            let Ok(path) = self.services.intern(folder) else {
                continue;
            };
            if let Ok(Ok(entries)) = self.request.get(&Listing(path)).await
                && let Some(rule) = workspace.package_rule(folder, &entries)
            {
                useless.remove(&rule);
            }
        }
        let warning = |at: usize| {
            let matching = &rules[at].matching;
            let text = format!(
                "this [[packages]] makes no package: no folder has a file that \"{matching}\" matches, or each is one by itself or by an earlier one"
            );
            let place = workspace.manifest().place_of("packages", &at.to_string());
            let mut warning =
                Diagnostic::warning(text).with_help("correct the pattern, or take it out");
            warning.location = place.map(|place| Location::new(place, None));
            warning
        };
        useless.into_iter().map(warning).collect()
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
                    let told = told(self.request, &error).await;
                    self.report(told);
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

    fn unknown(&self, label: &Label, package: &PackageValue) -> Diagnostic {
        let label = &Label {
            configuration: None,
            ..label.clone()
        };
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

    /// The roots and all that they depend on, each by the label under which it was declared. A target whose dependencies
    /// are not all there is left out: it cannot be built.
    async fn closure(&mut self, roots: Vec<Root>, scheme: &mut Scheme) -> (Vec<Root>, Targets) {
        let mut targets = Targets::new();
        let mut aliases: HashMap<String, String> = HashMap::new();
        let mut configured = Configured::new(self.request, self.services, scheme);
        let roots: Vec<Root> = roots
            .into_iter()
            .map(|root| configured.root(root))
            .collect();
        let mut wave: Vec<(String, Option<String>)> = roots
            .iter()
            .map(|root| (root.label.clone(), None))
            .collect();
        while !wave.is_empty() {
            let labels: Vec<(Label, Option<String>)> = wave
                .drain(..)
                .filter(|(text, _)| !targets.contains_key(text) && !aliases.contains_key(text))
                .filter_map(|(text, user)| Some((Label::parse_configured(&text).ok()?, user)))
                .collect();
            let packages: BTreeSet<NeutralPath> = labels
                .iter()
                .map(|(label, _)| label.package.clone())
                .collect();
            self.load_for(&packages, &labels, &targets).await;
            for (label, user) in labels {
                let text = label.to_string();
                if targets.contains_key(&text) || aliases.contains_key(&text) {
                    continue;
                }
                // A package that failed has been reported.
                let Some(Some(package)) = self.packages.get(&label.package).cloned() else {
                    continue;
                };
                if let Some(real) = package.aliases.get(&label.name) {
                    match configured.reference(real, &label).await {
                        Ok(real) => {
                            wave.push((real.clone(), user));
                            aliases.insert(text, real);
                        }
                        Err(faults) => faults.into_iter().for_each(|fault| self.report(fault)),
                    }
                    continue;
                }
                let Some(target) = package.targets.get(&label.name) else {
                    let mut error = self.unknown(&label, &package);
                    if let Some(user) = user {
                        if let Some((target, _)) = targets.get(&user) {
                            error.location = place_of_use(self.services, target, &text).await;
                        }
                        error = error.with_trace(format!("needed by {user}"));
                    }
                    self.report(error);
                    continue;
                };
                let target = match configured.target(target, &label).await {
                    Ok(target) => target,
                    Err(faults) => {
                        faults.into_iter().for_each(|fault| self.report(fault));
                        continue;
                    }
                };
                let location = target
                    .place
                    .as_ref()
                    .map(|place| Location::new(place, None));
                wave.extend(
                    target
                        .dependencies()
                        .into_iter()
                        .map(|dep| (dep.to_owned(), Some(text.clone()))),
                );
                targets.insert(text, (target, location));
            }
        }
        let real = |label: &str| -> String {
            let mut label = label;
            // No longer than there are aliases, whatever names whatever.
            for _ in 0..=aliases.len() {
                match aliases.get(label) {
                    Some(next) => label = next,
                    None => break,
                }
            }
            label.to_owned()
        };
        if !aliases.is_empty() {
            for (target, _) in targets.values_mut() {
                if target
                    .dependencies()
                    .iter()
                    .any(|dep| aliases.contains_key(*dep))
                {
                    *target = Arc::new(target.with_labels(&real));
                }
            }
        }
        let mut seen = BTreeSet::new();
        let roots = roots
            .into_iter()
            .map(|root| Root {
                label: real(&root.label),
                output: root.output,
            })
            .filter(|root| seen.insert((root.label.clone(), root.output.clone())))
            .collect();
        drop_broken(&mut targets);
        (roots, targets)
    }

    /// Loads packages that `labels` need; one that is not there is told with the target that needs it.
    async fn load_for(
        &mut self,
        packages: &BTreeSet<NeutralPath>,
        labels: &[(Label, Option<String>)],
        targets: &Targets,
    ) {
        let mut there = Vec::new();
        for path in packages {
            if self.packages.contains_key(path) || self.is_package(path).await {
                there.push(path.clone());
                continue;
            }
            let user = labels
                .iter()
                .filter(|(label, _)| label.package == *path)
                .find_map(|(_, user)| user.clone());
            let mut error = self.no_package(path).await;
            if let Some(user) = user {
                error.location = targets.get(&user).and_then(|(_, place)| place.clone());
                error = error.with_trace(format!("needed by {user}"));
            }
            self.report(error);
            self.packages.insert(path.clone(), None);
        }
        self.load(&there).await;
    }

    /// Whether the folder is a package; asked of the graph, as all that a build depends on.
    async fn is_package(&self, folder: &NeutralPath) -> bool {
        if self.services.workspace.has_package_rules() {
            let Ok(folder) = self.services.intern(folder) else {
                return false;
            };
            let found = self.request.get(&PackageModule(folder)).await;
            return matches!(found, Ok(Ok(Some(_))));
        }
        let file = folder.join(BUILD_FILE).ok();
        match file.and_then(|file| self.services.intern(&file).ok()) {
            Some(file) => self.request.get(&FileThere(file)).await.unwrap_or(false),
            None => false,
        }
    }

    async fn no_package(&mut self, path: &NeutralPath) -> Diagnostic {
        let known = self.all_packages(&NeutralPath::root()).await;
        let near = nearest(path.as_str(), known.iter().map(NeutralPath::as_str));
        let file = path
            .join(BUILD_FILE)
            .map_or_else(|_| String::new(), |f| f.to_string());
        let mut error = Diagnostic::user(format!("there is no package //{path} (no {file})"));
        error.help = near.map(|near| format!("did you mean //{near}?"));
        error
    }
}

/// Takes out the targets whose dependencies are not all there, and then those that depend on them.
fn drop_broken(targets: &mut Targets) {
    let mut users: HashMap<String, Vec<String>> = HashMap::new();
    let mut broken: Vec<String> = Vec::new();
    for (label, (target, _)) in targets.iter() {
        if target
            .dependencies()
            .iter()
            .any(|dep| !targets.contains_key(*dep))
        {
            broken.push(label.clone());
        }
    }
    if broken.is_empty() {
        return;
    }
    for (label, (target, _)) in targets.iter() {
        for dep in target.dependencies() {
            users.entry(dep.to_owned()).or_default().push(label.clone());
        }
    }
    while let Some(label) = broken.pop() {
        if targets.remove(&label).is_some() {
            broken.extend(users.remove(&label).into_iter().flatten());
        }
    }
}

/// The exports of `package` that are targets in another configuration, but for those tagged `manual` unless those count.
fn configured(package: &PackageValue, manual: bool) -> impl Iterator<Item = Label> {
    let is_manual = |of: &TargetRef| {
        let TargetRef::Label(label) = of else {
            return false;
        };
        let label = Label::parse(label, None).ok();
        let label = label.filter(|label| label.package == package.path);
        let target = label.and_then(|label| package.targets.get(&label.name));
        target.is_some_and(|target| target.is_manual())
    };
    package
        .aliases
        .iter()
        .filter(move |(_, reference)| match reference {
            TargetRef::Configured { of, .. } => manual || !is_manual(of),
            _ => false,
        })
        .map(|(name, _)| Label::new(package.path.clone(), name.as_str()))
}

/// The targets of `package` that `pattern` means; those tagged `manual` only by name, or for an exclusion.
fn named(pattern: &Pattern, package: &PackageValue, manual: bool) -> Vec<Label> {
    let label = |name: &str| Label::new(package.path.clone(), name);
    // What only its user names is no target of its own.
    let own = || {
        package
            .targets
            .values()
            .filter(|target| !target.label.name.contains('/'))
    };
    let all = || -> Vec<Label> {
        let own = own()
            .filter(|target| manual || !target.is_manual())
            .map(|target| target.label.clone());
        own.chain(configured(package, manual)).collect()
    };
    let Names::Named(name) = &pattern.names else {
        return all();
    };
    if package.targets.contains_key(name) {
        return vec![label(name)];
    }
    match package.aliases.get(name) {
        Some(TargetRef::Label(alias)) => return Label::parse(alias, None).into_iter().collect(),
        // A target in another configuration has this name only.
        Some(_) => return vec![label(name)],
        None => {}
    }
    if name.is_empty() {
        return all();
    }
    // A list or an object of targets: all of it.
    own()
        .filter(|target| {
            let rest = target.label.name.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.starts_with(['.', '[']))
        })
        .map(|target| target.label.clone())
        .collect()
}
