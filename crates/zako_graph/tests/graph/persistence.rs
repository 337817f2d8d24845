//! Engines that go on where another one stopped.

use std::path::Path;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use zako_graph::archive::{Archive, Kind};
use zako_graph::{Cause, Changed, Codecs, Ctx, Data, Encoded, Kept, Key, Request};

use crate::sheet::{Cell, Sheet, Text, cell};

pub(crate) const PRODUCER: &str = "test 1";

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// A sheet whose engine is replaced by another one, time and again.
struct Process {
    folder: TempDir,
    archive: Archive,
    sheet: Sheet,
}

impl Process {
    fn new(fixture: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            archive: Archive::empty(folder.path(), PRODUCER),
            sheet: Sheet::new(fixture),
            folder,
        }
    }

    fn ask(&self, request: &Request, name: &str) -> i64 {
        let answer = self.sheet.runtime.block_on(request.get(&cell(name)));
        answer.unwrap().unwrap()
    }

    /// The next process: what was computed is kept, read by a new engine, and nothing else.
    fn restart(&mut self, request: &Request) {
        self.sheet.engine.keep(&mut self.archive, request);
        self.archive.flush().unwrap();
        self.reopen();
    }

    fn reopen(&mut self) {
        self.archive = open(self.folder.path());
        self.sheet = Sheet::restored(runtime(), self.sheet.texts.clone(), &self.archive);
    }

    /// Asks in a new process for a cell, whose value must be `expected`; what was done for it `events`.
    #[track_caller]
    fn check(&mut self, name: &str, expected: i64, events: &[&str]) {
        let request = self.sheet.begin_confirmed(&self.archive);
        self.sheet.log();
        assert_eq!(self.ask(&request, name), expected, "{name}");
        assert_eq!(self.sheet.log(), events, "{name}");
        self.sheet.check_idle();
        self.restart(&request);
    }
}

fn open(folder: &Path) -> Archive {
    let (archive, notice) = Archive::open(folder, PRODUCER).unwrap();
    assert_eq!(notice, None);
    archive
}

#[test]
fn what_is_confirmed_is_not_computed_again() {
    let mut process = Process::new("a = 1\nb = 2\nsum = a + b\ntop = sum + 3");
    process.check(
        "top",
        6,
        &[
            "computed 'top",
            "computed 'sum",
            "computed 'a",
            "computed a",
            "computed 'b",
            "computed b",
            "computed sum",
            "computed top",
        ],
    );
    let untouched = ["verified top"];
    process.check("top", 6, &untouched);
    process.check("top", 6, &untouched);
    process.sheet.edit("a = 7");
    process.check(
        "top",
        12,
        &[
            "computed 'a",
            "computed a",
            "verified b",
            "computed sum",
            "computed top",
        ],
    );
    process.check("top", 12, &untouched);
}

#[test]
fn an_equal_value_stops_there() {
    let mut process = Process::new("a = 11\nten = a / 10\ntop = ten + 1");
    let request = process.sheet.begin();
    assert_eq!(process.ask(&request, "top"), 2);
    process.restart(&request);
    process.sheet.edit("a = 12");
    process.check(
        "top",
        2,
        &["computed 'a", "computed a", "cut off ten", "verified top"],
    );
    // What was cut off is not looked into again.
    process.check("top", 2, &["verified top"]);
}

#[test]
fn leaves_that_nobody_confirms_are_computed_and_may_be_the_same() {
    let mut process = Process::new("a = 1\ntop = a + a");
    let request = process.sheet.begin();
    process.ask(&request, "top");
    process.restart(&request);
    process.sheet.check(
        "top",
        2,
        &["cut off 'top", "cut off 'a", "verified a", "verified top"],
    );
}

#[test]
fn a_value_of_which_only_the_fingerprint_is_kept_is_computed_when_it_is_needed() {
    let mut process = Process::new("a = 77\nb = 1\nsum = b + a\nother = a + 0");
    let request = process.sheet.begin();
    assert_eq!(process.ask(&request, "sum"), 78);
    process.restart(&request);
    // Not needed: nothing has changed.
    process.check("sum", 78, &["verified sum"]);
    // Needed, and as it was.
    process.sheet.edit("b = 2");
    process.check(
        "sum",
        79,
        &["computed 'b", "computed b", "cut off a", "computed sum"],
    );
    let request = process.sheet.begin_confirmed(&process.archive);
    assert_eq!(process.ask(&request, "a"), 77);
    let why = process.sheet.engine.why(&cell("a")).unwrap();
    assert_eq!(why.cause, Cause::Forgotten);
    assert!(why.changed_at < why.computed_at);
}

#[test]
fn a_value_that_does_not_decode_is_computed_when_it_is_needed() {
    let mut process = Process::new("a = 99\nb = 1\nsum = b + a");
    let request = process.sheet.begin();
    assert_eq!(process.ask(&request, "sum"), 100);
    process.restart(&request);
    process.sheet.edit("b = 2");
    process.check(
        "sum",
        101,
        &["computed 'b", "computed b", "cut off a", "computed sum"],
    );
}

#[test]
fn what_is_not_kept_takes_what_depends_on_it_along() {
    for (fixture, again) in [
        // A key that does not encode, one that does not decode, a value that is not kept.
        ("x = 1\nmid = x + 1\nside = 5\ntop = side + mid", "x"),
        (
            "blows = 1\nmid = blows + 1\nside = 5\ntop = side + mid",
            "blows",
        ),
        ("v = 66\nmid = v + 1\nside = 5\ntop = side + mid", "v"),
        (
            "t = 1\nv = fleeting t\nmid = v + 1\nside = 5\ntop = side + mid",
            "v",
        ),
    ] {
        let mut process = Process::new(fixture);
        let request = process.sheet.begin();
        let value = process.ask(&request, "top");
        process.restart(&request);
        let request = process.sheet.begin_confirmed(&process.archive);
        process.sheet.log();
        assert_eq!(process.ask(&request, "top"), value);
        let log = process.sheet.log();
        for name in [again, "mid", "top"] {
            let ran = ["computed", "transient"].map(|what| format!("{what} {name}"));
            assert!(
                ran.iter().any(|ran| log.contains(ran)),
                "{fixture}: {log:?}"
            );
        }
        let side = log.contains(&"verified side".to_owned());
        assert!(side || log.contains(&"computed side".to_owned()), "{log:?}");
    }
}

/// The case that makes a stale value if a record outlives what it was made from.
#[test]
fn a_value_that_is_no_longer_kept_does_not_come_back() {
    let mut process = Process::new("v = 1\ntop = v + 1");
    let request = process.sheet.begin();
    assert_eq!(process.ask(&request, "top"), 2);
    process.restart(&request);
    process.sheet.edit("v = 66");
    let request = process.sheet.begin_confirmed(&process.archive);
    assert_eq!(process.ask(&request, "top"), 67);
    process.restart(&request);
    process.sheet.edit("v = 1");
    let request = process.sheet.begin_confirmed(&process.archive);
    assert_eq!(process.ask(&request, "top"), 2);
}

#[test]
fn revisions_go_on() {
    let mut process = Process::new("a = 1\ntop = a");
    let first = process.sheet.begin();
    process.ask(&first, "top");
    process.restart(&first);
    let second = process.sheet.begin();
    assert_eq!(second.revision().get(), first.revision().get() + 1);
    let why = process.sheet.engine.why(&cell("top")).unwrap();
    assert_eq!(
        (why.changed_at, why.cause),
        (first.revision(), Cause::Restored)
    );
    assert_eq!(why.dependencies, ["'top", "a"]);
}

#[test]
fn a_footprint_has_the_leaves_below_what_was_asked_for() {
    let process = Process::new("a = 1\nb = 2\nsum = a + b\nelse = 9\nbad = panic\nx = 1");
    let Process {
        sheet, mut archive, ..
    } = process;
    let ask = |names: &[&str]| {
        let request = sheet.begin();
        for name in names {
            let _ = sheet.runtime.block_on(request.get(&cell(name)));
        }
        request
    };
    let whole = ask(&["sum", "sum", "else"]);
    assert!(!sheet.engine.footprint(&whole, &archive).complete);
    sheet.engine.keep(&mut archive, &whole);
    let sum = ask(&["sum"]);
    sheet.engine.keep(&mut archive, &sum);
    let leaves = |request: &Request| {
        let footprint = sheet.engine.footprint(request, &archive);
        assert!(footprint.complete);
        let key = |&id| String::from_utf8(archive.key(id).to_vec()).unwrap();
        let mut leaves: Vec<_> = footprint.leaves.iter().map(key).collect();
        leaves.sort_unstable();
        let roots: Vec<_> = footprint.roots.iter().map(key).collect();
        (roots.join(" "), leaves.join(" "))
    };
    assert_eq!(leaves(&sum), ("sum".to_owned(), "a b sum".to_owned()));
    let both = ask(&["else", "sum"]);
    assert_eq!(
        leaves(&both),
        ("sum else".to_owned(), "a b else sum".to_owned())
    );
    // What was compacted away is put again when it is asked for.
    archive.compact(&[]).unwrap();
    assert!(!sheet.engine.footprint(&both, &archive).complete);
    let again = ask(&["sum"]);
    sheet.engine.keep(&mut archive, &again);
    let footprint = sheet.engine.footprint(&again, &archive);
    assert!(footprint.complete);
    assert_eq!(footprint.leaves.len(), 3);
    for name in ["bad", "x"] {
        let request = ask(&["sum", name]);
        sheet.engine.keep(&mut archive, &request);
        assert!(
            !sheet.engine.footprint(&request, &archive).complete,
            "{name}"
        );
    }
}

#[test]
fn keeping_again_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::empty(folder.path(), PRODUCER);
    let sheet = Sheet::new("a = 1\ntop = a");
    let request = sheet.begin();
    sheet
        .runtime
        .block_on(request.get(&cell("top")))
        .unwrap()
        .unwrap();
    let journal = folder.path().join("journal");
    let mut sizes = Vec::new();
    for _ in 0..2 {
        sheet.engine.keep(&mut archive, &request);
        archive.flush().unwrap();
        sizes.push(std::fs::metadata(&journal).unwrap().len());
    }
    assert_eq!(sizes[0], sizes[1]);
}

#[test]
fn a_long_lived_engine_is_told_what_changed() {
    let sheet = Sheet::new("a = 1\nb = 2\nsum = a + b\nother = 9\ntop = sum + other");
    let ask = |changed: &Changed| {
        let data = Data::new().with(sheet.texts.clone());
        let request = sheet.engine.begin_changed(data, changed);
        sheet.log();
        let value = sheet.runtime.block_on(request.get(&cell("top")));
        (value.unwrap().unwrap(), sheet.log())
    };
    let text = |name: &str| Text(name.to_owned());
    assert_eq!(ask(&Changed::new()).0, 12);
    assert_eq!(ask(&Changed::new()), (12, vec!["verified top".to_owned()]));
    sheet.edit("a = 5\nb = 7");
    let (value, log) = ask(&Changed::new().with(text("b")).with(text("nobody")));
    assert_eq!(value, 17);
    let events = [
        "verified 'top",
        "verified 'sum",
        "verified a",
        "computed 'b",
        "computed b",
        "computed sum",
        "verified other",
        "computed top",
    ];
    assert_eq!(log, events);
    assert_eq!(ask(&Changed::new().with(text("a"))).0, 21);
    // What was told and not asked for is not forgotten; nor is what changed before all is asked anew.
    sheet.edit("b = 8\nother = 1");
    let data = Data::new().with(sheet.texts.clone());
    let request = sheet
        .engine
        .begin_changed(data, &Changed::new().with(text("b")));
    assert_eq!(sheet.runtime.block_on(request.get(&cell("a"))), Ok(Ok(5)));
    assert_eq!(sheet.get("a"), Ok(Ok(5)));
    assert_eq!(ask(&Changed::new()).0, 14);
}

/// Restored nodes that were not asked for when what they depend on changed.
#[test]
fn what_was_out_of_date_when_it_was_kept_is_still() {
    let mut process = Process::new("a = 1\nleft = a + 1\nright = a + 2\ntop = right + 0");
    let request = process.sheet.begin();
    assert_eq!(process.ask(&request, "left"), 2);
    assert_eq!(process.ask(&request, "top"), 3);
    process.restart(&request);
    process.sheet.edit("a = 5");
    process.check("left", 6, &["computed 'a", "computed a", "computed left"]);
    process.check("top", 7, &["verified a", "computed right", "computed top"]);
    process.check("top", 7, &["verified top"]);
}

/// A leaf with the kind of what is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wrong;

impl Key for Wrong {
    type Value = ();
    const LEAF: bool = true;

    async fn compute(&self, _: &Ctx) {}
}

impl Kept for Wrong {
    const KIND: Kind = Kind::inner(9);

    fn encode_key(&self, _: &Data, _: &mut Vec<u8>) -> bool {
        true
    }

    fn decode_key(_: &[u8], _: &Data) -> Option<Self> {
        Some(Self)
    }

    fn encode_value((): &(), _: &Data, _: &mut Vec<u8>) -> Encoded {
        Encoded::FingerprintOnly
    }

    fn decode_value(_: &[u8], _: &Data) -> Option<()> {
        None
    }
}

#[test]
#[should_panic(expected = "a leaf has a leaf's kind")]
fn a_leaf_has_the_kind_of_one() {
    let _ = Codecs::new().with::<Wrong>();
}

#[test]
#[should_panic(expected = "a kind of its own")]
fn kinds_are_not_shared() {
    let _ = Codecs::new().with::<Cell>().with::<Cell>();
}

#[test]
fn a_damaged_archive_restores_nothing() {
    let mut process = Process::new("a = 1\ntop = a");
    let request = process.sheet.begin();
    process.ask(&request, "top");
    process.sheet.engine.keep(&mut process.archive, &request);
    let roots = process
        .sheet
        .engine
        .footprint(&request, &process.archive)
        .roots;
    process.archive.compact(&roots).unwrap();
    let path = process.folder.path().join("graph");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let archive = open(process.folder.path());
    let sheet = Sheet::new("");
    assert!(sheet.engine.restore(&archive, &Data::new()).is_err());
    assert_eq!(sheet.engine.node_count(), 0);
}
