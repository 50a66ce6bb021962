//! One panel a workload, one dot an executor, on a scale where twice as much is as far everywhere.

use plotters::prelude::*;

use super::{Area, Drawn, FAINT, FONT, at, color, from_top, places_axis};
use crate::results::{Row, Table, three_digits};

const COLUMNS: usize = 2;
const PANEL_WIDTH: usize = 560;
const ROW: usize = 17;
const REST: usize = 84;

pub(super) fn size(tables: &[Table]) -> (u32, u32) {
    let size = (COLUMNS * PANEL_WIDTH, tables.chunks(COLUMNS).map(height).sum::<usize>());
    (u32::try_from(size.0).unwrap_or(u32::MAX), u32::try_from(size.1).unwrap_or(u32::MAX))
}

/// Of the panels that are beside each other.
fn height(tables: &[Table]) -> usize {
    REST + ROW * tables.iter().map(|table| table.rows.len()).max().unwrap_or_default()
}

pub(super) fn draw(area: &Area, tables: &[Table]) -> Drawn {
    let mut rest = area.clone();
    for beside in tables.chunks(COLUMNS) {
        let (strip, below) = rest.split_vertically(u32::try_from(height(beside)).unwrap_or(0));
        for (panel, table) in strip.split_evenly((1, COLUMNS)).iter().zip(beside) {
            draw_panel(panel, table)?;
        }
        rest = below;
    }
    Ok(())
}

fn draw_panel(panel: &Area, table: &Table) -> Drawn {
    let rows = table.in_order();
    let places = rows.len();
    let names: Vec<_> = rows.iter().map(|row| name(row)).collect();
    let (_, operation) = table.about.rsplit_once("; ").unwrap_or(("", &table.about));
    let (least, most) = extent(&rows);
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("{}: {operation}", table.workload), (FONT, 13))
        .margin(6)
        .margin_right(24)
        .x_label_area_size(32)
        .y_label_area_size(185)
        .build_cartesian_2d((least * 0.8..most * 2.0).log_scale(), places_axis(places))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .x_labels(5)
        .x_label_formatter(&|figure| grouped(*figure))
        .x_desc(format!("{}, log scale", table.unit.headings()[0]))
        .y_labels(places)
        .y_label_formatter(&|value| at(value, &names).to_owned())
        .label_style((FONT, 11))
        .draw()?;
    for (place, row) in rows.iter().enumerate() {
        let y = || from_top(place, places);
        let color = color(row.kind);
        let Ok(summary) = &row.outcome else {
            let cannot = EmptyElement::at((least, y())) + Text::new("cannot", (0, -6), (FONT, 11));
            chart.draw_series([cannot])?;
            continue;
        };
        let (from, to) = summary.middle_half();
        if let Some(tail) = summary.tail {
            let tail = [(summary.figure, y()), (tail.p99, y())];
            chart.draw_series([PathElement::new(tail, color.mix(0.35).stroke_width(1))])?;
        }
        let middle = [(from, y()), (to, y())];
        chart.draw_series([PathElement::new(middle, color.stroke_width(3))])?;
        chart.draw_series([Circle::new((summary.figure, y()), 4, color.filled())])?;
        let label = three_digits(summary.figure);
        let end = to.max(summary.tail.map_or(0.0, |tail| tail.p99));
        let label = EmptyElement::at((end, y())) + Text::new(label, (7, -6), (FONT, 11));
        chart.draw_series([label])?;
    }
    Ok(())
}

/// A star where the tables have a remark.
fn name(row: &Row) -> String {
    let star = if row.remark.is_some() { " *" } else { "" };
    format!("{}{star}", row.executor)
}

fn extent(rows: &[&Row]) -> (f64, f64) {
    let summaries = || rows.iter().filter_map(|row| row.outcome.as_ref().ok());
    let most =
        |it: &crate::results::Summary| it.middle_half().1.max(it.tail.map_or(0.0, |tail| tail.p99));
    let least = summaries().map(|it| it.middle_half().0).fold(f64::MAX, f64::min);
    (least.clamp(0.01, 1e12), summaries().map(most).fold(1.0, f64::max))
}

/// With a comma between the thousands.
fn grouped(figure: f64) -> String {
    let digits = three_digits(figure);
    match digits.len() {
        _ if digits.contains('.') => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        4..=6 => format!("{},{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..]),
        _ => digits,
    }
}
