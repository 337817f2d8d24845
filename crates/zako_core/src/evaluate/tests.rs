//! What a process does that finds what an earlier one kept: one edit at a time, and the expected list of what was done.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zako_cas::DigestFunction;
use zako_graph::archive::Id;
use zako_graph::{Data, Engine, EngineOptions};
use zako_path::NeutralPath;

use super::witness::Check;
use super::{Checker, Machine, Services, codecs, identity};
use crate::codec::Fingerprint;
use crate::codec::action::fingerprints;
use crate::event::BuildEvent;
use crate::global::GlobalState;
use crate::ledger::{Ledger, SharedLedger};
use crate::options::GlobalStateOptions;
use crate::select::select;
use crate::target::{KeptAnalyses, analyze};
use crate::workspace::Workspace;

/// A workspace, and what processes that worked in it kept.
struct Room {
    dir: tempfile::TempDir,
    config: BTreeMap<String, String>,
    /// Whether the next process may trust witnesses.
    trusting: bool,
}

/// What a process did.
#[derive(Debug)]
struct Ran {
    lines: Vec<String>,
    /// By output: what the actions are.
    actions: BTreeMap<String, Fingerprint>,
    /// Leaves whose witness held, and all that were kept.
    held: (usize, usize),
}

impl Room {
    fn new(files: &[(&str, &str)]) -> Room {
        let room = Room {
            dir: tempfile::tempdir().unwrap(),
            config: BTreeMap::new(),
            trusting: true,
        };
        room.write("zako.toml", "zako = \"0.1\"\n");
        for (path, text) in files {
            room.write(path, text);
        }
        room
    }

    fn place(&self, path: &str) -> PathBuf {
        self.dir.path().join("workspace").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let place = self.place(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.place(path)).unwrap();
        assert!(text.contains(from), "{text}");
        self.write(path, &text.replace(from, to));
    }

    /// One process: restores, selects and analyses everything, keeps.
    async fn process(&self) -> Ran {
        let global =
            GlobalState::new(GlobalStateOptions::new(self.dir.path().join("cache"))).unwrap();
        let workspace = Arc::new(Workspace::find(&self.place("")).unwrap());
        let (send, mut events) = mpsc::channel(1 << 12);
        let mut config = workspace.manifest().config.clone();
        config.extend(self.config.clone());
        let services = Arc::new(Services {
            workspace: workspace.clone(),
            interner: global.interner.clone(),
            engine: global.engine.clone(),
            transpiler: global.transpiler.clone(),
            builtins: global.builtins.clone(),
            functions: global.functions.clone(),
            config,
            machine: Machine::default(),
            shelf: Arc::new(global.shelf(crate::fetch::FetchRules::default())),
            settings: BTreeMap::new(),
            readers: Arc::default(),
            profile: None,
            cancel: CancellationToken::new(),
            events: Some(send),
        });
        let state = self.dir.path().join("state");
        fs::create_dir_all(&state).unwrap();
        let producer = identity(&global.builtins, &global.functions);
        let (ledger, notice) = Ledger::open(&state, DigestFunction::Blake3, &producer).unwrap();
        assert_eq!(notice, None);
        let archive = ledger.archive();

        let mut checker = Checker::new(workspace.root(), services.given(), workspace.manifest());
        let leaves: Vec<Id> = archive
            .ids()
            .filter(|id| archive.kind(*id).is_leaf())
            .collect();
        let mut held: Vec<Id> = leaves.clone();
        held.retain(|id| {
            let (kind, key) = (archive.kind(*id), archive.key(*id));
            checker.still_holds(kind, key, archive.witness(*id)) == Check::Same
        });
        let counts = (held.len(), leaves.len());
        let engine = Engine::new(
            tokio::runtime::Handle::current(),
            EngineOptions {
                codecs: codecs(),
                ..EngineOptions::default()
            },
        );
        let data = Data::new().with(services.clone());
        engine.restore(archive, &data).unwrap();
        let ledger = SharedLedger::new(ledger);
        let trusting = self.trusting;
        let request = engine.begin_confirmed(data, move |leaf| {
            trusting && leaf.id().is_some_and(|id| held.binary_search(&id).is_ok())
        });
        let selection = select(&request, &services, &[], &NeutralPath::root()).await;
        let memo = KeptAnalyses(ledger.clone());
        let analysis = analyze(&request, &services, &selection, &memo).await;
        let revision = request.revision().get();
        {
            let mut ledger = ledger.lock();
            engine.keep(ledger.archive_mut(), &request);
            ledger.reach(u32::try_from(revision).unwrap());
            ledger.flush().unwrap();
        }
        engine.idle().await;

        let mut lines: Vec<String> = Vec::new();
        while let Ok(event) = events.try_recv() {
            if let BuildEvent::PackageEvaluated { package, .. } = event {
                lines.push(format!("evaluated //{package}"));
            }
        }
        let mut asked = analysis.asked.clone();
        asked.sort();
        lines.extend(asked.iter().map(|label| format!("analysed {label}")));
        let faults = selection.faults.iter().chain(&analysis.faults);
        lines.extend(faults.map(|fault| format!("error {fault}")));
        lines.sort();
        let transpiled = global.transpiler.metrics().submitted;
        if transpiled > 0 {
            lines.push(format!("transpiled {transpiled}"));
        }
        let actions = analysis
            .results
            .values()
            .flat_map(|result| &result.actions)
            .filter_map(|action| {
                let output = action.outputs().first()?;
                Some((output.path.to_string(), fingerprints(&action.action).whole))
            })
            .collect();
        Ran {
            lines,
            actions,
            held: counts,
        }
    }

    /// Runs a process, and checks what it did; and that it came to the same as one that knows nothing.
    #[track_caller]
    fn check(&self, expected: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        async move {
            let ran = self.process().await;
            assert_eq!(ran.lines, expected, "at {caller}");
            let fresh = self.clean().process().await;
            assert_eq!(ran.actions, fresh.actions, "at {caller}");
        }
    }

    /// The same workspace, without memory.
    fn clean(&self) -> Room {
        let room = Room::new(&[]);
        copy(&self.place(""), &room.place(""));
        Room {
            config: self.config.clone(),
            ..room
        }
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

const RULE: &str = r#"import { attr, provider, rule, type } from "zako:rule";
import { suffix } from "./suffix.ts";
export const Words = provider("Words", type<{ words: readonly string[] }>());
export const text = rule({
  attrs: { word: attr.string(), quiet: attr.string().default(""), deps: attr.list(attr.target(Words)).default([]) },
  provides: { info: Words },
  analyze(ctx) {
    const words = [...ctx.attrs.deps.flatMap((d) => d.get(Words).words), ctx.attrs.word];
    const out = ctx.file(`${ctx.name}${suffix}`);
    ctx.write(out, words.join(" ") + ctx.attrs.quiet);
    ctx.expose("default", out);
    return { info: { words } };
  },
});
"#;

/// `c` depends on `b`, that on `a`; and a task that globs.
fn chain() -> Room {
    let using = |rest: &str| format!("import {{ text }} from \"//rules/text.rule.ts\";\n{rest}");
    Room::new(&[
        ("rules/text.rule.ts", RULE),
        ("rules/suffix.ts", "export const suffix = \".txt\";\n"),
        (
            "a/BUILD.ts",
            &using("export const a = text({ word: \"a\" });\n"),
        ),
        (
            "b/BUILD.ts",
            &using(
                "import { a } from \"//a/BUILD.ts\";\nexport const b = text({ word: \"b\", deps: [a] });\n",
            ),
        ),
        (
            "c/BUILD.ts",
            &using(
                "import { b } from \"//b/BUILD.ts\";\nexport const c = text({ word: \"c\", deps: [b] });\n",
            ),
        ),
        (
            "g/BUILD.ts",
            "import { config, glob, task } from \"zako:build\";\nexport const all = task({ inputs: glob(\"**/*.txt\"), outputs: [\"all\"], env: { M: config.get(\"mode\", \"\") }, shell: 'cat $in > \"$out\"' });\n",
        ),
        ("g/x/1.txt", "1"),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_does_what_changed() {
    let room = chain();
    room.check(&[
        "analysed //a:a",
        "analysed //b:b",
        "analysed //c:c",
        "evaluated //a",
        "evaluated //b",
        "evaluated //c",
        "evaluated //g",
        "transpiled 6",
    ])
    .await;
    room.check(&[]).await;
    // Nothing moves: nothing but the file is read again.
    room.edit("a/BUILD.ts", "});\n", "}); // hello\n");
    room.check(&["transpiled 1"]).await;
    // Places move, which concerns nobody else.
    room.edit("a/BUILD.ts", "export", "// hello\nexport");
    room.check(&["evaluated //a", "transpiled 1"]).await;
    // An attribute that dependents do not see.
    room.edit("a/BUILD.ts", "\"a\" }", "\"a\", quiet: \"!\" }");
    room.check(&["analysed //a:a", "evaluated //a", "transpiled 1"])
        .await;
    // One that they do.
    room.edit("b/BUILD.ts", "word: \"b\"", "word: \"bb\"");
    room.check(&[
        "analysed //b:b",
        "analysed //c:c",
        "evaluated //b",
        "transpiled 1",
    ])
    .await;
    room.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_concerns_who_imports_it() {
    let room = chain();
    room.process().await;
    room.edit("rules/suffix.ts", ".txt", ".text");
    room.check(&[
        "analysed //a:a",
        "analysed //b:b",
        "analysed //c:c",
        "evaluated //a",
        "evaluated //b",
        "evaluated //c",
        "transpiled 1",
    ])
    .await;
    // Its comments do not.
    room.edit("rules/suffix.ts", ";\n", "; // hello\n");
    room.check(&["transpiled 1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_packages_come_and_go() {
    let room = chain();
    room.process().await;
    room.write("g/y/2.txt", "2");
    room.check(&["evaluated //g"]).await;
    room.write("g/y/2.md", "no match");
    room.check(&[]).await;
    // A folder that becomes a package takes its files with it.
    room.write("g/y/BUILD.ts", "export const n = 1;\n");
    room.check(&["evaluated //g", "evaluated //g/y", "transpiled 1"])
        .await;
    fs::remove_dir_all(room.place("g/y")).unwrap();
    fs::remove_dir_all(room.place("c")).unwrap();
    room.check(&[]).await;
    fs::remove_file(room.place("a/BUILD.ts")).unwrap();
    let ran = room.process().await;
    assert!(
        ran.lines.iter().any(|line| line.contains("a/BUILD.ts")),
        "{:?}",
        ran.lines
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn options_and_ignored_folders_are_leaves() {
    let mut room = chain();
    room.process().await;
    room.config.insert("mode".to_owned(), "fast".to_owned());
    room.check(&["evaluated //g"]).await;
    room.config.insert("other".to_owned(), "x".to_owned());
    room.check(&[]).await;
    room.write("zako.toml", "zako = \"0.1\"\nignore = [\"g/x\"]\n");
    let ran = room.process().await;
    assert!(
        ran.lines.iter().any(|line| line.contains("glob")),
        "{:?}",
        ran.lines
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_save_work_and_change_nothing() {
    let mut room = chain();
    let first = room.process().await;
    assert_eq!(first.held, (0, 0));
    let second = room.process().await;
    let (held, all) = second.held;
    assert!(0 < held && held <= all, "{held} of {all}");
    assert_eq!(second.lines, [""; 0]);
    assert_eq!(second.actions, first.actions);
    room.trusting = false;
    let third = room.process().await;
    assert_eq!((third.lines, third.actions), (second.lines, first.actions));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_keys_is_part_of_a_value() {
    let room = Room::new(&[
        ("a/BUILD.ts", "export const o = { x: 1, y: 2 };\n"),
        (
            "b/BUILD.ts",
            "import { o } from \"//a/BUILD.ts\";\nimport { task } from \"zako:build\";\nexport const t = task({ outputs: [\"k\"], env: { K: Object.keys(o).join() }, shell: 'echo $K > \"$out\"' });\n",
        ),
    ]);
    room.process().await;
    room.edit("a/BUILD.ts", "x: 1, y: 2", "y: 2, x: 1");
    room.check(&["evaluated //a", "evaluated //b", "transpiled 1"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_was_missing_is_a_leaf() {
    let room = Room::new(&[(
        "BUILD.ts",
        "import { readText, task } from \"zako:build\";\nlet word = \"none\";\ntry { word = readText(\"word.txt\"); } catch {}\nexport const t = task({ outputs: [\"k\"], env: { W: word }, shell: 'echo $W > \"$out\"' });\n",
    )]);
    room.check(&["evaluated //", "transpiled 1"]).await;
    room.check(&[]).await;
    room.write("word.txt", "one");
    room.check(&["evaluated //"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_node_is_a_contract() {
    let mut room = Room::new(&[
        (
            "p/BUILD.ts",
            "import { config, glob, readText, task } from \"zako:build\";\nimport { n } from \"//q/BUILD.ts\";\nconfig.get(\"mode\", \"\");\nreadText(\"x.txt\");\nexport const t = task({ inputs: glob([\"*.txt\"], { exclude: [\"y.*\"] }), outputs: [`k${n}`], shell: 'cat $in > \"$out\"' });\n",
        ),
        ("p/x.txt", ""),
        ("q/BUILD.ts", "export const n = 1;\n"),
    ]);
    room.trusting = false;
    room.process().await;
    let global = GlobalState::new(GlobalStateOptions::new(room.dir.path().join("cache"))).unwrap();
    let producer = identity(&global.builtins, &global.functions);
    let state = room.dir.path().join("state");
    let (ledger, _) = Ledger::open(&state, DigestFunction::Blake3, &producer).unwrap();
    let archive = ledger.archive();
    let mut names: Vec<String> = archive
        .ids()
        .map(|id| {
            let kind = archive.kind(id);
            let what = if kind.is_leaf() { "leaf" } else { "node" };
            let kept = if archive.value(id).is_empty() {
                ""
            } else {
                " (value)"
            };
            format!(
                "{what} {} {}{kept}",
                kind.number(),
                archive.key(id).escape_ascii()
            )
        })
        .collect();
    names.sort();
    let expected = [
        "leaf 1 p/BUILD.ts",
        "leaf 1 p/x.txt",
        "leaf 1 q/BUILD.ts",
        "leaf 2 ",
        "leaf 2 p",
        "leaf 2 q",
        "leaf 3 q/BUILD.ts (value)",
        "leaf 4 mode",
        "leaf 6 ",
        "node 1  (value)",
        "node 1 p (value)",
        "node 1 q (value)",
        "node 14 \\x01\\x00\\x00\\x00p\\x01\\x00\\x00\\x00\\x04\\x00\\x00\\x00mode\\x00 (value)",
        "node 2 \\x01\\x00\\x00\\x00p\\x01\\x00\\x00\\x00\\x05\\x00\\x00\\x00*.txt\\x01\\x00\\x00\\x00\\x03\\x00\\x00\\x00y.*",
        "node 3 p/BUILD.ts (value)",
        "node 3 q/BUILD.ts (value)",
        "node 4 p (value)",
        "node 4 q (value)",
        "node 5 q",
    ];
    assert_eq!(names, expected, "raise CODEC_VERSION with any change");
}
