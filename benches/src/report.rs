//! The figures, as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::project::{Project, ProjectKind};

/// The engine that the others are compared with, when it was measured.
const YARDSTICK: &str = "ninja";

/// What a row's figures count.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "MiB")]
    Mebibytes,
}

/// A scenario's figures: for each engine, one a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    name: &'static str,
    unit: Unit,
    figures: Vec<Vec<f64>>,
}

impl Row {
    pub(crate) fn new(name: &'static str, unit: Unit, figures: Vec<Vec<f64>>) -> Self {
        Self {
            name,
            unit,
            figures,
        }
    }

    /// The same row without a time that every engine has to spend.
    pub(crate) fn less(&self, name: &'static str, spent: Duration) -> Self {
        let spent = spent.as_secs_f64() * 1e3;
        let figures = self
            .figures
            .iter()
            .map(|all| all.iter().map(|figure| figure - spent).collect());
        Self::new(name, self.unit, figures.collect())
    }

    fn medians(&self) -> Vec<f64> {
        self.figures.iter().map(|all| median(all)).collect()
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    project: &'static str,
    size: usize,
    engines: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(project: &Project, engines: Vec<(&'static str, String)>) -> Self {
        Self {
            project: match project.kind {
                ProjectKind::C => "translation units",
                ProjectKind::Copies => "copies",
            },
            size: project.size,
            engines,
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Medians, with the least in brackets, and each engine's ratio to the yardstick.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{} {}\n", self.size, self.project);
        for (name, version) in &self.engines {
            let _ = writeln!(text, "  {name}: {version}");
        }
        let yardstick = self.engines.iter().position(|(name, _)| *name == YARDSTICK);
        let _ = write!(text, "{:<34}", "median (min)");
        for (name, _) in &self.engines {
            let _ = write!(text, "{name:>24}");
        }
        text.push('\n');
        for row in &self.rows {
            let unit = match row.unit {
                Unit::Milliseconds => "ms",
                Unit::Mebibytes => "MiB",
            };
            let _ = write!(text, "{:<34}", format!("{}, {unit}", row.name));
            let medians = row.medians();
            for (at, all) in row.figures.iter().enumerate() {
                let least = all.iter().copied().fold(f64::INFINITY, f64::min);
                let ratio = yardstick
                    .filter(|&yardstick| yardstick != at)
                    .map(|yardstick| format!(" {:.2}x", medians[at] / medians[yardstick]))
                    .unwrap_or_default();
                let cell = format!("{:.1} ({least:.1}){ratio}", medians[at]);
                let _ = write!(text, "{cell:>24}");
            }
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}
