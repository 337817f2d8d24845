//! The fixture: a spreadsheet whose cells are computed by the engine, and a log of what that did.
//!
//! ```text
//! sum = a + b        asks for a, then for b
//! all = all a b c    asks for all three at once
//! ten = a / 10       many values of a give one of ten
//! pick = if c a b    asks for c, then for a or b
//! t = fleeting a     as a, but transient
//! safe = try a       a, or -1 when the graph has no value for it
//! boom = panic
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::runtime::{Builder, Runtime};
use zako_graph::archive::{Archive, Id, Kind};
use zako_graph::{
    Codecs, Ctx, Data, Encoded, Engine, EngineEvent, EngineOptions, EventKind, GraphError, Kept,
    Key, Request,
};

/// The texts, outside of the graph, as files would be.
#[derive(Default)]
pub(crate) struct Texts(pub(crate) Mutex<BTreeMap<String, String>>);

/// The text of a cell: a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Text(pub(crate) String);

impl Key for Text {
    type Value = Option<String>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Option<String> {
        let texts = ctx.data::<Arc<Texts>>().unwrap().0.lock().unwrap();
        let text = texts.get(&self.0).cloned();
        ctx.set_witness(witness(&text));
        text
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("'{}", self.0)
    }
}

/// By what a text is recognised without being read.
fn witness(text: &Option<String>) -> Vec<u8> {
    format!("{text:?}").into_bytes()
}

impl Kept for Text {
    const KIND: Kind = Kind::leaf(1);

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.0.as_bytes());
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        Some(Self(String::from_utf8(bytes.to_vec()).ok()?))
    }

    fn encode_value(value: &Option<String>, _: &Data, out: &mut Vec<u8>) -> Encoded {
        out.push(value.is_some().into());
        out.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
        Encoded::Value
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Option<String>> {
        match bytes {
            [0] => Some(None),
            [1, text @ ..] => Some(Some(String::from_utf8(text.to_vec()).ok()?)),
            _ => None,
        }
    }
}

/// The value of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cell(pub(crate) String);

pub(crate) fn cell(name: &str) -> Cell {
    Cell(name.to_owned())
}

impl Key for Cell {
    type Value = Result<i64, String>;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let text = ctx
            .get(&Text(self.0.clone()))
            .await
            .map_err(|e| e.to_string())?;
        let text = text.ok_or_else(|| format!("no cell {}", self.0))?;
        let words: Vec<&str> = text.split_whitespace().collect();
        match *words.as_slice() {
            ["panic"] => panic!("cell {} blew up", self.0),
            ["all", ref names @ ..] => {
                let cells = names.iter().map(|name| cell(name));
                ctx.get_all(cells)
                    .await
                    .map_err(|e| e.to_string())?
                    .into_iter()
                    .sum()
            }
            ["if", c, a, b] => {
                let chosen = if value(ctx, c).await? != 0 { a } else { b };
                value(ctx, chosen).await
            }
            ["fleeting", a] => {
                ctx.mark_transient();
                value(ctx, a).await
            }
            ["try", a] => ctx.get(&cell(a)).await.unwrap_or(Ok(-1)),
            [a, "/", b] => Ok(value(ctx, a).await? / value(ctx, b).await?),
            _ => {
                let mut sum = 0;
                for name in words.iter().filter(|&&word| word != "+") {
                    sum += value(ctx, name).await?;
                }
                Ok(sum)
            }
        }
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        self.0.clone()
    }
}

/// Cells that begin with `x` are not kept, and of 77 only the fingerprint.
impl Kept for Cell {
    const KIND: Kind = Kind::inner(1);

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self.0.as_bytes());
        !self.0.starts_with('x')
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        let name = String::from_utf8(bytes.to_vec()).ok()?;
        assert!(name != "blows", "a decoder may panic");
        Some(Self(name))
    }

    /// 66 can't be encoded, and 99 not be decoded.
    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        match value {
            Ok(66) | Err(_) => return Encoded::Not,
            Ok(number) => out.extend_from_slice(&number.to_le_bytes()),
        }
        match value {
            Ok(77) => Encoded::FingerprintOnly,
            _ => Encoded::Value,
        }
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        let number = i64::from_le_bytes(bytes.try_into().ok()?);
        (number != 99).then_some(Ok(number))
    }
}

/// A number, or the value of a cell.
async fn value(ctx: &Ctx, word: &str) -> Result<i64, String> {
    match word.parse() {
        Ok(number) => Ok(number),
        Err(_) => ctx.get(&cell(word)).await.map_err(|e| e.to_string())?,
    }
}

/// A sheet under test.
pub(crate) struct Sheet {
    pub(crate) runtime: Runtime,
    pub(crate) engine: Engine,
    pub(crate) texts: Arc<Texts>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Sheet {
    /// On one thread, so that the log has one possible order.
    pub(crate) fn new(fixture: &str) -> Self {
        Self::on(Builder::new_current_thread().build().unwrap(), fixture)
    }

    pub(crate) fn on(runtime: Runtime, fixture: &str) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let into = log.clone();
        let observer = move |event: EngineEvent<'_>| {
            let what = match event.kind {
                EventKind::Computed => "computed",
                EventKind::CutOff => "cut off",
                EventKind::Verified => "verified",
                EventKind::Transient => "transient",
                EventKind::Failed => "failed",
                EventKind::Cancelled => "cancelled",
                // Says who asked when, which is not what these tests are about.
                _ => return,
            };
            into.lock()
                .unwrap()
                .push(format!("{what} {}", event.describe()));
        };
        let options = EngineOptions {
            observer: Some(Arc::new(observer)),
            codecs: Codecs::new().with::<Text>().with::<Cell>(),
        };
        let engine = Engine::new(runtime.handle().clone(), options);
        let sheet = Self {
            runtime,
            engine,
            texts: Arc::default(),
            log,
        };
        sheet.edit(fixture);
        sheet
    }

    /// Sets the cells of `fixture`, one a line; a line `-name` removes one.
    pub(crate) fn edit(&self, fixture: &str) {
        let mut texts = self.texts.0.lock().unwrap();
        for line in fixture
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            match line.split_once('=') {
                Some((name, text)) => {
                    texts.insert(name.trim().to_owned(), text.trim().to_owned());
                }
                None => {
                    texts.remove(line.trim_start_matches('-')).unwrap();
                }
            }
        }
    }

    pub(crate) fn begin(&self) -> Request {
        self.engine.begin(Data::new().with(self.texts.clone()))
    }

    /// Begins knowing of each text that was kept whether it is as it was.
    pub(crate) fn begin_confirmed(&self, archive: &Archive) -> Request {
        let texts = self.texts.0.lock().unwrap();
        let holds: std::collections::HashSet<Id> = archive
            .ids_of(Text::KIND)
            .filter(|&id| {
                let name = std::str::from_utf8(archive.key(id)).unwrap();
                archive.witness(id) == witness(&texts.get(name).cloned())
            })
            .collect();
        let data = Data::new().with(self.texts.clone());
        self.engine.begin_confirmed(data, move |leaf| {
            leaf.id().is_some_and(|id| holds.contains(&id))
        })
    }

    /// A sheet with the same texts whose engine knows what `archive` does.
    pub(crate) fn restored(runtime: Runtime, texts: Arc<Texts>, archive: &Archive) -> Self {
        let mut sheet = Self::on(runtime, "");
        sheet.texts = texts;
        sheet.engine.restore(archive, &Data::new()).unwrap();
        sheet
    }

    pub(crate) fn get(&self, name: &str) -> Result<Result<i64, String>, GraphError> {
        let request = self.begin();
        self.runtime.block_on(request.get(&cell(name)))
    }

    /// What happened since the last look.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// Asks for a cell in a new revision: its value must be `expected`, and what was done for it `events`.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, expected: i64, events: &[&str]) {
        self.log();
        assert_eq!(self.get(name), Ok(Ok(expected)), "{name}");
        assert_eq!(self.log(), events, "{name}");
        self.check_idle();
    }

    #[track_caller]
    pub(crate) fn check_idle(&self) {
        self.runtime.block_on(self.engine.idle());
        assert_eq!(self.engine.running_count(), 0);
    }
}
