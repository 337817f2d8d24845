//! Random sheets under random edits: always what computing from scratch gives, and never more work than
//! the edits call for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::{Either, join_all, select};
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::sheet::{Sheet, cell};

const CELLS: usize = 14;

#[derive(Debug, Clone)]
enum Step {
    Edit(usize, String),
    Ask(Vec<usize>),
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

/// Plays `steps` and checks each answer, and that no cell was computed unless something that it mentions
/// was edited since it was last up to date.
fn play(threads: usize, steps: &[Step]) {
    let sheet = Sheet::on(runtime(threads), &blank());
    let mut edits: HashMap<String, usize> = HashMap::new();
    let mut last_good: HashMap<String, BTreeMap<String, usize>> = HashMap::new();
    for (number, step) in steps.iter().enumerate() {
        let cells = match step {
            Step::Edit(n, text) => {
                let line = format!("{} = {text}", name(*n));
                let before = sheet.texts.0.lock().unwrap().insert(name(*n), text.clone());
                if before.as_ref() != Some(text) {
                    edits.insert(name(*n), number + 1);
                }
                assert!(!line.is_empty());
                continue;
            }
            Step::Ask(cells) => cells,
        };
        let texts = sheet.texts.0.lock().unwrap().clone();
        let request = sheet.begin();
        let keys: Vec<_> = cells.iter().map(|&n| cell(&name(n))).collect();
        let answers = sheet
            .runtime
            .block_on(join_all(keys.iter().map(|key| request.get(key))));
        for (key, answer) in keys.iter().zip(answers) {
            let expected = evaluate(&texts, &key.0, &mut Vec::new()).unwrap();
            assert_eq!(answer, Ok(Ok(expected)), "{} in step {number}", key.0);
        }
        sheet.check_idle();
        for event in sheet.log() {
            let (what, name) = event.rsplit_once(' ').unwrap();
            if name.starts_with('\'') {
                continue;
            }
            let mut mentioned = BTreeSet::new();
            mentions(&texts, name, &mut mentioned);
            let now: BTreeMap<_, _> = mentioned
                .into_iter()
                .map(|m| (m.clone(), edits.get(&m).copied().unwrap_or(0)))
                .collect();
            let before = last_good.insert(name.to_owned(), now.clone());
            if matches!(what, "computed" | "cut off") {
                assert_ne!(
                    before,
                    Some(now),
                    "{event} in step {number}, though nothing was edited"
                );
            }
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
        let sheet = &sheet;
        let clients = (0..8_usize).map(|client| async move {
            for round in 0..200_usize {
                if client < 2 {
                    sheet.edit(&format!("c{} = {}", (client + round) % 4, round % 7));
                }
                let request = sheet.begin();
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
    for n in 0..CELLS {
        let expected = evaluate(&texts, &name(n), &mut Vec::new()).unwrap();
        assert_eq!(sheet.get(&name(n)), Ok(Ok(expected)), "{}", name(n));
    }
}
