//! The look at every leaf: one call of the system for each, on as many threads as there are processors.
//!
//! It reads no content and notes nothing; what it can't confirm is looked at properly by others.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use zako_graph::archive::{Archive, Id};

use super::{EXTERNAL, OUTPUT, SOURCE, TOOL};
use crate::files::{Folder, Glimpse, Role, Root, SIGNATURE_BYTES, tool_witness};

/// How many leaves a thread takes at a time.
const CHUNK: usize = 512;

/// How many threads look at most: the kernel's locks do not let more be faster.
const MAX_THREADS: usize = 8;

/// Those of `leaves`, in order, that can't be confirmed to be as they were noted, below the workspace's `root`. `other` makes,
/// for each thread, what says it of kinds that are not this module's.
pub(crate) fn sweep<F: FnMut(Id) -> bool>(
    archive: &Archive,
    root: &Path,
    leaves: &[Id],
    other: &(impl Fn() -> F + Sync),
) -> io::Result<Vec<Id>> {
    let root = Root::open(root)?;
    let look = |range: &[Id]| -> Vec<Id> {
        let mut folder = Folder::new(&root);
        let mut other = other();
        let mut holds = |at: usize, id: Id| match archive.kind(id) {
            kind @ (SOURCE | OUTPUT | EXTERNAL) => {
                let role = if kind == OUTPUT {
                    Role::Output
                } else {
                    Role::Source
                };
                let next = range.get(at + 1).map(|next| archive.key(*next));
                let (place, name) = folder.enter(archive.key(id), next.unwrap_or_default());
                is_as_noted(
                    |follows| place.look(name, role, follows),
                    archive.witness(id),
                    role,
                )
            }
            TOOL => is_same_tool(archive.key(id), archive.witness(id)),
            _ => other(id),
        };
        let mut doubtful = Vec::new();
        for (at, id) in range.iter().enumerate() {
            if !holds(at, *id) {
                doubtful.push(*id);
            }
        }
        doubtful
    };
    let processors = zako_exec::processors();
    let threads = processors
        .min(MAX_THREADS)
        .min(leaves.len().div_ceil(CHUNK));
    if threads <= 1 {
        return Ok(look(leaves));
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(rest) = leaves.get(at..) else {
                return found;
            };
            found.extend(look(&rest[..rest.len().min(CHUNK)]));
        }
    };
    let mut found = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut found = work();
        for other in others {
            match other.join() {
                Ok(more) => found.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    found.sort_unstable();
    Ok(found)
}

/// Whether what `look` finds (following links or not) is what `witness` saw there.
fn is_as_noted(look: impl FnOnce(bool) -> Glimpse, witness: &[u8], role: Role) -> bool {
    let follows = role == Role::Source;
    match witness.split_first() {
        Some((0, [])) => matches!(look(follows), Glimpse::Nothing),
        Some((1, seen)) if seen.len() == SIGNATURE_BYTES => match look(follows) {
            Glimpse::There { signature, .. } => signature.to_bytes() == *seen,
            Glimpse::Nothing | Glimpse::Unknown => false,
        },
        // Links and folders take more than one call.
        _ => false,
    }
}

fn is_same_tool(key: &[u8], witness: &[u8]) -> bool {
    let Some((name, path)) = std::str::from_utf8(key)
        .ok()
        .and_then(|key| key.split_once('\0'))
    else {
        return false;
    };
    tool_witness(name, path).is_some_and(|(now, _)| now == *witness)
}
