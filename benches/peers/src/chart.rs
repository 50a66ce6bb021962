//! The tables, drawn: one panel a workload, one bar a peer, on a scale where twice as long is as far everywhere. Without
//! Python: a hundred times the others, it would leave them no room.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::peer::Kind;
use crate::rounds::{Results, Standing};
use crate::table::{order, three_digits};

pub(crate) const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.svg");

const COLUMNS: usize = 3;
const PANEL_WIDTH: usize = 460;
const BAR: i32 = 16;
const HEADING: i32 = 44;
const LINE: i32 = 12;
const NAMES: i32 = 180;
const FIGURES: i32 = 60;

const OURS: RGBColor = RGBColor(0xd9, 0x5f, 0x02);
const PEERS: RGBColor = RGBColor(0x75, 0x8f, 0xb3);
const NO_EXECUTORS: RGBColor = RGBColor(0xc8, 0xc8, 0xc8);

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) fn draw(results: &[Results], path: &Path) -> Result<()> {
    let bars = results.iter().map(|results| drawn(results).count()).max().unwrap_or_default();
    let panel_height = HEADING as usize + (bars + 2) * BAR as usize; // two remarks, and a gap
    let rows = results.len().div_ceil(COLUMNS);
    let size = (COLUMNS * PANEL_WIDTH, rows * panel_height);
    let root = SVGBackend::new(path, (size.0.try_into()?, size.1.try_into()?)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    for (panel, results) in root.split_evenly((rows, COLUMNS)).iter().zip(results) {
        draw_panel(panel, results).map_err(failed)?;
    }
    root.present().map_err(failed)?;
    println!("\ndrawn: {}", path.display());
    Ok(())
}

fn drawn<'a>(results: &'a Results) -> impl Iterator<Item = &'a Standing<'a>> {
    results.standings.iter().filter(|standing| standing.peer.kind != Kind::ForTheRecord)
}

/// The errors of the backend cannot leave this thread.
fn failed(why: impl std::error::Error) -> anyhow::Error {
    anyhow!("cannot draw: {why}")
}

fn draw_panel(panel: &Panel, results: &Results) -> Result<(), impl std::error::Error + use<>> {
    let workload = results.workload;
    let text = |size| ("sans-serif", size).into_font().color(&BLACK);
    let (_, operation) = workload.about.rsplit_once("; ").unwrap_or_default();
    let unit = format!("{}  {operation}", workload.unit.headings()[0]);
    panel.draw(&Text::new(workload.name, (10, 8), text(15)))?;
    panel.draw(&Text::new(unit, (10, 26), text(10)))?;

    let mut standings: Vec<_> = drawn(results).collect();
    standings.sort_by(|a, b| order(a, b));
    let scale = Logarithmic::over(&standings);
    let below = HEADING + i32::try_from(standings.len()).unwrap_or_default() * BAR + 4;
    let mut remarks: Vec<&str> = Vec::new();
    for (place, Standing { peer, outcome }) in (0..).zip(standings) {
        let middle = HEADING + place * BAR + BAR / 2;
        let right = text(11).pos(Pos::new(HPos::Right, VPos::Center));
        let left = text(11).pos(Pos::new(HPos::Left, VPos::Center));
        panel.draw(&Text::new(peer.name, (NAMES - 6, middle), right))?;
        let Ok(sample) = outcome else {
            panel.draw(&Text::new("cannot", (NAMES, middle), left))?;
            continue;
        };
        let color = match peer.kind {
            Kind::Ours => OURS,
            Kind::Executor => PEERS,
            Kind::Bare | Kind::Set | Kind::ForTheRecord => NO_EXECUTORS,
        };
        let end = NAMES + scale.length(sample.figure);
        let mut figure = three_digits(sample.figure);
        if let Some(remark) = peer.remark_on(workload) {
            let known = remarks.iter().position(|known| *known == remark);
            let place = known.unwrap_or(remarks.len());
            if known.is_none() {
                remarks.push(remark);
            }
            figure += &"*".repeat(place + 1);
        }
        let corners = [(NAMES, middle - 6), (end, middle + 6)];
        panel.draw(&Rectangle::new(corners, color.filled()))?;
        panel.draw(&Text::new(figure, (end + 4, middle), left))?;
    }
    for (place, remark) in remarks.iter().enumerate() {
        let line = format!("{} {remark}", "*".repeat(place + 1));
        let at = below + i32::try_from(place).unwrap_or_default() * LINE;
        panel.draw(&Text::new(line, (10, at), text(10)))?;
    }
    Ok::<_, DrawingAreaErrorKind<_>>(())
}

/// From a little below the smallest figure, so that it has a bar too, to the biggest.
struct Logarithmic {
    start: f64,
    end: f64,
}

impl Logarithmic {
    fn over(standings: &[&Standing]) -> Logarithmic {
        let figures = || standings.iter().filter_map(|it| Some(it.outcome.as_ref().ok()?.figure));
        let (least, most) = (figures().fold(f64::MAX, f64::min), figures().fold(0.0, f64::max));
        Logarithmic { start: least.ln() - 0.3, end: most.ln() }
    }

    #[allow(clippy::cast_possible_truncation)] // pixels
    fn length(&self, figure: f64) -> i32 {
        let room = f64::from(i32::try_from(PANEL_WIDTH).unwrap_or(i32::MAX) - NAMES - FIGURES);
        ((figure.ln() - self.start) / (self.end - self.start) * room) as i32
    }
}
