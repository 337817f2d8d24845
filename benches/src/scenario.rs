//! The scenarios, measured engine by engine in turn, so that a slow minute of the machine is everyone's.
//!
//! **Invariant:** before a scenario each engine's project is built and what is written is on disk, so that no engine
//! pays for what another left in the disk's queue.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;

use crate::engine::{Engine, commands_after_edit, write_build_files};
use crate::failure::Failure;
use crate::process::Measured;
use crate::project::Project;
use crate::report::{Report, Row, Unit};

/// File times tick every 1 to 10 ms: a file that is changed within the tick of the last build would look unchanged to
/// engines that compare times.
const PAST_THE_TICK: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioKind {
    /// Nothing is there but the sources
    Full,
    /// Nothing changed; with the peak memory
    Null,
    /// Every header has a new time and its old content
    Touch,
    /// One source has other content; also without the time of the commands that have to run
    Edit,
    /// Every file is as it was two builds ago
    Branch,
}

impl ScenarioKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Full,
        Self::Null,
        Self::Touch,
        Self::Edit,
        Self::Branch,
    ];
}

/// How often to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    pub(crate) null: usize,
    pub(crate) other: usize,
}

/// Engines, each with a copy of the project.
pub(crate) struct Bench {
    project: Project,
    engines: Vec<(Engine, PathBuf)>,
    scratch: PathBuf,
    /// Which version the edited source is in; never one that was built before.
    version: usize,
}

impl Bench {
    pub(crate) fn prepare(
        project: Project,
        engines: Vec<Engine>,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let mut placed = Vec::new();
        for engine in engines {
            let name = engine.kind.name();
            let place = folder.join(name).join("project");
            project.create(&place)?;
            write_build_files(engine.kind, &project, &place)?;
            placed.push((engine, place));
        }
        let scratch = folder.join("scratch");
        std::fs::create_dir_all(&scratch).map_err(Failure::io("create", scratch.display()))?;
        Ok(Self {
            project,
            engines: placed,
            scratch,
            version: 1000,
        })
    }

    pub(crate) fn measure(
        &mut self,
        scenarios: &[ScenarioKind],
        runs: Runs,
    ) -> Result<Report, Failure> {
        let names = self
            .engines
            .iter()
            .map(|(engine, _)| (engine.kind.name(), engine.version.clone()));
        let mut report = Report::new(&self.project, names.collect());
        let wants = |kind| scenarios.contains(&kind);
        let full_runs = if wants(ScenarioKind::Full) {
            runs.other
        } else {
            1
        };
        let full = self.each(full_runs, |_, engine, place| {
            engine.forget(place)?;
            settle();
            engine.build().measure(place)
        })?;
        if wants(ScenarioKind::Full) {
            report.add(Row::wall("full build", full));
        }
        if wants(ScenarioKind::Null) {
            let null = self.each(runs.null, |_, engine, place| engine.build().measure(place))?;
            report.add(Row::peak("null build, peak", &null));
            report.add(Row::wall("null build", null));
        }
        if wants(ScenarioKind::Touch) {
            let touched = self.each(runs.other, |bench, engine, place| {
                thread::sleep(PAST_THE_TICK);
                bench.project.touch(place)?;
                settle();
                engine.build().measure(place)
            })?;
            report.add(Row::wall("touch all headers", touched));
        }
        if wants(ScenarioKind::Edit) {
            self.measure_edit(runs, &mut report)?;
        }
        if wants(ScenarioKind::Branch) {
            let back = self.each(runs.other, |bench, engine, place| {
                thread::sleep(PAST_THE_TICK);
                bench.project.write_sources(place, 1)?;
                engine.build().measure(place)?;
                thread::sleep(PAST_THE_TICK);
                bench.project.write_sources(place, 0)?;
                settle();
                engine.build().measure(place)
            })?;
            report.add(Row::wall("branch and back", back));
        }
        Ok(report)
    }

    fn measure_edit(&mut self, runs: Runs, report: &mut Report) -> Result<(), Failure> {
        // More often than the other changes: it is short.
        let times = runs.other * 3;
        let commands = commands_after_edit(&self.project, &self.scratch);
        let mut sums = Vec::new();
        let edited = self.each(times, |bench, engine, place| {
            thread::sleep(PAST_THE_TICK);
            bench.version += 1;
            bench.project.edit(place, bench.version)?;
            let build = engine.build().measure(place);
            // By turns with the builds, so that a slow minute is theirs too.
            let mut sum = Duration::ZERO;
            for command in &commands {
                sum += command.measure(place)?.wall();
            }
            sums.push(sum);
            build
        })?;
        sums.sort_unstable();
        let Some(&alone) = sums.get(sums.len() / 2) else {
            return Ok(());
        };
        let row = Row::wall("one edit", edited);
        let rest = row.less("one edit, less the commands", alone);
        report.note(format!(
            "The commands of one edit alone take {:.1} ms.",
            alone.as_secs_f64() * 1e3
        ));
        report.add(row);
        report.add(rest);
        Ok(())
    }

    /// `times` measurements of each engine, by turns.
    fn each(
        &mut self,
        times: usize,
        mut measure: impl FnMut(&mut Self, &Engine, &Path) -> Result<Measured, Failure>,
    ) -> Result<Vec<Vec<Measured>>, Failure> {
        settle();
        let engines = self.engines.clone();
        let mut all = vec![Vec::new(); engines.len()];
        for _ in 0..times {
            for (measured, (engine, place)) in all.iter_mut().zip(&engines) {
                measured.push(measure(self, engine, place)?);
            }
        }
        Ok(all)
    }
}

/// Waits until what was written is on disk.
fn settle() {
    nix::unistd::sync();
}

impl Row {
    fn wall(name: &'static str, measured: Vec<Vec<Measured>>) -> Self {
        let figures = measured
            .iter()
            .map(|all| all.iter().map(|m| m.wall().as_secs_f64() * 1e3).collect());
        Self::new(name, Unit::Milliseconds, figures.collect())
    }

    fn peak(name: &'static str, measured: &[Vec<Measured>]) -> Self {
        let figures = measured
            .iter()
            .map(|all| all.iter().map(|m| m.peak_kib as f64 / 1024.0).collect());
        Self::new(name, Unit::Mebibytes, figures.collect())
    }
}
