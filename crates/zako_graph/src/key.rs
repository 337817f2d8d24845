//! What can be asked of the graph, typed for callers and erased for the engine.
//!
//! **Invariant:** an [`AnyValue`] that belongs to a node of key type `K` holds a `K::Value`; only this
//! module packs and unpacks them.

use std::any::{Any, TypeId};
use std::fmt::Debug;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::ctx::Ctx;

/// Something that can be asked, and how the answer is computed.
///
/// Keys are compared and hashed often: keep them small. Nodes are never forgotten while the engine
/// lives, so a key is a name (of a file, a package), not a content.
pub trait Key: Clone + Eq + Hash + Debug + Send + Sync + 'static {
    /// The answer; cloned for each asker, so usually an `Arc`. A computation that can fail has a `Result`
    /// here: such an error is a value like any other, kept and compared, unless marked transient.
    type Value: Clone + Send + Sync + 'static;

    /// Whether this reads something outside of the graph (a file, a listing). Leaves are computed once
    /// in every revision that asks for them; all else only when a dependency changed.
    const LEAF: bool = false;

    /// Computes the answer. Everything that it depends on is asked from `ctx`, which records it in order;
    /// given the same answers, it must ask for the same next and return the same value.
    ///
    /// Runs as a task of its own and may be dropped at any `await`. It should not block its thread.
    fn compute(&self, ctx: &Ctx) -> impl Future<Output = Self::Value> + Send;

    /// Whether `new` is as good as `old`, so that nobody who asked for `old` needs to be computed again.
    /// Never, unless overridden: usually with `old == new`.
    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        let _ = (old, new);
        false
    }

    /// The key in words, for cycle errors and events.
    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

/// A value of some key.
pub(crate) type AnyValue = Arc<dyn Any + Send + Sync>;

/// A key of some type.
pub(crate) trait AnyKey: Send + Sync + 'static {
    fn as_any(&self) -> &dyn Any;
    fn equals(&self, other: &dyn AnyKey) -> bool;
    fn hash_into(&self, state: &mut dyn Hasher);
    fn is_leaf(&self) -> bool;
    fn describe(&self) -> String;
    fn compute<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, AnyValue>;
    fn same(&self, old: &AnyValue, new: &AnyValue) -> bool;
}

impl<K: Key> AnyKey for K {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn equals(&self, other: &dyn AnyKey) -> bool {
        other.as_any().downcast_ref::<K>() == Some(self)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        TypeId::of::<K>().hash(&mut state);
        self.hash(&mut state);
    }

    fn is_leaf(&self) -> bool {
        K::LEAF
    }

    fn describe(&self) -> String {
        Key::describe(self)
    }

    fn compute<'a>(&'a self, ctx: &'a Ctx) -> BoxFuture<'a, AnyValue> {
        Key::compute(self, ctx)
            .map(|value| Arc::new(value) as AnyValue)
            .boxed()
    }

    fn same(&self, old: &AnyValue, new: &AnyValue) -> bool {
        K::same(unpack::<K>(old), unpack::<K>(new))
    }
}

/// The typed value of a node whose key is a `K`.
pub(crate) fn unpack<K: Key>(value: &AnyValue) -> &K::Value {
    value
        .downcast_ref()
        .expect("`compute` above packs a `K::Value` for each `K`")
}

impl PartialEq for dyn AnyKey {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

impl Eq for dyn AnyKey {}

impl Hash for dyn AnyKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash_into(state);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::Store;

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub(crate) struct Name(pub(crate) &'static str);

    impl Key for Name {
        type Value = ();

        async fn compute(&self, _: &Ctx) {}
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Other(&'static str);

    impl Key for Other {
        type Value = u8;

        async fn compute(&self, _: &Ctx) -> u8 {
            0
        }
    }

    #[test]
    fn keys_of_two_types_are_two_nodes() {
        let store = Store::default();
        let a = store.node(&Name("a")).id;
        assert_eq!(store.node(&Name("a")).id, a);
        assert_ne!(store.node(&Name("b")).id, a);
        assert_ne!(store.node(&Other("a")).id, a);
        assert!(store.find(&Other("b")).is_none());
        assert_eq!(store.len(), 3);
    }

    #[test]
    fn values_are_unequal_unless_a_key_says_otherwise() {
        assert!(!<Name as Key>::same(&(), &()));
        assert_eq!(Key::describe(&Name("a")), r#"Name("a")"#);
    }
}
