//! How the cost of an operation grows with the number of tasks.

use crate::peer::Kind;
use crate::results::{Table, three_digits};

/// The workloads that come in sizes from 100 to a million.
pub(crate) const FAMILIES: [&str; 2] = ["yield", "storm"];

pub(crate) struct Growth<'a> {
    pub(crate) executor: &'a str,
    pub(crate) kind: Kind,
    /// The same in each family: its colour.
    pub(crate) number: usize,
    /// Tasks, and what one operation costs.
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) fn growths<'a>(tables: &'a [Table], family: &str) -> Vec<Growth<'a>> {
    let mut growths: Vec<Growth> = Vec::new();
    for table in tables {
        let Some((of, size)) = table.workload.split_once('-') else { continue };
        let tasks = size.parse().unwrap_or(1.0);
        if of != family || tasks < 100.0 {
            continue;
        }
        for (number, row) in table.rows.iter().enumerate() {
            let Ok(summary) = &row.outcome else { continue };
            let point = (tasks, summary.figure);
            match growths.iter_mut().find(|growth| growth.executor == row.executor) {
                Some(growth) => growth.points.push(point),
                None => growths.push(Growth {
                    executor: &row.executor,
                    kind: row.kind,
                    number,
                    points: vec![point],
                }),
            }
        }
    }
    growths
}

impl Growth<'_> {
    pub(crate) fn is_curve(&self) -> bool {
        self.points.len() > 1
    }

    fn with(&self, tasks: f64) -> Option<f64> {
        let mut of_size = self.points.iter().filter(|point| (point.0 - tasks).abs() < 0.5);
        Some(of_size.next()?.1)
    }

    /// With 100,000 tasks, if it came so far.
    pub(crate) fn last(&self) -> f64 {
        self.with(1e5).or(self.points.last().map(|point| point.1)).unwrap_or(f64::MAX)
    }

    /// What 100,000 tasks cost each, to what 1,000 do.
    fn ratio(&self) -> Option<f64> {
        Some(self.with(1e5)? / self.with(1e3)?)
    }
}

pub(crate) fn text(tables: &[Table]) -> String {
    let mut lines = Vec::new();
    for family in FAMILIES {
        let mut growths = growths(tables, family);
        growths.sort_by(|a, b| a.last().total_cmp(&b.last()));
        lines.push(format!(
            "| `{family}`, ns | 10² | 10³ | 10⁴ | 10⁵ | 10⁶ | 10⁵ to 10³ |\n|---|--:|--:|--:|--:|--:|--:|"
        ));
        for growth in growths {
            let figure = |tasks| growth.with(tasks).map_or_else(String::new, three_digits);
            let figures: Vec<_> = [1e2, 1e3, 1e4, 1e5, 1e6].map(figure).into();
            let ratio = growth.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let name = match growth.kind {
                Kind::Ours => format!("**{}**", growth.executor),
                _ => growth.executor.to_owned(),
            };
            lines.push(format!("| {name} | {} | {ratio} |", figures.join(" | ")));
        }
        lines.push(String::new());
    }
    lines.join("\n")
}
