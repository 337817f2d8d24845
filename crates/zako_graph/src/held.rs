//! The value of a node: at hand, or still as it was restored.

use crate::archive::Stored;
use crate::engine::Shared;
use crate::kept::{Encoded, fingerprint};
use crate::key::AnyValue;
use crate::request::RequestState;
use crate::store::{Memo, Node};

/// A value, as far as it is at hand.
#[derive(Clone)]
pub(crate) enum Held {
    Live(AnyValue),
    /// Restored, and not needed yet.
    Dormant(Stored),
    /// Restored, and its bytes give no value: its fingerprint is all that there is.
    Lost(Stored),
}

impl Held {
    pub(crate) fn live(&self) -> Option<&AnyValue> {
        match self {
            Self::Live(value) => Some(value),
            Self::Dormant(_) | Self::Lost(_) => None,
        }
    }
}

impl Shared {
    /// Decodes the value of a node that was restored, the first time that it is needed.
    pub(crate) fn wake(&self, request: &RequestState, node: &Node) {
        let stored = match &node.state.lock().memo {
            Some(Memo {
                value: Held::Dormant(stored),
                ..
            }) => stored.clone(),
            _ => return,
        };
        let decoded = self.decode(request, node, &stored);
        // Without the lock until here: others may have done the same, or computed it meanwhile.
        if let Some(memo) = &mut node.state.lock().memo
            && matches!(memo.value, Held::Dormant(_))
        {
            memo.value = match decoded {
                Some(value) => {
                    if node.key.is_leaf() {
                        memo.witness = Some(stored.witness().into());
                    }
                    Held::Live(value)
                }
                None => Held::Lost(stored),
            };
        }
    }

    fn decode(&self, request: &RequestState, node: &Node, stored: &Stored) -> Option<AnyValue> {
        let bytes = stored.value();
        if bytes.is_empty() {
            return None;
        }
        let codec = self.codecs.of_key(&*node.key)?;
        codec.decode_value(bytes, &request.data)
    }

    /// Whether a computation gave the value that is held.
    pub(crate) fn is_same(
        &self,
        request: &RequestState,
        node: &Node,
        held: &Held,
        new: &AnyValue,
    ) -> bool {
        let stored = match held {
            Held::Live(old) => return node.key.same(old, new),
            Held::Dormant(stored) | Held::Lost(stored) => stored,
        };
        let Some(codec) = self.codecs.of_key(&*node.key) else {
            return false;
        };
        let mut bytes = Vec::new();
        match codec.encode_value(new, &request.data, &mut bytes) {
            Encoded::Not => false,
            Encoded::Value | Encoded::FingerprintOnly => {
                fingerprint(&bytes) == stored.fingerprint()
                    || self
                        .decode(request, node, stored)
                        .is_some_and(|old| node.key.same(&old, new))
            }
        }
    }
}
