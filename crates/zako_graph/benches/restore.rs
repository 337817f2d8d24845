//! What it costs to go on where another process stopped: 50,501 nodes in a tree and 50,000 leaves.
//! `max alloc` of `restore` by 100,501 is the memory of a restored node, that of the heap; the file is
//! mapped beside it.
#![expect(clippy::unwrap_used, reason = "a bench")]

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use zako_graph::archive::{Archive, Kind};
use zako_graph::{
    Changed, Codecs, Ctx, Data, Encoded, Engine, EngineOptions, GraphError, Kept, Key, Request,
};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const FILES: u64 = 50_000;
const NODES: u64 = 2 * FILES + FILES / 100 + 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaf(u64);

impl Key for Leaf {
    type Value = u64;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> u64 {
        ctx.set_witness([0; 48]);
        // Never the same in two revisions: whoever looks again finds a change.
        self.0 + ctx.revision().get()
    }
}

/// Files under packages under a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Tree {
    Whole,
    Package(u64),
    File(u64),
}

impl Key for Tree {
    type Value = Result<u64, GraphError>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let parts = match *self {
            Self::Whole => ctx.get_all((0..FILES / 100).map(Self::Package)).await?,
            Self::Package(p) => {
                let files = (0..100).map(|f| Self::File(p * 100 + f));
                ctx.get_all(files).await?
            }
            Self::File(f) => return ctx.get(&Leaf(f)).await,
        };
        parts.into_iter().sum()
    }
}

impl Kept for Leaf {
    const KIND: Kind = Kind::leaf(1);

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&self.0.to_le_bytes());
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        number(bytes).map(Self)
    }

    fn encode_value(value: &u64, _: &Data, out: &mut Vec<u8>) -> Encoded {
        out.extend_from_slice(&value.to_le_bytes());
        Encoded::Value
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<u64> {
        number(bytes)
    }
}

impl Kept for Tree {
    const KIND: Kind = Kind::inner(1);

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        let (tag, n) = match *self {
            Self::Whole => (0, 0),
            Self::Package(n) => (1, n),
            Self::File(n) => (2, n),
        };
        out.push(tag);
        out.extend_from_slice(&n.to_le_bytes());
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        let (tag, n) = bytes.split_first()?;
        let n = number(n)?;
        Some(match tag {
            0 => Self::Whole,
            1 => Self::Package(n),
            _ => Self::File(n),
        })
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        match value {
            Ok(value) => out.extend_from_slice(&value.to_le_bytes()),
            Err(_) => return Encoded::Not,
        }
        Encoded::Value
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        number(bytes).map(Ok)
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn main() {
    divan::main();
}

/// A folder with the tree, computed and kept.
struct Kit {
    runtime: Runtime,
    folder: TempDir,
}

impl Kit {
    fn new() -> Self {
        let kit = Self {
            runtime: Builder::new_multi_thread()
                .worker_threads(2)
                .build()
                .unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        let (mut archive, engine, request) = kit.first();
        engine.keep(&mut archive, &request);
        let roots = engine.footprint(&request, &archive).roots;
        archive.compact(&roots).unwrap();
        kit
    }

    fn engine(&self) -> Engine {
        let options = EngineOptions {
            codecs: Codecs::new().with::<Leaf>().with::<Tree>(),
            ..EngineOptions::default()
        };
        Engine::new(self.runtime.handle().clone(), options)
    }

    fn ask(&self, request: &Request) -> u64 {
        let asked = request.get(&Tree::Whole);
        self.runtime.block_on(asked).unwrap().unwrap()
    }

    /// Everything computed, and an archive for it.
    fn first(&self) -> (Archive, Engine, Request) {
        let engine = self.engine();
        let request = engine.begin(Data::new());
        self.ask(&request);
        let archive = Archive::empty(self.folder.path(), "bench");
        (archive, engine, request)
    }

    fn restored(&self) -> (Archive, Engine) {
        let (archive, _) = Archive::open(self.folder.path(), "bench").unwrap();
        let engine = self.engine();
        engine.restore(&archive, &Data::new()).unwrap();
        (archive, engine)
    }
}

#[divan::bench(sample_count = 20)]
fn restore(bencher: Bencher<'_, '_>) {
    let kit = Kit::new();
    bencher
        .counter(ItemsCount::new(NODES))
        .bench(|| kit.restored());
}

/// A build of a new process in which one file has changed, after [`restore`].
#[divan::bench(sample_count = 20, sample_size = 1)]
fn one_change_after_restore(bencher: Bencher<'_, '_>) {
    let kit = Kit::new();
    bencher
        .with_inputs(|| kit.restored())
        .bench_local_refs(|(archive, engine)| {
            let confirm = |leaf: zako_graph::KnownLeaf<'_>| leaf.key() != Some(&Leaf(7));
            let request = engine.begin_confirmed(Data::new(), confirm);
            kit.ask(&request);
            engine.keep(archive, &request);
        });
}

/// The same in an engine that lives on, which is told of the file.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn one_change_while_alive(bencher: Bencher<'_, '_>) {
    let kit = Kit::new();
    let (mut archive, engine) = kit.restored();
    kit.ask(&engine.begin_changed(Data::new(), &Changed::new()));
    bencher.bench_local(|| {
        let changed = Changed::new().with(Leaf(7));
        let request = engine.begin_changed(Data::new(), &changed);
        kit.ask(&request);
        engine.keep(&mut archive, &request);
    });
}

/// What a first build costs on top.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn keep_everything(bencher: Bencher<'_, '_>) {
    let kit = Kit::new();
    bencher
        .counter(ItemsCount::new(NODES))
        .with_inputs(|| kit.first())
        .bench_local_refs(|(archive, engine, request)| engine.keep(archive, request));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn footprint(bencher: Bencher<'_, '_>) {
    let kit = Kit::new();
    let (archive, engine) = kit.restored();
    let request = engine.begin_confirmed(Data::new(), |_| true);
    kit.ask(&request);
    bencher.bench_local(|| engine.footprint(&request, &archive));
}
