//! How far each action is kept apart: what it asks for, else what the build does, else the best that the machine gives.
//!
//! **Invariant:** the machine is asked at most once a build, and not at all when nothing runs. A level that was asked for is
//! had or is an error; only the default may be weaker, and that is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zako_action::{ActionSpec, Isolation};
use zako_exec::Sandbox;

use super::PlannedAction;
use crate::diagnostic::Diagnostic;

/// The levels of one execution.
#[derive(Debug)]
pub(super) struct Levels {
    /// What the build asks for.
    pub(super) asked: Option<Isolation>,
    /// Whether this build has said what it lacks.
    pub(super) told: Arc<AtomicBool>,
    pub(super) sandbox: Sandbox,
}

impl Levels {
    /// The level of an action with this declaration. May block for the machine's answer.
    pub(super) fn of(&self, spec: &ActionSpec) -> Isolation {
        let asked = spec.isolation.or(self.asked);
        asked.unwrap_or_else(|| match spec.worker {
            // A worker outlives the actions that it does, and so stands outside of the walls of each.
            Some(_) => Isolation::Basic,
            None => self.best(),
        })
    }

    fn best(&self) -> Isolation {
        match self.sandbox.check(Isolation::Enhanced) {
            Ok(()) => Isolation::Enhanced,
            Err(_) => Isolation::Basic,
        }
    }

    /// Why an action can't be run at `level`. May block for the machine's answer.
    pub(super) fn check(
        &self,
        planned: &PlannedAction,
        level: Isolation,
    ) -> Result<(), Diagnostic> {
        if planned.script.is_some() || planned.work.is_some() {
            return Ok(());
        }
        self.sandbox.check(level).map_err(|lack| {
            let level = word(level);
            let message = format!(
                "{} is to run at isolation `{level}`, which cannot be had: {lack}",
                planned.subject()
            );
            Diagnostic::environment(message).with_help(lack.cure)
        })
    }

    /// What to tell, once a build, when actions run at less than the default is meant to be. May block for the machine's
    /// answer.
    pub(super) fn notice(&self) -> Option<Diagnostic> {
        let lack = match self.asked {
            Some(_) => None,
            None => self.sandbox.check(Isolation::Enhanced).err(),
        }?;
        if self.told.swap(true, Ordering::Relaxed) {
            return None;
        }
        let message = format!(
            "actions run at isolation `basic`: what they read without declaring it is not noticed. `enhanced` cannot be had: {lack}"
        );
        let help = format!(
            "{}; or say `--isolation basic` to have it like this",
            lack.cure
        );
        Some(Diagnostic::warning(message).with_help(help))
    }
}

fn word(level: Isolation) -> &'static str {
    match level {
        Isolation::None => "none",
        Isolation::Basic => "basic",
        Isolation::Enhanced => "enhanced",
        Isolation::Maximum => "maximum",
    }
}
