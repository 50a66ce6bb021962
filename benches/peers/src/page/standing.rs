//! Where loopwheel stands: each workload beside the best other executor.

use crate::peer::Kind;
use crate::results::{Row, Summary, Table};

/// A difference of less is none.
const LEVEL: f64 = 0.05;

pub(crate) struct Standing<'a> {
    pub(crate) table: &'a Table,
    pub(crate) ours: &'a Row,
    pub(crate) summary: &'a Summary,
    pub(crate) best: &'a Row,
    pub(crate) best_summary: &'a Summary,
}

/// All of them. Some workloads have two rows: those with sockets.
pub(crate) fn of_all(tables: &[Table]) -> Vec<Standing<'_>> {
    let mut standings = Vec::new();
    for table in tables {
        let Some((best, best_summary)) = table.best(Kind::Executor) else { continue };
        for ours in table.rows.iter().filter(|row| row.kind == Kind::Ours) {
            if let Ok(summary) = &ours.outcome {
                standings.push(Standing { table, ours, summary, best, best_summary });
            }
        }
    }
    standings
}

/// Those that are drawn and counted: of a workload in many sizes, those with 1,000 and with 100,000 tasks.
pub(crate) fn standings(tables: &[Table]) -> Vec<Standing<'_>> {
    const CURVES_ONLY: [&str; 3] = ["-100", "-10000", "-1000000"];
    let mut all = of_all(tables);
    all.retain(|standing| {
        let (name, grows) = (&standing.table.workload, super::growth::FAMILIES);
        let of_curve = grows.iter().any(|family| name.starts_with(family));
        !(of_curve && CURVES_ONLY.iter().any(|end| name.ends_with(end)))
    });
    all
}

impl Standing<'_> {
    /// The workload, with the row if that is not loopwheel alone.
    pub(crate) fn name(&self) -> String {
        match self.ours.executor.as_str() {
            "loopwheel" => self.table.workload.clone(),
            other => {
                format!("{}, {}", self.table.workload, other.trim_start_matches("loopwheel, "))
            }
        }
    }

    /// Ours to the best other executor.
    pub(crate) fn ratio(&self) -> f64 {
        self.summary.figure / self.best_summary.figure
    }

    /// The middle half of our rounds, to the same.
    pub(crate) fn middle_half(&self) -> (f64, f64) {
        let (from, to) = self.summary.middle_half();
        (from / self.best_summary.figure, to / self.best_summary.figure)
    }

    /// The bare work to the same.
    pub(crate) fn bare(&self) -> Option<f64> {
        Some(self.table.best_figure(Kind::Bare)? / self.best_summary.figure)
    }

    /// Within 5 %, or the middle halves of the rounds have something in common.
    pub(crate) fn is_level(&self) -> bool {
        self.summary.overlaps(self.best_summary) || (self.ratio() - 1.0).abs() < LEVEL
    }
}

/// Where it is first, level, and not first.
pub(crate) fn text(tables: &[Table]) -> String {
    let standings = standings(tables);
    let list = |heading: &str, is_of: &dyn Fn(&Standing) -> bool| {
        let of: Vec<_> = standings.iter().filter(|standing| is_of(standing)).collect();
        let one =
            |it: &&Standing| format!("`{}` ({:.2}, {})", it.name(), it.ratio(), it.best.executor);
        let names: Vec<_> = of.iter().map(one).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("- **{heading} in {} of {}**: {names}", of.len(), standings.len())
    };
    [
        list("First", &|it| !it.is_level() && it.ratio() < 1.0),
        list("Level with the first", &|it| it.is_level()),
        list("Not first", &|it| !it.is_level() && it.ratio() > 1.0),
    ]
    .join("\n")
}
