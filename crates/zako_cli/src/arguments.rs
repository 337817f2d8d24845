//! What may be written on the command line.
//!
//! Only the shape: no file is looked at here and nothing is done.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::quantity::{parse_bytes, parse_duration};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0    all is well
  1    something failed to build
  2    the input is wrong: options, zako.toml, a script
  3    the machine failed (disk, permission), or zako did
  130  interrupted
  `zako run` ends as its program does.";

const PATTERNS: &str = "Which targets: `//app:server`, `:name`, `//app:*`, `//app/...`, `//...`, `-//old/...` to leave \
some out. None: all below the current folder";

/// A build engine scripted in TypeScript.
#[derive(Debug, Parser)]
#[command(name = "zako", version, styles = STYLES, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads a command line, whose first word is the program's name.
    pub(crate) fn read(words: &[OsString]) -> Result<Arguments, clap::Error> {
        let narrow = narrowed(words).and_then(|command| {
            let matches = command.try_get_matches_from(words).ok()?;
            Arguments::from_arg_matches(&matches).ok()
        });
        match narrow {
            Some(arguments) => Ok(arguments),
            // What is wrong, or asks for help, is told by the whole.
            None => Arguments::try_parse_from(words),
        }
    }
}

/// The definition without any command but the first one that `words` name. The whole gives each command a copy of every option for
/// all, which takes as long as looking at a hundred files.
fn narrowed(words: &[OsString]) -> Option<clap::Command> {
    let all = Command::augment_subcommands(clap::Command::new("zako"));
    let mut named = words.iter().skip(1).filter_map(|word| word.to_str());
    let named = named.find_map(|word| all.find_subcommand(word))?.clone();
    let narrow = clap::Command::new("zako").subcommand_required(true);
    Some(Options::augment_args(narrow).subcommand(named))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a folder a workspace: a zako.toml and a first BUILD.ts
    Init {
        /// The folder; made when it does not exist
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Build targets
    Build {
        #[command(flatten)]
        patterns: Patterns,
        /// Only list the actions that would run, and why
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Say why actions of a target would run now, or ran in the last build
    Explain {
        /// Which target: `//app:server` or `:server`
        target: String,
    },
    /// Build targets, and again whenever something changes
    Watch {
        #[command(flatten)]
        patterns: Patterns,
    },
    /// Build targets and run their tests
    Test {
        #[command(flatten)]
        patterns: Patterns,
    },
    /// Build a target and run the program that it is
    ///
    /// The program runs in the folder that zako was started in, with zako's standard streams, and its exit code is
    /// zako's (128 and the signal's number when a signal ended it).
    Run {
        /// Which target: `//app:server` or `:server`
        target: String,
        /// What the program is given, after `--`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// List targets
    Targets {
        #[command(flatten)]
        patterns: Patterns,
        /// As a JSON array, with rule, place, outputs and tags
        #[arg(long)]
        json: bool,
    },
    /// Evaluate one TypeScript file by itself and print its exports as JSON
    Eval {
        /// The file; `-` for a script on standard input, which may import zako's modules only
        file: PathBuf,
    },
    /// Debug the scripts of a target: its package's evaluation and its rule's analysis
    ///
    /// Each waits until a debugger has connected (chrome://inspect, or VS Code's "attach") and stops before its first
    /// statement. Nothing is built, and no time limit counts.
    Inspect {
        /// Which target: `//app:server` or `:server`
        target: String,
        /// The port on 127.0.0.1 that debuggers connect to; 0 for any that is free
        #[arg(long, value_name = "PORT", default_value_t = 9229)]
        port: u16,
    },
    /// Write the types of zako's modules for editors, and a tsconfig.json
    Types,
    /// Write compile_commands.json: how sources of C and C++ are compiled, for clangd and other tools
    CompileCommands {
        #[command(flatten)]
        patterns: Patterns,
    },
    /// Check the types of all scripts of the workspace with the TypeScript compiler that is installed
    Check,
    /// Remove what zako wrote into the workspace: zako-out/ and .zako/
    Clean {
        /// Also remove the store that all your workspaces share
        #[arg(long)]
        cache: bool,
    },
    /// Look whether everything is there that zako needs
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// Which
        shell: Shell,
    },
}

/// All below the current folder: what no pattern means.
const ALL_BELOW: &str = "...";

/// Which targets.
#[derive(Debug, Args)]
pub(crate) struct Patterns {
    #[arg(value_name = "PATTERNS", help = PATTERNS)]
    named: Vec<String>,
    /// `-//old/...` looks like a short option called `/`, so that is what it is: other options keep their meaning
    /// wherever they stand, and a misspelt one stays an error.
    #[arg(short = '/', hide = true, value_name = "PATTERN")]
    left_out: Vec<String>,
}

impl Patterns {
    /// As they were written, those that leave out last. To leave out alone is to leave out of what no pattern means.
    pub(crate) fn all(&self) -> Vec<String> {
        let mut patterns = self.named.clone();
        if patterns.is_empty() && !self.left_out.is_empty() {
            patterns.push(ALL_BELOW.to_owned());
        }
        patterns.extend(self.left_out.iter().map(|rest| format!("-/{rest}")));
        patterns
    }
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for all commands")]
pub(crate) struct Options {
    /// Act as if started in DIR (a program that `zako run` runs is not moved there)
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// How many processors actions may use [default: all]
    #[arg(short, long, value_name = "N", global = true)]
    pub(crate) jobs: Option<NonZeroU32>,
    /// How much memory actions may use, as 2GiB or 512MiB [default: all]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, global = true)]
    pub(crate) memory: Option<u64>,
    /// Go on after a failure with what does not depend on it
    #[arg(short, long, global = true)]
    pub(crate) keep_going: bool,
    /// Set an option that scripts read, in place of its value in zako.toml; the last one counts
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = parse_setting, global = true)]
    pub(crate) define: Vec<(String, String)>,
    /// Set the options of the profile NAME, which is a table of zako.toml: [profile.NAME]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) profile: Option<String>,
    /// How far actions that do not say are kept apart from the machine
    #[arg(long, value_name = "LEVEL", value_enum, global = true)]
    pub(crate) isolation: Option<IsolationLevel>,
    /// Whether to colour what is printed
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto, global = true)]
    pub(crate) color: ColorChoice,
    /// Say more; twice for zako's own log
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub(crate) quiet: bool,
    /// After a build, list what each action that ran took: time, processor, memory, disk, and how it ended; the slowest first
    #[arg(long, global = true)]
    pub(crate) timings: bool,
    /// Write everything that happens in a build to FILE, one JSON object a line
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) event_log: Option<PathBuf>,
    /// Where results are kept, for all workspaces [default: the platform's cache folder, /zako]
    #[arg(
        long,
        value_name = "DIR",
        env = "ZAKO_CACHE_DIR",
        hide_env_values = true,
        global = true
    )]
    pub(crate) cache_dir: Option<PathBuf>,
    /// How long one script may run, as 90s [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, global = true)]
    pub(crate) script_timeout: Option<Duration>,
    /// How many scripts may run at once [default: one per processor]
    #[arg(long, value_name = "N", global = true)]
    pub(crate) script_threads: Option<NonZeroU32>,
    /// Analyse every target of a rule twice, with others and by itself, and fail where that differs
    #[arg(long, global = true)]
    pub(crate) check_determinism: bool,
    /// Leave zako.lock as it is: a fetch that is not pinned there is an error
    #[arg(long, global = true)]
    pub(crate) locked: bool,
    /// Fetch nothing from the network: what was fetched before is enough, or an error
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Write a CPU profile of the scripts that run to FILE, for Chrome's or VS Code's tools (name it *.cpuprofile)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) script_profile: Option<PathBuf>,
    /// How much memory one script may use, as 1GiB [default: 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, global = true)]
    pub(crate) script_heap: Option<u64>,
}

impl Options {
    /// How much to say.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, 2) => Verbosity::Debug,
            (false, _) => Verbosity::Trace,
        }
    }

    /// The options for scripts, by name.
    pub(crate) fn config(&self) -> BTreeMap<String, String> {
        self.define.iter().cloned().collect()
    }
}

/// How much to say, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What was done.
    Normal,
    /// Also what was not done, and why not.
    Verbose,
    /// Also zako's own log.
    Debug,
    /// Also what fills screens.
    Trace,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set; anywhere if CLICOLOR_FORCE is.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How far an action is kept apart, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationLevel {
    /// A process group of its own
    None,
    /// Also a cleared environment, own temporary folder and output tree
    Basic,
    /// Also nothing of the workspace but the declared inputs, behind walls (Linux): the default where the machine allows it
    Enhanced,
    /// Also no network unless declared, and no system calls that no build needs
    Maximum,
}

/// `KEY=VALUE`; the value may be empty and may hold more `=`.
fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err(format!(
            "`{text}` has no name before the `=`: write KEY=VALUE"
        )),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("`{text}` has no value: write {text}=VALUE")),
    }
}

#[cfg(test)]
mod tests;
