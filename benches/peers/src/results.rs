//! What a run found out: what is printed, saved, compared and drawn.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measure::{Sample, median};
use crate::peer::{Kind, Peer};
use crate::workloads::{Runs, Unit, Workload};

/// A run, as `--json` saves it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) machine: Machine,
    pub(crate) tables: Vec<Table>,
}

/// One workload on all that take part.
#[derive(Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) workload: String,
    pub(crate) about: String,
    pub(crate) unit: Unit,
    pub(crate) rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) executor: String,
    pub(crate) kind: Kind,
    /// What one should know of the figure.
    pub(crate) remark: Option<String>,
    pub(crate) outcome: Result<Summary, Failure>,
}

/// What all rounds together say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The median of the rounds, or the best.
    pub(crate) figure: f64,
    pub(crate) beside: f64,
    /// The figure of each round, in order of size.
    pub(crate) rounds: Vec<f64>,
    pub(crate) tail: Option<Tail>,
}

/// The worst of all repetitions of all rounds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub(crate) repetitions: usize,
    pub(crate) p99: f64,
    pub(crate) worst: f64,
}

/// Why a row has no figures.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// The machine does not allow it, or it is known that this executor cannot.
    #[error("cannot run here: {0}")]
    Unable(String),
    /// A wrong result, a panic, a process that hangs.
    #[error("broken: {0}")]
    Broken(String),
}

impl Run {
    pub(crate) fn load(path: &Path) -> Result<Run> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| format!("{} is no saved run", path.display()))
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self)? + "\n";
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}

impl Table {
    /// Those with figures, the fastest first, and at the end those without.
    pub(crate) fn in_order(&self) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.order(b));
        rows
    }

    /// The best of a kind.
    pub(crate) fn best(&self, kind: Kind) -> Option<(&Row, &Summary)> {
        let of_kind = self.rows.iter().filter(|row| row.kind == kind);
        let with_figures = of_kind.filter_map(|row| Some((row, row.outcome.as_ref().ok()?)));
        with_figures.min_by(|a, b| a.1.figure.total_cmp(&b.1.figure))
    }

    pub(crate) fn best_figure(&self, kind: Kind) -> Option<f64> {
        Some(self.best(kind)?.1.figure)
    }
}

impl Row {
    /// `None` where the peer does not take part.
    pub(crate) fn new(
        peer: &Peer,
        workload: &Workload,
        samples: Result<Vec<Sample>, Failure>,
    ) -> Option<Row> {
        let known = peer.unable.iter().find(|(name, _)| *name == workload.name);
        let outcome = match (known, samples) {
            (Some((_, why)), _) => Err(Failure::Unable((*why).to_owned())),
            (None, Ok(samples)) => Ok(Summary::new(workload, &samples)?),
            (None, Err(failure)) => Err(failure),
        };
        let remark = peer.remark_on(workload).map(str::to_owned);
        Some(Row { executor: peer.name.to_owned(), kind: peer.kind, remark, outcome })
    }

    fn order(&self, other: &Row) -> Ordering {
        let figure = |row: &Row| row.outcome.as_ref().map_or(f64::MAX, |it| it.figure);
        figure(self).total_cmp(&figure(other))
    }
}

impl Summary {
    fn new(workload: &Workload, samples: &[Sample]) -> Option<Summary> {
        let best = samples.iter().min_by(|a, b| a.figure.total_cmp(&b.figure))?;
        let (figure, beside) = match workload.runs {
            Runs::PinnedBest => (best.figure, best.beside),
            Runs::Median | Runs::PinnedMedian | Runs::TwoCoresMedian => (
                median(samples.iter().map(|sample| sample.figure).collect()),
                median(samples.iter().map(|sample| sample.beside).collect()),
            ),
        };
        let mut rounds: Vec<_> = samples.iter().map(|sample| four_digits(sample.figure)).collect();
        rounds.sort_by(f64::total_cmp);
        let repetitions = samples.iter().flat_map(|sample| sample.repetitions.iter().copied());
        let (figure, beside) = (four_digits(figure), four_digits(beside));
        Some(Summary { figure, beside, rounds, tail: Tail::new(repetitions.collect()) })
    }

    /// Where the middle half of the rounds begins and ends.
    pub(crate) fn middle_half(&self) -> (f64, f64) {
        let quarter = self.rounds.len() / 4;
        (self.rounds[quarter], self.rounds[self.rounds.len() - 1 - quarter])
    }

    /// How far the middle half of the rounds lies apart, as a part of the figure. `None` if there was one round.
    pub(crate) fn spread(&self) -> Option<f64> {
        let (from, to) = self.middle_half();
        (self.rounds.len() > 1).then_some((to - from) / self.figure)
    }

    /// Whether the middle halves of the rounds have something in common: a difference may be noise.
    pub(crate) fn overlaps(&self, other: &Summary) -> bool {
        let ((from, to), (other_from, other_to)) = (self.middle_half(), other.middle_half());
        from <= other_to && other_from <= to
    }
}

impl Tail {
    fn new(mut repetitions: Vec<f64>) -> Option<Tail> {
        repetitions.sort_by(f64::total_cmp);
        let worst = four_digits(*repetitions.last()?);
        let p99 = four_digits(repetitions[(repetitions.len() * 99).div_ceil(100) - 1]);
        Some(Tail { repetitions: repetitions.len(), p99, worst })
    }
}

/// More digits than any measurement has, and fewer than fill a saved run.
fn four_digits(figure: f64) -> f64 {
    format!("{figure:.3e}").parse().expect("a number")
}

pub(crate) fn three_digits(figure: f64) -> String {
    match figure {
        ..10.0 => format!("{figure:.2}"),
        ..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// As a part of a hundred.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}
