//! One row a workload: what loopwheel takes as a multiple of what the best other executor takes.

use plotters::prelude::*;

use super::{Area, Drawn, FAINT, FONT, NO_EXECUTORS, OURS, PEERS, at, from_top, places_axis};
use crate::page::standing::{Standing, standings};
use crate::results::Table;

/// The axis ends here: a row that goes on says how far.
const END: f64 = 2.5;
const ROW: u32 = 19;

pub(super) struct Overview<'a> {
    rows: Vec<Standing<'a>>,
}

impl<'a> Overview<'a> {
    pub(super) fn of(tables: &'a [Table]) -> Overview<'a> {
        Overview { rows: standings(tables) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (860, 90 + ROW * u32::try_from(self.rows.len()).unwrap_or(0))
    }

    pub(super) fn draw(&self, area: &Area) -> Drawn {
        let names: Vec<_> = self.rows.iter().map(Standing::name).collect();
        let places = self.rows.len();
        let mut chart = ChartBuilder::on(area)
            .caption("loopwheel's cost ÷ that of the best other executor", (FONT, 16))
            .margin(8)
            .margin_right(20)
            .x_label_area_size(36)
            .y_label_area_size(200)
            .build_cartesian_2d(0.0..END + 0.9, places_axis(places))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .bold_line_style(FAINT)
            .x_labels(8)
            .x_label_formatter(&|ratio| if *ratio <= END { format!("{ratio}") } else { String::new() })
            .x_desc("less is better; 1: level. Line: the middle half of loopwheel's rounds. Grey tick: the bare work")
            .y_labels(places)
            .y_label_formatter(&|value| at(value, &names).to_owned())
            .label_style((FONT, 12))
            .draw()?;
        let one = [(1.0, SegmentValue::Exact(0)), (1.0, SegmentValue::Last)];
        chart.draw_series([PathElement::new(one, BLACK.stroke_width(1))])?;
        for (place, row) in self.rows.iter().enumerate() {
            let y = || from_top(place, places);
            let color = match row {
                _ if row.is_level() => NO_EXECUTORS,
                _ if row.ratio() < 1.0 => OURS,
                _ => PEERS,
            };
            let (from, to) = row.middle_half();
            let line = [(from.min(END), y()), (to.min(END), y())];
            chart.draw_series([PathElement::new(line, color.stroke_width(2))])?;
            let dot = (row.ratio().min(END), y());
            chart.draw_series([Circle::new(dot, 4, color.filled())])?;
            if let Some(bare) = row.bare().filter(|bare| *bare < END) {
                let tick = EmptyElement::at((bare, y()))
                    + PathElement::new([(0, -6), (0, 6)], NO_EXECUTORS.stroke_width(2));
                chart.draw_series([tick])?;
            }
            let beyond = if row.ratio() > END { "→ " } else { "" };
            let label = format!("{beyond}{:.2}  {}", row.ratio(), row.best.executor);
            let after =
                to.max(row.ratio()).max(row.bare().filter(|bare| *bare < END).unwrap_or(0.0));
            let label =
                EmptyElement::at((after.min(END), y())) + Text::new(label, (8, -6), (FONT, 11));
            chart.draw_series([label])?;
        }
        Ok(())
    }
}
