//! `docs/benchmarks.md`: the text is written by hand, and what comes from a run stands between marks.

pub(crate) mod growth;
pub(crate) mod standing;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::chart;
use crate::peer::Kind;
use crate::results::{Run, Summary, Table, percent, three_digits};
use crate::rounds;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

/// Writes the run, the charts and the tables into the documentation.
pub(crate) fn write(run: &Run) -> Result<()> {
    let docs = PathBuf::from(DOCS);
    let folder = docs.join("benchmarks");
    fs::create_dir_all(&folder)?;
    run.save(&folder.join("run.json"))?;
    chart::draw(&run.tables, &folder)?;
    let page = docs.join("benchmarks.md");
    let mut text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    for (name, part) in [
        ("machine", machine(run)),
        ("standings", standing::text(&run.tables)),
        ("workloads", workloads(&run.tables)),
        ("growth", growth::text(&run.tables)),
        ("languages", languages(&run.tables)),
        ("cannot", cannot(&run.tables)),
    ] {
        text = replace(&text, name, &part)?;
    }
    fs::write(&page, text)?;
    println!("\nwritten: docs/benchmarks.md, docs/benchmarks");
    Ok(())
}

/// Puts a part between its two marks.
fn replace(text: &str, name: &str, part: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let missing = || format!("docs/benchmarks.md has lost its marks for {name:?}");
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}{}\n{end}{after}", part.trim_end()))
}

fn machine(run: &Run) -> String {
    let it = &run.machine;
    let limits = it.limits.as_ref().map_or_else(String::new, |it| format!(" `echo-idle`: {it}."));
    format!(
        "Measured on {}, on an {} with {} cores under {}, {}, by\n\n```sh\ncargo run --profile {} -p peers -- {}\n```\n\n\
        in {}. The versions: {}. {}.{limits}\n",
        it.date,
        it.cpu,
        it.cores,
        it.kernel,
        it.compiler,
        it.profile,
        it.command,
        in_words(it.rounds),
        it.packages.join(", "),
        it.languages.join("; "),
    )
}

fn in_words(rounds: usize) -> String {
    match rounds {
        1 => "one round, so that nothing is known of how far rounds lie apart: a first look"
            .to_owned(),
        ..=rounds::FEW => format!("{rounds} rounds"),
        _ => format!(
            "{rounds} rounds ({} with a million tasks, and of other languages)",
            rounds::FEW
        ),
    }
}

/// Ours, the best rival and the bare work, with what one may make of the figures.
fn workloads(tables: &[Table]) -> String {
    let mut lines = vec![
        "| workload | | loopwheel | spread | p99 | worst | best other executor | its figure | spread | p99 | ratio | bare work |"
            .to_owned(),
        "|---|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for standing in standing::of_all(tables) {
        let (ours, best) = (standing.summary, standing.best_summary);
        lines.push(format!(
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {} |",
            standing.name(),
            standing.table.unit.headings()[0],
            three_digits(ours.figure),
            spread(ours),
            ours.tail.map_or_else(String::new, |tail| three_digits(tail.p99)),
            ours.tail.map_or_else(String::new, |tail| three_digits(tail.worst)),
            standing.best.executor,
            three_digits(best.figure),
            spread(best),
            best.tail.map_or_else(String::new, |tail| three_digits(tail.p99)),
            standing.ratio(),
            standing.table.best_figure(Kind::Bare).map_or_else(String::new, three_digits),
        ));
    }
    lines.join("\n")
}

fn spread(summary: &Summary) -> String {
    summary.spread().map_or_else(String::new, percent)
}

/// The other languages beside ours.
fn languages(tables: &[Table]) -> String {
    let mut names: Vec<&str> = Vec::new();
    let of_language =
        |table: &'_ Table| table.rows.iter().any(|row| row.kind == Kind::OtherLanguage);
    let with_languages: Vec<_> = tables.iter().filter(|table| of_language(table)).collect();
    for row in with_languages.iter().flat_map(|table| &table.rows) {
        if row.kind == Kind::OtherLanguage && !names.contains(&row.executor.as_str()) {
            names.push(&row.executor);
        }
    }
    let mut lines = vec![
        format!("| workload | | loopwheel | {} |", names.join(" | ")),
        format!("|---|---|--:|{}", "--:|".repeat(names.len())),
    ];
    for table in with_languages {
        let figure = |name: &str| {
            let row = table.rows.iter().find(|row| row.executor == name);
            let summary = row.and_then(|row| row.outcome.as_ref().ok());
            summary.map_or_else(String::new, |it| three_digits(it.figure))
        };
        let figures: Vec<_> = names.iter().map(|name| figure(name)).collect();
        let ours = figure("loopwheel");
        let unit = table.unit.headings()[0];
        lines.push(format!("| `{}` | {unit} | {ours} | {} |", table.workload, figures.join(" | ")));
    }
    lines.join("\n")
}

/// What does not run, and why: each reason once.
fn cannot(tables: &[Table]) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for table in tables {
        for row in &table.rows {
            let Err(why) = &row.outcome else { continue };
            let reason = format!("{}, {why}", row.executor);
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, workloads)) => workloads.push(&table.workload),
                None => reasons.push((reason, vec![&table.workload])),
            }
        }
    }
    let line = |(reason, workloads): &(String, Vec<&str>)| {
        format!("- {reason} (`{}`)", workloads.join("`, `"))
    };
    let lines: Vec<_> = reasons.iter().map(line).collect();
    if lines.is_empty() { "Nothing: all run.".to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_put_between_its_marks_and_nothing_else_changes() {
        let text = "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n";
        let new = "before\n<!-- a: begin -->\nnew\n<!-- a: end -->\nafter\n";
        assert_eq!(replace(text, "a", "new\n").unwrap(), new);
        assert!(replace(text, "b", "new").is_err());
    }

    #[test]
    fn the_page_has_all_marks() {
        let page = fs::read_to_string(PathBuf::from(DOCS).join("benchmarks.md")).unwrap();
        for name in ["machine", "standings", "workloads", "growth", "languages", "cannot"] {
            replace(&page, name, "").unwrap();
        }
    }
}
