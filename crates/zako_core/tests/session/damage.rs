//! The state on disk with each of its bytes damaged in turn, and cut off at each length.

use std::fs;
use std::path::{Path, PathBuf};

use zako_core::{BuildOptions, Glance, Severity};

use crate::fixture::{Built, Fixture, run};

const BUILD: &str = r#"import { glob, task } from "zako:build";
export const one = task({ inputs: glob("*.txt"), outputs: ["one"], shell: 'cat $in > "$out"' });
export const two = task({ inputs: [one], outputs: ["two"], shell: 'cat "$in" "$in" > "$out"' });
"#;

/// Of how many damaged states one is built from; at all of them is looked.
const BUILD_EVERY: usize = 160;

/// After how many edits the journal is folded in at the latest.
const MAX_EDITS: usize = 2000;

struct State {
    folder: PathBuf,
    graph: Vec<u8>,
    journal: Vec<u8>,
}

impl State {
    fn of(root: &Path) -> State {
        let folder = root.join(".zako/state");
        State {
            graph: fs::read(folder.join("graph")).unwrap(),
            journal: fs::read(folder.join("journal")).unwrap(),
            folder,
        }
    }

    /// Puts it on disk, with other bytes in one of its files.
    fn put(&self, name: &str, bytes: &[u8]) {
        for bad in ["graph.bad", "journal.bad"] {
            let _there_is_none = fs::remove_file(self.folder.join(bad));
        }
        // Written over, the file would change below whoever has it mapped.
        for (file, whole) in [("graph", &self.graph), ("journal", &self.journal)] {
            let place = self.folder.join(file);
            let _there_is_none = fs::remove_file(&place);
            fs::write(&place, if file == name { bytes } else { whole }).unwrap();
        }
    }

    /// Every damage: a bit of each byte, and each shorter length.
    fn damages(&self) -> Vec<(&'static str, String, Vec<u8>)> {
        let mut damages = Vec::new();
        for (name, whole) in [("graph", &self.graph), ("journal", &self.journal)] {
            for at in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << (at % 8);
                damages.push((name, format!("{name} flipped at {at}"), flipped));
                damages.push((name, format!("{name} cut at {at}"), whole[..at].to_vec()));
            }
        }
        damages
    }
}

fn warnings(built: &Built) -> usize {
    let told = built.report.diagnostics.iter();
    told.filter(|told| told.severity == Severity::Warning)
        .count()
}

/// Looks at every damage and builds some: `text` is what must come out, and whether that is there already.
async fn check(f: &Fixture, state: &State, text: &str, is_there: bool) {
    for (number, (name, damage, bytes)) in state.damages().into_iter().enumerate() {
        state.put(name, &bytes);
        if number % BUILD_EVERY != 0 {
            let mut glance =
                Glance::new(&f.root(), &[], |_| Ok(BuildOptions::default())).expect(&damage);
            let is_up_to_date = glance.up_to_date().is_some();
            let is_right = is_there && f.read("zako-out/two") == text;
            assert!(is_right || !is_up_to_date, "{damage}");
            continue;
        }
        let built = run(&f.reopened(), &[], BuildOptions::default()).await;
        assert!(built.report.fault().is_none(), "{damage}: {built:#?}");
        assert!(warnings(&built) <= 1, "{damage}: {built:#?}");
        assert_eq!(f.read("zako-out/two"), text, "{damage}");
        let again = run(&f.reopened(), &[], BuildOptions::default()).await;
        assert_eq!(again.lines(), [""; 0], "{damage}");
        assert_eq!(warnings(&again), 0, "{damage}: {again:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damaged_byte_is_trusted() {
    let f = Fixture::new(&[("BUILD.ts", BUILD), ("a.txt", "a\n")]);
    f.build(&[]).await.good();
    // Until the journal was folded in, so that the graph file has all of it.
    let length =
        |name: &str| fs::metadata(f.root().join(".zako/state").join(name)).map(|f| f.len());
    let empty = length("graph").unwrap();
    for number in 0..MAX_EDITS {
        f.write("a.txt", &format!("{number}\n"));
        f.build(&[]).await.good();
        if length("graph").unwrap() > empty {
            break;
        }
    }
    // What comes after that is in the journal again.
    f.write("a.txt", "a\n");
    f.build(&[]).await.good();
    f.write("a.txt", "b\n");
    f.build(&[]).await.good();
    let state = State::of(&f.root());
    assert!(state.graph.len() > 1000 && state.journal.len() > 100);
    check(&f, &state, "b\nb\n", true).await;
    // What is trusted wrongly would show now.
    f.write("a.txt", "c\n");
    check(&f, &state, "c\nc\n", false).await;
    // A journal that is cut off goes back to before the last build, when this was there already.
    f.write("a.txt", "a\n");
    check(&f, &state, "a\na\n", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_wrote_is_kept_aside_and_told_once() {
    let f = Fixture::new(&[("BUILD.ts", BUILD), ("a.txt", "a\n")]);
    f.build(&[]).await.good();
    let state = State::of(&f.root());
    let mut newer = state.graph.clone();
    // The format stands after eight bytes of magic.
    newer[8] += 1;
    for bytes in [newer, b"somebody else's".to_vec(), Vec::new()] {
        state.put("graph", &bytes);
        let built = run(&f.reopened(), &[], BuildOptions::default()).await;
        assert!(built.report.fault().is_none(), "{built:#?}");
        assert_eq!(warnings(&built), 1, "{built:#?}");
        assert_eq!(fs::read(state.folder.join("graph.bad")).unwrap(), bytes);
        let again = run(&f.reopened(), &[], BuildOptions::default()).await;
        assert_eq!((again.lines(), warnings(&again)), (Vec::new(), 0));
    }
}
