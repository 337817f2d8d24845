//! `kill -9` at two hundred moments of builds: the next build is right, and nothing partial is left.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use zako_tests::Workspace;

/// How many builds are killed.
const KILLS: usize = 200;

/// How many sources and how many tasks there are at most.
const SOURCES: usize = 10;
const TASKS: usize = 30;

/// How many events a whole build has at most: two for each action, and those around.
const EVENTS: usize = 2 * TASKS + 6;

/// How long an event may take before the case fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Numbers that look random and are the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

/// Each task reads a source, and from the eleventh on the task ten before.
fn script(tasks: usize) -> String {
    let mut text = "import { task } from \"zako:build\";\n".to_owned();
    for at in 0..tasks {
        let source = at % SOURCES;
        let more = match at.checked_sub(SOURCES) {
            Some(before) => format!(", t{before}"),
            None => String::new(),
        };
        let output = match at % 7 {
            0 => format!("folder{at}/"),
            _ => format!("sub/{at}"),
        };
        let command = match at % 7 {
            0 => "mkdir -p \"$out\"; find $in -type f | sort | xargs cat > \"$out/all\"",
            _ => "find $in -type f | sort | xargs cat > \"$out\"",
        };
        // A link to a source is no file of its own to find.
        let command = command.replace("find", "find -L");
        text.push_str(&format!(
            "export const t{at} = task({{ inputs: [\"s{source}\"{more}], outputs: [\"{output}\"], shell: '{command}' }});\n"
        ));
    }
    text
}

/// The files that a build leaves.
fn expected(sources: &[String], tasks: usize) -> BTreeMap<String, String> {
    let mut texts: Vec<String> = Vec::new();
    let mut files = BTreeMap::new();
    for at in 0..tasks {
        let mut text = sources[at % SOURCES].clone();
        if let Some(before) = at.checked_sub(SOURCES) {
            // By path, `s0` comes before `zako-out`.
            text.push_str(&texts[before]);
        }
        let path = match at % 7 {
            0 => format!("folder{at}/all"),
            _ => format!("sub/{at}"),
        };
        files.insert(path, text.clone());
        texts.push(text);
    }
    files
}

fn found(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let place = entry.unwrap().path();
            if place.is_dir() {
                pending.push(place);
                continue;
            }
            let path = place.strip_prefix(folder).unwrap();
            let text = fs::read_to_string(&place).unwrap();
            files.insert(path.display().to_string(), text);
        }
    }
    files
}

#[test]
fn the_build_after_a_killed_one_is_right() {
    let workspace = Workspace::empty();
    let mut random = Random(7);
    let mut sources = vec![String::new(); SOURCES];
    for kill in 0..KILLS {
        let tasks = TASKS - random.below(3);
        workspace.write("BUILD.ts", &script(tasks));
        let changes = if kill % 4 == 0 { SOURCES } else { 2 };
        for _ in 0..changes {
            let at = random.below(SOURCES);
            sources[at] = format!("{at} {}\n", random.below(50));
        }
        for (at, text) in sources.iter().enumerate() {
            workspace.write(&format!("s{at}"), text);
        }
        let wanted = match changes {
            SOURCES => random.below(EVENTS),
            _ => random.below(EVENTS / 2),
        };
        let (running, log) = workspace.start(&["build"]);
        let begun = Instant::now();
        let happened = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
        while happened() < wanted && !running.has_ended() {
            assert!(begun.elapsed() < DEADLINE, "{wanted} events never came");
            // Nothing tells when a file grows; how often it is looked at decides nothing.
            thread::yield_now();
        }
        running.kill();
        let after = workspace.zako("build").exits(0);
        assert_eq!(
            found(&workspace.path("zako-out")),
            expected(&sources, tasks),
            "after kill {kill} at {wanted} events\n{after}"
        );
        assert!(
            !after.stderr.contains("warning"),
            "kill {kill} left something damaged\n{after}"
        );
        if kill % 10 == 0 {
            let null = workspace.zako("build").exits(0);
            assert_eq!(null.evaluated(), Vec::<&str>::new(), "{null}");
            assert_eq!(null.actions("from-cache"), Vec::<&str>::new(), "{null}");
            null.ran_nothing();
        }
    }
    let scratch = workspace.path(".zako/exec");
    let left = fs::read_dir(scratch).unwrap().count();
    assert_eq!(left, 0, "the scratch folder of an action is left");
}
