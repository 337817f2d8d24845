//! What actions took when they last ran: for the plan's critical path and for admission. Not knowing it costs only order.

use std::collections::HashMap;
use std::time::Duration;

use zako_action::ActionSpec;
use zako_graph::archive::Id;

use crate::ledger::{Head, Ledger};

/// Memory that an action is taken to need before it ever ran, in bytes.
pub(super) const UNKNOWN_MEMORY: u64 = 128 << 20;

/// Memory that an action is taken to need whose peak was no larger than that of zako itself, in bytes.
pub(super) const SMALL_MEMORY: u64 = 32 << 20;

/// The same action in every build: owner and first output, hashed; told apart by a number where that is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StableName(pub(crate) [u8; 16]);

impl StableName {
    fn of(spec: &ActionSpec, number: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        let first = spec
            .outputs
            .first()
            .map(|output| &output.path)
            .or(spec.depfile.as_ref());
        let distinction = first.map_or(spec.mnemonic.as_str(), |path| path.as_str());
        for part in [spec.owner.as_str(), distinction] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&number.to_le_bytes());
        let mut name = [0; 16];
        hasher.finalize_xof().fill(&mut name);
        StableName(name)
    }

    /// For what is to differ from one action to the next, and not from one build to the next.
    pub(super) fn seed(self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }

    /// For the name of a folder.
    pub(super) fn hex(self) -> String {
        hex::encode(self.0)
    }
}

/// Gives actions their stable names; those that would be called the same are told apart by a number, in the order of asking.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<StableName, u32>);

impl Names {
    pub(super) fn name(&mut self, spec: &ActionSpec) -> StableName {
        let number = self.0.entry(StableName::of(spec, 0)).or_default();
        *number += 1;
        StableName::of(spec, *number)
    }
}

/// What actions took, by their stable names.
#[derive(Debug, Default)]
pub(super) struct History(HashMap<StableName, Head>);

impl History {
    /// What the ledger knows, of each action the newest.
    pub(super) fn of(ledger: &Ledger) -> Self {
        let mut known: HashMap<StableName, Head> = HashMap::new();
        for (name, head) in ledger.heads() {
            let newest = known.entry(StableName(name)).or_insert(head);
            if newest.ran_at < head.ran_at {
                *newest = head;
            }
        }
        History(known)
    }

    /// The same of these actions only, which the ledger calls so.
    pub(super) fn of_known(ledger: &Ledger, known: &[(StableName, Id)]) -> Self {
        let head = |(name, id): &(StableName, Id)| Some((*name, ledger.head(*id)?));
        History(known.iter().filter_map(head).collect())
    }

    pub(super) fn known(&self, name: StableName) -> Option<Head> {
        self.0.get(&name).copied()
    }

    pub(super) fn duration(&self, name: StableName) -> Option<Duration> {
        let took = self.0.get(&name)?.wall;
        (took > Duration::ZERO).then_some(took)
    }

    /// Memory that it is expected to need, in bytes: its peak when it last ran.
    pub(super) fn memory(&self, name: StableName) -> u64 {
        match self.0.get(&name).map(|head| (head.memory, head.wall)) {
            None => UNKNOWN_MEMORY,
            // It ran, and its peak was too small to be told from zako's own.
            Some((0, wall)) if wall > Duration::ZERO => SMALL_MEMORY,
            Some((memory, _)) => memory,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::HashSet;

    use zako_action::{ActionBody, OutputSpec};
    use zako_path::NeutralPath;

    use super::*;

    fn action(output: Option<&str>) -> ActionSpec {
        let body = ActionBody::Shell {
            script: String::new(),
        };
        let mut spec = ActionSpec::new("//a:t", "test", body);
        spec.outputs
            .extend(output.map(|path| OutputSpec::file(NeutralPath::new(path).unwrap())));
        spec
    }

    #[test]
    fn actions_without_outputs_are_told_apart() {
        let actions = [action(Some("zako-out/a")), action(None), action(None)];
        let stable_names = |actions: &[ActionSpec]| -> Vec<StableName> {
            let mut names = Names::default();
            actions.iter().map(|spec| names.name(spec)).collect()
        };
        let names = stable_names(&actions);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 3);
        assert_eq!(stable_names(&actions[..1]), names[..1]);
    }
}
