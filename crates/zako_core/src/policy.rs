//! `[policy]` of `zako.toml`: which programs of the machine actions may run, and which may use the network.
//!
//! Rules are read from the top; the first one that covers an action's package and speaks of what it does decides. What no rule speaks
//! of is allowed. Of a shell script the commands are judged that can be seen at a glance, but not by the pattern `*`: that would take what
//! the shell does itself for a program.

use globset::{Glob, GlobSet, GlobSetBuilder};
use zako_action::{ActionBody, ActionSpec, ToolRef};
use zako_exec::shell_commands;
use zako_script::Place;

use crate::execute::is_of_the_machine;
use crate::label::Label;
use crate::pattern::Pattern;

/// All rules, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) rules: Vec<PolicyRule>,
}

/// One of `rules`.
#[derive(Debug, Clone)]
pub(crate) struct PolicyRule {
    /// Where it stands.
    pub(crate) place: Place,
    pub(crate) packages: Pattern,
    pub(crate) allow: ProgramSet,
    pub(crate) deny: ProgramSet,
    pub(crate) network: Option<bool>,
}

impl PartialEq for PolicyRule {
    fn eq(&self, other: &Self) -> bool {
        let parts = |rule: &PolicyRule| {
            let programs = [rule.allow.patterns.clone(), rule.deny.patterns.clone()];
            (
                rule.place.clone(),
                rule.packages.clone(),
                programs,
                rule.network,
            )
        };
        parts(self) == parts(other)
    }
}

impl Eq for PolicyRule {}

/// Programs by patterns of their names or paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgramSet {
    patterns: Vec<String>,
    set: GlobSet,
}

impl ProgramSet {
    /// The error says what is wrong.
    pub(crate) fn of(patterns: Vec<String>) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            let wrong = |e: globset::Error| format!("\"{pattern}\" is not a pattern: {}", e.kind());
            set.add(Glob::new(pattern).map_err(wrong)?);
        }
        let set = set.build().map_err(|e| e.to_string())?;
        Ok(ProgramSet { patterns, set })
    }

    /// The same, but for what stands in a script.
    fn names(&self, program: &str) -> bool {
        let path = globset::Candidate::new(program);
        let matches = self.set.matches_candidate(&path);
        matches.into_iter().any(|at| self.patterns[at] != "*")
    }

    fn has(&self, program: &str) -> bool {
        let name = program.rsplit('/').next().unwrap_or(program);
        self.set.is_match(program) || self.set.is_match(name)
    }
}

/// What an action does that a rule denies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denied<'a> {
    pub(crate) rule: &'a PolicyRule,
    /// `runs \`curl\`` or `uses the network`.
    pub(crate) what: String,
}

impl Policy {
    /// What of `spec` is denied first, if anything; `fetches` says that zako itself uses the network for it.
    pub(crate) fn denies<'a>(&'a self, spec: &ActionSpec, fetches: bool) -> Option<Denied<'a>> {
        if self.rules.is_empty() {
            return None;
        }
        let package = Label::parse_configured(&spec.owner).ok()?.package;
        let covering = || {
            self.rules
                .iter()
                .filter(|rule| rule.packages.covers(&package))
        };
        for program in programs(spec).into_iter().filter(|_| !fetches) {
            let speaks = |rule: &&PolicyRule| rule.allow.has(&program) || rule.deny.has(&program);
            // A rule that names it both ways allows it.
            if let Some(rule) = covering().find(speaks)
                && !rule.allow.has(&program)
            {
                let what = format!("runs `{program}`");
                return Some(Denied { rule, what });
            }
        }
        if let ActionBody::Shell { script } = &spec.body
            && !fetches
        {
            for program in shell_commands(script) {
                let name = program.rsplit('/').next().unwrap_or(program);
                let speaks = |rule: &&PolicyRule| rule.allow.names(name) || rule.deny.names(name);
                if let Some(rule) = covering().find(speaks)
                    && !rule.allow.names(name)
                {
                    let what = format!("runs `{program}`");
                    return Some(Denied { rule, what });
                }
            }
        }
        if spec.network || fetches {
            let rule = covering().find(|rule| rule.network.is_some());
            if let Some(rule) = rule.filter(|rule| rule.network == Some(false)) {
                let what = "uses the network".to_owned();
                return Some(Denied { rule, what });
            }
        }
        None
    }
}

/// The programs of the machine that an action says it runs.
fn programs(spec: &ActionSpec) -> Vec<String> {
    let own = match &spec.body {
        ActionBody::Command { argv } => {
            argv.first().cloned().filter(|name| is_of_the_machine(name))
        }
        ActionBody::Shell { .. } => Some("sh".to_owned()),
        ActionBody::Script { .. } => None,
    };
    let tools = spec.tools.iter().filter_map(|tool| match tool {
        ToolRef::Host(name) | ToolRef::Versioned { path: name, .. } => Some(name.clone()),
        ToolRef::Artifact(_) => None,
    });
    own.into_iter().chain(tools).collect()
}

/// A pattern of packages, as a rule has it: names of targets mean nothing there. The error says what is wrong.
pub(crate) fn packages(text: &str) -> Result<Pattern, String> {
    let wanted = || {
        format!(
            "\"{text}\" is no pattern of packages; write it as \"//third_party/...\" or \"//app\""
        )
    };
    if !text.starts_with("//") || text.contains([':', '#']) {
        return Err(wanted());
    }
    let root = zako_path::NeutralPath::root();
    Pattern::parse(text, &root)
}
