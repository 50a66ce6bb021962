//! Counts the instructions that the hot paths execute. This is a gate against getting slower that a noisy machine cannot move.
//!
//! ```sh
//! cargo bench --bench instructions              # fails if one path executes over one more than its committed figure
//! cargo bench --bench instructions -- yield     # only those whose name contains this
//! cargo bench --bench instructions -- --update  # writes the figures: commit them
//! ```
//!
//! This program runs itself under valgrind's callgrind, for each path with a number of rounds and again with twice as many.
//! The difference, divided by the operations in it, is what one operation executes. Start-up, setting up and growing
//! tables are in both runs, and so not in the figure. Instructions are not times: a cache miss counts as one. So look at
//! what they gain or lose in `tasks`, `time` and `sync` too, where the same paths are timed.

#[path = "../common/mod.rs"]
mod common;

mod callgrind;
mod figures;

use std::env;
use std::process::ExitCode;

use callgrind::count;
use common::is_test;
use common::paths::{self, Path};
use figures::Figures;
use loopwheel::{EventLoop, VirtualClock};

/// An operation may execute so many instructions more than its committed figure,
const TOLERANCE: f64 = 1.0;

/// and so many per cent of it: padding between instructions is executed too, and depends on where a function was put.
const TOLERANCE_OF_LAYOUT: f64 = 0.1;

/// With another compiler, the figure may be above the committed one by this many per cent.
const TOLERANCE_OF_COMPILERS: f64 = 10.0;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [mode, name, rounds] = &args[..]
        && mode == callgrind::RUN
    {
        run(path(name), rounds.parse().expect("a number of rounds"));
        return ExitCode::SUCCESS;
    }
    if let Some(what) = unknown(&args) {
        eprintln!("error: {what}");
        return ExitCode::FAILURE;
    }
    let names: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen = paths::ALL.into_iter().filter(|path| {
        names.is_empty() || names.iter().any(|name| path.name.contains(name.as_str()))
    });
    if is_test() {
        // This checks that the paths do what they should.
        chosen.for_each(|path| run(path, 3));
        return ExitCode::SUCCESS;
    }
    let is_update = args.iter().any(|arg| arg == "--update");
    let verdict = if is_update { update(chosen) } else { compare(chosen) };
    verdict.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Returns the arguments that are neither options nor part of a path's name.
fn unknown(args: &[String]) -> Option<String> {
    let options = ["--update", "--bench", "--test", "--nocapture"]; // the last three are cargo's own
    let is_known = |arg: &&String| {
        options.contains(&arg.as_str())
            || !arg.starts_with('-') && paths::ALL.iter().any(|path| path.name.contains(*arg))
    };
    let arg = args.iter().find(|arg| !is_known(arg))?;
    let names: Vec<_> = paths::ALL.iter().map(|path| path.name).collect();
    Some(format!("{arg:?} is neither --update nor part of a name: {}", names.join(", ")))
}

fn path(name: &str) -> &'static Path {
    paths::ALL.into_iter().find(|path| path.name == name).expect("the name of a path")
}

fn run(path: &Path, rounds: u64) {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::impatient()).build();
    event_loop.run((path.run)(rounds));
}

fn update(paths: impl Iterator<Item = &'static Path>) -> Result<ExitCode, String> {
    let mut figures = Figures::read()?;
    for path in paths {
        let now = count(path)?;
        println!("{:<16}{now:>10.1}  {}", path.name, path.about);
        figures.set(path.name, now);
    }
    figures.write()?;
    Ok(ExitCode::SUCCESS)
}

fn compare(paths: impl Iterator<Item = &'static Path>) -> Result<ExitCode, String> {
    let figures = Figures::read()?;
    let (mut more, mut fewer) = (0, 0);
    let other_compiler = figures.of_another_compiler();
    println!(
        "{:<16}{:>10}{:>10}{:>10}  one operation",
        "instructions", "committed", "now", "change"
    );
    for path in paths {
        let committed = figures.of(path.name);
        let committed =
            committed.ok_or_else(|| format!("{} has no figure: -- --update", path.name))?;
        let now = count(path)?;
        let change = now - committed;
        let tolerance = match other_compiler {
            None => TOLERANCE + TOLERANCE_OF_LAYOUT / 100.0 * committed,
            Some(_) => TOLERANCE_OF_COMPILERS / 100.0 * committed,
        };
        more += usize::from(change > tolerance);
        fewer += usize::from(change < -tolerance);
        println!("{:<16}{committed:>10.1}{now:>10.1}{change:>+10.1}  {}", path.name, path.about);
    }
    if fewer > 0 {
        println!("{fewer} execute fewer than committed: commit the new figures (-- --update)");
    }
    other_compiler.inspect(|note| println!("{note}"));
    if more > 0 {
        println!("{more} execute more than committed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
