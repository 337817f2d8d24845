//! A workspace as the test knows it: its files, and what a build of them comes to.

use std::collections::{BTreeMap, BTreeSet};

/// The packages that there may be; each imports from those before it only.
pub(super) const PACKAGES: [&str; 4] = ["a", "b", "b/deep", "c"];

/// A file: its text, and whether it is executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) text: String,
    pub(super) executable: bool,
}

impl File {
    pub(super) fn of(text: impl Into<String>) -> File {
        File {
            text: text.into(),
            executable: false,
        }
    }
}

/// Files by their paths.
pub(super) type Files = BTreeMap<String, File>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    Source(String),
    /// Every source below `src/`.
    Glob,
    Made {
        package: usize,
        task: String,
    },
}

/// A task that puts its inputs, a word and maybe an option one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) inputs: Vec<Input>,
    pub(super) word: String,
    /// What it writes, below the package: a folder when `folder`.
    pub(super) output: String,
    pub(super) folder: bool,
    /// Its output is executable; of no meaning for a folder.
    pub(super) executable: bool,
    /// It writes the option `mode` too.
    pub(super) mode: bool,
    /// It ends badly.
    pub(super) fails: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Package {
    /// By their paths below the package.
    pub(super) sources: Files,
    pub(super) tasks: BTreeMap<String, Task>,
    /// A comment in the `BUILD.ts`.
    pub(super) remark: u64,
}

/// A workspace; a package that is not there is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) packages: [Option<Package>; PACKAGES.len()],
}

/// What an action comes to.
pub(super) struct Made {
    /// All that its result may depend on.
    pub(super) key: String,
    /// Its files, by their paths in the workspace.
    pub(super) files: Files,
    /// Where its output is.
    pub(super) path: String,
    /// What it needs, by label.
    pub(super) needs: Vec<String>,
}

pub(super) fn label(package: usize, task: &str) -> String {
    format!("//{}:{task}", PACKAGES[package])
}

impl Model {
    /// The files of the workspace.
    pub(super) fn files(&self) -> Files {
        let mut files = Files::new();
        for (at, package) in self.packages.iter().enumerate() {
            let Some(package) = package else { continue };
            let folder = PACKAGES[at];
            for (path, file) in &package.sources {
                files.insert(format!("{folder}/{path}"), file.clone());
            }
            files.insert(format!("{folder}/BUILD.ts"), File::of(self.script(at)));
        }
        files
    }

    /// Takes away what can't be: inputs that are gone or come later, globs that match nothing.
    pub(super) fn repair(&mut self) {
        let there: Vec<BTreeSet<String>> = self
            .packages
            .iter()
            .map(|package| {
                let tasks = package.iter().flat_map(|package| package.tasks.keys());
                tasks.cloned().collect()
            })
            .collect();
        for (at, package) in self.packages.iter_mut().enumerate() {
            let Some(package) = package else { continue };
            let globbed = package.sources.keys().any(|path| path.starts_with("src/"));
            for (name, task) in &mut package.tasks {
                let globs = task.inputs.contains(&Input::Glob);
                let mut seen: Vec<Input> = Vec::new();
                task.inputs.retain(|input| {
                    let stays = match input {
                        Input::Source(path) => {
                            package.sources.contains_key(path)
                                && !(globs && path.starts_with("src/"))
                        }
                        Input::Glob => globbed,
                        Input::Made {
                            package: of,
                            task: made,
                        } => there[*of].contains(made) && (*of < at || (*of == at && made < name)),
                    };
                    let stays = stays && !seen.contains(input);
                    seen.push(input.clone());
                    stays
                });
            }
        }
    }

    /// The `BUILD.ts` of a package.
    fn script(&self, at: usize) -> String {
        let package = self.packages[at].as_ref().unwrap();
        let mut text = format!(
            "// Remark {}.\nimport {{ config, glob, task }} from \"zako:build\";\n",
            package.remark
        );
        let alias = |of: usize, task: &str| format!("{}_{task}", PACKAGES[of].replace('/', "_"));
        let mut imports = BTreeSet::new();
        for task in package.tasks.values() {
            for input in &task.inputs {
                if let Input::Made { package: of, task } = input
                    && *of != at
                {
                    imports.insert(format!(
                        "import {{ {task} as {} }} from \"//{}/BUILD.ts\";\n",
                        alias(*of, task),
                        PACKAGES[*of]
                    ));
                }
            }
        }
        text.extend(imports);
        for (name, task) in &package.tasks {
            let inputs: Vec<String> = task
                .inputs
                .iter()
                .map(|input| match input {
                    Input::Source(path) => format!("\"{path}\""),
                    Input::Glob => "...glob(\"src/**/*.txt\")".to_owned(),
                    Input::Made { package: of, task } if *of == at => format!("{task}.out.o"),
                    Input::Made { package: of, task } => format!("{}.out.o", alias(*of, task)),
                })
                .collect();
            let slash = if task.folder { "/" } else { "" };
            let env = match task.mode {
                true => " env: { MODE: config.get(\"mode\", \"none\") },",
                false => "",
            };
            text.push_str(&format!(
                "export const {name} = task({{ inputs: [{}], outputs: {{ o: \"{}{slash}\" }},{env} shell: '{}' }});\n",
                inputs.join(", "),
                task.output,
                task.command(),
            ));
        }
        text
    }

    /// What each action comes to when `mode` is the option, by label.
    pub(super) fn made(&self, mode: Option<&str>) -> BTreeMap<String, Made> {
        let mut all: BTreeMap<String, Made> = BTreeMap::new();
        for (at, package) in self.packages.iter().enumerate() {
            let Some(package) = package else { continue };
            let folder = PACKAGES[at];
            for (name, task) in &package.tasks {
                let mut read: Vec<(String, File)> = Vec::new();
                let mut needs = Vec::new();
                for input in &task.inputs {
                    match input {
                        Input::Source(path) => {
                            let file = package.sources[path].clone();
                            read.push((format!("{folder}/{path}"), file));
                        }
                        Input::Glob => {
                            let matched = package
                                .sources
                                .iter()
                                .filter(|(path, _)| path.starts_with("src/"));
                            read.extend(
                                matched
                                    .map(|(path, file)| (format!("{folder}/{path}"), file.clone())),
                            );
                        }
                        Input::Made { package: of, task } => {
                            let label = label(*of, task);
                            let made = &all[&label];
                            read.extend(made.files.clone());
                            needs.push(label);
                        }
                    }
                }
                let mode = task.mode.then(|| mode.unwrap_or("none"));
                let path = format!("zako-out/{folder}/{}", task.output);
                let key = format!("{} {mode:?} {path} {read:?}", task.command());
                let mut text = String::new();
                for (path, file) in &read {
                    text.push_str(&file.text);
                    let in_folder = path.ends_with("/all") || path.ends_with("/word");
                    if file.executable && !in_folder {
                        text.push_str("x\n");
                    }
                }
                text.push_str(&format!("{} {}\n", task.word, mode.unwrap_or_default()));
                let files = match task.folder {
                    false => Files::from([(
                        path.clone(),
                        File {
                            text,
                            executable: task.executable,
                        },
                    )]),
                    true => Files::from([
                        (format!("{path}/all"), File::of(text)),
                        (format!("{path}/word"), File::of(format!("{}\n", task.word))),
                    ]),
                };
                let made = Made {
                    key,
                    files,
                    path,
                    needs,
                };
                all.insert(label(at, name), made);
            }
        }
        all
    }
}

impl Task {
    fn command(&self) -> String {
        let fail = if self.fails { "exit 3; " } else { "" };
        let (word, executable) = (&self.word, self.executable && !self.folder);
        let all = format!(
            "for f in $in; do if [ -d \"$f\" ]; then cat \"$f\"/*; else cat \"$f\"; if [ -x \"$f\" ]; then echo x; fi; fi; done; echo \"{word} ${{MODE:-}}\""
        );
        match self.folder {
            true => format!(
                "{fail}mkdir -p \"$out_o\"; {{ {all}; }} > \"$out_o/all\"; echo {word} > \"$out_o/word\""
            ),
            false => format!(
                "{fail}{{ {all}; }} > \"$out_o\"{}",
                if executable {
                    "; chmod +x \"$out_o\""
                } else {
                    ""
                }
            ),
        }
    }
}
