//! Random sheets under random edits: always what computing from scratch gives, and never more work than
//! the edits call for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Mutex;

use futures::future::{Either, join_all, select};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use zako_graph::archive::Archive;
use zako_graph::{Changed, Data, Request};

use crate::persistence::PRODUCER;
use crate::sheet::{Sheet, Text, cell};

const CELLS: usize = 14;
/// The values whose nodes another process may have to compute again.
const NOT_KEPT: [i64; 3] = [66, 77, 99];

#[derive(Debug, Clone)]
enum Step {
    Edit(usize, String),
    Ask(Vec<usize>),
    Restart(Restart),
}

/// How one process ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    /// What was computed is kept.
    Kept,
    /// As `Kept`, and the archive is written anew.
    Compacted,
    /// What was computed since the last time is lost.
    Crashed,
}

fn name(n: usize) -> String {
    format!("c{n}")
}

/// What a cell may say, using others out of `from`.
fn expression(from: Vec<String>) -> BoxedStrategy<String> {
    let number = (0..4_i64).prop_map(|n| n.to_string());
    if from.is_empty() {
        return number.boxed();
    }
    let one = prop::sample::select(from);
    let few = prop::collection::vec(one.clone(), 1..4);
    prop_oneof![
        2 => number,
        2 => few.clone().prop_map(|names| names.join(" + ")),
        2 => few.prop_map(|names| format!("all {}", names.join(" "))),
        1 => one.clone().prop_map(|a| format!("{a} / 2")),
        2 => (one.clone(), one.clone(), one).prop_map(|(c, a, b)| format!("if {c} {a} {b}")),
    ]
    .boxed()
}

/// Cells refer to earlier ones only, or to any when `cyclic`.
fn edit(cyclic: bool) -> impl Strategy<Value = (usize, String)> {
    (0..CELLS).prop_flat_map(move |n| {
        let from = (0..if cyclic { CELLS } else { n }).map(name).collect();
        (Just(n), expression(from))
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        edit(false).prop_map(|(n, text)| Step::Edit(n, text)),
        prop::collection::vec(0..CELLS, 1..4).prop_map(Step::Ask),
    ]
}

fn step_or_restart() -> impl Strategy<Value = Step> {
    let how = [Restart::Kept, Restart::Compacted, Restart::Crashed];
    let restart = prop::sample::select(how.to_vec()).prop_map(Step::Restart);
    prop_oneof![8 => step(), 1 => restart]
}

/// The value from scratch; `None` when the cell needs itself.
fn evaluate(texts: &BTreeMap<String, String>, name: &str, above: &mut Vec<String>) -> Option<i64> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    if above.iter().any(|a| a == name) {
        return None;
    }
    above.push(name.to_owned());
    let mut of = |word: &str| evaluate(texts, word, above);
    let words: Vec<&str> = texts[name].split_whitespace().collect();
    let value = match *words.as_slice() {
        ["all", ref names @ ..] => names.iter().map(|name| of(name)).sum(),
        ["if", c, a, b] => of(c).and_then(|c| of(if c != 0 { a } else { b })),
        [a, "/", b] => of(a).and_then(|a| Some(a / of(b)?)),
        _ => words
            .iter()
            .filter(|&&word| word != "+")
            .map(|word| of(word))
            .sum(),
    };
    above.pop();
    value
}

/// Every cell that `name` mentions, directly or not, and itself.
fn mentions(texts: &BTreeMap<String, String>, name: &str, into: &mut BTreeSet<String>) {
    if into.insert(name.to_owned()) {
        for word in texts[name]
            .split_whitespace()
            .filter(|word| texts.contains_key(*word))
        {
            mentions(texts, word, into);
        }
    }
}

fn runtime(threads: usize) -> Runtime {
    match threads {
        1 => Builder::new_current_thread().build().unwrap(),
        n => Builder::new_multi_thread()
            .worker_threads(n)
            .build()
            .unwrap(),
    }
}

fn blank() -> String {
    (0..CELLS).map(|n| format!("{} = {n}\n", name(n))).collect()
}

/// What was edited when, as far as a cell mentions it.
type Edits = BTreeMap<String, usize>;

/// A sheet, what its engine is expected to know, and what the last process left.
struct Game {
    threads: usize,
    sheet: Sheet,
    folder: TempDir,
    archive: Archive,
    edits: Edits,
    last_good: HashMap<String, Edits>,
    kept: HashMap<String, Edits>,
    /// The asks of this process, to keep what they computed.
    last_request: Option<Request>,
    /// The texts that were edited since something was asked.
    untold: BTreeSet<String>,
    /// The texts as they were when this process last computed them.
    last_read: BTreeMap<String, String>,
}

impl Game {
    fn new(threads: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            threads,
            sheet: Sheet::on(runtime(threads), &blank()),
            archive: Archive::empty(folder.path(), PRODUCER),
            folder,
            edits: Edits::new(),
            last_good: HashMap::new(),
            kept: HashMap::new(),
            last_request: None,
            untold: BTreeSet::new(),
            last_read: BTreeMap::new(),
        }
    }

    fn restart(&mut self, how: Restart) {
        if how != Restart::Crashed
            && let Some(request) = self.last_request.take()
        {
            self.sheet.engine.keep(&mut self.archive, &request);
            self.archive.flush().unwrap();
            self.kept = self.last_good.clone();
            if how == Restart::Compacted {
                let all: Vec<_> = self.archive.ids().collect();
                self.archive.compact(&all).unwrap();
            }
        }
        self.last_request = None;
        self.last_read.clear();
        self.last_good = self.kept.clone();
        let (archive, notice) = Archive::open(self.folder.path(), PRODUCER).unwrap();
        assert_eq!(notice, None);
        let texts = self.sheet.texts.clone();
        self.sheet = Sheet::restored(runtime(self.threads), texts, &archive);
        self.archive = archive;
    }

    /// Asks, and checks the answers, and that no cell was computed unless something that it mentions was
    /// edited since it was last up to date.
    fn ask(&mut self, cells: &[usize], step: usize) {
        let texts = self.sheet.texts.0.lock().unwrap().clone();
        let value = |name: &str| evaluate(&texts, name, &mut Vec::new()).unwrap();
        let told = mem::take(&mut self.untold);
        let texts_of_request = Data::new().with(self.sheet.texts.clone());
        let request = match (&self.last_request, step % 4) {
            // Leaves that another process may have left are confirmed by what that said of them.
            (None, _) => self.sheet.begin_confirmed(&self.archive),
            (_, 0) => self.sheet.begin(),
            (_, 1) => self.sheet.engine.begin_confirmed(texts_of_request, |leaf| {
                let name = &leaf.key::<Text>().unwrap().0;
                self.last_read.get(name) == texts.get(name)
            }),
            _ => {
                let mut changed = Changed::new();
                told.iter().for_each(|name| changed.add(Text(name.clone())));
                self.sheet.engine.begin_changed(texts_of_request, &changed)
            }
        };
        let keys: Vec<_> = cells.iter().map(|&n| cell(&name(n))).collect();
        let asked = join_all(keys.iter().map(|key| request.get(key)));
        let answers = self.sheet.runtime.block_on(asked);
        for (key, answer) in keys.iter().zip(answers) {
            assert_eq!(answer, Ok(Ok(value(&key.0))), "{} in step {step}", key.0);
        }
        self.sheet.check_idle();
        self.last_request = Some(request);
        let all_kept = !(0..CELLS).any(|n| NOT_KEPT.contains(&value(&name(n))));
        for event in self.sheet.log() {
            let (what, name) = event.rsplit_once(' ').unwrap();
            if let Some(name) = name.strip_prefix('\'') {
                if what != "verified" {
                    self.last_read.insert(name.to_owned(), texts[name].clone());
                }
                continue;
            }
            let mut mentioned = BTreeSet::new();
            mentions(&texts, name, &mut mentioned);
            let now: Edits = mentioned
                .into_iter()
                .map(|m| (m.clone(), self.edits.get(&m).copied().unwrap_or(0)))
                .collect();
            let before = self.last_good.insert(name.to_owned(), now.clone());
            if matches!(what, "computed" | "cut off") && all_kept {
                assert_ne!(
                    before,
                    Some(now),
                    "{event} in step {step}, though nothing was edited"
                );
            }
        }
    }
}

/// Plays `steps`.
fn play(threads: usize, steps: &[Step]) {
    let mut game = Game::new(threads);
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Edit(n, text) => {
                let mut texts = game.sheet.texts.0.lock().unwrap();
                let before = texts.insert(name(*n), text.clone());
                if before.as_ref() != Some(text) {
                    game.edits.insert(name(*n), number + 1);
                    game.untold.insert(name(*n));
                }
            }
            Step::Ask(cells) => game.ask(cells, number),
            Step::Restart(how) => game.restart(*how),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_from_scratch(steps in prop::collection::vec(step(), 100..400)) {
        play(1, &steps);
    }

    #[test]
    fn incremental_equals_from_scratch_on_threads(steps in prop::collection::vec(step(), 100..300)) {
        play(4, &steps);
    }

    #[test]
    fn processes_that_come_and_go_equal_from_scratch(steps in prop::collection::vec(step_or_restart(), 100..400)) {
        play(1, &steps);
    }

    #[test]
    fn processes_with_threads_equal_from_scratch(steps in prop::collection::vec(step_or_restart(), 100..200)) {
        play(4, &steps);
    }

    /// Cells may refer to any cell. Whoever needs itself ends in an error, everyone else in a value, and
    /// nobody hangs; after each edit anew.
    #[test]
    fn cycles_end_and_the_rest_is_right(edits in prop::collection::vec(edit(true), 1..60)) {
        let sheet = Sheet::on(runtime(4), &blank());
        for batch in edits.chunks(4) {
            for (n, text) in batch {
                sheet.edit(&format!("{} = {text}", name(*n)));
            }
            let texts = sheet.texts.0.lock().unwrap().clone();
            let request = sheet.begin();
            let keys: Vec<_> = (0..CELLS).map(|n| cell(&name(n))).collect();
            let answers = sheet.runtime.block_on(join_all(keys.iter().map(|key| request.get(key))));
            for (key, answer) in keys.iter().zip(answers) {
                let expected = evaluate(&texts, &key.0, &mut Vec::new());
                prop_assert_eq!(answer.clone().ok().and_then(Result::ok), expected, "{}: {:?}", key.0, answer);
            }
            sheet.check_idle();
        }
    }
}

/// Many clients ask, give up and edit at the same time; afterwards everything is as from scratch.
#[test]
fn clients_that_come_and_go_leave_the_graph_whole() {
    come_and_go(|sheet, _| sheet.begin());
}

/// As above, with requests that are told of changes, overlapping with older ones.
#[test]
fn clients_that_are_told_of_changes_leave_the_graph_whole() {
    come_and_go(|sheet, changed| {
        let data = Data::new().with(sheet.texts.clone());
        sheet.engine.begin_changed(data, changed)
    });
}

fn come_and_go(begin: impl Fn(&Sheet, &Changed) -> Request) {
    let sheet = Sheet::on(runtime(4), &blank());
    let wide: String = (4..CELLS)
        .map(|n| {
            let [a, b, c] = [n - 1, n / 2, n % 4].map(name);
            format!(
                "{} = {}\n",
                name(n),
                if n % 2 == 0 {
                    format!("all {a} {b} {c}")
                } else {
                    format!("{a} + {b}")
                }
            )
        })
        .collect();
    sheet.edit(&wide);
    sheet.runtime.block_on(async {
        let (sheet, order, begin) = (&sheet, &Mutex::new(()), &begin);
        let clients = (0..8_usize).map(|client| async move {
            for round in 0..200_usize {
                let request = {
                    // Edited and told in one, so that no other request comes between.
                    let _one = order.lock().unwrap();
                    let mut changed = Changed::new();
                    if client < 2 {
                        let name = name((client + round) % 4);
                        sheet.edit(&format!("{name} = {}", round % 7));
                        changed.add(Text(name));
                    }
                    begin(sheet, &changed)
                };
                let keys: Vec<_> = (0..4)
                    .map(|n| cell(&name((client * 5 + round * 3 + n) % CELLS)))
                    .collect();
                let asked = join_all(keys.iter().map(|key| request.get(key)));
                let patience = async {
                    for _ in 0..(client * 7 + round) % 30 {
                        tokio::task::yield_now().await;
                    }
                };
                if let Either::Left((answers, _)) =
                    select(Box::pin(asked), Box::pin(patience)).await
                {
                    assert!(
                        answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))),
                        "{answers:?}"
                    );
                }
            }
        });
        join_all(clients).await;
    });
    sheet.check_idle();
    let texts = sheet.texts.0.lock().unwrap().clone();
    let request = begin(&sheet, &Changed::new());
    for n in 0..CELLS {
        let expected = evaluate(&texts, &name(n), &mut Vec::new()).unwrap();
        let answer = sheet.runtime.block_on(request.get(&cell(&name(n))));
        assert_eq!(answer, Ok(Ok(expected)), "{}", name(n));
    }
}
