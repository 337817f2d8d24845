//! The options that are known, the base configuration, and what is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts;
use std::sync::Arc;

use zako_script::nearest;
use zako_script::value::{OptionDeclaration, OptionKind, Setting, Transition};

use super::naming::name;
use super::{ARCH, Configuration, Configurations, OS, Values};
use crate::diagnostic::{Diagnostic, Location};
use crate::manifest::Manifest;

/// What `-D` and `zako.toml` call a platform that a `*.config.ts` file declares.
const PLATFORM: &str = "platform";

/// An option that nobody has told of, by where it is exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) String);

impl Unknown {
    /// The file that exports it.
    pub(crate) fn module(&self) -> &str {
        self.0
            .rsplit_once('#')
            .map_or(&*self.0, |(module, _)| module)
    }
}

/// What a workspace declares for all of it.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// The options that the command line knows.
    pub(crate) options: Vec<OptionDeclaration>,
    /// The platforms that it knows, by name.
    pub(crate) platforms: Vec<(String, Vec<Setting>)>,
    /// Names that no configuration can have: at the root there is a folder that is called `@` and so, and its outputs go where
    /// those of the configuration would.
    pub(crate) taken: BTreeSet<String>,
}

/// All that decides what configurations there are.
#[derive(Debug)]
pub(crate) struct Scheme {
    /// All options that are known, by where they are exported.
    options: BTreeMap<String, OptionDeclaration>,
    /// Those that the command line can set, by what it calls them.
    named: BTreeMap<String, String>,
    platforms: BTreeMap<String, Vec<Setting>>,
    /// What `[config]` says that is not the options' defaults.
    base: Values,
    /// What each profile makes of the base.
    profiles: BTreeMap<String, Values>,
    /// Names that no configuration can have: folders of packages are called so.
    taken: BTreeSet<String>,
    made: BTreeMap<Values, Configuration>,
    invocation: Values,
    /// What is set and should not be any more.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A platform option as zako declares it, for the machine that it runs on.
fn platform(id: &str, values: &[&str], host: &str) -> OptionDeclaration {
    OptionDeclaration {
        id: id.to_owned(),
        name: None,
        kind: OptionKind::Choice,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        default: host.to_owned(),
        deprecated: None,
    }
}

impl Scheme {
    /// The scheme of a workspace that declares this, for an invocation that sets `settings`, by the names that the command line
    /// uses; and what is wrong with those.
    pub(crate) fn new(
        declared: Declared,
        manifest: &Manifest,
        settings: &BTreeMap<String, String>,
        profile: Option<&str>,
    ) -> (Scheme, Vec<Diagnostic>) {
        let mut scheme = Scheme {
            options: BTreeMap::new(),
            named: BTreeMap::new(),
            platforms: declared.platforms.into_iter().collect(),
            base: Values::new(),
            profiles: BTreeMap::new(),
            taken: declared.taken,
            made: BTreeMap::new(),
            invocation: Values::new(),
            warnings: Vec::new(),
        };
        let mut faults = Vec::new();
        let own = [
            platform(OS, &["linux", "macos", "windows"], consts::OS),
            platform(ARCH, &["x86_64", "aarch64"], consts::ARCH),
        ];
        for option in own.into_iter().chain(declared.options) {
            let name = option.shown().to_owned();
            if let Some(other) = scheme.named.get(&name).filter(|other| **other != option.id) {
                let error = format!("two options are called {name}: {other} and {}", option.id);
                faults.push(Diagnostic::user(error).with_help(
                    "rename one, or give it another name for the command line: option({ name: \"…\" })",
                ));
                continue;
            }
            scheme.named.insert(name, option.id.clone());
            scheme.options.insert(option.id.clone(), option);
        }
        let place = |table: &str, name: &str| {
            let place = manifest.place_of(table, name);
            place.map(|place| Location::new(place, None))
        };
        let base = scheme.read(&manifest.config, |name| place("config", name));
        scheme.base = scheme.settled(base, &mut faults);
        scheme.base = scheme
            .base
            .iter()
            .filter(|(id, value)| scheme.options[*id].default != **value)
            .map(|(id, value)| (id.clone(), value.clone()))
            .collect();
        for (name, given) in &manifest.profiles {
            let table = format!("profile.{name}");
            let read = scheme.read(given, |name| place(&table, name));
            let settings = scheme.settled(read, &mut faults);
            let settings = scheme.normal(settings);
            scheme.profiles.insert(name.clone(), settings);
        }
        let given = profile.and_then(|profile| manifest.profiles.get(profile));
        let in_base = |name: &str| ("[config] of zako.toml".to_owned(), place("config", name));
        let mut warnings = scheme.deprecated(&manifest.config, in_base);
        warnings.extend(scheme.deprecated(settings, |name| {
            // What the profile sets stands there.
            let is_profiles = given.is_some_and(|given| given.get(name) == settings.get(name));
            match profile.filter(|_| is_profiles) {
                Some(profile) => (
                    format!("the profile {profile}"),
                    place(&format!("profile.{profile}"), name),
                ),
                None => ("-D".to_owned(), None),
            }
        }));
        scheme.warnings = warnings;
        let read = scheme.read(settings, |name| {
            // What the profile says has been told of.
            let is_profiles = given.is_some_and(|given| given.get(name) == settings.get(name));
            let profile = profile.filter(|_| is_profiles)?;
            place(&format!("profile.{profile}"), name)
        });
        let mut told = Vec::new();
        let settings = scheme.settled(read, &mut told);
        for fault in told {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        scheme.invocation = scheme.normal(settings);
        (scheme, faults)
    }

    /// The values that `given` has for options, by the names that people use. What means no option is for `config.get`.
    fn read(
        &self,
        given: &BTreeMap<String, String>,
        place: impl Fn(&str) -> Option<Location>,
    ) -> Result<Values, Vec<Diagnostic>> {
        let mut values = Values::new();
        let mut faults = Vec::new();
        let mut wrong = |name: &str, value: &str, known: Vec<&str>| {
            let mut error = Diagnostic::user(format!(
                "\"{value}\" is no value of the option {name}: it has {}",
                known.join(", ")
            ));
            error.help = nearest(value, known.into_iter())
                .map(|near| format!("did you mean {name}={near}?"));
            error.location = place(name);
            faults.push(error);
        };
        if let Some(value) = given.get(PLATFORM)
            && !self.platforms.is_empty()
            && !self.named.contains_key(PLATFORM)
        {
            match self.platforms.get(value) {
                Some(settings) => {
                    let pair = |set: &Setting| (set.option.clone(), set.value.clone());
                    values.extend(settings.iter().map(pair));
                }
                None => wrong(
                    PLATFORM,
                    value,
                    self.platforms.keys().map(String::as_str).collect(),
                ),
            }
        }
        for (name, value) in given {
            let Some(option) = self.named.get(name).and_then(|id| self.options.get(id)) else {
                continue;
            };
            if option.values.contains(value) {
                values.insert(option.id.clone(), value.clone());
            } else {
                let known = option.values.iter().map(String::as_str).collect();
                wrong(name, value, known);
            }
        }
        match faults.is_empty() {
            true => Ok(values),
            false => Err(faults),
        }
    }

    /// Warnings of what `given` sets of deprecated options; `by` says who does so, and where.
    fn deprecated(
        &self,
        given: &BTreeMap<String, String>,
        by: impl Fn(&str) -> (String, Option<Location>),
    ) -> Vec<Diagnostic> {
        let warning = |name: &String| {
            let option = self.options.get(self.named.get(name)?)?;
            let why = option.deprecated.as_ref()?;
            let (who, place) = by(name);
            let message = format!("the option {name}, which {who} sets, is deprecated: {why}");
            let mut warning = Diagnostic::warning(message);
            warning.location = place;
            Some(warning)
        };
        given.keys().filter_map(warning).collect()
    }

    fn settled(
        &self,
        read: Result<Values, Vec<Diagnostic>>,
        faults: &mut Vec<Diagnostic>,
    ) -> Values {
        read.unwrap_or_else(|wrong| {
            faults.extend(wrong);
            Values::new()
        })
    }

    /// Whether the command line has an option, or the platform, of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        name == PLATFORM || self.named.contains_key(name)
    }

    /// The one of the names of options that was probably meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.named.keys().map(String::as_str))
    }

    /// Takes note of options that a file declares which the command line does not know.
    pub(crate) fn learn(&mut self, declared: &[OptionDeclaration]) {
        for option in declared {
            let known = self.options.entry(option.id.clone());
            known.or_insert_with(|| option.clone());
        }
    }

    /// What the option has when nothing sets it for a target.
    fn base_value(&self, id: &str) -> Option<&str> {
        let default = || self.options.get(id).map(|option| &option.default);
        self.base.get(id).or_else(default).map(String::as_str)
    }

    /// What of `settings` differs from the base.
    fn normal(&self, mut settings: Values) -> Values {
        settings.retain(|id, value| self.base_value(id) != Some(value));
        settings
    }

    /// The base: what `[config]` makes of the options' defaults.
    pub(crate) fn base(&mut self) -> Configuration {
        self.make(Values::new())
    }

    /// The configuration of what the invocation asks for.
    pub(crate) fn invocation(&mut self) -> Configuration {
        self.make(self.invocation.clone())
    }

    /// The configuration of what runs during the build: the base, for the machine that zako runs on.
    pub(crate) fn exec(&mut self) -> Configuration {
        self.make(Scheme::host())
    }

    fn host() -> Values {
        Values::from([
            (OS.to_owned(), consts::OS.to_owned()),
            (ARCH.to_owned(), consts::ARCH.to_owned()),
        ])
    }

    /// What `transition` makes of `from`.
    pub(crate) fn transition(
        &mut self,
        from: &Configuration,
        transition: &Transition,
    ) -> Result<Configuration, Unknown> {
        let Transition { exec, settings } = transition;
        if *exec && settings.is_empty() {
            return Ok(self.exec());
        }
        let mut values = match exec {
            true => Scheme::host(),
            false => from.settings().clone(),
        };
        for Setting { option, value } in settings {
            self.known(option)?;
            values.insert(option.clone(), value.clone());
        }
        Ok(self.make(values))
    }

    /// The option's value.
    pub(crate) fn value(&self, configuration: &Configuration, id: &str) -> Result<String, Unknown> {
        let option = self.known(id)?;
        let set = configuration.settings().get(id).map(String::as_str);
        let value = set.or_else(|| self.base_value(id));
        Ok(value.unwrap_or(&option.default).to_owned())
    }

    /// The option that is exported there.
    pub(crate) fn known(&self, id: &str) -> Result<&OptionDeclaration, Unknown> {
        let unknown = || Unknown(id.to_owned());
        self.options.get(id).ok_or_else(unknown)
    }

    fn make(&mut self, settings: Values) -> Configuration {
        let settings = self.normal(settings);
        if let Some(known) = self.made.get(&settings) {
            return known.clone();
        }
        let mut values = Scheme::host();
        values.extend(self.base.clone());
        values.extend(settings.clone());
        let name = self.name(&settings).map(Arc::from);
        let made = Configuration::new(name, settings.clone(), values);
        self.made.insert(settings, made.clone());
        made
    }

    fn name(&self, settings: &Values) -> Option<String> {
        if settings.is_empty() {
            return None;
        }
        let mut profiles = self.profiles.iter();
        let is_free = |name: &str| !self.taken.contains(name);
        if let Some((profile, _)) = profiles.find(|(name, of)| *of == settings && is_free(name)) {
            return Some(profile.clone());
        }
        let shown = |id: &str| {
            let mut named = self.named.iter();
            named.find(|(_, of)| *of == id).map(|(name, _)| &**name)
        };
        let is_taken = |name: &str| self.profiles.contains_key(name) || !is_free(name);
        Some(name(settings, shown, is_taken))
    }

    /// All configurations that were made.
    pub(crate) fn made(&self) -> impl Iterator<Item = &Configuration> {
        self.made.values()
    }

    /// The same, by their names.
    pub(crate) fn configurations(&self) -> Configurations {
        Configurations::new(self.made.values().cloned())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn option(name: &str, values: &[&str]) -> OptionDeclaration {
        platform(&format!("//o.config.ts#{name}"), values, values[0])
    }

    fn scheme(manifest: &str, settings: &[(&str, &str)]) -> (Scheme, Vec<String>) {
        let manifest = Manifest::parse(&format!("zako = \"0.1\"\n{manifest}")).unwrap();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let (scheme, faults) = Scheme::new(
            Declared {
                options: vec![
                    option("mode", &["debug", "fast"]),
                    option("n", &["1", "2", "3"]),
                ],
                taken: ["scoped".to_owned()].into(),
                ..Declared::default()
            },
            &manifest,
            &settings.iter().map(own).collect(),
            None,
        );
        (
            scheme,
            faults.iter().map(|fault| fault.message.clone()).collect(),
        )
    }

    fn set(option: &str, value: &str) -> Setting {
        Setting {
            option: format!("//o.config.ts#{option}"),
            value: value.to_owned(),
        }
    }

    fn name(configuration: &Configuration) -> &str {
        configuration.name().map_or("", |name| name)
    }

    #[test]
    fn what_comes_to_the_same_is_the_same() {
        let (mut scheme, faults) = scheme("[config]\nmode = \"fast\"\n", &[("n", "2")]);
        assert_eq!(faults, [""; 0]);
        let (base, asked) = (scheme.base(), scheme.invocation());
        assert_eq!((name(&base), name(&asked)), ("", "n-2"));
        assert_eq!(scheme.exec(), base);
        let back = Transition {
            exec: false,
            settings: vec![set("mode", "debug"), set("n", "1"), set("mode", "fast")],
        };
        assert_eq!(scheme.transition(&asked, &back).unwrap(), base);
        let tool = Transition {
            exec: true,
            settings: vec![set("mode", "debug")],
        };
        let tool = scheme.transition(&asked, &tool).unwrap();
        assert_eq!(name(&tool), "mode-debug");
        assert_eq!(scheme.value(&tool, "//o.config.ts#mode").unwrap(), "debug");
        assert_eq!(scheme.value(&tool, "//o.config.ts#n").unwrap(), "1");
        assert_eq!(scheme.value(&base, "//o.config.ts#mode").unwrap(), "fast");
        let unknown = Unknown("//p.config.ts#mode".to_owned());
        assert_eq!(scheme.value(&base, &unknown.0), Err(unknown.clone()));
        assert_eq!(unknown.module(), "//p.config.ts");
        assert_ne!(base.fingerprint(), asked.fingerprint());
    }

    #[test]
    fn a_profile_gives_its_name_and_nobody_else_has_it() {
        let (mut one, _) = scheme("[profile.scoped]\nn = 2\n", &[("n", "2")]);
        assert_eq!(name(&one.invocation()), "n-2", "a folder @scoped is there");
        let manifest = "[profile.n-2]\nn = 3\n[profile.base]\nmode = \"debug\"\n";
        let (mut scheme, faults) = scheme(manifest, &[("n", "3")]);
        assert_eq!(faults, [""; 0]);
        assert_eq!(name(&scheme.invocation()), "n-2");
        let two = Transition {
            exec: false,
            settings: vec![set("n", "2")],
        };
        let base = scheme.base();
        let two = scheme.transition(&base, &two).unwrap();
        assert!(name(&two).starts_with("n-2~"), "{two:?}");
    }

    #[test]
    fn wrong_values_are_told_once_each() {
        let (_, faults) = scheme("[profile.a]\nmode = \"x\"\n", &[("n", "7"), ("other", "7")]);
        assert_eq!(
            faults,
            [
                "\"x\" is no value of the option mode: it has debug, fast",
                "\"7\" is no value of the option n: it has 1, 2, 3"
            ]
        );
    }
}
