//! A second look at a leaf of scripts whose witness did not hold: read again, without the graph.

use zako_graph::archive::Id;

use super::kinds;
use super::witness::witnessed;
use crate::codec::encoded;
use crate::ledger::Ledger;
use crate::workspace::Workspace;
use zako_path::NeutralPath;

/// Reads again what the leaf `id` is about; when it is as it was, takes note of how to tell next time. `false` when it is
/// another, or when only the graph can tell.
pub(crate) fn confirm(ledger: &mut Ledger, id: Id, workspace: &Workspace) -> bool {
    let archive = ledger.archive();
    let path = std::str::from_utf8(archive.key(id))
        .ok()
        .and_then(|key| NeutralPath::new(key).ok());
    let Some(path) = path else {
        return false;
    };
    let place = path.to_os_path(workspace.root());
    let clock = workspace.clock();
    let (bytes, witness) = match archive.kind(id) {
        kinds::SOURCE_TEXT => {
            let (text, witness) = witnessed(clock, &place, || workspace.read_text(&path));
            (encoded(&text), witness)
        }
        kinds::LISTING => {
            let (listed, witness) = witnessed(clock, &place, || workspace.list_links(&path));
            let Ok((entries, links)) = listed else {
                return false;
            };
            let witness = if links { Vec::new() } else { witness };
            (encoded(&entries), witness)
        }
        _ => return false,
    };
    if zako_graph::fingerprint(&bytes) != archive.fingerprint(id) {
        return false;
    }
    ledger.witness_again(id, &witness);
    true
}
