//! What an operation costs with 100 tasks and with more, up to a million: curves.

use plotters::prelude::*;

use super::{Area, Drawn, FAINT, FONT, NO_EXECUTORS, OURS};
use crate::page::growth::{FAMILIES, Growth, growths};
use crate::peer::Kind;
use crate::results::Table;

/// So many rivals have a curve: those that take least with 100,000 tasks.
const RIVALS: usize = 7;

/// By the place in the tables.
const RIVAL_COLORS: [RGBColor; 9] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0xbc, 0xbd, 0x22),
    RGBColor(0x17, 0xbe, 0xcf),
];

/// The axis goes on above the curves: the legend stands there.
const ROOM: f64 = 1.7;

/// The curves of a family.
pub(super) struct Panel<'a> {
    family: &'static str,
    curves: Vec<Growth<'a>>,
}

pub(super) fn curves(tables: &[Table]) -> Vec<Panel<'_>> {
    let panel = |family: &&'static str| {
        let mut all = growths(tables, family);
        all.sort_by(|a, b| a.last().total_cmp(&b.last()));
        let mut rivals = 0;
        all.retain(|growth| match growth.kind {
            Kind::Executor => {
                rivals += 1;
                rivals <= RIVALS
            }
            Kind::Ours | Kind::Bare => true,
            Kind::Set | Kind::OtherLanguage => false,
        });
        Panel { family, curves: all }
    };
    FAMILIES.iter().map(panel).filter(|panel| panel.curves.iter().any(Growth::is_curve)).collect()
}

pub(super) fn size(panels: &[Panel]) -> (u32, u32) {
    (560 * u32::try_from(panels.len()).unwrap_or(1), 420)
}

pub(super) fn draw(area: &Area, panels: &[Panel]) -> Drawn {
    for (area, panel) in area.split_evenly((1, panels.len())).iter().zip(panels) {
        draw_panel(area, panel)?;
    }
    Ok(())
}

fn draw_panel(area: &Area, Panel { family, curves }: &Panel) -> Drawn {
    let points = || curves.iter().flat_map(|growth| &growth.points);
    let most = points().map(|(_, nanos)| *nanos).fold(1.0, f64::max);
    let (least_tasks, most_tasks) = points().fold((f64::MAX, 1.0), |(least, most), (tasks, _)| {
        (f64::min(least, *tasks), f64::max(most, *tasks))
    });
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{family}: the cost of one, by the number of tasks"), (FONT, 15))
        .margin(10)
        .margin_right(20)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d((least_tasks..most_tasks * 1.01).log_scale(), 0.0..most * ROOM)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .x_labels(5)
        .x_label_formatter(&|tasks| power_of_ten(*tasks))
        .y_label_formatter(&|nanos| format!("{nanos:.0}"))
        .x_desc("tasks, log scale")
        .y_desc("ns CPU")
        .label_style((FONT, 12))
        .draw()?;
    for growth in curves {
        let style = match growth.kind {
            Kind::Ours => OURS.stroke_width(3),
            Kind::Bare => NO_EXECUTORS.stroke_width(2),
            _ => RIVAL_COLORS[growth.number % RIVAL_COLORS.len()].stroke_width(1),
        };
        let points = || growth.points.iter().copied();
        let line = chart.draw_series(LineSeries::new(points(), style))?;
        line.label(growth.executor)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], style));
        chart.draw_series(points().map(|point| Circle::new(point, 3, style.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 11))
        .draw()
}

fn power_of_ten(tasks: f64) -> String {
    let powers = [(1e2, "10²"), (1e3, "10³"), (1e4, "10⁴"), (1e5, "10⁵"), (1e6, "10⁶")];
    let power = powers.iter().find(|(power, _)| (tasks / power - 1.0).abs() < 0.01);
    power.map_or_else(String::new, |(_, name)| (*name).to_owned())
}
