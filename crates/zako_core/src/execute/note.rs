//! What the ledger is told of an action that succeeded.

use std::sync::atomic::Ordering;
use std::time::Duration;

use zako_action::{ArtifactValue, Discovered, DiscoveredPath, OutputFile, ToolRef};
use zako_cas::Digest;
use zako_exec::FIXED_PATH;
use zako_graph::archive::Id;
use zako_path::NeutralPath;

use super::Workshop;
use super::prepare::{Ready, version_of};
use super::tools::is_of_the_machine;
use crate::event::ActionStatus;
use crate::ledger::{self, ActionRecord, Cause, Read};

/// After how many actions the ledger is written down: what a killed build did until then, the next one knows.
const FLUSH_EVERY: usize = 64;

/// How an action came by its outputs.
pub(super) struct Success<'a> {
    pub(super) status: ActionStatus,
    pub(super) outputs: Vec<OutputFile>,
    /// What it printed to standard output and to standard error.
    pub(super) printed: [Digest; 2],
    /// What it read besides its exact inputs, when its depfile said so.
    pub(super) discovered: Option<&'a [Discovered]>,
    /// How long it took, and its peak memory in bytes, when it ran.
    pub(super) took: Option<(Duration, u64)>,
    /// Whether all that it read can be relied on.
    pub(super) is_reliable: bool,
    pub(super) causes: Vec<Cause>,
}

/// Takes note of action number `at`.
pub(super) fn note(shop: &Workshop, at: usize, ready: &Ready, success: Success<'_>) {
    let piece = shop.piece(at);
    let planned = &piece.planned;
    let spec = &planned.spec;
    let whole = |(path, value): (&NeutralPath, &ArtifactValue)| {
        (shop.files.leaf(path), Read::Value(value.clone()))
    };
    let mut reads: Vec<(Id, Read)> = ready.action.inputs.iter().map(whole).collect();
    let mut present: Vec<Id> = Vec::new();
    match success.discovered {
        None => reads.extend(ready.action.staged.iter().map(whole)),
        Some(list) => {
            let staged = ready.action.staged.keys();
            present.extend(staged.map(|path| shop.files.leaf(path)));
            reads.extend(list.iter().map(|found| {
                let leaf = match &found.path {
                    DiscoveredPath::Workspace(path) => shop.files.leaf(path),
                    DiscoveredPath::External(path) => {
                        shop.ledger.lock().leaf(ledger::EXTERNAL, path)
                    }
                };
                (leaf, Read::Content(found.digest))
            }));
        }
    }
    let path = spec.env.get("PATH").map_or(FIXED_PATH, String::as_str);
    let host = |name: &str| shop.ledger.lock().tool(name, path);
    // What runs comes first, then the declared ones in order.
    let mut tools = ready.action.tools.iter();
    let program = tools.next();
    if planned.work.is_none()
        && planned.script.is_none()
        && let (Some(name), Some(program)) =
            (spec.argv().and_then(|argv| argv.first().cloned()), program)
    {
        let is_host = is_of_the_machine(&name);
        let leaf = match NeutralPath::normalize(&name) {
            Ok(path) if !is_host => shop.files.leaf(&path),
            _ => host(&name),
        };
        if version_of(spec, &name).is_none() {
            reads.push((leaf, Read::Content(program.digest)));
        }
    }
    reads.extend(spec.tools.iter().zip(tools).filter_map(|(tool, found)| {
        let leaf = match tool {
            ToolRef::Host(name) => host(name),
            ToolRef::Artifact(path) => shop.files.leaf(path),
            // Whoever found it knows its version.
            ToolRef::Versioned { .. } => return None,
        };
        Some((leaf, Read::Content(found.digest)))
    }));
    present.extend(shop.needed(at));
    // What is needed was staged, too, when it comes from the ledger.
    present.sort_unstable();
    present.dedup();
    let writes: Vec<Id> = success
        .outputs
        .iter()
        .map(|output| shop.files.leaf(&output.path))
        .collect();
    let outputs: Vec<ArtifactValue> = success
        .outputs
        .into_iter()
        .map(|output| output.value)
        .collect();

    let mut ledger = shop.ledger.lock();
    let identified = &piece.identified;
    let old = piece.standing.record().and_then(|id| ledger.head(id));
    let known = shop.history.known(identified.name);
    let did_something = matches!(success.status, ActionStatus::Ran | ActionStatus::FromCache);
    let (wall, memory) = success
        .took
        .or(known.map(|head| (head.wall, head.memory)))
        .unwrap_or_default();
    let record = ActionRecord {
        reads: [0; 16],
        ran_at: match did_something {
            true => ledger.tick(),
            false => old.map_or(0, |head| head.ran_at),
        },
        wall,
        memory,
        uncached: !spec.cache || !success.is_reliable,
        owner: spec.owner.clone(),
        outputs,
        printed: success
            .printed
            .map(|digest| (digest.size > 0).then_some(digest)),
        causes: success.causes,
        declared_at: planned.declared_at.clone(),
        declaration: identified.declaration.clone(),
    };
    ledger.note_action(
        &identified.name.0,
        &identified.identity,
        &reads,
        [present, writes],
        record,
    );
    drop(ledger);
    let count = shop.noted.fetch_add(1, Ordering::Relaxed) + 1;
    if count.is_multiple_of(FLUSH_EVERY)
        && let Err(error) = shop.save()
    {
        tracing::warn!(%error, "cannot write down what was done");
    }
}

impl Workshop {
    /// The leaves of what the actions that number `at` needs write.
    fn needed(&self, at: usize) -> Vec<Id> {
        // One that came from the ledger is planned with a part of the others only.
        let pieces = self.pieces.read();
        let planned = &pieces[at].planned;
        if let Some((_, standing)) = &planned.known {
            let ledger = self.ledger.lock();
            let groups = standing.record().map(|id| ledger.groups(id));
            let present = groups.and_then(|groups| groups.into_iter().nth(crate::ledger::PRESENT));
            return present.unwrap_or_default();
        }
        let mut makers: Vec<usize> = self.writers.read().needs(&planned.spec).collect();
        makers.sort_unstable();
        makers.dedup();
        let outputs = makers
            .iter()
            .flat_map(|at| &pieces[*at].planned.spec.outputs);
        outputs
            .map(|output| self.files.leaf(&output.path))
            .collect()
    }
}
