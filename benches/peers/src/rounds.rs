//! Many measurements: each in a fresh process, in rounds whose order rotates.
//!
//! A process of its own, because what ran before leaves a heap and caches behind. Rotated, because who comes after a
//! heavy neighbour finds a hot machine.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Read};
use std::process::{Command, ExitStatus, Stdio};

use wait_timeout::ChildExt;

use crate::executor::UNABLE;
use crate::measure::{Sample, median};
use crate::peer::{Kind, Peer};
use crate::scale::Scale;
use crate::workloads::{Runs, Workload};

/// A table.
pub(crate) struct Results<'a> {
    pub(crate) workload: &'static Workload,
    pub(crate) standings: Vec<Standing<'a>>,
}

/// A row of a table.
pub(crate) struct Standing<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) outcome: Result<Summary, Failure>,
}

/// What all rounds together say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    /// The median, or the best.
    pub(crate) figure: f64,
    pub(crate) beside: f64,
    /// How far the middle half of the rounds lies apart, as a part of the figure. `None` if there was one round.
    pub(crate) spread: Option<f64>,
}

/// Why a row has no figures.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// The machine does not allow it, or it is known that this executor cannot.
    #[error("cannot run here: {0}")]
    Unable(String),
    /// A wrong result, a panic, a process that hangs.
    #[error("broken: {0}")]
    Broken(String),
}

pub(crate) fn run<'a>(
    workloads: &[&'static Workload],
    peers: &'a [Peer],
    scale: Scale,
) -> Vec<Results<'a>> {
    let mut cells = HashMap::new();
    for round in 0..scale.rounds() {
        for workload in workloads {
            let first = round * peers.len() / scale.rounds();
            for place in 0..peers.len() {
                let peer = &peers[(first + place) % peers.len()];
                let cell = cells.entry((workload.name, peer.name)).or_insert(Ok(Vec::new()));
                let takes_part = round == 0 || peer.kind != Kind::ForTheRecord; // once is enough for that
                if takes_part && peer.measure(workload).is_some() {
                    progress(round, scale, workload, peer);
                    measure_once_more(cell, workload, peer, scale);
                }
            }
        }
    }
    let mut standing = |workload: &Workload, peer: &'a Peer| {
        let known = peer.unable.iter().find(|(name, _)| *name == workload.name);
        let outcome = match (known, cells.remove(&(workload.name, peer.name))?) {
            (Some((_, why)), _) => Err(Failure::Unable((*why).to_owned())),
            (None, samples) => samples.map(|samples| together(workload, &samples)).transpose()?,
        };
        Some(Standing { peer, outcome })
    };
    let table = |workload: &&'static Workload| Results {
        workload,
        standings: peers.iter().filter_map(|peer| standing(workload, peer)).collect(),
    };
    if io::stderr().is_terminal() {
        eprint!("\x1b[K");
    }
    workloads.iter().map(table).collect()
}

/// One sample more, unless there was a failure before.
fn measure_once_more(
    cell: &mut Result<Vec<Sample>, Failure>,
    workload: &Workload,
    peer: &Peer,
    scale: Scale,
) {
    if let Ok(samples) = cell {
        match measure_in_a_process(workload, peer, scale) {
            Ok(sample) => samples.push(sample),
            Err(failure) => *cell = Err(failure),
        }
    }
}

/// None where the peer does not take part.
fn together(workload: &Workload, samples: &[Sample]) -> Option<Summary> {
    let mut samples = samples.to_vec();
    samples.sort_by(|a, b| a.figure.total_cmp(&b.figure));
    let best = *samples.first()?;
    let quarter = samples.len() / 4;
    let middle_half = samples[samples.len() - 1 - quarter].figure - samples[quarter].figure;
    let (figure, beside) = match workload.runs {
        Runs::PinnedBest => (best.figure, best.beside),
        Runs::Median | Runs::PinnedMedian | Runs::TwoCoresMedian => (
            median(samples.iter().map(|sample| sample.figure).collect()),
            median(samples.iter().map(|sample| sample.beside).collect()),
        ),
    };
    let spread = (samples.len() > 1).then_some(middle_half / figure);
    Some(Summary { figure, beside, spread })
}

/// This program once more, to measure one thing and print a line.
fn measure_in_a_process(workload: &Workload, peer: &Peer, scale: Scale) -> Result<Sample, Failure> {
    let ended =
        end_of_child(workload, peer, scale).map_err(|why| Failure::Broken(why.to_string()))?;
    let Some((status, line, complaint)) = ended else {
        let seconds = scale.limit().as_secs();
        return Err(Failure::Broken(format!("hangs, killed after {seconds} s")));
    };
    match status.code() {
        Some(0) => {
            serde_json::from_str(&line).map_err(|why| Failure::Broken(format!("{line:?}: {why}")))
        }
        Some(UNABLE) => Err(Failure::Unable(complaint.trim().to_owned())),
        _ => Err(Failure::Broken(format!("{} ({status})", message(&complaint)))),
    }
}

/// How the child ended, and what it wrote on its two streams; nothing if it had to be killed.
fn end_of_child(
    workload: &Workload,
    peer: &Peer,
    scale: Scale,
) -> io::Result<Option<(ExitStatus, String, String)>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["measure", workload.name, peer.name])
        .arg(format!("{scale:?}").to_lowercase())
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let Some(status) = child.wait_timeout(scale.limit())? else {
        child.kill()?;
        child.wait()?;
        return Ok(None);
    };
    let read = |stream: Option<&mut dyn Read>| io::read_to_string(stream.expect("it is piped"));
    let line = read(child.stdout.as_mut().map(|stream| stream as _))?;
    let complaint = read(child.stderr.as_mut().map(|stream| stream as _))?;
    Ok(Some((status, line, complaint)))
}

/// The message of the first panic, without the line that says where it was.
fn message(complaint: &str) -> &str {
    let lines = || complaint.lines().filter(|line| !line.trim().is_empty());
    let after_panicked = lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    after_panicked.or_else(|| lines().next()).unwrap_or("ended without a word")
}

fn progress(round: usize, scale: Scale, workload: &Workload, peer: &Peer) {
    if io::stderr().is_terminal() {
        eprint!(
            "\r\x1b[Kround {}/{}: {} on {}\r",
            round + 1,
            scale.rounds(),
            workload.name,
            peer.name
        );
    }
}
