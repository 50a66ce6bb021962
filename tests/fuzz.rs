//! Runs random programs over the whole API, with foreign code that does anything wherever it is called. The results are not
//! checked. What must hold of every program is: no value is lost or doubled, every destructor runs once, permits are
//! conserved, memory is given back, the same seed gives the same trace, nothing hangs, and no panic leaves the loop.
//!
//! ```sh
//! cargo test --test fuzz                                      # some eight thousand small programs
//! FUZZ_OPERATIONS=10000000 cargo test --release --test fuzz   # some hundred thousand
//! FUZZ_FIRST_SEED=5000000 cargo test --test fuzz              # other ones
//! FUZZ_SEED=17 cargo test --test fuzz -- --nocapture programs # one of them, line by line
//! ```
//!
//! | file | |
//! |---|---|
//! | `program`, `print` | what a program is, and how it reads |
//! | `generate`, `statements`, `idioms`, `switches` | programs from seeds |
//! | `host`, `interpret`, and a file for each kind of statement | programs run |
//! | `world`, `handle`, `queue`, `reflex`, `wakers`, `parcel` | what they work with, hostile where it can be |
//! | `ledger`, `waits`, `graph`, `holding`, `janitor`, `checks` | what must hold |
//! | `child`, `campaign`, `shrink` | many programs, in processes of their own |

#[path = "common/counting.rs"]
mod counting;

#[path = "fuzz/campaign.rs"]
mod campaign;
#[path = "fuzz/checks.rs"]
mod checks;
#[path = "fuzz/child.rs"]
mod child;
#[path = "fuzz/deep.rs"]
mod deep;
#[path = "common/dice.rs"]
mod dice;
#[path = "fuzz/foreign.rs"]
mod foreign;
#[path = "fuzz/frames.rs"]
mod frames;
#[path = "fuzz/generate.rs"]
mod generate;
#[path = "fuzz/graph.rs"]
mod graph;
#[path = "fuzz/handle.rs"]
mod handle;
#[path = "fuzz/holding.rs"]
mod holding;
#[path = "fuzz/host.rs"]
mod host;
#[path = "fuzz/idioms.rs"]
mod idioms;
#[path = "fuzz/interpret.rs"]
mod interpret;
#[path = "fuzz/janitor.rs"]
mod janitor;
#[path = "fuzz/ledger.rs"]
mod ledger;
#[path = "fuzz/many.rs"]
mod many;
#[path = "fuzz/parcel.rs"]
mod parcel;
#[path = "fuzz/print.rs"]
mod print;
#[path = "fuzz/program.rs"]
mod program;
#[path = "fuzz/queue.rs"]
mod queue;
#[path = "fuzz/reflex.rs"]
mod reflex;
#[path = "fuzz/report.rs"]
mod report;
#[path = "fuzz/shrink.rs"]
mod shrink;
#[path = "fuzz/statements.rs"]
mod statements;
#[path = "fuzz/switches.rs"]
mod switches;
#[path = "fuzz/sync.rs"]
mod sync;
#[path = "fuzz/tasks.rs"]
mod tasks;
#[path = "fuzz/threads.rs"]
mod threads;
#[path = "fuzz/waits.rs"]
mod waits;
#[path = "fuzz/wakers.rs"]
mod wakers;
#[path = "fuzz/world.rs"]
mod world;

use std::env;
use std::process::Stdio;
use std::time::Instant;

use campaign::Campaign;
use child::Job;
use program::Program;
use switches::Switches;

/// Runs some eight thousand programs.
const OPERATIONS: u64 = 100_000;
const FIRST_SEED: u64 = 1;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// This is not a test of its own: the other tests run it in child processes.
#[test]
fn in_a_child() {
    if env::var("FUZZ_CHILD").is_ok()
        && let Some(job) = Job::from_env()
    {
        child::work(job);
    }
}

#[test]
fn programs_keep_what_must_hold() {
    if let Some(seed) = number("FUZZ_SEED") {
        return show(seed);
    }
    let began = Instant::now(); // the real clock is the point: how long it took is printed, and not asserted
    let operations = number("FUZZ_OPERATIONS").unwrap_or(OPERATIONS);
    let first = number("FUZZ_FIRST_SEED").unwrap_or(FIRST_SEED);
    let at_most = number("FUZZ_FAILURES").unwrap_or(3);
    let campaign = Campaign::default();
    let outcome = campaign.run(first, operations, at_most as usize);
    println!(
        "{} programs, {} operations in {:.1?}",
        outcome.programs,
        outcome.operations,
        began.elapsed()
    );
    for failure in &outcome.failures {
        println!("{}", campaign.describe(failure));
    }
    assert!(outcome.failures.is_empty(), "{} programs failed", outcome.failures.len());
}

/// Runs one program, line by line.
fn show(seed: u64) {
    let program = generate::program(seed, Switches::from_env());
    println!("{program}");
    let campaign = Campaign::default();
    let mut command = campaign.child();
    command.env("FUZZ_PROGRAM", serde_json::to_string(&program).expect("a program as JSON"));
    command.env("FUZZ_VERBOSE", "1");
    let status = command.stdout(Stdio::inherit()).stderr(Stdio::inherit()).status();
    println!("{}", status.expect("a child process"));
    assert_eq!(campaign.try_program(&program), None);
}

#[test]
fn a_program_survives_its_text() {
    for seed in 0..2_000 {
        let program = generate::program(seed, Switches::from_env());
        let text = serde_json::to_string(&program).expect("a program as JSON");
        assert_eq!(serde_json::from_str::<Program>(&text).expect("the same"), program);
        assert!(program.to_string().contains(&format!("seed {seed}")));
    }
}

/// A deliberate fault is found and shrunk, whether it is reported, ends the process, or hangs it.
#[test]
fn what_is_wrong_is_found_and_shrunk() {
    for (wrong, kind) in [("said", "no program gathers"), ("abort", "died"), ("hang", "hangs")] {
        let hang_after = (wrong == "hang").then_some(1);
        let campaign = Campaign { wrong: Some(wrong), hang_after };
        let outcome = campaign.run(FIRST_SEED, 1_000, 1);
        let failure = outcome.failures.first().expect("some program gathers");
        assert_eq!(failure.found.kind, kind);
        if wrong == "hang" {
            continue; // each try would take its second
        }
        let small = campaign.shrink(failure);
        let lines = small.to_string().lines().count();
        assert!(lines <= 8, "shrunk to {lines} lines:\n{small}");
        assert!(small.to_string().contains("gather"), "{small}");
    }
}
