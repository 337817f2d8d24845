//! What the engine is asked about in models: leaves that others edit meanwhile, and nodes that see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use shuttle::future::yield_now;
use shuttle::rand::{Rng, thread_rng};

use crate::archive::Kind;
use crate::sync::Handle;
use crate::{
    Changed, Codecs, Ctx, Data, Encoded, Engine, EngineOptions, GraphError, Kept, Key, KnownLeaf,
    Request, Revision,
};

/// So many edits in a row leave a leaf's value as it is.
const SAME: u64 = 2;

/// What a node asks for in turn.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Leaf(u8),
    Node(u8),
    /// At one time.
    All(Vec<u8>),
    /// One node or the other, as the leaf says.
    Either(u8, u8, u8),
}

/// How old is, at most, what a value was made of: of each leaf its value, the least that was seen.
pub(crate) type Seen = BTreeMap<u8, u64>;

#[derive(Default)]
struct Books {
    versions: Vec<u64>,
    /// Edited since a request was last told of changes.
    pending: BTreeSet<u8>,
    computing: BTreeSet<String>,
    computed: BTreeMap<(String, Revision), u32>,
    wrong: Vec<String>,
}

/// Lets others go on, at times for long: a choice at every step alone makes nobody slow.
pub(crate) async fn nap() {
    let naps = [0, 1, 10, 50];
    for _ in 0..naps[thread_rng().gen_range(0..naps.len())] {
        yield_now().await;
    }
}

/// What is outside of the graph, and what is seen of the engine from there.
pub(crate) struct World {
    pub(crate) graph: Vec<Vec<Ask>>,
    /// Not one of the scheduler's locks: each use is one step.
    books: Mutex<Books>,
    /// Requests begin one after the other, so that none trusts what was known before another one began.
    turn: shuttle::sync::Mutex<()>,
}

/// A request, and how the leaves were when it was begun.
pub(crate) struct Begun {
    pub(crate) request: Request,
    versions: Vec<u64>,
}

impl World {
    pub(crate) fn new(leaves: usize, graph: Vec<Vec<Ask>>) -> Arc<Self> {
        let books = Books {
            versions: vec![0; leaves],
            ..Books::default()
        };
        Arc::new(Self {
            graph,
            books: Mutex::new(books),
            turn: shuttle::sync::Mutex::new(()),
        })
    }

    /// Nodes that ask for leaves and for those after them.
    pub(crate) fn random(leaves: u8, nodes: u8) -> Arc<Self> {
        let mut random = thread_rng();
        let asks = |node: u8| {
            let leaf = random.gen_range(0..leaves);
            let mut below = || random.gen_range(node + 1..nodes);
            if node + 1 == nodes {
                return vec![Ask::Leaf(leaf)];
            }
            let (a, b) = (below(), below());
            match random.gen_range(0..5_u8) {
                0 => vec![Ask::Node(a), Ask::Leaf(leaf)],
                1 => vec![Ask::Leaf(leaf), Ask::Node(a)],
                2 => vec![Ask::All(vec![a, b])],
                3 => vec![Ask::Either(leaf, a, b)],
                _ => vec![Ask::Leaf(leaf), Ask::Leaf((leaf + 1) % leaves)],
            }
        };
        let graph = (0..nodes).map(asks).collect();
        Self::new(leaves.into(), graph)
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics in here")
    }

    pub(crate) fn engine() -> Engine {
        let options = EngineOptions {
            codecs: Codecs::new().with::<Leaf>().with::<Node>(),
            ..EngineOptions::default()
        };
        Engine::new(Handle, options)
    }

    pub(crate) fn data(self: &Arc<Self>) -> Data {
        Data::new().with(self.clone())
    }

    pub(crate) fn edit(&self, leaf: u8) {
        let mut books = self.books();
        books.versions[usize::from(leaf)] += 1;
        books.pending.insert(leaf);
    }

    pub(crate) fn edit_any(&self) {
        let leaves = self.books().versions.len();
        let leaf = thread_rng().gen_range(0..leaves);
        self.edit(u8::try_from(leaf).expect("a few leaves"));
    }

    fn versions(&self) -> Vec<u64> {
        self.books().versions.clone()
    }

    /// Begins in one of the ways that there are. What is edited from the first line on may be told next time.
    pub(crate) fn begin(self: &Arc<Self>, engine: &Engine) -> Begun {
        match thread_rng().gen_range(0..3_u8) {
            0 => self.begin_anew(engine),
            1 => self.begin_told(engine),
            _ => self.begin_confirmed(engine),
        }
    }

    pub(crate) fn begin_anew(self: &Arc<Self>, engine: &Engine) -> Begun {
        let _turn = self.turn.lock();
        let versions = self.versions();
        let request = engine.begin(self.data());
        Begun { request, versions }
    }

    pub(crate) fn begin_told(self: &Arc<Self>, engine: &Engine) -> Begun {
        let _turn = self.turn.lock();
        let (versions, pending) = {
            let mut books = self.books();
            (books.versions.clone(), std::mem::take(&mut books.pending))
        };
        let mut changed = Changed::new();
        pending.into_iter().for_each(|leaf| changed.add(Leaf(leaf)));
        let request = engine.begin_changed(self.data(), &changed);
        Begun { request, versions }
    }

    pub(crate) fn begin_confirmed(self: &Arc<Self>, engine: &Engine) -> Begun {
        let _turn = self.turn.lock();
        let versions = self.versions();
        let holds = |leaf: KnownLeaf<'_>| {
            let Some(&Leaf(number)) = leaf.key() else {
                return false;
            };
            leaf.witness() == versions[usize::from(number)].to_le_bytes()
        };
        let request = engine.begin_confirmed(self.data(), holds);
        Begun { request, versions }
    }

    /// What `node` is if nothing changes any more.
    pub(crate) fn expected(&self, node: u8) -> Seen {
        let mut seen = Seen::new();
        self.expect(node, &self.versions(), &mut seen);
        seen
    }

    fn expect(&self, node: u8, versions: &[u64], seen: &mut Seen) {
        let value = |leaf: u8| versions[usize::from(leaf)] / SAME;
        for ask in &self.graph[usize::from(node)] {
            match ask {
                Ask::Leaf(leaf) => {
                    seen.insert(*leaf, value(*leaf));
                }
                Ask::Node(node) => self.expect(*node, versions, seen),
                Ask::All(nodes) => nodes
                    .iter()
                    .for_each(|node| self.expect(*node, versions, seen)),
                Ask::Either(leaf, a, b) => {
                    seen.insert(*leaf, value(*leaf));
                    let node = if value(*leaf) % 2 == 0 { a } else { b };
                    self.expect(*node, versions, seen);
                }
            }
        }
    }

    /// Whether nothing that `seen` was made of is older than the request.
    pub(crate) fn check(&self, begun: &Begun, node: u8, seen: &Seen) {
        for (leaf, value) in seen {
            let least = begun.versions[usize::from(*leaf)] / SAME;
            assert!(
                *value >= least,
                "{:?} in {}: {leaf} is {value}, and was {least} already",
                Node(node),
                begun.request.revision(),
            );
        }
    }

    /// How often each key was computed to the end in each revision.
    pub(crate) fn computed(&self) -> BTreeMap<(String, Revision), u32> {
        self.books().computed.clone()
    }

    /// What is always so in the end: everything is at rest, nothing went wrong on the way, and a request of each
    /// kind gets what there is now.
    pub(crate) async fn check_end(self: &Arc<Self>, engine: &Engine) {
        engine.idle().await;
        assert_eq!(engine.running_count(), 0);
        let mut begins = [Self::begin_told, Self::begin_confirmed, Self::begin_anew];
        begins.rotate_left(thread_rng().gen_range(0..3));
        for begin in begins {
            let begun = begin(self, engine);
            for node in (0..self.graph.len()).rev() {
                let node = u8::try_from(node).expect("a few nodes");
                let value = begun.request.get(&Node(node)).await;
                assert_eq!(value, Ok(Ok(self.expected(node))), "{:?}", Node(node));
            }
        }
        assert_eq!(self.books().wrong, Vec::<String>::new());
    }

    fn enter(self: &Arc<Self>, key: String) -> Computing {
        let mut books = self.books();
        if !books.computing.insert(key.clone()) {
            books.wrong.push(format!("{key} is computed twice at once"));
        }
        drop(books);
        Computing {
            world: self.clone(),
            key,
        }
    }
}

/// From the first line of a computation to its last, or to where it is dropped.
struct Computing {
    world: Arc<World>,
    key: String,
}

impl Computing {
    fn done(&self, ctx: &Ctx) {
        let key = (self.key.clone(), ctx.revision());
        *self.world.books().computed.entry(key).or_default() += 1;
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        self.world.books().computing.remove(&self.key);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leaf(pub(crate) u8);

impl Key for Leaf {
    type Value = u64;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> u64 {
        let world = ctx.data::<Arc<World>>().expect("each request has it");
        let computing = world.enter(format!("{self:?}"));
        nap().await;
        let version = world.versions()[usize::from(self.0)];
        ctx.set_witness(version.to_le_bytes());
        nap().await;
        computing.done(ctx);
        version / SAME
    }

    fn same(old: &u64, new: &u64) -> bool {
        old == new
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node(pub(crate) u8);

impl Key for Node {
    type Value = Result<Seen, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let world = ctx.data::<Arc<World>>()?;
        let computing = world.enter(format!("{self:?}"));
        let mut seen = Seen::new();
        for ask in &world.graph[usize::from(self.0)] {
            match ask {
                Ask::Leaf(leaf) => see(&mut seen, [(*leaf, ctx.get(&Leaf(*leaf)).await?)]),
                Ask::Node(node) => see(&mut seen, ctx.get(&Node(*node)).await??),
                Ask::All(nodes) => {
                    let nodes = nodes.iter().map(|node| Node(*node));
                    for value in ctx.get_all(nodes).await? {
                        see(&mut seen, value?);
                    }
                }
                Ask::Either(leaf, a, b) => {
                    let value = ctx.get(&Leaf(*leaf)).await?;
                    see(&mut seen, [(*leaf, value)]);
                    let node = if value % 2 == 0 { a } else { b };
                    see(&mut seen, ctx.get(&Node(*node)).await??);
                }
            }
        }
        computing.done(ctx);
        Ok(seen)
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }
}

fn see(seen: &mut Seen, new: impl IntoIterator<Item = (u8, u64)>) {
    for (leaf, value) in new {
        let least = seen.entry(leaf).or_insert(value);
        *least = value.min(*least);
    }
}

impl Kept for Leaf {
    const KIND: Kind = Kind::leaf(1);

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        out.push(self.0);
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        bytes.first().copied().map(Self)
    }

    fn encode_value(value: &u64, _: &Data, out: &mut Vec<u8>) -> Encoded {
        out.extend_from_slice(&value.to_le_bytes());
        Encoded::Value
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<u64> {
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl Kept for Node {
    const KIND: Kind = Kind::inner(1);

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        out.push(self.0);
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        bytes.first().copied().map(Self)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        let Ok(seen) = value else {
            return Encoded::Not;
        };
        for (leaf, value) in seen {
            out.push(*leaf);
            out.extend_from_slice(&value.to_le_bytes());
        }
        // The number says what is kept of it: so there are some of each.
        match seen.values().sum::<u64>() % 3 {
            0 => Encoded::FingerprintOnly,
            _ => Encoded::Value,
        }
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        let (chunks, rest) = bytes.as_chunks::<9>();
        let seen = chunks
            .iter()
            .map(|[leaf, value @ ..]| (*leaf, u64::from_le_bytes(*value)));
        rest.is_empty().then(|| Ok(seen.collect()))
    }
}
