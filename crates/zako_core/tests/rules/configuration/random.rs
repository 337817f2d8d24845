//! Configurations at random: options, what decides by them, files and the invocation change, and each build comes to what a model
//! says. What was built before is there when the same is asked for again.

use std::collections::BTreeMap;

use zako_core::{BuildOptions, Glance};

use crate::chance::Random;
use crate::fixture::{Fixture, run};

/// How many steps each seed takes.
const STEPS: usize = 60;
const SEEDS: [u64; 2] = [1, 2];

const MODES: [&str; 3] = ["debug", "fast", "small"];
const TASKS: usize = 4;
const SOURCES: usize = 3;

const OPTIONS: &str = "import { flag, option } from \"zako:config\";\nexport const mode = option({ values: [\"debug\", \"fast\", \"small\"], default: \"debug\" });\nexport const lto = flag();\n";

/// What a configuration decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    mode: usize,
    lto: bool,
}

/// What somebody says of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Said {
    mode: Option<usize>,
    lto: Option<bool>,
}

impl Said {
    fn at_random(random: &mut Random) -> Said {
        Said {
            mode: random.one_in(2).then(|| random.below(MODES.len())),
            lto: random.one_in(3).then(|| random.one_in(2)),
        }
    }

    fn over(self, below: Choice) -> Choice {
        Choice {
            mode: self.mode.unwrap_or(below.mode),
            lto: self.lto.unwrap_or(below.lto),
        }
    }

    fn pairs(self) -> Vec<(String, String)> {
        let mode = self.mode.map(|mode| ("mode", MODES[mode].to_owned()));
        let lto = self.lto.map(|lto| ("lto", lto.to_string()));
        let all = mode.into_iter().chain(lto);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn toml(self, table: &str) -> String {
        let lines = self.pairs().into_iter();
        let lines: String = lines
            .map(|(name, value)| format!("{name} = \"{value}\"\n"))
            .collect();
        format!("[{table}]\n{lines}")
    }
}

/// A task that puts files and what earlier tasks make one after the other.
#[derive(Debug, Clone)]
struct Task {
    /// A source for each mode.
    sources: [usize; MODES.len()],
    /// It writes whether `lto` is set.
    tells: bool,
    /// Earlier tasks, and what is set for them.
    needs: Vec<(usize, Said)>,
}

impl Task {
    fn at_random(random: &mut Random, at: usize) -> Task {
        let needs = match at {
            0 => 0,
            _ => random.below(3),
        };
        Task {
            sources: [(); MODES.len()].map(|()| random.below(SOURCES)),
            tells: random.one_in(2),
            needs: (0..needs)
                .map(|_| (random.below(at), Said::at_random(random)))
                .collect(),
        }
    }

    fn script(&self, at: usize) -> String {
        let cases = MODES.iter().zip(self.sources);
        let cases: Vec<String> = cases
            .map(|(mode, source)| format!("{mode}: [\"s{source}\"]"))
            .collect();
        let needs = self.needs.iter().map(|(task, set)| {
            let mode = set
                .mode
                .map(|mode| format!(", mode.is(\"{}\")", MODES[mode]));
            let lto = set.lto.map(|lto| format!(", lto.is({lto})"));
            let set = [mode, lto].map(Option::unwrap_or_default).concat();
            match set.is_empty() {
                true => format!("t{task}"),
                false => format!("configured(t{task}{set})"),
            }
        });
        let inputs: Vec<String> =
            std::iter::once(format!("select(mode, {{ {} }})", cases.join(", ")))
                .chain(needs)
                .collect();
        let word = match self.tells {
            true => "select(lto, { true: \"lto\", false: \"plain\" })",
            false => "\"-\"",
        };
        format!(
            "export const t{at} = task({{ inputs: [{}], env: {{ WORD: {word} }}, outputs: [\"o{at}\"], shell: 'cat $in > \"$out\"; echo $WORD >> \"$out\"' }});\n",
            inputs.join(", ")
        )
    }
}

struct Model {
    tasks: Vec<Task>,
    sources: [u64; SOURCES],
    base: Said,
    profile: Said,
}

impl Model {
    fn text(&self, task: usize, choice: Choice) -> String {
        let Task {
            sources,
            tells,
            needs,
        } = &self.tasks[task];
        let mut text = format!("{}\n", self.sources[sources[choice.mode]]);
        // An input that is there twice is read once.
        let mut seen: Vec<(usize, Choice)> = Vec::new();
        for (need, set) in needs {
            let below = (*need, set.over(choice));
            if !seen.contains(&below) {
                text += &self.text(below.0, below.1);
                seen.push(below);
            }
        }
        text + match (tells, choice.lto) {
            (false, _) => "-\n",
            (true, true) => "lto\n",
            (true, false) => "plain\n",
        }
    }

    fn write(&self, f: &Fixture) {
        for (at, number) in self.sources.iter().enumerate() {
            f.write(&format!("s{at}"), &format!("{number}\n"));
        }
        let tasks = self.tasks.iter().enumerate();
        let tasks: String = tasks.map(|(at, task)| task.script(at)).collect();
        f.write(
            "BUILD.ts",
            &format!(
                "import {{ task }} from \"zako:build\";\nimport {{ configured, select }} from \"zako:config\";\nimport {{ lto, mode }} from \"//options.config.ts\";\nvoid configured;\n{tasks}"
            ),
        );
        let (base, profile) = (
            self.base.toml("config"),
            self.profile.toml("profile.release"),
        );
        f.write("zako.toml", &format!("zako = \"0.1\"\n{base}{profile}"));
    }
}

/// What a build is asked for, and the choice that it comes to.
fn invocation(model: &Model, random: &mut Random) -> (BuildOptions, Choice) {
    let default = Choice {
        mode: 0,
        lto: false,
    };
    let mut choice = model.base.over(default);
    let mut options = BuildOptions::default();
    if random.one_in(2) {
        options.profile = Some("release".to_owned());
        choice = model.profile.over(choice);
    }
    if random.one_in(3) {
        let said = Said::at_random(random);
        options.config = said.pairs().into_iter().collect();
        choice = said.over(choice);
    }
    (options, choice)
}

async fn walk(seed: u64) {
    let mut random = Random::new(seed);
    let mut model = Model {
        tasks: (0..TASKS)
            .map(|at| Task::at_random(&mut random, at))
            .collect(),
        sources: [0; SOURCES],
        base: Said::default(),
        profile: Said::at_random(&mut random),
    };
    let f = Fixture::new(&[("options.config.ts", OPTIONS)]);
    // Invocations since the last change, which are all up to date.
    let mut session = f.reopened();
    let mut manifest = None;
    let mut known: BTreeMap<String, BuildOptions> = BTreeMap::new();
    for step in 0..STEPS {
        if step == 0 || random.one_in(2) {
            match random.below(5) {
                0 => model.base = Said::at_random(&mut random),
                1 => model.profile = Said::at_random(&mut random),
                2 => {
                    let at = random.below(TASKS);
                    model.tasks[at] = Task::at_random(&mut random, at);
                }
                _ => model.sources[random.below(SOURCES)] = random.next() % 4,
            }
            model.write(&f);
            known.clear();
        }
        let (options, choice) = invocation(&model, &mut random);
        let story = || format!("seed {seed}, step {step}: {options:?} is {choice:?}");
        // The manifest is read once a session.
        let said = Some((model.base, model.profile));
        if said != manifest || random.one_in(3) {
            session = f.reopened();
            manifest = said;
        }
        let built = run(&session, &[], options.clone()).await;
        assert!(built.errors().is_empty(), "{}: {built:#?}", story());
        assert_eq!(built.report.targets.len(), TASKS, "{}", story());
        for target in &built.report.targets {
            let plain = target.label.split(" @").next().unwrap();
            let task: usize = plain.strip_prefix("//:t").unwrap().parse().unwrap();
            let made = f.read(target.files[0].as_str());
            assert_eq!(made, model.text(task, choice), "{}: {target:?}", story());
        }
        known.insert(format!("{options:?}"), options.clone());
        for options in known.values() {
            let glance = Glance::new(&f.root(), &[], |_| Ok(options.clone()));
            let is_up_to_date = glance.unwrap().up_to_date().is_some();
            assert!(is_up_to_date, "{}: {options:?} is not there", story());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_at_random_come_to_what_they_should() {
    for seed in SEEDS {
        walk(seed).await;
    }
}
