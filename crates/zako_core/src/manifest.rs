//! `zako.toml`: what a workspace says of itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use globset::{Glob, GlobBuilder};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zako_path::NeutralPath;
use zako_script::{ModuleKind, Place, nearest};

use crate::configuration::is_word;
use crate::diagnostic::{Diagnostic, Location};
use crate::options::BuildOptions;
use crate::policy::{Policy, PolicyRule, ProgramSet, packages};

/// The manifest's file name; the folder that has it is the workspace's root.
pub(crate) const MANIFEST: &str = "zako.toml";

/// Folders that are never searched for packages or globbed, besides those of `ignore`.
pub(crate) const ALWAYS_IGNORED: [&str; 4] = [".git", ".zako", "zako-out", "node_modules"];

/// This zako's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A checked manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The workspace's name.
    pub(crate) name: Option<String>,
    /// Globs, relative to the root, of folders to leave alone.
    pub(crate) ignore: Vec<String>,
    /// Options for scripts.
    pub(crate) config: BTreeMap<String, String>,
    /// Files whose toolchains serve, as `//build/go.toolchain.ts`, in order.
    pub(crate) toolchains: Vec<String>,
    /// Named resources, and how many there are of each.
    pub(crate) resources: BTreeMap<String, u32>,
    /// Configuration files whose options the command line can set, besides those at the root.
    pub(crate) config_files: Vec<NeutralPath>,
    /// What makes a folder without a `BUILD.ts` a package.
    pub(crate) packages: Vec<PackageRule>,
    /// What each profile sets.
    pub(crate) profiles: BTreeMap<String, BTreeMap<String, String>>,
    /// What actions may do.
    pub(crate) policy: Arc<Policy>,
    /// Where the settings stand, by table and name; the [[packages]] by their numbers.
    pub(crate) places: BTreeMap<(String, String), Place>,
}

/// One of `[[packages]]`: folders that are packages by a file in them, all of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageRule {
    /// A glob, relative to the root, of the file.
    pub(crate) matching: String,
    /// The module that is evaluated for each.
    pub(crate) build: NeutralPath,
}

impl Manifest {
    /// The files that may register toolchains, as `//build/go.toolchain.ts`: configuration files, then toolchain files.
    pub(crate) fn registering(&self) -> Vec<String> {
        let config = self.config_files.iter().map(|file| format!("//{file}"));
        config.chain(self.toolchains.iter().cloned()).collect()
    }

    /// What every search of folders depends on beside them, as text: which are left alone, and what makes one a package.
    pub(crate) fn searches(&self) -> Vec<String> {
        let rule = |rule: &PackageRule| format!("\0{}\0{}", rule.matching, rule.build);
        let rules = self.packages.iter().map(rule);
        self.ignore.iter().cloned().chain(rules).collect()
    }

    /// Reads the manifest of the workspace at `root`.
    pub(crate) fn read(root: &Path) -> Result<Manifest, Diagnostic> {
        let path = root.join(MANIFEST);
        let bytes = std::fs::read(&path).map_err(|e| {
            Diagnostic::environment(format!("{} cannot be read: {e}", path.display()))
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Diagnostic::user(format!("{} is not UTF-8 text", path.display())))?;
        Manifest::parse(&text)
    }

    /// Checks the manifest's text.
    pub(crate) fn parse(text: &str) -> Result<Manifest, Diagnostic> {
        let source = Source(text.into());
        let table = DeTable::parse(text).map_err(|e| {
            let span = e.span().unwrap_or(0..0);
            source.error(span, e.message().to_owned())
        })?;
        let mut manifest = Manifest::default();
        let mut version = None;
        for (key, value) in table.get_ref() {
            let span = value.span();
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("zako", DeValue::String(oldest)) => version = Some((oldest.to_string(), span)),
                ("name", DeValue::String(name)) => manifest.name = Some(name.to_string()),
                ("ignore", DeValue::Array(items)) => {
                    for item in items.iter() {
                        let DeValue::String(glob) = item.get_ref() else {
                            return Err(source.error(item.span(), "ignore takes a list of strings"));
                        };
                        globset::Glob::new(glob).map_err(|e| {
                            source
                                .error(item.span(), format!("this is not a pattern: {}", e.kind()))
                        })?;
                        manifest.ignore.push(glob.to_string());
                    }
                }
                ("toolchains", DeValue::Array(files)) => {
                    for file in files.iter() {
                        let path = source.script(file, ModuleKind::Toolchain, TOOLCHAIN_FILES)?;
                        manifest.toolchains.push(format!("//{path}"));
                    }
                }
                ("config", DeValue::Table(options)) => {
                    manifest.config = source.settings("config", options, &mut manifest.places)?;
                }
                ("config-files", DeValue::Array(items)) => {
                    for item in items.iter() {
                        let file = source.script(item, ModuleKind::Config, CONFIG_FILES)?;
                        manifest.config_files.push(file);
                    }
                }
                ("policy", DeValue::Table(policy)) => {
                    manifest.policy = Arc::new(source.policy(policy)?);
                }
                ("packages", DeValue::Array(rules)) => {
                    for (at, rule) in rules.iter().enumerate() {
                        manifest.packages.push(source.package_rule(rule)?);
                        let key = ("packages".to_owned(), at.to_string());
                        manifest.places.insert(key, source.place(rule.span()));
                    }
                }
                ("profile", DeValue::Table(profiles)) => {
                    for (name, settings) in profiles {
                        let DeValue::Table(settings) = settings.get_ref() else {
                            return Err(source.error(
                                settings.span(),
                                "a profile is a table of options, as [profile.release]",
                            ));
                        };
                        let name = source.profile_name(name)?;
                        let table = format!("profile.{name}");
                        let settings = source.settings(&table, settings, &mut manifest.places)?;
                        manifest.profiles.insert(name, settings);
                    }
                }
                ("resources", DeValue::Table(resources)) => {
                    for (name, value) in resources {
                        let count = match value.get_ref() {
                            DeValue::Integer(number) => number.to_string().parse::<u32>().ok(),
                            _ => None,
                        };
                        let Some(count) = count else {
                            return Err(source.error(
                                value.span(),
                                "a resource's number is a whole number from 0",
                            ));
                        };
                        manifest.resources.insert(name.get_ref().to_string(), count);
                    }
                }
                (known, _) if KEYS.iter().any(|(key, _)| *key == known) => {
                    let wanted = KEYS
                        .iter()
                        .find(|(key, _)| *key == known)
                        .map_or("", |(_, wanted)| wanted);
                    return Err(source.error(span, format!("{known} takes {wanted}")));
                }
                (unknown, _) => {
                    let names = KEYS.iter().map(|(key, _)| *key);
                    let help = match nearest(unknown, names.clone()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("the keys are {}", names.collect::<Vec<_>>().join(", ")),
                    };
                    let error = source.error(
                        key.span(),
                        format!("there is no key `{unknown}` in zako.toml"),
                    );
                    return Err(error.with_help(help));
                }
            }
        }
        match version {
            None => Err(source
                .error(0..0, "zako.toml must say the oldest zako that it accepts")
                .with_help(format!("add the line: zako = \"{}\"", short_version()))),
            Some((oldest, span)) => match parts(&oldest) {
                None => Err(source
                    .error(span, format!("\"{oldest}\" is not a version"))
                    .with_help("write it as \"0.1\"")),
                Some(oldest_parts) if Some(&oldest_parts) > parts(VERSION).as_ref() => Err(source
                    .error(
                        span,
                        format!(
                            "this workspace needs zako {oldest} or newer; this is zako {VERSION}"
                        ),
                    )
                    .with_help("install a newer zako")),
                Some(_) => Ok(manifest),
            },
        }
    }
}

/// The keys, and what each takes.
const KEYS: [(&str, &str); 10] = [
    ("zako", "a version, as \"0.1\""),
    ("name", "a string"),
    ("ignore", "a list of patterns"),
    ("toolchains", "a list of files"),
    ("config", "a table of options"),
    ("config-files", "a list of *.config.ts files"),
    ("packages", "tables, as [[packages]] with match and build"),
    ("policy", "a table with rules, as [[policy.rules]]"),
    ("profile", "tables of options, as [profile.release]"),
    ("resources", "a table of numbers"),
];

const POLICY_RULE: &str = "a rule takes packages (\"//third_party/...\"), allow and deny (lists of programs), and network (true or false)";
const TOOLCHAIN_FILES: &str = "toolchains takes a list of files, as \"//build/go.toolchain.ts\"";
const CONFIG_FILES: &str = "config-files takes *.config.ts files, as \"//build/options.config.ts\"";

/// The version without its patch level, as manifests write it.
pub(crate) fn short_version() -> String {
    VERSION.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

fn parts(version: &str) -> Option<Vec<u32>> {
    let mut parts: Vec<u32> = version
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    if parts.len() > 3 {
        return None;
    }
    parts.resize(3, 0);
    Some(parts)
}

impl Manifest {
    /// Where a setting stands: in the table `config`, or `profile.NAME`.
    pub(crate) fn place_of(&self, table: &str, name: &str) -> Option<&Place> {
        self.places.get(&(table.to_owned(), name.to_owned()))
    }

    /// The options with those that their profile sets; what they set themselves counts. The error names the nearest profile.
    pub(crate) fn with_profile(
        &self,
        mut options: BuildOptions,
    ) -> Result<BuildOptions, Diagnostic> {
        let Some(name) = &options.profile else {
            return Ok(options);
        };
        let Some(settings) = self.profiles.get(name) else {
            let error = Diagnostic::user(format!("there is no profile \"{name}\" in {MANIFEST}"));
            let known = self.profiles.keys().map(String::as_str);
            return Err(error.with_help(match nearest(name, known.clone()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if self.profiles.is_empty() => format!("add a table [profile.{name}]"),
                None => format!("it has {}", known.collect::<Vec<_>>().join(", ")),
            }));
        };
        for (name, value) in settings {
            let set = options.config.entry(name.clone());
            set.or_insert_with(|| value.clone());
        }
        Ok(options)
    }
}

/// A pattern of files below the root: `*` stays within a folder. The error says what is wrong.
pub(crate) fn file_glob(pattern: &str) -> Result<Glob, String> {
    if pattern.starts_with('/') || pattern.split('/').any(|part| part == ".." || part == ".") {
        return Err(format!(
            "the pattern \"{pattern}\" leaves the workspace; patterns are paths below its root"
        ));
    }
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|e| format!("\"{pattern}\" is not a pattern: {}", e.kind()))
}

struct Source(Arc<str>);

impl Source {
    /// The options in a table, as text; where each stands goes into `places`.
    fn settings(
        &self,
        table: &str,
        options: &DeTable<'_>,
        places: &mut BTreeMap<(String, String), Place>,
    ) -> Result<BTreeMap<String, String>, Diagnostic> {
        let mut settings = BTreeMap::new();
        for (name, value) in options {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Integer(number) => number.to_string(),
                _ => {
                    let wanted = "an option is a string, a whole number or a boolean";
                    return Err(self.error(value.span(), wanted));
                }
            };
            let name = name.get_ref().to_string();
            places.insert((table.to_owned(), name.clone()), self.place(value.span()));
            settings.insert(name, text);
        }
        Ok(settings)
    }

    /// A profile's name is a part of paths and labels.
    fn profile_name(&self, name: &Spanned<Cow<'_, str>>) -> Result<String, Diagnostic> {
        match is_word(name.get_ref()) {
            true => Ok(name.get_ref().to_string()),
            false => Err(self.error(
                name.span(),
                "a profile's name is made of letters, digits, _, - and .",
            )),
        }
    }

    fn policy(&self, policy: &DeTable<'_>) -> Result<Policy, Diagnostic> {
        let mut rules = Vec::new();
        for (name, value) in policy {
            let ("rules", DeValue::Array(items)) = (name.get_ref().as_ref(), value.get_ref())
            else {
                let error = self.error(name.span(), "[policy] takes rules, and nothing else");
                return Err(error.with_help("write each as a table [[policy.rules]]"));
            };
            for item in items.iter() {
                rules.push(self.policy_rule(item)?);
            }
        }
        Ok(Policy { rules })
    }

    fn policy_rule(&self, rule: &Spanned<DeValue<'_>>) -> Result<PolicyRule, Diagnostic> {
        let DeValue::Table(fields) = rule.get_ref() else {
            return Err(self.error(rule.span(), POLICY_RULE));
        };
        let everywhere = packages("//...").map_err(|why| self.error(rule.span(), why))?;
        let mut read = PolicyRule {
            place: self.place(rule.span()),
            packages: everywhere,
            allow: ProgramSet::default(),
            deny: ProgramSet::default(),
            network: None,
        };
        let mut says_something = false;
        for (name, value) in fields {
            let wrong = |why: String| self.error(value.span(), why);
            says_something |= name.get_ref() != "packages";
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("packages", DeValue::String(text)) => {
                    read.packages = packages(text).map_err(wrong)?;
                }
                ("network", DeValue::Boolean(may)) => read.network = Some(*may),
                (verb @ ("allow" | "deny"), DeValue::Array(items)) => {
                    let mut patterns = Vec::new();
                    for item in items.iter() {
                        let DeValue::String(text) = item.get_ref() else {
                            return Err(self.error(item.span(), POLICY_RULE));
                        };
                        patterns.push(text.to_string());
                    }
                    let set = ProgramSet::of(patterns).map_err(wrong)?;
                    match verb {
                        "allow" => read.allow = set,
                        _ => read.deny = set,
                    }
                }
                ("packages" | "network" | "allow" | "deny", _) => {
                    return Err(wrong(POLICY_RULE.to_owned()));
                }
                (other, _) => {
                    let error = self.error(name.span(), format!("a rule has no field `{other}`"));
                    return Err(error.with_help(POLICY_RULE));
                }
            }
        }
        match says_something {
            true => Ok(read),
            false => Err(self.error(rule.span(), POLICY_RULE)),
        }
    }

    fn package_rule(&self, rule: &Spanned<DeValue<'_>>) -> Result<PackageRule, Diagnostic> {
        let wanted = "[[packages]] takes match, a pattern as \"packages/*/package.json\", and build, a module as \"//tools/pkg.ts\"";
        let wrong = || self.error(rule.span(), wanted);
        let DeValue::Table(fields) = rule.get_ref() else {
            return Err(wrong());
        };
        let (mut matching, mut build) = (None, None);
        for (name, value) in fields {
            let DeValue::String(text) = value.get_ref() else {
                return Err(self.error(value.span(), wanted));
            };
            match name.get_ref().as_ref() {
                "match" => {
                    let glob = file_glob(text);
                    glob.map_err(|why| self.error(value.span(), why))?;
                    matching = Some(text.to_string());
                }
                "build" => {
                    let path = text
                        .strip_prefix("//")
                        .and_then(|path| NeutralPath::new(path).ok());
                    let path =
                        path.filter(|path| ModuleKind::of(path) == Some(ModuleKind::Library));
                    let wanted = "build takes a module of the workspace that is a library, as \"//tools/pkg.ts\"";
                    build = Some(path.ok_or_else(|| self.error(value.span(), wanted))?);
                }
                other => {
                    let message = format!("[[packages]] has no field `{other}`");
                    let error = self.error(name.span(), message);
                    return Err(error.with_help("it has match and build"));
                }
            }
        }
        match (matching, build) {
            (Some(matching), Some(build)) => Ok(PackageRule { matching, build }),
            _ => Err(wrong()),
        }
    }

    /// A script of that kind by its path from the root, as `//build/go.toolchain.ts`; `wanted` is the error when it is none.
    fn script(
        &self,
        item: &Spanned<DeValue<'_>>,
        kind: ModuleKind,
        wanted: &str,
    ) -> Result<NeutralPath, Diagnostic> {
        let path = match item.get_ref() {
            DeValue::String(text) => text.strip_prefix("//"),
            _ => None,
        };
        let path = path.and_then(|path| NeutralPath::new(path).ok());
        let path = path.filter(|path| ModuleKind::of(path) == Some(kind));
        path.ok_or_else(|| self.error(item.span(), wanted))
    }

    fn place(&self, span: std::ops::Range<usize>) -> Place {
        zako_script::error::place_of(MANIFEST, &self.0, span.start, span.end)
    }

    fn error(&self, span: std::ops::Range<usize>, message: impl Into<String>) -> Diagnostic {
        let place = self.place(span);
        Diagnostic::user(message).at(Location::new(&place, Some(self.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn a_whole_manifest_is_read() {
        let manifest = Manifest::parse(
            "zako = \"0.1\"\nname = \"x\"\nignore = [\"third_party/**\"]\n[config]\ncc = \"clang\"\nlto = true\nn = 3\n[resources]\ngpu = 1\n",
        )
        .expect("it is valid");
        assert_eq!(manifest.name.as_deref(), Some("x"));
        assert_eq!(manifest.config.get("lto").map(String::as_str), Some("true"));
        assert_eq!(manifest.config.get("n").map(String::as_str), Some("3"));
        assert_eq!(manifest.resources.get("gpu"), Some(&1));
    }

    #[test]
    fn a_manifest_that_is_no_text_is_wrong_input() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("zako.toml"), [0xff, 0xfe]).expect("written");
        let error = Manifest::read(folder.path()).expect_err("it is no text");
        assert_eq!(error.fault, crate::diagnostic::Fault::User);
        assert!(
            error.message.ends_with("zako.toml is not UTF-8 text"),
            "{error}"
        );
    }

    #[test]
    fn faults_have_places_and_help() {
        for (text, message, place, help) in [
            (
                "zako = \"0.1\"\nignroe = []\n",
                "no key `ignroe`",
                "zako.toml:2:1",
                Some("did you mean `ignore`?"),
            ),
            (
                "zako = \"9.0\"\n",
                "needs zako 9.0",
                "zako.toml:1:8",
                Some("install a newer zako"),
            ),
            (
                "zako = \"new\"\n",
                "not a version",
                "zako.toml:1:8",
                Some("write it as \"0.1\""),
            ),
            (
                "name = \"x\"\n",
                "oldest zako",
                "zako.toml:1:1",
                Some("add the line: zako = \"0.1\""),
            ),
            (
                "zako = \"0.1\"\nignore = 3\n",
                "ignore takes a list of patterns",
                "zako.toml:2:10",
                None,
            ),
            (
                "zako = \"0.1\"\n[resources]\ngpu = -1\n",
                "whole number from 0",
                "zako.toml:3:7",
                None,
            ),
            ("zako = \n", "", "zako.toml:1:8", None),
            (
                "zako = \"0.1\"\n[policy]\nrule = []\n",
                "[policy] takes rules",
                "zako.toml:3:1",
                Some("write each as a table [[policy.rules]]"),
            ),
            (
                "zako = \"0.1\"\n[[policy.rules]]\npackages = \"//a:b\"\ndeny = [\"x\"]\n",
                "is no pattern of packages",
                "zako.toml:3:12",
                None,
            ),
            (
                "zako = \"0.1\"\n[[policy.rules]]\npackages = \"//a\"\n",
                "a rule takes packages",
                "zako.toml:2:1",
                None,
            ),
        ] {
            let error = Manifest::parse(text).expect_err("it is invalid");
            assert!(error.message.contains(message), "{error}");
            assert_eq!(
                error.location.as_ref().expect("a place").to_string(),
                place,
                "{text}"
            );
            if help.is_some() {
                assert_eq!(error.help.as_deref(), help);
            }
        }
    }
}
