//! Many measurements: each in a fresh process, in rounds whose order rotates.
//!
//! A process of its own, because what ran before leaves a heap and caches behind. Rotated, because what comes after a heavy
//! neighbour finds a hot machine. All rounds of a workload follow each other, so that its table is there when they are
//! done, and what disturbs the machine for a while disturbs all rows of one table alike.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use wait_timeout::ChildExt;

use crate::executor::UNABLE;
use crate::measure::Sample;
use crate::peer::{Kind, Peer};
use crate::results::{Failure, Row, Table};
use crate::scale::Scale;
use crate::workloads::Workload;

/// How much is done, and how often.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) scale: Scale,
    pub(crate) rounds: usize,
}

/// The rounds of what takes long.
pub(crate) const FEW: usize = 3;

/// Measures all, and hands each table to `report` when it is done.
pub(crate) fn run(
    workloads: &[&'static Workload],
    peers: &[Peer],
    plan: Plan,
    report: impl Fn(&Table),
) -> Vec<Table> {
    let processes =
        workloads.iter().map(|workload| processes(workload, peers, plan)).sum::<usize>();
    let progress = ProgressBar::new(processes as u64).with_style(style());
    let measure = |workload: &&'static Workload| {
        let table = measure_all(workload, peers, plan, &progress);
        progress.suspend(|| report(&table));
        table
    };
    let tables = workloads.iter().map(measure).collect();
    progress.finish_and_clear();
    tables
}

fn style() -> ProgressStyle {
    let template = "{wide_msg} {pos}/{len} [{elapsed} gone, {eta} to go]\n{wide_bar}";
    ProgressStyle::with_template(template).expect("a good template")
}

fn processes(workload: &Workload, peers: &[Peer], plan: Plan) -> usize {
    let able = peers.iter().filter(|peer| peer.measure(workload).is_some());
    able.map(|peer| rounds(workload, peer, plan)).sum()
}

/// In how many rounds a peer takes part.
fn rounds(workload: &Workload, peer: &Peer, plan: Plan) -> usize {
    let few = peer.kind == Kind::OtherLanguage || workload.is_long();
    if few { plan.rounds.min(FEW) } else { plan.rounds }
}

fn measure_all(
    workload: &'static Workload,
    peers: &[Peer],
    plan: Plan,
    progress: &ProgressBar,
) -> Table {
    let mut cells: Vec<_> = peers.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..plan.rounds {
        let first = round * peers.len() / plan.rounds;
        for place in 0..peers.len() {
            let place = (first + place) % peers.len();
            let peer = &peers[place];
            if round < rounds(workload, peer, plan) && peer.measure(workload).is_some() {
                progress.set_message(format!("{} on {}", workload.name, peer.name));
                measure_once_more(&mut cells[place], workload, peer, plan.scale);
                progress.inc(1);
            }
        }
    }
    let rows = peers.iter().zip(cells);
    Table {
        workload: workload.name.to_owned(),
        about: workload.about.to_owned(),
        unit: workload.unit,
        rows: rows.filter_map(|(peer, samples)| Row::new(peer, workload, samples)).collect(),
    }
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

/// This program once more, to measure one thing and print a line.
fn measure_in_a_process(workload: &Workload, peer: &Peer, scale: Scale) -> Result<Sample, Failure> {
    let ended =
        end_of_child(workload, peer, scale).map_err(|why| Failure::Broken(why.to_string()))?;
    let Some((status, line, complaint)) = ended else {
        let seconds = limit(peer, scale).as_secs();
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

/// A process that takes longer hangs. Python is slow, and no reason to wait less.
fn limit(peer: &Peer, scale: Scale) -> Duration {
    let patience = if peer.kind == Kind::OtherLanguage { 6 } else { 1 };
    scale.limit() * patience
}

/// How the child ended, and what it wrote on its two streams; nothing if it had to be killed.
fn end_of_child(
    workload: &Workload,
    peer: &Peer,
    scale: Scale,
) -> io::Result<Option<(ExitStatus, String, String)>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["measure", workload.name, peer.name])
        .arg(scale.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Read at the same time: a line with all repetitions may be longer than a pipe holds.
    let out = child.stdout.take().map(read_on_a_thread);
    let complaints = child.stderr.take().map(read_on_a_thread);
    let Some(status) = child.wait_timeout(limit(peer, scale))? else {
        child.kill()?;
        child.wait()?;
        return Ok(None);
    };
    let text = |reader: Option<Reader>| reader.expect("piped").join().expect("no panic");
    Ok(Some((status, text(out)?, text(complaints)?)))
}

type Reader = std::thread::JoinHandle<io::Result<String>>;

fn read_on_a_thread(stream: impl Read + Send + 'static) -> Reader {
    std::thread::spawn(|| io::read_to_string(stream))
}

/// The message of the first panic, without the line that says where it was.
fn message(complaint: &str) -> &str {
    let lines = || complaint.lines().filter(|line| !line.trim().is_empty());
    let after_panicked = lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    after_panicked.or_else(|| lines().next()).unwrap_or("ended without a word")
}
