//! Caches in memory, of everything that has one here.

use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// Parts with a lock each. A number that is not asked of the system, which reads a handful of files for each answer: several
/// caches are made before the first action of a build can begin.
const SHARDS: usize = 32;

/// A cache for about `items` values that together weigh up to `weight`.
pub(crate) fn cache<K, V, W>(items: usize, weight: u64, weighter: W) -> Cache<K, V, W>
where
    K: Eq + Hash,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let mut options = OptionsBuilder::new();
    options
        .shards(SHARDS)
        .estimated_items_capacity(items)
        .weight_capacity(weight);
    match options.build() {
        Ok(options) => Cache::with_options(
            options,
            weighter,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        // Everything that must be given is.
        Err(_) => Cache::with_weighter(items, weight, weighter),
    }
}
