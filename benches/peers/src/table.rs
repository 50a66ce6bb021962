//! The tables, as text.

use std::cmp::Ordering;

use crate::peer::Kind;
use crate::rounds::{Results, Standing, Summary};

pub(crate) fn print(results: &Results) {
    let workload = results.workload;
    println!("\n{}: {}", workload.name, workload.about);
    let [figure, beside] = workload.unit.headings();
    println!(
        "  {:<26}{figure:>12}{:>14}{:>10}{:>10}{beside:>12}",
        "", "to best peer", "to bare", "spread",
    );
    let best_peer = results.best(Kind::Executor);
    let bare = results.best(Kind::Bare);
    let mut standings: Vec<_> = results.standings.iter().collect();
    standings.sort_by(|a, b| order(a, b));
    for Standing { peer, outcome } in standings {
        match outcome {
            Ok(Summary { figure, beside, spread }) => println!(
                "{} {:<26}{:>12}{:>14}{:>10}{:>10}{beside:>12.2}{}",
                if peer.kind == Kind::Ours { '>' } else { ' ' },
                peer.name,
                three_digits(*figure),
                ratio(*figure, best_peer),
                ratio(*figure, bare),
                spread.map_or_else(String::new, |it| format!("{:.0} %", it * 100.0)),
                peer.remark_on(workload).map_or_else(String::new, |it| format!("  ({it})")),
            ),
            Err(failure) => println!("  {:<26}{failure}", peer.name),
        }
    }
}

impl Results<'_> {
    pub(crate) fn best(&self, kind: Kind) -> Option<f64> {
        let of_kind = self.standings.iter().filter(|standing| standing.peer.kind == kind);
        let figures = of_kind.filter_map(|standing| Some(standing.outcome.as_ref().ok()?.figure));
        figures.min_by(f64::total_cmp)
    }
}

/// The fastest first, and at the end who could not run.
pub(crate) fn order(a: &Standing, b: &Standing) -> Ordering {
    let figure = |standing: &Standing| standing.outcome.as_ref().map_or(f64::MAX, |it| it.figure);
    figure(a).total_cmp(&figure(b))
}

fn ratio(figure: f64, to: Option<f64>) -> String {
    to.map_or_else(String::new, |to| format!("{:.2}", figure / to))
}

pub(crate) fn three_digits(figure: f64) -> String {
    match figure {
        ..10.0 => format!("{figure:.2}"),
        ..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}
