//! The tables, drawn by `plotters`. Costs are dots on a logarithmic axis, where a bar would have no honest length, or ratios
//! on a linear one that begins at zero.

mod growth;
mod overview;
mod panels;

use std::io;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::SegmentedCoord;
use plotters::coord::types::RangedCoordusize;
use plotters::prelude::*;

use crate::peer::Kind;
use crate::results::Table;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

const OURS: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
const PEERS: RGBColor = RGBColor(0x1f, 0x5a, 0x96);
const NO_EXECUTORS: RGBColor = RGBColor(0x88, 0x88, 0x88);
const LANGUAGES: RGBColor = RGBColor(0x5a, 0x8f, 0x3c);
const FAINT: RGBColor = RGBColor(0xd8, 0xd8, 0xd8);

const FONT: &str = "sans-serif";

/// Draws what there is to draw of a run, each chart into a file of a folder. Their names.
pub(crate) fn draw(tables: &[Table], folder: &Path) -> Result<Vec<&'static str>> {
    let mut drawn = Vec::new();
    let overview = overview::Overview::of(tables);
    if !overview.is_empty() {
        let size = overview.size();
        draw_into(&folder.join("overview.svg"), size, |area| overview.draw(area))?;
        drawn.push("overview.svg");
    }
    let curves = growth::curves(tables);
    if !curves.is_empty() {
        let size = growth::size(&curves);
        draw_into(&folder.join("growth.svg"), size, |area| growth::draw(area, &curves))?;
        drawn.push("growth.svg");
    }
    if !tables.is_empty() {
        let size = panels::size(tables);
        draw_into(&folder.join("workloads.svg"), size, |area| panels::draw(area, tables))?;
        drawn.push("workloads.svg");
    }
    Ok(drawn)
}

fn draw_into(path: &Path, size: (u32, u32), draw: impl FnOnce(&Area) -> Drawn) -> Result<()> {
    let area = SVGBackend::new(path, size).into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| draw(&area)).and_then(|()| area.present());
    // The errors of the backend cannot leave this thread.
    drawn.map_err(|why| anyhow!("cannot draw {}: {why}", path.display()))
}

fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::Ours => OURS,
        Kind::Executor => PEERS,
        Kind::Set | Kind::Bare => NO_EXECUTORS,
        Kind::OtherLanguage => LANGUAGES,
    }
}

/// An axis with so many places. (A range of whole numbers has its end too.)
fn places_axis(places: usize) -> SegmentedCoord<RangedCoordusize> {
    (0..places.saturating_sub(1)).into_segmented()
}

/// A place from the top, as one of an axis that goes up.
fn from_top(place: usize, places: usize) -> SegmentValue<usize> {
    SegmentValue::CenterOf(places - 1 - place)
}

/// What stands at a place of such an axis.
fn at<'a>(value: &SegmentValue<usize>, from_top: &'a [String]) -> &'a str {
    match value {
        SegmentValue::CenterOf(place) if *place < from_top.len() => {
            &from_top[from_top.len() - 1 - place]
        }
        _ => "",
    }
}
