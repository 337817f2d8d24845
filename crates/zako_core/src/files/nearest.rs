//! What a path that does not exist was probably meant to be.

use std::fs;
use std::path::Path;

use zako_path::NeutralPath;

/// How many names of one folder are compared at most.
const MAX_NAMES: usize = 10_000;

/// A path that exists below `root` and differs from `path` by the spelling of its components alone.
pub(super) fn nearest(root: &Path, path: &NeutralPath) -> Option<NeutralPath> {
    let mut found = NeutralPath::root();
    for wanted in path.components() {
        let exact = found.join(wanted).ok()?;
        if fs::symlink_metadata(exact.to_os_path(root)).is_ok() {
            found = exact;
            continue;
        }
        let names = fs::read_dir(found.to_os_path(root)).ok()?.take(MAX_NAMES);
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let near = names
            .map(|name| (strsim::damerau_levenshtein(wanted, &name), name))
            .filter(|(distance, name)| {
                *distance <= wanted.chars().count().max(name.chars().count()) / 3
            })
            .min()?;
        found = found.join(near.1).ok()?;
    }
    Some(found)
}
