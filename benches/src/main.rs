//! Generates projects and measures zako, ninja and make building them, in one run. See `README.md`.
//!
//! Knows zako as a program only: it links no crate of it.

mod engine;
mod failure;
mod process;
mod project;
mod report;
mod scenario;
mod scripts;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::engine::{Engine, EngineKind};
use crate::failure::Failure;
use crate::project::{Project, ProjectKind};
use crate::report::Report;
use crate::scenario::{Bench, Runs, ScenarioKind};

#[derive(Parser)]
#[command(about = "Measures zako beside ninja and make")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a project into a folder: sources, and what each engine needs to build them
    Generate {
        #[command(flatten)]
        project: ProjectArguments,
        /// The folder; it must be empty or not there
        folder: PathBuf,
    },
    /// Generate a project for each engine, measure the scenarios, print a table
    Run(RunArguments),
    /// Measure what scripts cost: a start beside Deno's, loading many packages, analysing many targets
    Scripts(scripts::ScriptsArguments),
    /// Run one program and print what it used, as JSON (what `run` starts for each measurement)
    #[command(hide = true)]
    Measure {
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

#[derive(Args)]
struct ProjectArguments {
    /// What kind of project
    #[arg(value_enum)]
    kind: ProjectKind,
    /// How many translation units, or copies
    #[arg(long, default_value_t = 1000)]
    size: usize,
}

#[derive(Args)]
struct RunArguments {
    #[command(flatten)]
    project: ProjectArguments,
    /// The zako to measure
    #[arg(long, default_value = "target/release/zako")]
    zako: PathBuf,
    /// Engines to measure; one that is not installed is left out with a word
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [EngineKind::Zako, EngineKind::Ninja, EngineKind::Make])]
    engines: Vec<EngineKind>,
    /// Scenarios to measure (a full build always is run)
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = ScenarioKind::ALL)]
    scenarios: Vec<ScenarioKind>,
    /// Where the projects are written; a temporary folder, removed at the end, when not given
    #[arg(long)]
    folder: Option<PathBuf>,
    /// How many commands run at once [default: the number of processors]
    #[arg(long)]
    jobs: Option<usize>,
    /// zako's isolation; ninja and make have what zako calls `none`
    #[arg(long, default_value = "none")]
    isolation: String,
    /// Times that each scenario other than the null build is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Times that the null build is measured
    #[arg(long, default_value_t = 20)]
    null_runs: usize,
    /// Also write the figures to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Generate { project, folder } => generate(&project, &folder),
        Command::Run(arguments) => run(&arguments),
        Command::Scripts(arguments) => scripts::run(&arguments).map(|table| {
            let _ = write!(io::stdout(), "{table}");
        }),
        Command::Measure { command } => process::measure_and_print(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "zako_benches: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn generate(arguments: &ProjectArguments, folder: &std::path::Path) -> Result<(), Failure> {
    let project = Project::new(arguments.kind, arguments.size);
    project.create(folder)?;
    for kind in [EngineKind::Zako, EngineKind::Ninja, EngineKind::Make] {
        engine::write_build_files(kind, &project, folder)?;
    }
    Ok(())
}

fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let project = Project::new(arguments.project.kind, arguments.project.size);
    let jobs = arguments
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let temporary;
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => {
            temporary = tempfile::tempdir().map_err(Failure::io("create", "a temporary folder"))?;
            temporary.path().to_path_buf()
        }
    };
    let mut engines = Vec::new();
    for &kind in &arguments.engines {
        match Engine::find(kind, &arguments.zako, &arguments.isolation, jobs) {
            Ok(engine) => engines.push(engine),
            Err(reason) => {
                let _ = writeln!(io::stderr(), "without {}: {reason}", kind.name());
            }
        }
    }
    let runs = Runs {
        null: arguments.null_runs.max(1),
        other: arguments.runs.max(1),
    };
    let mut bench = Bench::prepare(project, engines, &folder)?;
    let report: Report = bench.measure(&arguments.scenarios, runs)?;
    let _ = write!(io::stdout(), "{}", report.table());
    if let Some(path) = &arguments.json {
        std::fs::write(path, report.json()).map_err(Failure::io("write", path.display()))?;
    }
    Ok(())
}
