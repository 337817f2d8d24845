//! A request: one revision, the data for its computations, and the way to ask from outside.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::ask::Need;
use crate::data::Data;
use crate::engine::Shared;
use crate::error::GraphError;
use crate::key::{Key, unpack};
use crate::revision::Revision;
use crate::store::NodeId;

/// What the computations of a request share.
pub(crate) struct RequestState {
    pub(crate) revision: Revision,
    pub(crate) data: Data,
    /// What was asked for from outside, as often as it was.
    roots: Mutex<Vec<NodeId>>,
}

impl RequestState {
    pub(crate) fn roots(&self) -> Vec<NodeId> {
        let mut roots = self.roots.lock().clone();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// Asks an engine within one revision; made by [`Engine::begin`](crate::Engine::begin).
///
/// Dropping the future of an ask takes it back: computations that nobody else waits for are aborted,
/// and the graph stays as if they had not begun.
pub struct Request {
    shared: Arc<Shared>,
    pub(crate) state: Arc<RequestState>,
    cancel: CancellationToken,
}

impl Request {
    pub(crate) fn new(shared: Arc<Shared>, revision: Revision, data: Data) -> Self {
        Self {
            shared,
            state: Arc::new(RequestState {
                revision,
                data,
                roots: Mutex::default(),
            }),
            cancel: CancellationToken::new(),
        }
    }

    /// The value of `key`, computed as far as needed.
    ///
    /// # Errors
    /// Any [`GraphError`] that `key` itself ends in. What went wrong further down is up to the computations
    /// above that.
    pub async fn get<K: Key>(&self, key: &K) -> Result<K::Value, GraphError> {
        let node = self.shared.store.node(key);
        self.state.roots.lock().push(node.id);
        let asked = async {
            let outcome = self
                .shared
                .ask(&self.state, node, None, Need::Value)
                .answer()
                .await;
            outcome
                .into_value()
                .map(|value| unpack::<K>(&value).clone())
        };
        self.unless_cancelled(asked).await
    }

    /// The values of all `keys`, computed in parallel, in the order of the keys.
    ///
    /// # Errors
    /// The first error in that order; what comes after it is taken back.
    pub async fn get_all<K: Key>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<K::Value>, GraphError> {
        let nodes: Vec<_> = keys
            .into_iter()
            .map(|key| self.shared.store.node(&key))
            .collect();
        let ids = nodes.iter().map(|node| node.id);
        self.state.roots.lock().extend(ids);
        let asked = async {
            let mut asks: Vec<_> = nodes
                .into_iter()
                .map(|node| self.shared.ask(&self.state, node, None, Need::Value))
                .collect();
            let mut values = Vec::with_capacity(asks.len());
            for ask in &mut asks {
                values.push(unpack::<K>(&ask.answer().await.into_value()?).clone());
            }
            Ok(values)
        };
        self.unless_cancelled(asked).await
    }

    async fn unless_cancelled<T>(
        &self,
        asked: impl Future<Output = Result<T, GraphError>>,
    ) -> Result<T, GraphError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(GraphError::Cancelled),
            answer = asked => answer,
        }
    }

    /// Ends every ask of this request, now and later, with [`GraphError::Cancelled`]. To wait until the
    /// computations are really gone, see [`Engine::idle`](crate::Engine::idle).
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// The revision that this request opened.
    pub fn revision(&self) -> Revision {
        self.state.revision
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.state.revision)
    }
}
