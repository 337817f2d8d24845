//! The names of nodes on disk.

/// Which codec a node's bytes have. A contract on disk: a number is never used for something else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind(u8);

/// Set in the kinds of leaves.
const LEAF: u8 = 0x80;

impl Kind {
    /// The kind of a node that reads something outside of the graph.
    ///
    /// # Panics
    /// From 128 on; in a constant, when compiling.
    pub const fn leaf(number: u8) -> Self {
        assert!(number < LEAF, "a kind has seven bits");
        Self(number | LEAF)
    }

    /// The kind of a node that is computed from others.
    ///
    /// # Panics
    /// As [`leaf`](Self::leaf).
    pub const fn inner(number: u8) -> Self {
        assert!(number < LEAF, "a kind has seven bits");
        Self(number)
    }

    /// Whether nodes of this kind are leaves.
    pub const fn is_leaf(self) -> bool {
        self.0 & LEAF != 0
    }

    /// The number that it was made with.
    pub const fn number(self) -> u8 {
        self.0 & !LEAF
    }

    pub(super) const fn byte(self) -> u8 {
        self.0
    }

    pub(super) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }
}

/// How many nodes an archive can have: the last bit of an id marks where a group of dependencies begins.
pub const MAX_NODES: usize = 1 << 31;

/// Names a node in one opened archive: dense, and different after a
/// [`compact`](super::Archive::compact).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id(pub(super) u32);

impl Id {
    /// The id as a place in a vector of all nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The id of a place.
    ///
    /// # Panics
    /// From [`MAX_NODES`] on.
    pub fn from_index(index: usize) -> Self {
        assert!(index < MAX_NODES, "more than {MAX_NODES} nodes");
        Self(u32::try_from(index).expect("below the limit"))
    }
}
