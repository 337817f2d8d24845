//! What a request hands to its computations: one value for each type.
//!
//! **Invariant:** nothing in here is a dependency. What a computation may depend on is a key; this is
//! for services (a store, a pool, an interner) that do not change the result.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::GraphError;

/// Values by type, given to [`Engine::begin`](crate::Engine::begin) and read by
/// [`Ctx::data`](crate::Ctx::data). Cheap to clone.
///
/// ```
/// use zako_graph::Data;
///
/// let data = Data::new().with(7_u32).with(String::from("store"));
/// assert_eq!(data.get::<u32>(), Ok(&7));
/// assert!(data.get::<u64>().is_err());
/// ```
#[derive(Clone, Default)]
pub struct Data {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Data {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `value`, in place of an earlier one of the same type. Wrap it in an `Arc` to share it.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// The value of type `T`.
    ///
    /// # Errors
    /// [`GraphError::MissingData`].
    pub fn get<T: Send + Sync + 'static>(&self) -> Result<&T, GraphError> {
        self.values
            .get(&TypeId::of::<T>())
            .and_then(|value| value.downcast_ref())
            .ok_or(GraphError::MissingData {
                type_name: type_name::<T>(),
            })
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} values)", self.values.len())
    }
}
