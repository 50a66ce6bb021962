//! A run beside another that was saved: what has changed, and what may be noise.

use crate::results::{Run, Summary, Table, percent, three_digits};

/// A difference of less is none, however near the rounds lie together.
const LEVEL: f64 = 0.05;

pub(crate) fn text(now: &[Table], before: &Run) -> String {
    let mut lines = vec![
        format!("\nagainst the run of {} ({})", before.machine.date, before.machine.command),
        format!(
            "  {:<16}{:<28}{:>10}{:>9}{:>10}{:>9}{:>8}",
            "", "", "before", "spread", "now", "spread", "ratio"
        ),
    ];
    let mut met = 0;
    for table in now {
        for row in &table.rows {
            let Some(was) = find(before, &table.workload, &row.executor) else { continue };
            let Ok(is) = &row.outcome else { continue };
            met += 1;
            let ratio = is.figure / was.figure;
            lines.push(format!(
                "  {:<16}{:<28}{:>10}{:>9}{:>10}{:>9}{ratio:>8.2}{}",
                table.workload,
                row.executor,
                three_digits(was.figure),
                was.spread().map_or_else(String::new, percent),
                three_digits(is.figure),
                is.spread().map_or_else(String::new, percent),
                verdict(was, is),
            ));
        }
    }
    if met == 0 {
        lines.push("  they have no row in common".to_owned());
    }
    lines.push(
        "  no word: within 5 %, or the middle halves of the rounds overlap: that may be noise"
            .into(),
    );
    lines.join("\n")
}

fn verdict(was: &Summary, is: &Summary) -> &'static str {
    let ratio = is.figure / was.figure;
    match ratio {
        _ if was.overlaps(is) || (ratio - 1.0).abs() < LEVEL => "",
        ..1.0 => "  less",
        _ => "  MORE",
    }
}

fn find<'a>(run: &'a Run, workload: &str, executor: &str) -> Option<&'a Summary> {
    let table = run.tables.iter().find(|table| table.workload == workload)?;
    table.rows.iter().find(|row| row.executor == executor)?.outcome.as_ref().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(rounds: &[f64]) -> Summary {
        let figure = rounds[rounds.len() / 2];
        Summary { figure, beside: 1.0, rounds: rounds.to_vec(), tail: None }
    }

    #[test]
    fn rounds_that_overlap_are_no_change() {
        let (was, is) =
            (rounds(&[8.0, 9.0, 10.0, 12.0, 14.0]), rounds(&[10.0, 11.0, 13.0, 14.0, 15.0]));
        assert_eq!(verdict(&was, &is), "");
    }

    #[test]
    fn rounds_apart_are_a_change() {
        let (was, is) =
            (rounds(&[9.0, 10.0, 10.0, 10.1, 11.0]), rounds(&[12.0, 12.0, 12.1, 12.2, 13.0]));
        assert_eq!((verdict(&was, &is), verdict(&is, &was)), ("  MORE", "  less"));
    }

    #[test]
    fn a_few_percent_are_no_change_however_steady() {
        assert_eq!(verdict(&rounds(&[10.0, 10.0, 10.0]), &rounds(&[10.4, 10.4, 10.4])), "");
    }
}
