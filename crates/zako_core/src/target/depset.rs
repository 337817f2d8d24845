//! Depsets: sets that share what they are made of. A node has its own items and names other nodes; what depends on a set names
//! the node, and nothing is copied until somebody lists it.
//!
//! A node's id is the digest of its content, so a fingerprint over ids covers all that is in the sets.
//!
//! **Invariants:** a node is added after those that it names, so there is no cycle. Listing takes no stack, and time in
//! proportion to the nodes and items below.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value as Json;
use zako_path::NeutralPath;

use crate::codec::{Coded as _, Fingerprint, fingerprint};
use crate::files::Encoder;

/// A set's identity: the digest of its node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SetId(pub(crate) Fingerprint);

impl SetId {
    /// From 32 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<SetId> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(SetId(id))
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In which order a set is listed; each item comes once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOrder {
    /// No order that is promised, but always the same: as `Postorder`.
    Default,
    /// What the sets in it list, from left to right, then its own items.
    Postorder,
    /// Its own items, then what the sets in it list, from left to right.
    Preorder,
    /// Whatever names a set before what is in that: an item that is in several comes where it is last.
    Topological,
}

impl SetOrder {
    /// As scripts call it.
    pub(crate) fn parse(text: &str) -> Option<SetOrder> {
        Some(match text {
            "default" => SetOrder::Default,
            "postorder" => SetOrder::Postorder,
            "preorder" => SetOrder::Preorder,
            "topological" => SetOrder::Topological,
            _ => return None,
        })
    }
}

/// One item of a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SetItem {
    /// A file, and whether it is a directory.
    File(NeutralPath, bool),
    /// A string.
    Text(String),
    /// Anything else, as its wire text.
    Data(String),
}

impl SetItem {
    fn of(json: &Json) -> SetItem {
        match (json, super::lower::File::parse(json)) {
            (_, Some(file)) => SetItem::File(file.path, file.directory),
            (Json::String(text), None) => SetItem::Text(text.clone()),
            (other, None) => SetItem::Data(other.to_string()),
        }
    }

    fn json(&self) -> Json {
        match self {
            SetItem::File(path, directory) => super::lower::File::json(path, *directory),
            SetItem::Text(text) => Json::String(text.clone()),
            SetItem::Data(text) => serde_json::from_str(text).unwrap_or_default(),
        }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetNode {
    pub(crate) order: SetOrder,
    pub(crate) direct: Vec<SetItem>,
    /// The sets in it.
    pub(crate) transitive: Vec<SetId>,
}

impl SetNode {
    /// What a script says of a set: `{ order, direct: […], transitive: [id, …] }`.
    pub(super) fn of(json: &Json) -> Option<SetNode> {
        let list = |key: &str| json[key].as_array();
        Some(SetNode {
            order: SetOrder::parse(json["order"].as_str()?)?,
            direct: list("direct")?.iter().map(SetItem::of).collect(),
            transitive: list("transitive")?
                .iter()
                .map(|id| SetId::parse(id.as_str()?))
                .collect::<Option<_>>()?,
        })
    }

    pub(crate) fn id(&self) -> SetId {
        let mut out = Encoder::default();
        self.encode(&mut out);
        SetId(fingerprint(out.as_bytes()))
    }
}

/// All sets of an analysis.
#[derive(Debug, Default)]
pub(crate) struct Sets(RwLock<HashMap<SetId, Arc<SetNode>>>);

impl Sets {
    /// Adds a node; gives how others call it. An error names a set in it that is not there.
    pub(super) fn add(&self, node: &Arc<SetNode>) -> Result<SetId, SetId> {
        let id = node.id();
        let mut nodes = self.0.write();
        if let Some(missing) = node.transitive.iter().find(|id| !nodes.contains_key(*id)) {
            return Err(*missing);
        }
        nodes.entry(id).or_insert_with(|| node.clone());
        Ok(id)
    }

    /// Adds nodes that an earlier analysis made, in the order in which it made them.
    pub(super) fn restore(&self, made: &[Arc<SetNode>]) {
        let mut nodes = self.0.write();
        for node in made {
            nodes.entry(node.id()).or_insert_with(|| node.clone());
        }
    }

    /// Everything in the set, in the set's order, each once. Nothing for a set that is not there.
    pub(crate) fn list(&self, set: SetId) -> Vec<SetItem> {
        let nodes = self.0.read();
        let Some(top) = nodes.get(&set) else {
            return Vec::new();
        };
        let (order, backwards) = match top.order {
            SetOrder::Preorder => (SetOrder::Preorder, false),
            SetOrder::Default | SetOrder::Postorder => (SetOrder::Postorder, false),
            // As a postorder that is read backwards: so what is named often comes after all that name it.
            SetOrder::Topological => (SetOrder::Postorder, true),
        };
        let mut listing = Listing {
            backwards,
            listed: Vec::new(),
            seen: HashSet::new(),
        };
        let mut visited: HashSet<SetId> = HashSet::from([set]);
        // Nodes on the way, each with how many of the sets in it have been gone into.
        let mut way: Vec<(&SetNode, usize)> = vec![(top, 0)];
        while let Some((node, entered)) = way.last_mut() {
            let node: &SetNode = node;
            if *entered == 0 && order == SetOrder::Preorder {
                listing.add(node);
            }
            let next = match backwards {
                false => node.transitive.get(*entered),
                true => node.transitive.iter().rev().nth(*entered),
            };
            *entered += 1;
            match next {
                Some(next) => {
                    if visited.insert(*next)
                        && let Some(next) = nodes.get(next)
                    {
                        way.push((next, 0));
                    }
                }
                None => {
                    if order == SetOrder::Postorder {
                        listing.add(node);
                    }
                    way.pop();
                }
            }
        }
        let Listing { mut listed, .. } = listing;
        if backwards {
            listed.reverse();
        }
        listed.into_iter().cloned().collect()
    }

    /// The same as a realm has it.
    pub(super) fn list_json(&self, set: SetId) -> Json {
        self.list(set).iter().map(SetItem::json).collect()
    }

    /// The files in the set; the error shows an item that is none.
    pub(crate) fn files(&self, set: SetId) -> Result<Vec<NeutralPath>, String> {
        let items = self.list(set).into_iter().map(|item| match item {
            SetItem::File(path, _) => Ok(path),
            SetItem::Text(text) => Err(format!("the text \"{text}\"")),
            SetItem::Data(text) => Err(text),
        });
        items.collect()
    }
}

/// A set that is being listed.
struct Listing<'a> {
    backwards: bool,
    listed: Vec<&'a SetItem>,
    seen: HashSet<&'a SetItem>,
}

impl<'a> Listing<'a> {
    /// The node's own items.
    fn add(&mut self, node: &'a SetNode) {
        let count = node.direct.len();
        for at in 0..count {
            let item = match self.backwards {
                true => &node.direct[count - 1 - at],
                false => &node.direct[at],
            };
            if self.seen.insert(item) {
                self.listed.push(item);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn node(order: SetOrder, direct: &[&str], transitive: &[SetId]) -> Arc<SetNode> {
        Arc::new(SetNode {
            order,
            direct: direct
                .iter()
                .map(|text| SetItem::Text((*text).to_owned()))
                .collect(),
            transitive: transitive.to_vec(),
        })
    }

    fn listed(sets: &Sets, set: SetId) -> String {
        let items = sets.list(set).into_iter().map(|item| match item {
            SetItem::Text(text) => text,
            other => panic!("{other:?}"),
        });
        items.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn orders_are_those_that_are_documented() {
        // A diamond: d names b and c, both of which name a.
        for (order, wanted) in [
            (SetOrder::Postorder, "a1 a2 b1 b2 c1 c2 d1 d2"),
            (SetOrder::Default, "a1 a2 b1 b2 c1 c2 d1 d2"),
            (SetOrder::Preorder, "d1 d2 b1 b2 a1 a2 c1 c2"),
            (SetOrder::Topological, "d1 d2 b1 b2 c1 c2 a1 a2"),
        ] {
            let sets = Sets::default();
            let make = |direct: &[&str], transitive: &[SetId]| {
                sets.add(&node(order, direct, transitive)).unwrap()
            };
            let a = make(&["a1", "a2"], &[]);
            let b = make(&["b1", "b2"], &[a]);
            let c = make(&["c1", "c2"], &[a]);
            let d = make(&["d1", "d2"], &[b, c]);
            assert_eq!(listed(&sets, d), wanted, "{order:?}");
        }
    }

    #[test]
    fn an_item_comes_once() {
        for (order, wanted) in [
            (SetOrder::Postorder, "x y"),
            (SetOrder::Preorder, "y x"),
            (SetOrder::Topological, "y x"),
        ] {
            let sets = Sets::default();
            let one = sets.add(&node(order, &["x"], &[])).unwrap();
            let same = sets.add(&node(order, &["x"], &[])).unwrap();
            assert_eq!(one, same);
            let top = sets.add(&node(order, &["y", "x", "y"], &[one, same]));
            let top = top.unwrap();
            let wanted = match order {
                // Its own come first, where they are first; or last, where they are last.
                SetOrder::Topological => "y x",
                _ => wanted,
            };
            assert_eq!(listed(&sets, top), wanted, "{order:?}");
        }
    }

    #[test]
    fn a_long_chain_needs_no_stack_and_shares_all() {
        const LONG: usize = 200_000;
        for order in [
            SetOrder::Preorder,
            SetOrder::Postorder,
            SetOrder::Topological,
        ] {
            let sets = Sets::default();
            let mut top = sets.add(&node(order, &["0"], &[])).unwrap();
            for at in 1..LONG {
                top = sets.add(&node(order, &[&at.to_string()], &[top])).unwrap();
            }
            assert_eq!(sets.list(top).len(), LONG);
            let held: usize = sets.0.read().values().map(|node| node.direct.len()).sum();
            assert_eq!(held, LONG);
        }
    }

    #[test]
    fn what_is_not_there_is_told() {
        let sets = Sets::default();
        let missing = SetId([7; 16]);
        let set = node(SetOrder::Default, &[], &[missing]);
        assert_eq!(sets.add(&set), Err(missing));
        let text = sets.add(&node(SetOrder::Default, &["t"], &[])).unwrap();
        assert_eq!(sets.files(text), Err("the text \"t\"".to_owned()));
        assert_eq!(SetId::parse(&text.to_string()), Some(text));
        assert_eq!(SetId::parse("12"), None);
    }
}
