//! The tables, as text.

use crate::peer::Kind;
use crate::results::{Row, Table, percent, three_digits};

/// What the columns without a heading of their own mean, said once below the tables.
pub(crate) const LEGEND: &str = "\
the figure is the median of the rounds (of thread-flood the best); spread: how far the middle half of them lies apart
p99, worst: of all repetitions of all rounds, each a mean over its operations (of lateness: of all sleeps)";

pub(crate) fn text(table: &Table) -> String {
    let [figure, beside] = table.unit.headings();
    let mut lines = vec![
        String::new(),
        format!("{}: {}", table.workload, table.about),
        format!(
            "  {:<28}{figure:>11}{:>13}{:>9}{:>9}{:>10}{:>10}{beside:>12}",
            "", "to best peer", "to bare", "spread", "p99", "worst",
        ),
    ];
    lines.extend(table.in_order().into_iter().map(|row| line(table, row)));
    lines.join("\n")
}

fn line(table: &Table, Row { executor, kind, remark, outcome }: &Row) -> String {
    match outcome {
        Ok(it) => format!(
            "{} {executor:<28}{:>11}{:>13}{:>9}{:>9}{:>10}{:>10}{:>12.2}{}",
            if *kind == Kind::Ours { '>' } else { ' ' },
            three_digits(it.figure),
            ratio(it.figure, table.best_figure(Kind::Executor)),
            ratio(it.figure, table.best_figure(Kind::Bare)),
            it.spread().map_or_else(String::new, percent),
            it.tail.map_or_else(String::new, |tail| three_digits(tail.p99)),
            it.tail.map_or_else(String::new, |tail| three_digits(tail.worst)),
            it.beside,
            remark.as_ref().map_or_else(String::new, |it| format!("  ({it})")),
        ),
        Err(failure) => format!("  {executor:<28}{failure}"),
    }
}

fn ratio(figure: f64, to: Option<f64>) -> String {
    to.map_or_else(String::new, |to| format!("{:.2}", figure / to))
}
