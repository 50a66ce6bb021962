//! **The same programs, explored by loopwheel and by shuttle**: what each finds, and in how many runs.
//!
//! ```text
//! cargo run --release -p explored               writes docs/exploring/shuttle.md
//! cargo run --release -p explored -- --check    compares: only the times may differ
//! cargo run -p explored -- --check double lost  the same, of the programs with these words in their names: for small ones it takes seconds
//! ```

mod found;
mod on_loopwheel;
mod on_shuttle;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, panic};

use found::Strategy;
use on_loopwheel::programs::{Fault, PROGRAMS};

/// So many orders are enumerated at most.
const MOST: usize = 20_000;

const HEAD: &str = include_str!("head.md");

const TIME: &str = "
## Time

One thread's time for one run that is made at random, in microseconds. It was measured on a busy machine: what counts is the order of
magnitude. Why a run of loopwheel takes longer was not profiled; each makes a loop of its own, with a verdict at its end.

| program | loopwheel | shuttle |
|---|---:|---:|
";

fn main() -> ExitCode {
    panic::set_hook(Box::new(|_| {})); // both find faults by panics
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/exploring/shuttle.md");
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some("--check") {
        fs::write(path, measured(&[]).page()).expect("the page can be written");
        return ExitCode::SUCCESS;
    }
    let committed = fs::read_to_string(path).expect("the page is there").replace('\r', "");
    let words: Vec<String> = arguments.collect();
    let found = measured(&words);
    let rows = [found.all.lines(), found.sampled.lines()];
    let wrong: Vec<&str> =
        rows.into_iter().flatten().filter(|row| !committed.lines().any(|it| it == *row)).collect();
    if found.all.is_empty() {
        eprintln!("no program has one of these words in its name: {words:?}");
    } else if wrong.is_empty() {
        return ExitCode::SUCCESS;
    } else {
        eprintln!(
            "docs/exploring/shuttle.md does not say what is found now:\n{}",
            wrong.join("\n")
        );
    }
    ExitCode::FAILURE
}

/// The rows of the page's three tables.
#[derive(Default)]
struct Measured {
    all: String,
    sampled: String,
    times: String,
}

impl Measured {
    fn page(&self) -> String {
        let Measured { all, sampled, times } = self;
        let page = HEAD.replace("ALL\n", all).replace("SAMPLED\n", sampled);
        format!("{page}{TIME}{times}")
    }
}

/// Runs the programs that have one of these words in their names; all, if there is no word.
fn measured(words: &[String]) -> Measured {
    let mut rows = Measured::default();
    let Measured { all, sampled, times } = &mut rows;
    for (ours, theirs) in PROGRAMS.iter().zip(on_shuttle::programs::PROGRAMS) {
        // The same table, compiled twice.
        let theirs = (theirs.0, theirs.1, theirs.2);
        let name = ours.0;
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        eprintln!("{name}");
        let (lw, sh) = (on_loopwheel::all(*ours, MOST), on_shuttle::all(theirs, MOST));
        _ = writeln!(
            all,
            "| {name} | {} | {} | {} | {} | {} | {} |",
            lw.deepest,
            lw.orders(),
            lw.first(),
            sh.deepest,
            sh.orders(),
            sh.first()
        );
        let mut row = format!("| {name} |");
        for (place, strategy) in
            [Strategy::Random, Strategy::Pct(2), Strategy::Pct(3)].into_iter().enumerate()
        {
            let lw = on_loopwheel::sampled(*ours, strategy);
            let sh = on_shuttle::sampled(theirs, strategy);
            _ = write!(row, " {lw} | {sh} |");
            if place == 0 {
                _ = writeln!(times, "| {name} | {:.0} | {:.0} |", lw.micros, sh.micros);
            }
        }
        if ours.1 != Fault::None {
            _ = writeln!(sampled, "{row}");
        }
    }
    rows
}
